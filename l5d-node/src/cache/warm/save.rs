//! From the table to the file.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use l5d_naming::Replicas;
use l5d_resolver::convert::node_of;
use l5d_resolver::ingress_page::pages;
use l5d_resolver::record::{Packed, records};
use l5d_resolver::v1;
use prost::Message as _;

use super::format::{self, Content, MOST_BYTES};
use super::{NamerdMemory, Scope};
use crate::cache::{Cluster, FollowSet, Leaf, Name, Table};

/// All that is to be kept, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    content: Content,
}

/// Takes down what is known now: cheap enough for the control thread, no IO.
pub fn snapshot(table: &Table, scope: &Scope) -> Snapshot {
    let mut taken = Taken {
        content: Content {
            written_s: unix_s(SystemTime::now()),
            boot_id: scope.boot_id.clone(),
            node_name: scope.node_name.clone(),
            pod_ip: scope.pod_ip.clone(),
            ..Content::default()
        },
        clusters: HashMap::new(),
        bytes: 1 << 20, // for what is not counted one by one
    };
    for router in &scope.routers {
        taken.content.routers.push(format::Router {
            label: router.label.clone(),
            fingerprint: router.fingerprint,
        });
    }
    let mut seen: HashSet<*const FollowSet> = HashSet::new();
    for (index, router) in table.routers().iter().enumerate() {
        if seen.insert(Arc::as_ptr(router.follow())) {
            let memory = NamerdMemory::of(router.follow());
            taken.namerd(memory.to_message());
        }
        for name in router.entries().iter().rev() {
            taken.add(index as u32, name);
        }
    }
    taken.content.names.reverse();
    Snapshot {
        content: taken.content,
    }
}

struct Taken {
    content: Content,
    /// Index by key.
    clusters: HashMap<u64, u32>,
    bytes: usize,
}

impl Taken {
    /// Adds a namerd, without its Ingress rules if they alone would take half of the file.
    fn namerd(&mut self, mut message: format::Namerd) {
        let bytes = message.encoded_len();
        if self.bytes + bytes > MOST_BYTES / 2 {
            message.ingress = None;
        }
        self.bytes += message.encoded_len() + 8;
        self.content.namerds.push(message);
    }

    /// Adds a name with what it leads to, if there is room: the most recently used ones come first.
    fn add(&mut self, router: u32, name: &Name) {
        if !name.local.is_empty() || self.bytes > MOST_BYTES {
            return;
        }
        let Some(tree) = name.tree() else { return };
        let mut is_whole = true;
        let node = node_of(&tree, &mut |leaf: &Leaf| {
            let cluster = self.cluster(&leaf.cluster);
            is_whole &= cluster.is_some();
            v1::Leaf {
                cluster: cluster.unwrap_or(0),
                residual: leaf.residual.to_string(),
                id: String::new(),
            }
        });
        let (Ok(node), true) = (node, is_whole) else {
            return;
        };
        let name = format::Name {
            router,
            path: name.path.to_string(),
            tree: Some(node),
        };
        self.bytes += name.encoded_len() + 8;
        if self.bytes <= MOST_BYTES {
            self.content.names.push(name);
        }
    }

    /// The cluster's index; `None` if nothing good is known of it, or there is no room.
    fn cluster(&mut self, cluster: &Cluster) -> Option<u32> {
        if let Some(index) = self.clusters.get(&cluster.key) {
            return Some(*index);
        }
        let mut message = format::Cluster {
            id: cluster.id.to_string(),
            confirmed_s: unix_s(cluster.confirmed()),
            ..format::Cluster::default()
        };
        match &cluster.state().replicas {
            Replicas::Pending | Replicas::Failed(_) => return None,
            Replicas::Neg => {}
            Replicas::Bound(set) => {
                let packed = Packed::new(&Vec::from_iter(records(set)));
                message.is_bound = true;
                message.authority = set.authority().map_or(String::new(), |a| (**a).to_owned());
                (message.put4, message.put6) = (packed.v4, packed.v6);
                message.weights = packed.weights;
            }
        }
        self.bytes += message.encoded_len() + 8;
        if self.bytes > MOST_BYTES {
            return None;
        }
        let index = self.content.clusters.len() as u32;
        self.content.clusters.push(message);
        self.clusters.insert(cluster.key, index);
        Some(index)
    }
}

impl Snapshot {
    /// Whether a restart would know the same from `other`; times and versions do not count.
    pub fn is_same(&self, other: &Snapshot) -> bool {
        let timeless = |content: &Content| {
            let mut content = content.clone();
            content.written_s = 0;
            content.clusters.iter_mut().for_each(|c| c.confirmed_s = 0);
            content.namerds.iter_mut().for_each(|n| n.position = None);
            content
        };
        timeless(&self.content) == timeless(&other.content)
    }

    /// Replaces the file: written under another name, synced, renamed. Blocks.
    ///
    /// # Errors
    /// The file cannot be written; the old one stays.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let bytes = format::encode(&self.content);
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&temporary, path)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl NamerdMemory {
    fn to_message(&self) -> format::Namerd {
        let source = |(source, rv): &(String, u64)| v1::SourcePosition {
            source: source.clone(),
            rv: *rv,
        };
        format::Namerd {
            dst: self.dst.iter().map(|(h, p)| format!("{h}:{p}")).collect(),
            position: Some(v1::Position {
                sources: self.position.iter().map(source).collect(),
            }),
            worked: self.worked.iter().map(ToString::to_string).collect(),
            ingress: self.ingress.as_ref().map(|(class, table)| format::Ingress {
                class: class.to_string(),
                pages: pages(table),
            }),
        }
    }
}

fn unix_s(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
