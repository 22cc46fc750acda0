//! Open files: two for each request under way, so the soft limit, often 1,024, would be the limit of clients.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, and says how many that are. Changes nothing where it is not allowed.
pub(super) fn raise_limit() {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum {
        let raised = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
    // No limit at all is shown as the greatest number.
    let shown = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let now = getrlimit(Resource::Nofile);
    tracing::info!(
        before = shown(before.current),
        now = shown(now.current),
        "open files allowed: one is needed for each connection, to clients and to endpoints"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_open_files_becomes_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        let low = Rlimit {
            current: Some(hard.map_or(1 << 20, |hard| hard - 1)),
            maximum: hard,
        };
        setrlimit(Resource::Nofile, low).expect("lowering is allowed");
        raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.maximum), (hard, hard));
    }
}
