//! What each kind of balancer promises (node-proxy 13.1 to 13.3), weights included (K8S-74).

use super::*;
use crate::config::BalancerKind;

const MS: Duration = Duration::from_millis(1);

fn kinds() -> [BalancerKind; 5] {
    [
        BalancerKind::P2c { max_effort: 5 },
        BalancerKind::Ewma {
            max_effort: 5,
            decay: Duration::from_secs(10),
        },
        aperture(1),
        BalancerKind::Heap,
        BalancerKind::RoundRobin { max_effort: 5 },
    ]
}

fn aperture(min: u32) -> BalancerKind {
    BalancerKind::Aperture {
        max_effort: 5,
        smooth: Duration::from_secs(5),
        low_load: 0.5,
        high_load: 2.0,
        min,
    }
}

fn of_kind(kind: BalancerKind, weights: &[f64], now: Instant) -> Rc<Balancer> {
    balancer_with(bound(weights), now, |s| s.load_balancer.kind = kind).1
}

fn pending(balancer: &Balancer, now: Instant) -> Vec<u32> {
    let (_, views) = balancer.view(now);
    views.iter().map(|v| v.pending).collect()
}

#[test]
fn k8s_74_every_kind_spreads_a_light_load_by_weight() {
    let now = Instant::now();
    for kind in kinds() {
        let kind = match kind {
            // All of them in use.
            BalancerKind::Aperture { .. } => aperture(100),
            kind => kind,
        };
        for weights in [
            &[1.0, 1.0][..],
            &[9.0, 1.0],
            &[3.0, 0.0, 1.0],
            &[0.0, 0.0],
            &[90.0, 9.0, 1.0],
        ] {
            let counts = counts_when_idle(&of_kind(kind, weights, now), 10_000, now);
            match weights {
                [0.0, 0.0] => assert_shares(&counts, &[1.0, 1.0]),
                weights => assert_shares(&counts, weights),
            }
        }
    }
}

#[test]
fn k8s_74_every_kind_spreads_a_heavy_load_by_weight() {
    let now = Instant::now();
    for kind in kinds() {
        let kind = match kind {
            BalancerKind::Aperture { .. } => aperture(100),
            kind => kind,
        };
        let balancer = of_kind(kind, &[6.0, 3.0, 1.0], now);
        let mut rng = fastrand::Rng::with_seed(3);
        // Everybody has answered once.
        for i in 0..3 {
            let others: Vec<_> = (0..3).filter(|j| *j != i).map(addr).collect();
            let lease = balancer.lease(&others, &mut rng, now).unwrap();
            lease.ended(now + MS);
        }
        let open: Vec<_> = (0..1000)
            .map(|_| balancer.lease(&[], &mut rng, now + MS).unwrap())
            .collect();
        let counts = pending(&balancer, now + MS);
        for (count, expected) in counts.iter().zip([600, 300, 100]) {
            assert!(count.abs_diff(expected) <= 40, "{kind:?}: {counts:?}");
        }
        drop(open);
        assert_eq!(pending(&balancer, now + MS), [0, 0, 0]);
    }
}

#[test]
fn p2c_and_heap_prefer_who_has_fewer_requests() {
    let now = Instant::now();
    for kind in [BalancerKind::P2c { max_effort: 5 }, BalancerKind::Heap] {
        let balancer = of_kind(kind, &[1.0; 10], now);
        let mut rng = fastrand::Rng::with_seed(3);
        let open: Vec<_> = (0..100)
            .map(|_| balancer.lease(&[], &mut rng, now).unwrap())
            .collect();
        let counts = pending(&balancer, now);
        let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
        let most = if kind == BalancerKind::Heap { 0 } else { 6 };
        assert!(spread <= most, "{kind:?}: {counts:?}");
        drop(open);
    }
}

#[test]
fn round_robin_takes_turns_and_leaves_out_who_is_out() {
    let now = Instant::now();
    let kind = BalancerKind::RoundRobin { max_effort: 5 };
    let balancer = of_kind(kind, &[1.0; 4], now);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut next = |balancer: &Balancer| balancer.lease(&[], &mut rng, now).unwrap();
    let turns: Vec<_> = (0..8).map(|_| next(&balancer).endpoint().addr).collect();
    assert_eq!(turns[..4], turns[4..]);
    assert_eq!(
        turns.iter().collect::<std::collections::HashSet<_>>().len(),
        4
    );
    let dead = next(&balancer);
    dead.connect_failed(now);
    assert!((0..8).all(|_| next(&balancer).endpoint().addr != dead.endpoint().addr));
    let weighted = of_kind(kind, &[2.0, 1.0], now);
    let turns: Vec<_> = (0..6)
        .map(|_| next(&weighted).endpoint().addr == addr(0))
        .collect();
    assert_eq!(turns, [true, false, true, true, false, true]);
}

#[test]
fn an_aperture_grows_and_shrinks_with_the_load() {
    let start = Instant::now();
    let balancer = of_kind(aperture(2), &[1.0; 20], start);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut now = start;
    let mut used = std::collections::HashSet::new();
    for _ in 0..1000 {
        now += MS;
        used.insert(balancer.lease(&[], &mut rng, now).unwrap().endpoint().addr);
    }
    assert_eq!(used.len(), 2, "{used:?}");
    // Twenty requests for a minute: two each take ten endpoints.
    let mut open = std::collections::VecDeque::new();
    for _ in 0..600 {
        now += 100 * MS;
        open.push_back(balancer.lease(&[], &mut rng, now).unwrap());
        if open.len() > 20 {
            open.pop_front();
        }
    }
    let in_use = pending(&balancer, now).iter().filter(|n| **n > 0).count();
    assert!((8..=13).contains(&in_use), "{:?}", pending(&balancer, now));
    open.clear();
    used.clear();
    for i in 0..1000 {
        now += 100 * MS;
        let lease = balancer.lease(&[], &mut rng, now).unwrap();
        lease.ended(now);
        if i > 900 {
            used.insert(lease.endpoint().addr);
        }
    }
    assert_eq!(used.len(), 2, "{used:?}");
}

#[test]
fn an_aperture_wider_than_the_cluster_is_the_cluster() {
    let now = Instant::now();
    let balancer = of_kind(aperture(100), &[1.0; 3], now);
    assert_shares(&counts_when_idle(&balancer, 3000, now), &[1.0; 3]);
    // Who is out of it is used when all in it are out.
    let narrow = of_kind(aperture(1), &[1.0; 3], now);
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..2 {
        narrow
            .lease(&[], &mut rng, now)
            .unwrap()
            .connect_failed(now);
    }
    assert_eq!(narrow.stats.max_effort_exhausted.get(), 0);
    assert!(narrow.lease(&[], &mut rng, now).is_ok());
    assert_eq!(narrow.stats.max_effort_exhausted.get(), 0);
}

#[test]
fn ewma_tries_the_unknown_and_shuns_the_fast_failer() {
    let start = Instant::now();
    let balancer = of_kind(kinds()[1], &[1.0, 1.0], start);
    let mut rng = fastrand::Rng::with_seed(3);
    let first = balancer.lease(&[], &mut rng, start).unwrap();
    let second = balancer.lease(&[], &mut rng, start).unwrap();
    assert_ne!(first.endpoint().addr, second.endpoint().addr);
    let failer = first.endpoint().addr;
    first.failed(start + MS);
    first.ended(start + MS);
    drop(first);
    second.succeeded(start + 50 * MS);
    second.ended(start + 50 * MS);
    drop(second);
    for i in 0..100 {
        let now = start + (50 + i) * MS;
        let lease = balancer.lease(&[], &mut rng, now).unwrap();
        assert_ne!(lease.endpoint().addr, failer);
        lease.ended(now + 50 * MS);
    }
}

/// Slow start: beside others a new endpoint begins with a tenth of its share.
#[test]
fn a_new_endpoint_warms_up() {
    let start = Instant::now();
    for kind in kinds() {
        let kind = match kind {
            BalancerKind::Aperture { .. } => aperture(100),
            kind => kind,
        };
        let (cluster, balancer) = balancer_with(bound(&[1.0, 1.0]), start, |s| {
            s.load_balancer.kind = kind;
            s.load_balancer.warm_up = Duration::from_secs(10);
        });
        // All new: nobody else could take the load.
        assert_shares(&counts_when_idle(&balancer, 2000, start), &[1.0, 1.0]);
        cluster.set(bound(&[1.0, 1.0, 1.0]));
        let share = |now| {
            let counts = counts_when_idle(&balancer, 6000, now);
            counts[2] as f64 / counts.iter().sum::<u64>() as f64
        };
        let [cold, half, warm] = [0, 5, 10].map(|s| share(start + Duration::from_secs(s)));
        assert!((0.02..0.06).contains(&cold), "{kind:?}: {cold}");
        assert!((0.12..0.24).contains(&half), "{kind:?}: {half}");
        assert!((0.31..0.36).contains(&warm), "{kind:?}: {warm}");
    }
}

/// Node-proxy 13.1 on the request path: what a choice needs is there already.
#[test]
fn no_choice_allocates() {
    let now = Instant::now();
    for kind in kinds() {
        let balancer = of_kind(kind, &[1.0, 2.0, 3.0, 4.0], now);
        let mut rng = fastrand::Rng::with_seed(3);
        drop(balancer.lease(&[], &mut rng, now));
        let tried = [addr(2)];
        let measured = allocation_counter::measure(|| {
            for i in 0..1000 {
                let now = now + i * MS;
                let lease = balancer.lease(&tried, &mut rng, now).unwrap();
                if i % 100 == 0 {
                    lease.failed(now);
                } else {
                    lease.succeeded(now);
                }
                lease.ended(now);
            }
        });
        assert_eq!(measured.count_total, 0, "{kind:?}");
    }
}
