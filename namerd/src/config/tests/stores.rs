//! `storage`.

use super::*;

#[test]
fn etcd_takes_one_host_or_several() {
    let etcd = |keys: &str| match good(&format!(
        "storage: {{kind: io.l5d.etcd{keys}}}\ninterfaces: [{{kind: io.l5d.mesh}}]"
    ))
    .storage
    {
        Storage::Etcd(etcd) => etcd,
        other => panic!("{other:?}"),
    };
    let default = etcd("");
    assert_eq!(default.hosts, [("localhost".to_owned(), 2379)]);
    assert_eq!(default.path_prefix, "/namerd/dtabs");
    let one = etcd(", experimental: true, host: e1, port: 1, pathPrefix: /x");
    assert_eq!(
        (&one.hosts[..], &*one.path_prefix),
        (&[("e1".to_owned(), 1)][..], "/x")
    );
    let several = etcd(", endpoints: [e1, 'e2:1', '[::1]:2', '[::1]']");
    let hosts = [("e1", 2379), ("e2", 1), ("::1", 2), ("::1", 2379)];
    assert_eq!(
        several.hosts,
        hosts.map(|(host, port)| (host.to_owned(), port))
    );
    let tls = etcd(
        ", tls: {commonName: etcd, trustCertsBundle: /ca, clientAuth: {certPath: /c, keyPath: /k}}",
    )
    .tls;
    let tls = tls.expect("TLS");
    assert_eq!(tls.common_name.as_deref(), Some("etcd"));
    assert_eq!(tls.trust, [PathBuf::from("/ca")]);
    assert!(tls.client_auth.is_some());
    assert_eq!(etcd(", tls: {enabled: false}").tls, None);
    let unchecked = etcd(", tls: {disableValidation: true}").tls.expect("TLS");
    assert_eq!(unchecked.common_name, None);
}

#[test]
fn what_stores_cannot_use_is_told() {
    let wrong = |keys: &str| {
        mistakes(&format!(
            "storage: {{{keys}}}\ninterfaces: [{{kind: io.l5d.mesh}}]"
        ))
    };
    for (keys, want) in [
        (
            "kind: io.l5d.etcd, host: a, endpoints: [b]",
            "cannot both be given",
        ),
        ("kind: io.l5d.etcd, endpoints: []", "at least one"),
        (
            "kind: io.l5d.etcd, endpoints: ['http://a:1']",
            "storage.endpoints[0] must be HOST:PORT",
        ),
        (
            "kind: io.l5d.etcd, tls: {}",
            "'commonName' field is required in storage.tls",
        ),
        (
            "kind: io.l5d.etcd, tls: {commonName: a, trustCerts: [/a], trustCertsBundle: /b}",
            "cannot both be given",
        ),
        (
            "kind: io.l5d.etcd, namespaces: {}",
            "unknown key `namespaces` in storage",
        ),
        (
            "kind: io.l5d.fs",
            "rootDir (a directory, each file a namespace) or dtabFile",
        ),
        (
            "kind: io.l5d.fs, rootDir: /, dtabFile: /x",
            "cannot both be given",
        ),
        (
            "kind: io.l5d.fs, rootDir: /no/such",
            "not an existing directory",
        ),
    ] {
        let found = wrong(keys);
        assert!(
            found.len() == 1 && found[0].contains(want),
            "{keys}: {found:?}"
        );
    }
}

#[test]
fn consul_is_asked_as_configured_and_its_token_is_not_shown() {
    let config = good(
        "
storage: {kind: io.l5d.consul, token: hidden, datacenter: dc2, readConsistencyMode: stale, writeConsistencyMode: default, failFast: true}
namers:
- {kind: io.l5d.consul, token: hidden, includeTag: true, useHealthCheck: true, healthStatuses: [passing, warning], weights: [{tag: a, weight: 2}]}
interfaces: [{kind: io.l5d.mesh}]
",
    );
    let Storage::Consul(storage) = &config.storage else {
        panic!("{:?}", config.storage)
    };
    assert_eq!(
        (&*storage.access.host, storage.access.port),
        ("localhost", 8500)
    );
    assert_eq!(storage.access.consistency, Consistency::Stale);
    assert_eq!(
        storage.access.token.as_ref().map(Secret::reveal),
        Some("hidden")
    );
    let NamerKind::Consul(_, naming) = &config.namers[0].kind else {
        panic!("{:?}", config.namers)
    };
    let health = naming.health.as_ref().expect("checks count");
    assert!(naming.include_tag && naming.prefer_service_address && health.len() == 2);
    assert_eq!(naming.weights["a"], 2.0);
    let shown = format!("{config:?} {}", config.effective());
    assert!(!shown.contains("hidden"), "{shown}");
    for (keys, want) in [
        (
            "consistencyMode: sometimes",
            "must be default, stale or consistent",
        ),
        (
            "healthStatuses: [fine]",
            "must be passing, warning, critical or maintenance",
        ),
        ("weights: [{tag: a}]", "'weight' field is required"),
    ] {
        let found = mistakes(&with(&format!("namers: [{{kind: io.l5d.consul, {keys}}}]")));
        assert!(
            found.len() == 1 && found[0].contains(want),
            "{keys}: {found:?}"
        );
    }
}

#[test]
fn k8s_162_dtabs_in_a_config_map() {
    let file = |storage: &str| format!("storage: {storage}\ninterfaces: [{{kind: io.l5d.mesh}}]\n");
    let keys = "{kind: io.l5d.k8s.configMap, experimental: true, host: api, port: 80, namespace: l5d, name: dtabs, filename: dtab}";
    let shown = good(&file(keys)).effective();
    assert_eq!(shown["storage"]["name"], "dtabs");
    assert_eq!(shown["storage"]["filename"], "dtab");
    let all = good(&file("{kind: io.l5d.k8s.configMap, name: dtabs}")).storage;
    assert!(
        matches!(&all, Storage::ConfigMap(map) if map.filename.is_none() && map.namespace == "default")
    );
    let missing = mistakes(&file("{kind: io.l5d.k8s.configMap}"));
    assert!(
        missing[0].contains("'name' field is required"),
        "{missing:?}"
    );
}

#[test]
fn control_plane_12_3_dtabs_as_custom_resources() {
    let file = |storage: &str| format!("storage: {storage}\ninterfaces: [{{kind: io.l5d.mesh}}]\n");
    let config = good(&file("{kind: io.l5d.k8s}"));
    let Storage::K8s(k8s) = &config.storage else {
        panic!("{:?}", config.storage);
    };
    assert_eq!(k8s.api, ApiServer::Plain("localhost".to_owned(), 8001));
    assert_eq!((&*k8s.namespace, k8s.write_status), ("default", true));
    let more = "{kind: io.l5d.k8s, experimental: true, host: api, port: 80, namespace: l5d, status: false}";
    let shown = good(&file(more)).effective();
    assert_eq!(shown["storage"]["api"], "http://api:80");
    assert_eq!(shown["storage"]["namespace"], "l5d");
    assert_eq!(shown["storage"]["status"], false);
}
