//! What asks about names: `resolve`, `explain`, `watch` over the resolver API, `delegate` over HTTP.

mod delegate;
mod explain;
mod resolve;
mod steps;
mod view;
mod watch;

pub(crate) use self::delegate::{DelegateArgs, delegate};
pub(crate) use self::explain::explain;
pub(crate) use self::resolve::resolve;
pub(crate) use self::watch::{WatchArgs, watch};

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use l5d_naming::{Dtab, Path};
use l5d_resolver::v1;

use crate::settings::{FormArgs, Settings};
use crate::shell::namespaces;

/// A path and who asks for it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Question {
    #[command(flatten)]
    pub(crate) form: FormArgs,
    /// The path, such as /svc/world
    path: Path,
    #[command(flatten)]
    scope: Scope,
    /// As this node sees it
    #[arg(long, default_value = "", hide_default_value = true)]
    node: String,
    /// As the pod with this address sees it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "IP")]
    pod_ip: String,
    /// Through this transformer, as in a router's configuration; may be repeated
    #[arg(long, short, value_parser = transformer, value_name = "KIND[:KEY=VALUE,...]")]
    transformer: Vec<v1::Transformer>,
    /// How long to wait for what is not known yet, at most 10000
    #[arg(long, default_value_t = 2000, value_name = "MS")]
    wait_ms: u32,
}

/// Which rules apply.
#[derive(Args, Clone, Debug)]
pub(crate) struct Scope {
    /// The dtab namespace; empty: no stored dtab [default: default]
    #[arg(long, short, add = ArgValueCandidates::new(namespaces))]
    namespace: Option<String>,
    /// Rules behind the stored ones, as in the header l5d-dtab
    #[arg(long, short, default_value = "", hide_default_value = true, value_parser = dtab)]
    dtab: String,
}

impl Scope {
    fn namespace<'a>(&'a self, settings: &'a Settings) -> &'a str {
        let named = self.namespace.as_ref().unwrap_or(&settings.namespace);
        named.trim_start_matches('/')
    }
}

impl Question {
    fn request(&self, settings: &Settings) -> v1::ResolveRequest {
        v1::ResolveRequest {
            root: self.scope.namespace(settings).to_owned(),
            path: self.path.to_string(),
            dtab: self.scope.dtab.clone(),
            transformers: self.transformer.clone(),
            node: self.node.clone(),
            pod_ip: self.pod_ip.clone(),
            wait_ms: self.wait_ms,
            delegation: false,
        }
    }
}

/// Checked here, so that a mistake is shown with its place before anything is sent.
fn dtab(text: &str) -> Result<String, l5d_naming::ParseError> {
    Dtab::parse(text).map(|dtab| dtab.show_exact())
}

/// `io.l5d.k8s.daemonset:namespace=linkerd,service=l5d,port=incoming`; keys as in configuration files.
fn transformer(text: &str) -> Result<v1::Transformer, String> {
    let (kind, keys) = text.split_once(':').unwrap_or((text, ""));
    let mut transformer = v1::Transformer {
        kind: kind.to_owned(),
        ..v1::Transformer::default()
    };
    for pair in keys.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("KEY=VALUE is expected, not {pair}"))?;
        let place = match key {
            "prefix" => &mut transformer.prefix,
            "namespace" => &mut transformer.namespace,
            "service" => &mut transformer.service,
            "port" => &mut transformer.port,
            "host" => &mut transformer.host,
            "path" => &mut transformer.path,
            "netmask" => &mut transformer.netmask,
            "missingGateway" => &mut transformer.missing_gateway,
            "hostNetwork" => {
                transformer.host_network = value == "true";
                continue;
            }
            _ => return Err(format!("no transformer has the key {key}")),
        };
        value.clone_into(place);
    }
    Ok(transformer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transformer_is_read_with_its_keys() {
        let text = "io.l5d.k8s.daemonset:namespace=linkerd,service=l5d,hostNetwork=true";
        let read = transformer(text).expect("reads");
        assert_eq!(read.kind, "io.l5d.k8s.daemonset");
        assert_eq!(
            (read.namespace.as_str(), read.service.as_str()),
            ("linkerd", "l5d")
        );
        assert!(read.host_network);
        assert!(transformer("x:colour=red").is_err());
        assert!(transformer("x:port").is_err());
    }
}
