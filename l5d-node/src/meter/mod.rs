//! Counting: what workers count in, where it is found by name, and the one table of all metrics (node-proxy 15.2, 15.3).
//!
//! A number has one writer and any number of readers, so counting is a load and a store; nothing here locks on the request
//! path. What a module counts stands in that module, which says in [`Measured::read`] under which row of [`table`] each
//! number is shown. Other modules never make up names of metrics.

mod cache;
mod connections;
mod count;
mod failures;
mod reading;
mod registry;
mod requests;
mod status;
pub mod table;

pub use cache::CacheCounts;
pub use connections::{ConnectionCounts, OpenStream};
pub use count::{Counter, Histogram, HistogramView};
pub use failures::{FailureCounts, Reason};
pub use reading::{Measured, Number, Reading, Spread};
pub use registry::{Labelled, Registry};
pub use requests::{Pairs, RequestCounts};
pub use status::StatusCounts;
pub use table::{Described, Kind, METRICS, Scope};
