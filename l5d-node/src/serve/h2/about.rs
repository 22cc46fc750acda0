//! What a client connection is, apart from its bytes: known when it begins, the same for all of its streams.

use std::net::SocketAddr;
use std::rc::Rc;

use rustls_pki_types::CertificateDer;

use crate::connect::Stream;
use crate::serve::forwarded::Labels;
use crate::serve::worker::Server;

/// The client's end of a connection in HTTP/2.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// For `Forwarded`, if the server adds it.
    pub(super) labels: Option<Rc<Labels>>,
    /// The client's address, if somebody wants to be told.
    pub(super) remote: Option<SocketAddr>,
    /// The client's own certificate, if it has shown one.
    pub(super) certificate: Option<Rc<CertificateDer<'static>>>,
}

impl About {
    pub(crate) fn of(server: &Server, stream: &Stream, labels: Option<Labels>) -> Self {
        let is_told = !server.router.teller.is_silent();
        let certificate = stream.with_certificate(|own| Rc::new(own.clone().into_owned()));
        Self {
            labels: labels.map(Rc::new),
            remote: is_told.then(|| stream.peer_addr()).flatten(),
            certificate,
        }
    }
}
