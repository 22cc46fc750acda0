//! Reading and writing dtabs (control plane 7.1 to 7.3).

use super::*;

const TEXT: &str = "Content-Type: application/dtab\r\n";

#[tokio::test]
async fn a_dtab_lives_from_post_to_delete_with_versions() {
    let world = World::start(&[]);
    let created = world
        .send(
            "POST",
            "/api/1/dtabs/default",
            TEXT,
            "/svc => /#/io.l5d.fs ; # all\n",
        )
        .await;
    assert_eq!(
        (created.status, created.header("etag")),
        (204, Some("AAAAAAAAAAE="))
    );
    let got = world.get("/api/1/dtabs/default").await;
    assert_eq!(
        (got.status, got.header("etag")),
        (200, Some("AAAAAAAAAAE="))
    );
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(
        got.body,
        "[{\"prefix\":\"/svc\",\"dst\":\"/#/io.l5d.fs\"}]\n"
    );

    assert_eq!(
        world
            .send("POST", "/api/1/dtabs/default", TEXT, "/a=>/b")
            .await
            .status,
        409
    );
    let put = world
        .send("PUT", "/api/1/dtabs/default", TEXT, "/a=>/b")
        .await;
    assert_eq!(
        (put.status, put.header("etag")),
        (204, Some("AAAAAAAAAAI="))
    );

    let head = world.send("HEAD", "/api/1/dtabs/default", "", "").await;
    assert_eq!(
        (head.status, head.header("etag")),
        (200, Some("AAAAAAAAAAI="))
    );
    assert_eq!(
        world
            .send("DELETE", "/api/1/dtabs/default", "", "")
            .await
            .status,
        204
    );
    assert_eq!(
        world
            .send("DELETE", "/api/1/dtabs/default", "", "")
            .await
            .status,
        404
    );
    let gone = world.get("/api/1/dtabs/default").await;
    assert_eq!((gone.status, gone.body.as_str()), (404, ""));
    assert_eq!(
        world
            .send("HEAD", "/api/1/dtabs/default", "", "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn conditional_puts_compare_versions_in_every_spelling() {
    let world = World::start(&[("default", "/a=>/b")]);
    let put = async |ns: &str, condition: &str| {
        let headers = format!("{TEXT}{condition}\r\n");
        world
            .send("PUT", &format!("/api/1/dtabs/{ns}"), &headers, "/c=>/d")
            .await
            .status
    };
    assert_eq!(put("none", "If-Match: AAAAAAAAAAE=").await, 404);
    assert_eq!(put("none", "If-Match: *").await, 404);
    assert_eq!(put("default", "If-Match: AAAAAAAAAAI=").await, 412);
    assert_eq!(put("default", "If-Match: yolo").await, 412);
    assert_eq!(put("default", "If-Match: AAAAAAAAAAE=").await, 204);
    assert_eq!(put("default", "If-Match: \"AAAAAAAAAAI=\"").await, 204);
    assert_eq!(put("default", "If-Match: W/\"AAAAAAAAAAM=\"").await, 204);
    assert_eq!(put("default", "If-Match: *").await, 204);
    assert_eq!(put("default", "If-None-Match: *").await, 412);
    assert_eq!(put("new", "If-None-Match: *").await, 204);

    let fresh = world
        .send(
            "GET",
            "/api/1/dtabs/new",
            "If-None-Match: AAAAAAAAAAE=\r\n",
            "",
        )
        .await;
    assert_eq!(
        (fresh.status, fresh.header("etag")),
        (304, Some("AAAAAAAAAAE="))
    );
    let stale = world
        .send(
            "GET",
            "/api/1/dtabs/new",
            "If-None-Match: AAAAAAAAAAI=\r\n",
            "",
        )
        .await;
    assert_eq!(stale.status, 200);
}

#[tokio::test]
async fn content_types_decide_and_accept_is_taken_in_order() {
    let world = World::start(&[("default", "/w => 0.3 * /a & 0.7 * /b ; /x => /y | ~")]);
    let text = world
        .send(
            "GET",
            "/api/1/dtabs/default",
            "Accept: Text/Plain;q=0, application/json\r\n",
            "",
        )
        .await;
    assert_eq!(text.header("content-type"), Some("text/plain"));
    assert_eq!(text.body, "/w=>0.30*/a & 0.70*/b;/x=>/y | ~\n");
    for types in [
        "",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: text/html\r\n",
    ] {
        let refused = world
            .send("PUT", "/api/1/dtabs/default", types, "/a=>/b")
            .await;
        assert_eq!(refused.status, 400, "{types}");
        assert!(
            refused.body.contains("Content-Type must be"),
            "{}",
            refused.body
        );
    }
    let json = "Content-Type: Application/JSON; charset=utf-8\r\n";
    assert_eq!(
        world
            .send(
                "PUT",
                "/api/1/dtabs/default",
                json,
                "[{\"prefix\":\"/a\",\"dst\":\"/b\"}]"
            )
            .await
            .status,
        204
    );
    assert_eq!(
        world
            .send("PUT", "/api/1/dtabs/default", json, "")
            .await
            .status,
        400
    );
    let empty = format!("{TEXT}Content-Length: 0\r\n");
    assert_eq!(
        world
            .send("PUT", "/api/1/dtabs/default", &empty, "")
            .await
            .status,
        204
    );
    assert_eq!(world.get("/api/1/dtabs/default").await.body, "[]\n");
}

#[tokio::test]
async fn bad_dtabs_are_refused_with_what_and_where() {
    let world = World::start(&[]);
    for method in ["POST", "PUT"] {
        let refused = world
            .send(method, "/api/1/dtabs/default", TEXT, "/a=>/b;\n/c=>")
            .await;
        assert_eq!(refused.status, 400);
        assert!(
            refused.body.starts_with("Invalid dtab: ") && refused.body.contains("line 2"),
            "{}",
            refused.body
        );
        let json = "Content-Type: application/json\r\n";
        let refused = world
            .send(method, "/api/1/dtabs/default", json, "[null]")
            .await;
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (400, "The dtab contains invalid dentries: [null]")
        );
    }
    assert_eq!(world.get("/api/1/dtabs").await.body, "[]\n");
}

#[tokio::test]
async fn bodies_in_chunks_are_read_whole_and_long_ones_refused() {
    let world = World::start(&[]);
    let chunked = format!("{TEXT}Transfer-Encoding: chunked\r\n");
    let body = "4\r\n/a=>\r\n2\r\n/b\r\n0\r\n\r\n";
    assert_eq!(
        world
            .send("PUT", "/api/1/dtabs/default", &chunked, body)
            .await
            .status,
        204
    );
    assert_eq!(
        world.get("/api/1/dtabs/default").await.body,
        "[{\"prefix\":\"/a\",\"dst\":\"/b\"}]\n"
    );
    let long = format!("{TEXT}Content-Length: 5242881\r\n");
    assert_eq!(
        world
            .send("PUT", "/api/1/dtabs/default", &long, &" ".repeat(5_242_881))
            .await
            .status,
        413
    );
}

#[tokio::test]
async fn namespaces_are_taken_literally_and_lists_are_sorted() {
    let world = World::start(&[("b", "/x=>/b"), ("a/b%20c", "/x=>/a")]);
    for target in ["/api/1/dtabs", "/api/1/dtabs/"] {
        let list = world.get(target).await;
        assert_eq!(
            (list.status, list.body.as_str()),
            (200, "[\"a/b%20c\",\"b\"]\n")
        );
    }
    assert_eq!(world.get("/api/1/dtabs/a/b%20c").await.status, 200);
    assert_eq!(world.get("/api/1/dtabs/b/").await.status, 404);
}

#[tokio::test]
async fn unknown_routes_and_methods_have_their_statuses() {
    let world = World::start(&[("default", "")]);
    let cases = [
        ("GET", "/", 404),
        ("GET", "/api/1", 404),
        ("GET", "/api/1/nosuch", 404),
        ("PATCH", "/api/1/dtabs/default", 404),
        ("OPTIONS", "/api/1/dtabs/default", 404),
        ("POST", "/api/1/dtabs", 405),
        ("DELETE", "/api/1/dtabs/", 405),
        ("POST", "/api/1/bound-names", 404),
        ("PUT", "/api/1/delegate", 405),
        ("DELETE", "/api/1/delegate/default", 405),
        ("POST", "/api/1/bind/default", 405),
        ("GET", "/api/1/bind", 404),
        ("GET", "/api/1/bind/", 404),
        ("GET", "/api/1/addr", 404),
        ("GET", "/api/1/resolve", 404),
    ];
    for (method, target, status) in cases {
        let answer = world.send(method, target, "", "").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, ""),
            "{method} {target}"
        );
        assert_eq!(
            answer.header("allow").is_some(),
            status == 405,
            "{method} {target}"
        );
    }
    let counts = world.requests.all();
    assert!(counts.contains(&("delegate", 405, 2)), "{counts:?}");
    assert!(counts.contains(&("other", 404, 7)), "{counts:?}");
}

/// Canonical text rounds (control plane 2.3); who edits what is there gets every digit.
#[tokio::test]
async fn a_dtab_is_shown_with_all_digits_on_request() {
    let world = World::start(&[("default", "/a => 0.001 * /b & 0.999 * /c")]);
    let rounded = world.get("/api/1/dtabs/default").await.body;
    assert_eq!(
        rounded,
        "[{\"prefix\":\"/a\",\"dst\":\"0.00*/b & 1.00*/c\"}]\n"
    );
    let exact = world.get("/api/1/dtabs/default?exact=true").await.body;
    assert_eq!(
        exact,
        "[{\"prefix\":\"/a\",\"dst\":\"0.001*/b & 0.999*/c\"}]\n"
    );
}
