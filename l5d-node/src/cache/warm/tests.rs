//! The loading rules of node-proxy 12.6.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use l5d_naming::{ClusterId, Dtab, Elem, Endpoint, EndpointSet, NameTree, Path, Replicas};
use l5d_resolver::ingress::{Host, PathMatch, Rule, Table as Rules};

use super::*;
use crate::cache::{Leaf, NameState, Names as _, Table};
use crate::config::{CacheLimits, read};

fn config(dtab: &str, transformers: &str) -> Config {
    let text = format!(
        "routers: [{{protocol: http, servers: [{{port: 0}}], dtab: {dtab}, interpreter: \
         {{kind: io.l5d.mesh, dst: /$/inet/127.0.0.1/4321, transformers: [{transformers}]}}}}]"
    );
    read("l5d.yml", &text).expect("it is right")
}

fn identity(node: &str) -> Identity {
    Identity {
        node_name: Some(node.to_owned()),
        ..Identity::default()
    }
}

fn scope(dtab: &str, gateways: bool) -> Scope {
    let transformers = if gateways {
        "{kind: io.l5d.k8s.daemonset, namespace: n, service: s, port: p}"
    } else {
        ""
    };
    Scope::new(&config(dtab, transformers), &identity("n1"))
}

fn table(paths: usize) -> Table {
    let limits = CacheLimits {
        paths,
        clients: 1,
        idle_ttl: Duration::from_secs(600),
    };
    Table::new([(limits, FollowSet::new())])
}

fn path(name: &str) -> Path {
    Path::from_elems(["svc", name].into_iter().filter_map(Elem::new))
}

/// A name that leads to one address.
fn learn(table: &Table, name: &str, age_s: u64) {
    let follow = table.routers()[0].follow();
    let cluster = follow.clusters.cell(&ClusterId(path("cluster")));
    let set = EndpointSet::new([Endpoint::new(([10, 0, 0, 1], 80).into())]);
    cluster.set(Replicas::Bound(Arc::new(set)));
    if age_s > 0 {
        cluster.set_stale(true);
        cluster.set_confirmed(SystemTime::now() - Duration::from_secs(age_s));
    }
    let leaf = NameTree::Leaf(Leaf {
        cluster,
        residual: Path::root(),
    });
    let name = table.name(0, &path(name), &Dtab::empty());
    name.set(NameState::Bound(Arc::new(leaf)));
}

struct File {
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

fn written(scope: &Scope, age_s: u64) -> File {
    let before = table(10);
    learn(&before, "web", age_s);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("warm");
    snapshot(&before, scope).write(&path).expect("written");
    File {
        path,
        _folder: folder,
    }
}

fn names_after(file: &File, scope: &Scope) -> usize {
    let loaded = load(&file.path, &table(10), scope).expect("reads");
    loaded.expect("is there").names
}

#[tokio::test(start_paused = true)]
async fn a_restart_knows_names_and_addresses_and_marks_them_stale() {
    let scope = scope("/a=>/b", false);
    let file = written(&scope, 0);
    let mode = std::fs::metadata(&file.path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let after = table(10);
    let loaded = load(&file.path, &after, &scope)
        .expect("reads")
        .expect("is there");
    assert_eq!((loaded.names, loaded.left_out), (1, 0));
    let name = after.name(0, &path("web"), &Dtab::empty());
    assert!(name.is_stale());
    let tree = name.tree().expect("bound");
    let NameTree::Leaf(leaf) = &*tree else {
        panic!("a leaf");
    };
    assert!(leaf.cluster.is_stale());
    match &leaf.cluster.state().replicas {
        Replicas::Bound(set) => assert_eq!(set.endpoints()[0].addr, ([10, 0, 0, 1], 80).into()),
        other => panic!("{other:?}"),
    }
    let begun = after.routers()[0].follow().take().begun.len();
    assert_eq!(begun, 1, "it is asked for");
    let before = snapshot(&after, &scope);
    assert!(before.is_same(&snapshot(&after, &scope)));
    learn(&after, "other", 0);
    assert!(!before.is_same(&snapshot(&after, &scope)));
}

#[tokio::test(start_paused = true)]
async fn no_file_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = load(
        &folder.path().join("warm"),
        &table(1),
        &scope("/a=>/b", false),
    );
    assert!(loaded.expect("no error").is_none());
}

#[tokio::test(start_paused = true)]
async fn damage_ignores_the_whole_file() {
    let scope = scope("/a=>/b", false);
    let file = written(&scope, 0);
    let good = std::fs::read(&file.path).expect("reads");
    let after = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        std::fs::write(&file.path, bytes).expect("written");
        let error = load(&file.path, &table(1), &scope).expect_err("damaged");
        error.to_string()
    };
    assert!(after(&|b| b[0] = b'X').contains("no warm file"));
    assert!(after(&|b| b[7] = 9).contains("format version 9"));
    assert!(after(&|b| b.truncate(30)).contains("bytes behind its head"));
    assert!(after(&|b| b.push(0)).contains("bytes behind its head"));
    assert!(after(&|b| b[25] ^= 1).contains("checksum"));
    assert!(after(&|b| b.clear()).contains("no warm file"));
}

#[tokio::test(start_paused = true)]
async fn another_node_ignores_the_whole_file() {
    let file = written(&scope("/a=>/b", false), 0);
    let other = Scope::new(&config("/a=>/b", ""), &identity("n2"));
    let error = load(&file.path, &table(1), &other).expect_err("another node");
    assert!(matches!(error, LoadError::Node { .. }));
}

#[tokio::test(start_paused = true)]
async fn another_fingerprint_ignores_the_routers_names() {
    let file = written(&scope("/a=>/b", false), 0);
    assert_eq!(names_after(&file, &scope("/a=>/b", false)), 1);
    assert_eq!(names_after(&file, &scope("/a=>/c", false)), 0);
    assert_eq!(names_after(&file, &scope("/a=>/b", true)), 0);
}

#[tokio::test(start_paused = true)]
async fn another_boot_ignores_what_does_not_lead_to_gateways() {
    for (gateways, names) in [(false, 0), (true, 1)] {
        let before = scope("/a=>/b", gateways);
        let file = written(&before, 0);
        let after = Scope {
            boot_id: "another".to_owned(),
            ..before
        };
        assert_eq!(names_after(&file, &after), names);
    }
}

#[tokio::test(start_paused = true)]
async fn age_is_limited_for_plain_addresses_or_as_configured() {
    let plain = scope("/a=>/b", false);
    assert_eq!(names_after(&written(&plain, 3500), &plain), 1);
    assert_eq!(names_after(&written(&plain, 3700), &plain), 0);
    let gateways = scope("/a=>/b", true);
    assert_eq!(names_after(&written(&gateways, 1_000_000), &gateways), 1);
    let limited = |scope: &Scope, secs| Scope {
        max_stale: Some(Duration::from_secs(secs)),
        ..scope.clone()
    };
    assert_eq!(
        names_after(&written(&gateways, 100), &limited(&gateways, 60)),
        0
    );
    assert_eq!(
        names_after(&written(&plain, 5000), &limited(&plain, 6000)),
        1
    );
}

fn rules(count: usize) -> Rules {
    let rule = |n: usize| Rule {
        host: Host::parse("shop.example").expect("a host"),
        path: PathMatch::prefix(&format!("/{n}")).expect("a path"),
        namespace: "default".into(),
        service: "shop".into(),
        port: "http".into(),
        is_default: false,
    };
    Rules::new((0..count).map(rule).collect::<Vec<_>>())
}

/// K8S-44: rules outlive a restart, for the class that they are of, and are what is offered as held.
#[tokio::test(start_paused = true)]
async fn k8s_44_ingress_rules_outlive_a_restart() {
    let scope = scope("/a=>/b", false);
    let before = table(1);
    let follow = before.routers()[0].follow();
    follow.want_ingress("linkerd");
    // More than a page.
    let rules = rules(1_000);
    follow.set_ingress(Ok(rules.clone()));
    follow.touched().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("warm");
    snapshot(&before, &scope).write(&file).expect("written");
    let loaded = load(&file, &table(1), &scope).expect("reads");
    let memory = loaded.expect("is there").namerds.remove(0);
    let (class, kept) = memory.ingress.expect("rules");
    assert_eq!((&*class, kept.hash()), ("linkerd", rules.hash()));
    for (wanted, found) in [("linkerd", Some(rules.hash())), ("nginx", None)] {
        let hash = |set: &FollowSet| set.ingress().map(|table| table.hash());
        let (first, last) = (FollowSet::new(), FollowSet::new());
        first.want_ingress(wanted);
        first.warm_ingress(class.clone(), kept.clone());
        last.warm_ingress(class.clone(), kept.clone());
        assert_eq!(hash(&last), None, "before it is known that they are wanted");
        last.want_ingress(wanted);
        assert_eq!((hash(&first), hash(&last)), (found, found), "{wanted}");
    }
    let newer = FollowSet::new();
    newer.set_ingress(Ok(Rules::new([])));
    newer.want_ingress("linkerd");
    newer.warm_ingress(class, kept);
    assert_eq!(newer.ingress(), Some(Rules::new([])), "what came stays");
}

/// node-proxy 12.6: a file of a release that kept no rules still loads, and damage in rules costs the rules alone.
#[tokio::test(start_paused = true)]
async fn k8s_44_files_without_rules_load_and_bad_rules_are_left_out() {
    let message = |pages: Vec<v1::Ingress>| format::Content {
        node_name: "n1".to_owned(),
        namerds: vec![format::Namerd {
            dst: vec!["namerd:4321".to_owned()],
            ingress: (!pages.is_empty()).then(|| format::Ingress {
                class: "linkerd".to_owned(),
                pages,
            }),
            ..format::Namerd::default()
        }],
        ..format::Content::default()
    };
    let whole = l5d_resolver::ingress_page::pages(&rules(1_000));
    let mut wrong = whole.clone();
    wrong[0].rules.pop();
    let mut cut = whole.clone();
    cut.pop();
    let twice = [whole.clone(), whole.clone()].concat();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("warm");
    let scope = scope("/a=>/b", false);
    let kept = |pages| {
        std::fs::write(&file, format::encode(&message(pages))).expect("written");
        let loaded = load(&file, &table(1), &scope).expect("reads");
        let mut loaded = loaded.expect("is there");
        loaded.namerds.remove(0).ingress.is_some()
    };
    assert!(kept(whole));
    for pages in [Vec::new(), wrong, cut, twice] {
        assert!(!kept(pages));
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_names_keep_the_most_recent() {
    let scope = scope("/a=>/b", false);
    let before = table(10);
    for name in ["a", "b", "c"] {
        learn(&before, name, 0);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("warm");
    snapshot(&before, &scope).write(&file).expect("written");
    let after = table(2);
    load(&file, &after, &scope).expect("reads");
    let entries = after.routers()[0].entries();
    let left: Vec<_> = entries.iter().map(|n| n.path.to_string()).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&"/svc/c".to_owned()), "{left:?}");
}
