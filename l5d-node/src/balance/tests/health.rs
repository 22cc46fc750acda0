//! Who is set aside and how it comes back, as requests see it (node-proxy 13.1, 13.4, 13.5).

use super::*;
use crate::config::{AccrualPolicy, Backoff, BalancerKind};

const S: Duration = Duration::from_secs(1);

fn lease_on(balancer: &Balancer, i: usize, n: usize, now: Instant) -> Lease {
    let others: Vec<_> = (0..n).filter(|j| *j != i).map(addr).collect();
    let mut rng = fastrand::Rng::with_seed(1);
    let lease = balancer.lease(&others, &mut rng, now).unwrap();
    assert_eq!(lease.endpoint().addr, addr(i));
    lease
}

fn kill(balancer: &Balancer, i: usize, n: usize, now: Instant) {
    for _ in 0..5 {
        lease_on(balancer, i, n, now).failed(now);
    }
}

fn health(balancer: &Balancer, now: Instant) -> Vec<Health> {
    let (_, views) = balancer.view(now);
    views.iter().map(|v| v.health).collect()
}

fn p2c(settings: &mut ClientSettings) {
    settings.load_balancer.kind = BalancerKind::P2c { max_effort: 5 };
}

/// Acceptance 6, without the network: removed after five, probed later, revived.
#[test]
fn failure_accrual_removes_probes_and_revives() {
    let now = Instant::now();
    let (_, balancer) = balancer_with(bound(&[1.0; 3]), now, p2c);
    drop(balancer.lease(&[], &mut fastrand::Rng::with_seed(1), now));
    kill(&balancer, 0, 3, now);
    assert_eq!(
        health(&balancer, now),
        [Health::Dead, Health::Open, Health::Open]
    );
    assert_eq!(counts_when_idle(&balancer, 1000, now)[0], 0);
    let later = now + 5 * S;
    assert_eq!(health(&balancer, later)[0], Health::Probing);
    let probe = lease_on(&balancer, 0, 3, later);
    assert_eq!(health(&balancer, later)[0], Health::Waiting);
    assert_eq!(counts_when_idle(&balancer, 1000, later)[0], 0);
    probe.succeeded(later);
    drop(probe);
    assert_shares(&counts_when_idle(&balancer, 3000, later), &[1.0; 3]);
    let stats = &balancer.stats;
    let counts = [
        &stats.removals,
        &stats.probes,
        &stats.revivals,
        &stats.removed_for_ms,
    ];
    assert_eq!(counts.map(|c| c.get()), [1, 1, 1, 5000]);
}

/// A gateway's "not mine" is no failure of the gateway: it is set aside for a moment, not for five seconds.
#[test]
fn turned_away_requests_are_nothing_to_failure_accrual() {
    let now = Instant::now();
    let (_, balancer) = balancer_with(bound(&[1.0; 2]), now, p2c);
    drop(balancer.lease(&[], &mut fastrand::Rng::with_seed(1), now));
    let at_once: Vec<_> = (0..5).map(|_| lease_on(&balancer, 0, 2, now)).collect();
    at_once.iter().for_each(|l| l.turned_away(now));
    drop(at_once);
    assert_eq!(health(&balancer, now)[0], Health::Aside);
    assert_eq!(balancer.stats.removals.get(), 0);
    let later = now + 30 * S;
    assert_eq!(health(&balancer, later)[0], Health::Open);
}

#[test]
fn failed_connections_count_for_failure_accrual() {
    let now = Instant::now();
    let (_, balancer) = balancer_with(bound(&[1.0; 2]), now, p2c);
    drop(balancer.lease(&[], &mut fastrand::Rng::with_seed(1), now));
    // After each the endpoint is left alone for at most a minute.
    let mut later = now;
    for _ in 0..5 {
        later += 60 * S;
        lease_on(&balancer, 1, 2, later).connect_failed(later);
    }
    assert_eq!(health(&balancer, later), [Health::Open, Health::Dead]);
    let none = AccrualPolicy::Never;
    let (_, balancer) = balancer_with(bound(&[1.0; 2]), now, |s| s.failure_accrual.policy = none);
    drop(balancer.lease(&[], &mut fastrand::Rng::with_seed(1), now));
    for _ in 0..50 {
        later += 60 * S;
        lease_on(&balancer, 1, 2, later).connect_failed(later);
    }
    assert_eq!(
        health(&balancer, later + 60 * S),
        [Health::Open, Health::Open]
    );
}

/// The panic floor: when most are dead, all get their share again; who cannot be connected to gets none all the same.
#[test]
fn below_the_panic_threshold_all_are_used() {
    let now = Instant::now();
    let (_, balancer) = balancer_with(bound(&[1.0; 4]), now, |s| {
        p2c(s);
        s.load_balancer.panic_threshold = 0.5;
    });
    drop(balancer.lease(&[], &mut fastrand::Rng::with_seed(1), now));
    kill(&balancer, 0, 4, now);
    kill(&balancer, 1, 4, now);
    let counts = counts_when_idle(&balancer, 2000, now);
    assert_eq!((counts[0], counts[1]), (0, 0));
    kill(&balancer, 2, 4, now);
    assert_shares(&counts_when_idle(&balancer, 4000, now), &[1.0; 4]);
    assert!(balancer.stats.panics.get() >= 4000);
    lease_on(&balancer, 2, 4, now).connect_failed(now);
    assert_shares(
        &counts_when_idle(&balancer, 4000, now),
        &[1.0, 1.0, 0.0, 1.0],
    );
}

/// The endpoints that leave take their share of the panic with them.
#[test]
fn the_dead_that_leave_are_dead_no_more() {
    let now = Instant::now();
    let (cluster, balancer) = balancer_with(bound(&[1.0; 4]), now, |s| {
        p2c(s);
        s.load_balancer.panic_threshold = 0.9;
    });
    drop(balancer.lease(&[], &mut fastrand::Rng::with_seed(1), now));
    kill(&balancer, 3, 4, now);
    cluster.set(bound(&[1.0; 3]));
    counts_when_idle(&balancer, 100, now);
    assert_eq!(balancer.stats.panics.get(), 0);
}

/// `enableProbation`: removed by discovery, an endpoint stays while it is healthy and goes when it fails.
#[test]
fn probation_ends_with_the_first_failure() {
    let now = Instant::now();
    let (cluster, balancer) = balancer_with(bound(&[1.0; 2]), now, |s| {
        p2c(s);
        s.load_balancer.has_probation = true;
        s.failure_accrual.backoff = Backoff::Constant(S);
    });
    drop(balancer.lease(&[], &mut fastrand::Rng::with_seed(1), now));
    cluster.set(Replicas::Bound(Arc::default()));
    let mut rng = fastrand::Rng::with_seed(1);
    assert!(balancer.lease(&[], &mut rng, now).is_ok());
    assert_eq!(balancer.addresses(9).len(), 2);
    lease_on(&balancer, 0, 2, now).connect_failed(now);
    drop(balancer.lease(&[], &mut rng, now));
    assert_eq!(balancer.addresses(9), [addr(1)]);
    // Back in discovery it is as any other.
    cluster.set(bound(&[1.0, 1.0]));
    drop(balancer.lease(&[], &mut rng, now));
    lease_on(&balancer, 1, 2, now).failed(now);
    drop(balancer.lease(&[], &mut rng, now));
    assert_eq!(balancer.addresses(9).len(), 2);
    assert_eq!(balancer.stats.removes.get(), 1);
}

/// `failFast`: out until a connection opened in the background succeeds.
#[tokio::test(start_paused = true)]
async fn fail_fast_waits_for_a_connection() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let there = listener.local_addr().unwrap();
            let set = EndpointSet::new([Named::new(there), Named::new(addr(0))]);
            let now = Instant::now();
            let replicas = Replicas::Bound(Arc::new(set));
            let (_, balancer) = balancer_with(replicas, now, |s| s.fail_fast = true);
            let mut rng = fastrand::Rng::with_seed(1);
            let lease = balancer.lease(&[addr(0)], &mut rng, now).unwrap();
            lease.connect_failed(now);
            let is_out = || {
                let (_, views) = balancer.view(Instant::now());
                let view = views.into_iter().find(|v| v.addr == there);
                view.map(|v| v.health)
            };
            assert_eq!(is_out(), Some(Health::FailFast));
            let end = now + 60 * S;
            while is_out() == Some(Health::FailFast) && Instant::now() < end {
                tokio::time::sleep(100 * Duration::from_millis(1)).await;
            }
            assert_eq!(is_out(), Some(Health::Open));
            assert!(now.elapsed() >= S);
        })
        .await;
}

/// More than may wait are turned away at once.
#[test]
fn the_queue_of_a_client_has_an_end() {
    let now = Instant::now();
    let (_, balancer) = balancer_with(Replicas::Pending, now, |s| s.queue.capacity = 2);
    let places = [balancer.queue(), balancer.queue()];
    assert!(places.iter().all(Option::is_some) && balancer.queue().is_none());
    assert_eq!(balancer.stats.waiters.get(), 2);
    drop(places);
    assert!(balancer.queue().is_some());
    assert_eq!(balancer.stats.too_many_waiters.get(), 1);
}
