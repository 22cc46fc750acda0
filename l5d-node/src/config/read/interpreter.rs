//! Who binds a router's names (node-proxy 12.1, 12.6).

use std::time::Duration;

use l5d_config::{Field, Kinds, Section, transformers};
use l5d_naming::Path;

use super::NOT_YET;
use crate::config::Interpreter;
use crate::config::router::LONGEST_WAIT;

/// Where namerd serves the resolver API, unless the configuration says otherwise.
const RESOLVER_PORT: u16 = 4321;

const MOVED: &str = "reads dtabs itself, which now belongs to namerd's stores; `namerctl migrate FILE` splits the configuration";

const KINDS: Kinds = Kinds {
    what: "interpreter",
    known: &[
        "default",
        "io.l5d.mesh",
        "io.l5d.namerd",
        "io.l5d.namerd.http",
    ],
    others: &[
        ("io.l5d.fs", MOVED),
        ("io.l5d.k8s.configMap", MOVED),
        ("io.l5d.consul.interpreter", NOT_YET),
        ("io.l5d.static", NOT_YET),
        ("io.l5d.subnet", NOT_YET),
    ],
};

pub(super) fn read(field: Field<'_>) -> Option<Interpreter> {
    if !field.is_present() {
        return Some(Interpreter::default());
    }
    let mut section = field.section()?;
    let kind = section.kind(&KINDS)?;
    let mut interpreter = Interpreter {
        kind: kind.to_owned(),
        transformers: transformers(section.key("transformers")),
        ..Interpreter::default()
    };
    let is_experimental = section.key("experimental").boolean().unwrap_or(false);
    if kind == "default" {
        return Some(interpreter);
    }
    if kind == "io.l5d.namerd.http" && !is_experimental {
        let message =
            "the io.l5d.namerd.http interpreter is experimental: it needs `experimental: true`";
        section.reader().mistake(section.spot(), message, None);
    }
    let root = if kind == "io.l5d.mesh" {
        root(&section)
    } else {
        namespace(&section)
    };
    let dst = destinations(&section, kind);
    interpreter.retry_max = retry(&section);
    without_effect(&section, kind);
    interpreter.tls = match kind {
        "io.l5d.namerd" => l5d_tls::read::small_client(section.key("tls")),
        _ => l5d_tls::read::client(section.key("tls")),
    };
    interpreter.token_file = section.key("tokenFile").string().map(Into::into);
    interpreter.dst = dst?;
    interpreter.root = Some(root?);
    Some(interpreter)
}

/// `root` of the mesh kind: a path of one element.
fn root(section: &Section<'_>) -> Option<String> {
    let field = section.key("root");
    let (is_there, spot) = (field.is_present(), field.spot());
    let Some(path) = field.path() else {
        return (!is_there).then(|| "default".to_owned());
    };
    match path.elems() {
        [root] => Some(root.to_text().into_owned()),
        _ => {
            let message = format!("root {path} must have one element, such as /default");
            section.reader().mistake(spot, message, None);
            None
        }
    }
}

/// `namespace` of the other kinds: a label.
fn namespace(section: &Section<'_>) -> Option<String> {
    let field = section.key("namespace");
    let (is_there, spot) = (field.is_present(), field.spot());
    let Some(namespace) = field.string() else {
        return (!is_there).then(|| "default".to_owned());
    };
    let is_label = Path::parse(&format!("/{namespace}")).is_ok_and(|p| p.len() == 1);
    if !is_label {
        let message = format!("namespace `{}` is not a label", namespace.escape_debug());
        section.reader().mistake(spot, message, None);
    }
    is_label.then_some(namespace)
}

/// `dst`: `/$/inet/HOST/PORT`, or a list of them.
pub(super) fn destinations(section: &Section<'_>, kind: &str) -> Option<Vec<(String, u16)>> {
    let resolver_port = if kind == "io.l5d.mesh" {
        None
    } else {
        Some(section.key("resolverPort").port().unwrap_or(RESOLVER_PORT))
    };
    let field = section.need("dst");
    let spot = field.spot();
    let fields = if field.is_list() {
        field.list()?
    } else if field.is_present() {
        vec![field]
    } else {
        return None;
    };
    if fields.is_empty() {
        section
            .reader()
            .mistake(spot, "`dst` is an empty list", None);
    }
    let found: Vec<_> = fields
        .into_iter()
        .map(|field| destination(field, section, resolver_port))
        .collect();
    found.into_iter().collect()
}

fn destination(
    field: Field<'_>,
    section: &Section<'_>,
    resolver_port: Option<u16>,
) -> Option<(String, u16)> {
    let spot = field.spot();
    let path = field.path()?;
    let elems: Vec<_> = path.elems().iter().map(|e| e.to_text()).collect();
    let found = match elems.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        ["$", "inet", host, port] => port.parse().ok().map(|port: u16| (host.to_owned(), port)),
        _ => None,
    };
    let Some((host, port)) = found.filter(|(_, port)| *port != 0) else {
        let message = format!("dst {path} must be /$/inet/HOST/PORT");
        section.reader().mistake(spot, message, None);
        return None;
    };
    let Some(resolver_port) = resolver_port.filter(|p| *p != port) else {
        return Some((host, port));
    };
    let message = format!("{host} is followed on port {resolver_port} instead of {port}");
    section.reader().warn(spot, message, None);
    Some((host, resolver_port))
}

/// `retry`: only a `maxSeconds` below our own longest wait has an effect.
fn retry(section: &Section<'_>) -> Duration {
    let Some(retry) = section.key("retry").section() else {
        return LONGEST_WAIT;
    };
    retry.legacy("baseSeconds", "the wait begins at half a second");
    let field = retry.key("maxSeconds");
    let spot = field.key_spot();
    match field.secs() {
        Some(max) if max < LONGEST_WAIT => max,
        Some(_) => {
            let message = "`maxSeconds` has no effect: the longest wait is 30 s";
            retry.reader().warn(spot, message, None);
            LONGEST_WAIT
        }
        None => LONGEST_WAIT,
    }
}

fn without_effect(section: &Section<'_>, kind: &str) {
    const WHY: &str = "the stream is watched by heartbeats and has a window of its own";
    if kind == "io.l5d.namerd.http" {
        return;
    }
    if let Some(threshold) = section.key("failureThreshold").section() {
        threshold.legacy("minPeriodMs", WHY);
        threshold.legacy("closeTimeoutMs", WHY);
    }
    if kind == "io.l5d.mesh" {
        section.legacy("initialStreamWindowSizeKB", WHY);
    }
}
