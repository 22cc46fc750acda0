//! Delegations that the admin server asks namerd for (node-proxy 15.8).

use serde_json::{Value, json};

use super::*;

/// What the scripted namerd says: one step for the question itself, then every kind of node.
pub(super) fn told(question: &v1::ResolveRequest) -> Result<v1::Explained, Status> {
    assert!(question.delegation && question.node == "n1");
    match question.path.as_str() {
        "/svc/late" => return Err(Status::deadline_exceeded("still waiting")),
        "/svc/long" => return Err(Status::invalid_argument("path: longer than 10 bytes")),
        "/svc/denied" => return Err(Status::permission_denied("who are you")),
        "/svc/loop" => return Err(Status::failed_precondition("too deep")),
        _ => {}
    }
    let step = |kind: &str, path: &str, children: Vec<v1::Step>| v1::Step {
        kind: kind.to_owned(),
        path: path.to_owned(),
        children,
        ..v1::Step::default()
    };
    let rule = |dst: &str| {
        Some(v1::Rule {
            prefix: "/svc".to_owned(),
            dst: dst.to_owned(),
            ..v1::Rule::default()
        })
    };
    let cluster = |ip: &str| v1::ResolvedCluster {
        id: "/#/x".to_owned(),
        state: v1::State::Bound.into(),
        endpoints: vec![v1::ResolvedEndpoint {
            ip: ip.to_owned(),
            port: 80,
            weight: 1.0,
            node: "n2".to_owned(),
            ..v1::ResolvedEndpoint::default()
        }],
        ..v1::ResolvedCluster::default()
    };
    let leaf = |ip| v1::Step {
        id: "/#/x".to_owned(),
        residual: "/".to_owned(),
        cluster: Some(cluster(ip)),
        ..step("leaf", "/#/x", Vec::new())
    };
    let transformation = v1::Step {
        transformer: "io.l5d.port".to_owned(),
        rule: rule("/#/x"),
        ..v1::Step {
            kind: "transformation".to_owned(),
            children: vec![leaf("10.0.0.2")],
            ..leaf("10.0.0.1")
        }
    };
    let union = v1::Step {
        rule: rule("/u"),
        ..step(
            "union",
            "/u",
            vec![v1::Step {
                weight: 0.5,
                ..step("delegate", "/d", vec![step("neg", "~", Vec::new())])
            }],
        )
    };
    let broken = v1::Step {
        why: "Unknown namer".to_owned(),
        ..step("exception", "/$/none", Vec::new())
    };
    // The question is shown by what it makes of the path.
    let path = format!("{} {} {}", question.root, question.path, question.dtab);
    Ok(v1::Explained {
        steps: Some(step("alt", &path, vec![transformation, union, broken])),
        ..v1::Explained::default()
    })
}

fn node(namerd: SocketAddr) -> Running {
    let router = "protocol: http, servers: [{port: 0}]";
    let text = format!(
        "admin: {{port: 0}}\nrouters: [{{label: a, {router}}}, {{label: b, dtab: /svc => /b, {router}, \
         interpreter: {{kind: io.l5d.mesh, root: /web, dst: /$/inet/127.0.0.1/{}}}}}]",
        namerd.port()
    );
    let config = read("l5d.yml", &text).unwrap_or_else(|e| panic!("{e}"));
    let identity = Identity {
        node_name: Some("n1".to_owned()),
        namerd: vec![(namerd.ip().to_string(), namerd.port())],
        ..Identity::default()
    };
    let options = Options {
        workers: Some(1),
        seed: Some(1),
        ..Options::default()
    };
    run(config, identity, options).expect("it starts")
}

async fn delegate(running: &Running, query: &str) -> (u16, String) {
    let answer = get(running.admin, "a", &format!("/delegator.json{query}")).await;
    let status = answer[9..12].parse().expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    (status, body.to_owned())
}

#[tokio::test]
async fn a_delegation_is_asked_of_namerd_as_the_router_asks() {
    let namerd = namerd(([127, 0, 0, 1], 1).into()).await;
    let running = node(namerd.addr);
    let query = "?namespace=b&path=/svc/web&dtab=/svc%3D%3E/c";
    let (status, body) = delegate(&running, query).await;
    assert_eq!(status, 200, "{body}");
    let bound = |ip: &str| {
        let addrs = json!([{"ip": ip, "port": 80, "meta": {"nodeName": "n2"}}]);
        let addr = json!({"type": "bound", "addrs": addrs, "meta": {}});
        json!({"addr": addr, "id": "/#/x", "path": "/"})
    };
    let after = json!({"type": "leaf", "path": "/#/x", "bound": bound("10.0.0.2")});
    let neg = json!({"type": "neg", "path": "~"});
    let branch = json!({"type": "delegate", "path": "/d", "delegate": neg});
    let expected = json!({"type": "alt", "path": "web /svc/web /svc=>/b;/svc=>/c", "alt": [
        {"type": "transformation", "path": "/#/x", "name": "io.l5d.port", "bound": bound("10.0.0.1"), "tree": after},
        {"type": "union", "path": "/u", "dentry": {"prefix": "/svc", "dst": "/u"}, "union": [{"weight": 0.5, "tree": branch}]},
        {"type": "exception", "path": "/$/none", "message": "Unknown namer"},
    ]});
    let found: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(found, expected);
    // The other router has neither a namespace nor rules; a form and a JSON object ask as well.
    for body in [
        "namespace=a&path=/svc/web&dtab=",
        "{\"namespace\": \"a\", \"path\": \"/svc/web\", \"dtab\": \"\"}",
    ] {
        let post = format!(
            "POST /delegator.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = request(running.admin, &post).await;
        assert!(answer.contains("\"path\":\" /svc/web \""), "{answer}");
    }
    running.join().await;
}

#[tokio::test]
async fn what_cannot_be_delegated_is_told() {
    let namerd = namerd(([127, 0, 0, 1], 1).into()).await;
    let running = node(namerd.addr);
    for (query, expected, says) in [
        ("?namespace=a", 400, "`path` is needed"),
        ("?path=/svc/web", 400, "a router's label: a, b"),
        ("?path=/svc/web&namespace=c", 404, "there are: a, b"),
        ("?path=svc&namespace=a", 400, "Invalid path: svc / "),
        ("?path=/svc&namespace=a&dtab=x", 400, "Invalid dtab: "),
        ("?path=/svc/long&namespace=a", 400, "longer than 10 bytes"),
        ("?path=/svc/late&namespace=a", 504, "still waiting"),
        ("?path=/svc/denied&namespace=a", 502, "who are you"),
        ("?path=/svc/loop&namespace=a", 500, "too deep"),
    ] {
        let (status, body) = delegate(&running, query).await;
        assert_eq!(status, expected, "{query}: {body}");
        assert!(body.contains(says), "{query}: {body}");
    }
    running.join().await;
    let away = node(([127, 0, 0, 1], 1).into());
    let (status, body) = delegate(&away, "?path=/svc/web&namespace=a").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("connecting to 127.0.0.1:1: "), "{body}");
    away.join().await;
}

/// A namerd that does not answer holds nobody for ever, and not more than eight.
#[tokio::test]
async fn delegations_are_bounded_in_time_and_number() {
    let namerd = namerd(([127, 0, 0, 1], 1).into()).await;
    let running = node(namerd.addr);
    let asks = (0..40).map(|_| delegate(&running, "?path=/svc/never&namespace=a"));
    let answers = futures_util::future::join_all(asks).await;
    let count = |wanted: u16, says: &str| {
        let is = |(status, body): &&(u16, String)| *status == wanted && body.contains(says);
        answers.iter().filter(is).count()
    };
    let late = count(504, "none within 5s");
    let refused = count(503, "8 delegations are being asked for");
    assert!(
        late >= 8 && refused > 0 && late + refused == 40,
        "{answers:?}"
    );
    let (status, body) = delegate(&running, "?path=/svc/web&namespace=a").await;
    assert_eq!(status, 200, "{body}");
    running.join().await;
}
