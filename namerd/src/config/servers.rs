//! `admin` and `interfaces` (control plane 3.3, 3.5, 3.6).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use l5d_config::{Field, Kinds, Section, Spot};
use regex::Regex;

use super::check::Claim;
use super::{
    Admin, CallerAuth, Env, Interface, InterfaceKind, NodeAuth, Security, Server, SocketOptions,
    auth, tls,
};

const INTERFACES: Kinds = Kinds {
    what: "interface",
    known: &["io.l5d.mesh", "io.l5d.httpController"],
    others: &[
        ("io.l5d.thriftNameInterpreter", "is not supported yet"),
        ("io.l5d.destination", "is not supported yet"),
    ],
};

/// Half an hour: a replica that was added has its share of 5,000 nodes by then, and three nodes a second move.
const CONNECTION_AGE: Duration = Duration::from_secs(1_800);

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(super) fn interfaces(top: &Section<'_>, env: Env<'_>) -> (Vec<Interface>, Vec<Claim>) {
    let field = top.need("interfaces");
    let spot = field.spot();
    let sections = field.sections();
    if sections.as_ref().is_some_and(Vec::is_empty) && top.reader().is_good() {
        let message = "One or more interfaces must be specified";
        top.reader().mistake(spot, message, None);
    }
    sections
        .unwrap_or_default()
        .into_iter()
        .filter_map(|section| interface(section, env))
        .unzip()
}

fn interface(mut section: Section<'_>, env: Env<'_>) -> Option<(Interface, Claim)> {
    let kind = match section.kind(&INTERFACES)? {
        "io.l5d.mesh" => InterfaceKind::Mesh,
        _ => InterfaceKind::HttpController,
    };
    let port = match kind {
        InterfaceKind::Mesh => {
            for key in [
                "h2AccessLog",
                "h2AccessLogRollPolicy",
                "h2AccessLogAppend",
                "h2AccessLogRotateCount",
            ] {
                section.not_yet(key);
            }
            4321
        }
        InterfaceKind::HttpController => 4180,
    };
    let who = format!("{} ({})", section.name(), kind.name());
    let (server, claim) = server(&section, who, port);
    let mut interface = Interface {
        kind,
        server,
        nodes: NodeAuth::default(),
        callers: CallerAuth::default(),
        connection_age: None,
    };
    match kind {
        InterfaceKind::Mesh => {
            let age = section.key("maxConnectionAgeSecs").secs();
            let age = age.unwrap_or(CONNECTION_AGE);
            interface.connection_age = Some(age).filter(|age| !age.is_zero());
            interface.nodes = auth::nodes(&section, &interface.server, env);
        }
        InterfaceKind::HttpController => {
            interface.callers = auth::callers(&section, &interface.server, env);
        }
    }
    Some((interface, claim))
}

pub(super) fn admin(top: &Section<'_>) -> (Admin, Claim) {
    let section = top.key("admin").section();
    let (server, claim) = match &section {
        Some(section) => server(section, "admin".to_owned(), 9991),
        None => {
            let server = Server {
                addr: SocketAddr::new(LOOPBACK, 9991),
                socket: SocketOptions::default(),
                tls: None,
            };
            let claim = Claim::new("admin".to_owned(), top.spot(), &server);
            (server, claim)
        }
    };
    let grace = section
        .as_ref()
        .and_then(|s| s.key("shutdownGraceMs").millis());
    if let Some(section) = &section {
        section.legacy("workerThreads", "the admin server has a thread of its own");
        section.legacy("httpIdentifierPort", "it belongs to the node proxy");
    }
    let admin = Admin {
        server,
        shutdown_grace: grace.unwrap_or(Duration::from_secs(10)),
        security: security(section.as_ref().map(|s| s.key("security"))),
    };
    (admin, claim)
}

/// The keys that every server has.
fn server(section: &Section<'_>, who: String, default_port: u16) -> (Server, Claim) {
    let ip = section.key("ip").ip().unwrap_or(LOOPBACK);
    let field = section.key("port");
    let spot = if field.is_present() {
        field.spot()
    } else {
        Spot::at(section.spot().start)
    };
    let port = field.port().unwrap_or(default_port);
    let server = Server {
        addr: SocketAddr::new(ip, port),
        socket: socket_options(section.key("socketOptions")),
        tls: tls::read(section.key("tls")),
    };
    let claim = Claim::new(who, spot, &server);
    (server, claim)
}

fn socket_options(field: Field<'_>) -> SocketOptions {
    let default = SocketOptions::default();
    let Some(section) = field.section() else {
        return default;
    };
    let flag = |key, default| section.key(key).boolean().unwrap_or(default);
    // Nought is no limit, as for the timeout handlers of 1.x.
    let limit = |key| section.key(key).millis().filter(|limit| !limit.is_zero());
    SocketOptions {
        no_delay: flag("noDelay", default.no_delay),
        reuse_addr: flag("reuseAddr", default.reuse_addr),
        reuse_port: flag("reusePort", default.reuse_port),
        keep_alive: flag("keepAlive", default.keep_alive),
        backlog: section
            .key("backlog")
            .integer(1..=65_535)
            .and_then(|n| u32::try_from(n).ok()),
        read_timeout: limit("readTimeoutMs"),
        write_timeout: limit("writeTimeoutMs"),
    }
}

fn security(field: Option<Field<'_>>) -> Security {
    let default = Security::default();
    let Some(section) = field.and_then(Field::section) else {
        return default;
    };
    Security {
        ui: section.key("uiEnabled").boolean().unwrap_or(true),
        control: section.key("controlEnabled").boolean().unwrap_or(true),
        diagnostics: section.key("diagnosticsEnabled").boolean().unwrap_or(true),
        whitelist: regexes(&section, "pathWhitelist"),
        blacklist: regexes(&section, "pathBlacklist"),
        read_only: section.key("readOnly").boolean().unwrap_or(false),
    }
}

/// Expressions that must match a whole path.
fn regexes(section: &Section<'_>, key: &'static str) -> Vec<Regex> {
    let items = section.key(key).list().unwrap_or_default();
    let mut regexes = Vec::new();
    for item in items {
        let (spot, name) = (item.spot(), item.name().to_owned());
        let Some(text) = item.string() else { continue };
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) => regexes.push(regex),
            Err(e) => {
                let why = e.to_string();
                let why = why.lines().last().unwrap_or_default();
                let message = format!("{name} is not a regular expression: {why}");
                section.reader().mistake(spot, message, None);
            }
        }
    }
    regexes
}
