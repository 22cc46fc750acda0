//! `storage` (control plane 12): one file for each family of stores.

mod consul;
mod etcd;
mod files;
mod k8s;

use l5d_config::{Kinds, Section};
use l5d_naming::Dtab;

use super::{Env, Storage};

const STORES: Kinds = Kinds {
    what: "storage",
    known: &[
        "io.l5d.inMemory",
        "io.l5d.etcd",
        "io.l5d.consul",
        "io.l5d.fs",
        "io.l5d.k8s",
        "io.l5d.k8s.configMap",
    ],
    others: &[("io.l5d.zk", ZOOKEEPER)],
};

const ZOOKEEPER: &str = "is not supported and will not be. Read each dtab from the old namerd with \
`namerctl --base-url http://OLD:4180 dtab get NAME`, keep them in another store, such as \
`storage: {kind: io.l5d.k8s}`, `storage: {kind: io.l5d.etcd, host: HOST}` or \
`storage: {kind: io.l5d.fs, rootDir: DIR}`, and write them with `namerctl dtab create NAME FILE`";

pub(super) fn read(top: &Section<'_>, env: Env<'_>) -> Storage {
    let none = Storage::InMemory(Vec::new());
    let Some(mut section) = top.need("storage").section() else {
        return none;
    };
    let Some(kind) = section.kind(&STORES) else {
        return none;
    };
    // None of these kinds is experimental; saying so is harmless.
    section.key("experimental").boolean();
    match kind {
        "io.l5d.k8s.configMap" => Storage::ConfigMap(k8s::config_map(&section, env)),
        "io.l5d.k8s" => Storage::K8s(k8s::read(&section, env)),
        "io.l5d.etcd" => Storage::Etcd(etcd::read(&section)),
        "io.l5d.consul" => Storage::Consul(consul::read(&section)),
        "io.l5d.fs" => Storage::Files(files::read(&section)),
        _ => Storage::InMemory(namespaces(&section)),
    }
}

fn namespaces(section: &Section<'_>) -> Vec<(String, Dtab)> {
    let Some(mut map) = section.key("namespaces").section() else {
        return Vec::new();
    };
    let entries = map.entries().into_iter();
    entries
        .filter_map(|(name, field)| Some((name.to_owned(), field.dtab()?)))
        .collect()
}

/// `pathPrefix`, which stores of keys have.
fn path_prefix(section: &Section<'_>) -> String {
    let path = section.key("pathPrefix").path();
    path.map_or_else(|| "/namerd/dtabs".to_owned(), |path| path.to_string())
}
