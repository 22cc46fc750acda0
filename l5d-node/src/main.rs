//! `l5d-node CONFIG`.

fn main() -> std::process::ExitCode {
    l5d_node::app::cli::main()
}
