//! One router: its own keys, servers, identifiers, `client` and `service` (node-proxy 3 to 7).

use std::time::Duration;

use l5d_config::{Field, Kinds, Reader, Section};
use l5d_naming::{Dtab, Elem, Path};

use super::{NOT_YET, Servers, address, interpreter};
use crate::config::{
    CacheLimits, ClientSettings, Identifier, Protocol, Router, Server, ServiceSettings, Settings,
};

const IDENTIFIERS: Kinds = Kinds {
    what: "identifier",
    known: &["io.l5d.header.token"],
    others: &[
        ("io.l5d.header", NOT_YET),
        ("io.l5d.header.path", NOT_YET),
        ("io.l5d.methodAndHost", NOT_YET),
        ("io.l5d.path", NOT_YET),
        ("io.l5d.static", NOT_YET),
        ("io.l5d.ingress", NOT_YET),
        ("io.l5d.k8s.istio", NOT_YET),
        ("io.l5d.k8s.istio-ingress", NOT_YET),
    ],
};

const LAYERS: Kinds = Kinds {
    what: "configuration",
    known: &["io.l5d.global"],
    others: &[("io.l5d.static", NOT_YET)],
};

const PROTOCOLS_LATER: [&str; 4] = ["h2", "thrift", "mux", "thriftmux"];

/// Router keys that come later.
const LATER: [&str; 14] = [
    "allowConnect",
    "originator",
    "tracePropagator",
    "httpAccessLog",
    "httpAccessLogRollPolicy",
    "httpAccessLogAppend",
    "httpAccessLogRotateCount",
    "h2AccessLog",
    "h2AccessLogRollPolicy",
    "h2AccessLogAppend",
    "h2AccessLogRotateCount",
    "thriftMethodInDst",
    "thriftFramed",
    "thriftProtocol",
];

const SERVER_LATER: [&str; 14] = [
    "tls",
    "maxConcurrentRequests",
    "timeoutMs",
    "socketOptions",
    "serverSession",
    "addForwardedHeader",
    "timestampHeader",
    "initialStreamWindowBytes",
    "initialConnectionWindowBytes",
    "headerTableBytes",
    "maxFrameBytes",
    "maxHeaderListBytes",
    "windowUpdateRatio",
    "maxConcurrentStreamsPerConnection",
];

const SERVICE_LATER: [&str; 5] = [
    "retries",
    "responseClassifier",
    "classificationTimeoutMs",
    "retryBufferSize",
    "configs",
];

const CLIENT_LATER: [&str; 16] = [
    "tls",
    "loadBalancer",
    "failureAccrual",
    "requeueBudget",
    "hostConnectionPool",
    "clientSession",
    "failFast",
    "socketOptions",
    "forwardClientCert",
    "initialStreamWindowBytes",
    "initialConnectionWindowBytes",
    "streamIdleTimeoutMs",
    "headerTableBytes",
    "maxFrameBytes",
    "maxHeaderListBytes",
    "configs",
];

pub(super) fn read(section: &Section<'_>, servers: &mut Servers) -> Option<Router> {
    let protocol = protocol(section);
    let label = section.key("label").string();
    let listeners = listeners(section, servers);
    let dtab = optional(section.key("dtab"), Field::dtab, Dtab::empty());
    let prefix = Path::from_elems(Elem::new("svc"));
    let dst_prefix = optional(section.key("dstPrefix"), Field::path, prefix);
    let identifiers = identifiers(section.key("identifier"), section.reader());
    let interpreter = interpreter::read(section.key("interpreter"));
    let client = client(section.key("client"));
    let service = service(section.key("service"));
    let cache = cache(section.key("bindingCache"));
    let millis = |key, default| section.key(key).millis().unwrap_or(default);
    let kib = |key, least, default| {
        let kib = section.key(key).integer(least..=1 << 20).unwrap_or(default);
        usize::try_from(kib).unwrap_or(0) << 10
    };
    let binding_timeout = millis("bindingTimeoutMs", Duration::from_secs(10));
    let stream_after_bytes = kib("streamAfterContentLengthKB", 0, 5);
    let max_headers_bytes = kib("maxHeadersKB", 1, 8);
    let max_initial_line_bytes = kib("maxInitialLineKB", 1, 4);
    let max_err_response_bytes = kib("maxErrResponseKB", 0, 5120);
    let _ = section.key("experimental").boolean();
    let streaming = section.key("streamingEnabled");
    let spot = streaming.spot();
    if streaming.boolean() == Some(false) {
        let message = "`streamingEnabled: false` is not supported yet";
        section.reader().mistake(spot, message, None);
    }
    section.legacy("announcers", "announcing was for ZooKeeper server sets");
    section.legacy("compressionLevel", "responses are never compressed");
    for key in LATER {
        section.not_yet(key);
    }
    let (client, total_timeout) = (client?, service?);
    let protocol = protocol.unwrap_or(Protocol::Http);
    Some(Router {
        protocol,
        label: label.unwrap_or_else(|| protocol.name().to_owned()),
        servers: listeners?,
        dtab: dtab?,
        dst_prefix: dst_prefix?,
        identifiers: identifiers?,
        interpreter: interpreter?,
        binding_timeout,
        total_timeout,
        attempt_timeout: client.attempt_timeout,
        connect_timeout: client.connect_timeout,
        client: Settings::all(ClientSettings {
            attempt_timeout: client.attempt_timeout,
            connect_timeout: client.connect_timeout,
            ..ClientSettings::default()
        }),
        service: Settings::all(ServiceSettings {
            total_timeout,
            ..ServiceSettings::default()
        }),
        max_headers_bytes,
        max_initial_line_bytes,
        stream_after_bytes,
        max_err_response_bytes,
        cache: cache?,
        ..Router::default()
    })
}

/// The default for what is absent; `None` only for what is wrong.
fn optional<'a, T>(
    field: Field<'a>,
    read: impl FnOnce(Field<'a>) -> Option<T>,
    default: T,
) -> Option<T> {
    if field.is_present() {
        read(field)
    } else {
        Some(default)
    }
}

fn protocol(section: &Section<'_>) -> Option<Protocol> {
    let field = section.need("protocol");
    let spot = field.spot();
    let protocol = field.string()?;
    if protocol == "http" {
        return Some(Protocol::Http);
    }
    let message = if PROTOCOLS_LATER.contains(&protocol.as_str()) {
        format!("protocol `{protocol}` is not supported yet")
    } else {
        format!("unknown protocol `{}`", protocol.escape_debug())
    };
    let help = "protocols that can be used: http".to_owned();
    section.reader().mistake(spot, message, Some(help));
    None
}

fn listeners(section: &Section<'_>, servers: &mut Servers) -> Option<Vec<Server>> {
    let field = section.need("servers");
    let spot = field.key_spot();
    let sections = field.sections()?;
    if sections.is_empty() {
        let message = format!(
            "{}.servers is empty: a router needs a server",
            section.name()
        );
        section.reader().mistake(spot, message, None);
    }
    sections.iter().map(|s| server(s, servers)).collect()
}

fn server(section: &Section<'_>, servers: &mut Servers) -> Option<Server> {
    let field = section.key("ip");
    let shown = field.string().unwrap_or_else(|| "127.0.0.1".to_owned());
    let addr = address(section, 4140);
    section.legacy("label", "metrics call a server by its ip and port");
    section.legacy("announce", "nothing is announced");
    let clear_context = section.key("clearContext").boolean().unwrap_or(false);
    let depth = section.key("maxCallDepth").integer(1..=1_000_000);
    for key in SERVER_LATER {
        section.not_yet(key);
    }
    let addr = addr?;
    servers.add(addr, section.spot(), section);
    Some(Server {
        addr,
        label: format!("{shown}/{}", addr.port()),
        clear_context,
        max_call_depth: depth.and_then(|d| usize::try_from(d).ok()).unwrap_or(1000),
        ..Server::default()
    })
}

fn identifiers(field: Field<'_>, reader: &Reader) -> Option<Vec<Identifier>> {
    if !field.is_present() {
        return Some(vec![Protocol::Http.identifier()]);
    }
    if !field.is_list() {
        return Some(vec![identifier(field.section()?)?]);
    }
    let spot = field.spot();
    let sections = field.sections()?;
    if sections.is_empty() {
        let message = "`identifier` is an empty list: no request would have a name";
        reader.mistake(spot, message, None);
    }
    sections.into_iter().map(identifier).collect()
}

fn identifier(mut section: Section<'_>) -> Option<Identifier> {
    section.kind(&IDENTIFIERS)?;
    let field = section.key("header");
    let spot = field.spot();
    let header = field.string().unwrap_or_else(|| "Host".to_owned());
    section.not_yet("lowerCase");
    if http::HeaderName::from_bytes(header.as_bytes()).is_err() {
        let message = format!("`{}` is not a header name", header.escape_debug());
        section.reader().mistake(spot, message, None);
        return None;
    }
    Some(Identifier::HeaderToken {
        header,
        folds_case: false,
    })
}

struct Client {
    attempt_timeout: Option<Duration>,
    connect_timeout: Duration,
}

fn client(field: Field<'_>) -> Option<Client> {
    let mut client = Client {
        attempt_timeout: None,
        connect_timeout: Duration::from_secs(1),
    };
    if let Some(section) = layer(field)? {
        client.attempt_timeout = limit(section.key("requestAttemptTimeoutMs"));
        if let Some(time) = section.key("connectTimeoutMs").millis() {
            client.connect_timeout = time;
        }
        section.refuse(
            "requestAuthorizers",
            "`requestAuthorizers` existed for Istio's mixer only and cannot be used",
            None,
        );
        for key in CLIENT_LATER {
            section.not_yet(key);
        }
    }
    Some(client)
}

/// The total timeout.
fn service(field: Field<'_>) -> Option<Option<Duration>> {
    let Some(section) = layer(field)? else {
        return Some(None);
    };
    let total = limit(section.key("totalTimeoutMs"));
    for key in SERVICE_LATER {
        section.not_yet(key);
    }
    Some(total)
}

/// `client` or `service`: a map of kind `io.l5d.global`. `Some(None)` if it is absent, `None` if it is wrong.
fn layer(field: Field<'_>) -> Option<Option<Section<'_>>> {
    if !field.is_present() {
        return Some(None);
    }
    let mut section = field.section()?;
    if section.key("kind").is_present() {
        section.kind(&LAYERS)?;
    }
    Some(Some(section))
}

/// A timeout; 0 or a negative number means none.
fn limit(field: Field<'_>) -> Option<Duration> {
    let ms = field.integer(i64::from(i32::MIN)..=i64::from(u32::MAX))?;
    u64::try_from(ms)
        .ok()
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis)
}

fn cache(field: Field<'_>) -> Option<CacheLimits> {
    let mut limits = CacheLimits::default();
    if !field.is_present() {
        return Some(limits);
    }
    let section = field.section()?;
    for (key, limit) in [
        ("paths", &mut limits.paths),
        ("trees", &mut limits.trees),
        ("bounds", &mut limits.bounds),
        ("clients", &mut limits.clients),
    ] {
        let read = section.key(key).integer(1..=1_000_000);
        if let Some(read) = read.and_then(|n| usize::try_from(n).ok()) {
            *limit = read;
        }
    }
    if let Some(ttl) = section.key("idleTtlSecs").secs() {
        limits.idle_ttl = ttl;
    }
    Some(limits)
}
