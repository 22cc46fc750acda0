//! `io.l5d.fs`: a directory of files of addresses, watched (naming 5.1).
//!
//! Paths that somebody asks for are looked at when they are asked for the first time, which is a few calls on a local
//! file system, and again in each round of [`FsNamer::run`], off the runtime's threads. An error that is not "no such
//! file" changes nothing: what was known stays.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Weak};

use l5d_naming::{ClusterId, Elem, Path, Replicas};
use parking_lot::Mutex;
use tokio::time::{Duration, MissedTickBehavior, interval};

use super::addresses::{Addresses, Listed};
use super::under_hash;
use crate::bind::dns::Hosts;
use crate::bind::{Answer, Namer};
use crate::store::{Caller, Cell, Cluster, Engine, Reads};

/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(500);
/// Biggest file.
const MOST_BYTES: u64 = 500 * 1024;
/// A file that was written so short a time ago may be written again without a change of its time stamp.
const RACY: std::time::Duration = std::time::Duration::from_secs(3);

/// The `io.l5d.fs` namer.
pub struct FsNamer {
    prefix: Path,
    root: PathBuf,
    engine: Engine,
    hosts: Hosts,
    /// By path relative to the root.
    entries: Mutex<HashMap<PathBuf, Entry>>,
    names: Arc<Cell<Arc<[ClusterId]>>>,
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Missing,
    File,
    Directory,
}

/// A path that somebody has asked for.
#[derive(Default)]
struct Entry {
    kind: Weak<Cell<Kind>>,
    /// If it is or was a file.
    file: Weak<File>,
    replicas: Weak<Cell<Replicas>>,
}

/// A file's addresses.
struct File {
    path: PathBuf,
    seen: Mutex<Option<Seen>>,
    /// Keeps this.
    listed: Weak<Cell<Listed>>,
}

/// What tells that a file need not be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    /// It was old enough when it was read.
    settled: bool,
}

// === impl FsNamer ===

impl FsNamer {
    /// A namer over the files below `root`, answering under `/#` and `prefix`. The error is that `root` is no directory
    /// that can be read.
    pub fn new(
        prefix: &Path,
        root: impl Into<PathBuf>,
        engine: Engine,
        hosts: Hosts,
    ) -> io::Result<Arc<Self>> {
        let root = root.into();
        let prefix = under_hash(prefix);
        let names = list(&root, &prefix)?;
        Ok(Arc::new(Self {
            names: Cell::new(names),
            prefix,
            root,
            engine,
            hosts,
            entries: Mutex::default(),
        }))
    }

    /// Looks at everything that somebody asks for, again and again. Cancel safe.
    pub async fn run(self: Arc<Self>) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let me = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || me.refresh())
                .await
                .is_err()
            {
                tracing::error!(root = %self.root.display(), "a round of looking at files ended early");
            }
        }
    }

    /// One round: brings everything that somebody asks for up to date.
    pub fn refresh(&self) {
        let watched: Vec<_> = {
            let mut entries = self.entries.lock();
            entries.retain(|_, e| e.kind.strong_count() > 0 || e.file.strong_count() > 0);
            let watched = entries
                .iter()
                .map(|(path, e)| (path.clone(), e.kind.upgrade(), e.file.upgrade()));
            watched.collect()
        };
        for (path, kind, file) in watched {
            let now = kind_of(&self.root.join(path));
            // Who sees the name come back finds its addresses; who still sees it go does not see them go first.
            if now == Some(Kind::File) {
                file.iter().for_each(|file| file.refresh());
            }
            if let (Some(kind), Some(now)) = (kind, now) {
                kind.set(now);
            }
            if now != Some(Kind::File) {
                file.iter().for_each(|file| file.refresh());
            }
        }
        match list(&self.root, &self.prefix) {
            Ok(names) => {
                self.names.set(names);
            }
            Err(error) => {
                tracing::warn!(root = %self.root.display(), %error, "the directory cannot be listed");
            }
        }
    }

    /// The live kind of a path below the root.
    fn kind(&self, path: &FilePath) -> Arc<Cell<Kind>> {
        let mut entries = self.entries.lock();
        if let Some(kind) = entries.get(path).and_then(|e| e.kind.upgrade()) {
            return kind;
        }
        let kind = Cell::new(kind_of(&self.root.join(path)).unwrap_or(Kind::Missing));
        entries.entry(path.to_owned()).or_default().kind = Arc::downgrade(&kind);
        kind
    }

    /// The live addresses in a file below the root.
    fn replicas(&self, path: &FilePath) -> Arc<Cell<Replicas>> {
        if let Some(cell) = self.known(path) {
            return cell;
        }
        let listed = Cell::new(Listed::Gone);
        let file = Arc::new(File {
            path: self.root.join(path),
            seen: Mutex::new(None),
            listed: Arc::downgrade(&listed),
        });
        file.refresh();
        listed.keep(Arc::clone(&file) as _);
        let cell = self.engine.computed(Replicas::Pending, |out| {
            Addresses::new(listed, self.hosts.clone(), out)
        });
        let mut entries = self.entries.lock();
        let entry = entries.entry(path.to_owned()).or_default();
        if let Some(first) = entry.replicas.upgrade() {
            return first;
        }
        entry.file = Arc::downgrade(&file);
        entry.replicas = Arc::downgrade(&cell);
        cell
    }

    fn known(&self, path: &FilePath) -> Option<Arc<Cell<Replicas>>> {
        self.entries.lock().get(path)?.replicas.upgrade()
    }
}

impl Namer for FsNamer {
    fn prefix(&self) -> &Path {
        &self.prefix
    }

    fn kind(&self) -> &str {
        "io.l5d.fs"
    }

    fn look_up(&self, rest: &Path, _caller: &Caller, reads: &mut Reads) -> Answer {
        let mut path = PathBuf::new();
        for (index, elem) in rest.elems().iter().enumerate() {
            let name = elem.to_text();
            // A name is one step down, whatever it is made of.
            if matches!(&*name, "." | "..") || name.contains(['/', '\0']) {
                return Answer::neg();
            }
            path.push(&*name);
            match reads.read(&self.kind(&path)).1 {
                Kind::Missing => return Answer::neg(),
                Kind::Directory => {}
                Kind::File => {
                    let used = index + 1;
                    let cluster = Cluster {
                        id: ClusterId(self.prefix.concat(&rest.take(used))),
                        endpoints: Arc::new(self.replicas(&path)),
                    };
                    return Answer::bound(cluster, rest.skip(used));
                }
            }
        }
        Answer::neg()
    }

    fn names(&self) -> Option<Arc<Cell<Arc<[ClusterId]>>>> {
        Some(Arc::clone(&self.names))
    }
}

impl fmt::Debug for FsNamer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FsNamer({} at {})", self.root.display(), self.prefix)
    }
}

// === impl File ===

impl File {
    fn refresh(&self) {
        let Some(cell) = self.listed.upgrade() else {
            return;
        };
        let listed = match fs::File::open(&self.path) {
            Ok(file) => match self.read(file) {
                Ok(None) => return,
                Ok(Some(listed)) => listed,
                Err(error) => self.unreadable(&error, &cell),
            },
            Err(error) if is_absence(&error) => Listed::Gone,
            Err(error) => self.unreadable(&error, &cell),
        };
        if matches!(listed, Listed::Gone | Listed::Bad(_)) {
            *self.seen.lock() = None;
        }
        cell.set(listed);
    }

    /// The content, unless it is what was read before.
    fn read(&self, file: fs::File) -> io::Result<Option<Listed>> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Some(Listed::Gone));
        }
        let seen = Seen::of(&metadata);
        if self
            .seen
            .lock()
            .is_some_and(|before| before == seen && seen.settled)
        {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
        *self.seen.lock() = Some(seen);
        if content.len() as u64 > MOST_BYTES {
            let name = self.path.display();
            let message = format!("{name} is bigger than {} kB", MOST_BYTES / 1024);
            return Ok(Some(Listed::Bad(message.into())));
        }
        Ok(Some(Listed::parse(&String::from_utf8_lossy(&content))))
    }

    /// What is known stays, if anything is.
    fn unreadable(&self, error: &io::Error, cell: &Cell<Listed>) -> Listed {
        let message = format!("{} cannot be read: {error}", self.path.display());
        tracing::warn!("{message}");
        match cell.value() {
            Listed::Gone => Listed::Bad(message.into()),
            known => known,
        }
    }
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        let age = metadata.modified().ok().and_then(|m| m.elapsed().ok());
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            settled: age.is_some_and(|age| age > RACY),
        }
    }
}

/// What a path is now; `None` if that cannot be told.
fn kind_of(path: &FilePath) -> Option<Kind> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Some(Kind::File),
        Ok(metadata) if metadata.is_dir() => Some(Kind::Directory),
        Ok(_) => Some(Kind::Missing),
        Err(error) if is_absence(&error) => Some(Kind::Missing),
        Err(_) => None,
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

/// All top-level names as ids, sorted.
fn list(root: &FilePath, prefix: &Path) -> io::Result<Arc<[ClusterId]>> {
    let mut names: Vec<ClusterId> = fs::read_dir(root)?
        .filter_map(|entry| Elem::new(entry.ok()?.file_name().as_bytes()))
        .map(|name| ClusterId(prefix.child(name)))
        .collect();
    names.sort();
    Ok(names.into())
}
