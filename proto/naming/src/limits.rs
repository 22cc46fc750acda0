//! What a hostile text may ask for, at most. Each limit has its own error.

/// Longest text of one dtab, in bytes: the router dtab limit of `resolver-api.md` 7.
pub const DTAB_BYTES: usize = 1 << 20;
/// Longest text of one path, in bytes.
pub const PATH_BYTES: usize = 64 << 10;
/// Deepest nesting of parentheses in one tree.
pub const TREE_DEPTH: usize = 64;
/// Most leaves of all trees of one dtab.
pub const DTAB_LEAVES: usize = 100_000;
/// Lookups in all that a name may take (naming 4.2).
pub const BIND_DEPTH: usize = 100;
/// Most steps of one binding, so that `/a => /a & /a` ends (resolver API 7).
pub const BIND_STEPS: usize = 100_000;
/// Most leaves of one bound tree (resolver API 7).
pub const BIND_LEAVES: usize = 1_000;
