//! A namerd 1.x configuration to ours, and a new one where the proxies bound names themselves.

use l5d_config::{Mistake, Mistakes};

use super::linkerd::{Setting, StoredDtab};
use super::report::{Fate, Noter};
use super::routers::{drop_key, transformers};
use super::settle::{Answer, Settling, is_unknown, settle, subject};
use super::tree::{Node, Place, Slot};

/// How dtabs get from one namerd to another.
const MOVE_DTABS: &str = "for each namespace of the old namerd: namerctl --base-url OLD dtab get NS > NS.dtab, \
                          namerctl --base-url NEW dtab create NS NS.dtab";

/// A namer that a Linkerd configuration had.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) slot: Slot,
    pub(crate) file: String,
    pub(crate) object: String,
    pub(crate) index: usize,
}

/// A namerd for proxies that had none, with this store, or one in memory.
pub(crate) fn new(dtabs: &[StoredDtab], store: Option<Node>) -> Node {
    let any = || Node::plain("0.0.0.0");
    let server = |kind: &str, port: &str| {
        Node::map()
            .with("kind", Node::text(kind))
            .with("ip", any())
            .with("port", Node::plain(port))
    };
    let in_memory = || Node::map().with("kind", Node::text("io.l5d.inMemory"));
    let mut storage = store.unwrap_or_else(in_memory);
    if !dtabs.is_empty() {
        storage.set("namespaces", namespaces(dtabs));
    }
    Node::map()
        .with(
            "admin",
            Node::map()
                .with("ip", any())
                .with("port", Node::plain("9991")),
        )
        .with("storage", storage)
        .with("namers", Node::list(Vec::new()))
        .with(
            "interfaces",
            Node::list(vec![
                server("io.l5d.mesh", "4321"),
                server("io.l5d.httpController", "4180"),
            ]),
        )
}

fn namespaces(dtabs: &[StoredDtab]) -> Node {
    let mut map = Node::map();
    for dtab in dtabs {
        map.set(&dtab.namespace, Node::text(&dtab.text));
    }
    map
}

/// Converts a configuration in place, with the namers of proxies added to its own. `dtabs` are those known from elsewhere.
pub(crate) fn convert(
    root: &mut Node,
    tail: &[String],
    setting: &Setting,
    moved: &[Moved],
    dtabs: &[StoredDtab],
    noter: &mut Noter<'_>,
) {
    if let Some(storage) = root.get_mut("storage") {
        own_access(storage, "storage", setting, noter);
    }
    other_etcd(root, noter);
    if let Some(namers) = root.get_mut("namers").and_then(Node::items_mut) {
        for (i, namer) in namers.iter_mut().enumerate() {
            let key = format!("namers[{i}]");
            own_access(&mut namer.node, &key, setting, noter);
            transformers(&mut namer.node, &key, noter);
        }
    }
    interfaces(root, noter);
    let first = add(root, moved, setting, noter);
    fit(root, tail, moved, first, dtabs, noter);
}

/// In a cluster the API server is spoken to directly, with the service account, instead of through a `kubectl proxy`.
fn own_access(node: &mut Node, key: &str, setting: &Setting, noter: &mut Noter<'_>) {
    let is_k8s = node
        .word("kind")
        .is_some_and(|k| k.starts_with("io.l5d.k8s"));
    let host = node.word("host").unwrap_or("localhost");
    let is_proxy = matches!(host, "localhost" | "127.0.0.1" | "::1");
    if !is_k8s || !is_proxy || !setting.is_in_cluster {
        return;
    }
    for name in ["host", "port"] {
        let why = "namerd speaks to the API server itself, as the pod's service account; no kubectl proxy is needed";
        drop_key(node, key, name, why, noter);
    }
}

/// etcd's two APIs do not see each other's keys.
fn other_etcd(root: &Node, noter: &mut Noter<'_>) {
    let Some(slot) = root.slot("storage") else {
        return;
    };
    if slot.node.word("kind") == Some("io.l5d.etcd") {
        let message =
            "namerd keeps dtabs by etcd's API v3, which does not see those that 1.x kept by API v2";
        noter.note(
            Fate::Decide,
            slot.line,
            "storage",
            message,
            Some(MOVE_DTABS),
        );
    }
}

fn interfaces(root: &mut Node, noter: &mut Noter<'_>) {
    let Some(slot) = root.slot("interfaces") else {
        return;
    };
    let line = slot.line;
    let Some(list) = root.get_mut("interfaces").and_then(Node::items_mut) else {
        return;
    };
    let mut has_mesh = false;
    for (i, interface) in list.iter_mut().enumerate() {
        let key = format!("interfaces[{i}]");
        has_mesh |= interface.node.word("kind") == Some("io.l5d.mesh");
        for name in ["retryBaseSecs", "retryJitterSecs"] {
            let why = "the interface has no such key since Linkerd 1.0";
            drop_key(&mut interface.node, &key, name, why, noter);
        }
    }
    if !has_mesh {
        let mesh = Node::map()
            .with("kind", Node::text("io.l5d.mesh"))
            .with("ip", Node::plain("0.0.0.0"))
            .with("port", Node::plain("4321"));
        list.push(Slot::new(None, mesh));
        let message =
            "an interface of kind io.l5d.mesh on port 4321: node proxies follow namerd there";
        noter.note(Fate::Added, line, "interfaces", message, None);
    }
}

/// Adds namers of proxies that namerd does not have yet. Gives the index of the first one.
fn add(root: &mut Node, moved: &[Moved], setting: &Setting, noter: &mut Noter<'_>) -> usize {
    if moved.is_empty() {
        return usize::MAX;
    }
    if root.get("namers").is_none() {
        root.set("namers", Node::list(Vec::new()));
    }
    let Some(list) = root.get_mut("namers").and_then(Node::items_mut) else {
        return usize::MAX;
    };
    let first = list.len();
    for namer in moved {
        let (file, object) = (namer.file.clone(), namer.object.clone());
        let mut origin = noter.report.noter(&file, &object);
        let key = format!("namers[{}]", namer.index);
        let mut slot = namer.slot.clone();
        own_access(&mut slot.node, &key, setting, &mut origin);
        transformers(&mut slot.node, &key, &mut origin);
        if list.iter().any(|s| s.node.is_same(&slot.node)) {
            let message = "namerd has this namer already";
            origin.note(Fate::Note, slot.line, &key, message, None);
            continue;
        }
        list.push(slot);
    }
    first
}

fn read(text: &str) -> Result<(), Mistakes> {
    // Where it will run nobody knows here; what a pod has must not be missed.
    let env = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("kubernetes.default.svc".to_owned()),
        "POD_IP" => Some("192.0.2.1".to_owned()),
        _ => Some("default".to_owned()),
    };
    namerd::config::Config::read("namerd", text, &env).map(drop)
}

fn fit(
    root: &mut Node,
    tail: &[String],
    moved: &[Moved],
    first: usize,
    dtabs: &[StoredDtab],
    noter: &mut Noter<'_>,
) {
    // Lines of moved namers are lines of another file.
    let origin = |root: &Node, place: &[usize]| {
        let name = root.name_of(place);
        let is_moved = name.starts_with("namers[") && place.get(1).is_some_and(|i| *i >= first);
        match place.get(1).and_then(|i| moved.get(i - first.min(*i))) {
            Some(moved) if is_moved && first > 0 => {
                format!("{name} (of {} {})", moved.file, moved.object)
            }
            _ => name,
        }
    };
    let mut settling = Settling {
        root,
        tail,
        noter,
        program: "namerd",
        input_key: &origin,
    };
    settle(&mut settling, &read, &mut |settling, mistake, place| {
        answer(settling, mistake, place, dtabs)
    });
}

fn answer(
    settling: &mut Settling<'_, '_>,
    mistake: &Mistake,
    place: &Place,
    dtabs: &[StoredDtab],
) -> Answer {
    if !is_unknown(mistake) {
        return Answer::Refused;
    }
    let subject = subject(settling.root, place);
    let top = settling
        .root
        .slot_at(&subject[..1])
        .and_then(|s| s.key.clone());
    let is_tls = settling
        .root
        .slot_at(&subject)
        .is_some_and(|s| s.key.as_deref() == Some("tls"));
    match top.as_deref() {
        Some("storage") if subject.len() == 1 => {
            if super::settle::fate(mistake) == Fate::Dropped {
                let line = settling.root.slot_at(&subject).map_or(0, |s| s.line);
                let message = "the dtabs in this store are not moved; the result begins with those of the files only";
                let help = format!("choose a store, then {MOVE_DTABS}");
                settling
                    .noter
                    .note(Fate::Decide, line, "storage", message, Some(&help));
            }
            let mut memory = Node::map().with("kind", Node::text("io.l5d.inMemory"));
            if !dtabs.is_empty() {
                memory.set("namespaces", namespaces(dtabs));
            }
            if let Some(slots) = settling.root.slots_mut() {
                let mut slot = Slot::new(Some("storage"), memory);
                slot.is_apart = std::mem::take(&mut slots[subject[0]].is_apart);
                slots.insert(subject[0], slot);
            }
            Answer::Off(vec![subject[0] + 1])
        }
        // A server that was encrypted is not opened in plain text.
        Some("interfaces" | "admin") if is_tls => {
            Answer::Off(subject[..subject.len() - 1].to_vec())
        }
        // A namer that answered otherwise than it did would be worse than none.
        Some("namers") if subject.len() > 2 => Answer::Off(subject[..2].to_vec()),
        _ => Answer::Off(subject),
    }
}
