//! The rules of Kubernetes 1, 2, 6 and 8, each by its id.

mod answers;
mod interleaving;
mod narrowing;
mod settling;

use super::*;
use l5d_naming::EndpointSet;

/// A model with a clock of its own.
pub(super) struct World {
    pub(super) services: Services,
    pub(super) now: Instant,
    rv: u64,
}

pub(super) fn meta(kind: Kind, name: &str, rv: u64) -> Meta {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    let namespace = if kind == Kind::Nodes { "" } else { namespace };
    Meta {
        kind,
        name: ObjectName::new(namespace, name),
        uid: "u1".into(),
        rv,
    }
}

/// `10.0.0.1`, `10.0.0.1@node`, with `!` unready, `~` ending but serving, `x` ending.
pub(super) fn endpoint(text: &str) -> SliceEndpoint {
    let text = text.trim();
    let rest = text.trim_end_matches(['!', '~', 'x']);
    let (ip, node) = match rest.split_once('@') {
        Some((ip, node)) => (ip, Some(node.into())),
        None => (rest, None),
    };
    let (ready, serving, terminating) = match &text[rest.len()..] {
        "" => (true, true, false),
        "!" => (false, false, false),
        "~" => (false, true, true),
        _ => (false, false, true),
    };
    SliceEndpoint {
        ip: ip.parse().expect("an address"),
        node,
        zone: None,
        ready,
        serving,
        terminating,
        hints: None,
    }
}

/// A slice of `service`: ports as `name:number` (`name:*` for all), endpoints as [`endpoint`] reads them.
pub(super) fn slice(service: &str, ports: &str, endpoints: &str) -> Slice {
    let ports = ports.split_whitespace().map(|port| {
        let (name, number) = port.split_once(':').expect("name:number");
        SlicePort {
            name: name.into(),
            number: number.parse().ok(),
        }
    });
    let endpoints: Box<[_]> = endpoints.split_whitespace().map(endpoint).collect();
    let v6 = endpoints.iter().any(|e| e.ip.is_ipv6());
    Slice {
        service: Some(service.into()),
        family: Some(if v6 { Family::V6 } else { Family::V4 }),
        ports: ports.collect(),
        endpoints,
        labels: Box::default(),
    }
}

/// A Service: ports as `name:number:target`, a target that is no number being a name.
pub(super) fn service(ports: &str) -> Service {
    let ports = ports.split_whitespace().map(|port| {
        let parts: Vec<&str> = port.split(':').collect();
        Port {
            name: parts[0].into(),
            number: parts[1].parse().expect("a number"),
            target: parts[2].parse().ok(),
        }
    });
    Service {
        ports: ports.collect(),
        ..Service::default()
    }
}

impl World {
    /// Every kind listed, nothing there.
    pub(super) fn new() -> Self {
        let world = Self::unsynced();
        for kind in Kind::ALL {
            world.services.replace(kind, Vec::new(), false);
        }
        world
    }

    pub(super) fn unsynced() -> Self {
        Self {
            services: Services::new(Policy::default()),
            now: Instant::now(),
            rv: 100,
        }
    }

    pub(super) fn slice(&mut self, name: &str, service: &str, ports: &str, endpoints: &str) {
        self.apply(Kind::Slices, name, slice(service, ports, endpoints));
    }

    pub(super) fn service(&mut self, name: &str, ports: &str) {
        self.apply(Kind::Services, name, service(ports));
    }

    pub(super) fn node(&mut self, name: &str, zone: &str) {
        let node = Node {
            zone: Some(zone.into()),
            ..Node::default()
        };
        self.apply(Kind::Nodes, name, node);
    }

    pub(super) fn apply(&mut self, kind: Kind, name: &str, content: impl Into<Content>) {
        self.rv += 1;
        let object = Object {
            meta: meta(kind, name, self.rv),
            content: Some(content.into()),
        };
        self.services.apply(object, self.now);
    }

    pub(super) fn delete(&mut self, kind: Kind, name: &str) {
        self.rv += 1;
        self.services.delete(&meta(kind, name, self.rv), self.now);
    }

    /// Lets time pass; held removals go when it is up.
    pub(super) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.services.release(self.now);
    }

    pub(super) fn port(&self, port: &str, service: &str) -> Arc<ServicePort> {
        self.services
            .port("default", PortRef::parse(port), service, None)
    }

    pub(super) fn answer(&self, port: &str, service: &str) -> String {
        let port = self.port(port, service);
        let existence = port.existence.value();
        let cell = show(&port.whole());
        match existence {
            Existence::Pending => assert_eq!(cell, "pending"),
            Existence::Absent => assert_eq!(cell, "neg"),
            Existence::Present => {}
        }
        cell
    }
}

pub(super) fn show(cell: &Arc<Cell<Replicas>>) -> String {
    match &cell.get().1 {
        Replicas::Pending => "pending".to_owned(),
        Replicas::Neg => "neg".to_owned(),
        Replicas::Failed(why) => why.to_string(),
        Replicas::Bound(set) => show_set(set),
    }
}

pub(super) fn show_set(set: &EndpointSet) -> String {
    let addrs = set.endpoints().iter().map(|e| e.addr.to_string());
    format!("[{}]", addrs.collect::<Vec<_>>().join(" "))
}

/// Every heartbeat of every session asks: it must not take the model's lock, nor a look at each object.
#[test]
fn how_a_watch_is_can_be_asked_while_the_model_is_written() {
    let services = Services::new(Policy::default());
    services.note(Kind::Slices, None, |status| status.relists = 7);
    let _writing = services.shared.state.lock();
    assert_eq!(services.watch_status(Kind::Slices).relists, 7);
}
