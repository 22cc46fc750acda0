//! The gRPC port: the resolver API, the mesh API of the 1.x generation, reflection and health on one listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use l5d_accesslog::AccessLog;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::accept::{Peer, prepare, serve_connection};
use super::resolver::Resolver;
use super::web::{Answers, answers};
use super::{destination, mesh};
use crate::auth::NodeGuard;
use crate::ca::Ca;
use crate::config::{DestinationOptions, MeshOptions};
use crate::meter::Meter;
use crate::store::Cell;
use crate::stream::{Doors, Hub, Limits, adapt};
use crate::tls::{Gate, Socket};

/// What the gRPC port needs. Cheap to clone; several ports may share one hub.
#[derive(Clone, Debug)]
pub struct Api {
    /// Sessions, encoders and the binder behind them.
    pub hub: Arc<Hub>,
    /// Whether every source has answered (K8S-129); until then health says so and streams are refused.
    pub ready: Arc<Cell<bool>>,
    /// How long a shutdown may take: half of it for nodes to move away, half for what is still open to end.
    pub grace: Duration,
    /// Most connections of this port.
    pub connections: usize,
    /// The bounds of sessions and texts.
    pub limits: Arc<Limits>,
    /// What connections go through first.
    pub gate: Arc<Gate>,
    /// What nodes must show, and others who ask.
    pub nodes: Arc<NodeGuard>,
    /// Who signs for nodes, if anybody does.
    pub ca: Option<Arc<Ca>>,
    /// When connections are asked to move on; `None`: never.
    pub connection_age: Option<Duration>,
    /// Where calls are logged.
    pub access_log: Option<AccessLog>,
    /// Where calls and limits are counted.
    pub meter: Arc<Meter>,
}

/// After an accept that failed (no file descriptors), before the next one.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a port offers besides reflection and health.
#[derive(Clone, Debug)]
pub enum Offer {
    /// The resolver API and the mesh API of the 1.x generation, by grpc-web too.
    Mesh(MeshOptions),
    /// The API that Linkerd 2 proxies resolve through.
    Destination(DestinationOptions),
}

/// Serves the resolver API and the mesh API as [`serve_as`] does.
pub async fn serve(listener: TcpListener, api: Api, stop: CancellationToken) -> io::Result<()> {
    let offer = Offer::Mesh(MeshOptions::default());
    serve_as(listener, api, offer, stop).await
}

/// Serves until `stop` is cancelled and the grace time has ended, or nothing is open any more. When it returns, everything
/// that it has spawned has ended. Fails only if reflection cannot be built.
pub async fn serve_as(
    listener: TcpListener,
    api: Api,
    offer: Offer,
    stop: CancellationToken,
) -> io::Result<()> {
    let half = api.grace / 2;
    let doors = Doors {
        limits: Arc::clone(&api.limits),
        ready: Arc::clone(&api.ready),
        leaving: stop.clone(),
        closed: CancellationToken::new(),
        goodbye: half,
        aged: CancellationToken::new(),
    };
    let closed = doors.closed.clone();
    let (reporter, answers) = routes(&api, &doors, &offer)?;
    let (connections, tasks) = (TaskTracker::new(), TaskTracker::new());
    let health = report_health(&reporter, &api.ready);
    let room = Arc::new(Semaphore::new(api.connections));
    let accept = async {
        loop {
            let (stream, addr) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let place = match api.gate.admit(addr.ip()) {
                Ok(place) => place,
                Err(crowded) => {
                    tracing::debug!(%addr, %crowded, "refused");
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                api.meter.limits.count(["connections"]);
                tracing::warn!(%addr, "refused: all connections of this port are taken");
                continue;
            };
            if let Err(error) = prepare(&stream) {
                tracing::debug!(%addr, %error, "socket options not set");
            }
            let (answers, tasks) = (answers.clone(), tasks.clone());
            let (gate, closed) = (Arc::clone(&api.gate), closed.clone());
            let age = api.connection_age;
            connections.spawn(async move {
                if let Some(socket) = enter(&gate, stream, addr, &closed).await {
                    let peer = Peer {
                        addr,
                        client: socket.client().map(Arc::new),
                        abort: CancellationToken::new(),
                        aged: CancellationToken::new(),
                    };
                    serve_connection(socket, peer, age, answers, tasks, closed, half).await;
                }
                drop((permit, place));
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = health => {}
        () = adapt(&api.hub) => {}
        () = api.gate.keep_fresh() => {}
        () = stop.cancelled() => {}
    }
    // What is open goes on while nodes move away.
    drop(listener);
    set_health(&reporter, ServingStatus::NotServing).await;
    connections.close();
    tasks.close();
    let _ = tokio::time::timeout(half, connections.wait()).await;
    closed.cancel();
    connections.wait().await;
    tasks.wait().await;
    Ok(())
}

/// The connection past the gate; `None` if it was not let in, or the port closes meanwhile.
async fn enter(
    gate: &Gate,
    stream: TcpStream,
    addr: SocketAddr,
    closed: &CancellationToken,
) -> Option<Socket> {
    match closed.run_until_cancelled(gate.enter(stream)).await? {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::debug!(%addr, %error, "not let in");
            None
        }
    }
}

pub(super) fn routes(
    api: &Api,
    doors: &Doors,
    offer: &Offer,
) -> io::Result<(HealthReporter, Answers)> {
    let reflection = || match offer {
        Offer::Mesh(_) => tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(l5d_resolver::DESCRIPTORS)
            .register_encoded_file_descriptor_set(l5d_mesh::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET),
        Offer::Destination(_) => tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(l5d_destination::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET),
    };
    // Older tools know only the first name of the reflection service.
    let v1 = reflection().build_v1().map_err(io::Error::other)?;
    let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let routes = Routes::default()
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(health);
    let answers = match offer {
        Offer::Mesh(options) => {
            let routes = routes.add_service(Resolver::new(api.clone(), doors.clone()));
            let routes = mesh::add(routes, api, doors);
            answers(routes.prepare(), &options.grpc_web_origins, api)
        }
        Offer::Destination(options) => {
            let routes = destination::add(routes, api, doors, options);
            answers(routes.prepare(), &[], api)
        }
    };
    Ok((reporter, answers))
}

/// Keeps health at what readiness says. Never ends.
async fn report_health(reporter: &HealthReporter, ready: &Arc<Cell<bool>>) {
    loop {
        let now = ready.get();
        let status = match now.1 {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        set_health(reporter, status).await;
        ready.changed(now.0).await;
    }
}

/// For the port as a whole and for the service.
async fn set_health(reporter: &HealthReporter, status: ServingStatus) {
    for service in ["", Resolver::NAME] {
        reporter.set_service_status(service, status).await;
    }
}
