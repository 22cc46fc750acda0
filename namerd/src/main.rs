//! `namerd CONFIG`.

/// Millions of small things that live for hours, on two threads.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    namerd::app::main()
}
