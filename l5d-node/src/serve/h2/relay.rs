//! The two directions of an exchange, whatever they come from and go to: what [`super::over_h2`] needs of the client.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;

use crate::serve::wire::framing::Framing;

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes, and whether they are the last ones, with nothing behind them.
    Data(Bytes, bool),
    /// The end, perhaps with trailers.
    End(Option<HeaderMap>),
}

/// Why the request's body does not go on.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The client has reset the stream, or is gone.
    Reset(Reason),
    /// It does not read.
    Malformed(String),
}

/// Where the request's body comes from.
pub(crate) trait Source {
    /// The next piece; for an attempt that repeats another, from the first on. Cancel safe.
    async fn next(&mut self) -> Result<Piece, Cut>;

    /// Bytes that [`Source::next`] gave have been passed on: there is room for as many.
    fn passed(&mut self, bytes: usize);

    /// Whether all that [`Source::next`] has given can be given again.
    fn can_repeat(&self) -> bool;

    /// There will be no other attempt.
    fn commit(&mut self);

    /// After the end: when the client is gone, if that shows here.
    async fn gone(&mut self);
}

/// Where the response goes.
pub(crate) trait Responder {
    /// When the client is gone or has reset the stream, if that shows here. Cancel safe.
    async fn gone(&mut self) -> Reason;

    /// An interim response's head in the form of HTTP/1.
    async fn interim(&mut self, text: &[u8]) -> Result<(), Reason>;

    /// The final response's head in the form of HTTP/1, which frames its body so. `ends`: nothing comes behind it.
    async fn head(&mut self, text: &[u8], framing: Framing, ends: bool) -> Result<(), Reason>;

    /// Bytes of its body. Returns when they are on their way as far as the client takes them.
    async fn data(&mut self, bytes: Bytes, ends: bool) -> Result<(), Reason>;

    /// Its end, perhaps with trailers.
    async fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Reason>;

    /// It cannot be ended.
    fn cut(&mut self, reason: Reason);
}

/// Sends bytes as the peer's windows allow. An error: the stream is closed or reset.
pub(super) async fn write(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    ends: bool,
) -> Result<(), ()> {
    if bytes.is_empty() && ends {
        return stream.send_data(bytes, true).map_err(drop);
    }
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let mut room = stream.capacity();
        if room == 0 {
            room = match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(room)) => room,
                _ => return Err(()),
            };
        }
        let part = bytes.split_to(room.min(bytes.len()));
        let is_last = ends && bytes.is_empty();
        stream.send_data(part, is_last).map_err(drop)?;
    }
    Ok(())
}
