//! The client's half of a request: the seam between a walk, which knows no protocol, and the connection or stream that the
//! request came on.
//!
//! A request on its walk is a head in the form of HTTP/1, bytes and [`Request`], whatever it came as: names, context and
//! header rules are the same for all. How its body is read and how an answer is written is its half's own business.

use std::net::SocketAddr;

use super::exchange::{Attempt, Done, Outcome};
use super::forwarded::Labels;
use super::request::Request;
use super::respond::Failure;
use super::upstream::Upstream;
use super::worker::Server;

/// What a walk asks of the client's half. Static dispatch: a walk is compiled for each.
pub(crate) trait ClientHalf {
    /// What becomes of the connection, if it belongs to this one request.
    type Next;

    /// The head, and behind it the body if it is buffered, until [`ClientHalf::take`].
    fn message(&self) -> &[u8];

    /// The client's address, if it can be told. Costs a system call.
    fn remote(&self) -> Option<SocketAddr> {
        None
    }

    /// What stands for the two ends in `Forwarded`, if the server adds one.
    fn labels(&self) -> Option<&Labels> {
        None
    }

    /// Whether it speaks HTTP/2.
    fn is_h2(&self) -> bool {
        false
    }

    /// What `x-forwarded-client-cert` says of the client's certificate (8.8); `None`: it has shown none.
    fn client_cert(&self) -> Option<String>;

    /// The walk has put aside what it needs of [`ClientHalf::message`].
    fn take(&mut self, request: &Request);

    /// Whether nothing of the body is lost: the request can be sent again.
    fn can_repeat(&self, request: &Request) -> bool;

    /// One attempt: sends the request to `upstream` and passes the response on. An outcome other than [`Outcome::Done`] and
    /// [`Outcome::Aborted`] promises that the client has seen nothing of a final response.
    async fn attempt(&mut self, attempt: &Attempt<'_>, upstream: &mut Upstream) -> Outcome;

    /// Answers with a failure of ours.
    async fn answer(&mut self, server: &Server, request: &Request, failure: &Failure)
    -> Self::Next;

    /// The client has the whole response.
    fn done(&mut self, done: Done) -> Self::Next;

    /// The client is gone, or has a response that cannot be ended.
    fn aborted(&mut self, must_reset: bool) -> Self::Next;
}
