//! Certificates for tests, in a folder of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use l5d_tls::{ClientTls, Files, ServerTls, client, server};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{ClientAuth, Issuer, NodeIdentity, Plaintext};

/// An authority and the files of those that it has vouched for.
pub(crate) struct Pki {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a handshake came to: the name that was asked for, or why it failed.
type Seen = Result<Option<String>, String>;

/// A server with TLS that answers each connection with the path of its request and closes it.
pub(crate) struct Origin {
    pub(crate) addr: std::net::SocketAddr,
    /// Of each handshake.
    pub(crate) seen: Arc<parking_lot::Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("names");
        params.distinguished_name = DistinguishedName::new();
        let name = format!("authority {}", fastrand::u64(..));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pki = Self {
            folder: tempfile::tempdir().expect("a folder"),
            issuer: CertifiedIssuer::self_signed(params, key).expect("signed"),
        };
        pki.write("ca", &pki.issuer.pem());
        pki
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("writes");
    }

    pub(crate) fn ca(&self) -> String {
        self.issuer.pem()
    }

    /// Writes `NAME.crt` and `NAME.key`. Names with `://` become URIs, one that begins with `CN=` the common name.
    pub(crate) fn issue(&self, name: &str, names: &[&str]) -> ClientAuth {
        self.issue_until(name, names, SystemTime::now() + Duration::from_secs(3_600))
    }

    pub(crate) fn issue_until(&self, name: &str, names: &[&str], end: SystemTime) -> ClientAuth {
        let mut params = CertificateParams::new(Vec::new()).expect("names");
        params.distinguished_name = DistinguishedName::new();
        params.not_after = end.into();
        for text in names {
            match text.strip_prefix("CN=") {
                Some(common) => params.distinguished_name.push(DnType::CommonName, common),
                None if text.contains("://") => {
                    let uri = (*text).try_into().expect("a URI");
                    params.subject_alt_names.push(SanType::URI(uri));
                }
                None => {
                    let name = (*text).try_into().expect("a name");
                    params.subject_alt_names.push(SanType::DnsName(name));
                }
            }
        }
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        let (crt, pem) = (format!("{name}.crt"), format!("{name}.key"));
        self.write(&crt, &signed.pem());
        self.write(&pem, &key.serialize_pem());
        ClientAuth {
            certificate: self.path(&crt),
            key: self.path(&pem),
            intermediates: None,
        }
    }

    pub(crate) fn server(&self, name: &str, names: &[&str]) -> ServerTls {
        let auth = self.issue(name, names);
        ServerTls {
            cert: auth.certificate,
            key: auth.key,
            intermediates: None,
            ca: None,
            require_client_auth: false,
            ciphers: Vec::new(),
            protocols: Vec::new(),
        }
    }

    pub(crate) fn client(&self, name: &str) -> ClientTls {
        ClientTls {
            common_name: Some(name.to_owned()),
            trust: vec![self.path("ca")],
            ..ClientTls::default()
        }
    }

    /// The identity of a node `NAME` of the trust domain `test`.
    pub(crate) fn node(&self, name: &str, plaintext: Plaintext) -> NodeIdentity {
        let id = format!("spiffe://test/node/{name}");
        NodeIdentity {
            issuer: Issuer::Files {
                certificate: self.issue(name, &[&id]),
                trust: self.path("ca"),
            },
            plaintext,
        }
    }

    pub(crate) async fn origin(&self, tls: &ServerTls) -> Origin {
        let files = Files::read(tls.files()).expect("files");
        let config = server::config(tls, &files, &[b"http/1.1"]).expect("a server");
        let acceptor = TlsAcceptor::from(config.config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let seen: Arc<parking_lot::Mutex<Vec<_>>> = Arc::default();
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let mut stream = match acceptor.accept(tcp).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        noted.lock().push(Err(error.to_string()));
                        continue;
                    }
                };
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                noted.lock().push(Ok(name));
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let body = String::from_utf8_lossy(&head).into_owned();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                // Whether it is read is for the client to see.
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Origin { addr, seen, task }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One exchange over a TLS connection of its own: what comes back until the end, or why there was no TLS.
pub(crate) async fn ask(
    addr: std::net::SocketAddr,
    tls: &ClientTls,
    request: &str,
) -> Result<String, String> {
    let config = client::read(tls, &[b"http/1.1"]).map_err(|e| e.to_string())?;
    let name = tls.common_name.clone().unwrap_or("nobody".to_owned());
    let name = ServerName::try_from(name).map_err(|e| e.to_string())?;
    let tcp = TcpStream::connect(addr).await.map_err(|e| e.to_string())?;
    let connector = TlsConnector::from(Arc::new(config));
    let connected = connector.connect(name, tcp).await;
    let mut stream = connected.map_err(|e| e.to_string())?;
    let sent = stream.write_all(request.as_bytes()).await;
    sent.map_err(|e| e.to_string())?;
    let mut all = String::new();
    let read = stream.read_to_string(&mut all).await;
    read.map_err(|e| e.to_string())?;
    Ok(all)
}
