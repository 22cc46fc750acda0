//! The applications of the published example, small: `hello` calls `world` through `http_proxy`.
//!
//! An app answers every request with JSON that says which pod it is, where it runs, what it received, and, if it has a
//! target, what the target answered. It hands on the `l5d-ctx-*` headers of a request to its own call, which is all that
//! the mesh asks of an application.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What an app is.
#[derive(Clone, Debug)]
pub struct App {
    /// The pod's name.
    pub pod: String,
    /// The node's name.
    pub node: String,
    /// What it says: `Hello`, `World`.
    pub text: String,
    /// The name that it calls for each request, through the proxy.
    pub target: Option<Target>,
}

/// What an app calls.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name, such as `world`.
    pub name: String,
    /// The outgoing proxy, as in `http_proxy`.
    pub http_proxy: SocketAddr,
}

/// An app's answer.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Answer {
    /// The pod that answered.
    pub pod: String,
    /// Where it runs.
    pub node: String,
    /// What it says.
    pub text: String,
    /// The request's method and target.
    pub request: String,
    /// The request's headers, as received.
    pub headers: Vec<(String, String)>,
    /// What the target answered, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<Box<Answer>>,
}

/// An app that listens; dropped, it stops at once.
#[derive(Debug)]
pub struct Running {
    /// Where.
    pub addr: SocketAddr,
    served: Arc<AtomicU64>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    app: App,
    /// Idle connections to the proxy, most recently used last.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    served: Arc<AtomicU64>,
}

impl App {
    /// Listens and answers until stopped.
    pub async fn start(self, listen: SocketAddr) -> io::Result<Running> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let served = Arc::new(AtomicU64::new(0));
        let shared = Arc::new(Shared {
            app: self,
            idle: Mutex::default(),
            served: Arc::clone(&served),
        });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, shared, stop.clone(), tasks.clone()));
        Ok(Running {
            addr,
            served,
            stop,
            tasks,
        })
    }
}

impl Running {
    /// Requests answered so far.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Stops accepting, finishes what is being answered, closes.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Answer {
    /// The value of a received header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            () = stop.cancelled() => return,
        };
        let shared = Arc::clone(&shared);
        let stop = stop.clone();
        tasks.spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            // A peer that went away is no fault of ours.
            let _ = connection.await;
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if let Err(error) = body.collect().await {
        return text(StatusCode::BAD_REQUEST, format!("body: {error}"));
    }
    let mut answer = Answer {
        pod: shared.app.pod.clone(),
        node: shared.app.node.clone(),
        text: shared.app.text.clone(),
        request: format!("{} {}", head.method, head.uri),
        headers: head
            .headers
            .iter()
            .map(|(n, v)| {
                (
                    n.to_string(),
                    String::from_utf8_lossy(v.as_bytes()).into_owned(),
                )
            })
            .collect(),
        target: None,
    };
    if let Some(target) = &shared.app.target {
        match call(shared, target, &head.headers).await {
            Ok(theirs) => answer.target = Some(Box::new(theirs)),
            Err(error) => {
                return text(
                    StatusCode::BAD_GATEWAY,
                    format!("{}: {error:#}", target.name),
                );
            }
        }
    }
    shared.served.fetch_add(1, Ordering::Relaxed);
    match serde_json::to_vec(&answer) {
        Ok(json) => {
            let mut response = Response::new(Full::new(Bytes::from(json)));
            let kind = header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// `GET http://NAME/` through the proxy, as a client with `http_proxy` set sends it.
async fn call(
    shared: &Shared,
    target: &Target,
    received: &header::HeaderMap,
) -> anyhow::Result<Answer> {
    let mut request =
        Request::get(format!("http://{}/", target.name)).header(header::HOST, &target.name);
    for (name, value) in received
        .iter()
        .filter(|(n, _)| n.as_str().starts_with("l5d-ctx-"))
    {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::new()))?;
    let idle = shared.idle.lock().pop();
    // A proxy that ends closes idle connections; a request on one of them is sent again, as every client does (RFC 9110, 9.2.2).
    let reused = match idle {
        Some(mut connection) if connection.is_ready() => {
            let sent = connection.send_request(request.clone()).await;
            sent.ok().map(|response| (connection, response))
        }
        _ => None,
    };
    let (connection, response) = match reused {
        Some(answered) => answered,
        None => {
            let mut connection = connect(target.http_proxy).await?;
            let response = connection
                .send_request(request)
                .await
                .context("the proxy did not answer")?;
            (connection, response)
        }
    };
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .context("the answer was cut")?
        .to_bytes();
    shared.idle.lock().push(connection);
    if status != StatusCode::OK {
        return Err(anyhow!("{status}: {}", String::from_utf8_lossy(&body)));
    }
    serde_json::from_slice(&body).context("the answer is not an app's")
}

async fn connect(proxy: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(proxy))
        .await
        .context("no connection to the proxy within 5 s")?
        .with_context(|| format!("cannot connect to the proxy at {proxy}"))?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends when the sender is dropped or the proxy closes.
    tokio::spawn(connection);
    Ok(sender)
}

fn text(status: StatusCode, message: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(message)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(pod: &str, target: Option<Target>) -> App {
        App {
            pod: pod.to_owned(),
            node: "a".to_owned(),
            text: "Hi".to_owned(),
            target,
        }
    }

    /// `world` stands in for the proxy: it sees what a client with `http_proxy` sends.
    #[tokio::test]
    async fn a_target_is_called_in_absolute_form_with_the_context_handed_on() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let world = app("world-1", None).start(any).await.expect("listens");
        let target = Target {
            name: "world".to_owned(),
            http_proxy: world.addr,
        };
        let hello = app("hello-1", Some(target))
            .start(any)
            .await
            .expect("listens");
        let mut client = connect(hello.addr).await.expect("connects");
        for _ in 0..2 {
            let request = Request::get("/")
                .header("host", "hello")
                .header("l5d-ctx-dtab", "/a=>/b")
                .header("other", "x")
                .body(Full::new(Bytes::new()))
                .expect("a request");
            let response = client.send_request(request).await.expect("answers");
            let body = response
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            let answer: Answer = serde_json::from_slice(&body).expect("an answer");
            let theirs = answer.target.expect("the target's answer");
            assert_eq!(
                (answer.pod.as_str(), theirs.pod.as_str()),
                ("hello-1", "world-1")
            );
            assert_eq!(theirs.request, "GET http://world/");
            assert_eq!(theirs.header("l5d-ctx-dtab"), Some("/a=>/b"));
            assert_eq!(theirs.header("other"), None);
        }
        assert_eq!((hello.served(), world.served()), (2, 2));
        drop(client);
        hello.stop().await;
        world.stop().await;
    }
}
