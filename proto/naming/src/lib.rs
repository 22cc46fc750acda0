//! The vocabulary of the mesh: paths, name trees, dtabs, bound names and the endpoints behind them.
//!
//! Text comes in through [`Path::parse`], [`Prefix::parse`], [`NameTree::parse`] and [`Dtab::parse`]; canonical text goes
//! out through `Display`. Nothing here does IO, waits, or knows a wire format. Limits on what text may ask for stand in
//! [`limits`].

mod bound;
mod cursor;
mod dtab;
mod endpoint;
pub mod limits;
pub mod metadata;
mod parse;
mod path;
mod prefix;
mod show;
mod transformer;
mod tree;

pub use bound::{BoundName, BoundTree, ClusterId};
pub use dtab::{Dentry, Dtab};
pub use endpoint::{Endpoint, EndpointSet, EndpointWeight, Replicas};
pub use parse::ParseError;
pub use path::{Elem, Path};
pub use prefix::{Prefix, PrefixElem};
pub use transformer::TransformerSpec;
pub use tree::{Eval, NameTree, Weight, Weighted};
