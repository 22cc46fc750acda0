//! An identity in files that something else renews.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use l5d_tls::nodes::Identity;
use l5d_tls::{Files, TlsError, pem};
use rustls::RootCertStore;

use super::identity::Own;
use super::watched::{Look, Watched};
use crate::config::ClientAuth;

/// The identity, and who keeps it fresh.
pub(super) fn of_files(
    auth: &ClientAuth,
    trust: &Path,
) -> Result<(Arc<Own>, Arc<dyn Look>), TlsError> {
    let own = Own::new();
    let paths = [&auth.certificate, &auth.key].into_iter();
    let paths = paths.chain(&auth.intermediates).cloned();
    let paths: Vec<PathBuf> = paths.chain([trust.to_owned()]).collect();
    let (auth, trust, into) = (auth.clone(), trust.to_owned(), own.clone());
    let watched = Watched::new(
        paths,
        Box::new(move |files| {
            let identity = read(&auth, &trust, files).inspect_err(|_| into.failed())?;
            let not_after = identity.not_after();
            into.set(identity);
            Ok(((), not_after))
        }),
    )?;
    Ok((own, Arc::new(watched)))
}

fn read(auth: &ClientAuth, trust: &Path, files: &Files) -> Result<Identity, TlsError> {
    let mut chain = pem::certificates(files.get(&auth.certificate), &auth.certificate)?;
    if let Some(file) = &auth.intermediates {
        chain.extend(pem::certificates(files.get(file), file)?);
    }
    let key = pem::key(files.get(&auth.key), &auth.key)?;
    let mut roots = RootCertStore::empty();
    pem::add_roots(&mut roots, files.get(trust), trust)?;
    Identity::new(chain, &key, roots)
}
