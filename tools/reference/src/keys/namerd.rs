//! Every key of `namerd`'s file.

use super::{Group, Key, shared};

const fn key(name: &'static str, default: &'static str, says: &'static str) -> Key {
    Key {
        name,
        default,
        says,
    }
}

const API_HOST: Key = key(
    "host",
    "in a pod the cluster's own, else `localhost`",
    "the Kubernetes API server: plain HTTP, such as a `kubectl proxy`",
);
const API_PORT: Key = key("port", "8001, if `host` is given", "its port");
const EXPERIMENTAL: &str = "read and without meaning, except where it says so";

/// In the order of the page.
pub(super) const GROUPS: &[Group] = &[
    Group {
        id: "top",
        title: "Top level",
        places: &[""],
        keys: &[
            key("storage", "", "where dtabs live: section with a `kind`"),
            key(
                "namers",
                "none",
                "service discovery: sections with a `kind`",
            ),
            key(
                "interfaces",
                "",
                "what others ask at: sections with a `kind`",
            ),
            key("admin", "", "the admin server"),
            key(
                "ca",
                "",
                "who signs certificates for nodes: section with a `kind`",
            ),
            key(
                "ingress",
                "",
                "Ingress rules for nodes; absent: none are watched",
            ),
            key(
                "telemetry",
                "",
                "where traces go; metrics are always served",
            ),
        ],
    },
    Group {
        id: "storage",
        title: "`storage`, every kind",
        places: &[
            "storage{io.l5d.inMemory}",
            "storage{io.l5d.k8s}",
            "storage{io.l5d.k8s.configMap}",
            "storage{io.l5d.etcd}",
            "storage{io.l5d.consul}",
            "storage{io.l5d.fs}",
        ],
        keys: &[key("experimental", "", EXPERIMENTAL)],
    },
    Group {
        id: "in-memory",
        title: "`storage`, kind `io.l5d.inMemory`: gone with the process",
        places: &["storage{io.l5d.inMemory}"],
        keys: &[key(
            "namespaces",
            "none",
            "the dtabs at the start, by namespace",
        )],
    },
    Group {
        id: "namespaces",
        title: "`storage.namespaces`",
        places: &["storage{io.l5d.inMemory}.namespaces"],
        keys: &[key("*", "", "a dtab")],
    },
    Group {
        id: "store-k8s",
        title: "`storage`, kind `io.l5d.k8s`: objects of kind DTab",
        places: &["storage{io.l5d.k8s}"],
        keys: &[
            key(
                "namespace",
                "`default`",
                "the Kubernetes namespace of the objects",
            ),
            key(
                "status",
                "`true`",
                "the status of the objects is written, where the server permits it",
            ),
            key(
                "startupJitter",
                "`2000`",
                "longest random wait before the first list, in milliseconds",
            ),
            API_HOST,
            API_PORT,
        ],
    },
    Group {
        id: "store-config-map",
        title: "`storage`, kind `io.l5d.k8s.configMap`: keys of a ConfigMap, read only",
        places: &["storage{io.l5d.k8s.configMap}"],
        keys: &[
            key("name", "", "the ConfigMap"),
            key("namespace", "`default`", "its Kubernetes namespace"),
            key(
                "filename",
                "every key is a namespace",
                "the key that is the namespace `default`",
            ),
            key(
                "startupJitter",
                "`2000`",
                "longest random wait before the first list, in milliseconds",
            ),
            API_HOST,
            API_PORT,
        ],
    },
    Group {
        id: "store-etcd",
        title: "`storage`, kind `io.l5d.etcd`",
        places: &["storage{io.l5d.etcd}"],
        keys: &[
            key("host", "`localhost`", "one member"),
            key("port", "`2379`", "its port"),
            key("endpoints", "", "or several: a list of `HOST:PORT`"),
            key(
                "pathPrefix",
                "`/namerd/dtabs`",
                "keys are this, a slash and the namespace",
            ),
            key("tls", "", "TLS to it"),
        ],
    },
    Group {
        id: "store-consul",
        title: "`storage`, kind `io.l5d.consul`",
        places: &["storage{io.l5d.consul}"],
        keys: &[
            key(
                "pathPrefix",
                "`/namerd/dtabs`",
                "keys are this without its first slash, a slash and the namespace",
            ),
            key("datacenter", "the agent's own", "which one is asked"),
            key(
                "readConsistencyMode",
                "`default`",
                "`default`, `stale` or `consistent`",
            ),
            key(
                "writeConsistencyMode",
                "",
                "Consul's leader decides every write",
            ),
        ],
    },
    Group {
        id: "consul",
        title: "Consul, as a store and as a namer",
        places: &["storage{io.l5d.consul}", "namers[]{io.l5d.consul}"],
        keys: &[
            key("host", "`localhost`", "the agent"),
            key("port", "`8500`", "its port"),
            key("token", "", "sent with each request; never shown"),
            key("tls", "", "TLS to it"),
            key("failFast", "", "a request that fails is never queued"),
            key(
                "backoff",
                "",
                "after a failure it is tried again after 0.1 s to 10 s",
            ),
        ],
    },
    Group {
        id: "store-files",
        title: "`storage`, kind `io.l5d.fs`: files, followed as they change; one of the two keys",
        places: &["storage{io.l5d.fs}"],
        keys: &[
            key("rootDir", "", "a folder; each file is a namespace"),
            key("dtabFile", "", "a file, the namespace `default`"),
        ],
    },
    Group {
        id: "namer",
        title: "`namers[]`, every kind",
        places: &[
            "namers[]{io.l5d.k8s}",
            "namers[]{io.l5d.k8s.ns}",
            "namers[]{io.l5d.k8s.external}",
            "namers[]{io.l5d.fs}",
            "namers[]{io.l5d.consul}",
            "namers[]{io.l5d.dnssrv}",
            "namers[]{io.l5d.rewrite}",
        ],
        keys: &[
            key(
                "prefix",
                "the kind; `io.l5d.rewrite` has none",
                "it answers under `/#` and this",
            ),
            key("transformers", "none", "change its answers, in order"),
            key("experimental", "", "`io.l5d.k8s.external` needs `true`"),
        ],
    },
    Group {
        id: "k8s",
        title: "`namers[]`, kinds `io.l5d.k8s`, `io.l5d.k8s.ns` and `io.l5d.k8s.external`; one view for each API server, so equal in all",
        places: &[
            "namers[]{io.l5d.k8s}",
            "namers[]{io.l5d.k8s.ns}",
            "namers[]{io.l5d.k8s.external}",
        ],
        keys: &[
            API_HOST,
            API_PORT,
            key(
                "labelSelector",
                "",
                "the label whose value is a further path element",
            ),
            key(
                "namespaces",
                "the whole cluster",
                "Kubernetes namespaces to watch",
            ),
            key(
                "addressFamily",
                "`primary`",
                "of dual-stack services: `primary`, `ipv4` or `ipv6`",
            ),
            key(
                "terminatingFallback",
                "`true`",
                "where no endpoint is ready, those are used that still answer while they end",
            ),
            key(
                "podCIDRFallback",
                "`false`",
                "endpoints without a node name are on the node whose `podCIDRs` have them",
            ),
            key(
                "zoneHints",
                "`false`",
                "hints of slices narrow what callers of a zone get",
            ),
            key(
                "trafficPolicy",
                "`false`",
                "`internalTrafficPolicy: Local` of Services holds",
            ),
            key(
                "startupJitter",
                "`2000`",
                "longest random wait before the first lists, in milliseconds",
            ),
            key(
                "syncTimeout",
                "`60000`",
                "when a first list that has not come is complained about, in milliseconds",
            ),
            key(
                "endpoints",
                "`auto`",
                "`auto` or `slices`: EndpointSlices are read either way",
            ),
        ],
    },
    Group {
        id: "k8s-ns",
        title: "`namers[]`, kind `io.l5d.k8s.ns`",
        places: &["namers[]{io.l5d.k8s.ns}"],
        keys: &[key(
            "envVar",
            "`POD_NAMESPACE`",
            "the environment variable with the Kubernetes namespace",
        )],
    },
    Group {
        id: "fs",
        title: "`namers[]`, kind `io.l5d.fs`: a file for each service, a line `HOST PORT` for each endpoint",
        places: &["namers[]{io.l5d.fs}"],
        keys: &[key("rootDir", "", "the folder")],
    },
    Group {
        id: "namer-consul",
        title: "`namers[]`, kind `io.l5d.consul`",
        places: &["namers[]{io.l5d.consul}"],
        keys: &[
            key(
                "includeTag",
                "`false`",
                "paths have a tag before the service",
            ),
            key("useHealthCheck", "`false`", "only instances that are well"),
            key(
                "healthStatuses",
                "`[passing]`",
                "which states are well: `passing`, `warning`, `critical`, `maintenance`",
            ),
            key(
                "setHost",
                "`false`",
                "requests are to name the service's host in Consul's DNS",
            ),
            key(
                "preferServiceAddress",
                "`true`",
                "a service's own address, where it has one",
            ),
            key("weights", "none", "weights of instances, by tag"),
            key(
                "consistencyMode",
                "`default`",
                "`default`, `stale` or `consistent`",
            ),
        ],
    },
    Group {
        id: "weights",
        title: "`namers[].weights[]`",
        places: &["namers[]{io.l5d.consul}.weights[]"],
        keys: &[
            key("tag", "", "instances with this tag"),
            key("weight", "", "get this weight"),
        ],
    },
    Group {
        id: "dnssrv",
        title: "`namers[]`, kind `io.l5d.dnssrv`",
        places: &["namers[]{io.l5d.dnssrv}"],
        keys: &[
            key(
                "refreshIntervalSeconds",
                "`5`",
                "shortest time between two lookups of a name",
            ),
            key(
                "dnsHosts",
                "those of the system",
                "servers to ask: `IP` or `IP:PORT`",
            ),
        ],
    },
    Group {
        id: "rewrite",
        title: "`namers[]`, kind `io.l5d.rewrite`",
        places: &["namers[]{io.l5d.rewrite}"],
        keys: &[
            key(
                "pattern",
                "",
                "what the path must look like, with `{captures}`",
            ),
            key("name", "", "what becomes of it"),
        ],
    },
    Group {
        id: "transformers",
        title: "`transformers[]`, run in order, by `kind`; `io.l5d.localhost` has no keys but `prefix`",
        places: &["@namer.transformers[]{io.l5d.localhost}"],
        ..shared::TRANSFORMERS
    },
    Group {
        places: &["@namer.transformers[]{io.l5d.k8s.daemonset}"],
        ..shared::DAEMONSET
    },
    Group {
        places: &["@namer.transformers[]{io.l5d.k8s.localnode}"],
        ..shared::LOCALNODE
    },
    Group {
        places: &["@namer.transformers[]{io.l5d.port}"],
        ..shared::PORT
    },
    Group {
        places: &["@namer.transformers[]{io.l5d.specificHost}"],
        ..shared::SPECIFIC_HOST
    },
    Group {
        places: &[
            "@namer.transformers[]{io.l5d.const}",
            "@namer.transformers[]{io.l5d.replace}",
        ],
        ..shared::CONST
    },
    Group {
        id: "server",
        title: "`admin` and `interfaces[]`, every kind",
        places: &[
            "admin",
            "interfaces[]{io.l5d.mesh}",
            "interfaces[]{io.l5d.httpController}",
            "interfaces[]{io.l5d.destination}",
            "interfaces[]{io.l5d.thriftNameInterpreter}",
        ],
        keys: &[
            key("ip", "`127.0.0.1`", "where it listens"),
            key(
                "port",
                "admin 9991, mesh 4321, httpController 4180, destination 8086, thrift 4100",
                "its port; 0 asks the system for one",
            ),
            key("tls", "", "TLS with clients"),
            key("limits", "", "how much clients may take"),
            key("socketOptions", "", "options of its sockets"),
        ],
    },
    Group {
        id: "admin",
        title: "`admin`",
        places: &["admin"],
        keys: &[
            key(
                "shutdownGraceMs",
                "`10000`",
                "how long open requests get when the process is asked to stop",
            ),
            key("security", "", "which pages are served"),
            key(
                "workerThreads",
                "",
                "the admin server has a thread of its own",
            ),
            key("httpIdentifierPort", "", "it belongs to the node proxy"),
        ],
    },
    Group {
        id: "security",
        title: "`admin.security`",
        places: &["admin.security"],
        keys: &[
            key("uiEnabled", "`true`", "pages for people"),
            key("controlEnabled", "`true`", "what changes the process"),
            key(
                "diagnosticsEnabled",
                "`true`",
                "all other pages, metrics included",
            ),
            key(
                "readOnly",
                "`false`",
                "the page shows dtabs and writes none",
            ),
            key(
                "pathWhitelist",
                "",
                "regular expressions of paths that are served although their category is off",
            ),
            key(
                "pathBlacklist",
                "",
                "regular expressions of paths that are never served",
            ),
        ],
    },
    Group {
        id: "limits",
        title: "`limits` of every server",
        places: &["@server.limits"],
        keys: &[
            key(
                "connections",
                "`10000`",
                "of all clients at one time; further ones are closed at once",
            ),
            key(
                "connectionsPerClient",
                "half of `connections`",
                "of one address",
            ),
            key(
                "requestsPerSecond",
                "`1000`",
                "of one address, in the long run",
            ),
            key(
                "requestBurst",
                "twice `requestsPerSecond`",
                "of one address, at once",
            ),
        ],
    },
    Group {
        id: "session-limits",
        title: "`limits` of `io.l5d.mesh`, besides",
        places: &["interfaces[]{io.l5d.mesh}.limits"],
        keys: &[
            key("sessions", "`10000`", "nodes that follow this replica"),
            key(
                "interestsPerSession",
                "`10000`",
                "names that one node may follow",
            ),
            key(
                "overridesPerSession",
                "`1000`",
                "of them, those with an override",
            ),
            key(
                "newInterestsPerSecond",
                "`200`",
                "of one node, in the long run",
            ),
            key(
                "newInterestBurst",
                "`1000`",
                "of one node, at once; what it asks for first does not count",
            ),
            key("pathBytes", "`8192`", "of a name"),
            key("overrideBytes", "`8192`", "of an override"),
            key("routerDtabBytes", "`1048576`", "of the dtab of a router"),
            key("helloBytes", "`1048576`", "of a node's first message"),
            key("messageBytes", "`262144`", "of its other messages"),
        ],
    },
    Group {
        id: "sockets",
        title: "`socketOptions`",
        places: &["@server.socketOptions"],
        keys: &[
            key("noDelay", "`true`", "small writes are sent at once"),
            key("reuseAddr", "`true`", "a port in time-wait can be taken"),
            key(
                "reusePort",
                "`false`",
                "another process may listen on the same port",
            ),
            key("keepAlive", "`false`", "the system probes idle connections"),
            key(
                "backlog",
                "the system's",
                "connections that wait to be accepted",
            ),
            key(
                "readTimeoutMs",
                "",
                "a connection that sends nothing for so long is closed; 0: none",
            ),
            key(
                "writeTimeoutMs",
                "",
                "one that takes nothing for so long is closed; 0: none",
            ),
        ],
    },
    Group {
        id: "mesh",
        title: "`interfaces[]`, kind `io.l5d.mesh`: nodes, tools, linkerd 1.x (gRPC)",
        places: &["interfaces[]{io.l5d.mesh}"],
        keys: &[
            key(
                "maxConnectionAgeSecs",
                "`1800`",
                "connections are asked to move on after about this time; 0: never",
            ),
            key(
                "grpcWebOrigins",
                "none",
                "web pages of these origins may ask, such as `https://tools.example.org`, or `*`",
            ),
            key("h2AccessLog", "", "file of the access log"),
            key(
                "h2AccessLogRollPolicy",
                "`never`",
                "`never`, `hourly`, `daily`, `weekly(1)` to `weekly(7)`, or a size such as `3.megabytes`",
            ),
            key(
                "h2AccessLogAppend",
                "`true`",
                "lines are added to a file that is there at the start",
            ),
            key(
                "h2AccessLogRotateCount",
                "`-1`",
                "how many rolled files stay; -1: all",
            ),
        ],
    },
    Group {
        id: "auth",
        title: "`interfaces[].auth`; `auth: none` says that nobody has to prove anything",
        places: &[
            "interfaces[]{io.l5d.mesh}",
            "interfaces[]{io.l5d.httpController}",
            "interfaces[]{io.l5d.destination}",
            "interfaces[]{io.l5d.thriftNameInterpreter}",
        ],
        keys: &[key(
            "auth",
            "nobody has to prove anything, with a warning",
            "who must prove what",
        )],
    },
    Group {
        id: "auth-nodes",
        title: "`auth` of `io.l5d.mesh`",
        places: &["interfaces[]{io.l5d.mesh}.auth"],
        keys: &[
            key(
                "nodes",
                "`none`",
                "what nodes must show: `none`, `certificate`, `serviceAccount`, or a list of the last two",
            ),
            key(
                "tools",
                "as `nodes`",
                "what all others must show: `none`, `certificate`, `token`, or a list of the last two",
            ),
            key(
                "serviceAccounts",
                "anybody's",
                "`NAMESPACE/NAME` whose pods may be nodes",
            ),
            key(
                "trustDomain",
                "names are DNS names",
                "certificates have SPIFFE ids of this domain",
            ),
        ],
    },
    Group {
        id: "auth-callers",
        title: "`auth` of `io.l5d.httpController`",
        places: &["interfaces[]{io.l5d.httpController}.auth"],
        keys: &[
            key(
                "writes",
                "`none`",
                "what who changes dtabs must show: `none`, `certificate`, `token`, or a list of the last two",
            ),
            key("reads", "`none`", "the same for all else"),
            key(
                "clients",
                "all of the authority",
                "names in client certificates that may",
            ),
        ],
    },
    Group {
        id: "auth-others",
        title: "`auth` of `io.l5d.destination` and `io.l5d.thriftNameInterpreter`",
        places: &[
            "interfaces[]{io.l5d.destination}.auth",
            "interfaces[]{io.l5d.thriftNameInterpreter}.auth",
        ],
        keys: &[key(
            "callers",
            "`none`",
            "what callers must show: `none`, `certificate`; and `token`, but not over thrift",
        )],
    },
    Group {
        id: "auth-tokens",
        title: "`auth`: who checks tokens",
        places: &[
            "interfaces[]{io.l5d.mesh}.auth",
            "interfaces[]{io.l5d.httpController}.auth",
            "interfaces[]{io.l5d.destination}.auth",
        ],
        keys: &[
            key(
                "audience",
                "`namerd`, the API server's own for httpController",
                "a text or a list: who tokens must be for",
            ),
            API_HOST,
            API_PORT,
        ],
    },
    Group {
        id: "destination",
        title: "`interfaces[]`, kind `io.l5d.destination`: linkerd 2 proxies",
        places: &["interfaces[]{io.l5d.destination}"],
        keys: &[
            key(
                "prefix",
                "`/svc`",
                "stands before the destinations that are asked for",
            ),
            key("namespace", "`default`", "the dtab namespace"),
        ],
    },
    Group {
        id: "thrift",
        title: "`interfaces[]`, kind `io.l5d.thriftNameInterpreter`: linkerd 1.x over thrift",
        places: &["interfaces[]{io.l5d.thriftNameInterpreter}"],
        keys: &[
            key("cache", "", "how much may be followed at once"),
            key("retryBaseSecs", "", "clients choose when they come back"),
            key("retryJitterSecs", "", "clients choose when they come back"),
        ],
    },
    Group {
        id: "thrift-cache",
        title: "`interfaces[].cache` of thrift",
        places: &["interfaces[]{io.l5d.thriftNameInterpreter}.cache"],
        keys: &[
            key(
                "bindingCacheActive",
                "`1000`",
                "names that wait for a change",
            ),
            key(
                "addrCacheActive",
                "`1000`",
                "address sets that wait for a change",
            ),
            key(
                "bindingCacheInactive",
                "",
                "what nobody waits for is kept in the shared table",
            ),
            key(
                "bindingCacheInactiveTTLSecs",
                "",
                "what nobody waits for is kept in the shared table",
            ),
            key(
                "addrCacheInactive",
                "",
                "what nobody waits for is kept in the shared table",
            ),
            key(
                "addrCacheInactiveTTLSecs",
                "",
                "what nobody waits for is kept in the shared table",
            ),
        ],
    },
    Group {
        id: "ca",
        title: "`ca`, every kind",
        places: &["ca{io.l5d.k8s.secret}", "ca{io.l5d.files}"],
        keys: &[
            key("trustDomain", "", "nodes are `spiffe://DOMAIN/node/NAME`"),
            key(
                "lifeSecs",
                "`86400`",
                "of a node's certificate; renewed at two thirds",
            ),
        ],
    },
    Group {
        id: "ca-secret",
        title: "`ca`, kind `io.l5d.k8s.secret`: made at the first start, shared by replicas, replaced in time",
        places: &["ca{io.l5d.k8s.secret}"],
        keys: &[
            key(
                "namespace",
                "`default`",
                "the Kubernetes namespace of the Secret",
            ),
            key("name", "`namerd-ca`", "the Secret"),
            key("rootLifeDays", "`365`", "of the root certificate"),
            API_HOST,
            API_PORT,
        ],
    },
    Group {
        id: "ca-files",
        title: "`ca`, kind `io.l5d.files`",
        places: &["ca{io.l5d.files}"],
        keys: &[
            key("certPath", "", "the authority's certificate, PEM"),
            key("keyPath", "", "its key, PEM"),
            key("caCertPath", "", "others to trust besides"),
        ],
    },
    Group {
        id: "ingress",
        title: "`ingress`",
        places: &["ingress"],
        keys: &[
            key("class", "`linkerd`", "Ingresses of this class are served"),
            key("claimUnclassed", "`true`", "also those without a class"),
            key(
                "namespace",
                "all",
                "Ingresses of this Kubernetes namespace only",
            ),
            key(
                "startupJitter",
                "`2000`",
                "longest random wait before the first list, in milliseconds",
            ),
            API_HOST,
            API_PORT,
        ],
    },
    Group {
        places: &["@server.tls"],
        ..shared::SERVER_TLS
    },
    Group {
        places: &["storage{io.l5d.etcd}.tls", "@consul.tls"],
        ..shared::CLIENT_TLS
    },
    Group {
        places: &[
            "storage{io.l5d.etcd}.tls.clientAuth",
            "@consul.tls.clientAuth",
        ],
        ..shared::CLIENT_AUTH
    },
    Group {
        id: "telemetry",
        title: "`telemetry[]`, every kind; `io.l5d.influxdb` serves `/admin/metrics/influxdb` and has no other keys",
        places: &[
            "telemetry[]{io.l5d.prometheus}",
            "telemetry[]{io.l5d.influxdb}",
            "telemetry[]{io.l5d.opentelemetry}",
            "telemetry[]{io.l5d.recentRequests}",
            "telemetry[]{io.l5d.zipkin}",
            "telemetry[]{io.l5d.tracelog}",
        ],
        keys: &[key("experimental", "", "read and without meaning")],
    },
    Group {
        id: "prometheus",
        title: "`telemetry[]`, kind `io.l5d.prometheus`",
        places: &["telemetry[]{io.l5d.prometheus}"],
        keys: &[
            key("path", "`/admin/metrics/prometheus`", "served there too"),
            key("prefix", "", "stands before every name"),
        ],
    },
    Group {
        id: "otel",
        title: "`telemetry[]`, kind `io.l5d.opentelemetry`: spans of calls and store writes to a collector",
        places: &["telemetry[]{io.l5d.opentelemetry}"],
        keys: &[
            key(
                "endpoint",
                "",
                "the collector, `http://HOST:PORT` (OTLP over gRPC)",
            ),
            key(
                "sampleRate",
                "`1.0`",
                "share of traces that begin here, 0 to 1",
            ),
            key(
                "serviceName",
                "`namerd`",
                "what this process is called there",
            ),
        ],
    },
    Group {
        id: "old-telemetry",
        title: "`telemetry[]`, kinds `io.l5d.recentRequests`, `io.l5d.zipkin` and `io.l5d.tracelog`: read and without effect",
        places: &[
            "telemetry[]{io.l5d.recentRequests}",
            "telemetry[]{io.l5d.zipkin}",
            "telemetry[]{io.l5d.tracelog}",
        ],
        keys: &[key("sampleRate", "", "-")],
    },
    Group {
        id: "old-recent",
        title: "`telemetry[]`, kind `io.l5d.recentRequests`",
        places: &["telemetry[]{io.l5d.recentRequests}"],
        keys: &[key("capacity", "", "-")],
    },
    Group {
        id: "old-zipkin",
        title: "`telemetry[]`, kind `io.l5d.zipkin`",
        places: &["telemetry[]{io.l5d.zipkin}"],
        keys: &[key("host", "", "-"), key("port", "", "-")],
    },
    Group {
        id: "old-tracelog",
        title: "`telemetry[]`, kind `io.l5d.tracelog`",
        places: &["telemetry[]{io.l5d.tracelog}"],
        keys: &[key("level", "", "-")],
    },
];
