//! Accepted connections of the admin server in TLS (node-proxy 14.1): handshakes go on beside each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::connect::Stream;
use crate::tls::{Acceptor, Refused};

/// Handshakes at one time; further connections wait to be accepted.
const HANDSHAKES: usize = 64;
/// After an accept that failed (no file descriptors), before the next one.
const AGAIN: Duration = Duration::from_millis(50);

/// The way into the admin server.
pub(super) struct Door {
    listener: TcpListener,
    acceptor: Arc<Acceptor>,
    shaking: JoinSet<Result<(Stream, SocketAddr), Refused>>,
}

impl Door {
    pub(super) fn new(listener: TcpListener, acceptor: Arc<Acceptor>) -> Self {
        Self {
            listener,
            acceptor,
            shaking: JoinSet::new(),
        }
    }
}

impl axum::serve::Listener for Door {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            let has_room = self.shaking.len() < HANDSHAKES;
            tokio::select! {
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((tcp, addr)) => {
                        let acceptor = self.acceptor.clone();
                        self.shaking.spawn(async move {
                            Ok((acceptor.accept(tcp).await?, addr))
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the admin server cannot accept");
                        tokio::time::sleep(AGAIN).await;
                    }
                },
                Some(shaken) = self.shaking.join_next() => match shaken {
                    Ok(Ok(entered)) => return entered,
                    Ok(Err(error)) => tracing::debug!(%error, "not let in to the admin server"),
                    Err(error) => tracing::error!(%error, "a handshake has panicked"),
                },
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
