//! The calls for tools: `Resolve`, `Watch`, `Explain`, `Nodes`, `Ingresses` (resolver API 9).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use l5d_resolver::convert::{node_of, read_dtab, read_path, resolved_cluster};
use l5d_resolver::{ingress_page, v1};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;

use super::explain;
use super::serve::Api;
use super::status;
use crate::bind::{BindKey, BindState, Binding, BoundCluster};
use crate::store::{Caller, Cell, Dep, Listener, Subscription};
use crate::stream::{Doors, Hub, position};

/// Answers tools.
#[derive(Debug)]
pub(super) struct Tools {
    hub: Arc<Hub>,
    ready: Arc<Cell<bool>>,
    doors: Doors,
}

/// How long an answer waits for what is pending, unless the request says otherwise, and at most.
const WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Time between two states of a `Watch`.
const WATCH_EVERY: Duration = Duration::from_millis(100);

impl Tools {
    pub(super) fn new(api: &Api, doors: &Doors) -> Self {
        Self {
            hub: Arc::clone(&api.hub),
            ready: Arc::clone(&api.ready),
            doors: doors.clone(),
        }
    }

    /// One state, as soon as nothing of it is pending.
    pub(super) async fn resolve(
        &self,
        request: v1::ResolveRequest,
    ) -> Result<v1::Resolved, Status> {
        let until = Instant::now() + wait(&request);
        let mut followed = self.begin(&request)?;
        followed.settled(until).await
    }

    /// Every state, at most one in 100 ms, equal ones left out. The first waits as in [`Tools::resolve`].
    pub(super) fn watch(
        &self,
        request: &v1::ResolveRequest,
    ) -> Result<BoxStream<'static, Result<v1::Resolved, Status>>, Status> {
        let followed = self.begin(request)?;
        let first_by = Instant::now() + wait(request);
        let start = Watching {
            followed,
            first_by: Some(first_by),
            last: None,
            next: Instant::now(),
        };
        let states = stream::try_unfold(start, |mut watching| async move {
            let state = watching.next().await?;
            Ok(Some((state, watching)))
        });
        let closed = self.doors.closed.clone();
        let closed = async move { closed.cancelled().await };
        let leaving = stream::once(async { Err(Status::unavailable("namerd is shutting down")) });
        // Boxed: the last item is what the stream ends with.
        let states: BoxStream<'static, _> = Box::pin(states.take_until(Box::pin(closed)));
        Ok(Box::pin(states.chain(leaving)))
    }

    /// Every step from the path to its addresses.
    pub(super) async fn explain(
        &self,
        request: v1::ResolveRequest,
    ) -> Result<v1::Explained, Status> {
        let until = Instant::now() + wait(&request);
        let (key, caller) = self.question(&request)?;
        let binder = self.hub.binder();
        let delegation = timeout_at(until, binder.delegate(&key, &caller))
            .await
            .map_err(|_| pending("addresses of some branch of the name"))?
            .map_err(|e| status::failed(&e))?;
        if request.delegation {
            return Ok(explain::delegation(&delegation));
        }
        let mut followed = self.begin(&request)?;
        let result = followed.settled(until).await?;
        Ok(explain::explained(&delegation, result))
    }

    /// The sessions of this replica.
    pub(super) fn nodes(
        &self,
        request: &v1::NodesRequest,
    ) -> impl Stream<Item = Result<v1::NodeSession, Status>> + Send + use<> {
        let node = (!request.node.is_empty()).then_some(request.node.as_str());
        let sessions = self.hub.registry().list(node);
        stream::iter(sessions.into_iter().map(|s| {
            Ok(v1::NodeSession {
                node: s.node,
                peer: s.peer,
                version: s.version,
                connected_ms: s.connected.as_millis() as u64,
                interests: s.interests as u32,
                clusters: s.clusters as u32,
                lag_ms: s.lag.as_millis() as u64,
                bytes: s.bytes,
                writes: s.writes,
                resumed: s.resumed,
                stale_ms: Some(s.stale.as_millis() as u64),
            })
        }))
    }

    /// The table of Ingress rules, page by page.
    pub(super) fn ingresses(
        &self,
        request: &v1::IngressesRequest,
    ) -> Result<impl Stream<Item = Result<v1::Ingress, Status>> + Send + use<>, Status> {
        let table = match request.class.as_str() {
            "" => self.hub.ingress_table(None),
            class => self.hub.ingress_table(Some(class)),
        };
        let table = table.map_err(Status::failed_precondition)?;
        let unlisted = || Status::unavailable("the Ingresses have not been listed yet");
        let table = table.value().ok_or_else(unlisted)?;
        Ok(stream::iter(
            ingress_page::pages(&table).into_iter().map(Ok),
        ))
    }

    fn question(&self, request: &v1::ResolveRequest) -> Result<(BindKey, Caller), Status> {
        if !self.ready.value() {
            return Err(Status::unavailable(
                "namerd is not ready: a source has not answered yet",
            ));
        }
        let limits = &self.doors.limits;
        let short = |field: &str, text: &str, max: usize| match text.len() <= max {
            true => Ok(()),
            false => Err(status::bad_field(
                field,
                &format!("longer than {max} bytes"),
            )),
        };
        short("path", &request.path, limits.path_bytes)?;
        short("dtab", &request.dtab, limits.router_bytes)?;
        if request.root.contains('/') {
            return Err(status::bad_field("root", "a dtab namespace has no slash"));
        }
        let key = BindKey {
            root: (!request.root.is_empty()).then(|| request.root.as_str().into()),
            router: read_dtab("dtab", "").map_err(|e| status::bad_text(&e))?,
            local: read_dtab("dtab", &request.dtab).map_err(|e| status::bad_text(&e))?,
            path: read_path("path", &request.path).map_err(|e| status::bad_text(&e))?,
            transformers: request
                .transformers
                .iter()
                .cloned()
                .map(Into::into)
                .collect(),
        };
        let pod_ip = match request.pod_ip.as_str() {
            "" => None,
            text => Some(text.parse::<IpAddr>().map_err(|_| {
                status::bad_field("pod_ip", "not an address such as 10.1.2.3 or fd00::1")
            })?),
        };
        let caller = Caller {
            node: (!request.node.is_empty()).then(|| request.node.as_str().into()),
            pod_ip,
            addresses: pod_ip.into_iter().collect(),
        };
        Ok((key, caller))
    }

    fn begin(&self, request: &v1::ResolveRequest) -> Result<Followed, Status> {
        let (key, caller) = self.question(request)?;
        let binder = self.hub.binder();
        let binding = binder
            .bind(&key, &caller)
            .map_err(|e| status::refused(&e))?;
        Ok(Followed::new(binding, Arc::clone(&self.hub)))
    }
}

/// How long this request waits.
fn wait(request: &v1::ResolveRequest) -> Duration {
    match request.wait_ms {
        0 => WAIT,
        ms => Duration::from_millis(ms.into()).min(LONGEST_WAIT),
    }
}

fn pending(what: &str) -> Status {
    Status::deadline_exceeded(format!("still waiting for {what}"))
}

/// A binding and its clusters, listened to.
#[derive(Debug)]
struct Followed {
    hub: Arc<Hub>,
    binding: Arc<Binding>,
    bell: Arc<Bell>,
    _binding: Subscription,
    clusters: HashMap<u32, (Arc<BoundCluster>, Subscription)>,
}

#[derive(Debug, Default)]
struct Bell(Notify);

impl Listener for Bell {
    fn notify(&self, _token: u64) {
        self.0.notify_one();
    }
}

impl Followed {
    fn new(binding: Arc<Binding>, hub: Arc<Hub>) -> Self {
        let bell = Arc::<Bell>::default();
        Self {
            hub,
            _binding: binding.state.listen(listener(&bell), 0),
            binding,
            bell,
            clusters: HashMap::new(),
        }
    }

    /// Waits until nothing is pending.
    async fn settled(&mut self, until: Instant) -> Result<v1::Resolved, Status> {
        loop {
            match self.look()? {
                Ok(resolved) => return Ok(resolved),
                Err(what) => timeout_at(until, self.bell.0.notified())
                    .await
                    .map_err(|_| pending(&what))?,
            }
        }
    }

    /// The state now, or what it waits for.
    fn look(&mut self) -> Result<Result<v1::Resolved, String>, Status> {
        let state = self.binding.state.get();
        let tree = match &state.1 {
            BindState::Pending => return Ok(Err(format!("the name {}", self.binding.key.path))),
            BindState::Failed(error) => return Err(status::failed(error)),
            BindState::Tree(tree) => tree,
        };
        let mut listened = HashMap::new();
        let mut order = Vec::new();
        tree.for_each_leaf(&mut |leaf| {
            let cluster = &leaf.cluster;
            if listened.contains_key(&cluster.number) {
                return;
            }
            let entry = self.clusters.remove(&cluster.number).unwrap_or_else(|| {
                let bell = listener(&self.bell);
                (Arc::clone(cluster), cluster.replicas.listen(bell, 0))
            });
            listened.insert(cluster.number, entry);
            order.push(Arc::clone(cluster));
        });
        self.clusters = listened;
        let mut clusters = Vec::with_capacity(order.len());
        for cluster in order {
            let replicas = cluster.replicas.get();
            let resolved = resolved_cluster(&cluster.id, &replicas.1);
            if resolved.state() == v1::State::Pending {
                return Ok(Err(format!("the addresses of {}", cluster.id)));
            }
            clusters.push(resolved);
        }
        let root = node_of(tree, &mut |leaf| v1::Leaf {
            cluster: 0,
            residual: leaf.residual.to_string(),
            id: leaf.cluster.id.to_string(),
        });
        let sources = self.hub.sources();
        let age = sources.ages().into_iter().map(|(_, age)| age).max();
        Ok(Ok(v1::Resolved {
            tree: Some(root.map_err(|e| Status::failed_precondition(e.to_string()))?),
            clusters,
            position: Some(position(&**sources)),
            age_ms: age.unwrap_or_default().as_millis() as u64,
        }))
    }
}

fn listener(bell: &Arc<Bell>) -> Weak<dyn Listener> {
    let listener: Arc<dyn Listener> = Arc::clone(bell) as _;
    Arc::downgrade(&listener)
}

#[derive(Debug)]
struct Watching {
    followed: Followed,
    /// The first state has to come by then.
    first_by: Option<Instant>,
    last: Option<v1::Resolved>,
    /// Not before.
    next: Instant,
}

impl Watching {
    async fn next(&mut self) -> Result<v1::Resolved, Status> {
        sleep_until(self.next).await;
        loop {
            let state = match self.first_by.take() {
                Some(until) => self.followed.settled(until).await?,
                None => match self.followed.look()? {
                    Ok(state) => state,
                    // What was sent stays true until something else is known.
                    Err(_) => {
                        self.followed.bell.0.notified().await;
                        continue;
                    }
                },
            };
            let is_news = self
                .last
                .as_ref()
                .is_none_or(|last| (&last.tree, &last.clusters) != (&state.tree, &state.clusters));
            if is_news {
                self.next = Instant::now() + WATCH_EVERY;
                self.last = Some(state.clone());
                return Ok(state);
            }
            self.followed.bell.0.notified().await;
        }
    }
}
