//! One router of a Linkerd 1.x configuration: who binds its names, and keys that have no counterpart.

use l5d_naming::Path;

use super::linkerd::{Setting, StoredDtab};
use super::outside;
use super::report::{Fate, Noter};
use super::tree::{Node, Slot, Style, Value};

/// Where namerd serves what nodes follow.
const RESOLVER_PORT: &str = "4321";

/// Converts a router in place. Gives the dtab that it had and that is stored from now on, if there is one.
pub(super) fn convert(
    router: &mut Node,
    key: &str,
    setting: &Setting,
    needs_namerd: &mut bool,
    noter: &mut Noter<'_>,
) -> Option<StoredDtab> {
    if router.get("dtab").is_none()
        && let Some(old) = router.slot("baseDtab")
    {
        let (line, was) = (old.line, format!("{key}.baseDtab"));
        router.rename("baseDtab", "dtab");
        noter.note(Fate::Changed, line, &was, "called `dtab` now", None);
    }
    for (name, why) in [
        ("announcers", "announcing was for ZooKeeper server sets"),
        ("compressionLevel", "responses are never compressed"),
    ] {
        drop_key(router, key, name, why, noter);
    }
    if let Some(servers) = router.get_mut("servers").and_then(Node::items_mut) {
        for (i, server) in servers.iter_mut().enumerate() {
            let key = format!("{key}.servers[{i}]");
            let why = "metrics call a server by its ip and port";
            drop_key(&mut server.node, &key, "label", why, noter);
            drop_key(
                &mut server.node,
                &key,
                "announce",
                "nothing is announced",
                noter,
            );
        }
    }
    interpreter(router, key, setting, needs_namerd, noter)
}

/// Takes out a key that has no effect.
pub(super) fn drop_key(node: &mut Node, of: &str, key: &str, why: &str, noter: &mut Noter<'_>) {
    if let Some(slot) = node.remove(key) {
        let name = if of.is_empty() {
            key.to_owned()
        } else {
            format!("{of}.{key}")
        };
        noter.note(Fate::Dropped, slot.line, &name, why, None);
    }
}

/// The access to the API server that transformers had; namerd runs them and has its own.
pub(super) fn transformers(of: &mut Node, key: &str, noter: &mut Noter<'_>) {
    let Some(list) = of.get_mut("transformers").and_then(Node::items_mut) else {
        return;
    };
    for (i, transformer) in list.iter_mut().enumerate() {
        let key = format!("{key}.transformers[{i}]");
        let why = "namerd runs the transformer, with its own access to the API server";
        drop_key(&mut transformer.node, &key, "k8sHost", why, noter);
        drop_key(&mut transformer.node, &key, "k8sPort", why, noter);
    }
}

fn interpreter(
    router: &mut Node,
    key: &str,
    setting: &Setting,
    needs_namerd: &mut bool,
    noter: &mut Noter<'_>,
) -> Option<StoredDtab> {
    let key = format!("{key}.interpreter");
    let kind = router.at(&["interpreter", "kind"]).and_then(Node::str);
    let kind = kind.unwrap_or("default").to_owned();
    let line = router.slot("interpreter").map_or(0, |s| s.line);
    if let Some(interpreter) = router.get_mut("interpreter") {
        transformers(interpreter, &key, noter);
    }
    match kind.as_str() {
        "default" => {
            *needs_namerd = true;
            if setting.stores_dtabs {
                return stored(router, &key, setting, noter);
            }
        }
        "io.l5d.namerd" | "io.l5d.namerd.http" => {
            if let Some(interpreter) = router.get_mut("interpreter") {
                to_mesh(interpreter, &key, &kind, noter);
            }
        }
        "io.l5d.fs" | "io.l5d.k8s.configMap" => {
            *needs_namerd = true;
            outside::convert(router, &key, line, setting, noter);
        }
        _ => {}
    }
    None
}

/// `io.l5d.namerd` and `io.l5d.namerd.http` become the mesh interpreter, which asks in the same namespace.
fn to_mesh(interpreter: &mut Node, key: &str, kind: &str, noter: &mut Noter<'_>) {
    let line = interpreter.slot("kind").map_or(0, |s| s.line);
    interpreter.set("kind", Node::text("io.l5d.mesh"));
    let message = format!(
        "`{kind}` becomes `io.l5d.mesh`: nodes follow namerd's resolver API, which that interface serves"
    );
    noter.note(Fate::Changed, line, &format!("{key}.kind"), message, None);
    if let Some(slot) = interpreter.slot("namespace") {
        let (line, namespace) = (slot.line, slot.node.str().unwrap_or("default").to_owned());
        interpreter.set("namespace", Node::text(&format!("/{namespace}")));
        interpreter.rename("namespace", "root");
        let message = format!("`namespace: {namespace}` is `root: /{namespace}`");
        noter.note(
            Fate::Changed,
            line,
            &format!("{key}.namespace"),
            message,
            None,
        );
    }
    if let Some(tls) = interpreter.get_mut("tls")
        && let Some(ca) = tls.slot("caCert")
    {
        let line = ca.line;
        tls.rename("caCert", "trustCertsBundle");
        let key = format!("{key}.tls.caCert");
        noter.note(
            Fate::Changed,
            line,
            &key,
            "called `trustCertsBundle` now",
            None,
        );
    }
    if let Some(slot) = interpreter.slot("dst") {
        let (line, dst) = (slot.line, slot.node.str().unwrap_or_default().to_owned());
        destination(interpreter, &format!("{key}.dst"), line, &dst, noter);
    }
}

fn destination(interpreter: &mut Node, key: &str, line: usize, dst: &str, noter: &mut Noter<'_>) {
    let path = Path::parse(dst).ok();
    let elems: Vec<String> = path.map_or(Vec::new(), |path| {
        path.elems()
            .iter()
            .map(|e| e.to_text().into_owned())
            .collect()
    });
    let [dollar, inet, host, port] = elems.as_slice() else {
        let message = format!("`{dst}` is no address: a node finds its namerd by host and port");
        let help = "write `/$/inet/HOST/4321`, or a list of them";
        noter.note(Fate::Decide, line, key, message, Some(help));
        return;
    };
    if dollar != "$" || inet != "inet" || port == RESOLVER_PORT {
        return;
    }
    let new = format!("/$/inet/{host}/{RESOLVER_PORT}");
    interpreter.set("dst", Node::text(&new));
    let message = format!("{host} is followed on port {RESOLVER_PORT} instead of {port}");
    let help = matches!(port.as_str(), "4100" | "4180")
        .then_some("namerd needs an interface of kind io.l5d.mesh on it");
    let help = help.or(Some(
        "check that namerd's io.l5d.mesh interface listens there",
    ));
    noter.note(Fate::Changed, line, key, message, help);
}

/// The router's dtab becomes a namespace of namerd's store.
fn stored(
    router: &mut Node,
    key: &str,
    setting: &Setting,
    noter: &mut Noter<'_>,
) -> Option<StoredDtab> {
    let protocol = router.word("protocol").unwrap_or("http").to_owned();
    let label = router.word("label").unwrap_or(&protocol).to_owned();
    let slot = router.remove("dtab")?;
    let text = slot.node.str().unwrap_or_default().to_owned();
    let dtab_key = format!("{}.dtab", key.trim_end_matches(".interpreter"));
    let message = format!("stored as the namespace `{label}`");
    noter.note(Fate::Moved, slot.line, &dtab_key, message, None);
    let mut interpreter = Node::map()
        .with("kind", Node::text("io.l5d.mesh"))
        .with("dst", Node::text(&setting.dst()))
        .with("root", Node::text(&format!("/{label}")));
    if let Some(old) = router.remove("interpreter") {
        let message = "`default` becomes `io.l5d.mesh`: the dtab is in namerd's store";
        noter.note(
            Fate::Changed,
            old.line,
            &format!("{key}.kind"),
            message,
            None,
        );
        if let Some(transformers) = old.node.get("transformers") {
            interpreter.set("transformers", transformers.clone());
        }
    }
    router.set("interpreter", interpreter);
    Some(StoredDtab {
        namespace: label,
        text,
        line: slot.line,
    })
}

/// What stands in for a router that would do something else than it did: it has the same label and ports, and answers
/// every request with an error. The router as it was stands above it as a comment.
pub(super) fn closed(slot: &Slot, reason: &str, emitted: &str) -> Slot {
    let old = &slot.node;
    let protocol = old.word("protocol").unwrap_or("http");
    let label = old.word("label").unwrap_or(protocol);
    let port = match protocol {
        "h2" => "4142",
        "mux" => "4141",
        "thrift" => "4114",
        "thriftmux" => "4144",
        _ => "4140",
    };
    let servers = old.get("servers").map_or(&[][..], Node::items);
    let servers = servers.iter().filter(|s| !s.is_off).map(|server| {
        let mut new = Node::map();
        let port = server.node.word("port").unwrap_or(port);
        new.set("port", Node::plain(port));
        if let Some(ip) = server.node.get("ip") {
            new.set("ip", ip.clone());
        }
        new
    });
    let mut new = Node::map()
        .with("protocol", Node::text("http"))
        .with("label", Node::text(label))
        .with("servers", Node::list(servers.collect()))
        .with("dtab", quoted("/ => !"));
    if old.at(&["interpreter", "kind"]).and_then(Node::str) == Some("io.l5d.mesh") {
        let mut interpreter = Node::map().with("kind", Node::text("io.l5d.mesh"));
        for key in ["dst", "root"] {
            if let Some(value) = old.at(&["interpreter", key]) {
                interpreter.set(key, value.clone());
            }
        }
        new.set("interpreter", interpreter);
    }
    let mut above = slot.above.clone();
    above.push(format!("# {reason}"));
    above.push(
        "# Until then this stands in for the router: requests are answered with an error. It was:"
            .to_owned(),
    );
    above.extend(
        emitted
            .lines()
            .map(|l| format!("#   {l}").trim_end().to_owned()),
    );
    Slot {
        node: new,
        above,
        beside: None,
        ..slot.clone()
    }
}

fn quoted(text: &str) -> Node {
    let mut node = Node::text(text);
    if let Value::Scalar(scalar) = &mut node.value {
        scalar.style = Style::Single;
    }
    node
}
