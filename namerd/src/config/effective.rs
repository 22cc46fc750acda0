//! What is in force, as JSON with the keys of the file.

use l5d_naming::TransformerSpec;
use serde_json::{Map, Value, json};

use super::{
    CIPHERS, CaConfig, CaSource, CallerProof, ClientTls, Config, ConsulAccess, ConsulNaming,
    FilesStorage, IngressRules, Interface, InterfaceKind, K8sNamer, Namer, NamerKind, Security,
    Server, ServerTls, Storage, TlsVersion, WatchOptions,
};

pub(super) fn config(config: &Config) -> Value {
    let mut admin = server(&config.admin.server);
    admin.insert(
        "shutdownGraceMs".into(),
        millis(config.admin.shutdown_grace),
    );
    admin.insert("security".into(), security(&config.admin.security));
    let interfaces: Vec<Value> = config
        .interfaces
        .iter()
        .map(|interface| {
            let mut map = kind(interface.kind.name());
            map.extend(server(&interface.server));
            if let Some(auth) = auth(interface) {
                map.insert("auth".to_owned(), auth);
            }
            match &interface.kind {
                InterfaceKind::Mesh(mesh) => {
                    let age = interface.connection_age.unwrap_or_default().as_secs();
                    map.insert("maxConnectionAgeSecs".to_owned(), age.into());
                    if let Some(limits) = map.get_mut("limits").and_then(Value::as_object_mut) {
                        limits.extend(mesh.limits.show());
                    }
                    if let Some(log) = &mesh.access_log {
                        map.extend(access_log(log));
                    }
                    if !mesh.grpc_web_origins.is_empty() {
                        map.insert("grpcWebOrigins".to_owned(), json!(mesh.grpc_web_origins));
                    }
                }
                InterfaceKind::Destination(destination) => {
                    let prefix = destination.prefix.to_string();
                    map.insert("prefix".to_owned(), prefix.into());
                    map.insert("namespace".to_owned(), destination.namespace.clone().into());
                }
                InterfaceKind::Thrift(thrift) => {
                    let cache = json!({
                        "bindingCacheActive": thrift.bindings,
                        "addrCacheActive": thrift.addresses,
                    });
                    map.insert("cache".to_owned(), cache);
                }
                InterfaceKind::HttpController => {}
            }
            Value::Object(map)
        })
        .collect();
    let prometheus = json!({"kind": "io.l5d.prometheus"});
    let influxdb = config.influxdb.then(|| json!({"kind": "io.l5d.influxdb"}));
    let traces = config.traces.as_ref().map(|traces| {
        json!({
            "kind": "io.l5d.opentelemetry",
            "endpoint": traces.endpoint,
            "sampleRate": traces.sample_rate,
            "serviceName": traces.service_name,
        })
    });
    let more = config
        .prometheus
        .iter()
        .map(|page| json!({"kind": "io.l5d.prometheus", "path": page.path, "prefix": page.prefix}));
    let mut all = json!({
        "admin": admin,
        "storage": storage(&config.storage),
        "namers": config.namers.iter().map(namer).collect::<Vec<_>>(),
        "interfaces": interfaces,
        "telemetry": std::iter::once(prometheus).chain(more).chain(influxdb).chain(traces).collect::<Vec<_>>(),
    });
    if let Some(rules) = &config.ingress {
        all["ingress"] = ingress(rules);
    }
    if let Some(ca) = &config.ca {
        all["ca"] = authority(ca);
    }
    all
}

fn access_log(log: &l5d_accesslog::Settings) -> Map<String, Value> {
    let keys = &l5d_accesslog::H2_KEYS;
    let keep = log.keep.map_or(json!(-1), |keep| json!(keep));
    Map::from_iter([
        (keys.file.to_owned(), log.path.display().to_string().into()),
        (keys.roll.to_owned(), log.roll.to_string().into()),
        (keys.append.to_owned(), log.append.into()),
        (keys.keep.to_owned(), keep),
    ])
}

/// Names of files only.
fn authority(ca: &CaConfig) -> Value {
    let mut map = match &ca.source {
        CaSource::Files(files) => {
            let mut map = kind("io.l5d.files");
            map.insert("certPath".to_owned(), json!(files.certificate));
            map.insert("keyPath".to_owned(), json!(files.key));
            let trust = files.trust.as_ref();
            map.extend(trust.map(|file| ("caCertPath".to_owned(), json!(file))));
            map
        }
        CaSource::Secret {
            api,
            namespace,
            name,
            root_life,
        } => {
            let mut map = kind("io.l5d.k8s.secret");
            map.insert("api".to_owned(), api.to_string().into());
            map.insert("namespace".to_owned(), namespace.clone().into());
            map.insert("name".to_owned(), name.clone().into());
            let days = root_life.as_secs() / 86_400;
            map.insert("rootLifeDays".to_owned(), days.into());
            map
        }
    };
    map.insert("trustDomain".to_owned(), ca.domain.clone().into());
    map.insert("lifeSecs".to_owned(), ca.life.as_secs().into());
    Value::Object(map)
}

fn ingress(rules: &IngressRules) -> Value {
    let mut map = Map::from_iter([("api".to_owned(), rules.api.to_string().into())]);
    map.extend(
        rules
            .namespace
            .as_ref()
            .map(|n| ("namespace".to_owned(), json!(n))),
    );
    map.insert("class".to_owned(), rules.class.clone().into());
    map.insert("claimUnclassed".to_owned(), rules.claim_unclassed.into());
    map.insert("startupJitter".to_owned(), millis(rules.startup_jitter));
    Value::Object(map)
}

fn kind(kind: &str) -> Map<String, Value> {
    Map::from_iter([("kind".to_owned(), kind.into())])
}

fn millis(duration: std::time::Duration) -> Value {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .into()
}

fn server(server: &Server) -> Map<String, Value> {
    let mut socket = json!({
        "noDelay": server.socket.no_delay,
        "reuseAddr": server.socket.reuse_addr,
        "reusePort": server.socket.reuse_port,
        "keepAlive": server.socket.keep_alive,
    });
    if let Some(backlog) = server.socket.backlog {
        socket["backlog"] = backlog.into();
    }
    let limits = [
        ("readTimeoutMs", server.socket.read_timeout),
        ("writeTimeoutMs", server.socket.write_timeout),
    ];
    for (key, limit) in limits {
        if let Some(limit) = limit {
            socket[key] = millis(limit);
        }
    }
    let mut map = Map::from_iter([
        ("ip".to_owned(), server.addr.ip().to_string().into()),
        ("port".to_owned(), server.addr.port().into()),
        ("socketOptions".to_owned(), socket),
    ]);
    let limits = &server.limits;
    let limits = json!({
        "connections": limits.connections,
        "connectionsPerClient": limits.connections_per_client,
        "requestsPerSecond": limits.requests_per_second,
        "requestBurst": limits.request_burst,
    });
    map.insert("limits".to_owned(), limits);
    if let Some(server) = &server.tls {
        map.insert("tls".to_owned(), tls(server));
    }
    map
}

/// What of it counts: without a proof that somebody wants, the rest has no effect.
fn auth(interface: &Interface) -> Option<Value> {
    let (nodes, callers) = (&interface.nodes, &interface.callers);
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    let tokens = match interface.kind {
        InterfaceKind::Destination(_) | InterfaceKind::Thrift(_) if nodes.tools.is_empty() => {
            return Some("none".into());
        }
        InterfaceKind::Destination(_) | InterfaceKind::Thrift(_) => {
            let names: Vec<_> = nodes.tools.iter().map(|proof| proof.name()).collect();
            put("callers", names.into());
            if !nodes.tools.contains(&CallerProof::Token) {
                return Some(map.into());
            }
            &nodes.tokens
        }
        InterfaceKind::Mesh(_) if nodes.proofs.len() + nodes.tools.len() == 0 => {
            return Some("none".into());
        }
        InterfaceKind::HttpController if callers.writes.len() + callers.reads.len() == 0 => {
            return Some("none".into());
        }
        InterfaceKind::Mesh(_) => {
            let names: Vec<_> = nodes.proofs.iter().map(|proof| proof.name()).collect();
            put("nodes", names.into());
            let names: Vec<_> = nodes.tools.iter().map(|proof| proof.name()).collect();
            put("tools", names.into());
            put("serviceAccounts", json!(nodes.service_accounts));
            if let Some(domain) = &nodes.trust_domain {
                put("trustDomain", domain.clone().into());
            }
            &nodes.tokens
        }
        InterfaceKind::HttpController => {
            for (key, proofs) in [("writes", &callers.writes), ("reads", &callers.reads)] {
                let names: Vec<_> = proofs.iter().map(|proof| proof.name()).collect();
                put(key, names.into());
            }
            put("clients", json!(callers.clients));
            &callers.tokens
        }
    };
    put("api", tokens.api.to_string().into());
    put("audience", json!(tokens.audiences));
    Some(map.into())
}

/// Names of files, none of their contents.
fn tls(tls: &ServerTls) -> Value {
    let ciphers = match tls.ciphers.as_slice() {
        [] => &CIPHERS,
        some => some,
    };
    let protocols = match tls.protocols.as_slice() {
        [] => &[TlsVersion::V1_2, TlsVersion::V1_3],
        some => some,
    };
    let mut map = json!({
        "certPath": tls.cert,
        "keyPath": tls.key,
        "requireClientAuth": tls.require_client_auth,
        "ciphers": ciphers,
        "protocols": protocols.iter().map(|version| version.name()).collect::<Vec<_>>(),
    });
    for (key, path) in [
        ("intermediateCertsPath", &tls.intermediates),
        ("caCertPath", &tls.ca),
    ] {
        if let Some(path) = path {
            map[key] = json!(path);
        }
    }
    map
}

fn security(security: &Security) -> Value {
    let texts = |regexes: &[regex::Regex]| -> Vec<String> {
        let bare = |r: &regex::Regex| {
            let text = r.as_str();
            let inner = text.strip_prefix("^(?:").and_then(|t| t.strip_suffix(")$"));
            inner.unwrap_or(text).to_owned()
        };
        regexes.iter().map(bare).collect()
    };
    json!({
        "uiEnabled": security.ui,
        "controlEnabled": security.control,
        "diagnosticsEnabled": security.diagnostics,
        "pathWhitelist": texts(&security.whitelist),
        "pathBlacklist": texts(&security.blacklist),
        "readOnly": security.read_only,
    })
}

fn storage(storage: &Storage) -> Value {
    match storage {
        Storage::InMemory(namespaces) => {
            let namespaces: Map<String, Value> = namespaces
                .iter()
                .map(|(name, dtab)| (name.clone(), dtab.show_exact().into()))
                .collect();
            json!({"kind": "io.l5d.inMemory", "namespaces": namespaces})
        }
        Storage::Files(FilesStorage::Folder(folder)) => {
            json!({"kind": "io.l5d.fs", "rootDir": folder})
        }
        Storage::Files(FilesStorage::One(file)) => json!({"kind": "io.l5d.fs", "dtabFile": file}),
        Storage::Consul(consul) => {
            let mut map = kind("io.l5d.consul");
            map.extend(consul_access(&consul.access, "readConsistencyMode"));
            map.insert("pathPrefix".to_owned(), consul.path_prefix.clone().into());
            Value::Object(map)
        }
        Storage::Etcd(etcd) => {
            let hosts = etcd.hosts.iter();
            let hosts: Vec<_> = hosts.map(|(host, port)| format!("{host}:{port}")).collect();
            let mut map = kind("io.l5d.etcd");
            map.insert("endpoints".to_owned(), hosts.into());
            map.insert("pathPrefix".to_owned(), etcd.path_prefix.clone().into());
            map.extend(client_tls(etcd.tls.as_ref()));
            Value::Object(map)
        }
        Storage::ConfigMap(map) => json!({
            "kind": "io.l5d.k8s.configMap",
            "api": map.api.to_string(),
            "namespace": map.namespace,
            "name": map.name,
            "filename": map.filename,
            "startupJitter": millis(map.startup_jitter),
        }),
        Storage::K8s(k8s) => json!({
            "kind": "io.l5d.k8s",
            "api": k8s.api.to_string(),
            "namespace": k8s.namespace,
            "status": k8s.write_status,
            "startupJitter": millis(k8s.startup_jitter),
        }),
    }
}

/// Without the token.
fn consul_access(access: &ConsulAccess, consistency: &str) -> Map<String, Value> {
    let mut map = Map::from_iter([
        ("host".to_owned(), access.host.clone().into()),
        ("port".to_owned(), access.port.into()),
        (consistency.to_owned(), access.consistency.name().into()),
    ]);
    if let Some(datacenter) = &access.datacenter {
        map.insert("datacenter".to_owned(), datacenter.clone().into());
    }
    map.extend(client_tls(access.tls.as_ref()));
    map
}

fn consul_naming(naming: &ConsulNaming) -> Map<String, Value> {
    let weights = naming.weights.iter();
    let weights: Vec<_> = weights
        .map(|(tag, weight)| json!({"tag": tag, "weight": weight}))
        .collect();
    let mut map = Map::from_iter([
        ("includeTag".to_owned(), naming.include_tag.into()),
        ("useHealthCheck".to_owned(), naming.health.is_some().into()),
        ("setHost".to_owned(), naming.set_host.into()),
        (
            "preferServiceAddress".to_owned(),
            naming.prefer_service_address.into(),
        ),
        ("weights".to_owned(), weights.into()),
    ]);
    if let Some(wanted) = &naming.health {
        let names: Vec<_> = wanted.iter().map(|status| status.name()).collect();
        map.insert("healthStatuses".to_owned(), names.into());
    }
    map
}

/// The `tls` block of a client: names of files only.
fn client_tls(tls: Option<&ClientTls>) -> Option<(String, Value)> {
    let tls = tls?;
    let mut block = json!({
        "enabled": true,
        "disableValidation": tls.is_unchecked,
        "trustCerts": tls.trust,
    });
    if let Some(name) = &tls.common_name {
        block["commonName"] = name.clone().into();
    }
    if let Some(auth) = &tls.client_auth {
        block["clientAuth"] = json!({"certPath": auth.certificate, "keyPath": auth.key});
        if let Some(file) = &auth.intermediates {
            block["clientAuth"]["intermediateCertsPath"] = json!(file);
        }
    }
    Some(("tls".to_owned(), block))
}

fn namer(namer: &Namer) -> Value {
    let mut map = kind(namer.kind.name());
    map.insert("prefix".to_owned(), namer.prefix.to_string().into());
    match &namer.kind {
        NamerKind::Fs(dir) => {
            map.insert("rootDir".to_owned(), dir.display().to_string().into());
        }
        NamerKind::K8s(namer) => k8s(namer, &mut map),
        NamerKind::K8sExternal(namer) => {
            map.insert("experimental".to_owned(), true.into());
            k8s(namer, &mut map);
        }
        NamerKind::K8sNs(namer, namespace) => {
            k8s(namer, &mut map);
            map.insert("namespace".to_owned(), namespace.clone().into());
        }
        NamerKind::Consul(access, naming) => {
            map.extend(consul_access(access, "consistencyMode"));
            map.extend(consul_naming(naming));
        }
        NamerKind::DnsSrv { refresh, servers } => {
            let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
            map.insert(
                "refreshIntervalSeconds".to_owned(),
                refresh.as_secs().into(),
            );
            map.insert("dnsHosts".to_owned(), servers.into());
        }
        NamerKind::Rewrite { pattern, name } => {
            map.insert("pattern".to_owned(), pattern.clone().into());
            map.insert("name".to_owned(), name.clone().into());
        }
    }
    let transformers: Vec<Value> = namer.transformers.iter().map(transformer).collect();
    map.insert("transformers".to_owned(), transformers.into());
    Value::Object(map)
}

fn k8s(namer: &K8sNamer, map: &mut Map<String, Value>) {
    map.insert("api".to_owned(), namer.api.to_string().into());
    if let Some(label) = &namer.label_selector {
        map.insert("labelSelector".to_owned(), label.clone().into());
    }
    let watch = watch(&namer.watch).into_iter();
    let given = watch.filter(|(_, value)| !value.is_null());
    map.extend(given.map(|(key, value)| (key.to_owned(), value)));
}

/// Each key of the file and what is in force; null for what is left out.
pub(super) fn watch(options: &WatchOptions) -> [(&'static str, Value); 8] {
    [
        ("namespaces", json!(options.namespaces)),
        ("addressFamily", options.address_family.name().into()),
        ("terminatingFallback", options.terminating_fallback.into()),
        ("podCIDRFallback", options.pod_cidr_fallback.into()),
        ("zoneHints", options.zone_hints.into()),
        ("trafficPolicy", options.traffic_policy.into()),
        ("startupJitter", millis(options.startup_jitter)),
        ("syncTimeout", millis(options.sync_timeout)),
    ]
}

fn transformer(spec: &TransformerSpec) -> Value {
    let mut map = kind(&spec.kind);
    let texts = [
        ("prefix", &spec.prefix),
        ("namespace", &spec.namespace),
        ("service", &spec.service),
        ("port", &spec.port),
        ("host", &spec.host),
        ("path", &spec.path),
        ("netmask", &spec.netmask),
        ("missingGateway", &spec.missing_gateway),
    ];
    for (key, text) in texts {
        if !text.is_empty() {
            map.insert(key.to_owned(), text.clone().into());
        }
    }
    if spec.host_network {
        map.insert("hostNetwork".to_owned(), true.into());
    }
    Value::Object(map)
}
