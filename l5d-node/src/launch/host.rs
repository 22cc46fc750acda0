//! The address of the host that this pod is on.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use super::api::{Api, Unanswered};

/// Between two questions while nobody answers.
const PAUSE: Duration = Duration::from_millis(500);
/// A lookup of the node's name.
const LOOKUP: Duration = Duration::from_secs(5);

/// The host's address or name: of the environment, or of the pod's object.
pub(super) async fn find(
    var: &impl Fn(&str) -> Option<String>,
    api: Option<&str>,
    wait: Duration,
) -> anyhow::Result<String> {
    if let Some(ip) = var("HOST_IP") {
        return Ok(ip);
    }
    if let Some(name) = var("NODE_NAME") {
        match is_known(&name).await {
            true => return Ok(name),
            false => eprintln!(
                "l5d-node: NODE_NAME is {name}, which has no address here: asking for that of the host"
            ),
        }
    }
    let api = Api::new(var, api)?;
    let namespace = var("POD_NAMESPACE")
        .or_else(|| api.namespace.clone())
        .context("which namespace is this? set POD_NAMESPACE from metadata.namespace, or HOST_IP from status.hostIP")?;
    let pod = var("POD_NAME").or_else(|| var("HOSTNAME")).context(
        "which pod is this? set POD_NAME from metadata.name, or HOST_IP from status.hostIP",
    )?;
    let begun = Instant::now();
    loop {
        let error = match api.pod(&namespace, &pod).await {
            Ok(object) => match object["status"]["hostIP"].as_str() {
                Some(ip) if !ip.is_empty() => return Ok(ip.to_owned()),
                _ => format!("the pod {namespace}/{pod} has no status.hostIP yet"),
            },
            Err(Unanswered::Refused(why)) => bail!("the pod {namespace}/{pod}: {why}"),
            Err(Unanswered::Late(why)) => why,
        };
        if begun.elapsed() >= wait {
            bail!(
                "{error} (asked for {} s; or set HOST_IP from status.hostIP)",
                wait.as_secs()
            );
        }
        sleep(PAUSE).await;
    }
}

async fn is_known(name: &str) -> bool {
    let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name, 80))).await;
    found.is_ok_and(|found| found.is_ok_and(|mut all| all.next().is_some()))
}
