//! The end of what was let in by a token or a certificate: with it.
//!
//! Tools' streams are cut with a status that says why. A node is asked to move on before, when it has had the time to read a
//! new one, so that it is never cut unless it stays.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::stream::MOVE_WITHIN;

/// A node moves so long before its token or certificate ends, or when half of what is left is over, if that is less.
const BEFORE: Duration = MOVE_WITHIN.saturating_mul(3);

/// The body of an answer that ends with what it was let in by.
pub(super) struct UntilEnd<B> {
    inner: B,
    end: Pin<Box<Sleep>>,
    is_over: bool,
}

/// What stands behind a node's stream, once it is known.
pub(super) struct Expiry {
    until: oneshot::Receiver<Instant>,
    /// What comes next, and the end.
    next: Option<(Pin<Box<Sleep>>, Instant)>,
    /// Tells the node to move on.
    aged: CancellationToken,
}

impl<B> UntilEnd<B> {
    pub(super) fn new(inner: B, until: Instant) -> Self {
        Self {
            inner,
            end: Box::pin(sleep_until(until)),
            is_over: false,
        }
    }
}

impl<B> Body for UntilEnd<B>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let me = &mut *self;
        if me.is_over {
            return Poll::Ready(None);
        }
        if me.end.as_mut().poll(cx).is_ready() {
            me.is_over = true;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(match ended().add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(status) => Err(status),
            }));
        }
        Pin::new(&mut me.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }
}

impl Expiry {
    /// `until` comes when what was shown has been checked; if that has no end it is dropped. `aged` is cancelled when it is time to move.
    pub(super) fn new(until: oneshot::Receiver<Instant>, aged: CancellationToken) -> Self {
        Self {
            until,
            next: None,
            aged,
        }
    }

    /// Ready when it is the end.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.next.is_none() && !self.until.is_terminated() {
            let Ok(until) = ready!(Pin::new(&mut self.until).poll(cx)) else {
                return Poll::Pending;
            };
            let now = Instant::now();
            let left = until.saturating_duration_since(now);
            let move_on = now + left.saturating_sub(BEFORE).max(left / 2);
            self.next = Some((Box::pin(sleep_until(move_on)), until));
        }
        let Some((next, until)) = &mut self.next else {
            return Poll::Pending;
        };
        while next.as_mut().poll(cx).is_ready() {
            if self.aged.is_cancelled() && next.deadline() >= *until {
                return Poll::Ready(());
            }
            self.aged.cancel();
            next.as_mut().reset(*until);
        }
        Poll::Pending
    }
}

/// What a stream ends with.
pub(super) fn ended() -> Status {
    Status::unauthenticated(
        "the token or certificate that was shown has ended; come again with a new one",
    )
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::time::timeout;
    use tonic::Code;

    use super::*;

    /// A stream that never says anything.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_what_was_shown_and_says_why() {
        let begun = Instant::now();
        let until = begun + Duration::from_secs(600);
        let mut body = UntilEnd::new(Silent, until);
        let frame = body.frame().await.expect("an end").expect("in order");
        assert_eq!(Instant::now(), until);
        let trailers = frame.into_trailers().expect("trailers");
        let status = Status::from_header_map(&trailers).expect("a status");
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(body.frame().await.is_none() && body.is_end_stream());
    }

    /// When the node is told to move, and when it is cut, in seconds.
    async fn moves(lives: Option<u64>) -> (Option<u64>, Option<u64>) {
        let (tell, until) = oneshot::channel();
        let aged = CancellationToken::new();
        let mut expiry = Expiry::new(until, aged.clone());
        let begun = Instant::now();
        match lives {
            Some(lives) => tell
                .send(begun + Duration::from_secs(lives))
                .expect("is awaited"),
            None => drop(tell),
        }
        let told = async {
            aged.cancelled().await;
            begun.elapsed().as_secs()
        };
        let cut = async {
            std::future::poll_fn(|cx| expiry.poll_end(cx)).await;
            begun.elapsed().as_secs()
        };
        let day = Duration::from_secs(86_400);
        let (told, cut) = tokio::join!(timeout(day, told), timeout(day, cut));
        (told.ok(), cut.ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_told_to_move_before_its_proof_ends_and_cut_if_it_stays() {
        assert_eq!(moves(Some(3_600)).await, (Some(3_570), Some(3_600)));
        // Half of what is left, so that one token does not make a node move for ever.
        assert_eq!(moves(Some(40)).await, (Some(20), Some(40)));
        assert_eq!(moves(Some(0)).await, (Some(0), Some(0)));
        assert_eq!(moves(None).await, (None, None), "nothing that ends");
    }
}
