//! Whether the node may be sent requests (node-proxy 15.8).

use std::time::Duration;

use super::Sight;

/// After this the node is ready, whatever it knows.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is missing; nothing once every router listens and every namerd has confirmed once, or a warm file was loaded, or
/// 30 s have passed. Never comes back because namerd is away.
pub(super) fn missing(sight: &Sight) -> Vec<String> {
    if sight.is_warm || sight.started.elapsed() >= PATIENCE {
        return Vec::new();
    }
    let contacts = sight.namerds.iter().map(|set| set.contact());
    contacts
        .filter(|contact| !contact.has_followed)
        .map(|contact| {
            let hosts: Vec<_> = contact
                .candidates
                .iter()
                .map(|(h, p)| format!("{h}:{p}"))
                .collect();
            format!("namerd {}: {contact}", hosts.join(", "))
        })
        .collect()
}
