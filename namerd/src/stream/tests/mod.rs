//! Sessions over a real binder and a hand-made namer, read by a model of a node. No runtime and no clock: the engine is run
//! dry, time is passed in.

mod drive;
mod follow;
mod frames;
mod gateways;
mod laws;
mod limits;
pub(crate) mod node;
mod resume;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use l5d_naming::{ClusterId, Dtab, Endpoint, EndpointSet, EndpointWeight, Path, Replicas};
use l5d_resolver::v1;
use l5d_resolver::v1::up;
use tokio::time::Instant;

use super::*;
use crate::bind::{Answer, Binder, Namer};
use crate::meter::Meter;
use crate::store::{Caller, Cell, Cluster, DtabStore, Endpoints, Engine, InMemoryStore, Reads};
use crate::transform::{Gateways, Transforms};
use node::Node;

/// What the shelf says of a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stands {
    Yes,
    No,
    Pending,
    Failed,
}

/// A namer under `/#/shelf` whose names and sets a test arranges.
pub(crate) struct Shelf {
    prefix: Path,
    names: BTreeMap<String, Item>,
}

struct Item {
    stands: Arc<Cell<Stands>>,
    set: Arc<Set>,
}

/// A set with an index by node.
struct Set {
    whole: Arc<Cell<Replicas>>,
    on_node: BTreeMap<&'static str, Arc<Cell<Replicas>>>,
}

impl Endpoints for Arc<Set> {
    fn whole(&self) -> Arc<Cell<Replicas>> {
        Arc::clone(&self.whole)
    }

    fn on_node(&self, node: &str) -> Option<Arc<Cell<Replicas>>> {
        self.on_node.get(node).cloned()
    }
}

impl Shelf {
    fn new(names: &[&str]) -> Arc<Self> {
        let item = |name: &&str| {
            let nothing = || Cell::new(bound(&[]));
            let set = Set {
                whole: nothing(),
                on_node: [("a", nothing()), ("b", nothing())].into(),
            };
            let item = Item {
                stands: Cell::new(Stands::Yes),
                set: Arc::new(set),
            };
            ((*name).to_owned(), item)
        };
        Arc::new(Self {
            prefix: Path::parse("/#/shelf").unwrap(),
            names: names.iter().map(item).collect(),
        })
    }
}

impl Namer for Shelf {
    fn prefix(&self) -> &Path {
        &self.prefix
    }

    fn kind(&self) -> &str {
        "shelf"
    }

    fn look_up(&self, rest: &Path, _: &Caller, reads: &mut Reads) -> Answer {
        let Some(name) = rest.elems().first().map(|e| e.to_text().into_owned()) else {
            return Answer::neg();
        };
        let Some(item) = self.names.get(&name) else {
            return Answer::neg();
        };
        match reads.read(&item.stands).1 {
            Stands::No => Answer::neg(),
            Stands::Pending => Answer::Pending,
            Stands::Failed => Answer::Failed("the shelf broke".into()),
            Stands::Yes => {
                let cluster = Cluster {
                    id: ClusterId(self.prefix.concat(&rest.take(1))),
                    endpoints: Arc::new(Arc::clone(&item.set)),
                };
                Answer::bound(cluster, rest.skip(1))
            }
        }
    }
}

/// The Services that a daemonset transformer collapses onto are names on the shelf.
impl Gateways for Shelf {
    fn gateways(&self, _: &str, _: &str, service: &str) -> Arc<dyn Endpoints> {
        Arc::new(Arc::clone(&self.names[service].set))
    }
}

/// Endpoints by address and weight.
pub(crate) fn bound(endpoints: &[(&str, f64)]) -> Replicas {
    let endpoint = |(addr, weight): &(&str, f64)| Endpoint {
        weight: EndpointWeight::from_f64(*weight),
        ..Endpoint::new(addr.parse::<SocketAddr>().unwrap())
    };
    set_of(endpoints.iter().map(endpoint))
}

pub(crate) fn set_of(endpoints: impl IntoIterator<Item = Endpoint>) -> Replicas {
    Replicas::Bound(Arc::new(EndpointSet::new(endpoints)))
}

/// `n` endpoints of weight 1, from 10.0.0.0 on.
pub(crate) fn many(n: u32) -> Replicas {
    set_of((0..n).map(|i| {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + i);
        Endpoint::new((ip, 80).into())
    }))
}

/// A namerd without doors.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<InMemoryStore>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) now: Instant,
}

impl World {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::with_limits(names, Limits::default())
    }

    pub(crate) fn with_limits(names: &[&str], limits: Limits) -> Self {
        Self::with_sources(names, limits, Arc::new(NoSources))
    }

    pub(crate) fn with_sources(names: &[&str], limits: Limits, sources: Arc<dyn Sources>) -> Self {
        let meter = Arc::<Meter>::default();
        let engine = Engine::new();
        let store = InMemoryStore::new([]);
        let shelf = Shelf::new(names);
        let binder = Binder::new(
            engine.clone(),
            Arc::clone(&store) as Arc<dyn DtabStore>,
            vec![Arc::clone(&shelf) as Arc<dyn Namer>],
            Transforms::new(
                engine.clone(),
                Some(Arc::clone(&shelf) as Arc<dyn Gateways>),
            ),
        );
        let world = Self {
            engine,
            store,
            shelf,
            hub: Hub::new(binder, sources, limits, Arc::clone(&meter)),
            meter,
            now: Instant::now(),
        };
        world.dtab("/svc => /#/shelf");
        world
    }

    pub(crate) fn set(&self, name: &str, replicas: Replicas) {
        self.shelf.names[name].set.whole.set(replicas);
        self.engine.settle();
    }

    pub(crate) fn set_on(&self, name: &str, node: &str, replicas: Replicas) {
        self.shelf.names[name].set.on_node[node].set(replicas);
        self.engine.settle();
    }

    pub(crate) fn stands(&self, name: &str, stands: Stands) {
        self.shelf.names[name].stands.set(stands);
        self.engine.settle();
    }

    pub(crate) fn dtab(&self, text: &str) {
        let dtab = Dtab::parse(text).unwrap();
        let put = self.store.put("default", dtab).now_or_never();
        put.expect("memory does not wait").unwrap();
        self.engine.settle();
    }

    /// A stream that has begun; its node has read the welcome.
    fn connect(&self) -> Stream<'_> {
        self.connect_with(hello(), Node::default())
    }

    fn connect_with(&self, hello: v1::Hello, node: Node) -> Stream<'_> {
        let session = Session::begin(
            &self.hub,
            Arc::clone(self.hub.limits()),
            hello,
            "peer".to_owned(),
            self.now,
        )
        .unwrap();
        let mut stream = Stream {
            world: self,
            session,
            node,
            later: Duration::ZERO,
        };
        stream.read_all();
        assert_eq!(stream.node.welcomes, 1);
        stream
    }
}

/// A hello with one router on the namespace `default`.
pub(crate) fn hello() -> v1::Hello {
    v1::Hello {
        node: "a".to_owned(),
        version: "1.0".to_owned(),
        routers: vec![router("default", "", &[])],
        ..v1::Hello::default()
    }
}

pub(crate) fn router(root: &str, dtab: &str, kinds: &[&str]) -> v1::Router {
    let transformer = |kind: &&str| v1::Transformer {
        kind: (*kind).to_owned(),
        ..v1::Transformer::default()
    };
    v1::Router {
        label: "out".to_owned(),
        root: root.to_owned(),
        dtab: dtab.to_owned(),
        transformers: kinds.iter().map(transformer).collect(),
    }
}

pub(crate) fn interest(id: u32, path: &str) -> v1::Interest {
    v1::Interest {
        id,
        path: path.to_owned(),
        ..v1::Interest::default()
    }
}

pub(crate) fn up(message: up::Message) -> v1::Up {
    v1::Up {
        message: Some(message),
    }
}

/// A session and the node at its other end.
struct Stream<'a> {
    world: &'a World,
    session: Session,
    node: Node,
    /// Time since the world's beginning.
    later: Duration,
}

impl Stream<'_> {
    fn now(&self) -> Instant {
        self.world.now + self.later
    }

    fn say(&mut self, message: up::Message) -> Result<(), End> {
        let now = self.now();
        self.session.hear(up(message), now)?;
        while self.session.work(now)? {}
        Ok(())
    }

    fn want_all(&mut self, interests: Vec<v1::Interest>) -> Result<(), End> {
        for interest in &interests {
            self.node.asked(interest.id);
        }
        self.say(up::Message::Want(v1::Want { interests }))
    }

    fn want(&mut self, id: u32, path: &str) {
        self.want_all(vec![interest(id, path)]).unwrap();
    }

    fn drop_interest(&mut self, id: u32) {
        self.node.dropped(id);
        let drop = v1::Drop {
            interests: vec![id],
        };
        self.say(up::Message::Drop(drop)).unwrap();
    }

    /// Reads one chunk; `false` when there is nothing.
    fn read(&mut self) -> bool {
        let Some(chunk) = self.session.next_chunk(self.now()) else {
            assert!(!self.session.has_more());
            return false;
        };
        self.node.read(&chunk);
        true
    }

    /// Reads until nothing comes; gives the kinds of messages that came.
    fn read_all(&mut self) -> Vec<&'static str> {
        let before = self.node.log.len();
        while self.read() {}
        self.node.log[before..].to_vec()
    }

    /// Lets everything that waits for time only happen, then reads it.
    fn quiet(&mut self) {
        self.read_all();
        self.later += self.world.hub.limits().hold;
        self.read_all();
    }

    /// Ends the stream; what the node keeps, and the hello that it would begin the next one with.
    fn lose(self) -> (Node, v1::Hello) {
        let mut hello = hello();
        hello.held_clusters = self.node.held();
        (self.node.reconnecting(), hello)
    }
}

/// Splits bytes into the messages that they are.
pub(crate) fn messages(bytes: &Bytes) -> Vec<v1::Down> {
    use prost::Message as _;
    let mut rest = bytes.clone();
    let mut all = Vec::new();
    while !rest.is_empty() {
        assert_eq!(rest[0], 0, "never compressed");
        let len = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let mut message = rest.split_off(5);
        rest = message.split_off(len);
        all.push(v1::Down::decode(message).unwrap());
    }
    all
}
