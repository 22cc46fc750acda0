//! From the file to the table.

use std::io::{self, Read as _};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use l5d_naming::{ClusterId, Dtab, Endpoint, EndpointSet, Path, Replicas};
use l5d_resolver::convert::{BadNode, read_path, tree_of};
use l5d_resolver::ingress::Table as Rules;
use l5d_resolver::ingress_page::TableAssembly;
use l5d_resolver::record::read_puts;

use super::format::{self, Content, Damage, MOST_BYTES};
use super::{GATEWAYS, NamerdMemory, Scope, ScopeRouter};
use crate::cache::{Cluster, FollowSet, Leaf, NameState, Names as _, Table};

/// Plain pod addresses may have gone to another pod after this.
const PLAIN_LIMIT: Duration = Duration::from_secs(3600);

/// Why a warm file is ignored as a whole.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// It is of another node.
    #[error("it was written on node {found:?}, this is {expected:?}")]
    Node {
        /// As the file says.
        found: String,
        /// As we are told.
        expected: String,
    },
}

/// What a warm file gave.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Names with all that they lead to.
    pub names: usize,
    /// Names left out: another configuration, another boot, too old.
    pub left_out: usize,
    /// What is known of namerds.
    pub namerds: Vec<NamerdMemory>,
}

/// Fills the table from the file; `Ok(None)`: there is none yet. What is loaded is stale. Blocks.
///
/// # Errors
/// The file is ignored as a whole; the table is unchanged.
pub fn load(path: &FilePath, table: &Table, scope: &Scope) -> Result<Option<Loaded>, LoadError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let mut bytes = Vec::new();
    // More than this has a wrong length, which `decode` tells.
    file.take(2 * MOST_BYTES as u64).read_to_end(&mut bytes)?;
    let content = format::decode(&bytes)?;
    if content.node_name != scope.node_name {
        return Err(LoadError::Node {
            found: content.node_name,
            expected: scope.node_name.clone(),
        });
    }
    let loading = Loading {
        content: &content,
        scope,
        now: SystemTime::now(),
    };
    Ok(Some(loading.fill(table)))
}

struct Loading<'a> {
    content: &'a Content,
    scope: &'a Scope,
    now: SystemTime,
}

/// A cluster of the file, read.
struct Read {
    id: ClusterId,
    replicas: Replicas,
    confirmed: SystemTime,
}

impl Loading<'_> {
    fn fill(&self, table: &Table) -> Loaded {
        let mut loaded = Loaded {
            namerds: self.content.namerds.iter().map(memory).collect(),
            ..Loaded::default()
        };
        for name in &self.content.names {
            match self.name(name, table) {
                Some(()) => loaded.names += 1,
                None => loaded.left_out += 1,
            }
        }
        loaded
    }

    /// A name with its tree, unless something of it is missing.
    fn name(&self, message: &format::Name, table: &Table) -> Option<()> {
        let written = self.content.routers.get(message.router as usize)?;
        let is_same =
            |r: &ScopeRouter| r.label == written.label && r.fingerprint == written.fingerprint;
        let router = self.scope.routers.iter().position(is_same)?;
        let has_gateways = self.scope.routers[router].has_gateways;
        let follow = table.routers().get(router)?.follow();
        let path = Path::parse(&message.path).ok()?;
        let tree = tree_of(message.tree.as_ref()?, &mut |leaf| {
            let cluster = self.cluster(leaf.cluster, has_gateways);
            let residual = read_path("residual", &leaf.residual)?;
            Ok((cluster.ok_or(BadNode::Cluster(leaf.cluster))?, residual))
        });
        // All of it reads: only now are cells made.
        let tree = tree.ok()?.map(&mut |(read, residual)| Leaf {
            cluster: read.to_cell(follow),
            residual: residual.clone(),
        });
        let name = table.name(router, &path, &Dtab::empty());
        name.set_stale(true);
        name.set(NameState::Bound(Arc::new(tree)));
        Some(())
    }

    /// A cluster whose addresses may still be its own.
    fn cluster(&self, index: u32, has_gateways: bool) -> Option<Read> {
        let message = self.content.clusters.get(index as usize)?;
        let has_gateways = has_gateways || message.id.starts_with(&format!("/%/{GATEWAYS}/"));
        let confirmed = UNIX_EPOCH.checked_add(Duration::from_secs(message.confirmed_s))?;
        let age = self.now.duration_since(confirmed).unwrap_or(Duration::ZERO);
        let limit = match self.scope.max_stale {
            Some(limit) => Some(limit),
            None => (!has_gateways).then_some(PLAIN_LIMIT),
        };
        let is_same_boot = self.content.boot_id == self.scope.boot_id;
        if !(has_gateways || is_same_boot) || limit.is_some_and(|limit| age > limit) {
            return None;
        }
        Some(Read {
            id: ClusterId(Path::parse(&message.id).ok()?),
            replicas: replicas(message)?,
            confirmed,
        })
    }
}

impl Read {
    /// The cluster's cell, with what the file says if nothing better is known.
    fn to_cell(&self, follow: &FollowSet) -> Arc<Cluster> {
        let cell = follow.clusters.cell(&self.id);
        if !cell.has_good() {
            cell.set(self.replicas.clone());
            cell.set_stale(true);
            cell.set_confirmed(self.confirmed);
        }
        cell
    }
}

fn replicas(message: &format::Cluster) -> Option<Replicas> {
    if !message.is_bound {
        return Some(Replicas::Neg);
    }
    let puts = read_puts(&message.put4, &message.put6, &message.weights).ok()?;
    let endpoints = puts.map(|r| Endpoint {
        weight: r.weight,
        ..Endpoint::new(r.addr)
    });
    let authority = (!message.authority.is_empty()).then(|| Arc::from(message.authority.as_str()));
    let set = EndpointSet::new(endpoints).with_authority(authority);
    Some(Replicas::Bound(Arc::new(set)))
}

fn memory(message: &format::Namerd) -> NamerdMemory {
    let dst = |text: &String| {
        let (host, port) = text.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    };
    let sources = message.position.iter().flat_map(|p| &p.sources);
    NamerdMemory {
        dst: message.dst.iter().filter_map(dst).collect(),
        position: sources.map(|s| (s.source.clone(), s.rv)).collect(),
        worked: message
            .worked
            .iter()
            .filter_map(|a| a.parse().ok())
            .collect(),
        ingress: message.ingress.as_ref().and_then(rules),
    }
}

/// A table with its class; `None` if it is not whole or not what its hash says.
fn rules(message: &format::Ingress) -> Option<(Arc<str>, Rules)> {
    let mut assembly = TableAssembly::default();
    let (last, pages) = message.pages.split_last()?;
    for page in pages {
        if assembly.push(page).ok()?.is_some() {
            return None;
        }
    }
    let table = assembly.push(last).ok()??;
    Some((message.class.as_str().into(), table))
}
