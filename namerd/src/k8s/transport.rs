//! One HTTP request to the API server and its streamed answer.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{Method, Request, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use parking_lot::Mutex;
use tower::{BoxError, ServiceBuilder};

use super::target::JSON;
use super::{Address, K8sError};

/// How long a connection may take to be made; TLS on it counts to the request, which has a deadline of its own.
const CONNECT: Duration = Duration::from_secs(10);
/// The system probes a silent connection after this time (Kubernetes 7.3).
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What was sent and not acknowledged, probes included, for so long ends a connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// The longest answer to a question about one token or right, in bytes.
const MOST_ANSWER: usize = 1 << 20;
const AGENT: &str = concat!("namerd/", env!("CARGO_PKG_VERSION"));

/// A body as it comes in. An error is a connection that was cut.
pub(super) type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>;

/// The head of an answer, and its body.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Chunks,
}

/// A request that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) media_type: &'static str,
    pub(super) body: Vec<u8>,
}

/// Where requests go. A trait so that watches can be tested against scripts.
#[async_trait]
pub(super) trait Transport: Send + Sync {
    /// Sends a GET for a path and query. `Err`: the server could not be reached.
    async fn get(&self, path: &str, accept: &str) -> Result<Reply, String>;
    /// Sends what changes something; the body is JSON, of this media type. `Err`: no answer came, so nobody knows.
    async fn write(&self, write: Write) -> Result<Reply, String>;
    /// The next request uses a new connection, and the token and CA as they are in their files then.
    fn reconnect(&self);
}

/// The API server through kube's client.
pub(super) struct ApiServer {
    address: Address,
    client: Mutex<Option<Client>>,
}

// === impl ApiServer ===

impl ApiServer {
    pub(super) fn new(address: Address) -> Result<Self, K8sError> {
        let server = Self {
            address,
            client: Mutex::default(),
        };
        server.client()?;
        Ok(server)
    }

    fn client(&self) -> Result<Client, K8sError> {
        let mut kept = self.client.lock();
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let config = self.address.config()?;
        let client = connect(&config).map_err(|e| K8sError::Client(chain(&e)))?;
        *kept = Some(client.clone());
        Ok(client)
    }
}

/// kube's own client has no say over sockets and tries again unasked, so its layers are put together here: base URI,
/// token (read again as its file changes), TLS.
fn connect(config: &Config) -> kube::Result<Client> {
    // TLS asks for a provider of the whole process; if it has one already, that one is used.
    let _one_is_set = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    // Plain HTTP is without TLS altogether: that would need authorities, and an image from scratch has none.
    if config.cluster_url.scheme() == Some(&http::uri::Scheme::HTTP) {
        return layers(config, tcp);
    }
    layers(config, config.rustls_https_connector_with_connector(tcp)?)
}

fn layers<C>(config: &Config, connector: C) -> kube::Result<Client>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

impl ApiServer {
    /// Sends JSON to a path and reads the whole answer: its status and body. `Err`: the server could not be reached, or
    /// answers too much.
    pub(super) async fn post(&self, path: &str, body: String) -> Result<(u16, Bytes), String> {
        let client = self.client().map_err(|e| e.to_string())?;
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, AGENT)
            .body(Body::from(body.into_bytes()))
            .map_err(|e| e.to_string())?;
        let sent = client.send(request).await;
        let response = sent.map_err(|e| {
            // The authority in its file may be another by now.
            self.reconnect();
            chain(&e)
        })?;
        let status = response.status().as_u16();
        let body = http_body_util::Limited::new(response.into_body(), MOST_ANSWER);
        let body = body.collect().await.map_err(|e| e.to_string())?;
        Ok((status, body.to_bytes()))
    }
}

#[async_trait]
impl Transport for ApiServer {
    async fn get(&self, path: &str, accept: &str) -> Result<Reply, String> {
        let request = Request::get(path).header(header::ACCEPT, accept);
        self.send(request, Body::empty()).await
    }

    async fn write(&self, write: Write) -> Result<Reply, String> {
        let request = Request::builder()
            .method(write.method)
            .uri(write.path)
            .header(header::ACCEPT, JSON)
            .header(header::CONTENT_TYPE, write.media_type);
        self.send(request, Body::from(write.body)).await
    }

    fn reconnect(&self) {
        *self.client.lock() = None;
    }
}

impl ApiServer {
    async fn send(&self, request: http::request::Builder, body: Body) -> Result<Reply, String> {
        let client = self.client().map_err(|e| e.to_string())?;
        let request = request.header(header::USER_AGENT, AGENT).body(body);
        let request = request.map_err(|e| e.to_string())?;
        let response = client.send(request).await.map_err(|e| chain(&e))?;
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let seconds = retry_after.and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let status = response.status().as_u16();
        let body = response.into_body().into_data_stream();
        Ok(Reply {
            status,
            retry_after: seconds.map(Duration::from_secs),
            body: Box::pin(body.map_err(|e| e.to_string())),
        })
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// An error with its causes, since the first line alone often says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

// === impl Address ===

impl Address {
    fn config(&self) -> Result<Config, K8sError> {
        Ok(match self {
            Address::InCluster => {
                Config::incluster().map_err(|e| K8sError::InCluster(e.to_string()))?
            }
            Address::Plain { host, port } => {
                // An IPv6 address needs brackets in a URL.
                let host = match host.parse::<std::net::Ipv6Addr>() {
                    Ok(ip) => format!("[{ip}]"),
                    Err(_) => host.clone(),
                };
                Config::new(uri(&format!("http://{host}:{port}"))?)
            }
            Address::Url {
                url,
                token_file,
                ca_file,
            } => {
                let mut config = Config::new(uri(url)?);
                config.auth_info.token_file = token_file.as_deref().map(path_text);
                config.root_cert_file.clone_from(ca_file);
                config
            }
        })
    }
}

fn uri(text: &str) -> Result<http::Uri, K8sError> {
    text.parse().map_err(|_| K8sError::Address(text.to_owned()))
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
