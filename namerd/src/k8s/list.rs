//! Complete lists: streamed where the server can, else in pages (K8S-120, K8S-121). Nothing is published here; a list that
//! fails half-way leaves no trace (K8S-111).

use std::time::Duration;

use foldhash::HashMap;
use tokio::time::{Instant, timeout, timeout_at};

use super::decode::{Bookmark, Decoded, Event, Page, ServerVersion};
use super::failure::Failure;
use super::lines::{Lines, read_all};
use super::sink::Sink;
use super::target::escape;
use super::watch::ApiWatch;
use crate::store::services::ObjectName;

const PAGE_SIZE: u32 = 500;
const PAGE_DEADLINE: Duration = Duration::from_secs(30);
const LIST_DEADLINE: Duration = Duration::from_secs(60);
const VERSION_DEADLINE: Duration = Duration::from_secs(5);
/// How long a server that refused a streamed list is not asked for one again.
const NO_STREAMS: Duration = Duration::from_secs(600);
/// Refusals for load in a row after which the server may answer from its cache.
const OVERLOADED: u32 = 3;

/// All there is of a kind at one version.
pub(super) struct Snapshot<T> {
    pub(super) objects: Vec<T>,
    pub(super) rv: String,
    /// The rest of the stream, if the list was streamed: live events.
    pub(super) live: Option<Lines>,
}

impl<S: Sink> ApiWatch<S> {
    /// One complete list.
    pub(super) async fn list(&mut self) -> Result<Snapshot<S::Object>, Failure> {
        if self.overloaded < OVERLOADED && self.may_stream().await {
            match self.streamed().await {
                Err(Failure::Refused {
                    status: 400 | 422, ..
                }) => self.no_streams(),
                listed => return self.counted(listed),
            }
        }
        let listed = timeout(LIST_DEADLINE, self.paged()).await;
        let late = || {
            Err(Failure::Stalled(format!(
                "a list took longer than {LIST_DEADLINE:?}"
            )))
        };
        self.counted(listed.unwrap_or_else(|_| late()))
    }

    /// The version of the collection as it is now, for a look whether history has gone back (K8S-131).
    pub(super) async fn probe(&self) -> Result<String, Failure> {
        let page = timeout(PAGE_DEADLINE, self.page("limit=1")).await;
        let page =
            page.map_err(|_| Failure::Stalled("a look at the version hangs".to_owned()))??;
        let page: Page<'_> = parse(&page)?;
        Ok(page.metadata.resource_version)
    }

    fn counted(
        &mut self,
        listed: Result<Snapshot<S::Object>, Failure>,
    ) -> Result<Snapshot<S::Object>, Failure> {
        match &listed {
            Ok(_) => self.overloaded = 0,
            Err(Failure::Refused {
                status: 429 | 504, ..
            }) => self.overloaded += 1,
            Err(_) => {}
        }
        listed
    }

    // --- streamed

    async fn may_stream(&self) -> bool {
        if self
            .no_streams_until
            .is_some_and(|until| Instant::now() < until)
        {
            return false;
        }
        let version = timeout(VERSION_DEADLINE, async {
            let reply = self
                .transport
                .get("/version", "application/json")
                .await
                .ok()?;
            let body = read_all(reply.body).await.ok()?;
            serde_json::from_slice::<ServerVersion>(&body).ok()
        });
        matches!(version.await, Ok(Some(version)) if version.streams_lists())
    }

    fn no_streams(&mut self) {
        self.no_streams_until = Some(Instant::now() + NO_STREAMS);
    }

    async fn streamed(&mut self) -> Result<Snapshot<S::Object>, Failure> {
        let seconds = self.watch_seconds();
        let query = format!(
            "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
             &allowWatchBookmarks=true&timeoutSeconds={seconds}"
        );
        let opened = timeout(PAGE_DEADLINE, self.open(&query)).await;
        let mut lines = match opened {
            Ok(opened) => opened?,
            Err(_) => {
                return Err(Failure::Stalled(
                    "a streamed list does not begin".to_owned(),
                ));
            }
        };
        let mut objects: HashMap<ObjectName, S::Object> = HashMap::default();
        // From the last initial event on; bookmarks before the end marker do not count.
        let mut deadline = Instant::now() + LIST_DEADLINE;
        loop {
            let line = match timeout_at(deadline, lines.next()).await {
                Ok(line) => line.map_err(Failure::Cut)?,
                Err(_) => None,
            };
            let Some(line) = line else {
                self.no_streams();
                let why = "a streamed list has no end marker: falling back to pages";
                return Err(Failure::Stalled(why.to_owned()));
            };
            let event: Event<'_> = parse(&line)?;
            let raw = event.object.get();
            match event.kind {
                "BOOKMARK" => {
                    let bookmark: Bookmark = parse(raw.as_bytes())?;
                    if bookmark.ends_list() {
                        return Ok(Snapshot {
                            objects: objects.into_values().collect(),
                            rv: bookmark.rv().to_owned(),
                            live: Some(lines),
                        });
                    }
                }
                "ERROR" => return Err(Failure::of_event(raw)),
                kind => {
                    deadline = Instant::now() + LIST_DEADLINE;
                    if let Some(Decoded { name, object, .. }) = self.decode(raw) {
                        match kind {
                            "DELETED" => objects.remove(&name),
                            _ => objects.insert(name, object),
                        };
                    }
                }
            }
        }
    }

    // --- in pages

    async fn paged(&mut self) -> Result<Snapshot<S::Object>, Failure> {
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let query = match &next {
                // From the server's cache, which ignores limits: the last resort.
                None if self.overloaded >= OVERLOADED => "resourceVersion=0".to_owned(),
                None => format!("limit={PAGE_SIZE}"),
                Some(token) => format!("limit={PAGE_SIZE}&continue={}", escape(token)),
            };
            let page = timeout(PAGE_DEADLINE, self.page(&query)).await;
            let late = |_| Failure::Stalled(format!("a page took longer than {PAGE_DEADLINE:?}"));
            let page = page.map_err(late)??;
            let page: Page<'_> = parse(&page)?;
            for (at, item) in page.items.unwrap_or_default().into_iter().enumerate() {
                objects.extend(self.decode(item.get()).map(|d| d.object));
                if at % 256 == 255 {
                    tokio::task::yield_now().await;
                }
            }
            next = page.metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                let rv = page.metadata.resource_version;
                if rv.is_empty() {
                    return Err(Failure::Garbled(
                        "a list has no resource version".to_owned(),
                    ));
                }
                let live = None;
                return Ok(Snapshot { objects, rv, live });
            }
        }
    }

    async fn page(&self, query: &str) -> Result<Vec<u8>, Failure> {
        let path = self.target.path(query);
        let reply = self.transport.get(&path, self.target.accept_list).await;
        let reply = reply.map_err(Failure::Unreachable)?;
        let (status, retry_after) = (reply.status, reply.retry_after);
        let body = read_all(reply.body).await.map_err(Failure::Cut)?;
        match status {
            200 => Ok(body),
            _ => Err(Failure::of_reply(status, retry_after, &body)),
        }
    }
}

pub(super) fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|e| Failure::Garbled(format!("cannot read what the API server sent: {e}")))
}
