//! The files: found, read and replaced. Blocks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use l5d_naming::Dtab;
use sha2::{Digest as _, Sha256};

use crate::config::FilesStorage;
use crate::store::{DtabToken, StoreError, Stored, VersionedDtab};

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
    /// No other namerd on this directory gets in between. Gives what is there afterwards.
    pub(super) fn change(
        &self,
        name: &str,
        dtab: Option<&Dtab>,
        allow: impl FnOnce(Option<&DtabToken>) -> Result<(), StoreError>,
    ) -> Result<Option<Found>, StoreError> {
        self.check(name)?;
        let path = match &self.one {
            Some(file) => file.clone(),
            None => self.folder.join(name),
        };
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
        let done = match dtab {
            Some(dtab) => {
                let text = show(dtab);
                replace(&path, text.as_bytes()).map(|()| Some(Found::of(text.as_bytes())))
            }
            None => fs::remove_file(&path).map(|()| None),
        };
        done.map_err(|e| refused(&e, &path))
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
    let mut content = Vec::new();
    let file = File::open(path)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST_BYTES {
        let message = format!("it is bigger than {} kB", MOST_BYTES / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}

/// Under another name first, so that nobody ever reads half of it.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("."));
    let next = folder.join(format!(".{name}.next"));
    let mut file = File::create(&next)?;
    file.write_all(content)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
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
fn print(content: &[u8]) -> DtabToken {
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
