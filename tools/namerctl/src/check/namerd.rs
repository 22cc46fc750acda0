//! Checks of namerd itself: its ports, health, version and clock, its dtabs, the nodes that follow it.

use hyper_util::rt::TokioIo;
use l5d_resolver::v1::NodesRequest;
use l5d_resolver::v1::resolver_client::ResolverClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::api::{PATIENCE, chain};
use super::outcome::Outcomes;
use super::peer::{Peer, Reached, Shown};
use super::{certificates, clock};

/// Dtabs that are read one by one.
const NAMESPACES: usize = 1000;
/// Nodes that are asked for.
const NODES: usize = 100_000;
/// A node that is this far behind is worth a look; gathering takes 100 ms at most (resolver API 5.2).
const LAG_MS: u64 = 5000;

/// The three ports of a namerd.
pub(crate) struct Ports {
    pub(crate) mesh: Peer,
    pub(crate) http: Peer,
    pub(crate) admin: Peer,
    /// What they are shown.
    pub(crate) shown: Shown,
}

/// Checks everything that can be reached.
pub(crate) async fn check(ports: &Ports, outcomes: &mut Outcomes) {
    let mut version = None;
    if let Some(admin) = reach("namerd-admin", &ports.admin, &ports.shown, outcomes).await {
        version = self::admin(&admin, outcomes).await;
    }
    if let Some(http) = reach("namerd-http", &ports.http, &ports.shown, outcomes).await {
        controller(&http, outcomes).await;
    }
    let Some(mesh) = reach("namerd-grpc", &ports.mesh, &ports.shown, outcomes).await else {
        return;
    };
    match channel(&mesh).await {
        Ok(channel) => {
            health(channel.clone(), &ports.mesh, outcomes).await;
            let token = mesh.token();
            nodes(channel, token, version.as_deref(), outcomes).await;
        }
        Err(message) => {
            let hint = "the port must be that of an interface of kind io.l5d.mesh";
            outcomes.fail("namerd-grpc", &ports.mesh.to_string(), message, hint);
        }
    }
}

async fn reach(
    check: &'static str,
    peer: &Peer,
    shown: &Shown,
    outcomes: &mut Outcomes,
) -> Option<Reached> {
    let subject = peer.to_string();
    match peer.reach(shown).await {
        Ok(reached) => {
            if let Some(chain) = &reached.chain {
                certificates::judge(&subject, chain, outcomes);
            }
            if let Some(why) = &reached.kept {
                let hint = "name whom to trust with --tls-ca, and the name in the certificate with --tls-server-name";
                let seen = format!("the token was not sent: {why}");
                outcomes.warn("token", &subject, seen, hint);
            }
            Some(reached)
        }
        Err(e) => {
            let hint = "is namerd running, does its interface listen on 0.0.0.0 (the default is loopback), and does its \
                        Service have this port?";
            outcomes.fail(check, &subject, format!("cannot be reached: {e}"), hint);
            None
        }
    }
}

/// Readiness. Gives the version.
async fn admin(admin: &Reached, outcomes: &mut Outcomes) -> Option<String> {
    const CHECK: &str = "namerd-admin";
    let subject = admin.peer.to_string();
    match admin.get("/ready").await {
        Ok(answer) if answer.status.is_success() => {
            outcomes.ok(CHECK, &subject, "ready");
        }
        Ok(answer) => {
            let hint = "it waits for its first answers; /state.json on this port says which";
            let seen = format!("not ready: {}", answer.body.trim());
            outcomes.fail(CHECK, &subject, seen, hint);
        }
        Err(e) => {
            let hint = "the port must be that of namerd's `admin`; with client certificates required it cannot be asked";
            outcomes.fail(CHECK, &subject, format!("no answer: {e:#}"), hint);
            return None;
        }
    }
    problems(admin, outcomes).await;
    let info = admin.get("/admin/server_info").await.ok()?;
    let info: serde_json::Value = serde_json::from_str(&info.body).ok()?;
    let version = info["version"].as_str()?.to_owned();
    let own = env!("CARGO_PKG_VERSION");
    if version == own {
        outcomes.ok("version", "namerd", version.clone());
    } else {
        let hint = "use the namerctl of namerd's version";
        outcomes.warn(
            "version",
            "namerd",
            format!("{version}, and this is {own}"),
            hint,
        );
    }
    Some(version)
}

/// What namerd itself finds wrong: stale watches, a store that does not answer, dtabs that cannot be read, names that fail.
/// What other checks tell better is left to them. A namerd without that page is not asked.
async fn problems(admin: &Reached, outcomes: &mut Outcomes) {
    const CHECK: &str = "namerd-says";
    let Ok(answer) = admin.get("/ui/overview.json").await else {
        return;
    };
    let overview: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let Some(problems) = overview["problems"].as_array() else {
        let hint = "only our own namerd tells what it finds wrong";
        outcomes.skip(CHECK, &admin.peer.to_string(), "not asked", hint);
        return;
    };
    let hint = format!("http://{}/ shows more", admin.peer);
    let mut is_well = true;
    for problem in problems {
        let of = |key: &str| problem[key].as_str().unwrap_or_default();
        let text = of("text");
        if of("place") == "nodes" || text.starts_with("Not ready") {
            continue;
        }
        is_well = false;
        if of("level") == "bad" {
            outcomes.fail(CHECK, of("place"), text, hint.clone());
        } else {
            outcomes.warn(CHECK, of("place"), text, hint.clone());
        }
    }
    if is_well {
        outcomes.ok(
            CHECK,
            &admin.peer.to_string(),
            "nothing wrong with sources and names",
        );
    }
}

/// The HTTP controller: clock, and every dtab can be read.
async fn controller(http: &Reached, outcomes: &mut Outcomes) {
    const CHECK: &str = "namerd-http";
    let subject = http.peer.to_string();
    let answer = match http.get("/api/1/dtabs").await {
        Ok(answer) => answer,
        Err(e) => {
            let hint = "the port must be that of an interface of kind io.l5d.httpController";
            outcomes.fail(CHECK, &subject, format!("no answer: {e:#}"), hint);
            return;
        }
    };
    clock::compare("namerd", answer.date.as_deref(), outcomes);
    if !answer.status.is_success() {
        let hint = "namerd's log says why; a store that cannot be reached is the usual reason";
        let seen = format!("{}: {}", answer.status, answer.body.trim());
        outcomes.fail(CHECK, &subject, seen, hint);
        return;
    }
    let namespaces: Vec<String> = serde_json::from_str(&answer.body).unwrap_or_default();
    outcomes.ok(
        CHECK,
        &subject,
        format!("{} dtab namespaces", namespaces.len()),
    );
    for namespace in namespaces.iter().take(NAMESPACES) {
        let path = format!("/api/1/dtabs/{namespace}");
        let seen = match http.get(&path).await {
            Ok(answer) if answer.status.is_success() => continue,
            Ok(answer) => format!("{}: {}", answer.status, answer.body.trim()),
            Err(e) => format!("no answer: {e:#}"),
        };
        let hint = "what is stored cannot be read as a dtab; its last good version stays in force. Write it again: namerctl dtab update";
        outcomes.fail("dtab", namespace, seen, hint);
    }
}

async fn channel(mesh: &Reached) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{}", mesh.peer));
    let endpoint = endpoint
        .map_err(|e| chain(&e))?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE);
    let mesh = mesh.clone();
    let connector = tower::service_fn(move |_: hyper::Uri| {
        let mesh = mesh.clone();
        async move { mesh.open(b"h2").await.map(TokioIo::new) }
    });
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|e| chain(&e))
}

async fn health(channel: Channel, mesh: &Peer, outcomes: &mut Outcomes) {
    const CHECK: &str = "namerd-grpc";
    let subject = mesh.to_string();
    let request = HealthCheckRequest {
        service: String::new(),
    };
    match HealthClient::new(channel).check(request).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => {
            outcomes.ok(CHECK, &subject, "SERVING");
        }
        Ok(answer) => {
            let hint =
                "it is starting, or draining; the checks of namerd-admin say what it waits for";
            let seen = answer.get_ref().status().as_str_name().to_owned();
            outcomes.fail(CHECK, &subject, seen, hint);
        }
        Err(status) => {
            let hint = "the port must be that of an interface of kind io.l5d.mesh";
            outcomes.fail(CHECK, &subject, said(&status), hint);
        }
    }
}

fn said(status: &tonic::Status) -> String {
    format!("{}: {}", status.code().description(), status.message())
}

/// Who follows this replica, how far behind, and with which version.
async fn nodes(
    channel: Channel,
    token: Option<&str>,
    version: Option<&str>,
    outcomes: &mut Outcomes,
) {
    const CHECK: &str = "nodes";
    let mut request = tonic::Request::new(NodesRequest {
        node: String::new(),
    });
    if let Some(Ok(value)) = token.map(|token| format!("Bearer {token}").parse()) {
        request.metadata_mut().insert("authorization", value);
    }
    let mut stream = match ResolverClient::new(channel).nodes(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let hint = "nodes are listed to clients that may use the resolver API: a token goes with --token, a certificate \
                        with --tls-cert and --tls-key";
            outcomes.skip(CHECK, "all", said(&status), hint);
            return;
        }
    };
    let (mut count, mut late, mut others) = (0, Vec::new(), Vec::new());
    while let Ok(Some(session)) = stream.message().await {
        count += 1;
        if session.lag_ms > LAG_MS {
            late.push(format!("{} ({} ms)", session.node, session.lag_ms));
        }
        if version.is_some_and(|v| v != session.version) {
            others.push(format!("{} ({})", session.node, session.version));
        }
        if count >= NODES {
            break;
        }
    }
    if count == 0 {
        let hint = "no node follows this replica; if there is one replica only, look at the nodes' logs and their --namerd";
        outcomes.warn(CHECK, "all", "none is connected", hint);
        return;
    }
    if late.is_empty() {
        outcomes.ok(CHECK, "all", format!("{count} connected, none behind"));
    } else {
        let hint = "these nodes have not applied what was sent: look at their CPU and at the network to them";
        let seen = format!("{} of {count} are behind: {}", late.len(), first(&late));
        outcomes.warn(CHECK, "lag", seen, hint);
    }
    if !others.is_empty() {
        let hint = "finish the rolling update of the node proxies";
        let seen = format!(
            "{} of {count} have another version than namerd: {}",
            others.len(),
            first(&others)
        );
        outcomes.warn(CHECK, "version", seen, hint);
    }
}

fn first(of: &[String]) -> String {
    let shown: Vec<&str> = of.iter().take(5).map(String::as_str).collect();
    shown.join(", ")
}
