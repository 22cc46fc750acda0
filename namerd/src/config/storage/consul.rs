//! `io.l5d.consul` as a store (control plane 12.4).

use l5d_config::Section;

use super::path_prefix;
use crate::config::{ConsulStorage, consul};

pub(super) fn read(section: &Section<'_>) -> ConsulStorage {
    section.legacy(
        "writeConsistencyMode",
        "Consul's leader decides every write",
    );
    let mut access = consul::access(section, "readConsistencyMode");
    access.datacenter = section.key("datacenter").string();
    ConsulStorage {
        access,
        path_prefix: path_prefix(section),
    }
}
