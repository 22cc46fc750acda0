//! The cluster double: the part of the Kubernetes API that `namerd` reads and controllers write, over plain HTTP in this
//! process, with faults on demand.
//!
//! Comes in: requests of the API, writes through [`Store`], faults through [`Faults`]. Goes out: answers as the real server
//! gives them (the suite in `tests/watch_api.rs` runs against both) and counts through [`Traffic`]. It must never be kinder than
//! the real server. On purpose it differs in this: any address is taken, loopback too, since the demo's hosts live there;
//! objects are not checked against a schema, since malformed ones must be shown; a list from the future is refused at once
//! and not after three seconds.

mod answer;
mod faults;
mod kinds;
mod list;
mod query;
mod review;
mod selector;
mod status;
mod store;
mod traffic;
mod watching;
mod write;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::port::HeldPort;

pub use faults::{Fault, Faults, Gone, On, Streaming};
pub use kinds::{Kind, Target};
pub use review::Reviews;
pub use store::{Snapshot, Store};
pub use traffic::{Seen, Traffic, Verb};

/// A running double. Dropping it ends all of its tasks and connections.
#[derive(Debug)]
pub struct Double {
    state: Arc<State>,
    port: HeldPort,
    listener: Listener,
    /// Ends the accept loop and every connection.
    serving: Mutex<CancellationToken>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct State {
    store: Store,
    faults: Faults,
    traffic: Arc<Traffic>,
    reviews: Reviews,
    /// Ends the connections that are open now.
    cut: Mutex<CancellationToken>,
}

impl Double {
    /// Serves on a free port of an address.
    pub fn start(at: std::net::IpAddr) -> io::Result<Self> {
        let double = Self {
            state: Arc::new(State {
                store: Store::new(),
                faults: Faults::new(),
                traffic: Arc::new(Traffic::new()),
                reviews: Reviews::default(),
                cut: Mutex::default(),
            }),
            port: HeldPort::take(at)?,
            listener: Listener::default(),
            serving: Mutex::default(),
            tasks: TaskTracker::new(),
        };
        double.listen()?;
        Ok(double)
    }

    /// Where it serves; stays the same through [`Double::refuse`].
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Its objects.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// What was asked.
    pub fn traffic(&self) -> &Traffic {
        &self.state.traffic
    }

    /// Tokens and rights.
    pub fn reviews(&self) -> &Reviews {
        &self.state.reviews
    }

    /// Resets every open connection; new ones are served.
    pub fn cut(&self) {
        std::mem::take(&mut *self.state.cut.lock()).cancel();
    }

    /// Ends every connection and refuses new ones, as if the process had died.
    pub fn refuse(&self) {
        // At once, not when the task is run next: a connection to the next listener must not end up here.
        self.listener.lock().take();
        self.serving.lock().cancel();
        self.cut();
    }

    /// Serves again after [`Double::refuse`], on the same port.
    pub fn listen(&self) -> io::Result<()> {
        self.refuse();
        *self.listener.lock() = Some(self.port.listen()?);
        let token = CancellationToken::new();
        *self.serving.lock() = token.clone();
        let listener = Arc::clone(&self.listener);
        let accept = accept(
            Arc::clone(&self.state),
            listener,
            self.tasks.clone(),
            token.clone(),
        );
        self.tasks.spawn(token.run_until_cancelled_owned(accept));
        Ok(())
    }

    /// Ends everything and waits for it.
    pub async fn stop(self) {
        self.refuse();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// The present listener, if any.
type Listener = Arc<Mutex<Option<TcpListener>>>;

async fn accept(
    state: Arc<State>,
    listener: Listener,
    tasks: TaskTracker,
    serving: CancellationToken,
) {
    loop {
        let next = poll_fn(|context| match &*listener.lock() {
            Some(listener) => listener.poll_accept(context),
            None => Poll::Pending,
        });
        match next.await {
            Ok((stream, _)) => {
                let cut = state.cut.lock().clone();
                let serve = serve(Arc::clone(&state), stream);
                let serve = cut.run_until_cancelled_owned(serve);
                tasks.spawn(serving.clone().run_until_cancelled_owned(serve));
            }
            Err(error) => tracing::warn!(%error, "the double cannot accept a connection"),
        }
    }
}

async fn serve(state: Arc<State>, stream: TcpStream) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, io::Error>(answer::answer(state, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the double ended");
    }
}
