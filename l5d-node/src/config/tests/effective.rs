//! What is shown of a configuration says all of it.

use serde_json::Value;

use super::*;

/// Many keys, each with a value of its own.
const ALL: &str = r#"
admin: {ip: 0.0.0.0, port: 9991, shutdownGraceMs: 5}
telemetry:
- {kind: io.l5d.prometheus, path: /m, prefix: p_}
- {kind: io.l5d.recentRequests, sampleRate: 0.5, capacity: 3}
- {kind: io.l5d.tracelog, sampleRate: 0.25, level: DEBUG}
- {kind: io.l5d.opentelemetry, endpoint: 'http://c:4318/v1/traces', headers: {Authorization: hidden}, resource: {a: b}}
maxStaleSecs: 7
routers:
- protocol: http
  label: one
  dtab: /a => /b | 0.5 * /c & 0.125 * /d
  dstPrefix: /x/y
  identifier:
  - {kind: io.l5d.header.token, header: X, lowerCase: true}
  - {kind: io.l5d.header, header: Y}
  - {kind: io.l5d.header.path, segments: 2}
  - {kind: io.l5d.methodAndHost, httpUriInDst: true}
  - {kind: io.l5d.path, segments: 3, consume: true}
  - {kind: io.l5d.static, path: /s}
  - {kind: io.l5d.ingress, namespace: n, ingressClassAnnotation: c, ignoreDefaultBackends: true}
  interpreter:
    kind: io.l5d.mesh
    dst: [/$/inet/h/1, /$/inet/127.1/2]
    root: /r
    retry: {maxSeconds: 3}
    tokenFile: /t
    tls: {commonName: n, trustCerts: [/a, /b], clientAuth: {certPath: /c, keyPath: /k}, protocols: [TLSv1.3]}
    transformers:
    - {kind: io.l5d.k8s.daemonset, namespace: d, port: in, service: l5d, hostNetwork: true}
    - {kind: io.l5d.k8s.localnode, netmask: 255.255.255.0}
  bindingTimeoutMs: 11
  bindingCache: {paths: 1, clients: 4, idleTtlSecs: 5}
  maxHeadersKB: 12
  maxInitialLineKB: 13
  streamAfterContentLengthKB: 14
  maxErrResponseKB: 15
  originator: true
  tracePropagator: {kind: io.l5d.zipkin}
  httpAccessLog: /log
  httpAccessLogRollPolicy: weekly(2)
  httpAccessLogRotateCount: 4
  accessLogFormat: json
  viaPseudonym: p
  timeoutStatus: 504
  enforceDeadline: true
  honorGrpcTimeout: false
  servers:
  - port: 0
    ip: 127.0.0.2
    clearContext: true
    maxCallDepth: 5
    timeoutMs: 6
    socketOptions: {noDelay: false, backlog: 9}
    serverSession: {idleTimeMs: 1, lifeTimeMs: 2}
    addForwardedHeader: {by: {kind: router}, for: {kind: static, label: x}}
    timestampHeader: T
    maxFrameBytes: 20000
    maxConcurrentStreamsPerConnection: 3
  client:
    kind: io.l5d.static
    configs:
    - {prefix: /, loadBalancer: {kind: aperture, minAperture: 2}, failureAccrual: {kind: io.l5d.successRate, successRate: 0.5, requests: 4}}
    - {prefix: '/#/{x}', failFast: true, requestAttemptTimeoutMs: 9, nodeHttp2: false, hostConnectionPool: {maxSize: 4}, socketOptions: {keepAlive: true, writeTimeoutMs: 3}}
  service:
    kind: io.l5d.static
    configs:
    - {prefix: /svc, totalTimeoutMs: 8, retries: {backoff: {kind: jittered, minMs: 1, maxMs: 2}}}
    - {prefix: /, responseClassifier: {kind: io.l5d.h2.grpc.retryableStatusCodes, retryableStatusCodes: [3]}}
- protocol: http
  label: two
  interpreter: {kind: io.l5d.namerd, dst: /$/inet/h/4100, namespace: n, resolverPort: 5000, tls: {commonName: n, caCert: /ca}}
  servers: [{port: 0}]
  client: {failureAccrual: {kind: none}, requeueBudget: {percentCanRetry: 2}, clientSession: {idleTimeMs: 4}}
"#;

fn shown(text: &str) -> Value {
    let config = read("l5d.yml", text).unwrap_or_else(|e| panic!("{e}"));
    effective(&config)
}

#[test]
fn what_is_shown_can_be_read_again() {
    for text in [MINIMAL, ALL] {
        let first = shown(text);
        let second = shown(&first.to_string());
        assert_eq!(first, second);
    }
    // Nothing of the file was lost on the way: what was read is the same, too.
    let config = |text: &str| read("l5d.yml", text).unwrap_or_else(|e| panic!("{e}"));
    let (first, second) = (config(ALL), config(&shown(ALL).to_string()));
    for (a, b) in first.routers.iter().zip(&second.routers) {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
    assert_eq!(format!("{:?}", first.admin), format!("{:?}", second.admin));
}

#[test]
fn secrets_are_not_shown() {
    let text = shown(ALL).to_string();
    assert!(!text.contains("hidden") && text.contains("http://c:4318"));
}

#[test]
fn defaults_are_filled_in() {
    let shown = shown(MINIMAL);
    let router = &shown["routers"][0];
    assert_eq!(router["bindingTimeoutMs"], 10_000);
    assert_eq!(router["client"]["loadBalancer"]["kind"], "ewma");
    assert_eq!(
        router["service"]["retries"]["budget"]["percentCanRetry"],
        0.2
    );
    assert_eq!(router["servers"][0]["maxCallDepth"], 1000);
    assert_eq!(shown["admin"]["port"], 9990);
}
