//! `io.l5d.thriftNameInterpreter`: the interface of the 1.x interpreter `io.l5d.namerd` (control plane 5), thrift's binary
//! protocol in ThriftMux frames.
//!
//! One task serves a connection: it reads frames, begins calls, writes answers as they come. Calls are bounded in number,
//! frames in size; a peer that does not answer pings is let go. Nothing is kept here but calls that wait.

mod calls;
mod measure;
mod mux;
#[cfg(test)]
mod tests;
mod trees;
mod value;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use self::calls::Calls;
use self::measure::Measured;
use self::mux::{Ended, Incoming};
use self::value::{CALL, Message};
use crate::bind::Binder;
use crate::config::ThriftOptions;
use crate::meter::Meter;
use crate::tls::Gate;
use crate::web::prepare;

/// What the port needs.
#[derive(Debug)]
pub struct Thrift {
    /// Binds names.
    pub binder: Binder,
    /// Longest path of a question, in bytes.
    pub path_bytes: usize,
    /// Keys of the interface.
    pub options: ThriftOptions,
    /// What connections go through first.
    pub gate: Arc<Gate>,
    /// Whether callers must have shown a certificate.
    pub asks_certificates: bool,
    /// Where calls and limits are counted.
    pub meter: Arc<Meter>,
}

/// Connections at one time: one of each proxy.
const CONNECTIONS: usize = 10_000;
/// Longest frame, in bytes: a dtab and what goes with it.
const FRAME_BYTES: usize = 2 << 20;
/// Calls of one connection at one time: two for each of the 1,000 paths that a router keeps, and as many to spare.
const CALLS: usize = 4_096;
/// How often it is looked whether the peer is there, and when one that says nothing is not.
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(50);
/// After an accept that failed (no file descriptors), before the next one.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What callers are told that had to show a certificate.
const NO_CERTIFICATE: &[u8] =
    b"whoever asks here must show a client certificate; auth.callers of the interface says so";

/// Serves until `stop`. When it returns, everything that it has spawned has ended.
pub async fn serve(listener: TcpListener, thrift: Thrift, stop: CancellationToken) {
    let calls = Calls::new(thrift.binder, thrift.path_bytes, thrift.options);
    let (calls, gate, meter) = (Arc::new(calls), thrift.gate, thrift.meter);
    let asks_certificates = thrift.asks_certificates;
    let (room, connections) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    let accept = async {
        loop {
            let (stream, addr) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let place = match gate.admit(addr.ip()) {
                Ok(place) => place,
                Err(crowded) => {
                    tracing::debug!(%addr, %crowded, "refused");
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                meter.limits.count(["connections"]);
                tracing::warn!(%addr, "refused: all connections of this port are taken");
                continue;
            };
            prepare(&stream, gate.options());
            let (gate, stop) = (Arc::clone(&gate), stop.clone());
            let mut door = Door {
                may_ask: true,
                calls: Arc::clone(&calls),
                meter: Arc::clone(&meter),
                gate: Arc::clone(&gate),
                ip: addr.ip(),
            };
            connections.spawn(stop.run_until_cancelled_owned(async move {
                let ended = match gate.enter(stream).await {
                    Ok(socket) => {
                        door.may_ask = !asks_certificates || socket.client().is_some();
                        connection(socket, &door).await.map_err(|e| e.to_string())
                    }
                    Err(error) => Err(error.to_string()),
                };
                if let Err(error) = ended {
                    tracing::debug!(%addr, error, "a connection ended early");
                }
                drop((permit, place));
            }));
        }
    };
    tokio::select! {
        () = accept => {}
        () = gate.keep_fresh() => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// What the calls of one connection need.
struct Door {
    /// Whether the caller has shown what it must.
    may_ask: bool,
    calls: Arc<Calls>,
    meter: Arc<Meter>,
    gate: Arc<Gate>,
    ip: IpAddr,
}

/// A call that is under way, and how it is answered.
type Answered = (u32, Bytes);

/// Serves one connection until it ends.
async fn connection<IO>(io: IO, door: &Door) -> io::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(FRAME_BYTES)
        .new_codec();
    let mut frames = Framed::new(io, codec);
    let mut under_way = JoinSet::<Answered>::new();
    let mut tags = HashMap::<u32, AbortHandle>::new();
    let mut heard = Instant::now();
    let mut ticks = interval(PING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            frame = frames.next() => {
                let Some(frame) = frame.transpose()? else {
                    return Ok(());
                };
                heard = Instant::now();
                let frame = mux::read(frame.freeze()).map_err(io::Error::other)?;
                if let Some(reply) = take(frame, door, &mut under_way, &mut tags) {
                    frames.send(reply).await?;
                }
            }
            Some(answered) = under_way.join_next() => match answered {
                Ok((tag, answer)) => {
                    tags.remove(&tag);
                    frames.send(answer).await?;
                }
                Err(error) if error.is_cancelled() => {}
                Err(error) => return Err(io::Error::other(error)),
            },
            _ = ticks.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err(io::Error::other("the peer answers no pings"));
                }
                frames.send(mux::ping()).await?;
            }
        }
    }
}

/// Does what a frame asks for; what is to be answered at once.
fn take(
    frame: Incoming,
    door: &Door,
    under_way: &mut JoinSet<Answered>,
    tags: &mut HashMap<u32, AbortHandle>,
) -> Option<Bytes> {
    match frame {
        Incoming::Nothing => None,
        Incoming::Reply(reply) => Some(reply),
        Incoming::Discarded(tag) => {
            tags.remove(&tag)?.abort();
            Some(mux::discarded(tag))
        }
        Incoming::Call { tag, old, .. } if !door.may_ask => {
            measure::refused(&door.meter);
            Some(mux::answer(tag, old, Ended::Error, NO_CERTIFICATE))
        }
        Incoming::Call { tag, old, payload } => {
            let has_room = tags.len() < CALLS && !tags.contains_key(&tag);
            if !has_room || door.gate.may_ask(door.ip).is_err() {
                measure::refused(&door.meter);
                return Some(mux::answer(tag, old, Ended::Refused, &[]));
            }
            let message = match Message::read(payload) {
                Ok(message) if message.kind == CALL => message,
                Ok(_) => return Some(mux::answer(tag, old, Ended::Error, b"not a call")),
                Err(bad) => {
                    let why = bad.to_string();
                    return Some(mux::answer(tag, old, Ended::Error, why.as_bytes()));
                }
            };
            let calls = Arc::clone(&door.calls);
            let mut measured = Measured::new(&door.meter, &message);
            let span = measured.span.clone();
            let call = async move {
                let reply = calls.answer(message).await;
                measured.answered(&reply);
                (tag, mux::answer(tag, old, Ended::Ok, &reply.write()))
            };
            tags.insert(tag, under_way.spawn(call.instrument(span)));
            None
        }
    }
}
