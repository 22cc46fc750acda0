//! The files: found, read and replaced. Blocks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use l5d_naming::Dtab;
use sha2::{Digest as _, Sha256};

use super::KIND;
use super::history::{self, Past};
use crate::config::FilesStorage;
use crate::store::{DtabToken, PastDtab, StoreError, Stored, VersionedDtab};

/// Biggest file.
const MOST_BYTES: u64 = 1 << 20;
/// The one namespace of a store that is one file.
const DEFAULT: &str = "default";
/// Longest name; with what is added to it for a moment it must be a file's name still.
const LONGEST_NAME: usize = 200;
/// Held while a file is replaced, by all namerds on this directory.
const LOCK: &str = ".l5d-dtabs.lock";

/// Which files are namespaces.
#[derive(Clone, Debug)]
pub(super) struct Place {
    folder: PathBuf,
    /// Only this file, as [`DEFAULT`].
    one: Option<PathBuf>,
}

/// A file's content at one moment.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Tells contents apart.
    pub(super) print: DtabToken,
    pub(super) stored: Stored,
}

/// What a change has made.
#[derive(Debug)]
pub(super) struct Changed {
    /// What is there now.
    pub(super) found: Option<Found>,
    /// Why what was there before is not in the history.
    pub(super) unkept: Option<io::Error>,
}

impl Place {
    pub(super) fn new(config: &FilesStorage) -> Self {
        match config {
            FilesStorage::Folder(folder) => Self {
                folder: folder.clone(),
                one: None,
            },
            FilesStorage::One(file) => Self {
                folder: match file.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                    _ => PathBuf::from("."),
                },
                one: Some(file.clone()),
            },
        }
    }

    /// Whether a namespace can have this name.
    pub(super) fn check(&self, name: &str) -> Result<(), StoreError> {
        let reason = match &self.one {
            Some(_) if name != DEFAULT => "the store is one file, which is the namespace default",
            None if !is_name(name) => {
                "it is a file's name: 1 to 200 bytes, no slash, no dot in front, no ~ at the end"
            }
            _ => return Ok(()),
        };
        Err(StoreError::BadName {
            name: name.to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// All namespaces. Files that come or go meanwhile may or may not be there.
    pub(super) fn scan(&self) -> io::Result<BTreeMap<String, Found>> {
        let mut all = BTreeMap::new();
        if let Some(file) = &self.one {
            // A file system that cannot be read is not one without the file.
            fs::read_dir(&self.folder)?;
            all.extend(look(file).map(|found| (DEFAULT.to_owned(), found)));
            return Ok(all);
        }
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if is_name(&name) {
                all.extend(look(&entry.path()).map(|found| (name, found)));
            }
        }
        Ok(all)
    }

    /// Replaces one file, or removes it (`None`), if `allow` agrees with what is there now: the token, if there is a file.
    /// No other namerd on this directory gets in between. A history that cannot be kept keeps nobody from writing.
    pub(super) fn change(
        &self,
        name: &str,
        dtab: Option<&Dtab>,
        allow: impl FnOnce(Option<&DtabToken>) -> Result<(), StoreError>,
    ) -> Result<Changed, StoreError> {
        self.check(name)?;
        let path = self.path(name);
        let lock = File::create(self.folder.join(LOCK)).map_err(|e| refused(&e, &path))?;
        lock.lock().map_err(|e| refused(&e, &path))?;
        // A link stays a link.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let now = match read(&path) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(refused(&error, &path)),
        };
        allow(now.as_deref().map(print).as_ref())?;
        let Some(text) = dtab.map(show) else {
            fs::remove_file(&path).map_err(|e| refused(&e, &path))?;
            let kept = match &self.one {
                Some(_) => Ok(()),
                None => history::forget(&self.folder, name),
            };
            return Ok(Changed {
                found: None,
                unkept: kept.err(),
            });
        };
        // Nothing is lost whenever this ends: what is there, perhaps of others, is kept before it goes.
        let before = now.map_or(Ok(()), |now| self.remember(name, &path, &now));
        let permissions = fs::metadata(&path).ok().map(|old| old.permissions());
        replace(&path, text.as_bytes(), permissions).map_err(|e| refused(&e, &path))?;
        let kept = before.and_then(|()| self.remember(name, &path, text.as_bytes()));
        Ok(Changed {
            found: Some(Found::of(text.as_bytes())),
            unkept: kept.err(),
        })
    }

    /// The versions of a namespace, newest first.
    pub(super) fn history(&self, name: &str) -> Result<Vec<PastDtab>, StoreError> {
        if self.one.is_some() {
            return Err(StoreError::NoHistory(KIND));
        }
        self.check(name)?;
        let path = self.path(name);
        // Where it is not there nobody writes, and perhaps nobody may.
        let lock = File::open(self.folder.join(LOCK)).ok();
        if let Some(lock) = &lock {
            lock.lock_shared().map_err(|e| refused(&e, &path))?;
        }
        let now = read(&path).and_then(|content| Ok(Past::of(&content, &fs::metadata(&path)?)));
        match now {
            Ok(Some(now)) => {
                history::list(&self.folder, name, &now).map_err(|e| refused(&e, &path))
            }
            Ok(None) => Err(StoreError::Unreadable {
                name: name.to_owned(),
                reason: "it is not UTF-8".into(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Missing(name.to_owned()))
            }
            Err(error) => Err(refused(&error, &path)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        match &self.one {
            Some(file) => file.clone(),
            None => self.folder.join(name),
        }
    }

    /// This is what the file has.
    fn remember(&self, name: &str, path: &Path, content: &[u8]) -> io::Result<()> {
        if self.one.is_some() {
            return Ok(());
        }
        let metadata = fs::metadata(path)?;
        match Past::of(content, &metadata) {
            Some(past) => history::keep(&self.folder, name, past, metadata.permissions()),
            None => Ok(()),
        }
    }
}

impl Found {
    fn of(content: &[u8]) -> Self {
        let print = print(content);
        Self {
            stored: parse(content, &print),
            print,
        }
    }

    fn unreadable(error: &io::Error) -> Self {
        let reason = error.to_string();
        Self {
            print: print(reason.as_bytes()),
            stored: Err(reason.into()),
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && !name.starts_with('.')
        && !name.ends_with('~')
        && !name.contains(['/', '\0'])
}

/// `None`: there is no such file.
fn look(path: &Path) -> Option<Found> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        _ => {}
    }
    match read(path) {
        Ok(content) => Some(Found::of(&content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Found::unreadable(&error)),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MOST_BYTES)
}

pub(super) fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = File::open(path)?;
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        let message = format!("it is bigger than {} kB", most / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}

/// Under another name first, so that nobody ever reads half of it.
pub(super) fn replace(
    path: &Path,
    content: &[u8],
    permissions: Option<fs::Permissions>,
) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("."));
    let next = folder.join(format!(".{name}.next"));
    let mut file = File::create(&next)?;
    file.write_all(content)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()?;
    fs::rename(&next, path)?;
    File::open(folder)?.sync_all()
}

fn parse(content: &[u8], token: &DtabToken) -> Stored {
    let text = std::str::from_utf8(content).map_err(|_| Arc::from("it is not UTF-8"))?;
    let dtab = Dtab::parse(text).map_err(|e| Arc::from(e.to_string()))?;
    Ok(VersionedDtab {
        dtab,
        token: token.clone(),
    })
}

/// One entry a line, for people.
fn show(dtab: &Dtab) -> String {
    let line =
        |entry: &l5d_naming::Dentry| format!("{} => {} ;\n", entry.prefix, entry.dst.show_exact());
    dtab.entries().iter().map(line).collect()
}

/// The token of a content.
pub(super) fn print(content: &[u8]) -> DtabToken {
    DtabToken(Sha256::digest(content)[..16].into())
}

fn refused(error: &io::Error, path: &Path) -> StoreError {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Forbidden(message)
        }
        _ => StoreError::Unavailable(message),
    }
}
