//! Every key of node-proxy 3 to 6 and 15.1 is read into its place.

use l5d_naming::Path;

use super::*;

fn router(keys: &str) -> Arc<Router> {
    let text = format!("routers: [{{protocol: http, servers: [{{port: 0}}], {keys}}}]");
    let config = read("l5d.yml", &text).unwrap_or_else(|e| panic!("{e}"));
    config.routers[0].clone()
}

fn refused(keys: &str, part: &str) {
    let text = format!("routers: [{{protocol: http, servers: [{{port: 0}}], {keys}}}]");
    has(&text, part);
}

fn server(keys: &str) -> Server {
    let text = format!("routers: [{{protocol: http, servers: [{{port: 0, {keys}}}]}}]");
    let config = read("l5d.yml", &text).unwrap_or_else(|e| panic!("{e}"));
    config.routers[0].servers[0].clone()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_server_has_all_of_section_4() {
    let s = server(
        "timeoutMs: '250', timestampHeader: X-Start, serverSession: {idleTimeMs: 5, lifeTimeMs: 6}, \
         socketOptions: {noDelay: false, reusePort: true, readTimeoutMs: 1, writeTimeoutMs: 2, keepAlive: true, backlog: 9}, \
         addForwardedHeader: {by: {kind: ip:port}, for: {kind: static, label: me}}, \
         initialStreamWindowBytes: 70000, maxFrameBytes: 20000, windowUpdateRatio: 0.5, maxConcurrentStreamsPerConnection: 7",
    );
    assert_eq!(s.timeout, Some(ms(250)));
    assert_eq!(s.timestamp_header.as_deref(), Some("X-Start"));
    let session = SessionLimits {
        idle: Some(ms(5)),
        life: Some(ms(6)),
    };
    assert_eq!(s.session, session);
    let socket = SocketOptions {
        no_delay: false,
        reuse_port: true,
        read_timeout: Some(ms(1)),
        write_timeout: Some(ms(2)),
        keep_alive: Some(true),
        backlog: Some(9),
        ..SocketOptions::default()
    };
    assert_eq!(s.socket, socket);
    let forwarded = Forwarded {
        by: Labeler::IpPort,
        from: Labeler::Static("_me".to_owned()),
    };
    assert_eq!(s.forwarded, Some(forwarded));
    assert_eq!((s.h2.stream_window, s.h2.max_frame), (70_000, Some(20_000)));
    assert_eq!(s.h2.max_streams, 7);
    let ratio = |ratio: &str| format!("servers: [{{port: 0, windowUpdateRatio: {ratio}}}]");
    let text = |keys: String| format!("routers: [{{protocol: h2, {keys}}}]");
    has(
        &text(ratio("1.0")),
        "must be greater than 0 and less than 1",
    );
    assert_eq!(
        server("addForwardedHeader: {}").forwarded,
        Some(Forwarded::default())
    );
}

#[test]
fn a_service_has_all_of_section_5() {
    let r = router(
        "service: {totalTimeoutMs: 500, responseClassifier: {kind: io.l5d.http.retryableRead5XX}, \
         retries: {budget: {ttlSecs: 5, minRetriesPerSec: 0, percentCanRetry: 0.5}, \
         backoff: {kind: jittered, minMs: 1, maxMs: 9}, maxPerRequest: 3}, \
         classificationTimeoutMs: 10, retryBufferSize: {requestBytes: 1, responseBytes: 2}}",
    );
    let s = r.service.base();
    assert_eq!(s.total_timeout, Some(ms(500)));
    assert_eq!(s.classifier, Classifier::RetryableRead5xx);
    let budget = Budget {
        ttl: Duration::from_secs(5),
        min_per_sec: 0,
        percent: 0.5,
    };
    assert_eq!(s.retry_budget, budget);
    let (min, max) = (ms(1), ms(9));
    assert_eq!(s.retry_backoff, Backoff::Jittered { min, max });
    assert_eq!(s.retries_per_request, 3);
    assert_eq!(s.retry_request_bytes, 1);
    let none = router("service: {totalTimeoutMs: -1}");
    assert_eq!(none.service.base().total_timeout, None);
}

/// 13.6: either prefix on either protocol, and the gRPC kinds with their lists.
#[test]
fn all_classifiers_are_known() {
    let classifier = |kind: &str| {
        let r = router(&format!(
            "service: {{responseClassifier: {{kind: {kind}}}}}"
        ));
        r.service.base().classifier.clone()
    };
    for prefix in ["io.l5d.http", "io.l5d.h2"] {
        let of = |kind: &str| classifier(&format!("{prefix}.{kind}"));
        assert_eq!(of("nonRetryable5XX"), Classifier::NonRetryable5xx);
        assert_eq!(
            of("retryableIdempotent5XX"),
            Classifier::RetryableIdempotent5xx
        );
        assert_eq!(of("retryableAll5XX"), Classifier::RetryableAll5xx);
        assert_eq!(of("allSuccessful"), Classifier::AllSuccessful);
    }
    let grpc = |retryable, successes: &[u32]| Classifier::Grpc {
        retryable,
        successes: successes.to_vec(),
    };
    let of = |kind: &str| classifier(&format!("io.l5d.h2.grpc.{kind}"));
    assert_eq!(of("default"), grpc(GrpcRetries::Default, &[0]));
    assert_eq!(of("compliant"), grpc(GrpcRetries::Compliant, &[0]));
    assert_eq!(of("neverRetryable"), grpc(GrpcRetries::Never, &[0]));
    assert_eq!(
        of("alwaysRetryable, successStatusCodes: [0, 5]"),
        grpc(GrpcRetries::Always, &[0, 5])
    );
    assert_eq!(
        of("retryableStatusCodes, retryableStatusCodes: [1, '2']"),
        grpc(GrpcRetries::Codes(vec![1, 2]), &[0])
    );
}

#[test]
fn a_client_has_all_of_section_6() {
    let r = router(
        "client: {requestAttemptTimeoutMs: 7, connectTimeoutMs: 8, streamIdleTimeoutMs: 9, failFast: true, nodeHttp2: false, \
         requeueBudget: {percentCanRetry: 0}, hostConnectionPool: {minSize: 1, maxSize: 2, idleTimeMs: 3, maxWaiters: 4}, \
         clientSession: {lifeTimeMs: 1}, maxHeaderListBytes: 99, \
         loadBalancer: {kind: aperture, maxEffort: 2, smoothWindowMs: 10, lowLoad: 1, highLoad: 3, minAperture: 4, enableProbation: true}, \
         failureAccrual: {kind: io.l5d.successRateWindowed, successRate: 0.9, window: 30, backoff: {kind: constant, ms: 4}}}",
    );
    let c = r.client.base();
    assert_eq!((c.attempt_timeout, c.connect_timeout), (Some(ms(7)), ms(8)));
    assert_eq!(c.stream_idle_timeout, Some(ms(9)));
    assert!(c.fail_fast && !c.node_http2 && c.load_balancer.has_probation);
    assert_eq!(c.requeue_budget.percent, 0.0);
    let pool = Pool {
        min: 1,
        max: Some(2),
        idle: Some(ms(3)),
        max_waiters: Some(4),
    };
    assert_eq!(c.pool, pool);
    assert_eq!(c.session.life, Some(ms(1)));
    assert_eq!(c.h2.max_header_list, Some(99));
    let aperture = BalancerKind::Aperture {
        max_effort: 2,
        smooth: ms(10),
        low_load: 1.0,
        high_load: 3.0,
        min: 4,
    };
    assert_eq!(c.load_balancer.kind, aperture);
    let windowed = AccrualPolicy::SuccessRateWindowed {
        rate: 0.9,
        window: Duration::from_secs(30),
    };
    assert_eq!(c.failure_accrual.policy, windowed);
    assert_eq!(c.failure_accrual.backoff, Backoff::Constant(ms(4)));
}

#[test]
fn balancers_and_accruals_have_their_defaults() {
    let kind = |text: &str| {
        let r = router(&format!("client: {{loadBalancer: {{kind: {text}}}}}"));
        r.client.base().load_balancer.kind
    };
    assert_eq!(kind("p2c"), BalancerKind::P2c { max_effort: 5 });
    assert_eq!(kind("ewma"), LoadBalancer::default().kind);
    assert_eq!(kind("heap"), BalancerKind::Heap);
    assert_eq!(
        kind("roundRobin"),
        BalancerKind::RoundRobin { max_effort: 5 }
    );
    let policy = |text: &str| {
        let r = router(&format!("client: {{failureAccrual: {{kind: {text}}}}}"));
        r.client.base().failure_accrual.policy
    };
    assert_eq!(policy("none"), AccrualPolicy::Never);
    assert_eq!(
        policy("io.l5d.consecutiveFailures, failures: 9"),
        AccrualPolicy::ConsecutiveFailures(9)
    );
    refused(
        "client: {failureAccrual: {kind: io.l5d.consecutiveFailures}}",
        "'failures' field is required",
    );
    refused(
        "client: {failureAccrual: {kind: io.l5d.successRate, successRate: 2, requests: 1}}",
        "a number from 0 to 1",
    );
}

/// 2.3: a later entry's keys win, one by one; `backoff` and `budget` of `retries` apart from each other.
#[test]
fn settings_by_prefix_override_key_by_key() {
    let r = router(
        "service: {kind: io.l5d.static, configs: [\
         {prefix: /, totalTimeoutMs: 100, retries: {backoff: {kind: constant, ms: 3}, budget: {ttlSecs: 4}}}, \
         {prefix: '/svc/{x}-slow', totalTimeoutMs: 900, retries: {budget: {ttlSecs: 6}}}]}",
    );
    let path = |text: &str| Path::parse(text).expect("a path");
    let slow = r.service.of(&path("/svc/a-slow"));
    assert_eq!(slow.total_timeout, Some(ms(900)));
    assert_eq!(slow.retry_budget.ttl, Duration::from_secs(6));
    assert_eq!(slow.retry_backoff, Backoff::Constant(ms(3)));
    assert_eq!(r.service.of(&path("/svc/a")).total_timeout, Some(ms(100)));
    refused("service: {configs: []}", "is for `kind: io.l5d.static`");
    refused(
        "service: {kind: io.l5d.static}",
        "'configs' field is required",
    );
    refused(
        "client: {kind: io.l5d.static, configs: [{prefix: '/{a}{b}'}]}",
        "would always be empty",
    );
    refused(
        "client: {kind: io.l5d.static, configs: [{prefix: /a, failfast: true}]}",
        "unknown key `failfast` in routers[0].client.configs[0]",
    );
}

#[test]
fn a_router_has_all_of_section_3() {
    let r = router(
        "originator: true, tracePropagator: {kind: io.l5d.w3c}, httpAccessLog: /var/log/a, httpAccessLogRollPolicy: daily, \
         httpAccessLogRotateCount: 3, accessLogFormat: json, viaPseudonym: edge, timeoutStatus: 504, enforceDeadline: true, \
         honorGrpcTimeout: false, dstPrefix: /a/b",
    );
    assert!(r.is_originator && r.enforces_deadline && !r.honors_grpc_timeout);
    assert_eq!(r.trace_propagator, TracePropagator::W3c);
    let log = r.access_log.as_ref().expect("a log");
    assert!(log.is_json && log.file.append);
    assert_eq!(log.file.keep, Some(3));
    assert_eq!((r.via.as_str(), r.timeout_status), ("edge", 504));
    refused("viaPseudonym: 'a b'", "cannot stand in Via");
    refused("timeoutStatus: 500", "must be one of 503, 504");
    refused("h2AccessLog: /a", "is for `protocol: h2`");
    refused(
        "streamingEnabled: false, streamAfterContentLengthKB: 1",
        "exclude each other",
    );
}

#[test]
fn protocols_that_are_not_spoken_name_the_router() {
    let text = "routers: [{protocol: thrift, label: old, thriftFramed: true}, {protocol: mux, servers: []}, \
                {protocol: http, servers: [{port: 0, prot: 1}]}]";
    let found = mistakes(text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].contains("router old: protocol `thrift` is not supported"));
    assert!(found[1].contains("router mux: protocol `mux` is not supported"));
    assert!(
        found[2].contains("unknown key `prot`"),
        "the rest is still checked"
    );
}

#[test]
fn telemeters_are_read() {
    let text = |list: &str| format!("{MINIMAL}\ntelemetry: [{list}]");
    let config = read(
        "l5d.yml",
        &text(
            "{kind: io.l5d.prometheus, path: /m, prefix: l5d_}, {kind: io.l5d.recentRequests, sampleRate: 0.25}, \
             {kind: io.l5d.zipkin, host: zipkin.default, sampleRate: 1.0}, {kind: io.l5d.tracelog}, \
             {kind: io.l5d.opentelemetry, endpoint: 'http://otel:4318/v1/traces', headers: {Authorization: x}}, \
             {kind: io.l5d.influxdb}, {kind: io.l5d.statsd, experimental: true, hostname: h}",
        ),
    )
    .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.telemetry.len(), 5, "two have no effect");
    let Telemeter::OpenTelemetry { endpoint, .. } = &config.telemetry[2] else {
        panic!("zipkin is mapped");
    };
    assert_eq!(endpoint, "http://zipkin.default:4318/v1/traces");
    let warned = |part: &str| config.warnings.iter().filter(|w| w.contains(part)).count();
    for part in ["io.l5d.zipkin sends to", "io.l5d.influxdb", "io.l5d.statsd"] {
        assert_eq!(warned(part), 1, "{part} in {:#?}", config.warnings);
    }
    has(
        &text("{kind: io.l5d.recentRequests}"),
        "'sampleRate' field is required",
    );
    has(&text("{kind: io.l5d.statsd}"), "experimental: true");
    has(&text("{kind: io.l5d.promethus}"), "unknown telemeter kind");
}

/// LEGACY keys load, with one warning each.
#[test]
fn legacy_keys_warn_once() {
    let text = "usage: {orgId: me, enabled: true}\nadmin: {workerThreads: 4, httpIdentifierPort: 9}\n\
         routers: [{protocol: http, compressionLevel: 1, announcers: [], bindingCache: {trees: 5, bounds: 6}, \
         servers: [{port: 0, label: x, announce: [/a], windowUpdateRatio: 0.5}], \
         service: {classificationTimeoutMs: 7, retryBufferSize: {responseBytes: 8}}, \
         client: {socketOptions: {backlog: 1, reuseAddr: true, reusePort: true, readTimeoutMs: 9, noDelay: true}}}]";
    let config = read("l5d.yml", text).unwrap_or_else(|e| panic!("{e}"));
    for key in [
        "orgId",
        "workerThreads",
        "compressionLevel",
        "announcers",
        "label",
        "announce",
        "httpIdentifierPort",
        "trees",
        "bounds",
        "windowUpdateRatio",
        "classificationTimeoutMs",
        "responseBytes",
        "backlog",
        "reuseAddr",
        "reusePort",
        "readTimeoutMs",
    ] {
        let key = format!("`{key}`");
        let n = config.warnings.iter().filter(|w| w.contains(&key)).count();
        assert_eq!(n, 1, "{key} in {:#?}", config.warnings);
    }
    has(
        &format!("{MINIMAL}\nannouncers: []"),
        "unknown key `announcers`",
    );
}

#[test]
fn an_identity_comes_from_namerd_or_from_files() {
    let read = |identity: &str| {
        let text = format!(
            "routers: [{{protocol: http, servers: [{{port: 0}}]}}]\nidentity: {{{identity}}}\n"
        );
        crate::config::read("l5d.yml", &text)
    };
    let good = |identity: &str| {
        let config = read(identity).expect("it is right");
        (config.identity.expect("an identity"), config.warnings)
    };
    let (own, warnings) = good("kind: io.l5d.namerd");
    let (dst, tls, token_file) = (Vec::new(), None, None);
    let issuer = Issuer::Namerd {
        dst,
        tls,
        token_file,
    };
    assert_eq!((own.issuer, own.plaintext), (issuer, Plaintext::Refused));
    assert!(warnings.is_empty());
    let (own, _) = good("kind: io.l5d.namerd, dst: /$/inet/namerd/4321, tokenFile: t");
    let Issuer::Namerd {
        dst, token_file, ..
    } = own.issuer
    else {
        panic!("of namerd")
    };
    assert_eq!(dst, [("namerd".to_owned(), 4321)]);
    assert_eq!(token_file, Some("t".into()));
    let files = "kind: io.l5d.files, certPath: c, keyPath: k, caCertPath: a, plaintext: allowed";
    let (own, warnings) = good(files);
    let Issuer::Files { certificate, trust } = own.issuer else {
        panic!("of files")
    };
    assert_eq!((certificate.key, trust), ("k".into(), "a".into()));
    assert_eq!(own.plaintext, Plaintext::Allowed);
    assert!(
        warnings[0].contains("for the time of a change"),
        "{warnings:?}"
    );
    for (identity, want) in [
        (
            "kind: io.l5d.files, certPath: c, keyPath: k",
            "'caCertPath' field is required",
        ),
        (
            "kind: io.l5d.namerd, plaintext: sometimes",
            "must be refused or allowed",
        ),
        ("kind: io.l5d.namerd, certPath: c", "unknown key `certPath`"),
        ("kind: io.l5d.vault", "unknown"),
    ] {
        let mistakes = read(identity).expect_err(identity).to_string();
        assert!(mistakes.contains(want), "{identity}: {mistakes}");
    }
    // Who is to be certified by its name must have one.
    let config = read("kind: io.l5d.namerd").expect("it is right");
    let missing = config.check_identity(&Identity::default());
    let missing = missing.expect_err("no name, no namerd");
    assert!(missing.contains(&IdentityError::Nameless), "{missing:?}");
    assert!(missing.contains(&IdentityError::NoIssuer), "{missing:?}");
}
