//! One router: its own keys, and its parts (node-proxy 3 to 7).

use l5d_config::{Field, Kinds, Section};
use l5d_naming::Dtab;

use super::scalar::{count, flag};
use super::{Servers, client, identifier, interpreter, server, service};
use crate::config::{
    AccessLog, CacheLimits, ClientSettings, Entry, Layer, Pattern, Protocol, Router, Server,
    ServiceSettings, Settings, TracePropagator,
};

const LAYERS: Kinds = Kinds {
    what: "configuration",
    known: &["io.l5d.global", "io.l5d.static"],
    others: &[],
};

const PROPAGATORS: Kinds = Kinds {
    what: "trace propagator",
    known: &["io.l5d.default", "io.l5d.zipkin", "io.l5d.w3c"],
    others: &[],
};

/// Protocols of 1.x that are recognised (19).
const OTHER_PROTOCOLS: [&str; 3] = ["thrift", "mux", "thriftmux"];

pub(super) fn read(section: &mut Section<'_>, servers: &mut Servers) -> Option<Router> {
    let protocol = protocol(section)?;
    let default = Router::default();
    let label = section.key("label").string();
    let label = label.unwrap_or_else(|| protocol.name().to_owned());
    let listeners = listeners(section, protocol, servers);
    let dtab = optional(section.key("dtab"), Field::dtab, Dtab::empty());
    let dst_prefix = optional(section.key("dstPrefix"), Field::path, default.dst_prefix);
    let identifiers = identifier::read(section.key("identifier"), protocol, section.reader());
    let interpreter = interpreter::read(section.key("interpreter"));
    let client: Option<Settings<ClientSettings>> = layer(section.key("client"), client::read);
    let service: Option<Settings<ServiceSettings>> = layer(section.key("service"), service::read);
    let binding_timeout = section.key("bindingTimeoutMs").millis();
    let cache = cache(section.key("bindingCache"));
    let _ = section.key("experimental").boolean();
    section.legacy("announcers", "announcing was for ZooKeeper server sets");
    belongs(section, protocol);
    let (client, service) = (client?, service?);
    let mut router = Router {
        protocol,
        label,
        servers: listeners?,
        dtab: dtab?,
        dst_prefix: dst_prefix?,
        identifiers: identifiers?,
        interpreter: interpreter?,
        binding_timeout: binding_timeout.unwrap_or(default.binding_timeout),
        client,
        service,
        cache: cache?,
        ..Router::default()
    };
    sizes(section, &mut router);
    extras(section, &mut router);
    Some(router)
}

fn sizes(section: &Section<'_>, router: &mut Router) {
    let kib = |key, least, value: &mut usize| {
        let kib = section.key(key).integer(least..=1 << 20);
        if let Some(kib) = kib.and_then(|kib| usize::try_from(kib).ok()) {
            *value = kib << 10;
        }
    };
    kib(
        "streamAfterContentLengthKB",
        0,
        &mut router.stream_after_bytes,
    );
    kib("maxHeadersKB", 1, &mut router.max_headers_bytes);
    kib("maxInitialLineKB", 1, &mut router.max_initial_line_bytes);
    kib("maxErrResponseKB", 0, &mut router.max_err_response_bytes);
    let streaming = section.key("streamingEnabled");
    let spot = streaming.spot();
    if streaming.boolean() != Some(false) {
        return;
    }
    if section.key("streamAfterContentLengthKB").is_present() {
        let message =
            "`streamingEnabled: false` and `streamAfterContentLengthKB` exclude each other";
        section.reader().mistake(spot, message, None);
    } else {
        let message = "`streamingEnabled: false` has no effect: long messages always stream, in bounded memory";
        section.reader().warn(spot, message, None);
    }
}

/// Keys without which a router does well.
fn extras(section: &Section<'_>, router: &mut Router) {
    router.is_originator = flag(section, "originator", false);
    router.trace_propagator = propagator(section.key("tracePropagator"));
    let keys = match router.protocol {
        Protocol::Http => &l5d_accesslog::HTTP_KEYS,
        Protocol::H2 => &l5d_accesslog::H2_KEYS,
    };
    let log = l5d_accesslog::Settings::read(section, keys);
    let is_json = word(section, "accessLogFormat", &["text", "json"]) == "json";
    router.access_log = log.map(|file| AccessLog { file, is_json });
    if router.protocol == Protocol::H2 {
        router.has_plain_errors = flag(section, "plainErrors", false);
        router.answers_unidentified = flag(section, "answerUnidentified", false);
    }
    router.allows_connect = flag(section, "allowConnect", false);
    router.enforces_deadline = flag(section, "enforceDeadline", false);
    router.honors_grpc_timeout = flag(section, "honorGrpcTimeout", true);
    if word(section, "timeoutStatus", &["503", "504"]) == "504" {
        router.timeout_status = 504;
    }
    let via = section.key("viaPseudonym");
    let spot = via.spot();
    if let Some(via) = via.string() {
        // A pseudonym is a token (RFC 9110 7.6.3), as method names are.
        if http::Method::from_bytes(via.as_bytes()).is_err() {
            let message = format!("`{}` cannot stand in Via", via.escape_debug());
            section.reader().mistake(spot, message, None);
        }
        router.via = via;
    }
}

/// One of a few words; the first is the default.
fn word(section: &Section<'_>, key: &'static str, words: &[&'static str]) -> &'static str {
    let field = section.key(key);
    let (spot, name) = (field.spot(), field.name().to_owned());
    let Some(text) = field.word() else {
        return words[0];
    };
    let found = words.iter().find(|w| **w == text);
    if found.is_none() {
        let message = format!("{name} must be one of {}", words.join(", "));
        section.reader().mistake(spot, message, None);
    }
    found.copied().unwrap_or(words[0])
}

fn propagator(field: Field<'_>) -> TracePropagator {
    let Some(mut section) = field.section() else {
        return TracePropagator::L5d;
    };
    match section.kind(&PROPAGATORS) {
        Some("io.l5d.zipkin") => TracePropagator::Zipkin,
        Some("io.l5d.w3c") => TracePropagator::W3c,
        _ => TracePropagator::L5d,
    }
}

/// Refuses keys of the other protocol, and reads those that only `h2` has.
fn belongs(section: &Section<'_>, protocol: Protocol) {
    const HTTP: [&str; 8] = [
        "httpAccessLog",
        "httpAccessLogRollPolicy",
        "httpAccessLogAppend",
        "httpAccessLogRotateCount",
        "streamAfterContentLengthKB",
        "streamingEnabled",
        "maxInitialLineKB",
        "compressionLevel",
    ];
    const H2: [&str; 6] = [
        "h2AccessLog",
        "h2AccessLogRollPolicy",
        "h2AccessLogAppend",
        "h2AccessLogRotateCount",
        "plainErrors",
        "answerUnidentified",
    ];
    let (others, other): (&[_], _) = match protocol {
        Protocol::Http => (&H2, Protocol::H2),
        Protocol::H2 => (&HTTP, Protocol::Http),
    };
    for key in others {
        let message = format!("`{key}` is for `protocol: {}`", other.name());
        section.refuse(key, &message, None);
    }
    if protocol == Protocol::Http {
        section.legacy("compressionLevel", "responses are never compressed");
    }
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

/// A router of another protocol is refused as a whole: its other keys are not looked at.
fn protocol(section: &mut Section<'_>) -> Option<Protocol> {
    let field = section.need("protocol");
    let spot = field.spot();
    let Some(protocol) = field.string() else {
        section.ignore_rest();
        return None;
    };
    let label = section.key("label").string();
    let router = label.unwrap_or_else(|| protocol.clone());
    let message = match protocol.as_str() {
        "http" => return Some(Protocol::Http),
        "h2" => return Some(Protocol::H2),
        other if OTHER_PROTOCOLS.contains(&other) => {
            format!("router {router}: protocol `{other}` is not supported")
        }
        other => format!(
            "router {router}: unknown protocol `{}`",
            other.escape_debug()
        ),
    };
    section.ignore_rest();
    let help = "protocols that can be used: http, h2".to_owned();
    section.reader().mistake(spot, message, Some(help));
    None
}

fn listeners(
    section: &Section<'_>,
    protocol: Protocol,
    servers: &mut Servers,
) -> Option<Vec<Server>> {
    let field = section.need("servers");
    let spot = field.key_spot();
    let sections = field.sections()?;
    if sections.is_empty() {
        let name = section.name();
        let message = format!("{name}.servers is empty: a router needs a server");
        section.reader().mistake(spot, message, None);
    }
    let read = sections.iter().map(|s| server::read(s, protocol, servers));
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// `client` or `service`. `None` if it is wrong.
fn layer<T: Layer>(
    field: Field<'_>,
    read: impl Fn(&Section<'_>) -> T::Keys,
) -> Option<Settings<T>> {
    if !field.is_present() {
        return Some(Settings::all(T::default()));
    }
    let mut section = field.section()?;
    let is_static = match section.key("kind").is_present() {
        true => section.kind(&LAYERS)? == "io.l5d.static",
        false => false,
    };
    if !is_static {
        let message = "`configs` is for `kind: io.l5d.static`";
        section.refuse("configs", message, None);
        let mut settings = T::default();
        settings.apply(&read(&section), &crate::config::Captures::default());
        return Some(Settings::all(settings));
    }
    let configs = section.need("configs").sections()?;
    let entries: Vec<_> = configs.iter().map(|c| entry(c, &read)).collect();
    let entries: Option<_> = entries.into_iter().collect();
    entries.map(Settings::by_prefix)
}

fn entry<T: Layer>(
    section: &Section<'_>,
    read: impl Fn(&Section<'_>) -> T::Keys,
) -> Option<Entry<T>> {
    let field = section.need("prefix");
    let spot = field.spot();
    let prefix = field.string();
    let keys = read(section);
    match Pattern::parse(&prefix?) {
        Ok(prefix) => Some(Entry { prefix, keys }),
        Err(e) => {
            let message = format!("{}.prefix: {e}", section.name());
            section.reader().mistake(spot, message, None);
            None
        }
    }
}

fn cache(field: Field<'_>) -> Option<CacheLimits> {
    let mut limits = CacheLimits::default();
    if !field.is_present() {
        return Some(limits);
    }
    let section = field.section()?;
    for (key, limit) in [
        ("paths", &mut limits.paths),
        ("clients", &mut limits.clients),
    ] {
        if let Some(read) = count(section.key(key), 1) {
            *limit = read.min(1_000_000);
        }
    }
    for key in ["trees", "bounds"] {
        section.legacy(key, "a name has its tree with it: `paths` bounds both");
    }
    if let Some(ttl) = section.key("idleTtlSecs").secs() {
        limits.idle_ttl = ttl;
    }
    Some(limits)
}
