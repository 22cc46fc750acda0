//! How many requests there may be at once (node-proxy 13.9): of a server (`maxConcurrentRequests`), and of the process.
//!
//! A request that is let in holds a place until it has ended; the next one over the limit is answered at once. The number of a
//! server is shared by the workers, since their connections are spread unevenly, and counted only if there is a limit; that of
//! the process, which is there to keep its memory, is divided among them.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The requests of one server, of all workers.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    limit: Option<usize>,
    now: Arc<AtomicUsize>,
}

/// The requests of one worker.
#[derive(Debug)]
pub(crate) struct Total {
    limit: usize,
    now: Cell<usize>,
}

/// A request's places. Dropping them frees them.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    server: Option<&'a AtomicUsize>,
    total: &'a Cell<usize>,
}

/// Which limit has been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Server(usize),
    Process(usize),
}

/// Requests of the process at once, of all servers (node-proxy 17).
const PROCESS_LIMIT: usize = 100_000;

impl Admission {
    /// Nobody is in. `None`: as many as come.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            now: Arc::default(),
        }
    }

    /// Places for a request.
    pub(crate) fn admit<'a>(&'a self, total: &'a Total) -> Result<Admitted<'a>, Refused> {
        if total.now.get() >= total.limit {
            return Err(Refused::Process(PROCESS_LIMIT));
        }
        let mut server = None;
        if let Some(limit) = self.limit {
            let before = self.now.fetch_add(1, Ordering::Relaxed);
            if before >= limit {
                self.now.fetch_sub(1, Ordering::Relaxed);
                return Err(Refused::Server(limit));
            }
            server = Some(&*self.now);
        }
        total.now.set(total.now.get() + 1);
        Ok(Admitted {
            server,
            total: &total.now,
        })
    }
}

impl Total {
    /// One worker's part, of `workers`.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            limit: PROCESS_LIMIT.div_ceil(workers.max(1)),
            now: Cell::new(0),
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.total.set(self.total.get() - 1);
        if let Some(server) = self.server {
            server.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_servers_limit() {
        let (first, totals) = (Admission::new(Some(2)), [Total::new(2), Total::new(2)]);
        let second = first.clone();
        let held = first.admit(&totals[0]).unwrap();
        let other = second.admit(&totals[1]).unwrap();
        assert_eq!(first.admit(&totals[0]).unwrap_err(), Refused::Server(2));
        assert_eq!(second.admit(&totals[1]).unwrap_err(), Refused::Server(2));
        drop(other);
        assert!(first.admit(&totals[0]).is_ok());
        drop(held);
        assert_eq!(totals.map(|t| t.now.get()), [0, 0]);
    }

    #[test]
    fn the_process_has_a_limit_without_any_being_set() {
        let (admission, total) = (Admission::new(None), Total::new(50_000));
        let held = [(); 2].map(|()| admission.admit(&total).unwrap());
        let refused = Refused::Process(PROCESS_LIMIT);
        assert_eq!(admission.admit(&total).unwrap_err(), refused);
        drop(held);
        assert!(admission.admit(&total).is_ok());
    }
}
