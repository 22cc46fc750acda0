//! TLS to namerd, and the token that is shown to it. Files are read for each connection, so that what was replaced is used
//! from the next one on.

use std::io;
use std::path::Path;
use std::sync::Arc;

use l5d_tls::client;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::ClientTls;

/// Shakes hands with whoever is at the other end.
pub(crate) async fn handshake(
    tls: &ClientTls,
    addr: std::net::SocketAddr,
    tcp: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let of = tls.clone();
    let config = tokio::task::spawn_blocking(move || client::read(&of, &[b"h2"])).await;
    let config = config
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
    let host = addr.ip().to_string();
    let name = client::server_name(tls, &host).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

/// The token in a file.
pub(crate) fn token(path: &Path) -> Result<String, String> {
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let token = text.trim();
    match token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        true => Err(wrong("it has no token".to_owned())),
        false => Ok(token.to_owned()),
    }
}
