//! `storage` (control plane 12).

use l5d_config::{Kinds, Section};

use super::Storage;

const STORES: Kinds = Kinds {
    what: "storage",
    known: &["io.l5d.inMemory"],
    others: &[
        ("io.l5d.k8s", "is not supported yet"),
        ("io.l5d.consul", "is not supported yet"),
        ("io.l5d.etcd", "is not supported yet"),
        (
            "io.l5d.zk",
            "is not supported and will not be: move the dtabs to another store",
        ),
    ],
};

pub(super) fn read(top: &Section<'_>) -> Storage {
    let mut namespaces = Vec::new();
    if let Some(mut section) = top.need("storage").section()
        && section.kind(&STORES).is_some()
    {
        section.key("experimental").boolean();
        if let Some(mut map) = section.key("namespaces").section() {
            for (name, field) in map.entries() {
                if let Some(dtab) = field.dtab() {
                    namespaces.push((name.to_owned(), dtab));
                }
            }
        }
    }
    Storage::InMemory(namespaces)
}
