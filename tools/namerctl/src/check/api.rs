//! The API server: plain requests with the user's own credentials.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, header};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

/// Longest wait for one answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Objects of one page of a list.
const PAGE: usize = 500;
/// Pages of a list: half a million objects.
const PAGES: usize = 1000;

/// Access to one API server.
pub(crate) struct Api {
    client: Client,
    /// Its address, for people and for a look at its certificate.
    pub(crate) url: hyper::Uri,
    /// Client certificates that the access uses, PEM, with where they come from.
    pub(crate) client_certificate: Option<(String, Vec<u8>)>,
}

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refused {
    /// 0: no answer at all.
    pub(crate) status: u16,
    pub(crate) message: String,
}

/// An answer with its clock.
pub(crate) struct Dated {
    pub(crate) body: Value,
    pub(crate) date: Option<String>,
}

impl Api {
    /// By a kubeconfig file, or a URL without credentials, or as `kubectl` and pods find it.
    pub(crate) async fn connect(
        kubeconfig: Option<&Path>,
        server: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut config = match (kubeconfig, server) {
            (_, Some(url)) => {
                let url = url
                    .parse()
                    .with_context(|| format!("--server {url} is no URL"))?;
                Config::new(url)
            }
            (Some(file), None) => {
                let read =
                    Kubeconfig::read_from(file).with_context(|| file.display().to_string())?;
                Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
            }
            (None, None) => Config::infer().await?,
        };
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(PATIENCE);
        let url = config.cluster_url.clone();
        let client_certificate = certificate(&config);
        let client = Client::try_from(config)?;
        Ok(Self {
            client,
            url,
            client_certificate,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Refused> {
        Ok(self.send(Method::GET, path, None).await?.body)
    }

    pub(crate) async fn get_dated(&self, path: &str) -> Result<Dated, Refused> {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        Ok(self.send(Method::POST, path, Some(body)).await?.body)
    }

    /// All objects of a collection, page by page.
    pub(crate) async fn list(&self, path: &str, selector: &str) -> Result<Vec<Value>, Refused> {
        let mut items = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES {
            let path = format!("{path}?limit={PAGE}&labelSelector={selector}&continue={next}");
            let mut page = self.get(&path).await?;
            if let Value::Array(mut of) = page["items"].take() {
                items.append(&mut of);
            }
            next = page["metadata"]["continue"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if next.is_empty() {
                return Ok(items);
            }
        }
        Err(Refused::silent(format!(
            "more than {} objects",
            PAGE * PAGES
        )))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Dated, Refused> {
        let body = body.map_or(Vec::new(), |b| b.to_string().into_bytes());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(kube::client::Body::from(body))
            .map_err(|e| Refused::silent(e.to_string()))?;
        let answer = async {
            let response = self.client.send(request).await.map_err(|e| chain(&e))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
            Ok::<_, String>((head, body))
        };
        let (head, body) = match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(message)) => return Err(Refused::silent(message)),
            Err(_) => return Err(Refused::silent(format!("no answer in {PATIENCE:?}"))),
        };
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !head.status.is_success() {
            let message = value["message"].as_str().map(str::to_owned);
            return Err(Refused {
                status: head.status.as_u16(),
                message: message
                    .unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned()),
            });
        }
        let date = head.headers.get(header::DATE).and_then(|d| d.to_str().ok());
        Ok(Dated {
            body: value,
            date: date.map(str::to_owned),
        })
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}

fn certificate(config: &Config) -> Option<(String, Vec<u8>)> {
    use base64::Engine as _;
    let auth = &config.auth_info;
    if let Some(file) = &auth.client_certificate {
        return Some((file.clone(), std::fs::read(file).ok()?));
    }
    let data = auth.client_certificate_data.as_ref()?;
    let pem = base64::engine::general_purpose::STANDARD
        .decode(data)
        .ok()?;
    Some(("the kubeconfig's client certificate".to_owned(), pem))
}

impl Refused {
    fn silent(message: String) -> Self {
        Self { status: 0, message }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            0 => f.write_str(&self.message),
            status => write!(f, "{status}: {}", self.message),
        }
    }
}
