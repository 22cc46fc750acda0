//! Views that are followed: server-sent events, one for each change.
//!
//! A followed view is computed once a second, less often where that takes long, and sent if it differs from what was sent
//! last, so a page costs the same however much changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Sight;
use super::views::View;

/// Pages that follow changes: how many there may be, and how many there are.
#[derive(Clone, Debug)]
pub struct Watchers(Arc<Semaphore>);

const MOST: usize = 32;
const EVERY: Duration = Duration::from_secs(1);
/// However long a view takes, and however many are followed.
const LONGEST: Duration = Duration::from_secs(60);
/// Without a change, a comment goes out after so many looks: a client that is gone is noticed.
const QUIET: u32 = 15;

impl Default for Watchers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Watchers {
    /// Views being followed now.
    pub(super) fn open(&self) -> usize {
        MOST - self.0.available_permits()
    }
}

struct Following {
    sight: Arc<Sight>,
    view: View,
    ticks: Interval,
    sent: Option<String>,
    quiet: u32,
    _permit: OwnedSemaphorePermit,
}

/// Follows a view until the client leaves or the process stops.
pub(super) fn follow(sight: &Arc<Sight>, view: View) -> Response {
    let Ok(permit) = Arc::clone(&sight.watchers.0).try_acquire_owned() else {
        let why =
            format!("all {MOST} places of pages that follow changes are taken; try again later\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = Following {
        sight: Arc::clone(sight),
        view,
        ticks,
        sent: None,
        quiet: 0,
        _permit: permit,
    };
    let events = stream::unfold(following, |mut following| async move {
        let event = following.next().await;
        Some((Ok::<_, Infallible>(event), following))
    });
    let events = events.take_until(sight.stop.clone().cancelled_owned());
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // For proxies that would wait for more.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

impl Following {
    /// A view that takes long is looked at less often: all that are followed together take about a tenth of a processor.
    fn rest(&mut self, took: Duration) {
        let open = u32::try_from(self.sight.watchers.open()).unwrap_or(u32::MAX);
        let rest = took.saturating_mul(10).saturating_mul(open);
        if rest > EVERY {
            self.ticks.reset_after(rest.min(LONGEST));
        }
    }

    async fn next(&mut self) -> Bytes {
        loop {
            self.ticks.tick().await;
            let began = Instant::now();
            let event = format!("data: {}\n\n", self.view.show(&self.sight).await);
            self.rest(began.elapsed());
            if self.sent.as_ref() != Some(&event) {
                self.quiet = 0;
                let bytes = Bytes::copy_from_slice(event.as_bytes());
                self.sent = Some(event);
                return bytes;
            }
            self.quiet += 1;
            if self.quiet == QUIET {
                self.quiet = 0;
                return Bytes::from_static(b": still here\n\n");
            }
        }
    }
}
