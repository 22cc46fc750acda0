//! Whether the node may be sent requests (node-proxy 15.8).

use std::time::Duration;

use super::Sight;

/// After this the node is ready, whatever it knows.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is missing; nothing once every router listens and every namerd has confirmed once, or a warm file was loaded, and
/// the node has its identity, if it is to have one; or 30 s have passed. Never comes back because namerd is away.
pub(super) fn missing(sight: &Sight) -> Vec<String> {
    if sight.started.elapsed() >= PATIENCE {
        return Vec::new();
    }
    let is_nobody = sight.tls.own().is_some_and(|own| own.get().is_none());
    let identity = is_nobody.then(|| "this node has no identity yet".to_owned());
    let contacts = sight.namerds.iter().map(|set| set.contact());
    contacts
        .filter(|contact| !sight.is_warm && !contact.has_followed)
        .map(|contact| {
            let hosts: Vec<_> = contact
                .candidates
                .iter()
                .map(|(h, p)| format!("{h}:{p}"))
                .collect();
            format!("namerd {}: {contact}", hosts.join(", "))
        })
        .chain(identity)
        .collect()
}
