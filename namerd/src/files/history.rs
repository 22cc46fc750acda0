//! Earlier contents of dtab files: each namespace's in one file of the hidden folder [`FOLDER`] beside them. Blocks.
//!
//! What namerd writes goes there, and before it what it replaces if others wrote that, with the time of the file. Of contents
//! that others wrote one upon the other only the last can be known. A namespace that namerd deletes takes its past along.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use l5d_naming::Dtab;
use serde::{Deserialize, Serialize};

use super::place::{print, read_at_most, replace};
use crate::store::{PastDtab, VersionedDtab};

/// Its dot keeps it from being a namespace.
const FOLDER: &str = ".history";
/// Most versions kept, the present one included.
const VERSIONS: usize = 20;
/// Most bytes of contents of one namespace; the oldest go first.
const BYTES: usize = 4 << 20;
/// Biggest file: JSON may need six bytes for one, but no dtab needs that for many.
const MOST_BYTES: u64 = 16 << 20;

/// A content that a dtab file had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    /// The time of the file then.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Timestamp>,
    dtab: String,
}

impl Past {
    /// What a file has now. `None`: it is not UTF-8, so no dtab.
    pub(super) fn of(content: &[u8], metadata: &fs::Metadata) -> Option<Self> {
        let written = metadata.modified().ok();
        Some(Self {
            written: written.and_then(|at| Timestamp::try_from(at).ok()),
            dtab: std::str::from_utf8(content).ok()?.to_owned(),
        })
    }

    /// `None`: it is no dtab, so that it could not be restored either.
    fn version(&self) -> Option<PastDtab> {
        let version = VersionedDtab {
            dtab: Dtab::parse(&self.dtab).ok()?,
            token: print(self.dtab.as_bytes()),
        };
        let written = self.written.map(SystemTime::from);
        Some(PastDtab { version, written })
    }
}

/// Keeps what a dtab file has now, readable for whom that is.
pub(super) fn keep(
    folder: &Path,
    name: &str,
    now: Past,
    permissions: fs::Permissions,
) -> io::Result<()> {
    let path = path(folder, name);
    let mut past = read(&path)?;
    if past.first().is_some_and(|last| last.dtab == now.dtab) {
        return Ok(());
    }
    past.insert(0, now);
    past.truncate(VERSIONS);
    let mut bytes = 0;
    past.retain(|past| {
        bytes += past.dtab.len();
        bytes <= BYTES
    });
    let text = serde_json::to_vec_pretty(&past).map_err(io::Error::other)?;
    fs::create_dir_all(folder.join(FOLDER))?;
    replace(&path, &text, Some(permissions))
}

/// The versions of a namespace whose file is `now`, newest first.
pub(super) fn list(folder: &Path, name: &str, now: &Past) -> io::Result<Vec<PastDtab>> {
    let past = read(&path(folder, name))?;
    let is_kept = past.first().is_some_and(|last| last.dtab == now.dtab);
    let earlier = past.iter().skip(usize::from(is_kept));
    let all = std::iter::once(now).chain(earlier);
    Ok(all.filter_map(Past::version).take(VERSIONS).collect())
}

/// The namespace is gone.
pub(super) fn forget(folder: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(path(folder, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(FOLDER).join(format!("{name}.json"))
}

/// Newest first. Whatever others made of the file is no reason to fail.
fn read(path: &Path) -> io::Result<Vec<Past>> {
    match read_at_most(path, MOST_BYTES) {
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
