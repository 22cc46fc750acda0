//! `namerd CONFIG`.

fn main() -> std::process::ExitCode {
    namerd::app::main()
}
