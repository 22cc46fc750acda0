//! The settle window (K8S-89, K8S-97, F17).

use super::*;

#[test]
fn k8s_89_f17_a_move_between_slices_is_invisible_in_both_orders() {
    let mut world = World::new();
    world.slice("x", "world", "http:80", "10.0.0.1 10.0.0.2");
    world.slice("y", "world", "http:80", "10.0.0.3");
    let cell = world.port("http", "world").whole();
    let version = cell.get().0;
    // Out of x first, 40 ms later into y; then back, in the other order.
    world.slice("x", "world", "http:80", "10.0.0.2");
    world.pass(40);
    world.slice("y", "world", "http:80", "10.0.0.1 10.0.0.3");
    world.pass(60);
    world.slice("x", "world", "http:80", "10.0.0.1 10.0.0.2");
    world.pass(40);
    world.slice("y", "world", "http:80", "10.0.0.3");
    world.pass(200);
    assert_eq!(cell.get().0, version);
}

#[test]
fn k8s_89_removals_are_held_additions_and_conditions_are_not() {
    let mut world = World::new();
    world.slice("x", "world", "http:80", "10.0.0.1 10.0.0.2");
    let cell = world.port("http", "world").whole();
    world.slice("x", "world", "http:80", "10.0.0.2 10.0.0.3");
    assert_eq!(show(&cell), "[10.0.0.1:80 10.0.0.2:80 10.0.0.3:80]");
    world.slice("x", "world", "http:80", "10.0.0.2 10.0.0.3!");
    assert_eq!(show(&cell), "[10.0.0.1:80 10.0.0.2:80]");
    world.pass(49);
    assert_eq!(show(&cell), "[10.0.0.1:80 10.0.0.2:80]");
    world.pass(1);
    assert_eq!(show(&cell), "[10.0.0.2:80]");
}

#[test]
fn k8s_89_no_removal_is_held_longer_than_200_ms() {
    let mut world = World::new();
    let all: Vec<String> = (1..=9).map(|n| format!("10.0.0.{n}")).collect();
    world.slice("x", "world", "http:80", &all.join(" "));
    let cell = world.port("http", "world").whole();
    for gone in 1..=5 {
        world.slice("x", "world", "http:80", &all[gone..].join(" "));
        world.pass(40);
    }
    assert_eq!(
        show(&cell),
        "[10.0.0.6:80 10.0.0.7:80 10.0.0.8:80 10.0.0.9:80]"
    );
}

#[test]
fn k8s_89_a_held_copy_does_not_outlive_what_its_new_slice_says() {
    let mut world = World::new();
    world.slice("x", "world", "http:80", "10.0.0.1 10.0.0.2");
    let cell = world.port("http", "world").whole();
    world.slice("x", "world", "http:80", "10.0.0.2");
    world.slice("y", "world", "http:80", "10.0.0.1!");
    assert_eq!(show(&cell), "[10.0.0.2:80]");
}

#[test]
fn k8s_97_the_life_of_an_ending_pod_is_at_most_two_updates() {
    let mut world = World::new();
    world.slice("x", "world", "http:80", "10.0.0.1 10.0.0.2");
    let cell = world.port("http", "world").whole();
    let version = cell.get().0;
    world.slice("x", "world", "http:80", "10.0.0.1~ 10.0.0.2");
    world.slice("x", "world", "http:80", "10.0.0.2");
    world.pass(200);
    assert_eq!(show(&cell), "[10.0.0.2:80]");
    assert!(cell.get().0.0 - version.0 <= 2);
}

#[tokio::test(start_paused = true)]
async fn k8s_89_the_task_releases_in_time() {
    let mut world = World::new();
    world.slice("x", "world", "http:80", "10.0.0.1 10.0.0.2");
    let cell = world.port("http", "world").whole();
    let token = CancellationToken::new();
    let task = tokio::spawn(world.services.clone().run(token.clone()));
    tokio::task::yield_now().await;
    world.now = Instant::now();
    let began = Instant::now();
    world.slice("x", "world", "http:80", "10.0.0.2");
    cell.wait_for(|r| matches!(r, Replicas::Bound(set) if set.len() == 1))
        .await;
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(50) && took < Duration::from_millis(55),
        "{took:?}"
    );
    token.cancel();
    task.await.expect("ends");
}
