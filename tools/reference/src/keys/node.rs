//! Every key of `l5d-node`'s file.

use super::{Group, Key, shared};

const fn key(name: &'static str, default: &'static str, says: &'static str) -> Key {
    Key {
        name,
        default,
        says,
    }
}

/// In the order of the page.
pub(super) const GROUPS: &[Group] = &[
    Group {
        id: "top",
        title: "Top level",
        places: &[""],
        keys: &[
            key(
                "routers",
                "",
                "what listens and routes, one section for each router",
            ),
            key("admin", "", "the admin server"),
            key(
                "identity",
                "",
                "who this process is among its peers; with it, what goes to other nodes is encrypted",
            ),
            key(
                "telemetry",
                "",
                "where traces and recent requests go; metrics are always served",
            ),
            key(
                "maxStaleSecs",
                "",
                "how old the warm file's state may be at most; without it each part has its own rule",
            ),
            key(
                "namers",
                "",
                "belong to namerd: refused unless the list is empty; `namerctl migrate` moves them",
            ),
            key("usage", "", "of linkerd 1.x; nothing is ever reported"),
        ],
    },
    Group {
        id: "usage",
        title: "`usage`",
        places: &["usage"],
        keys: &[
            key("orgId", "", "nothing is reported"),
            key(
                "enabled",
                "",
                "read and without meaning: nothing is reported",
            ),
        ],
    },
    Group {
        id: "admin",
        title: "`admin`",
        places: &["admin"],
        keys: &[
            key("ip", "`127.0.0.1`", "where the admin server listens"),
            key("port", "`9990`", "its port; 0 asks the system for one"),
            key(
                "shutdownGraceMs",
                "`10000`",
                "how long open requests get when the process is asked to stop",
            ),
            key("security", "", "which pages are served"),
            key("tls", "", "TLS of the admin server"),
            key("socketOptions", "", "options of its sockets"),
            key(
                "httpIdentifierPort",
                "",
                "recent requests and the access log tell the names that requests got",
            ),
            key(
                "workerThreads",
                "",
                "the admin server has one thread of its own",
            ),
        ],
    },
    Group {
        id: "security",
        title: "`admin.security`",
        places: &["admin.security"],
        keys: &[
            key("uiEnabled", "`true`", "the web page and what it asks for"),
            key(
                "controlEnabled",
                "`true`",
                "`/admin/shutdown` and changes of log levels",
            ),
            key(
                "diagnosticsEnabled",
                "`true`",
                "all other pages, metrics included",
            ),
            key(
                "pathWhitelist",
                "",
                "regular expressions of paths that are served although their category is off",
            ),
            key(
                "pathBlacklist",
                "",
                "regular expressions of paths that are not served although it is on",
            ),
        ],
    },
    Group {
        id: "identity",
        title: "`identity`",
        places: &["identity{io.l5d.namerd}", "identity{io.l5d.files}"],
        keys: &[key(
            "plaintext",
            "`refused`",
            "what becomes of peers without an identity: `refused`, or `allowed` while a cluster changes over",
        )],
    },
    Group {
        id: "identity-namerd",
        title: "`identity`, kind `io.l5d.namerd`: namerd signs a short-lived certificate",
        places: &["identity{io.l5d.namerd}"],
        keys: &[
            key(
                "dst",
                "the namerd of the first router",
                "which namerd signs: `/$/inet/HOST/PORT`, or a list of them",
            ),
            key("tls", "", "TLS to it"),
            key(
                "tokenFile",
                "",
                "the token that proves which node this is, such as a projected service account token",
            ),
        ],
    },
    Group {
        id: "identity-files",
        title: "`identity`, kind `io.l5d.files`: something else renews files",
        places: &["identity{io.l5d.files}"],
        keys: &[
            key(
                "certPath",
                "",
                "the certificate, PEM, with a SPIFFE id of a node",
            ),
            key("keyPath", "", "its key, PEM"),
            key(
                "intermediateCertsPath",
                "",
                "certificates between it and the authority",
            ),
            key("caCertPath", "", "the authorities of all nodes"),
        ],
    },
    Group {
        id: "router",
        title: "`routers[]`",
        places: &["routers[]"],
        keys: &[
            key(
                "protocol",
                "",
                "`http` (HTTP/1.0 and 1.1) or `h2` (HTTP/2, gRPC)",
            ),
            key(
                "label",
                "the protocol",
                "its name in metrics, logs and pages; unique",
            ),
            key("servers", "", "where it listens"),
            key("interpreter", "kind `default`", "who binds names"),
            key(
                "dtab",
                "",
                "rules behind the stored ones, for this router's requests",
            ),
            key("dstPrefix", "`/svc`", "stands before every identified name"),
            key(
                "identifier",
                "the `Host` header, `:authority` for `h2`",
                "how a request gets its name; a section, or a list that is tried in order",
            ),
            key("service", "", "settings of logical names"),
            key("client", "", "settings of bound names"),
            key(
                "bindingTimeoutMs",
                "`10000`",
                "how long a request waits for its name to be bound",
            ),
            key("bindingCache", "", "bounds of what is remembered"),
            key(
                "maxHeadersKB",
                "`8`",
                "longest header block of one message, in KiB",
            ),
            key(
                "maxInitialLineKB",
                "`4`",
                "longest request or status line, in KiB",
            ),
            key(
                "maxErrResponseKB",
                "`5120`",
                "longest body of an error response made here, in KiB",
            ),
            key(
                "streamAfterContentLengthKB",
                "`5`",
                "bodies of a known length up to this are read whole, in KiB",
            ),
            key(
                "streamingEnabled",
                "`true`",
                "`false` has no effect: long messages always stream, in bounded memory",
            ),
            key("timeoutStatus", "`503`", "status of timeouts: 503 or 504"),
            key(
                "enforceDeadline",
                "`false`",
                "`l5d-ctx-deadline` ends a request instead of only being handed on",
            ),
            key(
                "honorGrpcTimeout",
                "`true`",
                "`grpc-timeout` is an upper bound of the total timeout",
            ),
            key(
                "allowConnect",
                "`false`",
                "CONNECT opens a tunnel to the endpoint of its name instead of being answered 405",
            ),
            key("viaPseudonym", "`linkerd`", "our name in `Via`"),
            key(
                "plainErrors",
                "`false`",
                "failures of gRPC requests are answered as linkerd 1.x does (`h2`)",
            ),
            key(
                "answerUnidentified",
                "`false`",
                "400 instead of a reset stream for a request without a name (`h2`)",
            ),
            key(
                "tracePropagator",
                "",
                "how the trace context travels: section with a `kind`",
            ),
            key(
                "originator",
                "`false`",
                "publishes the gauge `rt/<label>/originator`",
            ),
            key("httpAccessLog", "", "file of the access log (`http`)"),
            key(
                "httpAccessLogRollPolicy",
                "`never`",
                "`never`, `hourly`, `daily`, `weekly(1)` to `weekly(7)`, or a size such as `3.megabytes`",
            ),
            key(
                "httpAccessLogAppend",
                "`true`",
                "lines are added to a file that is there at the start",
            ),
            key(
                "httpAccessLogRotateCount",
                "`-1`",
                "how many rolled files stay; -1: all",
            ),
            key("h2AccessLog", "", "file of the access log (`h2`)"),
            key(
                "h2AccessLogRollPolicy",
                "`never`",
                "as `httpAccessLogRollPolicy`",
            ),
            key("h2AccessLogAppend", "`true`", "as `httpAccessLogAppend`"),
            key(
                "h2AccessLogRotateCount",
                "`-1`",
                "as `httpAccessLogRotateCount`",
            ),
            key("accessLogFormat", "`text`", "`text` or `json`"),
            key("experimental", "", "read and without meaning"),
            key("announcers", "", "announcing was for ZooKeeper server sets"),
            key("compressionLevel", "", "responses are never compressed"),
        ],
    },
    Group {
        id: "cache",
        title: "`routers[].bindingCache`",
        places: &["routers[].bindingCache"],
        keys: &[
            key("paths", "`1000`", "names with their overrides"),
            key(
                "trees",
                "",
                "a name has its tree with it: `paths` bounds both",
            ),
            key(
                "bounds",
                "",
                "a name has its tree with it: `paths` bounds both",
            ),
            key("clients", "`1000`", "bound names"),
            key("idleTtlSecs", "`600`", "how long an unused entry stays"),
        ],
    },
    Group {
        id: "propagator",
        title: "`routers[].tracePropagator`: only a `kind`",
        places: &[
            "routers[].tracePropagator{io.l5d.default}",
            "routers[].tracePropagator{io.l5d.zipkin}",
            "routers[].tracePropagator{io.l5d.w3c}",
        ],
        keys: &[],
    },
    Group {
        id: "server",
        title: "`routers[].servers[]`",
        places: &["routers[].servers[]"],
        keys: &[
            key(
                "ip",
                "`127.0.0.1`",
                "where it listens: an address or a host name",
            ),
            key(
                "port",
                "4140, 4142 for `h2`",
                "its port; 0 asks the system for one",
            ),
            key("tls", "", "TLS with clients"),
            key(
                "clearContext",
                "`false`",
                "takes away what clients say about context and override, and what answers tell about the inside: for traffic from outside",
            ),
            key("maxConcurrentRequests", "", "more are answered 503 at once"),
            key(
                "timeoutMs",
                "",
                "longest time to the head of the response; 0: none",
            ),
            key(
                "maxCallDepth",
                "`1000`",
                "requests with more elements in `Via` are refused: a loop",
            ),
            key("serverSession", "", "how long connections may live"),
            key("addForwardedHeader", "", "adds a `Forwarded` header"),
            key(
                "timestampHeader",
                "",
                "name of a header that gets the time of arrival, in milliseconds",
            ),
            key(
                "maxConcurrentStreamsPerConnection",
                "`1000`",
                "HTTP/2: streams of one connection at once",
            ),
            key("socketOptions", "", "options of its sockets"),
            key("label", "", "metrics call a server by its ip and port"),
            key("announce", "", "nothing is announced"),
        ],
    },
    Group {
        id: "h2",
        title: "HTTP/2 settings of servers and clients",
        places: &["@server", "@client"],
        keys: &[
            key(
                "initialStreamWindowBytes",
                "`65535`",
                "what a peer may send on a stream before we take it",
            ),
            key(
                "initialConnectionWindowBytes",
                "`1048576`",
                "the same for all streams of a connection",
            ),
            key(
                "headerTableBytes",
                "",
                "size of the table of compressed headers",
            ),
            key("maxFrameBytes", "", "longest frame that we take"),
            key(
                "maxHeaderListBytes",
                "`maxHeadersKB`, if given",
                "longest headers that we take",
            ),
            key(
                "windowUpdateRatio",
                "",
                "room in a window comes back as the other side takes what was in it",
            ),
            key(
                "pingIntervalMs",
                "`10000`",
                "a peer that was silent for so long while streams are open is asked",
            ),
            key(
                "pingTimeoutMs",
                "`3000`",
                "without an answer for so long the connection is closed",
            ),
        ],
    },
    Group {
        id: "forwarded",
        title: "`addForwardedHeader`",
        places: &["@server.addForwardedHeader"],
        keys: &[
            key(
                "by",
                "kind `requestRandom`",
                "what stands for our own address",
            ),
            key(
                "for",
                "kind `requestRandom`",
                "what stands for the client's address",
            ),
        ],
    },
    Group {
        id: "labeler",
        title: "`addForwardedHeader.by` and `.for`: only a `kind`, besides",
        places: &[
            "@server.addForwardedHeader.by{static}",
            "@server.addForwardedHeader.for{static}",
        ],
        keys: &[key("label", "", "the text, with `_` before it")],
    },
    Group {
        id: "session",
        title: "`serverSession` and `clientSession`",
        places: &["@server.serverSession", "@client.clientSession"],
        keys: &[
            key(
                "idleTimeMs",
                "",
                "a connection without requests for so long is closed; 0: none",
            ),
            key(
                "lifeTimeMs",
                "",
                "a connection is closed, between requests, after so long; 0: none",
            ),
        ],
    },
    Group {
        id: "sockets",
        title: "`socketOptions` of servers",
        places: &["admin.socketOptions", "@server.socketOptions"],
        keys: &[
            key("noDelay", "`true`", "small writes are sent at once"),
            key("reuseAddr", "`true`", "a port in time-wait can be taken"),
            key(
                "reusePort",
                "`false`",
                "two processes may listen at once, so that a new one takes over from an old one",
            ),
            key(
                "keepAlive",
                "as the system has it",
                "TCP's own probes of idle connections",
            ),
            key(
                "readTimeoutMs",
                "",
                "longest wait for bytes while some are due; 0: none",
            ),
            key(
                "writeTimeoutMs",
                "",
                "longest wait for the peer to take bytes; 0: none",
            ),
            key("backlog", "", "connections that wait to be accepted"),
        ],
    },
    Group {
        id: "client-sockets",
        title: "`socketOptions` of clients",
        places: &["@client.socketOptions"],
        keys: &[
            key("noDelay", "`true`", "small writes are sent at once"),
            key(
                "keepAlive",
                "as the system has it",
                "TCP's own probes of idle connections",
            ),
            key(
                "writeTimeoutMs",
                "",
                "longest wait for the peer to take bytes; 0: none",
            ),
            key(
                "readTimeoutMs",
                "",
                "`requestAttemptTimeoutMs` and `streamIdleTimeoutMs` limit how long a server may say nothing",
            ),
            key("reuseAddr", "", "it is for servers"),
            key("reusePort", "", "it is for servers"),
            key("backlog", "", "it is for servers"),
        ],
    },
    Group {
        id: "identifier-token",
        title: "`identifier`, kind `io.l5d.header.token`: one segment, the header's value",
        places: &["@identifier{io.l5d.header.token}"],
        keys: &[
            key("header", "Host, for `h2` :authority", "which header"),
            key(
                "lowerCase",
                "`false`",
                "the value is folded to small letters",
            ),
        ],
    },
    Group {
        id: "identifier",
        title: "`identifier`: a section or a list of sections, by `kind`",
        places: &["routers[].identifier", "routers[].identifier[]"],
        keys: &[],
    },
    Group {
        id: "identifier-header",
        title: "`identifier`, kind `io.l5d.header`: the header's value is a path",
        places: &["@identifier{io.l5d.header}"],
        keys: &[key("header", "`l5d-name`", "which header")],
    },
    Group {
        id: "identifier-header-path",
        title: "`identifier`, kind `io.l5d.header.path`: the first segments of the header's value (gRPC)",
        places: &["@identifier{io.l5d.header.path}"],
        keys: &[
            key("header", "`:path`", "which header"),
            key("segments", "all", "how many"),
        ],
    },
    Group {
        id: "identifier-method",
        title: "`identifier`, kind `io.l5d.methodAndHost`: `/1.1/GET/host`",
        places: &["@identifier{io.l5d.methodAndHost}"],
        keys: &[key(
            "httpUriInDst",
            "`false`",
            "the segments of the URI follow; each URI is then a name of its own",
        )],
    },
    Group {
        id: "identifier-path",
        title: "`identifier`, kind `io.l5d.path`: the first segments of the URI",
        places: &["@identifier{io.l5d.path}"],
        keys: &[
            key("segments", "`1`", "how many"),
            key("consume", "`false`", "they are taken off what is sent on"),
        ],
    },
    Group {
        id: "identifier-static",
        title: "`identifier`, kind `io.l5d.static`: always the same",
        places: &["@identifier{io.l5d.static}"],
        keys: &[key("path", "", "the name behind `dstPrefix`")],
    },
    Group {
        id: "identifier-ingress",
        title: "`identifier`, kind `io.l5d.ingress`: by the Ingress rules that namerd serves",
        places: &["@identifier{io.l5d.ingress}"],
        keys: &[
            key(
                "namespace",
                "all",
                "Ingresses of this Kubernetes namespace only",
            ),
            key(
                "ingressClassAnnotation",
                "`linkerd`",
                "Ingresses of this class",
            ),
            key(
                "ignoreDefaultBackends",
                "`false`",
                "default backends are not used",
            ),
            key("host", "", "namerd watches the Kubernetes API"),
            key("port", "", "namerd watches the Kubernetes API"),
        ],
    },
    Group {
        id: "interpreter",
        title: "`interpreter`, every kind",
        places: &[
            "routers[].interpreter{default}",
            "routers[].interpreter{io.l5d.mesh}",
            "routers[].interpreter{io.l5d.namerd}",
            "routers[].interpreter{io.l5d.namerd.http}",
        ],
        keys: &[
            key(
                "transformers",
                "",
                "change the endpoints of what was bound; run by namerd",
            ),
            key("experimental", "", "`io.l5d.namerd.http` needs `true`"),
        ],
    },
    Group {
        id: "follows",
        title: "`interpreter`, kinds that name a namerd (`default` follows that of `--namerd`, without a stored dtab)",
        places: &[
            "routers[].interpreter{io.l5d.mesh}",
            "routers[].interpreter{io.l5d.namerd}",
            "routers[].interpreter{io.l5d.namerd.http}",
        ],
        keys: &[
            key(
                "dst",
                "",
                "`/$/inet/HOST/PORT` of namerd's mesh interface, or a list of them",
            ),
            key("tls", "", "TLS to it"),
            key(
                "tokenFile",
                "",
                "the token that is shown to it; read for each connection",
            ),
            key("retry", "", "waits between attempts to reach it"),
        ],
    },
    Group {
        id: "mesh",
        title: "`interpreter`, kind `io.l5d.mesh`",
        places: &["routers[].interpreter{io.l5d.mesh}"],
        keys: &[
            key("root", "`/default`", "the dtab namespace"),
            key(
                "failureThreshold",
                "",
                "the stream is watched by heartbeats",
            ),
            key(
                "initialStreamWindowSizeKB",
                "",
                "the stream has a window of its own",
            ),
        ],
    },
    Group {
        id: "thrift",
        title: "`interpreter`, kinds `io.l5d.namerd` and `io.l5d.namerd.http`: followed over the resolver API instead",
        places: &[
            "routers[].interpreter{io.l5d.namerd}",
            "routers[].interpreter{io.l5d.namerd.http}",
        ],
        keys: &[
            key("namespace", "`default`", "the dtab namespace"),
            key(
                "resolverPort",
                "`4321`",
                "the port of namerd's mesh interface, in place of that of `dst`",
            ),
        ],
    },
    Group {
        id: "thrift-threshold",
        title: "`interpreter`, kind `io.l5d.namerd`, besides",
        places: &["routers[].interpreter{io.l5d.namerd}"],
        keys: &[key(
            "failureThreshold",
            "",
            "the stream is watched by heartbeats",
        )],
    },
    Group {
        id: "threshold",
        title: "`interpreter.failureThreshold`",
        places: &[
            "routers[].interpreter{io.l5d.mesh}.failureThreshold",
            "routers[].interpreter{io.l5d.namerd}.failureThreshold",
        ],
        keys: &[
            key("minPeriodMs", "", "the stream is watched by heartbeats"),
            key("closeTimeoutMs", "", "the stream is watched by heartbeats"),
        ],
    },
    Group {
        id: "retry",
        title: "`interpreter.retry`",
        places: &["@follows.retry"],
        keys: &[
            key("baseSeconds", "", "the wait begins at half a second"),
            key(
                "maxSeconds",
                "30",
                "the longest wait; more than 30 has no effect",
            ),
        ],
    },
    shared::TRANSFORMERS,
    Group {
        places: &["@interpreter.transformers[]{io.l5d.k8s.daemonset}"],
        ..shared::DAEMONSET
    },
    Group {
        places: &["@interpreter.transformers[]{io.l5d.k8s.localnode}"],
        ..shared::LOCALNODE
    },
    Group {
        places: &["@interpreter.transformers[]{io.l5d.port}"],
        ..shared::PORT
    },
    Group {
        places: &["@interpreter.transformers[]{io.l5d.specificHost}"],
        ..shared::SPECIFIC_HOST
    },
    Group {
        places: &[
            "@interpreter.transformers[]{io.l5d.const}",
            "@interpreter.transformers[]{io.l5d.replace}",
        ],
        ..shared::CONST
    },
    Group {
        id: "service",
        title: "`service`, and each entry of its `configs`",
        places: &[
            "routers[].service",
            "routers[].service{io.l5d.global}",
            "routers[].service{io.l5d.static}.configs[]",
        ],
        keys: &[
            key(
                "totalTimeoutMs",
                "",
                "from the first attempt to the head of the response, all retries included; 0 or less: none",
            ),
            key(
                "retries",
                "",
                "how often and when a failed request is tried again",
            ),
            key(
                "responseClassifier",
                "kind `io.l5d.http.nonRetryable5XX`",
                "what is a success, and what may be tried again: section with a `kind`",
            ),
            key(
                "retryBufferSize",
                "",
                "how much is kept to send a request again",
            ),
            key(
                "classificationTimeoutMs",
                "",
                "no response is held back; one that ends at once is judged by its end",
            ),
        ],
    },
    Group {
        id: "layers",
        title: "`service` and `client` by name",
        places: &[
            "routers[].service{io.l5d.static}",
            "routers[].client{io.l5d.static}",
        ],
        keys: &[key(
            "configs",
            "",
            "sections with a `prefix` each; all that match apply, later ones win",
        )],
    },
    Group {
        id: "refused-configs",
        title: "`service` and `client`, kind `io.l5d.global`",
        places: &[
            "routers[].service",
            "routers[].service{io.l5d.global}",
            "routers[].client",
            "routers[].client{io.l5d.global}",
        ],
        keys: &[key("configs", "", "is for kind `io.l5d.static`")],
    },
    Group {
        id: "prefixes",
        title: "`configs[]`",
        places: &[
            "routers[].service{io.l5d.static}.configs[]",
            "routers[].client{io.l5d.static}.configs[]",
        ],
        keys: &[key(
            "prefix",
            "",
            "names that begin so; `*` matches a segment, `{name}` captures it",
        )],
    },
    Group {
        id: "retries",
        title: "`service.retries`",
        places: &["@service.retries"],
        keys: &[
            key(
                "budget",
                "",
                "how many retries there may be for all requests",
            ),
            key("backoff", "no wait", "the wait before each retry"),
            key(
                "maxPerRequest",
                "`25`",
                "how often one request may be tried again",
            ),
        ],
    },
    Group {
        id: "budget",
        title: "`retries.budget` and `requeueBudget`",
        places: &["@service.retries.budget", "@client.requeueBudget"],
        keys: &[
            key("ttlSecs", "`10`", "how long a request counts, in seconds"),
            key("minRetriesPerSec", "`10`", "always allowed"),
            key(
                "percentCanRetry",
                "`0.2`",
                "share of requests that may be tried again: 0.2 is one for five",
            ),
        ],
    },
    Group {
        id: "backoff-constant",
        title: "`backoff`, kind `constant`",
        places: &[
            "@service.retries.backoff{constant}",
            "@accrual.backoff{constant}",
        ],
        keys: &[key("ms", "`0`", "the wait")],
    },
    Group {
        id: "backoff-jittered",
        title: "`backoff`, kind `jittered`",
        places: &[
            "@service.retries.backoff{jittered}",
            "@accrual.backoff{jittered}",
        ],
        keys: &[
            key("minMs", "", "first and least wait"),
            key("maxMs", "", "longest wait"),
        ],
    },
    Group {
        id: "classifier",
        title: "`responseClassifier`, kinds `io.l5d.h2.grpc.*`",
        places: &[
            "@service.responseClassifier{io.l5d.h2.grpc.default}",
            "@service.responseClassifier{io.l5d.h2.grpc.compliant}",
            "@service.responseClassifier{io.l5d.h2.grpc.alwaysRetryable}",
            "@service.responseClassifier{io.l5d.h2.grpc.neverRetryable}",
            "@service.responseClassifier{io.l5d.h2.grpc.retryableStatusCodes}",
        ],
        keys: &[key(
            "successStatusCodes",
            "`[0]`",
            "values of `grpc-status` that are successes",
        )],
    },
    Group {
        id: "classifier-codes",
        title: "`responseClassifier`, kind `io.l5d.h2.grpc.retryableStatusCodes`",
        places: &["@service.responseClassifier{io.l5d.h2.grpc.retryableStatusCodes}"],
        keys: &[key(
            "retryableStatusCodes",
            "",
            "values of `grpc-status` that may be tried again",
        )],
    },
    Group {
        id: "retry-buffer",
        title: "`service.retryBufferSize`",
        places: &["@service.retryBufferSize"],
        keys: &[
            key(
                "requestBytes",
                "`16383`",
                "a longer request cannot be sent again",
            ),
            key("responseBytes", "", "no response is held back"),
        ],
    },
    Group {
        id: "client",
        title: "`client`, and each entry of its `configs`",
        places: &[
            "routers[].client",
            "routers[].client{io.l5d.global}",
            "routers[].client{io.l5d.static}.configs[]",
        ],
        keys: &[
            key("tls", "", "TLS to endpoints"),
            key(
                "loadBalancer",
                "kind `ewma`",
                "how an endpoint is chosen: section with a `kind`",
            ),
            key(
                "failureAccrual",
                "5 failures in a row",
                "when an endpoint is set aside: section with a `kind`",
            ),
            key(
                "requestAttemptTimeoutMs",
                "",
                "each attempt, to the head of the response; 0: none",
            ),
            key(
                "connectTimeoutMs",
                "`1000`",
                "longest time to open a connection, TLS included",
            ),
            key(
                "streamIdleTimeoutMs",
                "",
                "longest time without a byte of the body in either direction; 0: none",
            ),
            key(
                "requeueBudget",
                "",
                "how often a request that no endpoint has seen may go elsewhere",
            ),
            key("hostConnectionPool", "", "connections of one endpoint"),
            key("clientSession", "", "how long connections may live"),
            key(
                "queue",
                "",
                "requests that wait for an endpoint or a connection",
            ),
            key(
                "failFast",
                "`false`",
                "an endpoint that cannot be connected to is set aside at once",
            ),
            key(
                "nodeHttp2",
                "`true`",
                "requests to another of our proxies share a few HTTP/2 connections",
            ),
            key(
                "forwardClientCert",
                "`false`",
                "sends `x-forwarded-client-cert` on",
            ),
            key("socketOptions", "", "options of its sockets"),
            key("requestAuthorizers", "", "existed for Istio's mixer only"),
        ],
    },
    Group {
        id: "balancer",
        title: "`client.loadBalancer`, every kind",
        places: &[
            "@client.loadBalancer{ewma}",
            "@client.loadBalancer{p2c}",
            "@client.loadBalancer{aperture}",
            "@client.loadBalancer{roundRobin}",
            "@client.loadBalancer{heap}",
        ],
        keys: &[
            key(
                "enableProbation",
                "`false`",
                "an endpoint that discovery removed stays while it is healthy",
            ),
            key(
                "panicThreshold",
                "`0`",
                "with a smaller share of endpoints up, all are used alike",
            ),
            key(
                "warmUpMs",
                "`0`",
                "a new endpoint's share grows over this time",
            ),
        ],
    },
    Group {
        id: "balancer-effort",
        title: "`client.loadBalancer`, kinds that draw",
        places: &[
            "@client.loadBalancer{ewma}",
            "@client.loadBalancer{p2c}",
            "@client.loadBalancer{aperture}",
            "@client.loadBalancer{roundRobin}",
        ],
        keys: &[key("maxEffort", "`5`", "draws until one is up")],
    },
    Group {
        id: "balancer-ewma",
        title: "`client.loadBalancer`, kind `ewma`",
        places: &["@client.loadBalancer{ewma}"],
        keys: &[key("decayTimeMs", "`10000`", "how long a latency counts")],
    },
    Group {
        id: "balancer-aperture",
        title: "`client.loadBalancer`, kind `aperture`",
        places: &["@client.loadBalancer{aperture}"],
        keys: &[
            key(
                "smoothWindowMs",
                "`5000`",
                "over which the load is averaged",
            ),
            key(
                "lowLoad",
                "`0.5`",
                "below this load for each endpoint fewer are used",
            ),
            key("highLoad", "`2.0`", "above it more are used"),
            key("minAperture", "`1`", "how many are used at least"),
        ],
    },
    Group {
        id: "accrual",
        title: "`client.failureAccrual`, every kind",
        places: &[
            "@client.failureAccrual{io.l5d.consecutiveFailures}",
            "@client.failureAccrual{io.l5d.successRate}",
            "@client.failureAccrual{io.l5d.successRateWindowed}",
            "@client.failureAccrual{none}",
        ],
        keys: &[key(
            "backoff",
            "5 s, doubling to 300 s",
            "how long an endpoint is set aside",
        )],
    },
    Group {
        id: "accrual-failures",
        title: "`client.failureAccrual`, kind `io.l5d.consecutiveFailures`",
        places: &["@client.failureAccrual{io.l5d.consecutiveFailures}"],
        keys: &[key("failures", "", "so many in a row")],
    },
    Group {
        id: "accrual-rate",
        title: "`client.failureAccrual`, kinds `io.l5d.successRate` and `io.l5d.successRateWindowed`",
        places: &[
            "@client.failureAccrual{io.l5d.successRate}",
            "@client.failureAccrual{io.l5d.successRateWindowed}",
        ],
        keys: &[key("successRate", "", "below it, 0 to 1")],
    },
    Group {
        id: "accrual-requests",
        title: "`client.failureAccrual`, kind `io.l5d.successRate`",
        places: &["@client.failureAccrual{io.l5d.successRate}"],
        keys: &[key("requests", "", "after so many, averaged over so many")],
    },
    Group {
        id: "accrual-window",
        title: "`client.failureAccrual`, kind `io.l5d.successRateWindowed`",
        places: &["@client.failureAccrual{io.l5d.successRateWindowed}"],
        keys: &[key("window", "", "averaged over so many seconds")],
    },
    Group {
        id: "pool",
        title: "`client.hostConnectionPool`",
        places: &["@client.hostConnectionPool"],
        keys: &[
            key("minSize", "`0`", "kept open"),
            key("maxSize", "", "open at once"),
            key(
                "idleTimeMs",
                "",
                "an idle one is closed after so long; 0: our own limit",
            ),
            key("maxWaiters", "as `queue`", "requests that may wait for one"),
        ],
    },
    Group {
        id: "queue",
        title: "`client.queue`",
        places: &["@client.queue"],
        keys: &[
            key("capacity", "`10000`", "more are answered 503 at once"),
            key("timeoutMs", "`3000`", "longest wait"),
        ],
    },
    Group {
        places: &["admin.tls", "@server.tls"],
        ..shared::SERVER_TLS
    },
    Group {
        id: "server-tls-switch",
        title: "`tls` of servers, besides",
        places: &["admin.tls", "@server.tls"],
        keys: &[key(
            "enabled",
            "`true`",
            "`false`: the section counts as absent",
        )],
    },
    Group {
        places: &[
            "@client.tls",
            "identity{io.l5d.namerd}.tls",
            "routers[].interpreter{io.l5d.mesh}.tls",
            "routers[].interpreter{io.l5d.namerd.http}.tls",
        ],
        ..shared::CLIENT_TLS
    },
    Group {
        places: &[
            "@client.tls.clientAuth",
            "identity{io.l5d.namerd}.tls.clientAuth",
            "routers[].interpreter{io.l5d.mesh}.tls.clientAuth",
            "routers[].interpreter{io.l5d.namerd.http}.tls.clientAuth",
        ],
        ..shared::CLIENT_AUTH
    },
    Group {
        id: "small-tls",
        title: "`tls` of interpreter `io.l5d.namerd`",
        places: &["routers[].interpreter{io.l5d.namerd}.tls"],
        keys: &[
            key(
                "commonName",
                "",
                "the name that namerd's certificate must have",
            ),
            key(
                "caCert",
                "those of the system",
                "the authority to trust, PEM",
            ),
        ],
    },
    Group {
        id: "telemetry",
        title: "`telemetry[]`, every kind",
        places: &[
            "telemetry[]{io.l5d.prometheus}",
            "telemetry[]{io.l5d.recentRequests}",
            "telemetry[]{io.l5d.zipkin}",
            "telemetry[]{io.l5d.tracelog}",
            "telemetry[]{io.l5d.opentelemetry}",
            "telemetry[]{io.l5d.influxdb}",
            "telemetry[]{io.l5d.statsd}",
        ],
        keys: &[key("experimental", "", "`io.l5d.statsd` needs `true`")],
    },
    Group {
        id: "prometheus",
        title: "`telemetry[]`, kind `io.l5d.prometheus`",
        places: &["telemetry[]{io.l5d.prometheus}"],
        keys: &[
            key("path", "`/admin/metrics/prometheus`", "served there too"),
            key("prefix", "", "stands before every name"),
            key("histograms", "`false`", "histograms besides the summaries"),
        ],
    },
    Group {
        id: "recent",
        title: "`telemetry[]`, kind `io.l5d.recentRequests`: shown at `/requests`",
        places: &["telemetry[]{io.l5d.recentRequests}"],
        keys: &[
            key("sampleRate", "", "share of traces, 0 to 1"),
            key("capacity", "`10`", "how many are kept"),
        ],
    },
    Group {
        id: "tracelog",
        title: "`telemetry[]`, kind `io.l5d.tracelog`: spans as lines of the log",
        places: &["telemetry[]{io.l5d.tracelog}"],
        keys: &[
            key("sampleRate", "`1.0`", "share of traces, 0 to 1"),
            key("level", "`INFO`", "level of the lines"),
        ],
    },
    Group {
        id: "otel",
        title: "`telemetry[]`, kind `io.l5d.opentelemetry`: spans to a collector",
        places: &["telemetry[]{io.l5d.opentelemetry}"],
        keys: &[
            key(
                "endpoint",
                "",
                "the collector, such as `http://localhost:4318/v1/traces` (OTLP over HTTP)",
            ),
            key("sampleRate", "`1.0`", "share of traces, 0 to 1"),
            key("headers", "", "sent with each export; never shown"),
            key("resource", "", "attributes of the process"),
        ],
    },
    Group {
        id: "otel-maps",
        title: "`headers` and `resource`: keys of your own",
        places: &[
            "telemetry[]{io.l5d.opentelemetry}.headers",
            "telemetry[]{io.l5d.opentelemetry}.resource",
        ],
        keys: &[key("*", "", "a text")],
    },
    Group {
        id: "zipkin",
        title: "`telemetry[]`, kind `io.l5d.zipkin`: read as `io.l5d.opentelemetry` to the same host",
        places: &["telemetry[]{io.l5d.zipkin}"],
        keys: &[
            key("host", "`localhost`", "the collector's host"),
            key("port", "9410, which stands for 4318", "its port"),
            key("sampleRate", "`0.001`", "share of traces, 0 to 1"),
        ],
    },
    Group {
        id: "statsd",
        title: "`telemetry[]`, kind `io.l5d.statsd`: read and without effect; scrape the metrics instead",
        places: &["telemetry[]{io.l5d.statsd}"],
        keys: &[
            key("prefix", "", "-"),
            key("hostname", "", "-"),
            key("port", "", "-"),
            key("gaugeIntervalMs", "", "-"),
            key("sampleRate", "", "-"),
        ],
    },
];
