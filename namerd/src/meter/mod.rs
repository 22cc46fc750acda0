//! What is counted, and under which names (control plane 10).
//!
//! [`table`] is the one list of all metrics: name, help, type, labels. Modules count where things happen, in a [`Counts`] or
//! a [`Histogram`] that they get from the [`Meter`]; the admin server reads them when somebody asks. Label values come from
//! closed sets; should one not, [`Counts`] keeps its size by itself. Imports nothing of this crate.

mod counts;
mod histogram;
mod open;
pub mod table;

use std::sync::Arc;

use l5d_accesslog::AccessLog;
use parking_lot::Mutex;

pub use counts::Counts;
pub use histogram::{BOUNDS, Histogram, Histograms, Measured};
pub use open::{Open, OpenOne};
pub use table::{Described, METRICS, Type};

/// The counters that have no module of their own. Shared by all who count.
#[derive(Debug, Default)]
pub struct Meter {
    /// gRPC calls that have ended: method, code.
    pub grpc: Counts<2>,
    /// Time until the answer of a gRPC call begins, by method.
    pub grpc_seconds: Histograms,
    /// Streams of gRPC calls that stay open until the client leaves, `Follow` apart, by method.
    pub grpc_streams: Arc<Open>,
    /// Calls over thrift that have ended: method; `ok`, `failure`, `exception`, `refused` or `discarded`.
    pub thrift: Counts<2>,
    /// Calls over thrift that wait for their answer, by method.
    pub thrift_waiting: Arc<Open>,
    /// Times that a limit refused something: which limit.
    pub limits: Counts<1>,
    /// Writes to the dtab store: what was done, how it ended.
    pub store_writes: Counts<2>,
    /// How long they took, by what was done.
    pub store_seconds: Histograms,
    /// Answers of systems that are asked for one service at a time: kind of the namer; `found`, `absent` or `failed`.
    pub lookups: Counts<2>,
    /// Requests to the admin server: category of the page, status.
    pub admin: Counts<2>,
    /// The access logs that are written, one for each interface at most.
    pub access_logs: Mutex<Vec<AccessLog>>,
}
