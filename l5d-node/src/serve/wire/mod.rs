//! HTTP/1 on the wire, without IO: heads, framing, chunks and their translation. Strict on purpose (node-proxy 9.4, trap 1):
//! framing is decided once, here, and what is forwarded is always framed anew.

pub(super) mod chunk;
pub(super) mod field;
pub(super) mod framing;
pub(super) mod head;
#[cfg(test)]
mod tests;
pub(super) mod transfer;
