//! Dtabs in a Kubernetes API: `io.l5d.k8s` (control plane 12.3, Kubernetes 10).

use l5d_config::Section;

use crate::config::{Env, K8sStorage, WatchOptions, kubernetes};

pub(super) fn read(section: &Section<'_>, env: Env<'_>) -> K8sStorage {
    let namespace = section.key("namespace").string();
    K8sStorage {
        api: kubernetes::api_server(section, env),
        namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        write_status: section.key("status").boolean().unwrap_or(true),
        startup_jitter: kubernetes::millis(section.key("startupJitter"))
            .unwrap_or(WatchOptions::default().startup_jitter),
    }
}
