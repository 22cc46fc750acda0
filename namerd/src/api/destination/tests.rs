//! The service over a socket with the generated client; weights and differences.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use l5d_destination::destination as v2;
use l5d_destination::destination::destination_client::DestinationClient;
use l5d_destination::destination::update::Update as Kind;
use l5d_naming::Replicas;
use tonic::{Code, Streaming};

use super::state::{State, differences};
use crate::api::Offer;
use crate::api::tests::Port;
use crate::config::DestinationOptions;
use crate::stream::tests::{Stands, World, bound};

async fn port(names: &[&str]) -> Port {
    let offer = Offer::Destination(DestinationOptions::default());
    Port::offering(World::new(names), Duration::from_secs(2), offer).await
}

fn of(scheme: &str, path: &str) -> v2::GetDestination {
    v2::GetDestination {
        scheme: scheme.to_owned(),
        path: path.to_owned(),
        ..v2::GetDestination::default()
    }
}

/// An update as text: `+addr=weight`, `-addr`, `none(exists)`.
fn shown(update: &v2::Update) -> String {
    let addr = |addr: &l5d_destination::net::TcpAddress| addr.socket_addr().unwrap();
    match update.update.as_ref().unwrap() {
        Kind::Add(set) => {
            let one =
                |w: &v2::WeightedAddr| format!("+{}={}", addr(w.addr.as_ref().unwrap()), w.weight);
            set.addrs.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Kind::Remove(set) => {
            let one = |a| format!("-{}", addr(a));
            set.addrs.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Kind::NoEndpoints(none) => format!("none({})", none.exists),
    }
}

async fn next(updates: &mut Streaming<v2::Update>) -> String {
    shown(&updates.message().await.unwrap().unwrap())
}

/// Control plane 6: the name up to the first dot, whatever its port; differences, IPv6, what is empty and what is not there.
#[tokio::test]
async fn a_destination_is_told_as_differences() {
    let port = port(&["web"]).await;
    port.world
        .set("web", bound(&[("10.0.0.1:80", 1.0), ("[fd00::1]:80", 0.5)]));
    let mut client = DestinationClient::new(port.channel().await);
    let request = of("k8s", "web.default.svc.cluster.local:80");
    let mut updates = client.get(request).await.unwrap().into_inner();
    let first = next(&mut updates).await;
    assert_eq!(first, "+10.0.0.1:80=10000 +[fd00::1]:80=5000");
    port.world
        .set("web", bound(&[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)]));
    assert_eq!(next(&mut updates).await, "+10.0.0.2:80=10000");
    assert_eq!(next(&mut updates).await, "-[fd00::1]:80");
    port.world.set("web", bound(&[]));
    assert_eq!(next(&mut updates).await, "none(true)");
    port.world.stands("web", Stands::No);
    assert_eq!(next(&mut updates).await, "none(false)");
    port.world.stands("web", Stands::Yes);
    port.world.set("web", bound(&[("10.0.0.3:80", 1.0)]));
    let mut again = next(&mut updates).await;
    if again == "none(true)" {
        again = next(&mut updates).await;
    }
    assert_eq!(again, "+10.0.0.3:80=10000");
    port.stop().await;
}

/// What one branch gets does not depend on how many endpoints it has.
#[tokio::test]
async fn branches_get_their_share() {
    let port = port(&["a", "b"]).await;
    port.world
        .set("a", bound(&[("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0)]));
    port.world.set("b", bound(&[("10.0.0.3:80", 1.0)]));
    port.world
        .dtab("/svc/web => 0.75 * /#/shelf/a & 0.25 * /#/shelf/b");
    let mut client = DestinationClient::new(port.channel().await);
    let mut updates = client.get(of("", "web")).await.unwrap().into_inner();
    let first = next(&mut updates).await;
    assert_eq!(
        first,
        "+10.0.0.1:80=11250 +10.0.0.2:80=11250 +10.0.0.3:80=7500"
    );
    port.world.set("b", Replicas::Neg);
    let next = next(&mut updates).await;
    assert_eq!(next, "+10.0.0.1:80=10000 +10.0.0.2:80=10000");
    port.stop().await;
}

#[tokio::test]
async fn what_names_nothing_is_refused() {
    let port = port(&["web"]).await;
    let mut client = DestinationClient::new(port.channel().await);
    for (request, code, message) in [
        (of("dns", "web"), Code::Unimplemented, "Unknown scheme: dns"),
        (of("k8s", ""), Code::Unimplemented, "Empty request path"),
        (of("k8s", ":80"), Code::Unimplemented, "Empty request path"),
        (
            of("k8s", ".svc"),
            Code::InvalidArgument,
            ".svc has no name before its first dot",
        ),
    ] {
        let status = client.get(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
    let mut updates = client.get(of("k8s", "nobody")).await.unwrap().into_inner();
    assert_eq!(next(&mut updates).await, "none(false)");
    port.stop().await;
}

#[tokio::test]
async fn profiles_are_the_default_and_stay_open() {
    let port = port(&["web"]).await;
    let mut client = DestinationClient::new(port.channel().await);
    for (path, name) in [
        (
            "web.default.svc.cluster.local:80",
            "web.default.svc.cluster.local",
        ),
        ("10.0.0.1:80", ""),
        ("[fd00::1]:80", ""),
    ] {
        let profiles = client.get_profile(of("k8s", path)).await.unwrap();
        let mut profiles = profiles.into_inner();
        let profile = profiles.message().await.unwrap().unwrap();
        assert_eq!(profile.fully_qualified_name, name);
        assert!(profile.endpoint.is_none() && profile.dst_overrides.is_empty());
        let budget = profile.retry_budget.unwrap();
        assert_eq!(budget.min_retries_per_second, 10);
    }
    let profiles = client.get_profile(of("k8s", "web")).await.unwrap();
    let mut profiles = profiles.into_inner();
    profiles.message().await.unwrap().unwrap();
    port.stop.cancel();
    let status = profiles.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    port.stop().await;
}

/// The reader's set, from any state to any other, is what the updates make of it.
#[test]
fn updates_lead_from_any_state_to_any_other() {
    let addr = |n: u8| SocketAddr::from(([10, 0, 0, n], 80));
    let set =
        |pairs: &[(u8, u32)]| State::Present(pairs.iter().map(|(n, w)| (addr(*n), *w)).collect());
    let states = [
        State::Absent,
        set(&[]),
        set(&[(1, 1)]),
        set(&[(1, 2), (2, 1)]),
        set(&[(2, 1), (3, 1)]),
    ];
    for before in &states {
        for now in &states {
            let mut held = match before {
                State::Present(held) => held.clone(),
                State::Absent => BTreeMap::new(),
            };
            for update in differences(Some(before), now) {
                match update.update.unwrap() {
                    Kind::Add(set) => held.extend(
                        set.addrs
                            .iter()
                            .map(|w| (w.addr.as_ref().unwrap().socket_addr().unwrap(), w.weight)),
                    ),
                    Kind::Remove(set) => {
                        held.retain(|a, _| !set.addrs.iter().any(|g| g.socket_addr() == Some(*a)));
                    }
                    Kind::NoEndpoints(none) => {
                        assert_eq!(none.exists, *now != State::Absent);
                        held.clear();
                    }
                }
            }
            let expected = match now {
                State::Present(set) => set.clone(),
                State::Absent => BTreeMap::new(),
            };
            assert_eq!(held, expected, "{before:?} -> {now:?}");
        }
    }
}
