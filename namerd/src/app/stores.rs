//! From the configuration's storage to a dtab store.

use std::sync::Arc;

use super::build::{BuildError, Follower, address};
use crate::config::Storage;
use crate::consul::ConsulStore;
use crate::etcd::EtcdStore;
use crate::files::FilesStore;
use crate::k8s::{ConfigMapDtabs, ConfigMapSource, DtabSource, K8sDtabs};
use crate::store::{DtabStore, InMemoryStore};

/// The store, and what keeps it like the system behind it. Contacts nobody.
pub(super) fn build(
    config: &Storage,
    followers: &mut Vec<Follower>,
) -> Result<Arc<dyn DtabStore>, BuildError> {
    Ok(match config {
        Storage::InMemory(namespaces) => InMemoryStore::new(namespaces.iter().cloned()),
        Storage::Files(files) => {
            let store = FilesStore::new(files);
            followers.push(Box::pin(Arc::clone(&store).run()));
            store
        }
        Storage::Consul(consul) => {
            let store = ConsulStore::new(consul).map_err(BuildError::StorageTls)?;
            followers.push(Box::pin(Arc::clone(&store).run()));
            store
        }
        Storage::Etcd(etcd) => {
            let store = EtcdStore::new(etcd).map_err(BuildError::StorageTls)?;
            followers.push(Box::pin(Arc::clone(&store).run()));
            store
        }
        Storage::ConfigMap(map) => {
            let (store, follower) = ConfigMapDtabs::new(ConfigMapSource {
                address: address(&map.api),
                namespace: map.namespace.clone(),
                name: map.name.clone(),
                key: map.filename.clone(),
                startup_jitter: map.startup_jitter,
            })
            .map_err(|source| BuildError::Kubernetes {
                api: map.api.clone(),
                source,
            })?;
            followers.push(Box::pin(follower));
            store
        }
        Storage::K8s(k8s) => {
            let (store, follower) = K8sDtabs::new(&DtabSource {
                address: address(&k8s.api),
                namespace: k8s.namespace.clone(),
                startup_jitter: k8s.startup_jitter,
                write_status: k8s.write_status,
            })
            .map_err(|source| BuildError::Kubernetes {
                api: k8s.api.clone(),
                source,
            })?;
            followers.push(Box::pin(follower));
            store
        }
    })
}
