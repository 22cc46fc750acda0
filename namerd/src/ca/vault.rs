//! Where roots are kept so that all replicas have the same.

use std::fmt;

use async_trait::async_trait;

use super::roots::Pair;

/// All roots, with their keys, as they are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which one signs.
    pub(super) signing: Pair,
    /// Which one will.
    pub(super) next: Option<Pair>,
    /// Those that did, and are still trusted.
    pub(super) previous: Vec<String>,
    /// When this became so, in seconds of Unix time.
    pub(super) since: i64,
}

/// Names what was read, so that nothing else is replaced.
pub type Version = String;

/// What did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Somebody else was faster: read again.
    #[error("somebody else has written meanwhile")]
    Conflict,
    /// What is there does not read.
    #[error("{0}")]
    Garbled(String),
    /// Nobody answers, or no is said.
    #[error("{0}")]
    Failed(String),
}

/// Keeps roots under a condition: what somebody else has written meanwhile is never lost.
#[async_trait]
pub trait Vault: fmt::Debug + Send + Sync {
    /// What is there.
    async fn read(&self) -> Result<Option<(Sealed, Version)>, VaultError>;
    /// Writes what was not there (`None`) or was of this version.
    async fn write(&self, sealed: &Sealed, over: Option<&Version>) -> Result<(), VaultError>;
}

/// The keys under which parts are kept, which are those that `kubectl create secret tls` and others use where they have one.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// All that are trusted, for others to read; we do not.
const TRUSTED: &str = "ca.crt";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const PREVIOUS: &str = "previous.crt";
const SINCE: &str = "since";

impl Sealed {
    /// As texts by name.
    pub fn to_texts(&self) -> Vec<(&'static str, String)> {
        let mut trusted = self.signing.certificate.clone();
        let mut texts = vec![
            (CERTIFICATE, self.signing.certificate.clone()),
            (KEY, self.signing.key.clone()),
            (SINCE, self.since.to_string()),
        ];
        if let Some(next) = &self.next {
            trusted.push_str(&next.certificate);
            texts.push((NEXT_CERTIFICATE, next.certificate.clone()));
            texts.push((NEXT_KEY, next.key.clone()));
        }
        if !self.previous.is_empty() {
            trusted.push_str(&self.previous.concat());
            texts.push((PREVIOUS, self.previous.concat()));
        }
        texts.push((TRUSTED, trusted));
        texts
    }

    /// From texts by name; `Err`: what is missing.
    pub fn of_texts(text: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let need = |name: &str| text(name).ok_or_else(|| format!("it has no `{name}`"));
        let since = need(SINCE)?;
        let since = since.trim().parse();
        let next = match text(NEXT_CERTIFICATE) {
            Some(certificate) => Some(Pair {
                certificate,
                key: need(NEXT_KEY)?,
            }),
            None => None,
        };
        Ok(Self {
            signing: Pair {
                certificate: need(CERTIFICATE)?,
                key: need(KEY)?,
            },
            next,
            previous: split(&text(PREVIOUS).unwrap_or_default()),
            since: since.map_err(|e| format!("`{SINCE}`: {e}"))?,
        })
    }
}

/// Several PEM texts in one.
pub(super) fn split(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let parts = pem.split_inclusive(END);
    let parts = parts.filter(|part| part.contains(END));
    parts.map(|part| format!("{}\n", part.trim())).collect()
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("has_next", &self.next.is_some())
            .field("previous", &self.previous.len())
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}
