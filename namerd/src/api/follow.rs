//! `Follow` over HTTP/2: messages in through a decoder with limits, ready-made bytes out without another encoding.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use l5d_resolver::v1;
use prost::Message as _;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, Streaming};
use tonic::{Code, Status};

use super::accept::Peer;
use super::serve::Api;
use super::status;
use super::until::{self, Expiry};
use crate::auth::NodeGuard;
use crate::stream::{Chunks, Claim, Doors, End, follow};

/// What a stream holds to read messages into: acknowledgements are small, and a greater message makes room for itself.
const READ_BUFFER: usize = 256;
/// Only for senders, which this is not.
const NO_YIELD: usize = 32 << 10;

/// Begins a stream: a task hears the node; the body asks for what is to be written, on the task of the connection.
pub(super) fn respond(
    api: &Api,
    doors: &Doors,
    request: Request<tonic::body::Body>,
) -> Response<tonic::body::Body> {
    if let Some(encoding) = request.headers().get("grpc-encoding")
        && encoding != "identity"
    {
        return Status::unimplemented("messages to Follow are not compressed").into_http();
    }
    let peer = request.extensions().get::<Peer>().cloned();
    let authorization = request.headers().get(http::header::AUTHORIZATION).cloned();
    let limits = &api.limits;
    let decoder = UpDecoder {
        limit: limits.hello_bytes,
        next_limit: limits.message_bytes,
    };
    let ups = Streaming::new_request(decoder, request.into_body(), None, Some(limits.hello_bytes));
    let ups = ups.map(|up| up.map_err(|status| status::to_end(&status)));
    let name = peer.as_ref().map_or(String::new(), |p| p.addr.to_string());
    let aged = peer
        .as_ref()
        .map_or_else(Default::default, |p| match api.nodes.asks_nodes() {
            true => p.aged.child_token(),
            false => p.aged.clone(),
        });
    let doors = Doors {
        aged: aged.clone(),
        ..doors.clone()
    };
    let (tell, expiry) = expiry(&api.nodes, &aged).unzip();
    let claim = claim(Arc::clone(&api.nodes), peer.as_ref(), authorization, tell);
    let (serving, chunks) = follow(api.hub.clone(), doors, name, claim, ups);
    let task = tokio::spawn(async move {
        let end = serving.await;
        if let (End::Stalled(_), Some(peer)) = (&end, peer) {
            // Nothing can be told on a stream that nobody reads.
            peer.abort.cancel();
        }
        end
    });
    let mut response = Response::new(tonic::body::Body::new(FollowBody {
        chunks,
        session: Some(AbortOnDropHandle::new(task)),
        expiry,
    }));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

/// What ends a stream with what was shown for it, and how it is told when that is; nothing where nothing is asked for.
fn expiry(
    guard: &NodeGuard,
    aged: &CancellationToken,
) -> Option<(oneshot::Sender<Instant>, Box<Expiry>)> {
    let (tell, until) = oneshot::channel();
    let expiry = || Box::new(Expiry::new(until, aged.clone()));
    guard.asks_nodes().then(|| (tell, expiry()))
}

/// What the node proves with its certificate or the value of `authorization`.
fn claim(
    guard: Arc<NodeGuard>,
    peer: Option<&Peer>,
    authorization: Option<HeaderValue>,
    tell: Option<oneshot::Sender<Instant>>,
) -> impl Future<Output = Result<Claim, End>> + use<> {
    let client = peer.and_then(|peer| peer.client.clone());
    async move {
        let shown = authorization.as_ref().map(HeaderValue::as_bytes);
        let proven = guard.prove(client.as_deref(), shown).await;
        let (proven, until) = proven.map_err(status::denied)?;
        if let (Some(until), Some(tell)) = (until, tell) {
            // Fails only if nobody reads the stream any more.
            let _ = tell.send(until);
        }
        let claim = move |node: &str| proven.allows(node).map_err(status::denied);
        Ok(Box::new(claim) as Claim)
    }
}

/// The bytes of a session as they come, then its end as trailers. Dropping it ends the session.
struct FollowBody {
    chunks: Chunks,
    session: Option<AbortOnDropHandle<End>>,
    /// Where something must be proved.
    expiry: Option<Box<Expiry>>,
}

impl Body for FollowBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let me = &mut *self;
        let expiry = me.expiry.as_mut().filter(|_| me.session.is_some());
        let has_ended = expiry.is_some_and(|expiry| expiry.poll_end(cx).is_ready());
        if !has_ended && let Some(chunk) = ready!(self.chunks.poll_next(cx)) {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(session) = &mut self.session else {
            return Poll::Ready(None);
        };
        let status = match has_ended {
            true => until::ended(),
            false => match ready!(Pin::new(session).poll(cx)) {
                Ok(end) => status::of_end(&end),
                Err(_) => Status::internal("the session has panicked"),
            },
        };
        self.session = None;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(match status.add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(status) => Err(status),
        }))
    }
}

/// Reads `Up` messages, each within its limit.
struct UpDecoder {
    limit: usize,
    next_limit: usize,
}

impl Decoder for UpDecoder {
    type Item = v1::Up;
    type Error = Status;

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(READ_BUFFER, NO_YIELD)
    }

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<v1::Up>, Status> {
        let (len, limit) = (src.remaining(), self.limit);
        if len > limit {
            return Err(Status::new(
                Code::ResourceExhausted,
                format!("a message of {len} bytes is over the limit of {limit} bytes"),
            ));
        }
        self.limit = self.next_limit;
        v1::Up::decode(src)
            .map(Some)
            .map_err(|e| Status::invalid_argument(format!("a message does not decode: {e}")))
    }
}
