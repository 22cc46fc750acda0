//! Connections, plain and TLS, for HTTP and gRPC alike.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use l5d_tls::{ClientAuth, ClientTls, TlsError, client};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fail::Failure;

/// A packet lost on the way is sent again within this time; a host that answers to nothing is told soon.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Files for TLS, PEM.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFiles {
    /// Whom to trust; `None`: the machine's own roots.
    pub(crate) ca: Option<PathBuf>,
    /// What to show.
    pub(crate) cert: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
    /// The name in the server's certificate; `None`: the host.
    pub(crate) server_name: Option<String>,
}

/// A connected stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Where to connect. `host` has no brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

impl Target {
    /// Of a URL with scheme http or https.
    pub(crate) fn of(uri: &hyper::Uri, port: [u16; 2]) -> Option<Self> {
        let is_tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = uri.host().filter(|h| !h.is_empty())?;
        Some(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(port[usize::from(is_tls)]),
            is_tls,
        })
    }

    /// Connects, and speaks TLS if it has to. `protocol` is offered by ALPN.
    pub(crate) async fn connect(
        &self,
        files: &TlsFiles,
        protocol: &str,
    ) -> anyhow::Result<Box<dyn Io>> {
        let at = format!("{}:{}", self.host, self.port);
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let failure = Failure::new(format!("cannot connect to {at}: {error}"));
                return Err(failure.hint(HINT).into());
            }
            Err(_) => {
                let failure = Failure::new(format!("cannot connect to {at}: no answer in 10 s"));
                return Err(failure.hint(HINT).into());
            }
        };
        stream.set_nodelay(true)?;
        if !self.is_tls {
            return Ok(Box::new(stream));
        }
        let (settings, config) = files.config(protocol)?;
        let name = client::server_name(&settings, &self.host)?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            Failure::new(format!("no TLS with {at}: {error}")).hint(
                "whom to trust: --tls-ca; the name in the certificate: --tls-server-name; \
                 the client's own: --tls-cert and --tls-key",
            )
        })?;
        Ok(Box::new(stream))
    }
}

/// What to look at when nobody answers.
const HINT: &str = "is namerd running there, and is this its port (HTTP controller 4180: --base-url, resolver API 4321: \
--resolver)? In a cluster: kubectl port-forward deployment/namerd 4180 4321";

impl TlsFiles {
    /// As the TLS library wants them.
    pub(crate) fn settings(&self) -> anyhow::Result<ClientTls> {
        let client_auth = match (&self.cert, &self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(ClientAuth {
                certificate: cert.clone(),
                key: key.clone(),
                intermediates: None,
            }),
            _ => bail!("--tls-cert and --tls-key belong together"),
        };
        Ok(ClientTls {
            common_name: self.server_name.clone(),
            trust: self.ca.iter().cloned().collect(),
            client_auth,
            ..ClientTls::default()
        })
    }

    fn config(&self, protocol: &str) -> anyhow::Result<(ClientTls, ClientConfig)> {
        let settings = self.settings()?;
        match client::read(&settings, &[protocol.as_bytes()]) {
            Ok(config) => Ok((settings, config)),
            Err(TlsError::NoRoots) => {
                bail!("this machine has no certificates to trust: name some with --tls-ca")
            }
            Err(error) => Err(error.into()),
        }
    }
}
