//! The last versions of a dtab and the way back to one of them.

use serde_json::{Value, json};

use super::*;

const AT: &str = "/api/1/history/default";

async fn three_versions() -> World {
    let world = World::start(&[("default", "/v=>/1")]);
    for n in [2, 3] {
        let dtab = Dtab::parse(&format!("/v=>/{n}")).expect("a dtab");
        world.store.put("default", dtab).await.expect("is put");
    }
    world
}

#[tokio::test]
async fn versions_are_listed_newest_first_in_both_forms() {
    let world = three_versions().await;
    let listed = world.get(AT).await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.header("content-type"), Some("application/json"));
    let list: Value = serde_json::from_str(&listed.body).expect("JSON");
    let list = list.as_array().expect("a list");
    let versions: Vec<_> = list.iter().map(|v| &v["version"]).collect();
    assert_eq!(versions, ["AAAAAAAAAAM=", "AAAAAAAAAAI=", "AAAAAAAAAAE="]);
    assert_eq!(list[2]["dtab"], json!([{"prefix": "/v", "dst": "/1"}]));
    let written = list[0]["written"].as_str().expect("a time");
    assert!(written.parse::<jiff::Timestamp>().is_ok(), "{written}");

    let text = world
        .send("GET", AT, "Accept: application/dtab\r\n", "")
        .await;
    let lines: Vec<_> = text.body.lines().collect();
    assert!(
        lines[0].starts_with("# version AAAAAAAAAAM= written 2"),
        "{lines:?}"
    );
    assert_eq!((lines.len(), lines[1]), (6, "/v=>/3"));
    let head = world.send("HEAD", AT, "", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_version_is_restored_as_a_new_write() {
    let world = three_versions().await;
    let restore = async |query: &str, headers: &str| {
        let target = format!("{AT}{query}");
        world.send("POST", &target, headers, "").await
    };
    let restored = restore("?version=AAAAAAAAAAE=", "").await;
    assert_eq!(
        (restored.status, restored.header("etag")),
        (204, Some("AAAAAAAAAAQ="))
    );
    let now = world.get("/api/1/dtabs/default").await;
    assert_eq!(now.body, "[{\"prefix\":\"/v\",\"dst\":\"/1\"}]\n");

    let refused = restore("?version=AAAAAAAAAAI%3D", "If-Match: AAAAAAAAAAM=\r\n").await;
    assert_eq!(refused.status, 412);
    let restored = restore(
        "?version=%22AAAAAAAAAAI=%22",
        "If-Match: \"AAAAAAAAAAQ=\"\r\n",
    )
    .await;
    assert_eq!(
        (restored.status, restored.header("etag")),
        (204, Some("AAAAAAAAAAU="))
    );

    let gone = restore("?version=AAAAAAAAAAk=", "").await;
    assert_eq!(gone.status, 410);
    assert!(
        gone.body.contains("does not have this version of default"),
        "{}",
        gone.body
    );
    for query in ["", "?version=", "?version=A"] {
        assert_eq!(restore(query, "").await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn what_has_no_history_says_so() {
    let world = World::start(&[]);
    let unknown = world.get("/api/1/history/none").await;
    assert_eq!(unknown.status, 404);
    let unknown = world
        .send("POST", "/api/1/history/none?version=AA==", "", "")
        .await;
    assert_eq!(unknown.status, 404);
    assert_eq!(world.get("/api/1/history/").await.status, 404);
    let refused = world.send("PUT", AT, "", "").await;
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET, HEAD, POST"))
    );
}
