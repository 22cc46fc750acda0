//! Binding, addresses, delegation (control plane 7.4 to 7.7).

use super::*;

const WEB: &str = r#"{"addr":{"type":"bound","addrs":[{"ip":"127.0.0.1","port":8080,"meta":{}}],"meta":{}},"id":"/#/io.l5d.fs/web","path":"/users"}"#;

#[tokio::test]
async fn bind_shows_leaves_unions_and_the_rest() {
    let world = World::start(&[("default", "/svc => /#/io.l5d.fs")]);
    let leaf = world.get("/api/1/bind/default?path=/svc/web/users").await;
    assert_eq!(leaf.header("content-type"), Some("application/json"));
    assert_eq!(
        leaf.body,
        format!("{{\"type\":\"leaf\",\"bound\":{WEB}}}\n")
    );
    let union = world
        .get("/api/1/bind/default?path=/u/users&dtab=/u+%3D%3E+0.3+*+/svc/web+%26+0.7+*+/$/inet/127.0.0.1/1")
        .await;
    let web = WEB.replacen(
        "}],\"meta\":{}}",
        "}],\"meta\":{\"namer_nametree_weight\":0.3}}",
        1,
    );
    assert!(
        union.body.starts_with(&format!(
            "{{\"type\":\"union\",\"union\":[{{\"weight\":0.3,\"tree\":{{\"type\":\"leaf\",\"bound\":{web}}}}},{{\"weight\":0.7,"
        )),
        "{}",
        union.body
    );
    for (path, kind) in [
        ("/svc/none", "neg"),
        ("/$/fail", "fail"),
        ("/$/nil", "empty"),
    ] {
        let answer = world.get(&format!("/api/1/bind/default?path={path}")).await;
        assert_eq!(answer.body, format!("{{\"type\":\"{kind}\"}}\n"));
    }
    let unknown = world.get("/api/1/bind/nosuch?path=/svc/web").await;
    assert_eq!(
        (unknown.status, unknown.body.as_str()),
        (200, "{\"type\":\"neg\"}\n")
    );
}

#[tokio::test]
async fn bad_parameters_are_400_with_the_reason() {
    let world = World::start(&[]);
    for route in ["bind", "resolve", "delegate"] {
        let bad = world.get(&format!("/api/1/{route}/default?path=foo")).await;
        assert_eq!(bad.status, 400);
        assert!(bad.body.starts_with("Invalid path: foo / "), "{}", bad.body);
        assert_eq!(
            world.get(&format!("/api/1/{route}/default")).await.status,
            400
        );
        let bad = world
            .get(&format!("/api/1/{route}/default?path=/a&dtab=x"))
            .await;
        assert_eq!(bad.status, 400);
        assert!(bad.body.starts_with("Invalid dtab: "), "{}", bad.body);
    }
    assert_eq!(world.get("/api/1/addr/default?path=foo").await.status, 400);
}

#[tokio::test]
async fn binding_errors_are_500_with_the_reason() {
    let world = World::start(&[("default", "/a => /a")]);
    for route in ["bind", "resolve"] {
        let failed = world.get(&format!("/api/1/{route}/default?path=/a")).await;
        assert_eq!(failed.status, 500);
        assert!(failed.body.contains("depth 100"), "{}", failed.body);
    }
}

#[tokio::test]
async fn addr_answers_concrete_ids_whatever_the_namespace() {
    let world = World::start(&[]);
    let addr = async |id: &str| world.get(&format!("/api/1/addr/any?path={id}")).await.body;
    let web = "{\"type\":\"bound\",\"addrs\":[{\"ip\":\"127.0.0.1\",\"port\":8080,\"meta\":{}}],\"meta\":{}}\n";
    assert_eq!(addr("/%23/io.l5d.fs/web").await, web);
    assert_eq!(addr("/%25/io.l5d.port/1/%23/io.l5d.fs/web").await, web);
    assert_eq!(
        addr("/%23/io.l5d.fs/empty").await,
        "{\"type\":\"bound\",\"addrs\":[],\"meta\":{}}\n"
    );
    assert_eq!(addr("/%23/io.l5d.fs/none").await, "{\"type\":\"neg\"}\n");
    assert_eq!(addr("/%23/nosuch/x").await, "{\"type\":\"neg\"}\n");
    assert_eq!(addr("/$/nosuch/x").await, "{\"type\":\"neg\"}\n");
    assert_eq!(
        addr("/$/fail").await,
        "{\"type\":\"failed\",\"cause\":\"name tree failed\"}\n"
    );
    assert_eq!(
        addr("/$/nil").await,
        "{\"type\":\"bound\",\"addrs\":[],\"meta\":{}}\n"
    );
}

#[tokio::test]
async fn resolve_picks_one_leaf() {
    let world = World::start(&[(
        "default",
        "/svc => /#/io.l5d.fs ; /u => 1 * /svc/web & 0 * /svc/empty ; /alt => /svc/none | /svc/web",
    )]);
    for path in ["/svc/web", "/u", "/alt"] {
        let answer = world
            .get(&format!("/api/1/resolve/default?path={path}"))
            .await;
        assert!(answer.body.contains("8080"), "{path}: {}", answer.body);
        assert!(
            answer.body.ends_with("\"meta\":{}}\n"),
            "{path}: {}",
            answer.body
        );
    }
    for path in ["/svc/none", "/$/fail", "/$/nil"] {
        let answer = world
            .get(&format!("/api/1/resolve/default?path={path}"))
            .await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "{\"type\":\"neg\"}\n"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn forms_give_parameters_that_win_over_the_query() {
    let world = World::start(&[("default", "/svc => /#/io.l5d.fs")]);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = world
        .send(
            "GET",
            "/api/1/bind/default?path=/svc/none",
            form,
            "path=%2Fsvc%2Fweb%2Fusers",
        )
        .await;
    assert_eq!(
        answer.body,
        format!("{{\"type\":\"leaf\",\"bound\":{WEB}}}\n")
    );
}

#[tokio::test]
async fn delegate_shows_every_step() {
    let world = World::start(&[("default", "/svc => /#/io.l5d.fs")]);
    let bound = WEB.replace("/users", "/");
    let want = format!(
        "{{\"type\":\"delegate\",\"path\":\"/svc/web\",\"delegate\":{{\"type\":\"leaf\",\"path\":\"/#/io.l5d.fs/web\",\
         \"dentry\":{{\"prefix\":\"/svc\",\"dst\":\"/#/io.l5d.fs\"}},\"bound\":{bound}}}}}"
    );
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let body = "{\"namespace\":\"default\",\"dtab\":\"\",\"path\":\"/svc/web\"}";
    for answer in [
        world.get("/api/1/delegate/default?path=/svc/web").await,
        world
            .get("/api/1/delegate?path=/svc/web&namespace=default")
            .await,
        world
            .get("/api/1/delegate?path=/svc/web&dtab=/svc=%3E/%23/io.l5d.fs")
            .await,
        world.send("POST", "/api/1/delegate", json, body).await,
    ] {
        assert_eq!((answer.status, answer.body.as_str()), (200, want.as_str()));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let unstored = world.get("/api/1/delegate?path=/svc/web").await;
    assert_eq!(unstored.body, "{\"type\":\"neg\",\"path\":\"/svc/web\"}");
}

#[tokio::test]
async fn delegation_requests_are_checked() {
    let world = World::start(&[]);
    let json = "Content-Type: application/json\r\n";
    assert_eq!(
        world
            .send(
                "POST",
                "/api/1/delegate",
                "Content-Type: text/plain\r\n",
                "{}"
            )
            .await
            .status,
        415
    );
    for body in [
        "{}",
        "[]",
        "x",
        "{\"dtab\":\"\"}",
        "{\"dtab\":1,\"path\":\"/a\"}",
    ] {
        let answer = world.send("POST", "/api/1/delegate", json, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(
            answer.body.starts_with("Malformed delegation request: "),
            "{}",
            answer.body
        );
    }
    let answer = world
        .send(
            "POST",
            "/api/1/delegate",
            json,
            "{\"dtab\":\"x\",\"path\":\"/a\"}",
        )
        .await;
    assert!(
        answer.status == 400 && answer.body.starts_with("Invalid dtab: "),
        "{answer:?}"
    );
}

#[tokio::test]
async fn bound_names_are_sorted() {
    let world = World::start(&[]);
    let answer = world.get("/api/1/bound-names").await;
    assert_eq!(
        answer.body,
        "[\"/#/io.l5d.fs/empty\",\"/#/io.l5d.fs/web\"]\n"
    );
}

#[tokio::test]
async fn what_is_never_known_ends_in_time() {
    let waits = Waits {
        name: Duration::from_millis(50),
        delegation: Duration::from_millis(50),
    };
    let world = World::start_with(waits, &[]);
    let leaf = world.get("/api/1/bind/x?path=/$/inet/slow/80").await;
    let pending = "{\"type\":\"leaf\",\"bound\":{\"addr\":{\"type\":\"pending\"},\"id\":\"/$/inet/slow/80\",\"path\":\"/\"}}\n";
    assert_eq!((leaf.status, leaf.body.as_str()), (200, pending));
    for route in [
        "addr/x?path=/$/inet/slow/80",
        "resolve/x?path=/$/inet/slow/80",
    ] {
        let answer = world.get(&format!("/api/1/{route}")).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "{\"type\":\"pending\"}\n")
        );
    }
    let explained = world.get("/api/1/delegate/x?path=/$/inet/slow/80").await;
    assert_eq!(
        (explained.status, explained.body.as_str()),
        (503, "Request timed out.")
    );
}
