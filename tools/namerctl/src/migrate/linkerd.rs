//! A Linkerd 1.x configuration to one of `l5d-node`: namers go to namerd, the rest stays, what cannot be used yet is set
//! aside in a way that never makes a router less strict than it was.

use std::collections::BTreeSet;

use l5d_config::{Mistake, Mistakes};
use l5d_naming::{Dtab, Path};

use super::emit;
use super::report::{Fate, Noter};
use super::routers::{self, closed, drop_key};
use super::settle::{Answer, Settling, is_unknown, settle, subject};
use super::tree::{Node, Place, Slot};

/// What the user chose.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The namerd that nodes without one of their own follow.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether dtabs of routers move into namerd's store.
    pub(crate) stores_dtabs: bool,
    /// namerd's store, if it is the dtab that routers took from a file or a ConfigMap.
    pub(crate) store: Option<Node>,
    /// Whether the programs run in pods with access to the API server.
    pub(crate) is_in_cluster: bool,
}

/// A dtab for namerd's store.
#[derive(Clone, Debug)]
pub(crate) struct StoredDtab {
    pub(crate) namespace: String,
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// What a Linkerd configuration had besides what the node keeps.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Items of `namers`, with their index there.
    pub(crate) namers: Vec<(usize, Slot)>,
    pub(crate) dtabs: Vec<StoredDtab>,
    /// Whether a router follows the namerd of the command line.
    pub(crate) needs_namerd: bool,
}

impl Setting {
    pub(crate) fn dst(&self) -> String {
        format!("/$/inet/{}/{}", self.host, self.port)
    }
}

/// Converts a configuration in place.
pub(crate) fn convert(
    root: &mut Node,
    tail: &[String],
    setting: &Setting,
    noter: &mut Noter<'_>,
) -> Parts {
    let mut parts = Parts::default();
    if let Some(usage) = root.remove("usage") {
        let why = "usage is never reported to anybody";
        noter.note(Fate::Dropped, usage.line, "usage", why, None);
    }
    drop_key(
        root,
        "",
        "announcers",
        "announcing was for ZooKeeper server sets",
        noter,
    );
    if let Some(mut namers) = root.remove("namers") {
        // Their place among the sections is kept by what follows; their comments go with them.
        let above = std::mem::take(&mut namers.above);
        for (i, slot) in namers.node.items().iter().enumerate() {
            let mut slot = slot.clone();
            if i == 0 {
                slot.above.splice(0..0, above.clone());
            }
            let message = "moved to namerd's configuration, which watches for all nodes";
            noter.note(
                Fate::Moved,
                slot.line,
                &format!("namers[{i}]"),
                message,
                None,
            );
            parts.namers.push((i, slot));
        }
    }
    if let Some(list) = root.get_mut("routers").and_then(Node::items_mut) {
        for (i, router) in list.iter_mut().enumerate() {
            let key = format!("routers[{i}]");
            let needs = &mut parts.needs_namerd;
            let stored = routers::convert(&mut router.node, &key, setting, needs, noter);
            parts.dtabs.extend(stored);
        }
    }
    fit(root, tail, noter);
    parts
}

fn read(text: &str) -> Result<(), Mistakes> {
    l5d_node::config::read("l5d-node", text).map(drop)
}

fn fit(root: &mut Node, tail: &[String], noter: &mut Noter<'_>) {
    let origin = |root: &Node, place: &[usize]| root.name_of(place);
    let mut closed = BTreeSet::new();
    let mut settling = Settling {
        root,
        tail,
        noter,
        program: "l5d-node",
        input_key: &origin,
    };
    settle(&mut settling, &read, &mut |settling, mistake, place| {
        answer(settling, mistake, place, &mut closed)
    });
}

/// A router without its identifier, protocol or TLS would name or show requests otherwise than it did: it is closed. Keys
/// that only make it better at its work are set aside.
fn answer(
    settling: &mut Settling<'_, '_>,
    mistake: &Mistake,
    place: &Place,
    closed: &mut BTreeSet<usize>,
) -> Answer {
    if !is_unknown(mistake) {
        return Answer::Refused;
    }
    let subject = subject(settling.root, place);
    let top = name(settling.root, &subject[..1]);
    let is_guard = ["tls", "security"].contains(&name(settling.root, &subject).as_str());
    if top == "admin" && is_guard {
        let line = settling.root.slot_at(&subject[..1]).map_or(0, |s| s.line);
        let message = "the admin server keeps to loopback, port 9990, its default: it could not be protected as before";
        let help = "probes and scrapers from elsewhere do not reach it until then";
        settling
            .noter
            .note(Fate::Changed, line, "admin", message, Some(help));
        return Answer::Off(vec![subject[0]]);
    }
    if top != "routers" || subject.len() < 3 {
        return Answer::Off(subject);
    }
    let router = subject[1];
    if closed.contains(&router) {
        return Answer::Refused;
    }
    let mut names = (3..=subject.len()).map(|n| name(settling.root, &subject[..n]));
    let part = name(settling.root, &subject[..3]);
    let is_strict = matches!(part.as_str(), "protocol" | "identifier" | "interpreter");
    let is_global_client = part == "client" && subject.len() == 4;
    let guards = names.any(|n| matches!(n.as_str(), "tls" | "requestAuthorizers"));
    if is_strict || (guards && (part != "client" || is_global_client)) {
        closed.insert(router);
        close(settling, router, mistake);
        return Answer::Done;
    }
    if part != "client" {
        return Answer::Off(subject);
    }
    match guarded(settling.root, router) {
        Some(paths) => {
            block(settling, router, &paths);
            Answer::Off(subject)
        }
        None => {
            closed.insert(router);
            close(settling, router, mistake);
            Answer::Done
        }
    }
}

fn name(root: &Node, place: &[usize]) -> String {
    let slot = root.slot_at(place);
    slot.and_then(|s| s.key.clone()).unwrap_or_default()
}

fn close(settling: &mut Settling<'_, '_>, router: usize, mistake: &Mistake) {
    let Some(list) = settling.root.get_mut("routers").and_then(Node::items_mut) else {
        return;
    };
    let Some(slot) = list.get_mut(router) else {
        return;
    };
    let message = format!("l5d-node: {}", mistake.message);
    let was = emit::document(&slot.node, &[]).text();
    *slot = closed(slot, &message, &was);
    let line = slot.line;
    let help = "the whole router waits: without this it would name or protect requests otherwise than before. A stand-in \
                with its label and ports answers with an error; the router is a comment above it";
    let key = format!("routers[{router}]");
    settling.noter.note(
        super::settle::fate(mistake),
        line,
        &key,
        message,
        Some(help),
    );
}

/// The beginnings of bound names that a router's client spoke TLS to. `None` if they cannot be told apart by a dtab.
fn guarded(root: &Node, router: usize) -> Option<Vec<String>> {
    let client = root
        .get("routers")?
        .items()
        .get(router)?
        .node
        .get("client")?;
    if client.get("tls").is_some() {
        return None;
    }
    let configs = client.get("configs").map_or(&[][..], Node::items);
    let with_tls = configs.iter().filter(|c| c.node.get("tls").is_some());
    with_tls
        .map(|config| {
            let prefix = config.node.word("prefix")?;
            let is_literal = |elem: &&str| !elem.contains(['{', '}']);
            let elems = prefix.split('/').filter(|e| !e.is_empty());
            let elems: Vec<&str> = elems.take_while(is_literal).collect();
            let path = format!("/{}", elems.join("/"));
            // `/%/...` is the name of a transformed set, which no dtab sees.
            let is_seen = matches!(elems.first(), Some(&"#" | &"$")) && elems.len() > 1;
            let path = path.replace("/*", "/a");
            (is_seen && Path::parse(&path).is_ok()).then(|| format!("/{}", elems.join("/")))
        })
        .collect()
}

/// Forbids names in a router's dtab.
fn block(settling: &mut Settling<'_, '_>, router: usize, paths: &[String]) {
    let list = settling.root.get_mut("routers").and_then(Node::items_mut);
    let Some(slot) = list.and_then(|l| l.get_mut(router)) else {
        return;
    };
    let mut dtab = slot
        .node
        .word("dtab")
        .unwrap_or_default()
        .trim_end()
        .to_owned();
    let line = slot.node.slot("dtab").map_or(slot.line, |s| s.line);
    for path in paths {
        let entry = format!("{path} => ! ;");
        if dtab.contains(&entry) {
            continue;
        }
        // A comment may stand behind the last entry, so the separator goes on a line of its own.
        let sep = if Dtab::parse(&format!("{dtab}\n;")).is_ok() {
            ";\n"
        } else {
            ""
        };
        dtab = format!(
            "{dtab}\n{sep}{entry} # TLS to these is not supported yet, and without it nothing may be sent"
        );
        let message = format!(
            "`{path} => !` is added: the router spoke TLS to these names, which l5d-node cannot yet"
        );
        let help = "requests for them are answered with an error instead of being sent unencrypted";
        let key = format!("routers[{router}].dtab");
        settling
            .noter
            .note(Fate::Added, line, &key, message, Some(help));
    }
    let dtab = format!("{}\n", dtab.trim_start_matches('\n'));
    slot.node.set("dtab", Node::text(&dtab));
}
