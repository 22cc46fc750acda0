//! Messages to bytes: gRPC prefix and encoded `Down`, ready to be written to any number of streams.

use bytes::{BufMut, Bytes, BytesMut};
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use prost::Message as _;

/// Bytes of the gRPC prefix: not compressed, then the length.
const PREFIX_BYTES: usize = 5;

/// One message, framed.
pub(super) fn frame(message: Message) -> Bytes {
    let down = v1::Down {
        message: Some(message),
    };
    let len = down.encoded_len();
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + len);
    out.put_u8(0);
    out.put_u32(len as u32);
    down.encode(&mut out).expect("a growing buffer has room");
    out.freeze()
}
