//! From a `tls` block to a handshake.

use std::io;
use std::sync::Arc;

use l5d_tls::{TlsError, client};
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::ClientTls;

/// TLS as configured.
pub(super) struct Tls {
    config: ClientTls,
    /// Made of the files when they could last be read.
    good: Mutex<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(config: &ClientTls) -> Result<Self, TlsError> {
        if let Some(name) = &config.common_name {
            client::server_name(config, name)?;
        }
        Ok(Self {
            good: Mutex::new(Arc::new(client::read(config, &[])?)),
            config: config.clone(),
        })
    }

    pub(super) async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
        alpn: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.config();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = client::server_name(&self.config, host).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
    }

    /// Of the files as they are now, or as they were when they were last good.
    fn config(&self) -> ClientConfig {
        match client::read(&self.config, &[]) {
            Ok(config) => {
                *self.good.lock() = Arc::new(config.clone());
                config
            }
            Err(error) => {
                tracing::error!(%error, "certificates cannot be read again; the last good ones are used");
                ClientConfig::clone(&self.good.lock())
            }
        }
    }
}
