//! Dtabs in a Kubernetes API: `io.l5d.k8s`, `io.l5d.k8s.configMap` (control plane 12.3, Kubernetes 10).

use std::time::Duration;

use l5d_config::Section;

use crate::config::{ConfigMapStorage, Env, K8sStorage, WatchOptions, kubernetes};

pub(super) fn read(section: &Section<'_>, env: Env<'_>) -> K8sStorage {
    K8sStorage {
        api: kubernetes::api_server(section, env),
        namespace: namespace(section),
        write_status: section.key("status").boolean().unwrap_or(true),
        startup_jitter: startup_jitter(section),
    }
}

/// The keys of the interpreter of this kind in 1.x; without `filename` every key is a namespace.
pub(super) fn config_map(section: &Section<'_>, env: Env<'_>) -> ConfigMapStorage {
    ConfigMapStorage {
        api: kubernetes::api_server(section, env),
        namespace: namespace(section),
        name: section.need("name").string().unwrap_or_default(),
        filename: section.key("filename").string(),
        startup_jitter: startup_jitter(section),
    }
}

fn namespace(section: &Section<'_>) -> String {
    let namespace = section.key("namespace").string();
    namespace.unwrap_or_else(|| "default".to_owned())
}

fn startup_jitter(section: &Section<'_>) -> Duration {
    kubernetes::millis(section.key("startupJitter"))
        .unwrap_or(WatchOptions::default().startup_jitter)
}
