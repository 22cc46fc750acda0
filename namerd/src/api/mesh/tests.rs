//! The four services over a socket, with the generated clients.

use l5d_mesh::v1;
use l5d_mesh::v1::bound_delegate_tree::Node;
use l5d_mesh::v1::bound_name_tree::Node as Bound;
use l5d_mesh::v1::codec_client::CodecClient;
use l5d_mesh::v1::delegator_client::DelegatorClient;
use l5d_mesh::v1::interpreter_client::InterpreterClient;
use l5d_mesh::v1::replicas::Result as State;
use l5d_mesh::v1::resolver_client::ResolverClient;
use l5d_naming::{Dtab, NameTree, Path, Replicas};
use tonic::{Code, Status};

use crate::api::tests::Port;
use crate::store::{Dep as _, DtabStore as _};
use crate::stream::tests::{Stands, bound, many};

fn path(text: &str) -> v1::Path {
    (&Path::parse(text).unwrap()).into()
}

fn bind(name: &str) -> v1::BindReq {
    v1::BindReq {
        root: Some(path("/default")),
        name: Some(path(name)),
        dtab: None,
    }
}

fn dtab(text: &str) -> Option<v1::Dtab> {
    Some((&Dtab::parse(text).unwrap()).into())
}

fn id(text: &str) -> v1::ReplicasReq {
    let id = Some(path(text));
    v1::ReplicasReq { id }
}

fn leaf(tree: &v1::BoundTreeRsp) -> String {
    match tree.tree.as_ref().unwrap().node.as_ref().unwrap() {
        Bound::Leaf(leaf) => {
            let text = |p: &Option<v1::Path>| Path::try_from(p.as_ref().unwrap()).unwrap();
            format!("{} {}", text(&leaf.id), text(&leaf.residual))
        }
        other => format!("{other:?}"),
    }
}

fn is(status: &Status, code: Code, message: &str) {
    assert_eq!((status.code(), status.message()), (code, message));
}

/// Control plane 4.3, 4.8: a tree when it is known, another when it changes, none for addresses that come and go.
#[tokio::test]
async fn names_are_bound_and_followed() {
    let port = Port::new(&["web", "api"]).await;
    let mut client = InterpreterClient::new(port.channel().await);
    let tree = client.get_bound_tree(bind("/svc/web/x")).await.unwrap();
    assert_eq!(leaf(tree.get_ref()), "/#/shelf/web /x");

    let stream = client.stream_bound_tree(bind("/svc/web")).await.unwrap();
    let mut stream = stream.into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(leaf(&first), "/#/shelf/web /");
    port.world.set("web", many(3));
    port.world
        .dtab("/svc => /#/shelf ; /svc/web => /#/shelf/web");
    port.world.dtab("/svc/web => /#/shelf/api");
    let next = stream.message().await.unwrap().unwrap();
    assert_eq!(leaf(&next), "/#/shelf/api /", "what is equal is left out");
    port.world.dtab("/svc/web => /nowhere");
    let next = stream.message().await.unwrap().unwrap();
    assert!(leaf(&next).starts_with("Neg"), "{}", leaf(&next));
    port.stop().await;
}

/// The request's entries come after the stored ones (trap 8), an unknown namespace is an empty dtab (4.7).
#[tokio::test]
async fn entries_of_the_request_win_and_an_unknown_namespace_is_empty() {
    let port = Port::new(&["web", "api"]).await;
    let mut client = InterpreterClient::new(port.channel().await);
    let mut request = bind("/svc/web");
    request.dtab = dtab("/svc/web => /#/shelf/api");
    let tree = client.get_bound_tree(request.clone()).await.unwrap();
    assert_eq!(leaf(tree.get_ref()), "/#/shelf/api /");
    request.root = Some(path("/nobody"));
    let tree = client.get_bound_tree(request).await.unwrap();
    assert_eq!(leaf(tree.get_ref()), "/#/shelf/api /");
    let unbound = v1::BindReq {
        root: Some(path("/nobody")),
        ..bind("/svc/web")
    };
    let tree = client.get_bound_tree(unbound).await.unwrap();
    assert!(leaf(tree.get_ref()).starts_with("Neg"));
    port.stop().await;
}

/// The table of 4.7.
#[tokio::test]
async fn what_is_wrong_is_told_as_old_clients_know_it() {
    let port = Port::new(&["web"]).await;
    let mut client = InterpreterClient::new(port.channel().await);
    let none = v1::BindReq {
        root: None,
        ..bind("/svc/web")
    };
    let status = client.get_bound_tree(none).await.unwrap_err();
    is(&status, Code::InvalidArgument, "No namespace specified");
    for (root, shown) in [("/a/b", "/a/b"), ("/", "/")] {
        let root = v1::BindReq {
            root: Some(path(root)),
            ..bind("/svc/web")
        };
        let stream = client.stream_bound_tree(root).await.unwrap();
        let status = stream.into_inner().message().await.unwrap_err();
        let message = format!("Invalid root: `{shown}` must have exactly one segment");
        is(&status, Code::InvalidArgument, &message);
    }
    for name in [None, Some(path("/"))] {
        let unnamed = v1::BindReq {
            name,
            ..bind("/svc/web")
        };
        let status = client.get_bound_tree(unnamed).await.unwrap_err();
        is(&status, Code::NotFound, "No name given");
    }
    let mut malformed = bind("/svc/web");
    malformed.dtab = Some(v1::Dtab {
        dentries: vec![v1::dtab::Dentry::default()],
    });
    let status = client.get_bound_tree(malformed).await.unwrap_err();
    is(&status, Code::InvalidArgument, "dentry prefix is missing");
    let long = bind(&format!("/svc/{}", "x".repeat(10_000)));
    let status = client.get_bound_tree(long).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let unknown = client.get_bound_tree(bind("/$/no.such")).await;
    let status = unknown.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("/$/no.such"), "{status:?}");
    port.stop().await;
}

/// A namer that fails ends a stream that has told nothing, and leaves alone one that has (control plane 14).
#[tokio::test]
async fn a_stream_that_has_told_something_outlives_a_failure() {
    let port = Port::new(&["web", "api"]).await;
    let mut client = InterpreterClient::new(port.channel().await);
    let stream = client.stream_bound_tree(bind("/svc/web")).await.unwrap();
    let mut stream = stream.into_inner();
    stream.message().await.unwrap().unwrap();
    port.world.stands("web", Stands::Failed);
    let late = client.stream_bound_tree(bind("/svc/web")).await.unwrap();
    let status = late.into_inner().message().await.unwrap_err();
    is(&status, Code::Internal, "the shelf broke");
    port.world.dtab("/svc/web => /#/shelf/api");
    let next = stream.message().await.unwrap().unwrap();
    assert_eq!(leaf(&next), "/#/shelf/api /");
    port.stop().await;
}

/// 4.1, 4.4: every scalar is on the wire, weights and nodes are metadata; pending comes first, a set that is gone is neg
/// and comes back on the same stream (13).
#[tokio::test]
async fn endpoints_are_told_whole_and_followed() {
    let port = Port::new(&["web"]).await;
    port.world.set("web", Replicas::Pending);
    let mut client = ResolverClient::new(port.channel().await);
    let stream = client.stream_replicas(id("/%/io.l5d.port/80/#/shelf/web"));
    let mut stream = stream.await.unwrap().into_inner();
    let mut next = async || stream.message().await.unwrap().unwrap().result.unwrap();
    assert!(matches!(next().await, State::Pending(_)));
    port.world
        .set("web", bound(&[("1.2.3.4:80", 0.5), ("[::1]:81", 1.0)]));
    let State::Bound(set) = next().await else {
        panic!("bound");
    };
    let four = set.endpoints.iter().find(|e| e.inet_af == Some(0)).unwrap();
    assert_eq!(four.address.as_deref(), Some(&[1, 2, 3, 4][..]));
    assert_eq!(four.port, Some(80));
    assert_eq!(four.metadata["endpoint_addr_weight"], "0.5");
    assert!(four.meta.is_some() && set.endpoints.iter().any(|e| e.inet_af == Some(1)));
    port.world.set("web", Replicas::Pending);
    port.world.stands("web", Stands::Failed);
    port.world.stands("web", Stands::No);
    assert!(matches!(next().await, State::Neg(_)), "what is known stays");
    port.world.stands("web", Stands::Yes);
    port.world.set("web", many(2));
    let State::Bound(set) = next().await else {
        panic!("bound again");
    };
    assert_eq!(set.endpoints.len(), 2);
    port.stop().await;
}

#[tokio::test]
async fn ids_that_are_none_fail_and_the_stream_of_no_id_ends_well() {
    let port = Port::new(&["web"]).await;
    let mut client = ResolverClient::new(port.channel().await);
    let failed = |replicas: v1::Replicas| match replicas.result {
        Some(State::Failed(failed)) => failed.message.unwrap(),
        other => panic!("{other:?}"),
    };
    for request in [v1::ReplicasReq::default(), id("/")] {
        let one = client.get_replicas(request.clone()).await.unwrap();
        assert_eq!(failed(one.into_inner()), "No ID provided");
        let stream = client.stream_replicas(request).await.unwrap();
        let mut stream = stream.into_inner();
        let only = stream.message().await.unwrap().unwrap();
        assert_eq!(failed(only), "No ID provided");
        assert!(stream.message().await.unwrap().is_none());
    }
    let one = client.get_replicas(id("/$/fail")).await.unwrap();
    assert_eq!(failed(one.into_inner()), "name tree failed");
    let empty = client.get_replicas(id("/$/nil")).await.unwrap();
    let Some(State::Bound(set)) = empty.into_inner().result else {
        panic!("bound");
    };
    assert!(set.endpoints.is_empty());
    port.stop().await;
}

/// 4.5, 4.7, trap 16: dtabs with their versions; the stream of one that is deleted ends.
#[tokio::test]
async fn dtabs_are_told_until_they_are_deleted() {
    let port = Port::new(&[]).await;
    let mut client = DelegatorClient::new(port.channel().await);
    let root = |root: &str| v1::DtabReq {
        root: Some(path(root)),
    };
    let status = client.get_dtab(root("/nobody")).await.unwrap_err();
    is(&status, Code::NotFound, "Root not found");
    let one = client.get_dtab(root("/default")).await.unwrap();
    let one = one.into_inner().dtab.unwrap();
    assert_eq!(one.dtab, dtab("/svc => /#/shelf"));
    assert!(!one.version.unwrap().id.unwrap().is_empty());

    let stream = client.stream_dtab(root("/default")).await.unwrap();
    let mut stream = stream.into_inner();
    stream.message().await.unwrap().unwrap();
    port.world.dtab("/a => /b");
    let next = stream.message().await.unwrap().unwrap();
    assert_eq!(next.dtab.unwrap().dtab, dtab("/a => /b"));
    port.world.store.delete("default").await.unwrap();
    let status = stream.message().await.unwrap_err();
    is(&status, Code::NotFound, "Root not found");
    port.stop().await;
}

/// What a client resets is no longer observed.
#[tokio::test]
async fn a_stream_that_is_reset_observes_nothing() {
    let port = Port::new(&[]).await;
    let mut client = DelegatorClient::new(port.channel().await);
    let cell = port.world.store.observe("default");
    let before = cell.listeners();
    let root = Some(path("/default"));
    let stream = client.stream_dtab(v1::DtabReq { root }).await.unwrap();
    let mut stream = stream.into_inner();
    stream.message().await.unwrap().unwrap();
    while cell.listeners() == before {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while cell.listeners() != before {
        tokio::task::yield_now().await;
    }
    assert!(cell.version().0 > 0);
    port.stop().await;
}

fn delegate(tree: &NameTree<Path>) -> v1::DelegateTreeReq {
    v1::DelegateTreeReq {
        root: Some(path("/default")),
        tree: Some(tree.into()),
        dtab: None,
    }
}

fn prefix(node: &v1::BoundDelegateTree) -> String {
    let dentry = node.dentry.clone().expect("a rule");
    l5d_naming::Dentry::try_from(&dentry).unwrap().to_string()
}

/// 4.5, trap 35: each node has a path, a rule and a kind.
#[tokio::test]
async fn delegations_are_told_with_the_rules_old_clients_need() {
    let port = Port::new(&["web"]).await;
    let mut client = DelegatorClient::new(port.channel().await);
    let mut get = async |tree: &str| {
        let tree = NameTree::parse(tree).unwrap();
        let response = client.get_delegate_tree(delegate(&tree)).await.unwrap();
        response.into_inner().tree.unwrap()
    };
    let top = get("/svc/web").await;
    assert_eq!(top.path, Some(path("/svc/web")));
    assert_eq!(prefix(&top), "/\\x2f=>~");
    let Some(Node::Delegate(next)) = top.node else {
        panic!("a delegate");
    };
    assert_eq!(prefix(&next), "/svc=>/#/shelf");
    let Some(Node::Leaf(leaf)) = next.node else {
        panic!("a leaf");
    };
    assert_eq!(
        (leaf.id, leaf.residual),
        (Some(path("/#/shelf/web")), Some(path("/")))
    );

    let unknown = get("/$/no.such").await;
    let Some(Node::Exception(why)) = unknown.node else {
        panic!("an exception");
    };
    assert!(
        why.starts_with("BoundDelegateTree Exception: Unknown namer"),
        "{why}"
    );

    let tree = get("0.5 * /svc/web & 0.5 * ~").await;
    let Some(Node::Union(union)) = tree.node else {
        panic!("a union");
    };
    assert_eq!(union.trees[0].weight, Some(0.5));
    let neg = union.trees[1].tree.as_ref().unwrap();
    assert_eq!(neg.path.as_ref().unwrap().elems, ["~".as_bytes()]);

    let mut none = delegate(&NameTree::Neg);
    none.tree = None;
    let stream = client.stream_delegate_tree(none).await.unwrap();
    let status = stream.into_inner().message().await.unwrap_err();
    is(&status, Code::NotFound, "No name given");
    let stream = client.stream_delegate_tree(delegate(&NameTree::Empty));
    let mut stream = stream.await.unwrap().into_inner();
    let only = stream.message().await.unwrap().unwrap();
    assert!(matches!(only.tree.unwrap().node, Some(Node::Empty(_))));
    assert!(
        stream.message().await.unwrap().is_none(),
        "one message, then the end"
    );
    port.stop().await;
}

/// 4.6.
#[tokio::test]
async fn texts_are_read_and_shown() {
    let port = Port::new(&[]).await;
    let mut client = CodecClient::new(port.channel().await);
    let text = Some("/svc => 0.3 * /a & 0.7 * /b".to_owned());
    let read = client.read_dtab(v1::ReadDtabReq { text }).await.unwrap();
    let shown = v1::ShowDtabReq {
        dtab: read.into_inner().dtab,
    };
    let shown = client.show_dtab(shown).await.unwrap().into_inner();
    assert_eq!(shown.text.as_deref(), Some("/svc=>0.30*/a & 0.70*/b"));
    let text = Some("/a/\\x20".to_owned());
    let read = client.read_path(v1::ReadPathReq { text }).await.unwrap();
    let read = read.into_inner().path;
    assert_eq!(read.as_ref().unwrap().elems, [&b"a"[..], b" "]);
    let shown = client.show_path(v1::ShowPathReq { path: read }).await;
    assert_eq!(
        shown.unwrap().into_inner().text.as_deref(),
        Some("/a/\\x20")
    );

    let empty = client.read_dtab(v1::ReadDtabReq::default()).await.unwrap();
    assert_eq!(empty.into_inner().dtab, Some(v1::Dtab::default()));
    let empty = client.read_path(v1::ReadPathReq::default()).await.unwrap();
    assert_eq!(empty.into_inner().path, Some(v1::Path::default()));
    let none = client.show_dtab(v1::ShowDtabReq::default()).await.unwrap();
    assert_eq!(none.into_inner().text, None);
    let none = client.show_path(v1::ShowPathReq::default()).await.unwrap();
    assert_eq!(none.into_inner().text, None);
    let text = Some("/svc =>".to_owned());
    let status = client
        .read_dtab(v1::ReadDtabReq { text })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let text = Some("no path".to_owned());
    let status = client
        .read_path(v1::ReadPathReq { text })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    port.stop().await;
}

/// The streams of a process that leaves end so that clients come back elsewhere.
#[tokio::test]
async fn a_stop_ends_streams_as_unavailable() {
    let port = Port::new(&["web"]).await;
    let mut client = InterpreterClient::new(port.channel().await);
    let stream = client.stream_bound_tree(bind("/svc/web")).await.unwrap();
    let mut stream = stream.into_inner();
    stream.message().await.unwrap().unwrap();
    port.stop.cancel();
    let status = stream.message().await.unwrap_err();
    is(&status, Code::Unavailable, "namerd is shutting down");
    port.stop().await;
}
