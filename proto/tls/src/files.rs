//! The contents of files, and when a change of them is taken.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::TlsError;

/// More than any chain or bundle needs.
const MOST_BYTES: u64 = 4 << 20;

/// The contents of some files, as they were at one moment.
#[derive(Clone)]
pub struct Files(Vec<(PathBuf, Vec<u8>)>);

/// Tells contents apart without keeping them.
pub type Print = [u8; 32];

/// Decides when files that are looked at again and again have settled on something new: when two looks in a row have seen the
/// same, so that a pair of files that is being replaced is not taken half old, half new. Each new state, good or bad, is
/// handed out once.
#[derive(Debug, Default)]
pub struct Settling {
    /// The print of the last look, or what was wrong.
    last: Option<Result<Print, String>>,
    /// What was handed out and not taken.
    told: Option<Result<Print, String>>,
}

/// What a look has shown.
#[derive(Debug)]
pub enum Seen {
    /// Nothing to do.
    Nothing,
    /// Use these from now on, or complain.
    New(Result<Files, TlsError>),
}

impl Files {
    /// Reads all of them. Blocks.
    ///
    /// # Errors
    /// The first that cannot be read, is no regular file or is over 4 MiB.
    pub fn read<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, TlsError> {
        let one = |path: &Path| Ok((path.to_owned(), read(path)?));
        paths
            .into_iter()
            .map(one)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The same for the same contents in the same order.
    pub fn print(&self) -> Print {
        let mut hash = Sha256::new();
        for (_, bytes) in &self.0 {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }

    /// What is in a file that was read; nothing if it was not.
    pub fn get(&self, path: &Path) -> &[u8] {
        let found = self.0.iter().find(|(read, _)| read == path);
        found.map_or(&[], |(_, bytes)| bytes)
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(path, _)| path))
            .finish()
    }
}

impl Settling {
    /// Takes one look into account. `in_use`: the print of what is used now.
    pub fn see(&mut self, read: Result<Files, TlsError>, in_use: &Print) -> Seen {
        let seen = match &read {
            Ok(files) => Ok(files.print()),
            Err(error) => Err(error.to_string()),
        };
        let is_settled = self.last.as_ref() == Some(&seen);
        self.last = Some(seen.clone());
        if seen.as_ref() == Ok(in_use) {
            self.told = None;
            return Seen::Nothing;
        }
        if !is_settled || self.told.as_ref() == Some(&seen) {
            return Seen::Nothing;
        }
        self.told = Some(seen);
        Seen::New(read)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    let mut file = file.take(MOST_BYTES + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
