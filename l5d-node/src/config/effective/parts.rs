//! What several parts of a configuration have in common.

use l5d_naming::{Elem, Path};
use serde_json::{Map, Value, json};

use super::ms;
use crate::config::{
    Admin, ClientAuth, ClientTls, H2Settings, ServerTls, SessionLimits, SocketOptions, TlsVersion,
};

pub(super) fn admin(admin: &Admin) -> Value {
    let security = &admin.security;
    let patterns = |list: &[regex::Regex]| {
        let list: Vec<_> = list.iter().map(|r| json!(r.as_str())).collect();
        (!list.is_empty()).then_some(list)
    };
    // Only what is closed: open is how it would be without a word.
    let off = |is_on: bool| (!is_on).then_some(false);
    json!({
        "ip": admin.addr.ip(),
        "port": admin.addr.port(),
        "tls": admin.tls.as_ref().map(server_tls),
        "socketOptions": changed(&admin.socket, &SocketOptions::default(), socket),
        "shutdownGraceMs": ms(admin.shutdown_grace),
        "security": said(json!({
            "uiEnabled": off(security.has_ui),
            "controlEnabled": off(security.has_control),
            "diagnosticsEnabled": off(security.has_diagnostics),
            "pathWhitelist": patterns(&security.allowed),
            "pathBlacklist": patterns(&security.denied),
        })),
    })
}

/// `None` for what is as it would be without a word.
pub(super) fn changed<T: PartialEq>(
    value: &T,
    default: &T,
    show: impl Fn(&T) -> Value,
) -> Option<Value> {
    (value != default).then(|| show(value))
}

/// `None` if nothing in it is said.
pub(super) fn said(value: Value) -> Option<Value> {
    let is_said = value
        .as_object()
        .is_some_and(|map| map.values().any(|v| !v.is_null()));
    is_said.then_some(value)
}

pub(super) fn socket(socket: &SocketOptions) -> Value {
    json!({
        "noDelay": socket.no_delay,
        "reuseAddr": socket.reuse_addr,
        "reusePort": socket.reuse_port,
        "readTimeoutMs": socket.read_timeout.map(ms),
        "writeTimeoutMs": socket.write_timeout.map(ms),
        "keepAlive": socket.keep_alive,
        "backlog": socket.backlog,
    })
}

/// The same of connections that we open.
pub(super) fn client_socket(socket: &SocketOptions) -> Value {
    json!({
        "noDelay": socket.no_delay,
        "writeTimeoutMs": socket.write_timeout.map(ms),
        "keepAlive": socket.keep_alive,
    })
}

pub(super) fn session(session: &SessionLimits) -> Value {
    json!({
        "idleTimeMs": session.idle.map(ms),
        "lifeTimeMs": session.life.map(ms),
    })
}

/// Keys that stand beside others in their section.
pub(super) fn put_h2(h2: &H2Settings, is_server: bool, out: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
    put("initialStreamWindowBytes", json!(h2.stream_window));
    put("initialConnectionWindowBytes", json!(h2.connection_window));
    put("headerTableBytes", json!(h2.header_table));
    put("maxFrameBytes", json!(h2.max_frame));
    put("maxHeaderListBytes", json!(h2.max_header_list));
    put("pingIntervalMs", json!(ms(h2.ping_interval)));
    put("pingTimeoutMs", json!(ms(h2.ping_timeout)));
    if is_server {
        put("maxConcurrentStreamsPerConnection", json!(h2.max_streams));
    }
}

pub(super) fn server_tls(tls: &ServerTls) -> Value {
    json!({
        "certPath": tls.cert,
        "keyPath": tls.key,
        "intermediateCertsPath": tls.intermediates,
        "caCertPath": tls.ca,
        "requireClientAuth": tls.require_client_auth,
        "ciphers": (!tls.ciphers.is_empty()).then_some(&tls.ciphers),
        "protocols": versions(&tls.protocols),
    })
}

pub(super) fn client_tls(tls: &ClientTls) -> Value {
    json!({
        "commonName": tls.common_name,
        "disableValidation": tls.is_unchecked,
        "trustCerts": (!tls.trust.is_empty()).then_some(&tls.trust),
        "clientAuth": tls.client_auth.as_ref().map(client_auth),
        "protocols": versions(&tls.protocols),
    })
}

fn client_auth(auth: &ClientAuth) -> Value {
    json!({
        "certPath": auth.certificate,
        "keyPath": auth.key,
        "intermediateCertsPath": auth.intermediates,
    })
}

fn versions(versions: &[TlsVersion]) -> Option<Vec<&'static str>> {
    let names: Vec<_> = versions.iter().map(|v| v.name()).collect();
    (!names.is_empty()).then_some(names)
}

/// `/$/inet/HOST/PORT`, several of them as a list; `None`: none.
pub(super) fn destinations(dst: &[(String, u16)]) -> Option<Value> {
    let one = |(host, port): &(String, u16)| {
        let port = port.to_string();
        let elems = ["$", "inet", host, &port].into_iter().filter_map(Elem::new);
        json!(Path::from_elems(elems).to_string())
    };
    match dst {
        [] => None,
        [only] => Some(one(only)),
        all => Some(all.iter().map(one).collect()),
    }
}
