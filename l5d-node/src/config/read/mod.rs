//! The file as a whole: top level and admin.

mod admin;
mod client;
mod identifier;
mod interpreter;
mod node_identity;
mod router;
mod scalar;
mod server;
mod service;
mod telemetry;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use l5d_config::asked::Questions;
use l5d_config::{Field, Mistakes, Reader, Scalars, Section, Spot};

use super::{Config, Router};

/// What is said of kinds that come later.
pub(super) const NOT_YET: &str = "is not supported yet";

/// Reads and checks a configuration file. `name` is what mistakes call it. Host names of `ip` keys are looked up, which may
/// take a moment.
///
/// # Errors
/// All mistakes of the file.
pub fn read(name: &str, text: &str) -> Result<Config, Mistakes> {
    read_asking(name, text).map(|(config, _)| config)
}

/// As [`read`], with every key that the file was asked for, there or not.
///
/// # Errors
/// All mistakes of the file.
pub fn read_asking(name: &str, text: &str) -> Result<(Config, Questions), Mistakes> {
    let reader = Reader::open(name, text, Scalars::Lenient)?;
    let made = reader.top().and_then(|top| top_level(&top));
    let questions = reader.questions();
    let (mut config, warnings) = reader.finish(made)?;
    let mut told = HashSet::new();
    config.warnings = warnings
        .iter()
        .filter(|w| told.insert(w.message.as_str()))
        .map(|w| format!("{name}:{}:{}: {}", w.line, w.column, w.message))
        .collect();
    Ok((config, questions))
}

fn top_level(top: &Section<'_>) -> Option<Config> {
    let mut servers = Servers::default();
    let admin = admin::read(top.key("admin"), &mut servers);
    let routers = routers(top, &mut servers);
    namers(top.key("namers"), top.reader());
    let telemetry = telemetry::read(top.key("telemetry"));
    if let Some(usage) = top.key("usage").section() {
        usage.legacy("orgId", "usage is never reported");
        let _ = usage.key("enabled").boolean();
    }
    let identity = node_identity::read(top.key("identity"));
    let max_stale = top.key("maxStaleSecs").secs();
    Some(Config {
        routers: routers?,
        admin: admin?,
        telemetry,
        identity,
        max_stale,
        ..Config::default()
    })
}

fn routers(top: &Section<'_>, servers: &mut Servers) -> Option<Vec<Arc<Router>>> {
    let field = top.need("routers");
    let spot = field.key_spot();
    let sections = field.sections()?;
    if sections.is_empty() {
        let message = "`routers` is empty: at least one router is needed";
        top.reader().mistake(spot, message, None);
    }
    let mut routers: Vec<Arc<Router>> = Vec::new();
    for mut section in sections {
        let spot = section.spot();
        let Some(router) = router::read(&mut section, servers) else {
            continue;
        };
        if routers.iter().any(|r| r.label == router.label) {
            let message = format!("two routers have the label `{}`", router.label);
            let help = "give each router its own `label`".to_owned();
            top.reader().mistake(spot, message, Some(help));
        }
        routers.push(Arc::new(router));
    }
    Some(routers)
}

/// Service discovery belongs to namerd.
fn namers(field: Field<'_>, reader: &Reader) {
    let spot = field.key_spot();
    if field.list().is_some_and(|namers| !namers.is_empty()) {
        let message =
            "`namers` belong to namerd: the node follows one instead of binding names itself";
        let help = "`namerctl migrate FILE` splits a linkerd configuration into one for namerd and one for the node";
        reader.mistake(spot, message, Some(help.to_owned()));
    }
}

/// Reads `ip` (loopback by default) and `port`.
pub(super) fn address(section: &Section<'_>, default_port: u16) -> Option<SocketAddr> {
    let field = section.key("ip");
    let (is_there, spot) = (field.is_present(), field.spot());
    let ip = match field.string() {
        Some(host) => resolve(&host, spot, section.reader()),
        None if is_there => None,
        None => Some(Ipv4Addr::LOCALHOST.into()),
    };
    let field = section.key("port");
    let is_there = field.is_present();
    let port = field.port().or((!is_there).then_some(default_port));
    Some(SocketAddr::new(ip?, port?))
}

/// An address, a short IPv4 form such as 127.1, or a host name.
fn resolve(host: &str, spot: Spot, reader: &Reader) -> Option<IpAddr> {
    if let Ok(ip) = host.parse() {
        return Some(ip);
    }
    match (host, 0).to_socket_addrs().map(|mut found| found.next()) {
        Ok(Some(found)) => Some(found.ip()),
        Ok(None) => {
            reader.mistake(spot, format!("`{host}` has no address"), None);
            None
        }
        Err(e) => {
            let message = format!("`{host}` is no address, and cannot be looked up: {e}");
            reader.mistake(spot, message, None);
            None
        }
    }
}

/// All listeners so far: no two may have the same address.
#[derive(Debug, Default)]
pub(super) struct Servers(Vec<SocketAddr>);

impl Servers {
    fn take(&mut self, addr: SocketAddr) {
        self.0.push(addr);
    }

    pub(super) fn add(&mut self, addr: SocketAddr, spot: Spot, section: &Section<'_>) {
        let is_same = |other: &&SocketAddr| {
            let any = addr.ip().is_unspecified() || other.ip().is_unspecified();
            addr.port() != 0 && other.port() == addr.port() && (any || other.ip() == addr.ip())
        };
        if let Some(other) = self.0.iter().find(is_same) {
            let message = format!("server conflict: {addr} and {other} cannot both be listened on");
            section.reader().mistake(spot, message, None);
        }
        self.take(addr);
    }
}
