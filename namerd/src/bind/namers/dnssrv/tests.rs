//! Records from a script, under a paused clock, and from a small server over UDP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use l5d_naming::{NameTree, Replicas};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::bind::Found;
use crate::bind::dns::tests::Scripted as Addresses;
use crate::bind::dns::{SystemDns, Targets};
use crate::store::{Cell, Recompute};

type Records = Arc<Mutex<HashMap<String, Result<Targets, LookupError>>>>;

/// Answers from a table and counts the questions.
#[derive(Default)]
struct Scripted {
    answers: Records,
    asked: Mutex<usize>,
}

#[async_trait]
impl SrvDns for Scripted {
    async fn targets(&self, service: &str) -> Result<Targets, LookupError> {
        *self.asked.lock() += 1;
        let answers = self.answers.lock();
        answers
            .get(service)
            .cloned()
            .unwrap_or(Err(LookupError::Unknown))
    }
}

fn targets(all: &[(u16, u16, u16, &str)], ttl: u64) -> Targets {
    let target = |(priority, weight, port, host): &(u16, u16, u16, &str)| Target {
        priority: *priority,
        weight: *weight,
        port: *port,
        host: (*host).to_owned(),
    };
    Targets {
        all: all.iter().map(target).collect(),
        ttl: Duration::from_secs(ttl),
    }
}

fn shown(all: &[(u16, u16, u16, &str)]) -> Vec<(String, u16, f64)> {
    let lines = lines(targets(all, 1).all);
    let shown = |line: &Line| (line.host.to_string(), line.port, line.weight.to_f64());
    lines.iter().map(shown).collect()
}

#[test]
fn the_lowest_priority_number_is_used_with_its_weights() {
    let line = |host: &str, port, weight| (host.to_owned(), port, weight);
    let records = [
        (10, 60, 80, "b"),
        (10, 20, 80, "a"),
        (20, 1, 80, "c"),
        (10, 0, 81, "a"),
    ];
    let found = shown(&records);
    assert_eq!(
        found,
        [line("a", 80, 20.0), line("a", 81, 0.1), line("b", 80, 60.0)]
    );
    assert_eq!(
        shown(&[(1, 0, 80, "a"), (1, 0, 80, "b")])[0],
        line("a", 80, 1.0)
    );
    assert_eq!(shown(&[(1, 7, 80, "a")]), [line("a", 80, 1.0)]);
    // A service that is decidedly not there (RFC 2782), and records that lead nowhere.
    assert_eq!(shown(&[(0, 0, 0, "")]), []);
    assert_eq!(shown(&[(0, 0, 0, "a")]), []);
}

/// Who holds the answer of one name.
struct Asked {
    namer: Arc<DnsSrvNamer>,
    path: Path,
    out: std::sync::Weak<Cell<Option<Shown>>>,
}

/// The answer: nothing yet, the reason of a failure, no such name, or the addresses' cell.
#[derive(Clone)]
enum Shown {
    Failed(Arc<str>),
    Neg,
    Bound(String, Arc<Cell<Replicas>>),
}

impl Recompute for Asked {
    fn recompute(&self, reads: &mut Reads) {
        let shown = match self.namer.look_up(&self.path, &Caller::default(), reads) {
            Answer::Pending => None,
            Answer::Failed(why) => Some(Shown::Failed(why)),
            Answer::Tree(NameTree::Leaf(Found::Bound { cluster, residual })) => {
                let id = format!("{} {residual}", cluster.id.0);
                Some(Shown::Bound(id, cluster.endpoints.whole()))
            }
            Answer::Tree(_) => Some(Shown::Neg),
        };
        if let Some(out) = self.out.upgrade() {
            out.replace(shown);
        }
    }
}

struct World {
    engine: Engine,
    namer: Arc<DnsSrvNamer>,
    meter: Arc<Meter>,
    _run: AbortOnDropHandle<()>,
}

impl World {
    fn new(dns: Arc<dyn SrvDns>, hosts: Hosts) -> Self {
        let engine = Engine::new();
        let prefix = Path::parse("/io.l5d.dnssrv").expect("a path");
        let refresh = Duration::from_secs(5);
        let meter = Arc::<Meter>::default();
        let namer = DnsSrvNamer::new(
            &prefix,
            dns,
            refresh,
            engine.clone(),
            hosts,
            Arc::clone(&meter),
        );
        let run = AbortOnDropHandle::new(tokio::spawn(engine.clone().run()));
        Self {
            engine,
            namer,
            meter,
            _run: run,
        }
    }

    fn ask(&self, path: &str) -> Arc<Cell<Option<Shown>>> {
        let (namer, path) = (Arc::clone(&self.namer), Path::parse(path).expect("a path"));
        self.engine.computed(None, |out| Asked { namer, path, out })
    }
}

/// Waits until the name has these addresses; none: until it does not exist.
async fn wait(cell: &Cell<Option<Shown>>, addrs: &[&str]) {
    if addrs.is_empty() {
        cell.wait_for(|shown| matches!(shown, Some(Shown::Neg)))
            .await;
        return;
    }
    let bound = cell
        .wait_for(|shown| matches!(shown, Some(Shown::Bound(..))))
        .await;
    let Some(Shown::Bound(_, replicas)) = &bound.1 else {
        unreachable!("waited for")
    };
    let has = |replicas: &Replicas| match replicas {
        Replicas::Bound(set) => {
            let found = set.endpoints().iter().map(|e| e.addr.to_string());
            found.eq(addrs.iter().map(|a| (*a).to_owned()))
        }
        _ => false,
    };
    replicas.wait_for(has).await;
}

fn addresses() -> Arc<Addresses> {
    let addresses = Arc::new(Addresses::default());
    addresses.answer("a", &[[10, 0, 0, 1]], 60);
    addresses.answer("b", &[[10, 0, 0, 2]], 60);
    addresses
}

#[tokio::test(start_paused = true)]
async fn records_are_asked_for_again_and_failures_change_nothing() {
    let dns = Arc::new(Scripted::default());
    let tell = |answer| {
        dns.answers
            .lock()
            .insert("_http._tcp.web".to_owned(), answer)
    };
    tell(Ok(targets(&[(1, 1, 80, "a")], 20)));
    let world = World::new(Arc::clone(&dns) as _, Hosts::new(addresses()));
    let name = world.ask("/_HTTP._tcp.web/rest");
    wait(&name, &["10.0.0.1:80"]).await;
    let Some(Shown::Bound(id, _)) = name.value() else {
        unreachable!("waited for")
    };
    assert_eq!(id, "/#/io.l5d.dnssrv/_HTTP._tcp.web /rest");

    tell(Ok(targets(&[(1, 1, 80, "a"), (1, 1, 81, "b")], 0)));
    sleep(Duration::from_secs(19)).await;
    assert_eq!(*dns.asked.lock(), 1, "not before the time to live is over");
    wait(&name, &["10.0.0.1:80", "10.0.0.2:81"]).await;
    tell(Err(LookupError::Failed("no route".to_owned())));
    sleep(Duration::from_secs(30)).await;
    wait(&name, &["10.0.0.1:80", "10.0.0.2:81"]).await;
    tell(Err(LookupError::Unknown));
    wait(&name, &[]).await;
    tell(Ok(targets(&[(1, 1, 81, "b")], 60)));
    wait(&name, &["10.0.0.2:81"]).await;
    let counted = world.meter.lookups.all();
    let outcomes: Vec<_> = counted
        .iter()
        .map(|([kind, what], _)| (&**kind, &**what))
        .collect();
    assert_eq!(
        outcomes,
        ["absent", "failed", "found"].map(|what| ("io.l5d.dnssrv", what))
    );

    let asked = *dns.asked.lock();
    drop(name);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(*dns.asked.lock(), asked, "nobody wants to know");
}

#[tokio::test(start_paused = true)]
async fn what_was_never_known_says_why() {
    let dns = Arc::new(Scripted::default());
    let failed = Err(LookupError::Failed("no route".to_owned()));
    dns.answers.lock().insert("x".to_owned(), failed);
    let world = World::new(dns, Hosts::new(addresses()));
    let name = world.ask("/x");
    let shown = name.wait_for(Option::is_some).await;
    let Some(Shown::Failed(why)) = &shown.1 else {
        panic!("it did not fail")
    };
    assert_eq!(&**why, "the SRV records of x cannot be looked up: no route");
    wait(&world.ask("/unknown"), &[]).await;
    wait(&world.ask("/"), &[]).await;
}

/// One DNS server over UDP: `web` has two records and their hosts' addresses.
async fn server() -> (SocketAddr, AbortOnDropHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let addr = socket.local_addr().expect("an address");
    let serve = async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Ok(question) = Message::from_vec(&buffer[..length]) else {
                continue;
            };
            let answer = answer(&question).to_vec().expect("a message");
            socket.send_to(&answer, from).await.expect("is sent");
        }
    };
    (addr, AbortOnDropHandle::new(tokio::spawn(serve)))
}

fn answer(question: &Message) -> Message {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    let query = question.queries.first().expect("a question").clone();
    let name = query.name().clone();
    answer.add_query(query);
    let host = |text: &str| Name::from_ascii(text).expect("a name");
    let data: Vec<RData> = match &*name.to_ascii() {
        "_http._tcp.web.test." => vec![
            RData::SRV(SRV::new(1, 10, 8080, host("one.test."))),
            RData::SRV(SRV::new(1, 30, 8081, host("two.test."))),
            RData::SRV(SRV::new(2, 10, 8082, host("two.test."))),
        ],
        "one.test." => vec![RData::A(A::new(10, 0, 0, 1))],
        "two.test." => vec![RData::A(A::new(10, 0, 0, 2))],
        _ => Vec::new(),
    };
    if data.is_empty() {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    for data in data {
        answer.add_answer(Record::from_rdata(name.clone(), 30, data));
    }
    answer
}

#[tokio::test]
async fn a_real_server_is_asked_for_records_and_hosts() {
    let (addr, _server) = server().await;
    let dns = Arc::new(SystemDns::of(vec![addr]));
    let found = dns.targets("_http._tcp.web.test").await.expect("records");
    assert_eq!((found.all.len(), found.ttl), (3, Duration::from_secs(30)));
    let none = dns.targets("_http._tcp.none.test").await;
    assert_eq!(none, Err(LookupError::Unknown));
    let world = World::new(Arc::clone(&dns) as _, Hosts::new(dns));
    let name = world.ask("/_http._tcp.web.test");
    wait(&name, &["10.0.0.1:8080", "10.0.0.2:8081"]).await;
    let Some(Shown::Bound(_, replicas)) = name.value() else {
        unreachable!("waited for")
    };
    let Replicas::Bound(set) = replicas.value() else {
        unreachable!("waited for")
    };
    let weights: Vec<f64> = set.endpoints().iter().map(|e| e.weight.to_f64()).collect();
    assert_eq!(weights, [10.0, 30.0]);
    assert!(
        set.endpoints()
            .iter()
            .all(|e| matches!(e.addr.ip(), IpAddr::V4(_)))
    );
    wait(&world.ask("/_http._tcp.none.test"), &[]).await;
}
