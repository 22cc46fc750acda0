//! Delegations: the examples of naming 7 and of control-plane 7.6, and explanations.

use serde_json::{Value, json};

use super::*;

pub(super) async fn delegate(world: &World, key: &BindKey) -> Result<Delegation, BindError> {
    world.binder.delegate(key, &Caller::default()).await
}

/// As naming 7.1 writes it.
pub(super) fn json(node: &Delegation) -> Value {
    let mut shown = json!({"path": node.path});
    if let Some((dentry, ..)) = &node.rule {
        shown["dentry"] = json!({
            "prefix": dentry.prefix.to_string(), "dst": dentry.dst.to_string(),
        });
    }
    let kind = match &node.kind {
        DelegationKind::Empty => "empty",
        DelegationKind::Fail => "fail",
        DelegationKind::Neg => "neg",
        DelegationKind::Exception(message) => {
            shown["message"] = json!(message);
            "exception"
        }
        DelegationKind::Delegate(next) => {
            shown["delegate"] = self::json(next);
            "delegate"
        }
        DelegationKind::Alt(nodes) => {
            shown["alt"] = nodes.iter().map(self::json).collect();
            "alt"
        }
        DelegationKind::Union(branches) => {
            shown["union"] = branches
                .iter()
                .map(|(w, node)| json!({"weight": w.value(), "tree": self::json(node)}))
                .collect();
            "union"
        }
        DelegationKind::Leaf { leaf, replicas } => {
            shown["bound"] = bound(leaf, replicas);
            "leaf"
        }
        DelegationKind::Transformation {
            name,
            before,
            after,
        } => {
            shown["name"] = json!(name);
            shown["bound"] = bound(&before.0, &before.1);
            shown["tree"] = self::json(after);
            "transformation"
        }
    };
    shown["type"] = json!(kind);
    shown
}

fn bound(leaf: &BoundLeaf, replicas: &Replicas) -> Value {
    let addr = match replicas {
        Replicas::Bound(set) => {
            let addrs: Vec<_> = set
                .endpoints()
                .iter()
                .map(|e| json!({"ip": e.addr.ip().to_string(), "port": e.addr.port(), "meta": {}}))
                .collect();
            json!({"type": "bound", "addrs": addrs, "meta": {}})
        }
        other => json!({"type": show_replicas(other)}),
    };
    json!({"addr": addr, "id": leaf.cluster.id.to_string(), "path": leaf.residual.to_string()})
}

/// A delegation in one line: kinds and paths.
fn line(node: &Delegation) -> String {
    let many = |nodes: Vec<String>| nodes.join(", ");
    let inner = match &node.kind {
        DelegationKind::Empty => "empty".to_owned(),
        DelegationKind::Fail => "fail".to_owned(),
        DelegationKind::Neg => "neg".to_owned(),
        DelegationKind::Exception(message) => format!("exception[{message}]"),
        DelegationKind::Delegate(next) => format!("delegate({})", line(next)),
        DelegationKind::Alt(nodes) => format!("alt({})", many(nodes.iter().map(line).collect())),
        DelegationKind::Union(branches) => {
            let branches = branches.iter().map(|(w, n)| format!("{w}*{}", line(n)));
            format!("union({})", many(branches.collect()))
        }
        DelegationKind::Leaf { leaf, .. } => format!("leaf[{}]", leaf.cluster.id),
        DelegationKind::Transformation {
            name,
            before,
            after,
        } => {
            format!("{name}[{}]({})", before.0.cluster.id, line(after))
        }
    };
    format!("{} {inner}", node.path)
}

async fn told(rules: &str, asked: &str) -> String {
    let world = World::new(&[("web", "10.0.0.1 80\n"), ("default", "127.0.0.1 9990\n")]);
    match delegate(&world, &local(rules, asked)).await {
        Ok(delegation) => line(&delegation),
        Err(error) => format!("error: {error}"),
    }
}

#[tokio::test]
async fn the_examples_of_naming_7_3() {
    let world = World::new(&[("web", "10.0.0.1 80\n")]);
    let delegation = delegate(&world, &local("/svc => /#/io.l5d.fs", "/svc/web"))
        .await
        .unwrap();
    assert_eq!(
        json(&delegation),
        json!({"type":"delegate","path":"/svc/web","delegate":{"type":"leaf","path":"/#/io.l5d.fs/web",
            "dentry":{"prefix":"/svc","dst":"/#/io.l5d.fs"},
            "bound":{"addr":{"type":"bound","addrs":[{"ip":"10.0.0.1","port":80,"meta":{}}],"meta":{}},
                "id":"/#/io.l5d.fs/web","path":"/"}}})
    );
    world
        .store
        .create("default", dtab("/a => /b"))
        .await
        .unwrap();
    let delegation = delegate(&world, &stored("/a => /c | !", "/a/x"))
        .await
        .unwrap();
    assert_eq!(
        json(&delegation),
        json!({"type":"alt","path":"/a/x","alt":[
            {"type":"neg","path":"/c/x","dentry":{"prefix":"/a","dst":"/c | !"}},
            {"type":"fail","path":"!","dentry":{"prefix":"/a","dst":"/c | !"}},
            {"type":"neg","path":"/b/x","dentry":{"prefix":"/a","dst":"/b"}}]})
    );
}

#[tokio::test]
async fn the_nodes_of_control_plane_7_6() {
    for (rules, asked, result) in [
        (
            "/w => 0.3*/x & 0.7*/y",
            "/w",
            "/w union(0.30*/x neg, 0.70*/y neg)",
        ),
        ("/a => !", "/a", "/a delegate(! fail)"),
        ("/a => /$/fail", "/a", "/a delegate(/$/fail fail)"),
        ("/a => ~", "/a", "/a delegate(~ neg)"),
        ("/a => $", "/a", "/a delegate(/a empty)"),
        ("", "/a", "/a neg"),
        (
            "",
            "/$/nosuch/x",
            "/$/nosuch/x exception[Unknown namer: nosuch for path: /$/nosuch/x]",
        ),
        (
            "/yeezy => /bar | /yeezus",
            "/yeezy",
            "/yeezy alt(/bar neg, /yeezus neg)",
        ),
        // Trap 21: here a lone `~` is final.
        (
            "/#/io.l5d.fs/web => ~",
            "/#/io.l5d.fs/web",
            "/#/io.l5d.fs/web delegate(~ neg)",
        ),
        // Trap 36: the rewriting itself leaves no node.
        (
            "/svc => /$/io.buoyant.hostportPfx/h ; /h => /#/io.l5d.fs",
            "/svc/web:80",
            "/svc/web:80 delegate(/h/web/80 delegate(/#/io.l5d.fs/web/80 leaf[/#/io.l5d.fs/web]))",
        ),
        (
            "/svc => /svc",
            "/svc",
            "error: Max recursion level reached.",
        ),
        (
            "/svc => /loop | /#/io.l5d.fs/web ; /loop => /loop",
            "/svc",
            "/svc alt(/svc exception[Max recursion level reached.], /#/io.l5d.fs/web leaf[/#/io.l5d.fs/web])",
        ),
        (
            "/a => (/b | /c) | /d",
            "/a",
            "/a alt(/b neg, /c neg, /d neg)",
        ),
        (
            "/a => 0.5*(/b | /c) & 0.5*$",
            "/a",
            "/a union(0.50*/a alt(/b neg, /c neg), 0.50*/a empty)",
        ),
        (
            "/a => /b ; /b => /c",
            "/a/x",
            "/a/x delegate(/b/x delegate(/c/x neg))",
        ),
    ] {
        assert_eq!(told(rules, asked).await, result, "{rules} {asked}");
    }
}

#[tokio::test]
async fn a_delegation_is_bounded() {
    assert!(told("/a => /a & /a", "/a").await.starts_with("error: "));
    let world = World::new(&[]);
    let deep = format!("/a => {}/a/x{}", "($ & (~ | ".repeat(30), "))".repeat(30));
    let delegation = delegate(&world, &local(&deep, "/a")).await;
    assert!(delegation.is_ok(), "the too deep branches are exceptions");
}

#[tokio::test]
async fn rules_tell_where_they_come_from() {
    let world = World::new(&[]);
    world
        .store
        .create("default", dtab("/x => /y ; /a => /b"))
        .await
        .unwrap();
    let key = BindKey {
        router: dtab("/b => /c"),
        ..stored("/u => /v ; /v => /w ; /c => /d", "/a")
    };
    let mut node = delegate(&world, &key).await.unwrap();
    let mut sources = Vec::new();
    while let DelegationKind::Delegate(next) = node.kind {
        let (_, source, index) = next.rule.clone().unwrap();
        sources.push((source, index));
        node = *next;
    }
    assert_eq!(
        sources,
        [
            (RuleSource::Store, 1),
            (RuleSource::Router, 0),
            (RuleSource::Request, 2)
        ]
    );
}

/// Naming 6.5: a node before each transformed leaf; const and replace cannot be shown.
#[tokio::test]
async fn transformers_show_themselves() {
    let world = World::new(&[("web", "10.0.0.1 80\n")]);
    let port = TransformerSpec {
        port: "4141".to_owned(),
        ..spec("io.l5d.port")
    };
    let host = TransformerSpec {
        host: "10.0.0.1".to_owned(),
        ..spec("io.l5d.specificHost")
    };
    let key = transformed(local("/svc => /#/io.l5d.fs", "/svc/web"), &[port, host]);
    assert_eq!(
        line(&delegate(&world, &key).await.unwrap()),
        "/svc/web delegate(/#/io.l5d.fs/web io.l5d.port[/#/io.l5d.fs/web](\
         /%/io.l5d.port/4141/#/io.l5d.fs/web io.l5d.specificHost[/%/io.l5d.port/4141/#/io.l5d.fs/web](\
         /%/io.l5d.specificHost/%/io.l5d.port/4141/#/io.l5d.fs/web \
         leaf[/%/io.l5d.specificHost/%/io.l5d.port/4141/#/io.l5d.fs/web])))"
    );
    let replace = TransformerSpec {
        path: "/$/nil".to_owned(),
        ..spec("io.l5d.replace")
    };
    let key = transformed(local("", "/x"), &[replace]);
    let error = delegate(&world, &key).await.unwrap_err();
    assert!(
        error.message().contains("cannot show delegations"),
        "{error}"
    );
}

/// Naming 7.1: an answer waits until nothing is pending.
#[tokio::test(start_paused = true)]
async fn a_delegation_waits_for_addresses() {
    let world = World::new(&[]);
    let running = tokio::spawn(world.engine.clone().run());
    world.dns.answer("db", &[[10, 0, 0, 7]], 60);
    let delegation = delegate(&world, &local("", "/$/inet/db/80")).await.unwrap();
    let DelegationKind::Leaf { replicas, .. } = delegation.kind else {
        panic!("{delegation:?}");
    };
    assert_eq!(show_replicas(&replicas), "[10.0.0.7:80]");
    running.abort();
}
