//! Configurations with every key that Linkerd 1.7.5 knows.

/// node-proxy 2.4 to 7, 12.1, 13, 14, 15.1.
pub(super) const LINKERD: &str = r#"
admin:
  ip: 127.0.0.1
  port: 9990
  tls: {certPath: /c.pem, keyPath: /k.pem}
  socketOptions: {noDelay: true}
  shutdownGraceMs: 5000
  workerThreads: 4
  httpIdentifierPort: 9994
  security:
    uiEnabled: false
    controlEnabled: false
    diagnosticsEnabled: true
    pathWhitelist: [/metrics.json]
    pathBlacklist: ["/admin/.*"]
usage: {orgId: me, enabled: true}
telemetry:
- {kind: io.l5d.prometheus, path: /prometheus, prefix: l5d_}
- {kind: io.l5d.recentRequests, sampleRate: 0.5, capacity: 12}
- {kind: io.l5d.zipkin, host: zipkin, port: 9410, sampleRate: 0.02}
- {kind: io.l5d.tracelog, sampleRate: 0.3, level: DEBUG}
- {kind: io.l5d.influxdb}
- {kind: io.l5d.statsd, experimental: true, prefix: linkerd, hostname: statsd, port: 8125, gaugeIntervalMs: 10000, sampleRate: 0.01}
namers:
- {kind: io.l5d.k8s, host: api.example, port: 8002, labelSelector: version}
- {kind: io.l5d.k8s.ns, host: api.example, port: 8002, envVar: NS}
- {kind: io.l5d.k8s.external, experimental: true, host: api.example, port: 8003}
- {kind: io.l5d.consul, host: consul, port: 8500, includeTag: true, useHealthCheck: true, token: t, setHost: true}
- {kind: io.l5d.fs, rootDir: /tmp}
- {kind: io.l5d.serversets, zkAddrs: [{host: zk, port: 2181}]}
- {kind: io.l5d.marathon, host: marathon.mesos, port: 80, uriPrefix: /m, ttlMs: 5000}
- {kind: io.l5d.curator, zkAddrs: [{host: zk2, port: 2182}], basePath: /discovery}
- {kind: io.l5d.rancher, portMappings: {http: 80}}
- {kind: io.l5d.dnssrv, refreshIntervalSeconds: 5, domain: srv.local}
- {kind: io.l5d.rewrite, prefix: /rw, pattern: "/{a}", name: "/b/{a}"}
- kind: io.l5d.k8s
  prefix: /ds
  host: api.example
  port: 8002
  transformers:
  - {kind: io.l5d.k8s.daemonset, k8sHost: localhost, k8sPort: 8001, namespace: l5d, service: l5d, port: incoming, hostNetwork: true}
  - {kind: io.l5d.port, port: 4141}
routers:
- protocol: http
  label: full
  experimental: true
  originator: true
  dstPrefix: /svc
  bindingTimeoutMs: 5000
  bindingCache: {paths: 10, trees: 10, bounds: 10, clients: 10, idleTtlSecs: 60}
  announcers: [{kind: io.l5d.serversets, zkAddrs: [{host: zk3, port: 2183}], pathPrefix: /a}]
  tracePropagator: {kind: io.l5d.zipkin}
  httpAccessLog: /var/log/access
  httpAccessLogRollPolicy: daily
  httpAccessLogAppend: false
  httpAccessLogRotateCount: 3
  streamAfterContentLengthKB: 6
  maxHeadersKB: 9
  maxInitialLineKB: 5
  maxErrResponseKB: 100
  compressionLevel: 3
  identifier:
  - {kind: io.l5d.header.token, header: my-header}
  dtab: |
    /svc => /#/io.l5d.fs ; # the files
  interpreter:
    kind: io.l5d.mesh
    dst: /$/inet/namerd/4321
    root: /web
    retry: {baseSeconds: 5, maxSeconds: 20}
    failureThreshold: {minPeriodMs: 5000, closeTimeoutMs: 4001}
    initialStreamWindowSizeKB: 1025
    transformers:
    - {kind: io.l5d.k8s.localnode, hostNetwork: true}
    - {kind: io.l5d.localhost}
    - {kind: io.l5d.specificHost, host: 10.0.0.1}
    - {kind: io.l5d.const, path: /$/inet/a/80}
    - {kind: io.l5d.replace, path: /$/inet/b/81}
  servers:
  - port: 4140
    ip: 0.0.0.0
    label: in
    clearContext: true
    maxConcurrentRequests: 77
    timeoutMs: 888
    announce: [/#/io.l5d.serversets/discovery/prod/web]
    socketOptions: {noDelay: false, reuseAddr: true, reusePort: true, readTimeoutMs: 1, writeTimeoutMs: 2, keepAlive: true, backlog: 9}
    serverSession: {idleTimeMs: 101, lifeTimeMs: 102}
    addForwardedHeader: {by: {kind: router}, for: {kind: ip}}
    maxCallDepth: 99
    timestampHeader: x-start
  service:
    kind: io.l5d.global
    totalTimeoutMs: 500
    retries: {budget: {ttlSecs: 11, minRetriesPerSec: 12, percentCanRetry: 0.13}, backoff: {kind: jittered, minMs: 14, maxMs: 15}}
    responseClassifier: {kind: io.l5d.http.successClass}
  client:
    kind: io.l5d.global
    loadBalancer: {kind: ewma, maxEffort: 6, decayTimeMs: 10001, enableProbation: false}
    failureAccrual: {kind: io.l5d.successRate, successRate: 0.91, requests: 21, backoff: {kind: constant, ms: 10002}}
    requestAttemptTimeoutMs: 77
    requeueBudget: {ttlSecs: 16, minRetriesPerSec: 17, percentCanRetry: 0.18}
    hostConnectionPool: {minSize: 1, maxSize: 2, idleTimeMs: 3, maxWaiters: 4}
    clientSession: {idleTimeMs: 104, lifeTimeMs: 105}
    failFast: true
    socketOptions: {keepAlive: true}
    forwardClientCert: true
- protocol: http
  label: static
  servers: [{port: 4150}]
  service:
    kind: io.l5d.static
    configs:
    - {prefix: /svc/a, totalTimeoutMs: 31}
  client:
    kind: io.l5d.static
    configs:
    - prefix: "/#/io.l5d.k8s/*/https/{s}"
      tls: {commonName: "{s}", trustCertsBundle: /ca.pem, clientAuth: {certPath: /c2.pem, keyPath: /k2.pem}, protocols: [TLSv1.2]}
    - {prefix: /, failureAccrual: {kind: none}}
- protocol: http
  label: transformed
  servers: [{port: 4151}]
  client:
    kind: io.l5d.static
    configs:
    - {prefix: "/%/io.l5d.k8s.daemonset/default/incoming/l5d", tls: {commonName: linkerd, disableValidation: true}}
- protocol: http
  label: authorized
  servers: [{port: 4152}]
  client: {requestAuthorizers: [{kind: io.l5d.k8s.istio}]}
- protocol: http
  label: chain
  servers: [{port: 4153}]
  identifier:
  - {kind: io.l5d.header, header: l5d-name}
  - {kind: io.l5d.path, segments: 2, consume: true}
  - {kind: io.l5d.methodAndHost, httpUriInDst: true}
- protocol: http
  label: encrypted
  servers: [{port: 4154, tls: {certPath: /c3.pem, keyPath: /k3.pem, caCertPath: /ca3.pem, requireClientAuth: true, ciphers: [A], protocols: [TLSv1.2]}}]
  interpreter:
    kind: io.l5d.namerd
    dst: /$/inet/namerd/4100
    namespace: ns
    tls: {commonName: namerd, caCert: /ca4.pem}
- protocol: h2
  label: two
  h2AccessLog: /log2
  h2AccessLogRollPolicy: hourly
  h2AccessLogAppend: true
  h2AccessLogRotateCount: 4
  identifier: {kind: io.l5d.header.path, header: ":path", segments: 2}
  servers:
  - {port: 4160, initialStreamWindowBytes: 65536, headerTableBytes: 4097, maxFrameBytes: 16385, maxHeaderListBytes: 8193, windowUpdateRatio: 0.98, maxConcurrentStreamsPerConnection: 1001}
  service: {responseClassifier: {kind: io.l5d.h2.grpc.default, successStatusCodes: [0]}, classificationTimeoutMs: 101, retryBufferSize: {requestBytes: 16384, responseBytes: 16385}}
- protocol: thrift
  label: old
  thriftMethodInDst: true
  thriftProtocol: compact
  servers: [{port: 4114, thriftFramed: false}]
  client: {thriftFramed: false, attemptTTwitterUpgrade: true}
- protocol: mux
  servers: [{port: 4171}]
- protocol: thriftmux
  experimental: true
  servers: [{port: 4172}]
  interpreter: {kind: io.l5d.subnet, netmask: 255.255.0.0}
"#;

/// control plane 3 and 12.
pub(super) const NAMERD: &str = r#"
admin:
  ip: 127.0.0.1
  port: 9991
  socketOptions: {noDelay: true, reuseAddr: false, reusePort: true, readTimeoutMs: 11, writeTimeoutMs: 12, keepAlive: true, backlog: 13}
  shutdownGraceMs: 7000
  workerThreads: 3
  httpIdentifierPort: 9995
  security: {uiEnabled: true, controlEnabled: false, diagnosticsEnabled: false, pathWhitelist: ["/a.*"], pathBlacklist: ["/b.*"]}
storage:
  kind: io.l5d.zk
  experimental: true
  zkAddrs: [{host: zk, port: 2181}]
  pathPrefix: /dtabs
  sessionTimeoutMs: 10001
  authInfo: {scheme: digest, auth: me}
  acls: [{scheme: world, id: anyone, perms: crwda}]
namers:
- {kind: io.l5d.k8s, host: api.example, port: 8001, labelSelector: v}
- {kind: io.l5d.fs, rootDir: /tmp, experimental: true}
- {kind: io.l5d.rewrite, prefix: /rw, pattern: "/{a}", name: "/b/{a}"}
- {kind: io.l5d.marathon, host: m, port: 81}
interfaces:
- {kind: io.l5d.httpController, ip: 0.0.0.0, port: 4180, socketOptions: {backlog: 14}}
- {kind: io.l5d.mesh, ip: 0.0.0.0, port: 4321, h2AccessLog: /log, h2AccessLogRollPolicy: Daily, h2AccessLogAppend: true, h2AccessLogRotateCount: 5}
- {kind: io.l5d.thriftNameInterpreter, port: 4100, retryBaseSecs: 600, retryJitterSecs: 61, cache: {bindingCacheActive: 1001, bindingCacheInactive: 101, addrCacheActive: 1002, addrCacheInactive: 102}}
- {kind: io.l5d.destination, port: 8086, prefix: /svc, namespace: default}
telemetry:
- {kind: io.l5d.prometheus, path: /prom, prefix: namerd_}
- {kind: io.l5d.recentRequests, sampleRate: 0.5, capacity: 10}
- {kind: io.l5d.zipkin, host: z, port: 9411, sampleRate: 0.04}
- {kind: io.l5d.tracelog, sampleRate: 0.6, level: INFO}
- {kind: io.l5d.influxdb}
- {kind: io.l5d.statsd, experimental: true, prefix: n, hostname: s, port: 8126, gaugeIntervalMs: 10003, sampleRate: 0.07}
- {kind: io.l5d.commonMetrics}
"#;
