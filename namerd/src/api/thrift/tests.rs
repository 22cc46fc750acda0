//! The interface as the 1.x interpreter uses it, on one connection; hostile bytes for both decoders.

use bytes::{BufMut as _, BytesMut};
use l5d_naming::{NameTree, Path};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::trees::path as path_value;
use super::value::{BINARY, EXCEPTION, I32, REPLY, STRUCT, Value};
use super::*;
use crate::config::{ClientLimits, Server, SocketOptions};
use crate::store::DtabStore as _;
use crate::stream::tests::{Stands, World, bound};
use crate::tls::Alpn;

struct Client {
    socket: DuplexStream,
    meter: Arc<Meter>,
    server: JoinHandle<io::Result<()>>,
    tag: u32,
}

impl Client {
    fn new(world: &World, options: ThriftOptions) -> Self {
        let calls = Calls::new(world.hub.binder().clone(), 8 << 10, options);
        Self::of(&Arc::new(calls))
    }

    fn of(calls: &Arc<Calls>) -> Self {
        Self::behind(calls, Gate::plain(SocketOptions::default()))
    }

    fn behind(calls: &Arc<Calls>, gate: Arc<Gate>) -> Self {
        let (socket, theirs) = duplex(64 << 10);
        let door = Door {
            may_ask: true,
            calls: Arc::clone(calls),
            meter: Arc::default(),
            gate,
            ip: IpAddr::from([127, 0, 0, 1]),
        };
        let meter = Arc::clone(&door.meter);
        let server = tokio::spawn(async move { connection(theirs, &door).await });
        Self {
            socket,
            meter,
            server,
            tag: 1,
        }
    }

    async fn send(&mut self, kind: i8, tag: u32, body: &[u8]) {
        let mut frame = BytesMut::new();
        frame.put_u32(body.len() as u32 + 4);
        frame.put_u32(u32::from(kind as u8) << 24 | tag);
        frame.put_slice(body);
        self.socket.write_all(&frame).await.unwrap();
    }

    /// The next frame that is no ping: its kind, tag and body.
    async fn next(&mut self) -> (i8, u32, Bytes) {
        loop {
            let len = self.socket.read_u32().await.unwrap();
            let mut frame = vec![0; len as usize];
            self.socket.read_exact(&mut frame).await.unwrap();
            let tag = u32::from_be_bytes([0, frame[1], frame[2], frame[3]]);
            match frame[0] as i8 {
                65 => self.send(-65, tag, &[]).await,
                kind => return (kind, tag, Bytes::from(frame).slice(4..)),
            }
        }
    }

    /// Begins a call with its argument; gives the tag.
    async fn call(&mut self, name: &str, argument: Value) -> u32 {
        self.tag += 1;
        let message = Message {
            kind: CALL,
            name: Bytes::copy_from_slice(name.as_bytes()),
            number: 7,
            body: Value::Struct(vec![(1, argument)]),
        };
        // One context, a destination, one entry of a dtab.
        let mut body = BytesMut::from(
            &b"\x00\x01\x00\x01k\x00\x01v\x00\x02/d\x00\x01\x00\x02/a\x00\x02/b"[..],
        );
        body.put_slice(&message.write());
        self.send(2, self.tag, &body).await;
        self.tag
    }

    /// What a call was answered: field 0 is its result, 1 its exception.
    async fn answer(&mut self, tag: u32) -> Value {
        let (kind, answered, body) = self.next().await;
        assert_eq!((kind, answered, &body[..3]), (-2, tag, &[0, 0, 0][..]));
        let message = Message::read(body.slice(3..)).unwrap();
        assert_eq!((message.kind, message.number), (REPLY, 7));
        message.body
    }

    async fn ask(&mut self, name: &str, argument: Value) -> Value {
        let tag = self.call(name, argument).await;
        self.answer(tag).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn path(text: &str) -> Value {
    path_value(&Path::parse(text).unwrap())
}

fn bind(stamp: &[u8], name: &str) -> Value {
    let name = Value::Struct(vec![
        (1, Value::Binary(Bytes::copy_from_slice(stamp))),
        (2, path(name)),
        (3, Value::text("default")),
    ]);
    Value::Struct(vec![(1, Value::text("")), (2, name), (3, path("/client"))])
}

fn addr(stamp: &[u8], id: &str) -> Value {
    let name = Value::Struct(vec![
        (1, Value::Binary(Bytes::copy_from_slice(stamp))),
        (2, path(id)),
    ]);
    Value::Struct(vec![(1, name)])
}

fn reason(answer: &Value) -> String {
    let why = answer.field(1).expect("an exception").bytes(1);
    String::from_utf8(why.to_vec()).unwrap()
}

/// The bound name of a tree that is a leaf.
fn leaf(bound: &Value) -> Value {
    let root = bound.field(2).and_then(|tree| tree.field(1)).unwrap();
    root.field(4).expect("a leaf").clone()
}

/// Control plane 5: what the client does before its first call, and every five seconds.
#[tokio::test]
async fn pings_are_answered_and_nothing_is_agreed_upon() {
    let world = World::new(&[]);
    let mut client = Client::new(&world, ThriftOptions::default());
    client.send(-128, 1, b"tinit check").await;
    let (kind, tag, body) = client.next().await;
    assert_eq!((kind, tag), (-128, 1));
    assert_ne!(
        &body[..],
        b"tinit check",
        "or the client would go on with Tinit"
    );
    client.send(68, 1, b"\0\x01").await;
    assert_eq!(client.next().await, (-68, 1, Bytes::from_static(b"\0\x01")));
    client.send(65, 9, b"").await;
    assert_eq!(client.next().await, (-65, 9, Bytes::new()));
    client.send(5, 9, b"").await;
    assert_eq!(client.next().await.0, -128);
}

#[tokio::test]
async fn a_name_is_bound_and_polled() {
    let world = World::new(&["web", "api"]);
    let mut client = Client::new(&world, ThriftOptions::default());
    let answer = client.ask("bind", bind(b"", "/svc/web/rest")).await;
    let first = answer.field(0).expect("bound").clone();
    let name = leaf(&first);
    assert_eq!(name.field(1), Some(&path("/#/shelf/web")));
    assert_eq!(name.field(2), Some(&path("/rest")));
    assert_eq!(first.bytes(3), b"default");
    let stamp = first.bytes(1).to_vec();
    assert_eq!(stamp.len(), 8);
    // Another stamp is answered at once, the present one when there is news.
    let again = client.ask("bind", bind(b"12345678", "/svc/web/rest")).await;
    assert_eq!(again.field(0), Some(&first));
    let poll = client.call("bind", bind(&stamp, "/svc/web/rest")).await;
    let other = client.ask("bind", bind(b"", "/svc/api")).await;
    assert!(other.field(0).is_some(), "calls do not wait for each other");
    world.dtab("/svc/web => 0.5 * /#/shelf/api & 0.5 * /#/shelf/web");
    let next = client.answer(poll).await;
    let next = next.field(0).expect("bound");
    assert_ne!(next.bytes(1), stamp);
    let tree = next.field(2).unwrap();
    let Some(Value::List(STRUCT, branches)) = tree.field(1).unwrap().field(6) else {
        panic!("a union: {tree:?}");
    };
    assert_eq!(branches[0].field(1), Some(&Value::Double(0.5)));
    let Some(Value::Map(I32, STRUCT, nodes)) = tree.field(2) else {
        panic!("nodes");
    };
    assert_eq!(nodes.len(), 2);
    assert_eq!(branches[1].field(2), Some(&nodes[1].0));
}

#[tokio::test]
async fn endpoints_are_polled_and_a_failure_is_an_exception() {
    let world = World::new(&["web"]);
    world.set("web", bound(&[("10.0.0.1:80", 0.5), ("[::1]:81", 1.0)]));
    let mut client = Client::new(&world, ThriftOptions::default());
    let id = "/%/io.l5d.port/80/#/shelf/web";
    let answer = client.ask("addr", addr(b"", id)).await;
    let first = answer.field(0).expect("known");
    let Some(Value::Set(STRUCT, addrs)) = first.field(2).unwrap().field(1).unwrap().field(1) else {
        panic!("a set: {first:?}");
    };
    assert_eq!(
        (addrs[0].bytes(1), addrs[1].bytes(1).len()),
        (&[10, 0, 0, 1][..], 16)
    );
    assert_eq!(addrs[0].field(2), Some(&Value::I32(80)));
    let meta = addrs[0].field(3).expect("a weight");
    assert_eq!(meta.field(3), Some(&Value::Double(0.5)));
    let poll = client.call("addr", addr(first.bytes(1), id)).await;
    world.stands("web", Stands::No);
    let gone = client.answer(poll).await;
    let gone = gone.field(0).expect("known");
    assert!(gone.field(2).unwrap().field(2).is_some(), "neg: {gone:?}");
    let failed = client.ask("addr", addr(b"", "/$/fail")).await;
    assert!(
        reason(&failed).contains("is not a concrete bound id"),
        "{failed:?}"
    );
    let empty = client.ask("addr", addr(b"", "/")).await;
    assert_eq!(reason(&empty), "empty path");
    let empty = client.ask("bind", bind(b"", "/")).await;
    assert_eq!(reason(&empty), "empty path");
}

#[tokio::test]
async fn dtabs_and_delegations_are_told() {
    let world = World::new(&["web"]);
    world.set("web", bound(&[("10.0.0.1:80", 1.0)]));
    let mut client = Client::new(&world, ThriftOptions::default());
    let dtab = |stamp: &[u8], name: &str| {
        let stamp = Value::Binary(Bytes::copy_from_slice(stamp));
        Value::Struct(vec![(1, stamp), (2, Value::text(name))])
    };
    let answer = client.ask("dtab", dtab(b"", "default")).await;
    let first = answer.field(0).expect("there").clone();
    assert_eq!(first.bytes(2), b"/svc=>/#/shelf");
    let poll = client.call("dtab", dtab(first.bytes(1), "default")).await;
    world.store.delete("default").await.unwrap();
    assert_eq!(reason(&client.answer(poll).await), "Root not found");
    world.dtab("/svc => /#/shelf");

    let asked = |stamp: &[u8]| {
        let node = Value::Struct(vec![
            (1, path("/svc/web")),
            (2, Value::text("/x=>/y")),
            (3, Value::Struct(vec![(7, path("/svc/web"))])),
        ]);
        let nodes = Value::Map(I32, STRUCT, Vec::new());
        let tree = Value::Struct(vec![(1, node), (2, nodes)]);
        let asked = Value::Struct(vec![
            (1, Value::Binary(Bytes::copy_from_slice(stamp))),
            (2, tree),
            (3, Value::text("default")),
        ]);
        Value::Struct(vec![(1, Value::text("")), (2, asked)])
    };
    let answer = client.ask("delegate", asked(b"")).await;
    let delegation = answer.field(0).expect("delegated");
    assert!(!delegation.bytes(1).is_empty());
    let tree = delegation.field(2).unwrap();
    let root = tree.field(1).unwrap();
    assert_eq!(root.bytes(2), b"/\\x2f=>~");
    let next = root.field(3).unwrap().field(5).expect("a delegate");
    let Some(Value::Map(_, _, nodes)) = tree.field(2) else {
        panic!("nodes");
    };
    let (_, next) = nodes.iter().find(|(number, _)| number == next).unwrap();
    assert_eq!(next.bytes(2), b"/svc=>/#/shelf");
    assert!(
        next.field(3).unwrap().field(6).is_some(),
        "a bound leaf: {next:?}"
    );
    // One that carries a stamp is never answered; it can be discarded.
    let silent = client.call("delegate", asked(delegation.bytes(1))).await;
    client
        .send(66, 0, &[&silent.to_be_bytes()[1..], b"enough"].concat())
        .await;
    assert_eq!(client.next().await, (-66, silent, Bytes::new()));
}

/// Calls are counted as they end, by names that are known.
#[tokio::test]
async fn calls_are_counted_and_those_that_wait_are_shown() {
    let world = World::new(&["web", "silent"]);
    world.stands("silent", Stands::Pending);
    let mut client = Client::new(&world, ThriftOptions::default());
    client.ask("bind", bind(b"", "/svc/web")).await;
    let bad = client.ask("addr", addr(b"", "/")).await;
    assert_eq!(reason(&bad), "empty path");
    let waiting = client.call("bind", bind(b"", "/svc/silent")).await;
    client.call("made-up", Value::void()).await;
    client.next().await;
    let meter = Arc::clone(&client.meter);
    assert!(meter.thrift_waiting.all().contains(&("bind", 1)));
    client
        .send(66, 0, &[&waiting.to_be_bytes()[1..], b"enough"].concat())
        .await;
    assert_eq!(client.next().await.0, -66);
    // Known methods only, and none that waits once the connection has ended.
    drop(client);
    while meter.thrift_waiting.all().iter().any(|(_, n)| *n > 0) {
        tokio::task::yield_now().await;
    }
    let all = meter.thrift.all();
    let all: Vec<_> = all
        .iter()
        .map(|([m, o], n)| (m.as_str(), o.as_str(), *n))
        .collect();
    assert_eq!(
        all,
        [
            ("addr", "failure", 1),
            ("bind", "discarded", 1),
            ("bind", "ok", 1),
            ("other", "exception", 1),
        ]
    );
}

#[tokio::test]
async fn a_client_has_only_so_many_calls() {
    let world = World::new(&["web"]);
    let options = ThriftOptions::default();
    let calls = Calls::new(world.hub.binder().clone(), 8 << 10, options);
    let limits = ClientLimits {
        requests_per_second: 0.001,
        request_burst: 1.0,
        ..ClientLimits::default()
    };
    let server = Server {
        addr: ([127, 0, 0, 1], 0).into(),
        socket: SocketOptions::default(),
        tls: None,
        limits,
    };
    let gate = Gate::new(&server, Alpn::H2).expect("no files");
    // Whoever asks is connected.
    let ip = IpAddr::from([127, 0, 0, 1]);
    let _place = gate.admit(ip).expect("room");
    let mut client = Client::behind(&Arc::new(calls), gate);
    let bound = client.ask("bind", bind(b"", "/svc/web")).await;
    assert!(bound.field(0).is_some());
    let tag = client.call("bind", bind(b"", "/svc/web")).await;
    let (kind, answered, body) = client.next().await;
    assert_eq!((kind, answered, body[0]), (-2, tag, 2), "not done");
    let refused = ["other".to_owned(), "refused".to_owned()];
    assert!(client.meter.thrift.all().contains(&(refused, 1)));
}

#[tokio::test]
async fn what_is_no_call_is_told_so() {
    let world = World::new(&[]);
    let mut client = Client::new(&world, ThriftOptions::default());
    let tag = client.call("nothing", Value::void()).await;
    let (_, answered, body) = client.next().await;
    let message = Message::read(body.slice(3..)).unwrap();
    assert_eq!((answered, message.kind), (tag, EXCEPTION));
    assert_eq!(message.body.bytes(1), b"Invalid method name: 'nothing'");
    client.send(2, 5, b"\0\0\0\0\0\0garbage").await;
    let (kind, tag, body) = client.next().await;
    assert_eq!((kind, tag, body[0]), (-2, 5, 1));
    // The older form of a call.
    client.send(1, 6, b"\0garbage").await;
    let (kind, tag, body) = client.next().await;
    assert_eq!((kind, tag, body[0]), (-1, 6, 1));
}

/// Control plane 13: new names are refused, those that somebody waits for are not.
#[tokio::test]
async fn names_that_are_waited_for_are_bounded() {
    let world = World::new(&["a", "b"]);
    world.stands("a", Stands::Pending);
    let options = ThriftOptions {
        bindings: 1,
        addresses: 1,
    };
    let calls = Arc::new(Calls::new(world.hub.binder().clone(), 8 << 10, options));
    let mut one = Client::of(&calls);
    let mut two = Client::of(&calls);
    let waiting = one.call("bind", bind(b"", "/svc/a")).await;
    // In order on one connection: an answer shows that the call before has begun.
    one.send(65, 1, b"").await;
    assert_eq!(one.next().await.0, -65);
    let refused = loop {
        let answer = two.ask("bind", bind(b"", "/svc/b")).await;
        if answer.field(0).is_none() {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        reason(&refused),
        "The maximum number of concurrent observations has been reached (1)"
    );
    let same = two.call("bind", bind(b"", "/svc/a")).await;
    world.stands("a", Stands::Yes);
    assert!(one.answer(waiting).await.field(0).is_some());
    assert!(two.answer(same).await.field(0).is_some());
    assert!(
        two.ask("bind", bind(b"", "/svc/b"))
            .await
            .field(0)
            .is_some()
    );
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(Value::I32),
        any::<i64>().prop_map(Value::I64),
        vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec((any::<i16>(), inner), 0..4).prop_map(Value::Struct),
            vec(vec(any::<u8>(), 0..4), 0..4).prop_map(|items| {
                let items = items.into_iter().map(|b| Value::Binary(b.into()));
                Value::List(BINARY, items.collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..200), head in any::<bool>()) {
        let start: &[u8] = if head { b"\x80\x01\0\x01\0\0\0\0\0\0\0\0" } else { b"" };
        let bytes = Bytes::from([start, &bytes].concat());
        if let Ok(message) = Message::read(bytes.clone()) {
            // Numbers that are not numbers are equal to nothing, themselves included.
            prop_assert_eq!(Message::read(message.write()).unwrap().write(), message.write());
        }
        let _ = mux::read(bytes);
    }

    #[test]
    fn what_is_written_reads_back(body in vec((any::<i16>(), value()), 0..5)) {
        let message = Message {
            kind: CALL,
            name: Bytes::from_static(b"bind"),
            number: 1,
            body: Value::Struct(body),
        };
        prop_assert_eq!(Message::read(message.write()), Ok(message));
    }
}

#[test]
fn sizes_that_are_only_claimed_and_nesting_without_end_are_refused() {
    let claimed = b"\x80\x01\0\x01\0\0\0\0\0\0\0\0\x0f\0\x01\x0b\x7f\xff\xff\xff";
    assert!(Message::read(Bytes::from_static(claimed)).is_err());
    let mut nested = b"\x80\x01\0\x01\0\0\0\0\0\0\0\0".to_vec();
    for _ in 0..10_000 {
        nested.extend(b"\x0c\0\x01");
    }
    assert!(Message::read(nested.into()).is_err());
    assert!(super::trees::read_tree(&Value::void()).is_none());
    let own = Value::Struct(vec![(3, Value::Struct(vec![(5, Value::I32(1))]))]);
    let nodes = Value::Map(I32, STRUCT, vec![(Value::I32(1), own.clone())]);
    let circle = Value::Struct(vec![(1, own), (2, nodes)]);
    assert!(super::trees::read_tree(&circle).is_none());
    let _: Option<NameTree<Path>> = super::trees::read_tree(&circle);
}
