//! Views that are followed: server-sent events, one for each change.
//!
//! A followed view is computed once a second, less often where that takes long, and sent if it differs from what was sent
//! last, so a page costs the same however much changes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Admin;
use super::views::View;
use crate::web::{self, Body, Refusal};

/// How many views may be followed at one time, and how many are.
#[derive(Clone, Debug)]
pub struct Watchers(Arc<Semaphore>);

const MOST: usize = 64;
const EVERY: Duration = Duration::from_secs(1);
/// However long a view takes, and however many are followed.
const LONGEST: Duration = Duration::from_secs(60);
/// Without a change, a comment goes out after so many looks: a client that is gone is noticed.
const QUIET: u32 = 15;
const EVENTS: &str = "text/event-stream; charset=utf-8";

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
    admin: Arc<Admin>,
    view: View,
    ticks: Interval,
    sent: Option<String>,
    quiet: u32,
    _permit: OwnedSemaphorePermit,
}

/// Follows a view until the client or namerd leaves.
pub(super) fn follow(admin: &Arc<Admin>, view: View) -> Result<Response<Body>, Refusal> {
    let Ok(permit) = Arc::clone(&admin.watchers.0).try_acquire_owned() else {
        admin.meter.limits.count(["admin_watchers"]);
        let why =
            format!("all {MOST} places of pages that follow changes are taken; try again later");
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = Following {
        admin: Arc::clone(admin),
        view,
        ticks,
        sent: None,
        quiet: 0,
        _permit: permit,
    };
    let stop = admin.stop.clone().cancelled_owned();
    let events = stream::unfold(following, |mut following| async move {
        let event = following.next().await;
        Some((event, following))
    });
    let mut response = web::stream(EVENTS, events.take_until(stop));
    let headers = response.headers_mut();
    headers.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    // For proxies that would wait for more.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

impl Following {
    /// A view that takes long is looked at less often: all that are followed together take about a tenth of a processor.
    fn rest(&mut self, took: Duration) {
        let open = u32::try_from(self.admin.watchers.open()).unwrap_or(u32::MAX);
        let rest = took.saturating_mul(10).saturating_mul(open);
        if rest > EVERY {
            self.ticks.reset_after(rest.min(LONGEST));
        }
    }

    async fn next(&mut self) -> Bytes {
        loop {
            self.ticks.tick().await;
            let began = Instant::now();
            let (kind, text) = match self.view.show(&self.admin).await {
                Ok(text) => ("data", text),
                Err(refusal) => ("event: refused\ndata", web::json_text(refusal.why())),
            };
            self.rest(began.elapsed());
            let event = format!("{kind}: {}\n\n", text.replace('\n', " "));
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
