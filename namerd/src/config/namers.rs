//! `namers` (control plane 3.4, naming 5.1 and 5.3, Kubernetes 2.1 and 2.2).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use l5d_config::{Field, Kinds, Section, Spot, transformers};
use l5d_naming::{Path, TransformerSpec};

use super::{Env, Namer, NamerKind, check, consul, kubernetes};

const NAMERS: Kinds = Kinds {
    what: "namer",
    known: &[
        "io.l5d.consul",
        "io.l5d.dnssrv",
        "io.l5d.fs",
        "io.l5d.k8s",
        "io.l5d.k8s.external",
        "io.l5d.k8s.ns",
        "io.l5d.rewrite",
    ],
    others: &[
        ("io.l5d.k8s.istio", ISTIO),
        ("io.l5d.marathon", MARATHON),
        ("io.l5d.rancher", RANCHER),
        ("io.l5d.serversets", SERVERSETS),
        ("io.l5d.zkLeader", ZK_LEADER),
        ("io.l5d.curator", CURATOR),
    ],
};

const ISTIO: &str = "is not supported and will not be: the API of Istio's Pilot that it asked is gone. The same \
services are Services of Kubernetes: `{kind: io.l5d.k8s}` and paths /#/io.l5d.k8s/NAMESPACE/PORT/SERVICE";
const MARATHON: &str = "is not supported and will not be: Marathon is no longer made. Where it still runs, Mesos-DNS \
has its tasks: `{kind: io.l5d.dnssrv, prefix: /io.l5d.marathon}` and paths /#/io.l5d.marathon/_APP._tcp.marathon.mesos";
const RANCHER: &str = "is not supported and will not be: Rancher 1 is no longer made, and Rancher 2 is Kubernetes: \
`{kind: io.l5d.k8s}` and paths /#/io.l5d.k8s/NAMESPACE/PORT/SERVICE";
const SERVERSETS: &str = "is not supported and will not be: namerd does not speak ZooKeeper. Let the services register in \
Kubernetes (io.l5d.k8s) or Consul (io.l5d.consul), or let a job write their addresses to files, which keeps every \
dtab as it is: `{kind: io.l5d.fs, prefix: /io.l5d.serversets, rootDir: DIR}`";
const ZK_LEADER: &str = "is not supported and will not be: namerd does not speak ZooKeeper. Let the leader register in \
Kubernetes (io.l5d.k8s) or Consul (io.l5d.consul), or let it write its address to a file, which keeps every dtab as \
it is: `{kind: io.l5d.fs, prefix: /io.l5d.zkLeader, rootDir: DIR}`";
const CURATOR: &str = "is not supported and will not be: namerd does not speak ZooKeeper. Let the services register in \
Kubernetes (io.l5d.k8s) or Consul (io.l5d.consul), or let a job write their addresses to files, which keeps every \
dtab as it is: `{kind: io.l5d.fs, prefix: /io.l5d.curator, rootDir: DIR}`";

/// A namer as read, with the places that later checks need.
struct Read {
    namer: Namer,
    prefix_spot: Spot,
    spot: Spot,
}

pub(super) fn read(top: &Section<'_>, env: Env<'_>) -> Vec<Namer> {
    let sections = top.key("namers").sections().unwrap_or_default();
    let read: Vec<Read> = sections
        .into_iter()
        .filter_map(|section| namer(section, env))
        .collect();
    let prefixes: Vec<_> = read
        .iter()
        .map(|r| (r.namer.prefix.clone(), r.prefix_spot))
        .collect();
    check::prefixes(top.reader(), &prefixes);
    let k8s = read
        .iter()
        .filter_map(|r| Some((&r.namer.prefix, r.namer.kind.k8s()?, r.spot)));
    kubernetes::one_view_each(top.reader(), &k8s.collect::<Vec<_>>());
    daemonsets_have_an_api(top, &read);
    directories_exist(top, &read);
    read.into_iter().map(|r| r.namer).collect()
}

fn namer(mut section: Section<'_>, env: Env<'_>) -> Option<Read> {
    let kind_name = section.kind(&NAMERS)?;
    let (prefix, prefix_spot) = prefix(&section, kind_name);
    let transformers = transformers(section.key("transformers"));
    // Saying so of another kind is harmless.
    let experimental = section.key("experimental").boolean();
    if kind_name == "io.l5d.k8s.external" && experimental != Some(true) {
        let message = "io.l5d.k8s.external is experimental and must be enabled";
        let help = "say `experimental: true`".to_owned();
        let spot = section.spot();
        section.reader().mistake(spot, message, Some(help));
    }
    let kind = match kind_name {
        "io.l5d.fs" => NamerKind::Fs(PathBuf::from(
            section.need("rootDir").string().unwrap_or_default(),
        )),
        "io.l5d.consul" => {
            let access = consul::access(&section, "consistencyMode");
            NamerKind::Consul(access, consul::naming(&section))
        }
        "io.l5d.dnssrv" => dnssrv(&section),
        "io.l5d.k8s" => NamerKind::K8s(kubernetes::read(&section, env)),
        "io.l5d.k8s.external" => NamerKind::K8sExternal(kubernetes::read(&section, env)),
        "io.l5d.k8s.ns" => {
            let namespace = own_namespace(&section, env);
            NamerKind::K8sNs(kubernetes::read(&section, env), namespace)
        }
        _ => NamerKind::Rewrite {
            pattern: section.need("pattern").string().unwrap_or_default(),
            name: section.need("name").string().unwrap_or_default(),
        },
    };
    Some(Read {
        namer: Namer {
            prefix,
            transformers,
            kind,
        },
        prefix_spot,
        spot: section.spot(),
    })
}

fn dnssrv(section: &Section<'_>) -> NamerKind {
    let seconds = section.key("refreshIntervalSeconds").integer(1..=3_600);
    let server = |item: Field<'_>| {
        let (spot, name) = (item.spot(), item.name().to_owned());
        let text = item.string()?;
        let alone = || text.parse().ok().map(|ip: IpAddr| (ip, 53).into());
        let found: Option<SocketAddr> = text.parse().ok().or_else(alone);
        if found.is_none() {
            let message = format!("{name} must be an IP address, with :PORT if it is not 53");
            section.reader().mistake(spot, message, None);
        }
        found
    };
    let servers = section.key("dnsHosts").list().unwrap_or_default();
    NamerKind::DnsSrv {
        refresh: Duration::from_secs(seconds.map_or(5, i64::unsigned_abs)),
        servers: servers.into_iter().filter_map(server).collect(),
    }
}

/// The prefix, `/KIND` by default; rewriting namers have no default.
fn prefix(section: &Section<'_>, kind: &str) -> (Path, Spot) {
    let field = if kind == "io.l5d.rewrite" {
        section.need("prefix")
    } else {
        section.key("prefix")
    };
    let spot = if field.is_present() {
        field.spot()
    } else {
        Spot::at(section.spot().start)
    };
    let default = || Path::parse(&format!("/{kind}")).expect("a kind is a path element");
    (field.path().unwrap_or_else(default), spot)
}

/// The namespace that `io.l5d.k8s.ns` is about.
fn own_namespace(section: &Section<'_>, env: Env<'_>) -> String {
    let field = section.key("envVar");
    let spot = if field.is_present() {
        field.spot()
    } else {
        Spot::at(section.spot().start)
    };
    let variable = field.string().unwrap_or_else(|| "POD_NAMESPACE".to_owned());
    match env(&variable).filter(|value| !value.is_empty()) {
        Some(namespace) => namespace,
        None => {
            let message = format!(
                "the environment variable {variable}, which {} takes its Kubernetes namespace from, is not set",
                section.name()
            );
            let help =
                "set it to metadata.namespace by the downward API, or name another one in `envVar`";
            section
                .reader()
                .mistake(spot, message, Some(help.to_owned()));
            String::new()
        }
    }
}

fn daemonsets_have_an_api(top: &Section<'_>, read: &[Read]) {
    let is_daemonset = |spec: &TransformerSpec| spec.kind == "io.l5d.k8s.daemonset";
    if read.iter().any(|r| r.namer.kind.k8s().is_some()) {
        return;
    }
    for r in read
        .iter()
        .filter(|r| r.namer.transformers.iter().any(is_daemonset))
    {
        let message = "a daemonset transformer needs the Kubernetes API, but no namer of kind io.l5d.k8s says where it is";
        top.reader().mistake(r.spot, message, None);
    }
}

fn directories_exist(top: &Section<'_>, read: &[Read]) {
    if !top.reader().is_good() {
        return;
    }
    for r in read {
        if let NamerKind::Fs(dir) = &r.namer.kind
            && !dir.is_dir()
        {
            let message = format!("rootDir {} is not an existing directory", dir.display());
            top.reader().mistake(r.spot, message, None);
        }
    }
}
