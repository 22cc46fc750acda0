//! `admin`, and the keys that every server has (control plane 3.3, 3.6).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use l5d_config::{Field, Section, Spot};
use regex::Regex;

use super::check::Claim;
use super::{Admin, ClientLimits, Security, Server, SocketOptions};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(super) fn admin(top: &Section<'_>) -> (Admin, Claim) {
    let section = top.key("admin").section();
    let (server, claim) = match &section {
        Some(section) => {
            let limits = section.key("limits").section();
            server(section, limits.as_ref(), "admin".to_owned(), 9991)
        }
        None => {
            let server = Server {
                addr: SocketAddr::new(LOOPBACK, 9991),
                socket: SocketOptions::default(),
                tls: None,
                limits: ClientLimits::default(),
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

/// The keys that every server has. `limits` is its section of that name, which may have further keys.
pub(super) fn server(
    section: &Section<'_>,
    limits: Option<&Section<'_>>,
    who: String,
    default_port: u16,
) -> (Server, Claim) {
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
        tls: l5d_tls::read::server(section.key("tls"), false),
        limits: limits.map_or_else(ClientLimits::default, client_limits),
    };
    let claim = Claim::new(who, spot, &server);
    (server, claim)
}

fn client_limits(section: &Section<'_>) -> ClientLimits {
    let default = ClientLimits::default();
    let number = |key| {
        let n = section.key(key).integer(1..=1_000_000);
        n.and_then(|n| usize::try_from(n).ok())
    };
    let rate = |key| section.key(key).number(0.001..=1e9);
    let connections = number("connections").unwrap_or(default.connections);
    let requests_per_second = rate("requestsPerSecond").unwrap_or(default.requests_per_second);
    ClientLimits {
        connections,
        connections_per_client: number("connectionsPerClient").unwrap_or(connections.div_ceil(2)),
        requests_per_second,
        request_burst: rate("requestBurst")
            .unwrap_or(2.0 * requests_per_second)
            .max(1.0),
    }
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
