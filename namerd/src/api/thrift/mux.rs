//! Frames of ThriftMux: requests and answers with tags on one connection.
//!
//! In comes a frame without its length, out goes what the peer wants, or what it is answered.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// What a peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A call, in the older form if it says so.
    Call { tag: u32, old: bool, payload: Bytes },
    /// The call with this tag is no longer wanted.
    Discarded(u32),
    /// To be answered by these bytes at once.
    Reply(Bytes),
    /// An answer to a ping of ours, or something to be passed over.
    Nothing,
}

/// A frame that no peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame that is cut short")]
pub(super) struct BadFrame;

const TREQ: i8 = 1;
const TDISPATCH: i8 = 2;
const TDRAIN: i8 = 64;
const TPING: i8 = 65;
const TDISCARDED: i8 = 66;
/// The same before its number was corrected.
const TDISCARDED_OLD: i8 = -62;
const TINIT: i8 = 68;
const RERR: i8 = -128;
/// The same before its number was corrected.
const RERR_OLD: i8 = 127;
/// Highest bit of a tag: more of the message follows, which we have not agreed to.
const FRAGMENT: u32 = 1 << 23;

/// How a call ended, as the first byte of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Ok = 0,
    Error = 1,
    /// Not taken; may be tried elsewhere.
    Refused = 2,
}

/// Understands one frame.
pub(super) fn read(mut frame: Bytes) -> Result<Incoming, BadFrame> {
    let head = frame.try_get_u32().map_err(|_| BadFrame)?;
    let (kind, tag) = ((head >> 24) as u8 as i8, head & 0x00ff_ffff);
    Ok(match kind {
        TDISPATCH | TREQ if tag & FRAGMENT != 0 => {
            Incoming::Reply(error(tag, "messages in fragments were not agreed upon"))
        }
        TDISPATCH => {
            pass_pairs(&mut frame)?;
            pass_text(&mut frame)?;
            pass_pairs(&mut frame)?;
            Incoming::Call {
                tag,
                old: false,
                payload: frame,
            }
        }
        TREQ => {
            for _ in 0..frame.try_get_u8().map_err(|_| BadFrame)? {
                frame.try_get_u8().map_err(|_| BadFrame)?;
                let len = frame.try_get_u8().map_err(|_| BadFrame)?;
                pass(&mut frame, len.into())?;
            }
            Incoming::Call {
                tag,
                old: true,
                payload: frame,
            }
        }
        TPING => Incoming::Reply(empty(-TPING, tag)),
        TDRAIN => Incoming::Reply(empty(-TDRAIN, tag)),
        TDISCARDED | TDISCARDED_OLD => {
            let which = frame.try_get_uint(3).map_err(|_| BadFrame)?;
            Incoming::Discarded(which as u32)
        }
        TINIT => {
            // The version, and nothing agreed upon besides.
            let mut reply = BytesMut::from(&empty(-TINIT, tag)[..]);
            reply.put_u16(1);
            Incoming::Reply(reply.freeze())
        }
        // How clients find out whether Tinit is known: whoever answers something else than what was sent does not know it.
        RERR | RERR_OLD => Incoming::Reply(error(tag, "nothing is agreed upon here")),
        kind if kind > 0 => Incoming::Reply(error(tag, "unknown kind of message")),
        _ => Incoming::Nothing,
    })
}

/// The answer to a call.
pub(super) fn answer(tag: u32, old: bool, ended: Ended, payload: &[u8]) -> Bytes {
    let kind = if old { -TREQ } else { -TDISPATCH };
    let mut frame = BytesMut::with_capacity(payload.len() + 7);
    put_head(kind, tag, &mut frame);
    frame.put_u8(ended as u8);
    if !old {
        // No contexts.
        frame.put_u16(0);
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// Says that a call was dropped, so that its tag is free.
pub(super) fn discarded(tag: u32) -> Bytes {
    empty(-TDISCARDED, tag)
}

/// Asks whether the peer is there.
pub(super) fn ping() -> Bytes {
    empty(TPING, 1)
}

fn error(tag: u32, why: &str) -> Bytes {
    let mut frame = BytesMut::from(&empty(RERR, tag)[..]);
    frame.put_slice(why.as_bytes());
    frame.freeze()
}

fn empty(kind: i8, tag: u32) -> Bytes {
    let mut frame = BytesMut::with_capacity(4);
    put_head(kind, tag, &mut frame);
    frame.freeze()
}

fn put_head(kind: i8, tag: u32, out: &mut BytesMut) {
    out.put_u32(u32::from(kind as u8) << 24 | tag & 0x00ff_ffff);
}

fn pass_pairs(frame: &mut Bytes) -> Result<(), BadFrame> {
    for _ in 0..frame.try_get_u16().map_err(|_| BadFrame)? {
        pass_text(frame)?;
        pass_text(frame)?;
    }
    Ok(())
}

fn pass_text(frame: &mut Bytes) -> Result<(), BadFrame> {
    let len = frame.try_get_u16().map_err(|_| BadFrame)?;
    pass(frame, len.into())
}

fn pass(frame: &mut Bytes, len: usize) -> Result<(), BadFrame> {
    if len > frame.len() {
        return Err(BadFrame);
    }
    frame.advance(len);
    Ok(())
}
