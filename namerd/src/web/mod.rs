//! What the HTTP/1.1 doors share, the controller of [`crate::api`] and [`crate::admin`]: sockets, connections, parameters,
//! bodies, and the JSON shapes of address sets and trees.
//!
//! A door implements [`Handler`]; [`serve`] feeds it requests until it is told to stop. Nothing here knows a route.

mod explain;
mod listen;
mod params;
mod reply;
mod requests;
mod serve;
mod shapes;
pub mod spans;
mod target;

pub use explain::{Ask, explain};
pub use listen::{ListenError, listen, prepare};
pub use params::{BadBody, Params, media_type, read_body};
pub use reply::{Body, JSON, Refusal, document, empty, json_text, not_allowed, stream, text};
pub use requests::Requests;
pub use serve::{Client, Handler, serve};
pub use shapes::{addr, bound_tree, delegation};
