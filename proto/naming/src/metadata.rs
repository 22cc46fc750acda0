//! Keys of metadata in the interfaces that carry it (naming 9).

/// On an endpoint: its relative load inside the set, a double; absent means 1.
pub const ENDPOINT_WEIGHT: &str = "endpoint_addr_weight";
/// On an address set: the weight of the innermost union branch under which its leaf was bound, a double.
pub const TREE_WEIGHT: &str = "namer_nametree_weight";
/// On an address set: the host header to use for its endpoints.
pub const AUTHORITY: &str = "authority";
/// On an endpoint: the name of the machine it runs on.
pub const NODE_NAME: &str = "nodeName";
