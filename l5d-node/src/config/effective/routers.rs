//! `routers`.

use l5d_naming::TransformerSpec;
use serde_json::{Map, Value, json};

use super::layers::{client, layer, service};
use super::ms;
use super::parts::{changed, client_tls, destinations, put_h2, server_tls, session, socket};
use crate::config::{
    AccessLog, Forwarded, Identifier, Interpreter, Labeler, Protocol, Router, Server,
    SocketOptions, TracePropagator,
};

pub(super) fn router(router: &Router) -> Value {
    let mut value = json!({
        "protocol": router.protocol.name(),
        "label": router.label,
        "servers": router.servers.iter().map(server).collect::<Vec<_>>(),
        "dtab": router.dtab.show_exact(),
        "dstPrefix": router.dst_prefix.to_string(),
        "identifier": router.identifiers.iter().map(identifier).collect::<Vec<_>>(),
        "interpreter": interpreter(&router.interpreter),
        "client": layer(&router.client, client),
        "service": layer(&router.service, service),
        "bindingTimeoutMs": ms(router.binding_timeout),
        "bindingCache": {
            "paths": router.cache.paths,
            "clients": router.cache.clients,
            "idleTtlSecs": router.cache.idle_ttl.as_secs(),
        },
        "maxHeadersKB": router.max_headers_bytes >> 10,
        "maxErrResponseKB": router.max_err_response_bytes >> 10,
    });
    if let Value::Object(map) = &mut value {
        map.extend(extras(router));
    }
    value
}

/// What only one protocol has, and what a router does well without.
fn extras(router: &Router) -> Map<String, Value> {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    let keys = match router.protocol {
        Protocol::Http => &l5d_accesslog::HTTP_KEYS,
        Protocol::H2 => &l5d_accesslog::H2_KEYS,
    };
    if let Some(AccessLog { file, is_json }) = &router.access_log {
        put(keys.file, json!(file.path));
        put(keys.append, json!(file.append));
        put(keys.keep, file.keep.map_or(json!(-1), |keep| json!(keep)));
        put(keys.roll, json!(file.roll.to_string()));
        put(
            "accessLogFormat",
            json!(if *is_json { "json" } else { "text" }),
        );
    }
    let propagator = match router.trace_propagator {
        TracePropagator::L5d => "io.l5d.default",
        TracePropagator::Zipkin => "io.l5d.zipkin",
        TracePropagator::W3c => "io.l5d.w3c",
    };
    put("tracePropagator", json!({ "kind": propagator }));
    // Only what is on: off is how it would be without a word.
    let switches = [
        ("originator", router.is_originator),
        ("allowConnect", router.allows_connect),
        ("enforceDeadline", router.enforces_deadline),
        ("plainErrors", router.has_plain_errors),
        ("answerUnidentified", router.answers_unidentified),
    ];
    for (key, _) in switches.iter().filter(|(_, is_on)| *is_on) {
        put(key, json!(true));
    }
    put("honorGrpcTimeout", json!(router.honors_grpc_timeout));
    put("viaPseudonym", json!(router.via));
    put("timeoutStatus", json!(router.timeout_status));
    if router.protocol == Protocol::Http {
        put(
            "streamAfterContentLengthKB",
            json!(router.stream_after_bytes >> 10),
        );
        put(
            "maxInitialLineKB",
            json!(router.max_initial_line_bytes >> 10),
        );
    }
    map
}

fn server(server: &Server) -> Value {
    let mut value = json!({
        "ip": server.addr.ip(),
        "port": server.addr.port(),
        "tls": server.tls.as_ref().map(server_tls),
        "clearContext": server.clear_context,
        "maxCallDepth": server.max_call_depth,
        "maxConcurrentRequests": server.max_concurrent_requests,
        "timeoutMs": server.timeout.map(ms),
        "socketOptions": changed(&server.socket, &SocketOptions::default(), socket),
        "serverSession": session(&server.session),
        "addForwardedHeader": server.forwarded.as_ref().map(forwarded),
        "timestampHeader": server.timestamp_header,
    });
    if let Value::Object(map) = &mut value {
        put_h2(&server.h2, true, map);
    }
    value
}

fn forwarded(forwarded: &Forwarded) -> Value {
    json!({ "by": labeler(&forwarded.by), "for": labeler(&forwarded.from) })
}

fn labeler(labeler: &Labeler) -> Value {
    let kind = match labeler {
        Labeler::Ip => "ip",
        Labeler::IpPort => "ip:port",
        Labeler::RequestRandom => "requestRandom",
        Labeler::ConnectionRandom => "connectionRandom",
        Labeler::Router => "router",
        Labeler::Static(label) => return json!({ "kind": "static", "label": label }),
    };
    json!({ "kind": kind })
}

fn identifier(identifier: &Identifier) -> Value {
    match identifier {
        Identifier::HeaderToken { header, folds_case } => json!({
            "kind": "io.l5d.header.token",
            "header": header,
            "lowerCase": folds_case,
        }),
        Identifier::Header { header } => json!({ "kind": "io.l5d.header", "header": header }),
        Identifier::HeaderPath { header, segments } => json!({
            "kind": "io.l5d.header.path",
            "header": header,
            "segments": segments,
        }),
        Identifier::MethodAndHost { has_uri } => {
            json!({ "kind": "io.l5d.methodAndHost", "httpUriInDst": has_uri })
        }
        Identifier::Path { segments, consumes } => json!({
            "kind": "io.l5d.path",
            "segments": segments,
            "consume": consumes,
        }),
        Identifier::Static { path } => {
            json!({ "kind": "io.l5d.static", "path": path.to_string() })
        }
        Identifier::Ingress(rules) => json!({
            "kind": "io.l5d.ingress",
            "namespace": rules.namespace,
            "ingressClassAnnotation": rules.class,
            "ignoreDefaultBackends": rules.ignores_default_backends,
        }),
    }
}

fn interpreter(interpreter: &Interpreter) -> Value {
    let kind = interpreter.kind.as_str();
    let transformers: Vec<_> = interpreter.transformers.iter().map(transformer).collect();
    let mut value = json!({
        "kind": kind,
        "transformers": transformers,
    });
    if kind == "default" {
        return value;
    }
    value["dst"] = json!(destinations(&interpreter.dst));
    value["tokenFile"] = json!(interpreter.token_file);
    let max = interpreter.retry_max;
    if max < crate::config::router::LONGEST_WAIT {
        value["retry"] = json!({ "maxSeconds": max.as_secs() });
    }
    let root = interpreter.root.as_deref().unwrap_or_default();
    if kind == "io.l5d.mesh" {
        value["root"] = json!(format!("/{root}"));
    } else {
        value["namespace"] = json!(root);
        value["resolverPort"] = json!(interpreter.dst.first().map(|(_, port)| port));
        value["experimental"] = json!((kind == "io.l5d.namerd.http").then_some(true));
    }
    value["tls"] = match &interpreter.tls {
        Some(tls) if kind == "io.l5d.namerd" => {
            json!({ "commonName": tls.common_name, "caCert": tls.trust.first() })
        }
        tls => json!(tls.as_ref().map(client_tls)),
    };
    value
}

/// What is empty is not said.
fn transformer(spec: &TransformerSpec) -> Value {
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "kind": spec.kind,
        "prefix": said(&spec.prefix),
        "namespace": said(&spec.namespace),
        "service": said(&spec.service),
        "port": said(&spec.port),
        "host": said(&spec.host),
        "path": said(&spec.path),
        "netmask": said(&spec.netmask),
        "hostNetwork": spec.host_network.then_some(true),
        "missingGateway": said(&spec.missing_gateway),
    })
}
