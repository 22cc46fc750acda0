//! `DTab`, the custom resource `dtabs.l5d.io`: how it looks in the API, and what of it is kept.
//!
//! The types are also the schema of the CustomResourceDefinition ([`super::crd`]): what they do not declare, the API server
//! prunes.

use std::sync::Arc;

use l5d_naming::{Dentry, Dtab, NameTree, Path, Prefix};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::k8s::decode::{self, Decoded, WireMeta};
use crate::store::services::ObjectName;

/// The API group and version, as in objects.
pub(super) const API_VERSION: &str = "l5d.io/v1alpha1";
/// The annotation that holds earlier versions.
pub(super) const HISTORY: &str = "l5d.io/history";

/// A delegation table of Linkerd; its dtab namespace is the object's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[allow(
    dead_code,
    reason = "read for its schema: objects are read field by field"
)]
pub(super) struct DTab {
    /// The rules; the later ones are tried first.
    #[schemars(length(max = 10_000), extend("x-kubernetes-list-type" = "atomic"))]
    pub(super) dentries: Vec<WireDentry>,
    /// What namerd makes of the table; written by namerd.
    pub(super) status: Option<DTabStatus>,
}

/// One rule: names that begin with the prefix are looked up as the destination instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.prefix.startsWith('/')",
    "message": "a prefix is a path and begins with '/', such as /svc",
    "fieldPath": ".prefix",
}]))]
pub(super) struct WireDentry {
    /// The prefix of names that the rule is for, such as /svc; an element may be *.
    #[schemars(length(min = 1, max = 4_096))]
    pub(super) prefix: String,
    /// Where they lead, such as /#/io.l5d.k8s/default/http, or 0.9*/srv/web & 0.1*/srv/web-v2.
    #[schemars(length(min = 1, max = 65_536), regex(pattern = r"\S"))]
    pub(super) dst: String,
}

/// What namerd makes of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DTabStatus {
    /// The generation of the object that this is about.
    #[schemars(range(min = 0))]
    pub(super) observed_generation: Option<i64>,
    /// Whether the table can be read; if not, the last good one is served.
    pub(super) valid: bool,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// How many rules it has.
    #[schemars(range(min = 0))]
    pub(super) entries: i32,
}

/// What is kept of one object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) uid: Arc<str>,
    /// The version as text: a token.
    pub(super) version: Arc<str>,
    /// The same as a number; 0 if it is none.
    pub(super) order: u64,
    pub(super) generation: Option<i64>,
    /// Rules in the object, readable or not.
    pub(super) entries: usize,
    /// The table, or why there is none.
    pub(super) dtab: Result<Dtab, Arc<str>>,
    pub(super) history: Option<Arc<str>>,
    pub(super) status: Option<DTabStatus>,
}

#[derive(Deserialize)]
struct Object {
    metadata: WireMeta,
    #[serde(default)]
    dentries: serde_json::Value,
    #[serde(default)]
    status: serde_json::Value,
}

/// Reads one object. `Err`: not even its name can be read.
pub(super) fn read(raw: &str) -> Result<Decoded<Stored>, String> {
    let object: Object = decode::parse(raw)?;
    let meta = object.metadata;
    if meta.name.is_empty() {
        return Err("metadata.name is missing".to_owned());
    }
    let dtab = dtab(&object.dentries);
    let version = meta.resource_version;
    Ok(Decoded {
        name: ObjectName::new(meta.namespace.unwrap_or_default(), meta.name.as_str()),
        error: dtab.as_ref().err().cloned(),
        lag: None,
        rv: version.clone(),
        object: Stored {
            name: meta.name,
            uid: meta.uid.unwrap_or_default().into(),
            order: decode::order(&version),
            version: version.into(),
            generation: meta.generation,
            entries: object.dentries.as_array().map_or(0, Vec::len),
            dtab: dtab.map_err(Into::into),
            history: meta
                .annotations
                .and_then(|a| a.dtab_history)
                .map(Into::into),
            status: serde_json::from_value(object.status).ok(),
        },
    })
}

/// `dentries`; absent or null is an empty table, as Linkerd 1.x wrote it.
fn dtab(dentries: &serde_json::Value) -> Result<Dtab, String> {
    if dentries.is_null() {
        return Ok(Dtab::empty());
    }
    let wire: Vec<WireDentry> =
        Deserialize::deserialize(dentries).map_err(|e| format!("dentries: {e}"))?;
    let entry = |(at, wire): (usize, &WireDentry)| {
        let wrong = |what: &str, e: l5d_naming::ParseError| format!("dentries[{at}].{what}: {e}");
        Ok(Dentry {
            prefix: Prefix::parse(wire.prefix.trim()).map_err(|e| wrong("prefix", e))?,
            dst: NameTree::<Path>::parse(&wire.dst).map_err(|e| wrong("dst", e))?,
        })
    };
    let entries: Result<Vec<_>, String> = wire.iter().enumerate().map(entry).collect();
    let dtab = Dtab::from_entries(entries?);
    // The bounds of a whole table hold here as for one that comes as text.
    Dtab::parse(&dtab.show_exact()).map_err(|e| e.to_string())
}

/// The entries of a table as they are written; weights lose nothing.
pub(super) fn dentries(dtab: &Dtab) -> Vec<WireDentry> {
    let entry = |dentry: &Dentry| WireDentry {
        prefix: dentry.prefix.to_string(),
        dst: dentry.dst.show_exact(),
    };
    dtab.entries().iter().map(entry).collect()
}

// === impl Stored ===

impl Stored {
    /// The status that it is to have.
    pub(super) fn wanted_status(&self) -> DTabStatus {
        DTabStatus {
            observed_generation: self.generation,
            valid: self.dtab.is_ok(),
            message: self.dtab.as_ref().err().map(ToString::to_string),
            entries: i32::try_from(self.entries).unwrap_or(i32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_1X: &str = r#"{"apiVersion":"l5d.io/v1alpha1","kind":"DTab",
        "metadata":{"name":"internal","namespace":"default","resourceVersion":"184467","uid":"u"},
        "dentries":[{"prefix":"/srv","dst":"/#/io.l5d.k8s/default/http"},
                    {"prefix":"/svc","dst":"0.123456789*/srv/web & 0.10*/srv/web-v2"}]}"#;

    #[test]
    fn control_plane_12_3_objects_of_linkerd_1_are_read_and_weights_lose_nothing() {
        let read = read(OF_1X).expect("reads").object;
        assert_eq!(
            (&*read.name, &*read.version, read.order),
            ("internal", "184467", 184_467)
        );
        let dtab = read.dtab.expect("is good");
        let written = dentries(&dtab);
        assert_eq!(written[0].dst, "/#/io.l5d.k8s/default/http");
        assert!(
            written[1].dst.contains("0.123456789*"),
            "{}",
            written[1].dst
        );
        let again = serde_json::to_value(&written).expect("is JSON");
        assert_eq!(super::dtab(&again), Ok(dtab));
    }

    #[test]
    fn k8s_125_a_bad_object_says_where_it_is_wrong() {
        let raw = |dentries: &str| {
            format!(
                r#"{{"metadata":{{"name":"a","resourceVersion":"7","generation":3}},"dentries":{dentries}}}"#
            )
        };
        let bad = read(&raw(
            r#"[{"prefix":"/a","dst":"/b"},{"prefix":"/c","dst":"/d |"}]"#,
        ));
        let bad = bad.expect("has a name");
        let error = bad.error.expect("is told");
        assert!(error.starts_with("dentries[1].dst: "), "{error}");
        let status = bad.object.wanted_status();
        assert_eq!(
            (status.valid, status.entries, status.observed_generation),
            (false, 2, Some(3))
        );
        for dentries in [
            "5",
            r#"[{"prefix":"/a"}]"#,
            r#"[{"prefix":"a","dst":"/b"}]"#,
        ] {
            assert!(
                read(&raw(dentries)).expect("has a name").error.is_some(),
                "{dentries}"
            );
        }
        for dentries in ["null", "[]"] {
            let empty = read(&raw(dentries)).expect("has a name").object.dtab;
            assert_eq!(empty, Ok(Dtab::empty()));
        }
        assert!(read(r#"{"metadata":{}}"#).is_err());
    }
}
