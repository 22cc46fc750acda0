//! `namerd CONFIG`.

fn main() {}
