//! `identifier` (node-proxy 7).

use l5d_config::{Field, Kinds, Reader, Section};

use super::scalar::{count, flag, header};
use crate::config::{Identifier, IngressRules, Protocol};

const ISTIO: &str = "is for APIs of Istio before 1.0, which no longer exist";

const IDENTIFIERS: Kinds = Kinds {
    what: "identifier",
    known: &[
        "io.l5d.header.token",
        "io.l5d.header",
        "io.l5d.header.path",
        "io.l5d.methodAndHost",
        "io.l5d.path",
        "io.l5d.static",
        "io.l5d.ingress",
    ],
    others: &[
        ("io.l5d.k8s.istio", ISTIO),
        ("io.l5d.k8s.istio-ingress", ISTIO),
    ],
};

/// One or several. `None` only with a mistake.
pub(super) fn read(
    field: Field<'_>,
    protocol: Protocol,
    reader: &Reader,
) -> Option<Vec<Identifier>> {
    if !field.is_present() {
        return Some(vec![protocol.identifier()]);
    }
    if !field.is_list() {
        return Some(vec![one(field.section()?, protocol)?]);
    }
    let spot = field.spot();
    let sections = field.sections()?;
    if sections.is_empty() {
        let message = "`identifier` is an empty list: no request would have a name";
        reader.mistake(spot, message, None);
    }
    let found: Vec<_> = sections.into_iter().map(|s| one(s, protocol)).collect();
    let found: Vec<_> = found.into_iter().collect::<Option<_>>()?;
    let class = |i: &Identifier| match i {
        Identifier::Ingress(rules) => Some(rules.class.clone()),
        _ => None,
    };
    let mut classes = found.iter().filter_map(class);
    if let Some(first) = classes.next()
        && classes.any(|other| other != first)
    {
        let message = "the io.l5d.ingress identifiers of a router must have one class";
        reader.mistake(spot, message, None);
    }
    Some(found)
}

fn one(mut section: Section<'_>, protocol: Protocol) -> Option<Identifier> {
    let kind = section.kind(&IDENTIFIERS)?;
    let named = |default: &str| {
        let field = section.key("header");
        match field.is_present() {
            true => header(field, &section),
            false => Some(default.to_owned()),
        }
    };
    match kind {
        "io.l5d.header.token" => {
            let Identifier::HeaderToken { header, .. } = protocol.identifier() else {
                return None;
            };
            let folds_case = flag(&section, "lowerCase", false);
            named(&header).map(|header| Identifier::HeaderToken { header, folds_case })
        }
        "io.l5d.header" => named("l5d-name").map(|header| Identifier::Header { header }),
        "io.l5d.header.path" => {
            let field = section.key("segments");
            let segments = count(field, 1);
            named(":path").map(|header| Identifier::HeaderPath { header, segments })
        }
        "io.l5d.methodAndHost" => Some(method_and_host(&section)),
        "io.l5d.path" => Some(Identifier::Path {
            segments: count(section.key("segments"), 1).unwrap_or(1),
            consumes: flag(&section, "consume", false),
        }),
        "io.l5d.static" => {
            let path = section.need("path").path();
            path.map(|path| Identifier::Static { path })
        }
        _ => Some(ingress(&section)),
    }
}

fn method_and_host(section: &Section<'_>) -> Identifier {
    let field = section.key("httpUriInDst");
    let spot = field.spot();
    let has_uri = field.boolean().unwrap_or(false);
    if has_uri {
        let message = "`httpUriInDst`: every URI is a name of its own, with metrics and cache entries of its own";
        section.reader().warn(spot, message, None);
    }
    Identifier::MethodAndHost { has_uri }
}

fn ingress(section: &Section<'_>) -> Identifier {
    const WHY: &str = "namerd watches the Kubernetes API";
    section.legacy("host", WHY);
    section.legacy("port", WHY);
    let class = section.key("ingressClassAnnotation").string();
    Identifier::Ingress(IngressRules {
        namespace: section.key("namespace").string(),
        class: class.unwrap_or_else(|| "linkerd".to_owned()),
        ignores_default_backends: flag(section, "ignoreDefaultBackends", false),
    })
}
