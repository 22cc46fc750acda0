//! The followers of a measurement, in a process of their own. `l5d-bench` starts it.

fn main() -> anyhow::Result<()> {
    l5d_bench::load::run()
}
