//! The keys of `servers`, and what clients have in common with them (node-proxy 4).

use std::time::Duration;

use l5d_config::{Field, Kinds, Section};

use super::scalar::{count, flag, header, small, time};
use super::{Servers, address};
use crate::config::{
    Forwarded, H2Settings, Labeler, Protocol, Server, SessionLimits, SocketOptions,
};

const LABELERS: Kinds = Kinds {
    what: "labeler",
    known: &[
        "ip",
        "ip:port",
        "requestRandom",
        "connectionRandom",
        "router",
        "static",
    ],
    others: &[],
};

/// HTTP/2 settings, of servers and clients.
const H2_KEYS: [&str; 8] = [
    "initialStreamWindowBytes",
    "initialConnectionWindowBytes",
    "headerTableBytes",
    "maxFrameBytes",
    "maxHeaderListBytes",
    "windowUpdateRatio",
    "pingIntervalMs",
    "pingTimeoutMs",
];

pub(super) fn read(
    section: &Section<'_>,
    protocol: Protocol,
    servers: &mut Servers,
) -> Option<Server> {
    let field = section.key("ip");
    let shown = field.string().unwrap_or_else(|| "127.0.0.1".to_owned());
    let default_port = match protocol {
        Protocol::Http => 4140,
        Protocol::H2 => 4142,
    };
    let addr = address(section, default_port);
    section.legacy("label", "metrics call a server by its ip and port");
    section.legacy("announce", "nothing is announced");
    let default = Server::default();
    let depth = section.key("maxCallDepth").integer(1..=1_000_000);
    let streams = small(section.key("maxConcurrentStreamsPerConnection"), 1);
    let mut h2 = h2(section);
    h2.max_streams = streams.unwrap_or(h2.max_streams);
    let server = Server {
        tls: l5d_tls::read::server(section.key("tls"), true),
        clear_context: flag(section, "clearContext", false),
        max_call_depth: depth
            .and_then(|d| usize::try_from(d).ok())
            .unwrap_or(default.max_call_depth),
        max_concurrent_requests: count(section.key("maxConcurrentRequests"), 1),
        timeout: time(section.key("timeoutMs")),
        socket: socket(section.key("socketOptions"), true).unwrap_or(default.socket),
        session: session(section.key("serverSession")).unwrap_or_default(),
        forwarded: forwarded(section.key("addForwardedHeader")),
        timestamp_header: header(section.key("timestampHeader"), section),
        h2,
        ..default
    };
    let addr = addr?;
    servers.add(addr, section.spot(), section);
    Some(Server {
        addr,
        label: format!("{shown}/{}", addr.port()),
        ..server
    })
}

/// `socketOptions`; `listens`: `backlog` is for listeners only.
pub(super) fn socket(field: Field<'_>, listens: bool) -> Option<SocketOptions> {
    let section = field.section()?;
    let default = SocketOptions::default();
    let backlog = small(section.key("backlog"), 1);
    if !listens {
        for key in ["backlog", "reuseAddr", "reusePort"] {
            section.legacy(key, "it is for servers");
        }
        section.legacy(
            "readTimeoutMs",
            "`requestAttemptTimeoutMs` and `streamIdleTimeoutMs` limit how long a server may say nothing",
        );
    }
    Some(SocketOptions {
        no_delay: flag(&section, "noDelay", default.no_delay),
        reuse_addr: flag(&section, "reuseAddr", default.reuse_addr),
        reuse_port: flag(&section, "reusePort", default.reuse_port),
        read_timeout: time(section.key("readTimeoutMs")),
        write_timeout: time(section.key("writeTimeoutMs")),
        keep_alive: section.key("keepAlive").boolean(),
        backlog,
    })
}

/// `serverSession` and `clientSession`.
pub(super) fn session(field: Field<'_>) -> Option<SessionLimits> {
    let section = field.section()?;
    Some(SessionLimits {
        idle: time(section.key("idleTimeMs")),
        life: time(section.key("lifeTimeMs")),
    })
}

/// Whether one of the HTTP/2 settings stands here.
pub(super) fn is_any_h2(section: &Section<'_>) -> bool {
    H2_KEYS.iter().any(|key| section.key(key).is_present())
}

/// The HTTP/2 settings of a section (4.1).
pub(super) fn h2(section: &Section<'_>) -> H2Settings {
    let default = H2Settings::default();
    let size = |key, least: i64, most: i64| {
        let read = section.key(key).integer(least..=most);
        read.and_then(|n| u32::try_from(n).ok())
    };
    const MOST: i64 = (1 << 31) - 1;
    let window = size("initialStreamWindowBytes", 1, MOST);
    let connection = size("initialConnectionWindowBytes", 65_535, MOST);
    let ratio = section.key("windowUpdateRatio");
    let spot = ratio.spot();
    let ratio = ratio.number(0.0..=1.0);
    if ratio.is_some_and(|ratio| ratio == 0.0 || ratio == 1.0) {
        let message = "`windowUpdateRatio` must be greater than 0 and less than 1";
        section.reader().mistake(spot, message, None);
    }
    // node-proxy 10.1: room is released as the other side takes the bytes.
    section.legacy(
        "windowUpdateRatio",
        "room in a window comes back as the other side takes what was in it",
    );
    let wait = |key, default: Duration| time(section.key(key)).unwrap_or(default);
    H2Settings {
        stream_window: window.unwrap_or(default.stream_window),
        connection_window: connection.unwrap_or(default.connection_window),
        header_table: size("headerTableBytes", 0, MOST),
        max_frame: size("maxFrameBytes", 16_384, (1 << 24) - 1),
        max_header_list: size("maxHeaderListBytes", 0, MOST),
        ping_interval: wait("pingIntervalMs", default.ping_interval),
        ping_timeout: wait("pingTimeoutMs", default.ping_timeout),
        ..default
    }
}

fn forwarded(field: Field<'_>) -> Option<Forwarded> {
    let section = field.section()?;
    Some(Forwarded {
        by: labeler(section.key("by")),
        from: labeler(section.key("for")),
    })
}

fn labeler(field: Field<'_>) -> Labeler {
    let Some(mut section) = field.section() else {
        return Labeler::default();
    };
    match section.kind(&LABELERS) {
        Some("ip") => Labeler::Ip,
        Some("ip:port") => Labeler::IpPort,
        Some("connectionRandom") => Labeler::ConnectionRandom,
        Some("router") => Labeler::Router,
        Some("static") => Labeler::Static(obfuscated(section.need("label"), &section)),
        _ => Labeler::RequestRandom,
    }
}

/// `_` and what identifies nobody (RFC 7239 6.3).
fn obfuscated(field: Field<'_>, section: &Section<'_>) -> String {
    let spot = field.spot();
    let label = field.string().unwrap_or_default();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !label.chars().all(is_allowed) {
        let message = format!(
            "label `{}` may have letters, digits, `.`, `_` and `-` only",
            label.escape_debug()
        );
        section.reader().mistake(spot, message, None);
    }
    match label.starts_with('_') {
        true => label,
        false => format!("_{label}"),
    }
}
