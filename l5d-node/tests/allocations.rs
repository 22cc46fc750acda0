//! What a request on kept connections allocates, in all threads together: the hot path of HTTP/1. A program of its own, since
//! everything that is allocated in it counts. Client and endpoint are plain threads that allocate nothing while they talk.

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use l5d_naming::{ClusterId, Dtab, Endpoint, EndpointSet, NameTree, Path, Replicas};
use l5d_node::cache::{Cluster, Leaf, Name, NameState, Names};
use l5d_node::config;
use l5d_node::serve::start;
use l5d_node::tell::Tellers;
use l5d_node::tls::Tls;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allowed for each request: the box of its future, which an idle connection does not keep.
const EACH: usize = 1;
/// Allowed besides, for each second's housekeeping in between.
const BESIDE: usize = 200;
const REQUESTS: usize = 2_000;

const CONFIG: &str = "
routers:
- protocol: http
  label: outgoing
  dtab: /svc => /#/test
  interpreter: {kind: io.l5d.mesh, dst: /$/inet/127.0.0.1/1}
  servers: [{port: 0}]
admin: {port: 0}
";
const REQUEST: &[u8] =
    b"GET /some/path?query=1 HTTP/1.1\r\nHost: web\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// One name, bound to one endpoint.
struct One(Arc<Name>);

impl Names for One {
    fn name(&self, _: usize, _: &Path, _: &Dtab) -> Arc<Name> {
        self.0.clone()
    }

    fn why_pending(&self, _: usize) -> String {
        "it never is".to_owned()
    }
}

fn bound(endpoint: SocketAddr) -> Arc<Name> {
    let set = EndpointSet::new([Endpoint::new(endpoint)]);
    let id = ClusterId(Path::parse("/#/test/web").expect("a path"));
    let cluster = Cluster::new(id, 1, Replicas::Bound(Arc::new(set)), false);
    let path = Path::parse("/svc/web").expect("a path");
    let name = Name::new(0, path, Dtab::default());
    let residual = Path::default();
    name.set(NameState::Bound(Arc::new(NameTree::Leaf(Leaf {
        cluster,
        residual,
    }))));
    name
}

/// Reads up to `end`, which is the last that comes.
fn read_to(stream: &mut TcpStream, end: &[u8]) -> bool {
    let mut bytes = [0; 4096];
    let mut len = 0;
    while !bytes[..len].ends_with(end) {
        match stream.read(&mut bytes[len..]) {
            Ok(n) if n > 0 => len += n,
            _ => return false,
        }
    }
    true
}

/// Answers every request of every connection.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                while read_to(&mut stream, b"\r\n\r\n") && stream.write_all(RESPONSE).is_ok() {}
            });
        }
    });
    addr
}

#[test]
fn a_request_on_kept_connections_allocates_next_to_nothing() {
    let names: Arc<dyn Names> = Arc::new(One(bound(endpoint())));
    let config = config::read("test", CONFIG).expect("a configuration");
    let stop = CancellationToken::new();
    let tellers = Tellers::start(&config).expect("no telemeters");
    let tls = Tls::new(&config).expect("no TLS");
    let servers =
        start(&config, &names, &tls, &tellers.routers, 1, Some(1), &stop).expect("a proxy");
    let mut client = TcpStream::connect(servers.addresses[0][0]).expect("a connection");
    client.set_nodelay(true).expect("an option");
    let mut ask = |times: usize| {
        for _ in 0..times {
            client.write_all(REQUEST).expect("written");
            assert!(read_to(&mut client, b"hello"), "the connection has ended");
        }
    };
    // Until buffers have their size and everything has been used once.
    ask(200);
    let begun = tokio::time::Instant::now();
    let region = Region::new(ALLOCATOR);
    ask(REQUESTS);
    let change = region.change();
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("not that slow");
    let allocations = change.allocations + change.reallocations;
    println!(
        "{allocations} allocations, {} bytes, for {REQUESTS} requests",
        change.bytes_allocated
    );
    assert!(
        allocations <= EACH * REQUESTS + BESIDE * (1 + seconds),
        "{allocations} allocations for {REQUESTS} requests"
    );
    stop.cancel();
}
