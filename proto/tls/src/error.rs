//! Why TLS cannot be spoken as configured.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with files or settings. Each names the file, if it is one.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not have what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key are not of one pair.
    #[error("the key in {} is not the one of the certificate in {}", key.display(), cert.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The chosen suites and versions exclude each other.
    #[error("no cipher suite of `ciphers` can be used with `protocols`: {0}")]
    Choice(rustls::Error),
    /// No authority to trust.
    #[error(
        "the system trusts no authority: name a file with certificates of authorities in `trustCertsBundle`"
    )]
    NoRoots,
    /// A name that no certificate can have.
    #[error("`{name}` is neither a DNS name nor an address: {reason}")]
    Name {
        /// As written.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What was read does not fit together.
    #[error("{0}")]
    Unusable(String),
}

/// Why a handshake failed, in words: the library shows what our own checks say as a structure.
pub fn reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            other.0.to_string()
        }
        other => other.to_string(),
    }
}

/// The same of what reading or writing a TLS connection has met.
pub fn io_reason(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or_else(|| error.to_string(), reason)
}

impl TlsError {
    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        TlsError::Content {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
