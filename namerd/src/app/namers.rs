//! From the configuration's namers to namers.

use std::collections::HashMap;
use std::sync::Arc;

use l5d_naming::TransformerSpec;

use super::build::{BuildError, Follower};
use crate::bind::Namer;
use crate::bind::dns::{Hosts, SystemDns};
use crate::bind::namers::{
    DnsSrvNamer, FsNamer, K8sExternalNamer, K8sNamer, RewriteNamer, System, TransformedNamer,
};
use crate::config::{self, ApiServer, NamerKind};
use crate::consul::ConsulNamer;
use crate::meter::Meter;
use crate::store::Engine;
use crate::store::services::Services;
use crate::transform::Transforms;

/// What namers are made of.
pub(super) struct Builder<'a> {
    pub(super) engine: &'a Engine,
    pub(super) hosts: &'a Hosts,
    pub(super) system: &'a Arc<System>,
    pub(super) transforms: &'a Transforms,
    pub(super) meter: &'a Arc<Meter>,
    pub(super) clusters: HashMap<ApiServer, Services>,
}

impl Builder<'_> {
    /// The namers in order, and what keeps them like their sources.
    pub(super) fn namers(
        &self,
        configs: &[config::Namer],
        followers: &mut Vec<Follower>,
    ) -> Result<Vec<Arc<dyn Namer>>, BuildError> {
        let namer = |(index, config): (usize, &config::Namer)| {
            let namer = self.namer(index, config, followers)?;
            self.transformed(index, namer, &config.transformers)
        };
        configs.iter().enumerate().map(namer).collect()
    }

    fn namer(
        &self,
        index: usize,
        config: &config::Namer,
        followers: &mut Vec<Follower>,
    ) -> Result<Arc<dyn Namer>, BuildError> {
        let prefix = &config.prefix;
        let engine = self.engine.clone();
        let meter = Arc::clone(self.meter);
        Ok(match &config.kind {
            NamerKind::Fs(root) => {
                let namer = FsNamer::new(prefix, root, engine, self.hosts.clone())
                    .map_err(|source| BuildError::Directory { index, source })?;
                followers.push(Box::pin(Arc::clone(&namer).run()));
                namer
            }
            NamerKind::Consul(access, naming) => {
                ConsulNamer::new(prefix, access, naming, engine, self.hosts.clone(), meter)
                    .map_err(|source| BuildError::NamerTls { index, source })?
            }
            NamerKind::DnsSrv { refresh, servers } => {
                let dns = Arc::new(SystemDns::of(servers.clone()));
                let hosts = match servers.is_empty() {
                    true => self.hosts.clone(),
                    false => Hosts::new(Arc::clone(&dns) as _),
                };
                DnsSrvNamer::new(prefix, dns, *refresh, engine, hosts, meter)
            }
            NamerKind::K8s(k8s) => {
                let label = k8s.label_selector.as_deref();
                Arc::new(K8sNamer::new(prefix, label, self.services(k8s), engine))
            }
            NamerKind::K8sExternal(k8s) => Arc::new(K8sExternalNamer::new(
                prefix,
                k8s.label_selector.as_deref(),
                self.services(k8s),
                engine,
                self.hosts.clone(),
            )),
            NamerKind::K8sNs(k8s, namespace) => {
                tracing::info!(%prefix, namespace, "io.l5d.k8s.ns answers for namerd's own namespace");
                let label = k8s.label_selector.as_deref();
                let services = self.services(k8s);
                Arc::new(K8sNamer::in_namespace(
                    prefix, namespace, label, services, engine,
                ))
            }
            NamerKind::Rewrite { pattern, name } => Arc::new(
                RewriteNamer::new(prefix, pattern, name)
                    .map_err(|source| BuildError::Rewrite { index, source })?,
            ),
        })
    }

    fn services(&self, k8s: &config::K8sNamer) -> Services {
        let services = self.clusters.get(&k8s.api);
        services
            .expect("one source for each API server was built")
            .clone()
    }

    fn transformed(
        &self,
        index: usize,
        namer: Arc<dyn Namer>,
        specs: &[TransformerSpec],
    ) -> Result<Arc<dyn Namer>, BuildError> {
        if specs.is_empty() {
            return Ok(namer);
        }
        let transformers = specs
            .iter()
            .map(|spec| self.transforms.build(spec))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|reason| BuildError::Transformer { index, reason })?;
        let system = Arc::clone(self.system);
        Ok(Arc::new(TransformedNamer::new(namer, transformers, system)))
    }
}
