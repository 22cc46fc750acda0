//! A scripted etcd and a paused clock: how the follower takes what real clusters do now and then.

use std::collections::VecDeque;

use l5d_etcd::v3::ResponseHeader;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::config::EtcdStorage;
use crate::store::{DtabStore as _, NamespaceState, StoreStatus};

/// What comes of one list, and what the watch after it says: each time after the one before.
struct Beginning {
    list: Result<(i64, Vec<KeyValue>), Status>,
    says: Vec<(Duration, Result<WatchResponse, Status>)>,
    /// Whether questions about the progress are answered, with the revision of the list.
    tells_progress: bool,
}

/// An etcd that plays beginnings one by one. Behind the last one it never answers.
struct Script {
    left: Mutex<VecDeque<Beginning>>,
    now: Mutex<VecDeque<(Duration, Result<WatchResponse, Status>)>>,
    progress: Mutex<Option<i64>>,
    /// When it was asked, and what.
    asked: Mutex<Vec<(Instant, String)>>,
}

struct Line {
    script: Arc<Script>,
    last: Instant,
}

/// The script is behind an `Arc`, which watches hold.
struct Etcd(Arc<Script>);

impl Script {
    fn note(&self, what: impl Into<String>) {
        self.asked.lock().push((Instant::now(), what.into()));
    }

    /// When it was asked for this.
    fn times(&self, what: &str) -> Vec<Instant> {
        let asked = self.asked.lock();
        let these = asked.iter().filter(|(_, asked)| asked.starts_with(what));
        these.map(|(at, _)| *at).collect()
    }

    fn watches(&self) -> Vec<String> {
        let asked = self.asked.lock();
        let these = asked.iter().filter(|(_, asked)| asked.starts_with("watch"));
        these.map(|(_, asked)| asked.clone()).collect()
    }
}

impl Watched for Etcd {
    type Watch = Line;

    async fn list(&self, _: Bytes, _: Bytes) -> Result<(i64, Vec<KeyValue>), Status> {
        self.0.note("list");
        let next = self.0.left.lock().pop_front();
        let Some(next) = next else {
            return std::future::pending().await;
        };
        *self.0.now.lock() = next.says.into();
        let at = next.list.as_ref().map_or(0, |(at, _)| *at);
        *self.0.progress.lock() = next.tells_progress.then_some(at);
        next.list
    }

    async fn watch(&self, _: Bytes, _: Bytes, from: i64) -> Result<Line, Status> {
        self.0.note(format!("watch from {from}"));
        Ok(Line {
            script: Arc::clone(&self.0),
            last: Instant::now(),
        })
    }
}

impl Told for Line {
    async fn next(&mut self) -> Result<WatchResponse, Status> {
        let after = self.script.now.lock().front().map(|(after, _)| *after);
        let Some(after) = after else {
            return std::future::pending().await;
        };
        sleep_until(self.last + after).await;
        self.last = Instant::now();
        let said = self.script.now.lock().pop_front();
        said.expect("nobody else takes it").1
    }

    fn ask_progress(&self) {
        self.script.note("progress");
        if let Some(at) = *self.script.progress.lock() {
            let since = self.last.elapsed();
            self.script.now.lock().push_back((since, Ok(head(at))));
        }
    }
}

fn begin(at: i64, all: &[(&str, i64)]) -> Beginning {
    let all = all.iter().map(|(name, at)| kv(name, *at)).collect();
    Beginning {
        list: Ok((at, all)),
        says: vec![(Duration::ZERO, Ok(created(at)))],
        tells_progress: false,
    }
}

fn refuse(message: &str) -> Beginning {
    Beginning {
        list: Err(Status::unavailable(message)),
        says: Vec::new(),
        tells_progress: false,
    }
}

impl Beginning {
    /// A second after what was said before.
    fn say(mut self, said: Result<WatchResponse, Status>) -> Self {
        self.says.push((Duration::from_secs(1), said));
        self
    }
}

/// The dtab of a namespace names the revision that wrote it.
fn kv(name: &str, at: i64) -> KeyValue {
    KeyValue {
        key: format!("/dtabs/{name}").into(),
        value: format!("/svc => /at/{at} ;").into(),
        mod_revision: at,
        ..KeyValue::default()
    }
}

fn head(revision: i64) -> WatchResponse {
    let header = ResponseHeader {
        revision,
        ..ResponseHeader::default()
    };
    WatchResponse {
        header: Some(header),
        ..WatchResponse::default()
    }
}

fn created(at: i64) -> WatchResponse {
    WatchResponse {
        created: true,
        ..head(at)
    }
}

fn event(kind: EventType, name: &str, at: i64) -> WatchResponse {
    let event = Event {
        r#type: kind.into(),
        kv: Some(kv(name, at)),
    };
    WatchResponse {
        events: vec![event],
        ..head(at)
    }
}

/// A store that follows a script.
struct Scene {
    store: Arc<EtcdStore>,
    script: Arc<Script>,
    _task: AbortOnDropHandle<()>,
}

impl Scene {
    fn play(beginnings: impl IntoIterator<Item = Beginning>) -> Self {
        let config = EtcdStorage {
            hosts: vec![("etcd".to_owned(), 2379)],
            path_prefix: "/dtabs".to_owned(),
            tls: None,
        };
        let store = EtcdStore::new(&config).unwrap();
        let script = Arc::new(Script {
            left: Mutex::new(beginnings.into_iter().collect()),
            now: Mutex::default(),
            progress: Mutex::default(),
            asked: Mutex::default(),
        });
        let etcd = Arc::new(Etcd(Arc::clone(&script)));
        let following = Arc::clone(&store);
        let task = async move { following.follow_each(|| Arc::clone(&etcd)).await };
        Self {
            store,
            script,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    async fn until(&self, wanted: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
        self.store.status().wait_for(wanted).await.1.clone()
    }

    /// The revision that wrote what is served.
    fn served(&self, name: &str) -> Option<String> {
        match &self.store.observe(name).get().1 {
            NamespaceState::Present(version) => Some(version.dtab.to_string()),
            _ => None,
        }
    }

    fn serves(&self, name: &str, at: i64) -> bool {
        self.served(name)
            .is_some_and(|text| text.contains(&format!("/at/{at}")))
    }
}

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|two| two[1] - two[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lost_watch_is_told_and_begun_again_behind_a_new_list() {
    let scene = Scene::play([
        begin(5, &[("a", 3), ("b", 5)])
            .say(Ok(event(EventType::Put, "c", 6)))
            .say(Ok(event(EventType::Delete, "b", 7)))
            .say(Err(Status::unavailable("the stream is gone"))),
        begin(9, &[("a", 9), ("c", 6)]),
    ]);
    let lost = scene.until(|status| status.failure.is_some()).await;
    assert!(!lost.connected);
    assert_eq!(lost.failure.as_deref(), Some("etcd: the stream is gone"));
    assert_eq!(lost.position, Some(7), "the deletion was the last news");
    assert!(scene.serves("a", 3) && scene.serves("c", 6), "still served");
    assert_eq!(scene.served("b"), None);
    let back = scene.until(|status| status.connected).await;
    assert_eq!((back.failure, back.position), (None, Some(9)));
    assert!(scene.serves("a", 9) && scene.serves("c", 6));
    assert_eq!(scene.served("b"), None);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.script.watches(), ["watch from 6", "watch from 10"]);
}

#[tokio::test(start_paused = true)]
async fn a_compaction_is_no_failure_and_what_went_meanwhile_goes() {
    let compacted = WatchResponse {
        compact_revision: 40,
        canceled: true,
        ..head(41)
    };
    let scene = Scene::play([
        begin(5, &[("a", 3), ("b", 5)]).say(Ok(compacted)),
        begin(41, &[("a", 3), ("c", 30)]),
    ]);
    let status = scene.until(|status| status.position == Some(41)).await;
    assert_eq!((status.failure, status.failures), (None, 0));
    assert!(scene.serves("a", 3) && scene.serves("c", 30));
    assert_eq!(scene.served("b"), None, "deleted within what was compacted");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.script.watches(), ["watch from 6", "watch from 42"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_leader_is_waited_for_with_the_last_dtabs_served() {
    let canceled = WatchResponse {
        canceled: true,
        cancel_reason: "etcdserver: no leader".to_owned(),
        ..head(5)
    };
    let scene = Scene::play([
        begin(5, &[("a", 3)]).say(Ok(canceled)),
        refuse("etcdserver: leader changed"),
        refuse("etcdserver: request timed out"),
        begin(8, &[("a", 8)]),
    ]);
    for (n, told) in [
        "watch ended: etcdserver: no leader",
        "etcd: etcdserver: leader changed",
        "etcd: etcdserver: request timed out",
    ]
    .into_iter()
    .enumerate()
    {
        let status = scene.until(|s| s.failures == n as u64 + 1).await;
        assert_eq!(status.failure.as_deref(), Some(told));
        assert!(!status.connected && scene.serves("a", 3), "{told}");
    }
    let back = scene.until(|status| status.connected).await;
    assert_eq!((back.failure, back.failures), (None, 3));
    assert!(scene.serves("a", 8));
}

#[tokio::test(start_paused = true)]
async fn an_etcd_that_was_set_back_is_followed_from_where_it_is() {
    let scene = Scene::play([
        begin(50, &[("a", 50), ("b", 20)]).say(Err(Status::unavailable("restored"))),
        begin(9, &[("a", 8)]).say(Ok(event(EventType::Put, "a", 10))),
    ]);
    scene.until(|status| status.position == Some(50)).await;
    assert!(scene.serves("a", 50));
    scene.until(|status| status.position == Some(10)).await;
    assert!(scene.serves("a", 10));
    assert_eq!(scene.served("b"), None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_says_nothing_is_given_up_after_fifteen_seconds() {
    let scene = Scene::play([begin(5, &[("a", 3)]), begin(6, &[("a", 6)])]);
    let began = scene.until(|status| status.connected).await;
    let began = began.confirmed.expect("it has answered");
    let lost = scene.until(|status| status.failure.is_some()).await;
    let told = lost.failure.as_deref();
    assert_eq!(told, Some("the watch said nothing for 15 s"));
    assert_eq!(began.elapsed(), SILENCE, "of the paused clock");
    assert!(scene.serves("a", 3));
    let asked = scene.script.times("progress");
    assert!(asked.len() >= 3, "{asked:?}");
    assert!(gaps(&asked).iter().all(|gap| *gap == PROGRESS), "{asked:?}");
    scene.until(|status| status.connected).await;
    assert!(scene.serves("a", 6));
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_changes_that_answers_lasts() {
    let quiet = Beginning {
        tells_progress: true,
        ..begin(5, &[("a", 3)])
    };
    let scene = Scene::play([quiet, begin(6, &[])]);
    sleep(Duration::from_secs(3_600)).await;
    let status = scene.store.status().get().1.clone();
    assert!(status.connected && status.failures == 0, "{status:?}");
    let age = status.confirmed.expect("it answers").elapsed();
    assert!(age <= PROGRESS, "K8S-130: {age:?}");
    assert_eq!(scene.script.times("list").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn beginnings_are_tried_less_often_until_something_is_said() {
    const TIMES: usize = 60;
    let first = (0..TIMES).map(|_| refuse("no"));
    let then = [
        begin(5, &[]).say(Err(Status::unavailable("gone"))),
        refuse("no"),
    ];
    let scene = Scene::play(first.chain(then));
    // All failed, and the last list never ends.
    scene
        .until(|status| status.failures == TIMES as u64 + 2)
        .await;
    let lists = scene.script.times("list");
    let gaps = gaps(&lists);
    for (n, gap) in gaps.iter().take(TIMES).enumerate() {
        let most = Duration::from_millis(100 << n.min(10)).min(Duration::from_secs(10));
        // A timer of the clock counts whole milliseconds.
        assert!(*gap <= most + Duration::from_millis(1), "{n}: {gap:?}");
    }
    let longest = gaps.iter().max().expect("some");
    assert!(
        *longest > Duration::from_secs(1),
        "never waited: {longest:?}"
    );
    // A second from the list to the end of its watch, then the first wait anew.
    let anew = gaps[TIMES];
    assert!(anew <= Duration::from_millis(1_102), "{anew:?}");
}
