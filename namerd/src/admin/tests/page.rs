//! What the page is made of, reads and writes.

use super::*;

const IF_FIRST: &str = "Content-Type: application/dtab\r\nIf-Match: AAAAAAAAAAE=\r\n";
const NEW: &str = "Content-Type: application/dtab\r\nIf-None-Match: *\r\n";
const STORED: &str = "/ui/dtab.json?namespace=%3Ci%3Edefault%3C/i%3E";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test]
async fn the_page_comes_with_a_policy_and_relative_links() {
    let mut open = admin();
    let names = [("a/b</script>".to_owned(), Dtab::empty())];
    open.store = InMemoryStore::new(names);
    let world = World::start(open);
    let (status, head, page) = world.send("GET", "/", "", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"));
    assert!(page.contains("<base href=\"./\">"), "{page}");
    for file in page.split("\"files/").skip(1) {
        let file = file.split('"').next().unwrap_or_default();
        assert_eq!(world.get(&format!("/files/{file}")).await.0, 200, "{file}");
        assert_eq!(world.get(&format!("/admin/files/{file}")).await.0, 200);
    }
    assert_eq!(world.get("/files/nosuch.js").await.0, 404);
    assert_eq!(world.get("/dtab/nosuch").await.0, 404);
    // The rest of the path is the namespace as it is; the URI grammar takes no `<`, so this one only nearly exists.
    assert_eq!(world.get("/dtab/a/b").await.0, 404);
    world
        .admin
        .store
        .put("a/b", Dtab::empty())
        .await
        .expect("is put");
    let (status, page) = world.get("/dtab/a/b").await;
    assert!(
        status == 200 && page.contains("<base href=\"../../\">"),
        "{page}"
    );
    assert!(page.contains(r#"{"namespace":"a/b","dtab":[]}"#));
}

#[tokio::test]
async fn every_view_answers_and_says_what_is_missing() {
    let world = World::start(admin());
    let overview = json(&world.get("/ui/overview.json").await.1);
    assert_eq!(overview["totals"]["namespaces"], 1);
    assert_eq!(overview["store"]["connected"], true);
    let problems = overview["problems"].to_string();
    assert!(problems.contains("Not ready") && problems.contains("a warning"));
    let list = json(&world.get("/ui/namespaces.json").await.1);
    assert_eq!(list["namespaces"][0]["name"], "<i>default</i>");
    let one = json(&world.get(STORED).await.1);
    assert_eq!(one["dtab"], "/svc => /#/x | ~ ;\n");
    let history = world
        .get(&STORED.replace("dtab.json", "history.json"))
        .await;
    assert_eq!(json(&history.1)["history"][0]["version"], one["version"]);
    for list in ["bindings", "names", "sessions"] {
        let (status, text) = world.get(&format!("/ui/{list}.json?q=x")).await;
        assert_eq!((status, &json(&text)["found"]), (200, &0.into()), "{list}");
    }
    for (target, status) in [
        ("/ui/dtab.json", 400),
        ("/ui/binding.json?number=x", 400),
        ("/ui/binding.json?number=7", 404),
        ("/ui/session.json?id=7", 404),
        ("/ui/history.json?namespace=nosuch", 404),
        ("/ui/nosuch.json", 404),
        ("/ui/explain.json?path=svc", 400),
    ] {
        assert_eq!(world.get(target).await.0, status, "{target}");
    }
}

/// Control plane 14: two who edit at one time do not overwrite each other.
#[tokio::test]
async fn writes_need_a_condition_and_the_first_wins() {
    let world = World::start(admin());
    let put = async |target: &str, headers: &str, body: &str| {
        let (status, _, body) = world.send("PUT", target, headers, body).await;
        (status, body)
    };
    assert_eq!(
        put(STORED, "Content-Type: application/dtab\r\n", "/a=>/b")
            .await
            .0,
        428
    );
    assert_eq!(
        put(STORED, "If-Match: AAAAAAAAAAE=\r\n", "/a=>/b").await.0,
        415
    );
    let (status, why) = put(STORED, IF_FIRST, "/a=>").await;
    assert!(status == 400 && why.starts_with("Invalid dtab: "), "{why}");
    assert_eq!(put(STORED, IF_FIRST, "/a=>/b").await.0, 204);
    assert_eq!(put(STORED, IF_FIRST, "/a=>/c").await.0, 412);
    assert_eq!(put(STORED, NEW, "/a=>/c").await.0, 409);
    assert_eq!(
        put("/ui/dtab.json?namespace=new", NEW, "/a=>/c").await.0,
        204
    );
    assert_eq!(
        put("/ui/dtab.json?namespace=gone", IF_FIRST, "/a=>/c")
            .await
            .0,
        404
    );
    let delete = async |headers: &str| world.send("DELETE", STORED, headers, "").await.0;
    assert_eq!(delete("").await, 428);
    assert_eq!(delete("If-Match: AAAAAAAAAAE=\r\n").await, 412);
    assert_eq!(delete("If-Match: AAAAAAAAAAI=\r\n").await, 204);
    assert_eq!(json(&world.get(STORED).await.1)["state"], "absent");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let world = World::start(admin());
    for foreign in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://evil\r\n",
        "Origin: null\r\n",
    ] {
        let headers = format!("{IF_FIRST}{foreign}");
        let (status, ..) = world.send("PUT", STORED, &headers, "/a=>/b").await;
        assert_eq!(status, 403, "{foreign}");
        let (status, ..) = world.send("POST", "/admin/shutdown", foreign, "").await;
        assert_eq!(status, 403, "{foreign}");
    }
    assert!(!world.admin.stop.is_cancelled());
    let own = format!("{IF_FIRST}Sec-Fetch-Site: same-origin\r\nOrigin: http://x\r\n");
    assert_eq!(world.send("PUT", STORED, &own, "/a=>/b").await.0, 204);
}

#[tokio::test]
async fn writing_can_be_switched_off() {
    let mut closed = admin();
    closed.security.control = false;
    let world = World::start(closed);
    assert_eq!(world.send("PUT", STORED, IF_FIRST, "/a=>/b").await.0, 404);
    assert_eq!(world.get(STORED).await.0, 200);
    let mut read_only = admin();
    read_only.security.read_only = true;
    let world = World::start(read_only);
    let (status, _, why) = world.send("PUT", STORED, IF_FIRST, "/a=>/b").await;
    assert!(status == 403 && why.contains("readOnly"), "{why}");
    assert_eq!(
        json(&world.get("/ui/overview.json").await.1)["may_write"],
        false
    );
}

#[tokio::test]
async fn mistakes_of_a_dtab_come_with_their_places() {
    let world = World::start(admin());
    let text = "/a => /b;\n/c = /d;\n/e => /#/nosuch/x";
    let (_, _, answer) = world.send("POST", "/ui/check.json", "", text).await;
    let answer = json(&answer);
    assert_eq!(
        (&answer["ok"], &answer["entries"]),
        (&false.into(), &2.into())
    );
    assert_eq!(
        (&answer["marks"][0]["line"], &answer["marks"][0]["column"]),
        (&2.into(), &5.into())
    );
    let text = "# note\n/e => /#/nosuch/x | /#/a/b/c;\n/f => /f";
    let (_, _, answer) = world.send("POST", "/ui/check.json", "", text).await;
    let answer = json(&answer);
    assert_eq!(answer["ok"], true);
    let marks = answer["marks"].as_array().expect("marks");
    assert_eq!(marks.len(), 2, "{marks:?}");
    assert_eq!(
        (&marks[0]["line"], &marks[0]["level"]),
        (&2.into(), &"warning".into())
    );
    assert_eq!(marks[1]["message"], "/f leads to itself");
}

/// A followed view tells a change, and the number of those who follow is bounded.
#[tokio::test]
async fn views_can_be_followed_by_so_many() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let world = World::start(admin());
    let follow = async || {
        let mut stream = tokio::net::TcpStream::connect(world.addr)
            .await
            .expect("connects");
        let head =
            b"GET /ui/namespaces.json?watch=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(head).await.expect("writes");
        BufReader::new(stream).lines()
    };
    let mut first = follow().await;
    let mut next = async |with: &str| {
        while let Some(line) = first.next_line().await.expect("reads") {
            if line.starts_with("data: ") && line.contains(with) {
                return;
            }
        }
        panic!("ended before {with}");
    };
    next("default").await;
    world
        .admin
        .store
        .put("later", Dtab::empty())
        .await
        .expect("is put");
    next("later").await;
    let mut all = Vec::new();
    loop {
        let mut one = follow().await;
        let status = one.next_line().await.expect("reads").expect("a line");
        if status.contains("503") {
            break;
        }
        all.push(one);
        assert!(all.len() < 100);
    }
    assert_eq!(world.admin.watchers.open(), all.len() + 1);
    assert_eq!(world.admin.meter.limits.all()[0].0, ["admin_watchers"]);
    world.admin.stop.cancel();
    while first.next_line().await.is_ok_and(|line| line.is_some()) {}
}
