//! Roots in files that something else renews; looked at like those of servers.

use std::path::{Path, PathBuf};

use l5d_tls::{Files, Print, Seen, Settling, TlsError};

use super::roots::{CaError, Pair, Roots, unusable};
use super::vault::{Sealed, split};
use crate::config::CaFiles;

/// The files of one authority, as they were last taken.
#[derive(Debug)]
pub(super) struct RootFiles {
    files: CaFiles,
    in_use: Print,
    settling: Settling,
}

impl RootFiles {
    /// Nothing taken yet.
    pub(super) fn new(files: &CaFiles) -> Self {
        Self {
            files: files.clone(),
            in_use: Print::default(),
            settling: Settling::default(),
        }
    }

    /// Reads now, whatever was before. Blocks.
    pub(super) fn open(&mut self) -> Result<Roots, CaError> {
        let files = Files::read(self.paths()).map_err(|e| unusable("ca", &e))?;
        self.take(&files)
    }

    /// `None`: nothing new. Blocks.
    pub(super) fn look(&mut self) -> Option<Result<Roots, CaError>> {
        let read = Files::read(self.paths());
        match self.settling.see(read, &self.in_use) {
            Seen::Nothing => None,
            Seen::New(read) => {
                let read: Result<Files, TlsError> = read;
                let read = read.map_err(|e| unusable("ca", &e));
                Some(read.and_then(|files| self.take(&files)))
            }
        }
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let own = [&self.files.certificate, &self.files.key].into_iter();
        own.chain(&self.files.trust).map(PathBuf::as_path)
    }

    fn take(&mut self, files: &Files) -> Result<Roots, CaError> {
        let text = |path: &Path| String::from_utf8_lossy(files.get(path)).into_owned();
        let certificate = text(&self.files.certificate);
        let signing = split(&certificate).into_iter().next();
        let trusted = self.files.trust.as_deref().map(text).unwrap_or_default();
        let roots = Roots::open(Sealed {
            previous: split(&trusted)
                .into_iter()
                .filter(|other| Some(other) != signing.as_ref())
                .collect(),
            signing: Pair {
                certificate: signing.unwrap_or(certificate),
                key: text(&self.files.key),
            },
            next: None,
            since: 0,
        })?;
        self.in_use = files.print();
        Ok(roots)
    }
}
