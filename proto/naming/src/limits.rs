//! What a hostile text may ask for, at most. Each limit has its own error.

/// Longest text of one dtab, in bytes: the router dtab limit of `resolver-api.md` 7.
pub const DTAB_BYTES: usize = 1 << 20;
/// Longest text of one path or prefix, in bytes, alone or in a dtab.
pub const PATH_BYTES: usize = 64 << 10;
/// Deepest nesting of parentheses in one tree.
pub const TREE_DEPTH: usize = 64;
/// Most leaves of all trees of one dtab.
pub const DTAB_LEAVES: usize = 100_000;
/// How many characters of a line an error shows before and behind its place.
pub const ERROR_CONTEXT: usize = 60;
/// Lookups in all that a name may take (naming 4.2).
pub const BIND_DEPTH: usize = 100;
/// Most steps of one binding, so that `/a => /a & /a` ends (resolver API 7).
pub const BIND_STEPS: usize = 100_000;
/// Most leaves of one bound tree (resolver API 7).
pub const BIND_LEAVES: usize = 1_000;
/// Deepest nesting of unions in one bound tree. Readers of protobuf stop at 100 nested messages, and a union takes three.
pub const BIND_NESTING: usize = 30;
