//! `watch=true` (control plane 7.8).

use l5d_naming::Dtab;

use super::*;

fn dtab(text: &str) -> Dtab {
    Dtab::parse(text).expect("a dtab")
}

#[tokio::test]
async fn the_list_is_told_at_once_and_after_each_change() {
    let world = World::start(&[]);
    let mut list = world.watch("/api/1/dtabs?watch=true").await;
    assert_eq!(list.chunk().await.as_deref(), Some("[]\n"));
    world.store.create("b", dtab("")).await.expect("created");
    assert_eq!(list.chunk().await.as_deref(), Some("[\"b\"]\n"));
    // A new version of a namespace is no new name.
    world.store.put("b", dtab("/a=>/b")).await.expect("written");
    world.store.create("a", dtab("")).await.expect("created");
    assert_eq!(list.chunk().await.as_deref(), Some("[\"a\",\"b\"]\n"));
}

#[tokio::test]
async fn a_missing_namespace_is_waited_for_and_its_deletion_is_silent() {
    let world = World::start(&[]);
    let mut client = Client::open(world.addr).await;
    let head = client
        .begin(
            "GET",
            "/api/1/dtabs/x?watch=1",
            "Accept: application/dtab\r\n",
            "",
        )
        .await;
    assert_eq!((head.status, head.header("etag")), (200, None));
    assert_eq!(head.header("content-type"), Some("application/dtab"));
    world
        .store
        .create("x", dtab("/a=>/b"))
        .await
        .expect("created");
    assert_eq!(client.chunk().await.as_deref(), Some("/a=>/b\n"));
    world.store.delete("x").await.expect("deleted");
    world
        .store
        .create("x", dtab("/a=>/b"))
        .await
        .expect("created");
    world.store.put("x", dtab("/a=>/c")).await.expect("written");
    assert_eq!(client.chunk().await.as_deref(), Some("/a=>/c\n"));
}

#[tokio::test]
async fn bind_tells_trees_and_addr_tells_addresses() {
    let world = World::start(&[("default", "/svc => /#/io.l5d.fs")]);
    let mut tree = world
        .watch("/api/1/bind/default?path=/svc/web&watch=t")
        .await;
    let mut addr = world
        .watch("/api/1/addr/default?path=/%23/io.l5d.fs/web&watch=T")
        .await;
    let mut resolve = world
        .watch("/api/1/resolve/default?path=/svc/web&watch=true")
        .await;
    assert!(
        tree.chunk()
            .await
            .expect("a tree")
            .starts_with("{\"type\":\"leaf\"")
    );
    for client in [&mut addr, &mut resolve] {
        assert!(client.chunk().await.expect("addresses").contains("8080"));
    }
    // Addresses change: no word of the tree.
    world.write("web", "127.0.0.1 8081\n");
    for client in [&mut addr, &mut resolve] {
        assert!(client.chunk().await.expect("addresses").contains("8081"));
    }
    world
        .store
        .put("default", dtab("/svc => /$/nil"))
        .await
        .expect("written");
    assert_eq!(
        tree.chunk().await.as_deref(),
        Some("{\"type\":\"empty\"}\n")
    );
    assert_eq!(
        resolve.chunk().await.as_deref(),
        Some("{\"type\":\"neg\"}\n")
    );
}

#[tokio::test]
async fn errors_are_written_into_the_stream_and_end_it() {
    let world = World::start(&[("default", "/a => /a")]);
    let mut tree = world.watch("/api/1/bind/default?path=/a&watch=true").await;
    assert!(tree.chunk().await.expect("a message").contains("depth 100"));
    assert_eq!(tree.chunk().await, None);
    let mut addresses = world
        .watch("/api/1/resolve/default?path=/a&watch=true")
        .await;
    assert!(
        addresses
            .chunk()
            .await
            .expect("a document")
            .starts_with("{\"type\":\"failed\",\"cause\":\"")
    );
    assert_eq!(addresses.chunk().await, None);
}

#[tokio::test]
async fn names_are_told_as_they_come() {
    let world = World::start(&[]);
    let mut names = world.watch("/api/1/bound-names?watch=true").await;
    assert_eq!(
        names.chunk().await.as_deref(),
        Some("[\"/#/io.l5d.fs/empty\",\"/#/io.l5d.fs/web\"]\n")
    );
    world.write("api", "");
    assert_eq!(
        names.chunk().await.as_deref(),
        Some("[\"/#/io.l5d.fs/api\",\"/#/io.l5d.fs/empty\",\"/#/io.l5d.fs/web\"]\n")
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_observation() {
    let world = World::start(&[]);
    let cell = world.store.list();
    let client = world.watch("/api/1/dtabs?watch=true").await;
    while cell.listeners() == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    while cell.listeners() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_stop_ends_watches_and_the_server() {
    let world = World::start(&[]);
    let mut list = world.watch("/api/1/dtabs?watch=true").await;
    assert_eq!(list.chunk().await.as_deref(), Some("[]\n"));
    world.stop.cancel();
    assert_eq!(list.chunk().await, None);
    world.server.await.expect("ends by itself");
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_blank_lines() {
    use super::super::sources::Names;
    use super::super::watch::watch;
    use http_body_util::BodyExt as _;

    let store = InMemoryStore::new([]);
    let mut body = watch("x", Names::new(store.list()), &CancellationToken::new()).into_body();
    let mut lines = Vec::new();
    for _ in 0..3 {
        let frame = body.frame().await.expect("a frame").expect("data");
        lines.push(frame.into_data().expect("data"));
    }
    assert_eq!(lines, ["[]\n", "\n", "\n"]);
}
