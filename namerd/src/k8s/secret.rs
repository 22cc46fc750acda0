//! One Secret in which the roots of the certificate authority are kept; nothing else of Secrets is ever asked for.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Map, Value, json};
use tokio::time::{Duration, timeout};

use super::failure::Failure;
use super::lines::read_all;
use super::target::JSON;
use super::transport::{ApiServer, Transport, Write};
use super::{Address, K8sError};
use crate::ca::{Sealed, Vault, VaultError, Version};

/// For one request with its answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads and writes one Secret. Needs the rights to get and update it, and to create Secrets in its namespace.
#[derive(Debug)]
pub struct SecretVault {
    server: ApiServer,
    namespace: String,
    name: String,
}

impl SecretVault {
    /// Contacts nobody yet.
    ///
    /// # Errors
    /// An API server that cannot be asked.
    pub fn new(address: Address, namespace: &str, name: &str) -> Result<Self, K8sError> {
        Ok(Self {
            server: ApiServer::new(address)?,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    fn object(&self, sealed: &Sealed, over: Option<&Version>) -> Value {
        let texts = sealed.to_texts().into_iter();
        let data: Map<String, Value> = texts
            .map(|(name, text)| (name.to_owned(), STANDARD.encode(text).into()))
            .collect();
        let mut metadata = json!({"name": self.name, "namespace": self.namespace});
        if let Some(version) = over {
            metadata["resourceVersion"] = version.clone().into();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": metadata,
            "data": data,
        })
    }

    /// The status and body of an answer.
    async fn ask(&self, write: Option<Write>) -> Result<(u16, Vec<u8>), VaultError> {
        let asked = async {
            let reply = match write {
                None => self.server.get(&self.path(), JSON).await?,
                Some(write) => self.server.write(write).await?,
            };
            Ok((reply.status, read_all(reply.body).await?))
        };
        let late = || format!("no answer within {DEADLINE:?}");
        let answer = timeout(DEADLINE, asked)
            .await
            .unwrap_or_else(|_| Err(late()));
        answer.map_err(|why: String| {
            // Token and authority may have been replaced.
            self.server.reconnect();
            VaultError::Failed(format!("Secret {}/{}: {why}", self.namespace, self.name))
        })
    }

    fn refused(&self, status: u16, body: &[u8]) -> VaultError {
        let failure = Failure::of_reply(status, None, body);
        VaultError::Failed(format!(
            "Secret {}/{}: {failure}",
            self.namespace, self.name
        ))
    }
}

#[async_trait]
impl Vault for SecretVault {
    async fn read(&self) -> Result<Option<(Sealed, Version)>, VaultError> {
        let (status, body) = self.ask(None).await?;
        match status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refused(status, &body)),
        }
        let garbled = |why: String| {
            VaultError::Garbled(format!(
                "Secret {}/{}: {why}; delete it to begin with a new root",
                self.namespace, self.name
            ))
        };
        let object: Value = serde_json::from_slice(&body).map_err(|e| garbled(e.to_string()))?;
        let text = |name: &str| {
            let bytes = STANDARD.decode(object["data"][name].as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        let sealed = Sealed::of_texts(text).map_err(garbled)?;
        let version = object["metadata"]["resourceVersion"].as_str();
        let version = version.ok_or_else(|| garbled("it has no version".to_owned()))?;
        Ok(Some((sealed, version.to_owned())))
    }

    async fn write(&self, sealed: &Sealed, over: Option<&Version>) -> Result<(), VaultError> {
        let (method, path) = match over {
            None => (Method::POST, self.collection()),
            Some(_) => (Method::PUT, self.path()),
        };
        let body = self.object(sealed, over).to_string().into_bytes();
        let write = Write {
            method,
            path,
            media_type: JSON,
            body,
        };
        let (status, body) = self.ask(Some(write)).await?;
        match status {
            200..300 => Ok(()),
            // It exists, was changed, or was deleted.
            409 => Err(VaultError::Conflict),
            404 if over.is_some() => Err(VaultError::Conflict),
            _ => Err(self.refused(status, &body)),
        }
    }
}
