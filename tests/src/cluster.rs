//! One handle over the cluster double and the real API server, with the writes that controllers do.
//!
//! Tests that are written against [`Cluster`] run against both, which keeps the double honest.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock};

use crate::client::{Answer, ApiClient};
use crate::double::{Double, Kind};
use crate::objects::{self, Pod, Port, SLICE_ENDPOINTS};
use crate::real::{ADMIN, Binaries, RealCluster};

/// A cluster under test.
#[derive(Debug)]
pub struct Cluster {
    api: ApiClient,
    backing: Backing,
}

/// The real cluster that all tests of one program share: each in namespaces of its own, and alone with the write lock when it
/// stops the server. It ends with the program.
pub async fn shared_real() -> Option<&'static RwLock<Cluster>> {
    static REAL: OnceCell<Option<RwLock<Cluster>>> = OnceCell::const_new();
    let start = || async {
        let cluster = Cluster::real(&[])
            .await
            .expect("the real API server starts");
        cluster.map(RwLock::new)
    };
    REAL.get_or_init(start).await.as_ref()
}

/// What stands behind it.
#[derive(Debug)]
pub enum Backing {
    /// In this process.
    Double(Double),
    /// As processes.
    Real(Box<RealCluster>),
}

/// A service whose pods come and go; writes its slices as the EndpointSlice controller does.
#[derive(Clone, Debug)]
pub struct Workload {
    namespace: String,
    name: String,
    ports: Vec<Port>,
    pods: Vec<Pod>,
    slices: usize,
}

// === impl Cluster ===

impl Cluster {
    /// The double on a loopback port.
    pub fn double() -> anyhow::Result<Self> {
        let double = Double::start(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
        Ok(Self {
            api: ApiClient::plain(double.addr()),
            backing: Backing::Double(double),
        })
    }

    /// The real one on a loopback port, or `None` when its programs are missing and not required.
    pub async fn real(extra: &[&str]) -> anyhow::Result<Option<Self>> {
        Self::real_at(IpAddr::V4(Ipv4Addr::LOCALHOST), extra).await
    }

    /// The real one on a port of an address.
    pub async fn real_at(at: IpAddr, extra: &[&str]) -> anyhow::Result<Option<Self>> {
        let Some(binaries) = Binaries::find()? else {
            return Ok(None);
        };
        let real = RealCluster::start(&binaries, at, extra).await?;
        Ok(Some(Self {
            api: real.client(ADMIN)?,
            backing: Backing::Real(Box::new(real)),
        }))
    }

    /// A client that may do everything.
    pub fn api(&self) -> &ApiClient {
        &self.api
    }

    /// What stands behind it.
    pub fn backing(&self) -> &Backing {
        &self.backing
    }

    /// What stands behind it, to be stopped and started.
    pub fn backing_mut(&mut self) -> &mut Backing {
        &mut self.backing
    }

    /// Stops the API server as a crash would.
    pub async fn stop_api(&mut self) -> anyhow::Result<()> {
        match &mut self.backing {
            Backing::Double(double) => double.refuse(),
            Backing::Real(real) => real.stop_api().await?,
        }
        Ok(())
    }

    /// Starts it again at the same address.
    pub async fn start_api(&mut self) -> anyhow::Result<()> {
        match &mut self.backing {
            Backing::Double(double) => double.listen()?,
            Backing::Real(real) => real.start_api().await?,
        }
        Ok(())
    }

    /// Has the API serve dtabs.
    pub async fn define_dtabs(&self) -> anyhow::Result<()> {
        match &self.backing {
            Backing::Double(_) => Ok(()),
            Backing::Real(real) => real.define_dtabs().await,
        }
    }

    /// Creates an object, or changes it to what is given (a merge patch: lists are replaced whole). Like a controller it
    /// asks again when a connection breaks, as those may that a server took just before it was restarted.
    pub async fn apply(&self, kind: Kind, object: &Value) -> anyhow::Result<Value> {
        let mut attempts = 3;
        loop {
            match self.apply_once(kind, object).await {
                Err(error) if attempts > 1 && error.is::<Broken>() => attempts -= 1,
                applied => return applied,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn apply_once(&self, kind: Kind, object: &Value) -> anyhow::Result<Value> {
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().context("metadata.name")?;
        let namespace = metadata["namespace"].as_str();
        let url = kind.url(namespace, Some(name));
        let patch = self.api.send(Method::PATCH, &url, &[], Some(object));
        let answer = patch.await.context(Broken)?;
        if answer.status != StatusCode::NOT_FOUND {
            return answer.ok().with_context(|| url);
        }
        let collection = kind.url(namespace, None);
        let answer = self.api.send(Method::POST, &collection, &[], Some(object));
        answer.await.context(Broken)?.ok().with_context(|| url)
    }

    /// Deletes an object; it need not be there.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> anyhow::Result<()> {
        let url = kind.url(Some(namespace), Some(name));
        let now = json!({"gracePeriodSeconds": 0});
        let answer = self.api.send(Method::DELETE, &url, &[], Some(&now)).await?;
        if answer.status != StatusCode::NOT_FOUND {
            answer.ok().with_context(|| url)?;
        }
        Ok(())
    }

    /// All objects of a kind, with the collection's resource version.
    pub async fn list(&self, kind: Kind, namespace: Option<&str>) -> anyhow::Result<Value> {
        self.api.get(&kind.url(namespace, None)).await?.ok()
    }

    /// A namespace.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = objects::namespace(name);
        self.apply(Kind::Namespace, &namespace).await.map(drop)
    }

    /// A node, in a zone or not.
    pub async fn node(&self, name: &str, zone: Option<&str>) -> anyhow::Result<()> {
        let node = objects::node(name, zone);
        self.apply(Kind::Node, &node).await.map(drop)
    }

    /// A service; its slices are written by hand or by [`Workload`].
    pub async fn service(&self, namespace: &str, name: &str, ports: &[Port]) -> anyhow::Result<()> {
        let service = objects::service(namespace, name, ports);
        self.apply(Kind::Service, &service).await.map(drop)
    }

    /// One slice of a service.
    pub async fn slice(
        &self,
        namespace: &str,
        service: &str,
        name: &str,
        ports: &[Port],
        pods: &[Pod],
    ) -> anyhow::Result<()> {
        let slice = objects::slice(namespace, service, name, ports, pods);
        self.apply(Kind::EndpointSlice, &slice).await.map(drop)
    }

    /// A bare request, for facts about the server.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.api.get(path).await
    }
}

/// No answer came, as opposed to one that refuses.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer")]
struct Broken;

// === impl Workload ===

impl Workload {
    /// Creates the namespace, the service and its slices.
    pub async fn create(
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        ports: &[Port],
        pods: Vec<Pod>,
    ) -> anyhow::Result<Self> {
        cluster.namespace(namespace).await?;
        cluster.service(namespace, name, ports).await?;
        let mut workload = Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ports: ports.to_vec(),
            pods: Vec::new(),
            slices: 0,
        };
        workload.set(cluster, pods).await?;
        Ok(workload)
    }

    /// Its pods now.
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// These pods and no others: full slices of a hundred, the placeholder when there is none.
    pub async fn set(&mut self, cluster: &Cluster, pods: Vec<Pod>) -> anyhow::Result<()> {
        self.pods = pods;
        let parts: Vec<_> = match self.pods.is_empty() {
            true => vec![&[][..]],
            false => self.pods.chunks(SLICE_ENDPOINTS).collect(),
        };
        for (i, part) in parts.iter().enumerate() {
            let name = self.slice_name(i);
            cluster
                .slice(&self.namespace, &self.name, &name, &self.ports, part)
                .await?;
        }
        for i in parts.len()..self.slices {
            let name = self.slice_name(i);
            let kind = Kind::EndpointSlice;
            cluster.delete(kind, &self.namespace, &name).await?;
        }
        self.slices = parts.len();
        Ok(())
    }

    /// One more pod.
    pub async fn add(&mut self, cluster: &Cluster, pod: Pod) -> anyhow::Result<()> {
        let mut pods = self.pods.clone();
        pods.push(pod);
        self.set(cluster, pods).await
    }

    /// One pod less, at once.
    pub async fn remove(&mut self, cluster: &Cluster, pod: &str) -> anyhow::Result<()> {
        let mut pods = self.pods.clone();
        pods.retain(|p| p.name != pod);
        self.set(cluster, pods).await
    }

    /// One pod changed in place, such as `Pod::terminating`.
    pub async fn change(
        &mut self,
        cluster: &Cluster,
        pod: &str,
        change: impl Fn(Pod) -> Pod,
    ) -> anyhow::Result<()> {
        let changed = |p: &Pod| match p.name == pod {
            true => change(p.clone()),
            false => p.clone(),
        };
        let pods = self.pods.iter().map(changed).collect();
        self.set(cluster, pods).await
    }

    /// Nobody left: the placeholder slice.
    pub async fn scale_to_zero(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        self.set(cluster, Vec::new()).await
    }

    /// The service and its slices go, as after a deletion and its garbage collection.
    pub async fn delete(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        cluster
            .delete(Kind::Service, &self.namespace, &self.name)
            .await?;
        for i in 0..std::mem::take(&mut self.slices) {
            let name = self.slice_name(i);
            let kind = Kind::EndpointSlice;
            cluster.delete(kind, &self.namespace, &name).await?;
        }
        Ok(())
    }

    fn slice_name(&self, i: usize) -> String {
        format!("{}-{i:04}", self.name)
    }
}
