//! Laws of the balancer: shares follow weights (K8S-74), weight changes keep connections (K8S-75), dead endpoints are
//! avoided but never stop traffic (node-proxy 13.1).

mod health;
mod kinds;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use l5d_naming::{ClusterId, Endpoint as Named, EndpointSet, EndpointWeight, Path, Replicas};
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::cache::Cluster;
use crate::config::{ClientSettings, Settings};

fn addr(i: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (i / 250) as u8, (i % 250) as u8], 80))
}

fn endpoints(weights: &[f64]) -> EndpointSet {
    EndpointSet::new(weights.iter().enumerate().map(|(i, w)| Named {
        weight: EndpointWeight::from_f64(*w),
        ..Named::new(addr(i))
    }))
}

fn bound(weights: &[f64]) -> Replicas {
    Replicas::Bound(Arc::new(endpoints(weights)))
}

fn balancer(replicas: Replicas, now: Instant) -> (Arc<Cluster>, Rc<Balancer>) {
    balancer_with(replicas, now, |_| {})
}

fn balancer_with(
    replicas: Replicas,
    now: Instant,
    change: impl Fn(&mut ClientSettings),
) -> (Arc<Cluster>, Rc<Balancer>) {
    let mut settings = Settings::<ClientSettings>::default();
    change(settings.base_mut());
    let all = Balancers::new(
        Arc::default(),
        10,
        Duration::from_secs(600),
        settings,
        1,
        Arc::default(),
    );
    let cluster = Cluster::new(ClusterId(Path::root()), 1, replicas, false);
    let balancer = all.get(&cluster, now);
    (cluster, balancer)
}

/// Chi-square of `counts` against `weights`, and its limit for one in ten thousand.
fn assert_shares(counts: &[u64], weights: &[f64]) {
    let (n, total) = (
        counts.iter().sum::<u64>() as f64,
        weights.iter().sum::<f64>(),
    );
    let mut chi2 = 0.0;
    for (count, weight) in counts.iter().zip(weights) {
        let expected = n * weight / total;
        if expected == 0.0 {
            assert_eq!(*count, 0, "weight 0 was drawn: {counts:?}");
            continue;
        }
        chi2 += (*count as f64 - expected).powi(2) / expected;
    }
    // Wilson and Hilferty's approximation of the quantile.
    let k = weights.iter().filter(|w| **w > 0.0).count().max(2) as f64 - 1.0;
    let limit = k * (1.0 - 2.0 / (9.0 * k) + 3.72 * (2.0 / (9.0 * k)).sqrt()).powi(3);
    assert!(
        chi2 < limit,
        "{counts:?} is not {weights:?}: {chi2} > {limit}"
    );
}

/// One request after the other, each answered in no time.
fn counts_when_idle(balancer: &Balancer, n: usize, now: Instant) -> Vec<u64> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut counts = HashMap::new();
    for _ in 0..n {
        let lease = balancer.lease(&[], &mut rng, now).unwrap();
        lease.discount();
        *counts.entry(lease.endpoint().addr).or_insert(0) += 1;
    }
    (0..balancer.addresses(1000).len())
        .map(|i| counts.get(&addr(i)).copied().unwrap_or(0))
        .collect()
}

#[test]
fn k8s_74_a_light_load_follows_weights() {
    let now = Instant::now();
    for weights in [
        &[1.0, 1.0][..],
        &[9.0, 1.0],
        &[90.0, 9.0, 1.0],
        &[0.5, 0.5, 1.0],
        &[3.0, 0.0, 1.0],
        &[1.0; 40],
        &[0.1],
    ] {
        let (_, balancer) = balancer(bound(weights), now);
        assert_shares(&counts_when_idle(&balancer, 20_000, now), weights);
    }
}

#[test]
fn all_weights_zero_are_equal() {
    let now = Instant::now();
    let (_, balancer) = balancer(bound(&[0.0, 0.0, 0.0]), now);
    assert_shares(&counts_when_idle(&balancer, 20_000, now), &[1.0; 3]);
}

#[test]
fn k8s_74_a_heavy_load_follows_weights() {
    let now = Instant::now();
    let (_, balancer) = balancer(bound(&[90.0, 9.0, 1.0]), now);
    let mut rng = fastrand::Rng::with_seed(3);
    // Everybody has a history of 1 ms, then 1,000 requests are open at once.
    for tried in [
        &[addr(1), addr(2)],
        &[addr(0), addr(2)],
        &[addr(0), addr(1)],
    ] {
        let lease = balancer.lease(tried, &mut rng, now).unwrap();
        lease
            .endpoint()
            .load
            .end(Some(Duration::from_millis(1)), now);
        lease.discount();
        lease.endpoint().load.start();
    }
    let open: Vec<Lease> = (0..1000)
        .map(|_| balancer.lease(&[], &mut rng, now).unwrap())
        .collect();
    let count = |i| open.iter().filter(|l| l.endpoint().addr == addr(i)).count();
    let counts = [count(0), count(1), count(2)];
    assert!((880..=920).contains(&counts[0]), "{counts:?}");
    assert!((70..=110).contains(&counts[1]), "{counts:?}");
    assert!((4..=20).contains(&counts[2]), "{counts:?}");
}

#[test]
fn k8s_75_a_new_weight_keeps_load_and_connections() {
    let now = Instant::now();
    let (cluster, balancer) = balancer(bound(&[1.0, 1.0]), now);
    let mut rng = fastrand::Rng::with_seed(1);
    let lease = balancer.lease(&[addr(1)], &mut rng, now).unwrap();
    cluster.set(bound(&[5.0, 1.0]));
    drop(balancer.lease(&[], &mut rng, now).unwrap());
    assert!(!lease.endpoint().is_removed());
    assert_eq!(lease.endpoint().view(now).weight, 5.0);
    assert_eq!(lease.endpoint().view(now).pending, 1);
    assert_eq!(balancer.stats.adds.get(), 2);
    assert_eq!(balancer.stats.removes.get(), 0);
}

#[test]
fn k8s_72_weights_of_equal_addresses_add_up() {
    let now = Instant::now();
    let twice = [(addr(0), 1.0), (addr(0), 2.0), (addr(1), 1.0)].map(|(addr, w)| Named {
        weight: EndpointWeight::from_f64(w),
        ..Named::new(addr)
    });
    let (_, balancer) = balancer(Replicas::Bound(Arc::new(EndpointSet::new(twice))), now);
    assert_shares(&counts_when_idle(&balancer, 10_000, now), &[3.0, 1.0]);
}

#[test]
fn endpoints_that_leave_drain() {
    let now = Instant::now();
    let (cluster, balancer) = balancer(bound(&[1.0, 1.0]), now);
    let mut rng = fastrand::Rng::with_seed(1);
    let lease = balancer.lease(&[addr(0)], &mut rng, now).unwrap();
    cluster.set(bound(&[1.0]));
    let other = balancer.lease(&[], &mut rng, now).unwrap();
    assert!(lease.endpoint().is_removed() && !other.endpoint().is_removed());
    cluster.set(Replicas::Neg);
    assert_eq!(
        balancer.lease(&[], &mut rng, now).unwrap_err(),
        Unavailable::NoAddress
    );
    cluster.set(bound(&[1.0]));
    assert!(balancer.lease(&[], &mut rng, now).is_ok());
}

#[test]
fn dead_endpoints_are_avoided_and_come_back() {
    let now = Instant::now();
    let (_, balancer) = balancer(bound(&[1.0; 100]), now);
    let mut rng = fastrand::Rng::with_seed(5);
    for i in 1..100 {
        let others: Vec<_> = (0..100).filter(|j| *j != i).map(addr).collect();
        let lease = balancer.lease(&others, &mut rng, now).unwrap();
        lease.connect_failed(now);
        lease.discount();
    }
    // The only one left is always found.
    assert_eq!(counts_when_idle(&balancer, 100, now)[0], 100);
    assert_eq!(balancer.stats.max_effort_exhausted.get(), 0);
    let later = now + Duration::from_millis(100);
    assert!(
        counts_when_idle(&balancer, 10_000, later)[1..]
            .iter()
            .all(|n| *n > 0)
    );
}

/// K8S-62: a gateway that knows nothing of the pod yet is asked now and then, not for each of its requests.
#[test]
fn an_endpoint_that_turns_requests_away_is_avoided_until_it_answers() {
    let start = Instant::now();
    let (_, balancer) = balancer(bound(&[1.0, 1.0]), start);
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut asked, mut now) = (0, start);
    for _ in 0..10_000 {
        now += Duration::from_millis(1);
        let lease = balancer.lease(&[], &mut rng, now).unwrap();
        if lease.endpoint().addr == addr(0) {
            lease.discount();
            lease.endpoint().connected();
            lease.turned_away(now);
            asked += 1;
        }
    }
    // After 0.5, 1, 2, 4 seconds, or down to half of each.
    assert!((2..=6).contains(&asked), "{asked}");
    now += Duration::from_secs(30);
    let lease = balancer.lease(&[addr(1)], &mut rng, now).unwrap();
    lease.succeeded(now);
    drop(lease);
    assert!(counts_when_idle(&balancer, 1000, now)[0] > 300);
}

#[test]
fn sending_never_stops_when_all_look_dead() {
    let now = Instant::now();
    let (_, balancer) = balancer(bound(&[1.0, 1.0]), now);
    let mut rng = fastrand::Rng::with_seed(5);
    for tried in [addr(0), addr(1)] {
        let lease = balancer.lease(&[tried], &mut rng, now).unwrap();
        lease.connect_failed(now);
    }
    assert!(balancer.lease(&[], &mut rng, now).is_ok());
    assert_eq!(balancer.stats.max_effort_exhausted.get(), 1);
}

#[test]
fn a_slow_endpoint_gets_less() {
    let start = Instant::now();
    let (_, balancer) = balancer(bound(&[1.0, 1.0]), start);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut slow = 0;
    for i in 0..1000 {
        let now = start + Duration::from_millis(i);
        let lease = balancer.lease(&[], &mut rng, now).unwrap();
        let is_slow = lease.endpoint().addr == addr(0);
        let took = Duration::from_millis(if is_slow { 100 } else { 1 });
        lease.discount();
        lease.endpoint().load.start();
        lease.endpoint().load.end(Some(took), now);
        slow += u64::from(is_slow);
    }
    assert!(slow < 20, "{slow}");
}

proptest! {
    /// Whatever sets follow each other: the balancer has exactly the last one's addresses, and an endpoint that was in
    /// both is the same object.
    #[test]
    fn sets_are_taken_over_exactly(sets in proptest::collection::vec(
        proptest::collection::btree_map(0usize..20, 0u32..200_000, 0..12), 1..8))
    {
        let now = Instant::now();
        let (cluster, balancer) = balancer(Replicas::Pending, now);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut before: HashMap<SocketAddr, Lease> = HashMap::new();
        for set in sets {
            cluster.set(Replicas::Bound(Arc::new(EndpointSet::new(set.iter().map(|(i, w)| Named {
                weight: EndpointWeight(*w), ..Named::new(addr(*i))
            })))));
            let leased = balancer.lease(&[], &mut rng, now);
            prop_assert_eq!(leased.is_err(), set.is_empty());
            let now_there: Vec<_> = set.keys().map(|i| addr(*i)).collect();
            let mut sorted = now_there.clone();
            sorted.sort();
            prop_assert_eq!(balancer.addresses(100), sorted);
            before.retain(|addr, lease| lease.endpoint().is_removed() != now_there.contains(addr));
            for (addr, lease) in &before {
                prop_assert_eq!(lease.endpoint().is_removed(), !now_there.contains(addr));
            }
            before.retain(|_, lease| !lease.endpoint().is_removed());
            if let Ok(lease) = leased {
                before.insert(lease.endpoint().addr, lease);
            }
        }
    }
}
