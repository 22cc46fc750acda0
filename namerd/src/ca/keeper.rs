//! Keeps the roots of a [`Ca`] at what files or a vault say, and replaces them in time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::files::RootFiles;
use super::issue::{Ca, now};
use super::roots::{CaError, Roots};
use super::vault::{Vault, VaultError, Version};
use crate::config::CaFiles;

/// Between two looks at files.
const LOOK: Duration = Duration::from_secs(2);
/// Between two readings of a vault: what another replica has replaced is known in far less than a certificate's life.
const READ: Duration = Duration::from_secs(60);
/// After a failure, or a write that somebody else was faster with; grows to the time between readings.
const AGAIN: Duration = Duration::from_millis(500);

/// Where the roots of a process come from.
#[derive(Debug)]
pub struct Keeper {
    ca: Arc<Ca>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Files(RootFiles),
    Vault {
        vault: Arc<dyn Vault>,
        /// Of roots.
        life: Duration,
        version: Option<Version>,
    },
}

impl Keeper {
    /// Of files, which are read now. Blocks.
    ///
    /// # Errors
    /// Files that are no authority.
    pub fn files(ca: &Arc<Ca>, files: &CaFiles) -> Result<Self, CaError> {
        let mut source = RootFiles::new(files);
        ca.set(source.open()?);
        Ok(Self {
            ca: ca.clone(),
            source: Source::Files(source),
        })
    }

    /// Of a vault. `life`: of roots that are made. Contacts nobody yet.
    pub fn vault(ca: &Arc<Ca>, vault: Arc<dyn Vault>, life: Duration) -> Self {
        Self {
            ca: ca.clone(),
            source: Source::Vault {
                vault,
                life,
                version: None,
            },
        }
    }

    /// Never ends.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            let pause = match self.turn().await {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(why) => {
                    failures += 1;
                    self.ca.counts().failed.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(error = %why, "the certificate authority's roots: those before stay in use");
                    AGAIN.saturating_mul(1 << failures.min(10)).min(READ)
                }
            };
            // Replicas that started at once do not stay together.
            sleep(pause.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        }
    }

    /// One look; how long until the next.
    pub(super) async fn turn(&mut self) -> Result<Duration, String> {
        match &mut self.source {
            Source::Files(files) => {
                match files.look() {
                    None => {}
                    Some(Ok(roots)) => {
                        tracing::info!(trusted = roots.trusted.len(), "the roots have changed");
                        self.ca.set(roots);
                    }
                    Some(Err(error)) => return Err(error.to_string()),
                }
                Ok(LOOK)
            }
            Source::Vault {
                vault,
                life,
                version,
            } => from_vault(&self.ca, &**vault, *life, version).await,
        }
    }
}

async fn from_vault(
    ca: &Ca,
    vault: &dyn Vault,
    life: Duration,
    known: &mut Option<Version>,
) -> Result<Duration, String> {
    let text = |e: CaError| e.to_string();
    let Some((sealed, version)) = vault.read().await.map_err(|e| e.to_string())? else {
        let roots = Roots::create(ca.domain(), life, now()).map_err(text)?;
        return match vault.write(roots.sealed(), None).await {
            Ok(()) => {
                tracing::info!("the first root was made");
                Ok(Duration::ZERO)
            }
            Err(VaultError::Conflict) => Ok(AGAIN),
            Err(error) => Err(error.to_string()),
        };
    };
    if known.as_ref() != Some(&version) {
        let roots = Roots::open(sealed).map_err(text)?;
        tracing::info!(phase = ?roots.phase(), not_after = roots.not_after(), "roots taken into use");
        ca.set(roots);
        *known = Some(version.clone());
    }
    let Some(roots) = ca.roots() else {
        return Ok(AGAIN);
    };
    let step = roots.step(ca.domain(), ca.life(), life, now());
    let Some(next) = step.map_err(text)? else {
        return Ok(READ);
    };
    match vault.write(next.sealed(), Some(&version)).await {
        Ok(()) => {
            tracing::info!(phase = ?next.phase(), "the roots were replaced a step further");
            Ok(Duration::ZERO)
        }
        Err(VaultError::Conflict) => Ok(AGAIN),
        Err(error) => Err(error.to_string()),
    }
}
