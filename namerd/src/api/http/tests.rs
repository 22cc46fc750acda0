//! Requests over a real socket: what clients of 1.x depend on, word for word (control plane 7).

mod client;
mod dtabs;
mod history;
mod names;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use l5d_naming::{Dtab, Path};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::client::{Answer, Client};
use super::*;
use crate::bind::dns::{Addresses, Dns, Hosts, LookupError};
use crate::bind::namers::{FsNamer, System};
use crate::config::{Server, SocketOptions};
use crate::store::{Engine, InMemoryStore};
use crate::tls::Gate;
use crate::transform::Transforms;
use crate::web::{listen, serve};

/// A DNS that never answers.
struct Silent;

#[async_trait::async_trait]
impl Dns for Silent {
    async fn look_up(&self, _: &str) -> Result<Addresses, LookupError> {
        std::future::pending().await
    }
}

/// A controller on a socket of its own, over files and a store in memory.
struct World {
    addr: std::net::SocketAddr,
    store: Arc<InMemoryStore>,
    fs: Arc<FsNamer>,
    dir: TempDir,
    engine: Engine,
    requests: Arc<Requests>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl World {
    /// One that waits for nothing longer than `waits`.
    fn start_with(waits: Waits, namespaces: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().expect("a directory");
        for (name, content) in [("web", "127.0.0.1 8080\n"), ("empty", "")] {
            std::fs::write(dir.path().join(name), content).expect("a file");
        }
        let engine = Engine::new();
        // Host names are asked of nobody: they stay unknown.
        let hosts = Hosts::new(Arc::new(Silent));
        let prefix = Path::parse("/io.l5d.fs").expect("a path");
        let fs = FsNamer::new(&prefix, dir.path(), engine.clone(), hosts.clone()).expect("a namer");
        let namespaces = namespaces
            .iter()
            .map(|(name, dtab)| ((*name).to_owned(), Dtab::parse(dtab).expect("a dtab")));
        let store = InMemoryStore::new(namespaces);
        let binder = Binder::with_system(
            engine.clone(),
            Arc::clone(&store) as Arc<dyn DtabStore>,
            vec![Arc::clone(&fs) as _],
            Transforms::new(engine.clone(), None),
            System::new(engine.clone(), hosts),
        );
        let server = Server {
            addr: "127.0.0.1:0".parse().expect("an address"),
            socket: SocketOptions::default(),
            tls: None,
            limits: crate::config::ClientLimits::default(),
        };
        let listener = listen("test", &server).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let requests = Arc::new(Requests::default());
        let controller = Controller::new(
            binder,
            Arc::clone(&store) as Arc<dyn DtabStore>,
            waits,
            Arc::clone(&requests),
            stop.clone(),
        );
        let server = tokio::spawn(serve(
            listener,
            Gate::plain(SocketOptions::default()),
            Arc::new(controller),
            stop.clone(),
        ));
        tokio::spawn(engine.clone().run());
        Self {
            addr,
            store,
            fs,
            dir,
            engine,
            requests,
            stop,
            server,
        }
    }

    fn start(namespaces: &[(&str, &str)]) -> Self {
        Self::start_with(Waits::default(), namespaces)
    }

    /// One request on a connection of its own.
    async fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let mut client = Client::open(self.addr).await;
        client.send(method, target, headers, body).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "", "").await
    }

    /// A stream of documents.
    async fn watch(&self, target: &str) -> Client {
        let mut client = Client::open(self.addr).await;
        client.begin("GET", target, "", "").await;
        client
    }

    fn write(&self, name: &str, content: &str) {
        let next = self.dir.path().join(".next");
        std::fs::write(&next, content).expect("a file");
        std::fs::rename(next, self.dir.path().join(name)).expect("a file");
        self.fs.refresh();
        self.engine.settle();
    }
}
