use std::collections::HashMap;

use super::*;

fn of<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    let all: HashMap<_, _> = pairs.iter().copied().collect();
    move |name| all.get(name).map(|value| (*value).to_owned())
}

#[test]
fn the_program_gets_the_proxy_and_what_goes_around_it() {
    let var = of(&[
        ("NO_PROXY", "example.org, localhost"),
        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ]);
    let [http, upper, no, upper_no] = variables(&var, "10.0.0.7", 4140, "db,");
    assert_eq!(http, ("http_proxy", "http://10.0.0.7:4140".to_owned()));
    assert_eq!(upper, ("HTTP_PROXY", http.1));
    let hosts = "example.org,localhost,db,127.0.0.1,::1,kubernetes.default.svc,10.96.0.1";
    assert_eq!(no, ("no_proxy", hosts.to_owned()));
    assert_eq!(upper_no, ("NO_PROXY", hosts.to_owned()));
    let [http, ..] = variables(&of(&[]), "fd00::7", 4141, "");
    assert_eq!(http.1, "http://[fd00::7]:4141");
}

#[tokio::test]
async fn what_the_manifest_says_needs_no_question() {
    let none = Duration::ZERO;
    let var = of(&[("HOST_IP", "10.0.0.7"), ("NODE_NAME", "localhost")]);
    assert_eq!(
        host::find(&var, None, none).await.expect("known"),
        "10.0.0.7"
    );
    let var = of(&[("NODE_NAME", "localhost")]);
    assert_eq!(
        host::find(&var, None, none).await.expect("known"),
        "localhost"
    );
}

/// A server that says what it is told to, one answer a connection, and the port that it listens on.
async fn server(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = tokio::spawn(async move {
        let mut questions = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                question.push(stream.read_u8().await.expect("a question"));
            }
            questions.push(String::from_utf8(question).expect("text"));
            stream.write_all(answer.as_bytes()).await.expect("it waits");
        }
        questions
    });
    (url, serving)
}

const POD: [(&str, &str); 3] = [
    ("POD_NAME", "hello-1"),
    ("POD_NAMESPACE", "default"),
    ("NODE_NAME", "no-such-node.invalid"),
];

#[tokio::test]
async fn else_the_pods_object_says_where_its_host_is() {
    let answers = vec![
        "HTTP/1.1 503 Starting\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n{\"status\":{}}",
        "HTTP/1.1 200 OK\r\n\r\n{\"status\":{\"hostIP\":\"10.0.0.9\"}}",
    ];
    let (url, serving) = server(answers).await;
    let found = host::find(&of(&POD), Some(&url), Duration::from_secs(60)).await;
    assert_eq!(found.expect("in the end"), "10.0.0.9");
    let questions = serving.await.expect("served");
    assert!(
        questions
            .iter()
            .all(|q| q.starts_with("GET /api/v1/namespaces/default/pods/hello-1 HTTP/1.0\r\n"))
    );
}

#[tokio::test]
async fn a_refusal_and_a_silence_say_what_to_do() {
    let (url, _serving) = server(vec![
        "HTTP/1.1 403 Forbidden\r\n\r\n{\"message\":\"pods is forbidden\"}",
    ])
    .await;
    let error = host::find(&of(&POD), Some(&url), Duration::from_secs(60))
        .await
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "the pod default/hello-1: 403: pods is forbidden"
    );
    let (url, _serving) = server(vec!["HTTP/1.1 503 Starting\r\n\r\n"]).await;
    let error = host::find(&of(&POD), Some(&url), Duration::ZERO)
        .await
        .expect_err("in vain");
    assert!(
        error.to_string().contains("503") && error.to_string().contains("set HOST_IP"),
        "{error}"
    );
    let error = host::find(
        &of(&[("POD_NAMESPACE", "default")]),
        Some(&url),
        Duration::ZERO,
    )
    .await
    .expect_err("nobody");
    assert!(error.to_string().contains("POD_NAME"), "{error}");
}

#[test]
fn a_copy_can_be_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("l5d-node");
    copy_to(&file).expect("copied");
    let mode = std::fs::metadata(&file)
        .expect("is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "nothing is left behind"
    );
    assert!(copy_to(std::path::Path::new("/no/such/folder/x")).is_err());
}
