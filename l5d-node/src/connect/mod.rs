//! Endpoint to connection: opening one with a time limit, keeping idle ones.
//!
//! An address comes in, a connected stream goes out. Everything here belongs to one worker; nothing is shared but the
//! counters, which have one writer and any number of readers. It never decides which endpoint to use and never looks at
//! what travels on a connection.

mod dial;
pub mod h2;
mod local;
mod pool;
mod stream;

pub use dial::{ConnectError, Connection, dial, open_socket};
pub use local::{Local, local};
pub use pool::{IDLE_LIMIT, NoSession, Pool, Session};
pub use stream::{ReadHalf, Socket, Stream, Tls, WriteHalf};

/// The counters, for the layers above.
pub use crate::meter::{
    ConnectionCounts, Counter, Histogram, HistogramView, Registry, RequestCounts,
};
