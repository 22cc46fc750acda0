//! Between an accepted TCP connection and HTTP: the shares of clients, TLS, and the time limits of `socketOptions` (control
//! plane 3.6).
//!
//! In come accepted connections, out go [`Socket`]s to read and write, with the names of the client's certificate. The files
//! of a [`Gate`] are looked at every two seconds; a change is taken when two looks in a row have seen the same, so that a pair
//! of files that is being replaced is not taken half old, half new. What does not parse changes nothing: what was good goes
//! on, and the failure is logged and counted. Must never: hold up the acceptance of other connections, or know a route.

mod clients;
mod gate;
mod socket;
mod timed;

#[cfg(test)]
mod tests;

pub use clients::{Crowded, Place};
pub use gate::{Gate, GateCounts, Refused};
pub use l5d_tls::{CertificateNames as ClientNames, TlsError, install_provider};
pub use socket::Socket;

/// What is spoken inside TLS, as ALPN calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/1.1: the controller and admin.
    Http1,
    /// HTTP/2 only: the mesh interface.
    H2,
    /// HTTP/2, and HTTP/1.1 for browsers that speak grpc-web.
    H2OrHttp1,
}

impl Alpn {
    /// On the wire, the preferred one first.
    fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Alpn::Http1 => &[b"http/1.1"],
            Alpn::H2 => &[b"h2"],
            Alpn::H2OrHttp1 => &[b"h2", b"http/1.1"],
        }
    }
}
