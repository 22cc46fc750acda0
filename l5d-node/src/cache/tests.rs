//! The path cache of node-proxy 12.4, and the last-good rules of RES-6.

use std::sync::Arc;
use std::time::Duration;

use l5d_naming::{ClusterId, Dtab, Elem, EndpointSet, NameTree, Path, Replicas};

use super::*;
use crate::config::CacheLimits;

fn path(name: &str) -> Path {
    Path::from_elems(Elem::new(name))
}

fn limits(paths: usize) -> CacheLimits {
    CacheLimits {
        paths,
        clients: 1000,
        idle_ttl: Duration::from_secs(600),
    }
}

fn table(paths: usize) -> (Table, Arc<FollowSet>) {
    let follow = FollowSet::new();
    (Table::new([(limits(paths), follow.clone())]), follow)
}

fn get(table: &Table, name: &str) -> Arc<Name> {
    table.name(0, &path(name), &Dtab::empty())
}

fn wait_ms(ms: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_millis(ms))
}

#[tokio::test(start_paused = true)]
async fn a_name_has_one_entry_and_is_followed_once() {
    let (table, follow) = table(10);
    let first = get(&table, "a");
    assert!(Arc::ptr_eq(&first, &get(&table, "a")));
    assert!(!Arc::ptr_eq(&first, &get(&table, "b")));
    assert_eq!(follow.take().begun.len(), 2);
    assert_eq!(follow.take().begun.len(), 0);
    assert_eq!(table.routers()[0].counts().misses, 2);
}

#[tokio::test(start_paused = true)]
async fn full_evicts_the_longest_idle_that_is_unused() {
    let (table, follow) = table(2);
    let held = get(&table, "held");
    wait_ms(5).await;
    let idle = get(&table, "idle").follow_id().expect("followed");
    follow.take();
    get(&table, "new");
    let changes = follow.take();
    assert_eq!(
        changes.ended,
        [idle],
        "the entry in use is older, but stays"
    );
    assert_eq!(changes.begun.len(), 1);
    assert!(Arc::ptr_eq(&held, &get(&table, "held")));
    assert_eq!(table.routers()[0].counts().evicts, 1);
}

#[tokio::test(start_paused = true)]
async fn full_of_names_in_use_gives_an_entry_for_its_request_only() {
    let (table, follow) = table(1);
    let _held = get(&table, "held");
    follow.take();
    let oneshot = get(&table, "oneshot");
    let id = oneshot.follow_id().expect("followed");
    assert_eq!(follow.take().begun.len(), 1);
    drop(oneshot);
    assert_eq!(follow.take().ended, [id]);
    let counts = table.routers()[0].counts();
    assert_eq!((counts.oneshots, counts.evicts), (1, 0));
    assert_eq!(table.routers()[0].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_begun_and_ended_between_two_looks_is_never_told() {
    let (table, follow) = table(0);
    drop(get(&table, "short"));
    let changes = follow.take();
    assert!(changes.begun.is_empty() && changes.ended.is_empty());
}

#[tokio::test(start_paused = true)]
async fn idle_entries_expire_and_the_most_recent_stays() {
    let (table, follow) = table(10);
    get(&table, "a");
    wait_ms(1).await;
    get(&table, "b");
    wait_ms(1).await;
    let last = get(&table, "c").follow_id();
    wait_ms(601_000).await;
    table.expire();
    assert_eq!(table.routers()[0].counts().expires, 2);
    let left: Vec<_> = follow.names().iter().map(|(id, _)| Some(*id)).collect();
    assert_eq!(left, [last]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_name_is_asked_for_again_by_a_request_after_its_time() {
    let (table, follow) = table(10);
    let name = get(&table, "a");
    follow.take();
    let failure = Failure {
        message: "too many".into(),
        is_limit: true,
    };
    name.refuse(failure, Duration::from_secs(2));
    get(&table, "a");
    assert!(follow.take().begun.is_empty(), "not before retry_ms");
    assert!(matches!(*name.state(), NameState::Failed(_)));
    wait_ms(2_000).await;
    assert!(follow.take().begun.is_empty(), "no request needs it");
    get(&table, "a");
    get(&table, "a");
    assert_eq!(follow.take().begun.len(), 1);
    assert!(matches!(*name.state(), NameState::Pending));
}

#[tokio::test(start_paused = true)]
async fn res_6_pending_and_failure_never_replace_a_good_value() {
    let name = Name::new(0, path("a"), Dtab::empty());
    name.set(NameState::Bound(Arc::new(NameTree::Empty)));
    name.set(NameState::Pending);
    assert!(name.tree().is_some());

    let cluster = Clusters::default().cell(&ClusterId(path("c")));
    cluster.set(Replicas::Bound(Arc::new(EndpointSet::default())));
    let version = cluster.version();
    cluster.set(Replicas::Pending);
    cluster.set(Replicas::Failed("down".into()));
    assert_eq!(cluster.version(), version);
    cluster.set(Replicas::Neg);
    assert!(cluster.version() > version);
}

#[tokio::test(start_paused = true)]
async fn waiters_wake_on_the_first_state_or_give_up() {
    let name = Name::new(0, path("a"), Dtab::empty());
    let waiting = name.settled(Duration::from_secs(10));
    let state = name.settled(Duration::from_secs(1)).await;
    assert!(matches!(*state, NameState::Pending));
    name.set(NameState::Bound(Arc::new(NameTree::Neg)));
    assert!(matches!(*waiting.await, NameState::Bound(_)));
}

#[test]
fn one_cell_for_each_id_while_somebody_holds_it() {
    let clusters = Clusters::default();
    let id = ClusterId(path("c"));
    let cell = clusters.cell(&id);
    assert!(Arc::ptr_eq(&cell, &clusters.cell(&id)));
    let key = cell.key;
    drop(cell);
    assert!(clusters.live().is_empty());
    assert_ne!(clusters.cell(&id).key, key, "a key is never given twice");
}
