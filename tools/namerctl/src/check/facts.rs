//! What configuration files say that the cluster must have: gateways of `daemonset` transformers, the dtab store, ports,
//! certificates. Files of namerd and of nodes both do.

use std::path::Path;

use anyhow::bail;

use crate::migrate::input;
use crate::migrate::tree::Node;

/// The Service of the node proxies, and its port that takes what comes from other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) namespace: String,
    pub(crate) service: String,
    /// A name, or a number.
    pub(crate) port: String,
}

/// What is to be checked.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) gateways: Vec<Gateway>,
    /// The kind of the dtab store, and its Kubernetes namespace, if namerd's file was given.
    pub(crate) store: Option<(String, Option<String>)>,
    /// Ports of namerd's servers: mesh, HTTP controller, admin.
    pub(crate) mesh: Option<u16>,
    pub(crate) http: Option<u16>,
    pub(crate) admin: Option<u16>,
    /// Certificate files that the configurations name.
    pub(crate) certificates: Vec<String>,
}

impl std::str::FromStr for Gateway {
    type Err = String;

    /// `NAMESPACE/SERVICE/PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [namespace, service, port] if parts.iter().all(|p| !p.is_empty()) => Ok(Self {
                namespace: namespace.to_owned(),
                service: service.to_owned(),
                port: port.to_owned(),
            }),
            _ => Err("it must be NAMESPACE/SERVICE/PORT, such as linkerd/l5d/incoming".to_owned()),
        }
    }
}

impl std::fmt::Display for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.service, self.port)
    }
}

impl Facts {
    /// Adds what a file says: a configuration, or a manifest with some.
    pub(crate) fn read(&mut self, file: &Path) -> anyhow::Result<()> {
        let name = file.display().to_string();
        let found = input::find(&[input::read(&name)?]);
        if found.is_empty() {
            bail!("{name}: there is no configuration of namerd or of a node in it");
        }
        for config in found {
            self.take(&config.root);
        }
        Ok(())
    }

    fn take(&mut self, root: &Node) {
        if let Some(storage) = root.get("storage") {
            let kind = storage.word("kind").unwrap_or_default().to_owned();
            let namespace = storage.word("namespace").map(str::to_owned);
            self.store = Some((kind, namespace));
            let admin = root.at(&["admin", "port"]).and_then(port);
            self.admin = Some(admin.unwrap_or(9991));
        }
        for interface in root.get("interfaces").map_or(&[][..], Node::items) {
            let at = interface.node.get("port").and_then(port);
            match interface.node.word("kind") {
                Some("io.l5d.mesh") => self.mesh = Some(at.unwrap_or(4321)),
                Some("io.l5d.httpController") => self.http = Some(at.unwrap_or(4180)),
                _ => {}
            }
        }
        self.walk(root);
    }

    fn walk(&mut self, node: &Node) {
        if node.word("kind") == Some("io.l5d.k8s.daemonset")
            && let (Some(namespace), Some(service), Some(port)) = (
                node.word("namespace"),
                node.word("service"),
                node.word("port"),
            )
        {
            let gateway = Gateway {
                namespace: namespace.to_owned(),
                service: service.to_owned(),
                port: port.to_owned(),
            };
            if !self.gateways.contains(&gateway) {
                self.gateways.push(gateway);
            }
        }
        for key in [
            "certPath",
            "intermediateCertsPath",
            "caCertPath",
            "trustCertsBundle",
        ] {
            if let Some(file) = node.word(key) {
                self.certificates.push(file.to_owned());
            }
        }
        for slot in node.slots().iter().filter(|s| !s.is_off) {
            self.walk(&slot.node);
        }
    }

    /// The Kubernetes namespace of dtabs; `None` when they are stored elsewhere.
    pub(crate) fn dtab_namespace(&self, flag: &str) -> Option<String> {
        match &self.store {
            Some((kind, _)) if kind != "io.l5d.k8s" => None,
            Some((_, Some(namespace))) => Some(namespace.clone()),
            _ => Some(flag.to_owned()),
        }
    }
}

fn port(node: &Node) -> Option<u16> {
    node.str()?.parse().ok()
}
