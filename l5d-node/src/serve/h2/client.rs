//! The client's half of a request that came on a stream.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, header};

use super::about::About;
use super::answer::{Answer, is_grpc};
use super::body::Body;
use super::head;
use super::over_h1::over_h1;
use super::over_h2::over_h2;
use super::relay::{Responder, Source as _, write};
use crate::serve::buffer::Scratch;
use crate::serve::exchange::{Attempt, Done, Outcome};
use crate::serve::forwarded::Labels;
use crate::serve::half::ClientHalf;
use crate::serve::request::Request;
use crate::serve::respond::Failure;
use crate::serve::upstream::Upstream;
use crate::serve::wire::framing::Framing;
use crate::serve::worker::Server;
use crate::tls::forwarded_cert;

/// A stream of a client's connection.
pub(super) struct Client {
    /// The request's head in the form of HTTP/1, until it is taken.
    text: Scratch,
    body: Body,
    reply: Reply,
    about: About,
    /// Not a request of HTTP/1 that another node has put on a stream.
    is_h2: bool,
    /// The client said `te: trailers`.
    takes_trailers: bool,
}

/// The way back on a stream.
pub(super) struct Reply {
    respond: SendResponse<Bytes>,
    /// Once the response has begun.
    sending: Option<SendStream<Bytes>>,
    is_grpc: bool,
    /// Counts the streams of this connection that the client gave up before an answer.
    given_up: Rc<Cell<u32>>,
}

impl Client {
    pub(super) fn new(
        text: Scratch,
        head: &http::request::Parts,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        is_restored: bool,
        given_up: Rc<Cell<u32>>,
        about: About,
    ) -> Self {
        Self {
            text,
            about,
            body: Body::new(body),
            reply: Reply {
                respond,
                sending: None,
                is_grpc: !is_restored && is_grpc(&head.headers),
                given_up,
            },
            is_h2: !is_restored,
            takes_trailers: head.headers.contains_key(header::TE),
        }
    }

    /// Answers; `to_head`: without a body.
    pub(super) async fn fail(&mut self, server: &Server, failure: &Failure, to_head: bool) {
        server.stats.failures.count(failure.reason);
        let (response, body) = match Answer::to(failure, self.reply.is_grpc, server) {
            Answer::Reset(reason) => return self.reply.cut(reason),
            Answer::Response(response, body) => (response, body),
        };
        let ends = to_head || body.is_empty();
        // A client that is gone hears nothing.
        if let Ok(mut stream) = self.reply.respond.send_response(response, ends)
            && !ends
        {
            let _ = write(&mut stream, Bytes::from(body), true).await;
        }
    }
}

impl ClientHalf for Client {
    type Next = ();

    fn message(&self) -> &[u8] {
        &self.text
    }

    fn labels(&self) -> Option<&Labels> {
        self.about.labels.as_deref()
    }

    fn remote(&self) -> Option<SocketAddr> {
        self.about.remote
    }

    fn client_cert(&self) -> Option<String> {
        self.about.certificate.as_deref().map(forwarded_cert)
    }

    fn is_h2(&self) -> bool {
        self.is_h2
    }

    fn take(&mut self, _request: &Request) {
        self.text.give_back();
    }

    fn can_repeat(&self, _request: &Request) -> bool {
        self.body.can_repeat()
    }

    async fn attempt(&mut self, attempt: &Attempt<'_>, upstream: &mut Upstream) -> Outcome {
        self.body.rewind(attempt.judge.request_bytes());
        match upstream {
            Upstream::Http2(handle) => {
                let (body, reply) = (&mut self.body, &mut self.reply);
                match over_h2(attempt, handle, self.takes_trailers, body, reply).await {
                    // Too much is gone for another endpoint.
                    Outcome::Refused if !self.body.can_repeat() => {
                        Outcome::Reset(Reason::REFUSED_STREAM)
                    }
                    outcome => outcome,
                }
            }
            Upstream::Http1(http1) => {
                over_h1(attempt, http1, &mut self.body, &mut self.reply).await
            }
        }
    }

    async fn answer(&mut self, server: &Server, request: &Request, failure: &Failure) {
        self.fail(server, failure, request.is_head).await;
    }

    fn done(&mut self, _done: Done) {}

    fn aborted(&mut self, _must_reset: bool) {}
}

impl Responder for Reply {
    async fn gone(&mut self) -> Reason {
        let reset = match &mut self.sending {
            Some(stream) => poll_fn(|cx| stream.poll_reset(cx)).await,
            None => {
                let reset = poll_fn(|cx| self.respond.poll_reset(cx)).await;
                self.given_up.set(self.given_up.get() + 1);
                reset
            }
        };
        reset.unwrap_or(Reason::CANCEL)
    }

    async fn interim(&mut self, text: &[u8]) -> Result<(), Reason> {
        if let Some(interim) = head::to_response(text) {
            // A reset shows soon enough.
            let _ = self.respond.send_informational(interim);
        }
        Ok(())
    }

    async fn head(&mut self, text: &[u8], _framing: Framing, ends: bool) -> Result<(), Reason> {
        let Some(mut response) = head::to_response(text) else {
            return Err(Reason::INTERNAL_ERROR);
        };
        if self.is_grpc && !ends {
            // The verdict comes with the trailers.
            response.headers_mut().remove("l5d-success-class");
        }
        match self.respond.send_response(response, ends) {
            Ok(stream) => {
                self.sending = Some(stream);
                Ok(())
            }
            Err(_) => Err(self.gone().await),
        }
    }

    async fn data(&mut self, bytes: Bytes, ends: bool) -> Result<(), Reason> {
        let Some(stream) = &mut self.sending else {
            return Err(Reason::INTERNAL_ERROR);
        };
        match write(stream, bytes, ends).await {
            Ok(()) => Ok(()),
            Err(()) => Err(self.gone().await),
        }
    }

    async fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Reason> {
        let Some(stream) = &mut self.sending else {
            return Err(Reason::INTERNAL_ERROR);
        };
        let ended = match trailers {
            Some(trailers) => stream.send_trailers(trailers),
            None => stream.send_data(Bytes::new(), true),
        };
        match ended {
            Ok(()) => Ok(()),
            Err(_) => Err(self.gone().await),
        }
    }

    fn cut(&mut self, reason: Reason) {
        match &mut self.sending {
            Some(stream) => stream.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}
