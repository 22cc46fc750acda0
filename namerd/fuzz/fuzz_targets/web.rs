//! The part of `web` that reads what clients of the HTTP controller send.

#[path = "../../src/web/params.rs"]
mod params;
#[path = "../../src/web/reply.rs"]
mod reply;

pub(crate) use params::{Params, media_type};
pub(crate) use reply::{JSON, json_text};
