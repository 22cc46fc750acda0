//! The client's side of HTTP/2 (RFC 9113) for a proxy on one thread: many streams on one connection, no lock, no task for a
//! stream, and no head that is taken apart to be built again.
//!
//! In: heads in the form of HTTP/1, bytes, trailers. Out: the same of responses. [`Driver`] reads and writes for all streams
//! of a connection and is polled by one task; what streams have to say is gathered until it is polled. [`Opener`] opens
//! streams; a [`Stream`] that is dropped before its end is reset.
//!
//! It must never hold more of a body than the windows allow, never take a reset for an end, and never trust a peer with its
//! memory: what waits to be written is bounded, and nothing is read while it is too much.

mod control;
mod core;
mod driver;
mod frame;
mod head;
mod hpack;
mod state;
mod stream;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;

use h2::Reason;

pub use driver::{Broken, Driver};
pub use head::Head;
pub use stream::{OpenError, Opener, Opening, Part, Stream};

/// What this side tells the peer.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// The window of each stream.
    pub stream_window: u32,
    /// The window of the connection.
    pub connection_window: u32,
    /// Bytes of one frame, if not the protocol's.
    pub max_frame: Option<u32>,
    /// Bytes of one head, as the protocol counts them.
    pub max_header_list: Option<u32>,
    /// Bytes of the decoder's table, if not the protocol's.
    pub header_table: Option<u32>,
}

/// Why a stream has ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fail {
    /// The peer has reset it.
    #[error("the peer has reset the stream: {0}")]
    Reset(Reason),
    /// The peer goes away and has not looked at it.
    #[error("the peer goes away and has not seen the stream")]
    Unseen,
    /// What came is against the protocol.
    #[error("what came is against the protocol: {0}")]
    Protocol(Reason),
    /// The connection is gone.
    #[error("the connection is gone")]
    Lost,
}

/// What a connection's parts share.
type Shared = Rc<RefCell<core::Core>>;

/// Begins: the preface and the settings are the first that [`Driver::poll`] writes.
pub fn begin<T>(io: T, local: Local) -> (Opener, Driver<T>) {
    let core = Rc::new(RefCell::new(core::Core::new(local)));
    (Opener::new(core.clone()), Driver::new(io, core))
}
