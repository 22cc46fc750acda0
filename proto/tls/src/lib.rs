//! Everything about TLS that is the same in every program: settings and how they are read, files and when a change of them is
//! taken, which certificates are believed, and the names in them (control plane 3.6, node-proxy 14).
//!
//! In come `tls` blocks and PEM files, out go configurations of the TLS library. There is one place for each judgement:
//! [`client`] decides whether a server is whom a name says, [`server`] which clients are let in, [`nodes`] which peer is a node
//! of ours. Nothing here opens a socket, waits, or starts anything; reading files blocks. Must never: take a doubt for a yes,
//! keep or log a key.

pub mod check;
pub mod client;
mod error;
mod files;
mod names;
pub mod nodes;
mod own;
pub mod pem;
pub mod read;
pub mod server;
mod settings;
mod spiffe;

#[cfg(test)]
mod tests;

pub use error::{TlsError, io_reason, reason};
pub use files::{Files, Print, Seen, Settling};
pub use names::CertificateNames;
pub use settings::{CIPHERS, ClientAuth, ClientTls, ServerTls, TlsVersion};
pub use spiffe::{NodeId, NodeIdError};

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The cryptography that everything here is built with.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes the cryptography of this process known to every library that asks for the process's own. For the first lines of a
/// program; later calls change nothing.
pub fn install_provider() {
    let _one_is_set = aws_lc_rs::default_provider().install_default();
}
