//! What the demo prints.

use std::net::SocketAddr;

use l5d_tests::app::Answer;

use crate::layout::{A, B, Host, NAMERD_ADMIN, NAMERD_GRPC, NAMERD_HTTP, OVERRIDE, PODS};

/// What runs where.
pub(crate) fn picture(api: SocketAddr) {
    println!(
        "
  cluster double (Kubernetes API)  {api}
        |  3 watches
  namerd   gRPC {NAMERD_GRPC}   HTTP {NAMERD_HTTP}   admin {NAMERD_ADMIN}
        |  one stream for each node"
    );
    for host in [A, B] {
        println!(
            "  {:<7} l5d-node  outgoing {}  incoming {}  admin {}",
            host.name,
            host.outgoing(),
            host.incoming(),
            host.admin()
        );
        for pod in PODS.iter().filter(|p| p.host.name == host.name) {
            println!("          {:<11} {}", pod.name, pod.addr());
        }
    }
    println!();
}

/// The way one request took, read from what the apps received.
pub(crate) fn way(from: Host, answer: &Answer) -> String {
    let mut way = format!("{} -> {}", from.name, hop(from.outgoing(), answer));
    if let Some(world) = &answer.target {
        let host = if answer.node == A.name { A } else { B };
        way.push_str(&format!(
            "\n      {} -> {}",
            answer.pod,
            hop(host.outgoing(), world)
        ));
    }
    way
}

fn hop(outgoing: SocketAddr, answer: &Answer) -> String {
    format!(
        "outgoing {outgoing} -> incoming {}:4141 -> {} on {}",
        incoming_ip(answer).unwrap_or("?"),
        answer.pod,
        answer.node
    )
}

/// The address of the incoming proxy: it names itself in the id of the cluster that it chose.
pub(crate) fn incoming_ip(answer: &Answer) -> Option<&str> {
    let id = answer.header("l5d-dst-client")?;
    id.strip_prefix("/%/io.l5d.k8s.localnode/")?
        .split('/')
        .next()
}

/// How many proxies a request passed, as `Via` says.
pub(crate) fn proxies(answer: &Answer) -> usize {
    answer.header("via").map_or(0, |via| via.split(',').count())
}

/// Lines to paste.
pub(crate) fn paste() {
    println!(
        "
Try it (the outgoing proxies are {} and {}):

  curl -H 'Host: hello' http://{}/
  http_proxy=http://{} curl http://world/
  curl -H 'Host: hello' -H 'l5d-dtab: {OVERRIDE}' http://{}/
  curl -G --data-urlencode path=/svc/world http://{NAMERD_HTTP}/api/1/delegate/default
  curl http://{NAMERD_HTTP}/api/1/dtabs/default

  cargo run -q -p namerctl -- --base-url http://{NAMERD_HTTP} dtab get default
  cargo run -q -p namerctl -- resolve /svc/world
  cargo run -q -p namerctl -- explain /svc/world --dtab '{OVERRIDE}'
  cargo run -q -p namerctl -- nodes

Look at it: http://{NAMERD_ADMIN}/ (namerd), http://{}/ and http://{}/ (node proxies)",
        A.outgoing(),
        B.outgoing(),
        A.outgoing(),
        A.outgoing(),
        A.outgoing(),
        A.admin(),
        B.admin()
    );
}
