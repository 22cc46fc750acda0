//! `cargo xtask bench proxy`: the node proxy beside its peers. See [`l5d_bench::proxy`].

fn main() -> anyhow::Result<()> {
    l5d_bench::proxy::main()
}
