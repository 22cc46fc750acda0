//! Something made of files, made again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use l5d_tls::{Files, Print, Seen, Settling, TlsError};
use parking_lot::Mutex;

/// Makes something of files; gives it, and when it ends in seconds of Unix time (`i64::MAX`: never).
pub(super) type Make<M> = Box<dyn Fn(&Files) -> Result<(M, i64), TlsError> + Send + Sync>;

/// The latest that could be made.
pub(super) struct Watched<M> {
    paths: Vec<PathBuf>,
    make: Make<M>,
    made: ArcSwap<M>,
    state: Mutex<(Print, Settling)>,
    not_after: AtomicI64,
    reloads: AtomicU64,
    failures: AtomicU64,
}

/// Somebody who looks at files now and then.
pub(super) trait Look: Send + Sync {
    /// Looks once. Blocks.
    fn look(&self);
    /// Changes that were taken, and those that were not usable.
    fn counts(&self) -> [u64; 2];
    /// When what is used ends, in seconds of Unix time.
    fn not_after(&self) -> i64;
}

impl<M> Watched<M> {
    /// Reads the files. Blocks.
    pub(super) fn new(paths: Vec<PathBuf>, make: Make<M>) -> Result<Self, TlsError> {
        let files = Files::read(paths.iter().map(PathBuf::as_path))?;
        let (made, not_after) = make(&files)?;
        Ok(Self {
            paths,
            make,
            made: ArcSwap::from_pointee(made),
            state: Mutex::new((files.print(), Settling::default())),
            not_after: AtomicI64::new(not_after),
            reloads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    pub(super) fn get(&self) -> Arc<M> {
        self.made.load_full()
    }
}

impl<M: Send + Sync> Look for Watched<M> {
    fn look(&self) {
        let read = Files::read(self.paths.iter().map(PathBuf::as_path));
        let mut state = self.state.lock();
        let (in_use, settling) = &mut *state;
        let Seen::New(read) = settling.see(read, in_use) else {
            return;
        };
        let file = self.paths.first().map_or(Path::new(""), PathBuf::as_path);
        let made = read.and_then(|files| Ok(((self.make)(&files)?, files.print())));
        match made {
            Ok(((made, not_after), print)) => {
                self.made.store(Arc::new(made));
                self.not_after.store(not_after, Ordering::Relaxed);
                *in_use = print;
                self.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!(file = %file.display(), "TLS files have changed: new connections use the new ones");
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "changed TLS files are not usable; the ones before stay in use");
            }
        }
    }

    fn counts(&self) -> [u64; 2] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [get(&self.reloads), get(&self.failures)]
    }

    fn not_after(&self) -> i64 {
        self.not_after.load(Ordering::Relaxed)
    }
}

impl<M> std::fmt::Debug for Watched<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}
