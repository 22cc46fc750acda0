//! Tables against the rules of Kubernetes 3, and against a model that knows no order but looks at every rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use l5d_resolver::ingress::MOST_RULES;
use proptest::prelude::*;

use super::*;

fn claim(unclassed: bool) -> Claim {
    Claim {
        class: "linkerd".into(),
        unclassed,
    }
}

fn to(service: &str) -> Backend {
    Backend::Service(service.into(), "80".into())
}

fn path(host: &str, kind: PathKind, path: &str, service: &str) -> IngressPath {
    IngressPath {
        host: host.into(),
        kind,
        path: path.into(),
        backend: to(service),
    }
}

fn ingress(name: &str, created: i64, paths: Vec<IngressPath>) -> Ingress {
    Ingress {
        name: ObjectName::new("default", name),
        created,
        class: Some("linkerd".into()),
        default: None,
        paths,
    }
}

fn listed(claim: Claim, objects: Vec<Ingress>) -> Ingresses {
    let ingresses = Ingresses::new("api", claim);
    let objects = objects.into_iter().map(|o| (o.name.clone(), Some(o)));
    ingresses.replace(objects.collect());
    ingresses
}

fn find(ingresses: &Ingresses, host: &str, path: &str) -> Option<String> {
    let table = ingresses.table().value().expect("is listed");
    let rule = table.find(host, path, None, true)?;
    Some(rule.service.to_string())
}

fn services(ingresses: &Ingresses) -> Vec<String> {
    let table = ingresses.table().value().expect("is listed");
    table
        .rules()
        .iter()
        .map(|r| r.service.to_string())
        .collect()
}

#[test]
fn k8s_40_an_ingress_is_ours_by_its_class_or_without_one() {
    let class = |name: &str, class: Option<&str>| Ingress {
        class: class.map(Into::into),
        ..ingress(name, 0, vec![path("", PathKind::Exact, "/", name)])
    };
    let objects = || {
        vec![
            class("ours", Some("linkerd")),
            class("other", Some("nginx")),
            class("unclassed", None),
        ]
    };
    let of_1x = listed(claim(true), objects());
    assert_eq!(services(&of_1x), ["ours", "unclassed"]);
    assert_eq!(of_1x.watches(), [IngressKind::Ingresses]);

    let of_v1 = listed(claim(false), objects());
    assert_eq!(
        of_v1.table().value(),
        None,
        "the classes are not listed yet"
    );
    assert_eq!(of_v1.watches(), IngressKind::ALL);
    of_v1.replace_defaults(BTreeSet::from(["nginx".into()]));
    assert_eq!(services(&of_v1), ["ours"]);
    of_v1.set_default(&"linkerd".into(), true);
    assert_eq!(services(&of_v1), ["ours", "unclassed"]);
    of_v1.set_default(&"linkerd".into(), false);
    assert_eq!(services(&of_v1), ["ours"]);
}

#[test]
fn k8s_42_the_first_rule_takes_it_and_default_backends_come_last() {
    let of_1x = |name: &str, created, expression: &str| Ingress {
        default: Some(to(&format!("default-{name}"))),
        ..ingress(
            name,
            created,
            vec![path("", PathKind::Expression, expression, name)],
        )
    };
    let all = listed(
        claim(true),
        vec![
            of_1x("b", 1, "/b/.*"),
            of_1x("a", 2, "/b/c|/a"),
            of_1x("c", 2, "/c"),
        ],
    );
    assert_eq!(
        find(&all, "h", "/b/c").as_deref(),
        Some("b"),
        "the older one"
    );
    assert_eq!(find(&all, "h", "/a").as_deref(), Some("a"));
    assert_eq!(find(&all, "h", "/c").as_deref(), Some("c"));
    assert_eq!(find(&all, "h", "/x").as_deref(), Some("default-b"));
    let table = all.table().value().expect("is listed");
    assert_eq!(
        table.find("h", "/x", None, false),
        None,
        "ignoreDefaultBackends"
    );
    assert_eq!(
        table.find("h", "/a", Some("other"), true),
        None,
        "another namespace"
    );
}

#[test]
fn k8s_43_edits_take_effect_and_do_not_move_an_object() {
    let object = |name: &str, created, service: &str| {
        ingress(name, created, vec![path("", PathKind::Exact, "/", service)])
    };
    let all = listed(claim(true), vec![object("b", 5, "b"), object("a", 9, "a")]);
    assert_eq!(services(&all), ["b", "a"]);
    all.apply(object("b", 5, "b2"));
    assert_eq!(
        services(&all),
        ["b2", "a"],
        "a changed one stays where it is"
    );
    all.apply(object("c", 9, "c"));
    assert_eq!(services(&all), ["b2", "a", "c"], "of one age: by name");
    let lost = Ingress {
        class: Some("nginx".into()),
        ..object("b", 5, "b2")
    };
    all.apply(lost);
    assert_eq!(
        services(&all),
        ["a", "c"],
        "one whose class is edited is gone"
    );
    all.delete(&ObjectName::new("default", "a"));
    assert_eq!(services(&all), ["c"]);
    all.replace(vec![(ObjectName::new("default", "c"), None)]);
    assert_eq!(
        services(&all),
        ["c"],
        "K8S-125: what cannot be read stays as it was"
    );
    all.replace(Vec::new());
    assert!(
        services(&all).is_empty(),
        "what was deleted while we were away is gone"
    );
}

#[test]
fn k8s_3_2_what_says_more_counts_first() {
    let all = listed(
        claim(true),
        vec![
            ingress("old", 1, vec![path("", PathKind::Prefix, "/", "any")]),
            ingress(
                "site",
                2,
                vec![
                    path("a.example", PathKind::Prefix, "/", "site"),
                    path("a.example", PathKind::Prefix, "/api", "api"),
                    path("*.example", PathKind::Exact, "/api", "wild"),
                ],
            ),
            ingress(
                "later",
                3,
                vec![
                    path("a.example", PathKind::Prefix, "/api/v2", "v2"),
                    path(
                        "a.example",
                        PathKind::Exact,
                        "/.well-known/acme-challenge/x",
                        "acme",
                    ),
                ],
            ),
        ],
    );
    let cases = [
        ("a.example", "/", "site"),
        ("a.example", "/api", "api"),
        ("a.example", "/api/v1", "api"),
        ("a.example", "/api/v2/x", "v2"),
        ("a.example", "/.well-known/acme-challenge/x", "acme"),
        ("b.example", "/api", "wild"),
        ("b.example", "/api/", "any"),
    ];
    for (host, path, wanted) in cases {
        assert_eq!(
            find(&all, host, path).as_deref(),
            Some(wanted),
            "{host}{path}"
        );
    }
}

#[test]
fn k8s_3_2_what_cannot_be_served_is_left_out_and_hides_nobody() {
    let bucket = IngressPath {
        backend: Backend::Other,
        ..path("", PathKind::Exact, "/bucket", "")
    };
    let paths = vec![
        bucket,
        path("", PathKind::Expression, "/(", "bad"),
        path("a.*", PathKind::Exact, "/", "bad"),
        path("", PathKind::Exact, "/", "good"),
    ];
    let all = listed(claim(true), vec![ingress("a", 1, paths)]);
    assert_eq!(services(&all), ["good"]);
    let counts: Vec<_> = all
        .skipped()
        .into_iter()
        .map(|(s, n)| (s.name(), n))
        .collect();
    let wanted = [
        ("backend", 1),
        ("expression", 1),
        ("malformed", 1),
        ("limit", 0),
    ];
    assert_eq!(counts, wanted);
    all.delete(&ObjectName::new("default", "a"));
    assert!(all.skipped().iter().all(|(_, n)| *n == 0));
}

#[test]
fn a_table_has_a_bound() {
    let path = |n: usize| path("", PathKind::Exact, &format!("/{n}"), "s");
    let paths = (0..MOST_RULES + 5).map(path).collect();
    let all = listed(claim(true), vec![ingress("a", 1, paths)]);
    assert_eq!(services(&all).len(), MOST_RULES);
    assert!(all.skipped().contains(&(Skip::Limit, 5)));
}

const HOSTS: [&str; 4] = ["", "a.x", "*.x", "b.x"];
const PATHS: [&str; 7] = ["", "/", "/a", "/a/", "/a/b", "/ab", "/a/.*"];

fn some_path() -> impl Strategy<Value = IngressPath> {
    const KINDS: [PathKind; 3] = [PathKind::Exact, PathKind::Prefix, PathKind::Expression];
    let parts = (
        prop::sample::select(&HOSTS[..]),
        prop::sample::select(&KINDS[..]),
        prop::sample::select(&PATHS[..]),
        0..1000u32,
    );
    parts.prop_map(|(host, kind, text, service)| path(host, kind, text, &service.to_string()))
}

fn some_ingress() -> impl Strategy<Value = Ingress> {
    let parts = (
        0..6u8,
        0..3i64,
        prop::collection::vec(some_path(), 0..5),
        prop::option::of(0..1000u32),
        prop::sample::select(&[Some("linkerd"), Some("nginx"), None][..]),
    );
    parts.prop_map(|(name, created, paths, default, class)| Ingress {
        default: default.map(|n| to(&n.to_string())),
        class: class.map(Into::into),
        ..ingress(&name.to_string(), created, paths)
    })
}

/// Looks at every rule of every object; the best one that takes the request, by how much it says.
fn model(objects: &[&Ingress], host: &str, path: &str) -> Option<Arc<str>> {
    let mut best: Option<([i64; 6], Arc<str>)> = None;
    let mut offer = |key: [i64; 6], backend: &Backend| {
        let Backend::Service(service, _) = backend else {
            return;
        };
        if best.as_ref().is_none_or(|(than, _)| key < *than) {
            best = Some((key, Arc::clone(service)));
        }
    };
    for object in objects {
        let name: i64 = object.name.name.parse().expect("a number");
        for (at, rule) in (0..).zip(&object.paths) {
            let by_host = match (&*rule.host, host.find('.')) {
                ("", _) => 2,
                ("*.x", Some(dot)) if dot > 0 && &host[dot..] == ".x" => 1,
                (name, _) if name == host => 0,
                _ => continue,
            };
            let elements: Vec<&str> = rule.path.split('/').filter(|e| !e.is_empty()).collect();
            let theirs: Vec<&str> = path.split('/').filter(|e| !e.is_empty()).collect();
            let by_path = match rule.kind {
                PathKind::Exact if *rule.path == *path => [0, 0],
                PathKind::Prefix if theirs.starts_with(&elements) => [2, -(elements.len() as i64)],
                PathKind::Expression if rule.path.is_empty() || *rule.path == *path => [1, 0],
                PathKind::Expression if &*rule.path == "/a/.*" && path.starts_with("/a/") => [1, 0],
                _ => continue,
            };
            let key = [by_host, by_path[0], by_path[1], object.created, name, at];
            offer(key, &rule.backend);
        }
        if let Some(default) = &object.default {
            offer([9, 0, 0, object.created, name, 0], default);
        }
    }
    best.map(|(_, service)| service)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// K8S-40 to K8S-43: whatever the order in which objects come and go, the table answers as the model of what is left.
    #[test]
    fn k8s_40_to_43_a_table_answers_as_the_model(
        events in prop::collection::vec((some_ingress(), 0..4u8), 0..12),
    ) {
        let all = listed(claim(true), Vec::new());
        let mut left = std::collections::BTreeMap::new();
        for (object, what) in events {
            match what {
                0 => {
                    all.delete(&object.name);
                    left.remove(&object.name);
                }
                _ => {
                    all.apply(object.clone());
                    left.insert(object.name.clone(), object);
                }
            }
        }
        let is_ours = |o: &&Ingress| o.class.as_deref().is_none_or(|class| class == "linkerd");
        let ours: Vec<&Ingress> = left.values().filter(is_ours).collect();
        for host in ["a.x", "b.x", "c.x", "x", "a.b.x"] {
            for path in ["/", "/a", "/a/b", "/a/b/c", "/ab", "/c"] {
                let wanted = model(&ours, host, path).map(|s| s.to_string());
                prop_assert_eq!(find(&all, host, path), wanted, "{} {}", host, path);
            }
        }
        let relisted = listed(claim(true), left.values().rev().cloned().collect());
        prop_assert_eq!(all.table().value(), relisted.table().value(), "RES-7: whatever the history");
    }
}
