//! Every metric of the node. What is exposed stands here and nowhere else; `deploy/METRICS.md` is printed from it.

/// What a number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Summary,
}

/// Where in the tree a metric stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `rt/<router>/...`.
    Router,
    /// `rt/<router>/server/<ip>/<port>/...`.
    Server,
    /// `rt/<router>/service/<name>/...`.
    Service,
    /// `rt/<router>/client/<id>/...`.
    Client,
    /// `rt/<router>/client/<id>/service/<name>/...`.
    Pair,
    /// `control/<namerd>/...`.
    Control,
    /// `process/...`.
    Process,
    /// `node/...`.
    Node,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its place below its scope. A variable part stands in angles: a label `exception` or `reason`, else part of the name.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Unit of its values: `ms`, `us`, `s`, `bytes`; empty for plain numbers.
    pub unit: &'static str,
    /// Where it stands.
    pub scopes: &'static [Scope],
    /// What it says, in one sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal $unit:literal [$($scope:ident),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: Described = Described {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                scopes: &[$(Scope::$scope),*],
                help: $help,
            };
        )*
        /// All of them, in the order of the paper.
        pub static METRICS: &[&Described] = &[$(&$id),*];
    };
}

metrics! {
    REQUESTS Counter "requests" "" [Server, Service, Client, Pair] "Requests that have begun; at clients, attempts";
    SUCCESS Counter "success" "" [Server, Service, Client, Pair] "Requests that have ended well";
    FAILURES Counter "failures" "" [Server, Service, Client, Pair] "Requests that have ended otherwise, answered or not";
    EXCEPTIONS Counter "failures/<exception>" "" [Server, Service, Client] "Failures for want of a response that could be passed on, by reason; not in addition to the total without that label";
    PENDING Gauge "pending" "" [Server, Service, Client, Pair] "Requests that have not ended";
    REQUEST_LATENCY Summary "request_latency_ms" "ms" [Server, Service, Client, Pair] "Time to the end of the response";
    STATUS Counter "status/<code>" "" [Server, Client] "Responses with this status";
    STATUS_CLASS Counter "status/<class>" "" [Server, Client] "Responses with a status of this class; error: none";
    CLASS_TIME Summary "time/<class>" "ms" [Server] "Time to the end of responses of this class";
    CONNECTS Counter "connects" "" [Server, Client] "Connections opened";
    LOCAL_CONNECTS Counter "local_connects" "" [Server] "Those of them that another router of this process opened, without a socket";
    CLOSES Counter "closes" "" [Server, Client] "Connections closed";
    CONNECTIONS Gauge "connections" "" [Server, Client] "Open connections, idle ones included";
    CONNECTION_DURATION Summary "connection_duration" "ms" [Server, Client] "How long connections lived";
    RECEIVED_BYTES Counter "received_bytes" "bytes" [Server, Client] "Bytes that came on connections, above TLS";
    SENT_BYTES Counter "sent_bytes" "bytes" [Server, Client] "Bytes that went out on connections, above TLS";
    OPEN_STREAMS Gauge "open_streams" "" [Server, Client] "Open streams of connections in HTTP/2";
    STREAM_SUCCESS Counter "stream/stream_success" "" [Server, Service, Client, Pair] "Of routers of protocol h2: exchanges, both streams together, that have ended well";
    STREAM_FAILURES Counter "stream/stream_failures" "" [Server, Service, Client, Pair] "Likewise, that have ended otherwise";
    STREAM_LATENCY Summary "stream/total_latency_ms" "ms" [Server, Service, Client, Pair] "Likewise, time to the end of both streams";
    TLS_CONNECTIONS Gauge "tls/connections" "" [Server] "Open connections that are in TLS";
    ACCEPT_FAILURES Counter "accept_failures" "" [Server] "Connections that could not be accepted, mostly for want of file descriptors";
    REQUEST_CONCURRENCY Gauge "request_concurrency" "" [Server] "Requests that have been let in and have not ended; maxConcurrentRequests bounds them";
    IDLE_ENDS Counter "idle" "" [Server] "Connections ended because they were unused for too long";
    LIFETIME_ENDS Counter "lifetime" "" [Server] "Connections ended because they were too old";
    HANDLE_TIME Summary "handletime_us" "us" [Server] "Time from the head of a request to its first attempt";
    DTAB_SIZE Summary "dtab/size" "" [Server] "Entries of the dtabs that requests brought; those without one do not count";
    CONNECTION_REQUESTS Summary "connection_requests" "" [Server] "Requests that connections had";
    NACKS Counter "nacks" "" [Server] "Requests refused because there were too many at once; they count nowhere else";
    REFUSED Counter "refused" "" [Server] "Requests refused by the parser or for their dtab; they count nowhere else";

    RETRIES Counter "retries/total" "" [Service] "Attempts after the first, by the service's classifier";
    RETRIES_BUDGET_EXHAUSTED Counter "retries/budget_exhausted" "" [Service] "Retries not made because the budget was used up";
    RETRIES_LIMIT Counter "retries/max_exceeded" "" [Service] "Retries not made because the request had been tried as often as one may be";
    RETRIES_BUDGET Gauge "retries/budget" "" [Service] "Retries that could be made now";
    RETRIES_PER_REQUEST Summary "retries/per_request" "" [Service] "Retries that requests took";

    REQUEUES Counter "retries/requeues" "" [Client] "Attempts made again on another endpoint or connection";
    REQUEUES_PER_REQUEST Summary "retries/requeues_per_request" "" [Client] "How often requests were sent again on another endpoint or connection";
    BUDGET_EXHAUSTED Counter "retries/budget_exhausted" "" [Client] "Attempts not made again because the budget was used up";
    REQUEST_LIMIT Counter "retries/request_limit" "" [Client] "Requests that had been sent again as often as one may be";
    CANNOT_RETRY Counter "retries/cannot_retry" "" [Client] "Requests that could not be sent again because part of their body was gone";
    BUDGET Gauge "retries/budget" "" [Client] "Attempts that could be made again now";
    ACCRUAL_REMOVALS Counter "failure_accrual/removals" "" [Client] "Endpoints set aside by failure accrual";
    ACCRUAL_REVIVALS Counter "failure_accrual/revivals" "" [Client] "Endpoints that came back";
    ACCRUAL_PROBES Counter "failure_accrual/probes" "" [Client] "Requests that decided whether they may";
    ACCRUAL_REMOVED_FOR Counter "failure_accrual/removed_for_ms" "ms" [Client] "For how long endpoints were set aside, in all";
    POOL_WAITED Counter "pool_num_waited" "" [Client] "Requests that waited for a connection";
    POOL_TOO_MANY Counter "pool_num_too_many_waiters" "" [Client] "Requests that were not let into the queue for one";
    POOL_WAITERS Gauge "pool_waiters" "" [Client] "Requests that wait for a connection or for the first endpoints";
    POOL_SIZE Gauge "pool_size" "" [Client] "Connections of the pool: open ones, in use or idle";
    POOL_CACHED Gauge "pool_cached" "" [Client] "Idle connections, some seconds ago at most";
    CONNECT_FAILURES Counter "connect_failures" "" [Client] "Connections that could not be opened";
    CONNECT_LATENCY Summary "connect_latency_ms" "ms" [Client] "Time to open connections";
    FAILED_CONNECT_LATENCY Summary "failed_connect_latency_ms" "ms" [Client] "Time until connections could not be opened";
    LB_ADDS Counter "loadbalancer/adds" "" [Client] "Endpoints that came";
    LB_REMOVES Counter "loadbalancer/removes" "" [Client] "Endpoints that left";
    LB_UPDATES Counter "loadbalancer/updates" "" [Client] "Address sets taken over";
    LB_REBUILDS Counter "loadbalancer/rebuilds" "" [Client] "Times that what is drawn from was built anew";
    LB_CLOSED Gauge "loadbalancer/closed" "" [Client] "Endpoints that have left and still have requests";
    LB_LOAD Gauge "loadbalancer/load" "" [Client] "Requests that endpoints have, some seconds ago at most";
    AVAILABLE Gauge "available" "" [Client] "1 while there is an endpoint that is not set aside, some seconds ago at most";
    LB_MAX_EFFORT Counter "loadbalancer/max_effort_exhausted" "" [Client] "Times that all endpoints looked dead";
    LB_PANICS Counter "loadbalancer/panics" "" [Client] "Choices that did not look at failure accrual because so many endpoints were dead";
    LB_AVAILABLE Gauge "loadbalancer/available" "" [Client] "Endpoints that are not set aside, some seconds ago at most";
    LB_BUSY Gauge "loadbalancer/busy" "" [Client] "Endpoints that are set aside";
    LB_SIZE Gauge "loadbalancer/size" "" [Client] "Endpoints of the bound name";

    RESPONSES_MADE Counter "responses_made/<reason>" "" [Router] "Responses made here instead of passed on, by reason";
    FOLDED Counter "labels_folded/<kind>" "" [Router] "Labels that found no room and are counted under (other), by kind";
    CACHE_MISSES Counter "bindcache/path/misses" "" [Router] "Names asked for that were not cached";
    CACHE_EVICTS Counter "bindcache/path/evicts" "" [Router] "Names that left the cache to make room";
    CACHE_EXPIRES Counter "bindcache/path/expires" "" [Router] "Names that left the cache because nobody used them";
    CACHE_ONESHOTS Counter "bindcache/path/oneshots" "" [Router] "Names bound for one request only";
    CLIENT_MISSES Counter "bindcache/client/misses" "" [Router] "Clients asked for that were not cached, by each worker";
    CLIENT_EVICTS Counter "bindcache/client/evicts" "" [Router] "Clients that left a worker's cache to make room";
    CLIENT_EXPIRES Counter "bindcache/client/expires" "" [Router] "Clients that left a worker's cache because nobody used them";
    CLIENT_ONESHOTS Counter "bindcache/client/oneshots" "" [Router] "Clients made beyond the limit of the cache, since all others were in use";
    ORIGINATOR Gauge "originator" "" [Router] "1 for a router whose `originator` is true";
    CACHE_NAMES Gauge "bindcache/path/names" "" [Router] "Names in the cache";
    CACHE_STALE Gauge "bindcache/path/stale_names" "" [Router] "Names whose state namerd has not confirmed since it was away";

    CONTROL_STREAMS Counter "streams_total" "" [Control] "Streams that were opened";
    CONTROL_FAILURES Counter "failures_total" "" [Control] "Attempts and streams that failed";
    CONTROL_DENIED Counter "denied_total" "" [Control] "Attempts that were refused for who we are";
    CONTROL_MESSAGES Counter "messages_total" "" [Control] "Messages that came";
    CONTROL_HASHES Counter "hash_mismatches_total" "" [Control] "States whose hash was not the one that came with them";
    CONTROL_DIGESTS Counter "digest_mismatches_total" "" [Control] "Heartbeats whose digest was not ours";
    CONTROL_REFETCHES Counter "refetches_total" "" [Control] "States asked for again in full";
    CONTROL_UNKNOWN Counter "unknown_numbers_total" "" [Control] "Messages about something that we do not follow";
    CONTROL_REFUSALS Counter "refusals_total" "" [Control] "Names that namerd would not follow";
    CONTROL_CONNECTED Gauge "connected" "" [Control] "Whether namerd is being followed now";
    CONTROL_CLUSTERS Gauge "clusters" "" [Control] "Bound names that are followed";
    CONTROL_STALE Gauge "stale_clusters" "" [Control] "Bound names whose endpoints namerd has not confirmed since it was away";
    CONTROL_STALENESS Gauge "staleness_seconds" "s" [Control] "Time since the oldest of them was confirmed";

    UPTIME Gauge "uptime_seconds" "s" [Process] "Time since the start";
    STARTED Gauge "start_time_seconds" "s" [Process] "When the process started, in seconds of Unix time";
    CPU Counter "cpu_seconds_total" "s" [Process] "Processor time used";
    RESIDENT Gauge "resident_memory_bytes" "bytes" [Process] "Resident memory";
    THREADS Gauge "threads" "" [Process] "Threads";
    OPEN_FDS Gauge "open_fds" "" [Process] "Open file descriptors";
    MAX_FDS Gauge "max_fds" "" [Process] "File descriptors that may be open";

    ACCESS_LINES Counter "access_log_lines_total/<outcome>" "" [Node] "Lines of access logs, by what became of them";
    TOLD Counter "sampled_requests_total/<outcome>" "" [Node] "Requests sampled for telemeters, by what became of them";
    SPANS Counter "trace_spans_total/<outcome>" "" [Node] "Spans, by whether the collector took them";
    ADMIN_WATCHERS Gauge "admin_watchers" "" [Node] "Pages that follow changes";
    CLIENT_CONNECTIONS Gauge "client_connections" "" [Node] "Clients that are connected, of all servers";
    CLIENT_CONNECTIONS_MAX Gauge "client_connections_max" "" [Node] "How many there may be, by the limit of open files";
    CLIENT_CONNECTIONS_FULL Counter "client_connections_full_total" "" [Node] "Times that a worker had as many as it may, and took no more until one ended";
    TLS_HANDSHAKES Counter "tls_handshakes_total" "" [Node] "TLS handshakes with clients that ended well";
    TLS_FAILURES Counter "tls_handshake_failures_total" "" [Node] "TLS handshakes with clients that did not, those that took too long included";
    TLS_PLAINTEXT Counter "tls_plaintext_total" "" [Node] "Connections in clear text that listeners for nodes let in, as `plaintext: allowed` says";
    TLS_RELOADS Counter "tls_reloads_total" "" [Node] "Changes of TLS files that were taken";
    TLS_RELOAD_FAILURES Counter "tls_reload_failures_total" "" [Node] "Changes of TLS files that were not usable; the ones before stay in use";
    TLS_END Gauge "tls_certificate_end_seconds" "s" [Node] "When the first of the certificates in files ends, in seconds of Unix time";
    IDENTITY_TAKEN Counter "identity_taken_total" "" [Node] "Certificates of this node that were taken into use";
    IDENTITY_FAILURES Counter "identity_failures_total" "" [Node] "Attempts to get a certificate for this node that failed; the one before stays in use";
    IDENTITY_UNNAMED Counter "identity_unnamed_total" "" [Node] "Connections to other nodes of which namerd, being older, did not say which one stands there: any node of the trust domain was believed";
    IDENTITY_STRANGERS Counter "identity_strangers_total" "" [Node] "Connections to other nodes that were given up because another one, or nobody of the trust domain, stood there";
    IDENTITY_END Gauge "identity_end_seconds" "s" [Node] "When the certificate of this node ends, in seconds of Unix time; 0: it has none yet";

    BUILD_INFO Gauge "build_info/<version>" "" [Node] "1, with the version";
}

impl Described {
    /// The name without its variable part, and what that part is called.
    pub fn pattern(&self) -> (&'static str, Option<&'static str>) {
        match self.name.split_once("/<") {
            Some((plain, part)) => (plain, Some(part.trim_end_matches('>'))),
            None => (self.name, None),
        }
    }

    /// Whether the variable part becomes a label in Prometheus; else it is part of the name, as in 1.x.
    pub fn is_labelled(&self) -> bool {
        !matches!(self.pattern().1, None | Some("code" | "class"))
    }
}

impl Scope {
    /// The labels that say where.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Scope::Router => &["rt"],
            Scope::Server => &["rt", "server"],
            Scope::Service => &["rt", "service"],
            Scope::Client => &["rt", "client"],
            Scope::Pair => &["rt", "client", "service"],
            Scope::Control => &["namerd"],
            Scope::Process | Scope::Node => &[],
        }
    }

    /// What stands in front of a Prometheus name.
    pub fn prefix(self) -> &'static str {
        match self {
            Scope::Router => "rt:",
            Scope::Server => "rt:server:",
            Scope::Service => "rt:service:",
            Scope::Client => "rt:client:",
            Scope::Pair => "rt:client:service:",
            Scope::Control => "l5d_node_control_",
            Scope::Process => "process_",
            Scope::Node => "l5d_node_",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let mut names = Vec::new();
        for m in METRICS {
            assert!(!m.help.is_empty() && !m.help.contains(['\n', '\\', '|']));
            assert!(
                ["", "ms", "us", "s", "bytes"].contains(&m.unit),
                "{}",
                m.name
            );
            let is_ours = |s: &Scope| matches!(s, Scope::Control | Scope::Process | Scope::Node);
            if m.scopes.iter().any(is_ours) && m.kind == Kind::Counter {
                assert!(m.pattern().0.ends_with("_total"), "{}", m.name);
            }
            for scope in m.scopes {
                names.push(format!("{}{}", scope.prefix(), m.name));
            }
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "each name once in a scope");
    }

    /// The table as the paper has it. `L5D_WRITE_DOCS=1` writes it.
    #[test]
    fn the_paper_has_this_table() {
        let mut text = String::from(
            "| scope | Prometheus name | kind | unit | says |\n|---|---|---|---|---|\n",
        );
        for scope in [
            Scope::Server,
            Scope::Service,
            Scope::Client,
            Scope::Pair,
            Scope::Router,
            Scope::Control,
            Scope::Process,
            Scope::Node,
        ] {
            for m in METRICS.iter().filter(|m| m.scopes.contains(&scope)) {
                let (plain, part) = m.pattern();
                let name = plain.replace('/', ":");
                let name = match part {
                    None => name,
                    Some(part) if m.is_labelled() => format!("{name}{{{part}}}"),
                    Some(part) => format!("{name}:<{part}>"),
                };
                let kind = format!("{:?}", m.kind).to_lowercase();
                let (scope, prefix) = (format!("{scope:?}").to_lowercase(), scope.prefix());
                writeln!(
                    text,
                    "| {scope} | `{prefix}{name}` | {kind} | {} | {} |",
                    m.unit, m.help
                )
                .expect("a string takes everything");
            }
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/METRICS.md");
        let paper = std::fs::read_to_string(file).expect("the paper");
        let (begin, end) = ("<!-- metrics -->\n", "<!-- end -->");
        let (head, rest) = paper.split_once(begin).expect("the mark");
        let (held, tail) = rest.split_once(end).expect("the second mark");
        if std::env::var_os("L5D_WRITE_DOCS").is_some() {
            std::fs::write(file, format!("{head}{begin}{text}{end}{tail}")).expect("written");
        } else {
            assert_eq!(
                held, text,
                "deploy/METRICS.md: L5D_WRITE_DOCS=1 cargo test writes it"
            );
        }
    }
}
