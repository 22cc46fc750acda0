//! `io.l5d.k8s` and `io.l5d.k8s.ns`: ports of Kubernetes services (Kubernetes 2.1, 2.2).

use std::fmt;
use std::sync::{Arc, Weak};

use l5d_naming::{ClusterId, Elem, Path};
use parking_lot::Mutex;

use super::{path_of, under_hash};
use crate::bind::{Answer, Namer};
use crate::store::services::{Existence, NamedPort, PortRef, Services};
use crate::store::{Caller, Cell, Cluster, Engine, Reads, Recompute};
use crate::transform::CallerClass;

/// Both namers: they differ in where the namespace comes from.
pub struct K8sNamer {
    kind: &'static str,
    prefix: Path,
    /// `io.l5d.k8s.ns`: the namespace is this one and not in the path.
    namespace: Option<Arc<str>>,
    /// A label's key: the path has one more segment, its value.
    label: Option<Arc<str>>,
    services: Services,
    engine: Engine,
    names: Mutex<Weak<Cell<Arc<[ClusterId]>>>>,
}

/// The names that can be looked up, as ids.
struct Names {
    of: Arc<Cell<Arc<[NamedPort]>>>,
    prefix: Path,
    namespace: Option<Arc<str>>,
    out: Weak<Cell<Arc<[ClusterId]>>>,
}

impl K8sNamer {
    /// `io.l5d.k8s`, answering `/<namespace>/<port>/<service>[/<label value>]` under `/#` and `prefix`.
    pub fn new(prefix: &Path, label: Option<&str>, services: Services, engine: Engine) -> Self {
        Self {
            kind: "io.l5d.k8s",
            prefix: under_hash(prefix),
            namespace: None,
            label: label.map(Into::into),
            services,
            engine,
            names: Mutex::default(),
        }
    }

    /// `io.l5d.k8s.ns`, answering `/<port>/<service>[/<label value>]` in one namespace: that of namerd's own
    /// environment (K8S-14).
    pub fn in_namespace(
        prefix: &Path,
        namespace: &str,
        label: Option<&str>,
        services: Services,
        engine: Engine,
    ) -> Self {
        Self {
            kind: "io.l5d.k8s.ns",
            namespace: Some(namespace.into()),
            ..Self::new(prefix, label, services, engine)
        }
    }

    /// How many segments a name takes.
    fn segments(&self) -> usize {
        2 + usize::from(self.namespace.is_none()) + usize::from(self.label.is_some())
    }
}

impl Namer for K8sNamer {
    fn prefix(&self) -> &Path {
        &self.prefix
    }

    fn kind(&self) -> &str {
        self.kind
    }

    fn look_up(&self, rest: &Path, caller: &Caller, reads: &mut Reads) -> Answer {
        let used = self.segments();
        if rest.len() < used {
            return Answer::neg();
        }
        // K8S-10: folded for the lookup and in the id; the residual stays as given.
        let folded: Vec<String> = rest.elems()[..used].iter().map(fold).collect();
        let mut segments = folded.iter().map(String::as_str);
        let namespace = match &self.namespace {
            Some(namespace) => &**namespace,
            None => segments.next().unwrap_or_default(),
        };
        let port = PortRef::parse(segments.next().unwrap_or_default());
        let service = segments.next().unwrap_or_default();
        let label = self.label.as_deref().zip(segments.next());
        let found = self.services.port(namespace, port, service, label);
        match reads.read(&found.existence).1 {
            Existence::Pending => Answer::Pending,
            Existence::Absent => Answer::neg(),
            Existence::Present => {
                let id = self
                    .prefix
                    .concat(&path_of(folded.iter().map(String::as_str)));
                let cluster = Cluster {
                    id: ClusterId(id),
                    endpoints: found.seen_from(caller.node.as_ref(), reads),
                };
                Answer::bound(cluster, rest.skip(used))
            }
        }
    }

    fn classes(&self) -> &[CallerClass] {
        match self.services.tells_callers_apart() {
            true => &[CallerClass::Node],
            false => &[],
        }
    }

    fn names(&self) -> Option<Arc<Cell<Arc<[ClusterId]>>>> {
        // Which names a label's values give cannot be listed without looking at each.
        if self.label.is_some() {
            return None;
        }
        let mut names = self.names.lock();
        if let Some(cell) = names.upgrade() {
            return Some(cell);
        }
        let cell = self.engine.computed(Arc::new([]) as Arc<[_]>, |out| Names {
            of: self.services.names(),
            prefix: self.prefix.clone(),
            namespace: self.namespace.clone(),
            out,
        });
        *names = Arc::downgrade(&cell);
        Some(cell)
    }
}

/// Lower case, read as text.
fn fold(elem: &Elem) -> String {
    elem.to_text().to_lowercase()
}

impl Recompute for Names {
    fn recompute(&self, reads: &mut Reads) {
        let Some(out) = self.out.upgrade() else {
            return;
        };
        let named = reads.read(&self.of);
        let ids = named.1.iter().filter_map(|name| {
            let port = name.port.to_string();
            let all = [&*name.namespace, &*port, &*name.service];
            let parts = match &self.namespace {
                None => &all[..],
                Some(only) if *only == name.namespace => &all[1..],
                Some(_) => return None,
            };
            Some(ClusterId(
                self.prefix.concat(&path_of(parts.iter().copied())),
            ))
        });
        out.set(ids.collect());
    }
}

impl fmt::Debug for K8sNamer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K8sNamer")
            .field("kind", &self.kind)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
