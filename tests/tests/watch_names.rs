//! From objects of a cluster to addresses of names, through namerd's watches, model, binder and transformers, on the cluster
//! double and on the real API server. Rule ids are those of the Kubernetes specification.

use std::net::SocketAddr;

use anyhow::Result;
use l5d_naming::Replicas;
use l5d_tests::cluster::{Cluster, Workload, shared_real};
use l5d_tests::control::{ControlPlane, Seen, daemonset, localnode};
use l5d_tests::double::Kind;
use l5d_tests::objects::{Pod, Port};
use l5d_tests::real::NOBODY;
use namerd::store::services::{Kind as Watched, WatchState};
use serde_json::json;

/// Each rule on both clusters, in a namespace of its own.
macro_rules! on_both {
    ($($rule:ident),* $(,)?) => {
        mod double {
            $(#[tokio::test]
            async fn $rule() -> anyhow::Result<()> {
                let cluster = super::Cluster::double()?;
                super::fresh(&cluster, stringify!($rule), super::$rule).await
            })*
        }
        mod real {
            $(#[tokio::test]
            async fn $rule() -> anyhow::Result<()> {
                let Some(cluster) = super::shared_real().await else { return Ok(()) };
                super::fresh(&*cluster.read().await, stringify!($rule), super::$rule).await
            })*
        }
    };
}

on_both!(
    k8s_70_a_gateway_weighs_as_much_as_the_pods_behind_it,
    k8s_70_two_gateways_of_a_node_share_its_weight,
    k8s_51_no_gateway_at_all_is_a_negative_set,
    k8s_61_localnode_keeps_the_pods_of_the_asking_node,
    k8s_143_a_change_on_another_node_is_not_heard,
    k8s_2_a_service_scaled_to_zero_comes_back_in_the_same_binding,
    k8s_2_a_service_deleted_and_created_anew_is_found_again,
    k8s_1_a_moved_pod_changes_the_set_and_not_the_tree,
    k8s_89_a_pod_that_changes_slices_never_leaves,
    k8s_94_terminating_pods_serve_when_nobody_is_ready,
    k8s_87_a_duplicate_outlives_one_of_its_slices,
    k8s_22_each_slice_pairs_its_pods_with_its_own_port,
    k8s_23_a_number_is_a_port_of_the_service,
    k8s_29_a_service_of_another_name_is_nothing,
    k8s_21_many_slices_are_one_set,
);

const INCOMING: u16 = 4141;

/// A namespace, and a control plane that watches.
struct Ground<'a> {
    cluster: &'a Cluster,
    control: ControlPlane,
    ns: String,
}

async fn fresh(
    cluster: &Cluster,
    rule: &str,
    test: impl AsyncFn(&Ground<'_>) -> Result<()>,
) -> Result<()> {
    let ns = rule.replace('_', "-");
    cluster.namespace(&ns).await?;
    let control = ControlPlane::start(cluster)?;
    control.ready().await;
    test(&Ground {
        cluster,
        control,
        ns,
    })
    .await
}

impl Ground<'_> {
    /// `world`, listening on 8080 behind 80, with these pods.
    async fn world(&self, pods: Vec<Pod>) -> Result<Workload> {
        Workload::create(
            self.cluster,
            &self.ns,
            "world",
            &[Port::new("http", 80, 8080)],
            pods,
        )
        .await
    }

    /// The DaemonSet's service, with these pods.
    async fn gateways(&self, pods: Vec<Pod>) -> Result<Workload> {
        let ports = [Port::new("incoming", INCOMING, INCOMING)];
        Workload::create(self.cluster, &self.ns, "l5d", &ports, pods).await
    }

    fn path(&self) -> String {
        format!("/#/io.l5d.k8s/{}/http/world", self.ns)
    }
}

/// A pod of a node: `pod('b', 2)` is 10.2.0.2 on node-b.
fn pod(node: char, n: u8) -> Pod {
    Pod::new(
        format!("pod-{node}-{n}"),
        [10, node_number(node), 0, n],
        format!("node-{node}"),
    )
}

fn node_number(node: char) -> u8 {
    node as u8 - b'a' + 1
}

fn at(node: char, n: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, node_number(node), 0, n], port))
}

async fn k8s_70_a_gateway_weighs_as_much_as_the_pods_behind_it(on: &Ground<'_>) -> Result<()> {
    on.gateways(vec![pod('a', 1), pod('b', 1)]).await?;
    // Nobody stands before node c: its pods count nowhere (K8S-71).
    let pods = vec![
        pod('a', 11),
        pod('a', 12),
        pod('a', 13),
        pod('b', 11),
        pod('c', 11),
    ];
    let mut world = on.world(pods).await?;
    let outgoing = on.control.ask(&on.path(), &[daemonset(&on.ns)], None)?;
    let gateways = |a, b| [(at('a', 1, INCOMING), a), (at('b', 1, INCOMING), b)];
    outgoing.until_addresses(&gateways(3.0, 1.0)).await;
    let prefix = format!("/%/io.l5d.k8s.daemonset/{}/incoming/l5d", on.ns);
    assert_eq!(outgoing.id(), Some(format!("{prefix}{}", on.path())));
    world.remove(on.cluster, "pod-a-11").await?;
    world.add(on.cluster, pod('b', 12)).await?;
    outgoing.until_addresses(&gateways(2.0, 2.0)).await;
    // A pod that is not ready counts nowhere either.
    world.change(on.cluster, "pod-b-12", Pod::unready).await?;
    outgoing.until_addresses(&gateways(2.0, 1.0)).await;
    Ok(())
}

async fn k8s_70_two_gateways_of_a_node_share_its_weight(on: &Ground<'_>) -> Result<()> {
    let mut gateways = on.gateways(vec![pod('a', 1), pod('b', 1)]).await?;
    on.world(vec![pod('a', 11), pod('b', 11)]).await?;
    let outgoing = on.control.ask(&on.path(), &[daemonset(&on.ns)], None)?;
    let (a, b) = (at('a', 1, INCOMING), at('b', 1, INCOMING));
    outgoing.until_addresses(&[(a, 1.0), (b, 1.0)]).await;
    // A rollout with surge, then the old one ends.
    gateways.add(on.cluster, pod('a', 2)).await?;
    let new = at('a', 2, INCOMING);
    outgoing
        .until_addresses(&[(a, 0.5), (new, 0.5), (b, 1.0)])
        .await;
    gateways
        .change(on.cluster, "pod-a-1", Pod::terminating)
        .await?;
    outgoing.until_addresses(&[(new, 1.0), (b, 1.0)]).await;
    // Alone and ending it still serves (K8S-57), judged for each node.
    gateways
        .change(on.cluster, "pod-b-1", Pod::terminating)
        .await?;
    gateways.remove(on.cluster, "pod-a-1").await?;
    gateways.add(on.cluster, pod('a', 3)).await?;
    let third = at('a', 3, INCOMING);
    outgoing
        .until_addresses(&[(new, 0.5), (third, 0.5), (b, 1.0)])
        .await;
    Ok(())
}

async fn k8s_51_no_gateway_at_all_is_a_negative_set(on: &Ground<'_>) -> Result<()> {
    on.world(vec![pod('a', 11)]).await?;
    let outgoing = on.control.ask(&on.path(), &[daemonset(&on.ns)], None)?;
    outgoing
        .until(|seen| *seen == Seen::Cell(Replicas::Neg))
        .await;
    let mut gateways = on.gateways(vec![pod('a', 1)]).await?;
    outgoing
        .until_addresses(&[(at('a', 1, INCOMING), 1.0)])
        .await;
    gateways.scale_to_zero(on.cluster).await?;
    outgoing
        .until(|seen| *seen == Seen::Cell(Replicas::Neg))
        .await;
    Ok(())
}

async fn k8s_61_localnode_keeps_the_pods_of_the_asking_node(on: &Ground<'_>) -> Result<()> {
    let pods = vec![
        pod('a', 11),
        pod('a', 12),
        pod('b', 11),
        pod('a', 13).without_node(),
    ];
    let mut world = on.world(pods).await?;
    let ask = |node| on.control.ask(&on.path(), &[localnode()], Some(node));
    let (a, b, c) = (ask("node-a")?, ask("node-b")?, ask("node-c")?);
    a.until_addresses(&[(at('a', 11, 8080), 1.0), (at('a', 12, 8080), 1.0)])
        .await;
    b.until_addresses(&[(at('b', 11, 8080), 1.0)]).await;
    // Nothing local is negative (K8S-62).
    c.until(|seen| *seen == Seen::Cell(Replicas::Neg)).await;
    // The only local pod ends: it serves on here, though others are ready elsewhere (K8S-63).
    world
        .change(on.cluster, "pod-b-11", Pod::terminating)
        .await?;
    world.add(on.cluster, pod('c', 11)).await?;
    c.until_addresses(&[(at('c', 11, 8080), 1.0)]).await;
    b.until_addresses(&[(at('b', 11, 8080), 1.0)]).await;
    Ok(())
}

async fn k8s_143_a_change_on_another_node_is_not_heard(on: &Ground<'_>) -> Result<()> {
    let mut world = on.world(vec![pod('a', 11), pod('b', 11)]).await?;
    let ask = |node| on.control.ask(&on.path(), &[localnode()], Some(node));
    let (a, b) = (ask("node-a")?, ask("node-b")?);
    a.until_addresses(&[(at('a', 11, 8080), 1.0)]).await;
    b.until_addresses(&[(at('b', 11, 8080), 1.0)]).await;
    let heard = a.record();
    let evaluations = on.control.binder.evaluations();
    for n in 12..20 {
        world.add(on.cluster, pod('b', n)).await?;
    }
    b.until(|seen| seen.len() == 9).await;
    world.remove(on.cluster, "pod-b-11").await?;
    b.until(|seen| seen.len() == 8).await;
    assert_eq!(heard.seen(), []);
    assert_eq!(on.control.binder.evaluations(), evaluations);
    Ok(())
}

async fn k8s_2_a_service_scaled_to_zero_comes_back_in_the_same_binding(
    on: &Ground<'_>,
) -> Result<()> {
    let mut world = on.world(vec![pod('a', 11)]).await?;
    let plain = on.control.ask(&on.path(), &[], None)?;
    let number = on
        .control
        .ask(&format!("/#/io.l5d.k8s/{}/80/world", on.ns), &[], None)?;
    for round in 11..14 {
        world.set(on.cluster, vec![pod('a', round)]).await?;
        plain.until_addresses(&[(at('a', round, 8080), 1.0)]).await;
        number.until_addresses(&[(at('a', round, 8080), 1.0)]).await;
        world.scale_to_zero(on.cluster).await?;
        // The placeholder has no ports (K8S-28): no such name. By number the Service still says where it would be (K8S-24).
        plain.until(Seen::is_neg).await;
        number.until_addresses(&[]).await;
    }
    Ok(())
}

async fn k8s_2_a_service_deleted_and_created_anew_is_found_again(on: &Ground<'_>) -> Result<()> {
    let mut world = on.world(vec![pod('a', 11)]).await?;
    let plain = on.control.ask(&on.path(), &[], None)?;
    plain.until_addresses(&[(at('a', 11, 8080), 1.0)]).await;
    world.delete(on.cluster).await?;
    plain.until(Seen::is_neg).await;
    on.world(vec![pod('b', 11)]).await?;
    plain.until_addresses(&[(at('b', 11, 8080), 1.0)]).await;
    Ok(())
}

async fn k8s_1_a_moved_pod_changes_the_set_and_not_the_tree(on: &Ground<'_>) -> Result<()> {
    on.gateways(vec![pod('a', 1), pod('b', 1)]).await?;
    let mut world = on.world(vec![pod('a', 11)]).await?;
    let outgoing = on.control.ask(&on.path(), &[daemonset(&on.ns)], None)?;
    outgoing
        .until_addresses(&[(at('a', 1, INCOMING), 1.0)])
        .await;
    let (tree, heard) = (outgoing.tree_version(), outgoing.record());
    for _ in 0..5 {
        world.set(on.cluster, vec![pod('b', 11)]).await?;
        outgoing
            .until_addresses(&[(at('b', 1, INCOMING), 1.0)])
            .await;
        world.set(on.cluster, vec![pod('a', 11)]).await?;
        outgoing
            .until_addresses(&[(at('a', 1, INCOMING), 1.0)])
            .await;
    }
    assert_eq!(outgoing.tree_version(), tree);
    assert!(
        heard.seen().iter().all(|seen| !seen.is_empty()),
        "{heard:?}"
    );
    Ok(())
}

async fn k8s_89_a_pod_that_changes_slices_never_leaves(on: &Ground<'_>) -> Result<()> {
    let ports = [Port::new("http", 80, 8080)];
    let slice = async |name: &str, pods: &[Pod]| {
        on.cluster.slice(&on.ns, "world", name, &ports, pods).await
    };
    slice("world-x", &[pod('a', 11), pod('a', 12)]).await?;
    slice("world-y", &[pod('a', 13)]).await?;
    let plain = on.control.ask(&on.path(), &[], None)?;
    plain.until(|seen| seen.len() == 3).await;
    let heard = plain.record();
    // It appears before it goes: then a copy is there all the time, however late the writes come.
    for _ in 0..3 {
        slice("world-y", &[pod('a', 13), pod('a', 12)]).await?;
        slice("world-x", &[pod('a', 11)]).await?;
        slice("world-x", &[pod('a', 11), pod('a', 12)]).await?;
        slice("world-y", &[pod('a', 13)]).await?;
    }
    slice("world-y", &[pod('a', 13), pod('a', 14)]).await?;
    plain.until(|seen| seen.len() == 4).await;
    assert!(heard.seen().iter().all(|seen| seen.len() >= 3), "{heard:?}");
    Ok(())
}

async fn k8s_94_terminating_pods_serve_when_nobody_is_ready(on: &Ground<'_>) -> Result<()> {
    let mut world = on.world(vec![pod('a', 11), pod('b', 11)]).await?;
    let plain = on.control.ask(&on.path(), &[], None)?;
    let (a, b) = ((at('a', 11, 8080), 1.0), (at('b', 11, 8080), 1.0));
    plain.until_addresses(&[a, b]).await;
    world
        .change(on.cluster, "pod-a-11", Pod::terminating)
        .await?;
    plain.until_addresses(&[b]).await;
    world
        .change(on.cluster, "pod-b-11", Pod::terminating)
        .await?;
    plain.until_addresses(&[a, b]).await;
    world.change(on.cluster, "pod-a-11", Pod::unready).await?;
    plain.until_addresses(&[b]).await;
    // Nobody said anything: ready (kubernetes 6.3).
    world
        .change(on.cluster, "pod-a-11", Pod::without_conditions)
        .await?;
    plain.until_addresses(&[a]).await;
    world.change(on.cluster, "pod-a-11", Pod::unready).await?;
    world.change(on.cluster, "pod-b-11", Pod::unready).await?;
    plain.until_addresses(&[]).await;
    Ok(())
}

async fn k8s_87_a_duplicate_outlives_one_of_its_slices(on: &Ground<'_>) -> Result<()> {
    let ports = [Port::new("http", 80, 8080)];
    let both = [pod('a', 11), pod('a', 12)];
    on.cluster
        .slice(&on.ns, "world", "world-x", &ports, &both)
        .await?;
    on.cluster
        .slice(&on.ns, "world", "world-y", &ports, &both[..1])
        .await?;
    let plain = on.control.ask(&on.path(), &[], None)?;
    plain.until(|seen| seen.len() == 2).await;
    on.cluster
        .delete(Kind::EndpointSlice, &on.ns, "world-x")
        .await?;
    plain.until_addresses(&[(at('a', 11, 8080), 1.0)]).await;
    Ok(())
}

async fn k8s_22_each_slice_pairs_its_pods_with_its_own_port(on: &Ground<'_>) -> Result<()> {
    for (name, target, pod) in [
        ("world-x", 8080, pod('a', 11)),
        ("world-y", 9090, pod('a', 12)),
    ] {
        let ports = [Port::new("http", 80, target)];
        on.cluster
            .slice(&on.ns, "world", name, &ports, &[pod])
            .await?;
    }
    let plain = on.control.ask(&on.path(), &[], None)?;
    plain
        .until_addresses(&[(at('a', 11, 8080), 1.0), (at('a', 12, 9090), 1.0)])
        .await;
    Ok(())
}

async fn k8s_23_a_number_is_a_port_of_the_service(on: &Ground<'_>) -> Result<()> {
    on.world(vec![pod('a', 11)]).await?;
    let ask = |port: &str| {
        on.control
            .ask(&format!("/#/io.l5d.k8s/{}/{port}/World", on.ns), &[], None)
    };
    let (by_number, by_target) = (ask("80")?, ask("8080")?);
    by_number.until_addresses(&[(at('a', 11, 8080), 1.0)]).await;
    assert_eq!(by_target.now(), Seen::Nothing("Neg".to_owned()));
    // Ids are folded (K8S-11).
    assert_eq!(
        by_number.id(),
        Some(format!("/#/io.l5d.k8s/{}/80/world", on.ns))
    );
    Ok(())
}

async fn k8s_29_a_service_of_another_name_is_nothing(on: &Ground<'_>) -> Result<()> {
    // The name of a slice says nothing of its service (K8S-84).
    let ports = [Port::new("http", 80, 8080)];
    on.cluster
        .slice(&on.ns, "world-v2", "world-abc", &ports, &[pod('a', 11)])
        .await?;
    let v2 = on.control.ask(&format!("{}-v2", on.path()), &[], None)?;
    v2.until_addresses(&[(at('a', 11, 8080), 1.0)]).await;
    assert!(on.control.ask(&on.path(), &[], None)?.now().is_neg());
    // The label moves the slice.
    on.cluster
        .slice(&on.ns, "world", "world-abc", &ports, &[pod('a', 11)])
        .await?;
    v2.until(Seen::is_neg).await;
    let world = on.control.ask(&on.path(), &[], None)?;
    world.until_addresses(&[(at('a', 11, 8080), 1.0)]).await;
    Ok(())
}

async fn k8s_21_many_slices_are_one_set(on: &Ground<'_>) -> Result<()> {
    let pods = |count: u8| (0..count).map(|n| pod('a', n)).collect();
    let mut world = on.world(pods(250)).await?;
    let plain = on.control.ask(&on.path(), &[], None)?;
    plain.until(|seen| seen.len() == 250).await;
    world.set(on.cluster, pods(130)).await?;
    plain.until(|seen| seen.len() == 130).await;
    Ok(())
}

/// K8S-110, K8S-111: through an outage and a relist the set never loses an address that was there before and after.
#[tokio::test]
async fn k8s_111_a_restarted_api_server_empties_nothing() -> Result<()> {
    let Some(cluster) = shared_real().await else {
        return Ok(());
    };
    let mut cluster = cluster.write().await;
    let mut double = Cluster::double()?;
    for cluster in [&mut double, &mut *cluster] {
        a_restart_empties_nothing(cluster).await?;
    }
    Ok(())
}

async fn a_restart_empties_nothing(cluster: &mut Cluster) -> Result<()> {
    let ports = [Port::new("http", 80, 8080)];
    let ns = "restart";
    let mut world = Workload::create(
        cluster,
        ns,
        "world",
        &ports,
        vec![pod('a', 11), pod('a', 12)],
    )
    .await?;
    let control = ControlPlane::start(cluster)?;
    control.ready().await;
    let plain = control.ask("/#/io.l5d.k8s/restart/http/world", &[], None)?;
    plain.until(|seen| seen.len() == 2).await;
    let heard = plain.record();
    for n in 13..15 {
        cluster.stop_api().await?;
        // Ready stays, and a name that was never asked for is answered from memory (F2).
        assert!(control.services.ready().value());
        let other = control.ask("/#/io.l5d.k8s/restart/80/world", &[], None)?;
        assert!(!other.now().is_empty());
        cluster.start_api().await?;
        world.remove(cluster, &format!("pod-a-{}", n - 1)).await?;
        world.add(cluster, pod('a', n)).await?;
        plain
            .until_addresses(&[(at('a', 11, 8080), 1.0), (at('a', n, 8080), 1.0)])
            .await;
    }
    let first = at('a', 11, 8080);
    let keeps = |seen: &Seen| matches!(seen, Seen::Addresses(all) if all.contains_key(&first));
    assert!(heard.seen().iter().all(keeps), "{heard:?}");
    Ok(())
}

/// K8S-83: what is forbidden holds up only what needs it, and is asked for again.
#[tokio::test]
async fn k8s_83_rights_missing_for_one_kind() -> Result<()> {
    let Some(cluster) = shared_real().await else {
        return Ok(());
    };
    let cluster = cluster.read().await;
    let control = ControlPlane::start_as(&cluster, NOBODY)?;
    let forbidden = |kind| control.services.status(kind).state == WatchState::Forbidden;
    while !Watched::ALL.into_iter().all(forbidden) {
        tokio::task::yield_now().await;
    }
    assert!(!control.services.ready().value());
    let rule = |group: &str, resource: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]});
    let name = "no-nodes";
    let role = json!({
        "metadata": {"name": name},
        "rules": [rule("discovery.k8s.io", "endpointslices"), rule("", "services")],
    });
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "User", "name": "nobody"}],
    });
    for (resource, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/{resource}");
        cluster
            .api()
            .send(http::Method::POST, &path, &[], Some(&object))
            .await?
            .ok()?;
    }
    // Without nodes there are no zones, and everything else works.
    control.ready().await;
    assert!(forbidden(Watched::Nodes));
    Ok(())
}
