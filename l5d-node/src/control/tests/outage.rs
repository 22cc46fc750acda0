//! Namerd is gone for long: the clock is paused, so an hour takes no time.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_hour_without_namerd_changes_nothing_that_requests_see() {
    let mut world = World::new(&[addr(1), addr(2)]);
    let name = world.name(0);
    let mut replica = simple();
    let peer = world.followed(&mut replica).await;
    let cell = world.set.clusters.cell(&id(0));
    world.script.refusing.lock().extend([addr(1), addr(2)]);
    let before = world.script.dials.lock().len();
    peer.end(Status::unavailable("gone")).await;
    for minute in 1..=60 {
        sleep(Duration::from_secs(60)).await;
        assert!(name.tree().is_some(), "minute {minute}");
        assert_eq!(cell.state().replicas, bound(&[(80, 65_536)]));
        assert!(name.is_stale());
        assert_ne!(world.state(), StreamState::Following);
    }
    // It is asked for at least once a minute, and never in a hurry.
    let dials = world.script.dials.lock().len() - before;
    assert!((60..3600).contains(&dials), "{dials} attempts in an hour");
    world.script.refusing.lock().clear();
    let mut peer = world.stream().await;
    let mut next = replica.next_stream();
    next.clusters[0] = bound(&[(81, 65_536)]);
    peer.turn(&mut next).await;
    assert_eq!(world.state(), StreamState::Following);
    assert_eq!(cell.state().replicas, bound(&[(81, 65_536)]));
    assert!(!name.is_stale());
}
