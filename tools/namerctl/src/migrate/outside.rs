//! Dtabs that a proxy took from a file or a ConfigMap itself (interpreters `io.l5d.fs`, `io.l5d.k8s.configMap`): namerd reads
//! them, as its store.
//!
//! Such a store is a single dtab, the namespace `default`. So it can be mapped if all of these routers read the same one and
//! nothing else wants a store; otherwise the user has to choose.

use super::input::{Found, Program};
use super::linkerd::Setting;
use super::report::{Fate, Noter};
use super::tree::Node;

/// Keys of the interpreters that namerd's stores of the same kinds have.
const FILE: &[&str] = &["dtabFile"];
const CONFIG_MAP: &[&str] = &["host", "port", "namespace", "name", "filename"];

/// The store that an interpreter stands for; `None`: it reads no dtab itself.
fn store_of(interpreter: &Node) -> Option<Node> {
    let kind = interpreter.word("kind")?;
    let keys = match kind {
        "io.l5d.fs" => FILE,
        "io.l5d.k8s.configMap" => CONFIG_MAP,
        _ => return None,
    };
    let store = Node::map().with("kind", Node::text(kind));
    let copy = |store: Node, key: &&str| match interpreter.get(key) {
        Some(value) => store.with(key, value.clone()),
        None => store,
    };
    Some(keys.iter().fold(store, copy))
}

/// The one store that all such routers read, if no namerd with a store of its own is there.
pub(super) fn store(found: &[Found]) -> Option<Node> {
    if found.iter().any(|f| f.program == Program::Namerd) {
        return None;
    }
    let routers = found
        .iter()
        .filter_map(|f| f.root.get("routers"))
        .flat_map(Node::items);
    let mut stores = routers.filter_map(|slot| store_of(slot.node.get("interpreter")?));
    let first = stores.next()?;
    stores.all(|other| other.is_same(&first)).then_some(first)
}

/// Makes the router ask namerd in the place of such an interpreter.
pub(super) fn convert(
    router: &mut Node,
    key: &str,
    line: usize,
    setting: &Setting,
    noter: &mut Noter<'_>,
) {
    let label = router.word("label").unwrap_or("default").to_owned();
    let Some(interpreter) = router.get_mut("interpreter") else {
        return;
    };
    let root = match &setting.store {
        Some(store) => {
            moved(store, key, line, setting, noter);
            "default"
        }
        None => {
            ask(interpreter, &label, key, line, noter);
            label.as_str()
        }
    };
    let mut new = Node::map()
        .with("kind", Node::text("io.l5d.mesh"))
        .with("dst", Node::text(&setting.dst()))
        .with("root", Node::text(&format!("/{root}")));
    if let Some(transformers) = interpreter.get("transformers") {
        new.set("transformers", transformers.clone());
    }
    router.set("interpreter", new);
}

/// The source as its configuration says it: `dtabFile: /a.dtab`.
fn words(of: &Node) -> (Vec<&str>, String) {
    let keys = ["dtabFile", "name", "filename"];
    let named = keys.iter().filter_map(|k| Some((k, of.word(k)?)));
    let (words, said): (Vec<_>, Vec<_>) = named.map(|(k, v)| (v, format!("{k}: {v}"))).unzip();
    (words, said.join(", "))
}

fn moved(store: &Node, key: &str, line: usize, setting: &Setting, noter: &mut Noter<'_>) {
    let kind = store.word("kind").unwrap_or_default();
    let (words, _) = words(store);
    let what = words.join(" ");
    let message = format!(
        "`{kind}` is namerd's store now: namerd reads the dtab of {what}, as the namespace `default`, in which this router asks"
    );
    // In pods namerd sees neither the file nor, without a right of its own, the ConfigMap.
    let (fate, help) = match (setting.is_in_cluster, kind) {
        (true, "io.l5d.fs") => (
            Fate::Decide,
            format!("mount the volume with {what} into namerd's pods"),
        ),
        (true, _) => (
            Fate::Decide,
            "check that namerd's service account may list and watch configmaps there".to_owned(),
        ),
        (false, "io.l5d.fs") => (
            Fate::Changed,
            format!("{what} must be where namerd runs, and is read again when it changes"),
        ),
        (false, _) => (
            Fate::Changed,
            "namerd needs the right to list and watch configmaps there".to_owned(),
        ),
    };
    noter.note(fate, line, key, message, Some(&help));
}

fn ask(interpreter: &Node, label: &str, key: &str, line: usize, noter: &mut Noter<'_>) {
    let kind = interpreter.word("kind").unwrap_or_default();
    let (words, said) = words(interpreter);
    let help = format!(
        "put that dtab into namerd's store: namerctl dtab create {label} FILE. Or let namerd read it, as its only store, \
         which is the namespace `default`: storage: {{kind: {kind}, {said}}}, and `root: /default` here"
    );
    let message = format!(
        "`{kind}` read the dtab of {} itself; it belongs to namerd, as the namespace `{label}`",
        words.join(" ")
    );
    noter.note(Fate::Decide, line, key, message, Some(&help));
}
