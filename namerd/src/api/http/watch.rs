//! `watch=true`: one document a line, for as long as the client stays (control plane 7.8).

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::web::{self, Body};

/// Silence after which a blank line shows that the stream lives. Readers of JSON skip it.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What a source has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The state now.
    Document(String),
    /// It cannot be known; nothing follows.
    Failed(String),
}

/// A live state.
pub(super) trait Source: Send + 'static {
    /// The next state that is worth telling. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Next> + Send;

    /// How a failure is told inside the stream.
    fn failure(&self, cause: &str) -> String {
        cause.to_owned()
    }
}

/// Streams a source's states. A state equal to the one before is not told again.
pub(super) fn watch<S: Source>(
    content_type: &'static str,
    source: S,
    stop: &CancellationToken,
) -> Response<Body> {
    let watching = Watching {
        source,
        last: None,
        stop: stop.clone(),
        is_over: false,
    };
    let pieces = stream::unfold(watching, |mut watching| async move {
        let piece = watching.piece().await?;
        Some((piece, watching))
    });
    web::stream(content_type, pieces)
}

struct Watching<S> {
    source: S,
    last: Option<Bytes>,
    stop: CancellationToken,
    is_over: bool,
}

impl<S: Source> Watching<S> {
    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over {
                return None;
            }
            let next = tokio::select! {
                () = self.stop.cancelled() => return None,
                next = timeout(KEEP_ALIVE, self.source.next()) => next,
            };
            match next {
                Err(_silence) => return Some(Bytes::from_static(b"\n")),
                Ok(Next::Document(document)) => {
                    let line = Bytes::from(document + "\n");
                    if self.last.as_ref() != Some(&line) {
                        self.last = Some(line.clone());
                        return Some(line);
                    }
                }
                Ok(Next::Failed(cause)) => {
                    tracing::info!(cause, "a watch ends with an error");
                    self.is_over = true;
                    return Some(Bytes::from(format!("{}\n", self.source.failure(&cause))));
                }
            }
        }
    }
}
