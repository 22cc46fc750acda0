//! `l5d-node CONFIG`.

fn main() {}
