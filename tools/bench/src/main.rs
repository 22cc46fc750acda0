//! `cargo xtask bench fanout`: the cluster, the servers and the followers, and a table of what they took.
//!
//! ```text
//!   cluster double (this process) --list, watch--> namerd, or a peer --streams--> l5d-load
//!            ^ writes                                ^ /proc, metrics               ^ orders, reports
//!            +-------------- l5d-bench ---------------+------------------------------+
//! ```

mod run;

fn main() -> anyhow::Result<()> {
    run::main()
}
