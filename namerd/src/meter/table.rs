//! Every metric of namerd. Names are `namerd_<module>_<what>_<unit>`; counters end in `_total`. What is exposed stands here,
//! so a reference can be printed from it.

/// What a number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets, in seconds.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// What it does.
    pub kind: Type,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
}

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Described =
                Described { name: $name, help: $help, kind: Type::$kind, labels: &[$($label),*] };
        )*
        /// All of them, in the order in which they are shown.
        pub const METRICS: &[Described] = &[$($id),*];
    };
}

metrics! {
    BUILD_INFO Gauge "namerd_process_build_info" ["version"] "The version, as a label";
    READY Gauge "namerd_process_ready" [] "Whether every source has answered once";
    UPTIME Gauge "namerd_process_uptime_seconds" [] "Time since the start";
    CPU Counter "namerd_process_cpu_seconds_total" [] "Processor time used";
    RESIDENT Gauge "namerd_process_resident_bytes" [] "Resident memory";
    THREADS Gauge "namerd_process_threads" [] "Threads";
    OPEN_FDS Gauge "namerd_process_open_fds" [] "Open file descriptors";
    MAX_FDS Gauge "namerd_process_max_fds" [] "File descriptors that may be open";

    RECOMPUTATIONS Counter "namerd_store_recomputations_total" [] "Nodes of the graph computed";
    QUEUED Gauge "namerd_store_queued_nodes" [] "Nodes of the graph waiting to be computed";
    NAMESPACES Gauge "namerd_store_namespaces" [] "Dtab namespaces";
    STORE_CONNECTED Gauge "namerd_store_connected" ["kind"] "Whether the dtab store answers";
    STORE_AGE Gauge "namerd_store_age_seconds" ["kind"] "Time since the dtab store last said what it holds";
    STORE_FAILURES Counter "namerd_store_failures_total" ["kind"] "Failures of the dtab store";
    STORE_UNKEPT Counter "namerd_store_history_lost_total" ["kind"] "Writes that happened although what they replaced could not be kept for the history";
    STORE_UNREADABLE Gauge "namerd_store_unreadable_namespaces" ["kind"] "Namespaces whose stored dtab cannot be read";
    STORE_WRITES Counter "namerd_store_writes_total" ["operation", "outcome"] "Writes to the dtab store";
    STORE_SECONDS Histogram "namerd_store_write_seconds" ["operation"] "How long writes to the dtab store took";

    LOOKUPS Counter "namerd_bind_source_lookups_total" ["kind", "outcome"] "Answers of systems that namers ask for one service at a time";
    EVALUATIONS Counter "namerd_bind_evaluations_total" [] "Bindings evaluated";
    BINDINGS Gauge "namerd_bind_bindings" [] "Bindings kept";
    BINDING_STATES Gauge "namerd_bind_binding_states" ["state"] "Bindings by what they came to";
    CLUSTERS Gauge "namerd_bind_clusters" ["state"] "Bound clusters by the state of their address set";
    ENDPOINTS Gauge "namerd_bind_endpoints" [] "Endpoints of all bound clusters";
    MISSING_GATEWAYS Counter "namerd_transform_gateway_missing_total" [] "Endpoints left out because their node had no gateway";

    SESSIONS Gauge "namerd_stream_sessions" [] "Sessions open";
    SESSIONS_OPENED Counter "namerd_stream_sessions_opened_total" [] "Sessions opened";
    SESSIONS_RESUMED Counter "namerd_stream_sessions_resumed_total" [] "Sessions that began with something held from before";
    INTERESTS Gauge "namerd_stream_interests" [] "Names that sessions follow, counted for each session";
    MOST_LAG Gauge "namerd_stream_most_lag_seconds" [] "How far the session that is most behind is behind";
    FRAMES Counter "namerd_stream_frames_total" [] "Messages handed to sessions";
    ENCODINGS Counter "namerd_stream_encodings_total" [] "States encoded, once a version";
    SENT_BYTES Counter "namerd_stream_sent_bytes_total" [] "Bytes handed to sessions";
    WRITES Counter "namerd_stream_writes_total" [] "Chunks handed to sessions";
    REFETCHES Counter "namerd_stream_refetches_total" [] "States a node wanted in full again";
    REFUSALS Counter "namerd_stream_refusals_total" ["code"] "Interests refused";
    ENDED Counter "namerd_stream_ended_total" ["reason"] "Sessions ended";
    GAP Gauge "namerd_stream_gap_seconds" [] "How long sessions gather before they write";
    FOLLOWED_CLUSTERS Gauge "namerd_stream_followed_clusters" [] "Clusters that sessions follow";
    FOLLOWED_TREES Gauge "namerd_stream_followed_trees" [] "Trees that sessions follow";

    WATCH_SYNCED Gauge "namerd_k8s_watch_synced" ["api", "source"] "Whether a first list has been complete";
    WATCH_AGE Gauge "namerd_k8s_watch_age_seconds" ["api", "source"] "Time since the last item";
    WATCH_LAG Gauge "namerd_k8s_watch_lag_seconds" ["api", "source"] "How late the last slice event came";
    WATCH_RELISTS Counter "namerd_k8s_watch_relists_total" ["api", "source"] "Lists after the first";
    WATCH_RESUMES Counter "namerd_k8s_watch_resumes_total" ["api", "source"] "Watches gone on from a version";
    WATCH_DECODE Counter "namerd_k8s_watch_decode_errors_total" ["api", "source"] "Objects that could not be read";
    WATCH_TRAVELS Counter "namerd_k8s_watch_time_travels_total" ["api", "source"] "Lists refused as older than what was known";
    WATCH_OBJECTS Gauge "namerd_k8s_watch_objects" ["api", "source"] "Objects kept";
    WATCH_STALE Gauge "namerd_k8s_watch_stale_objects" ["api", "source"] "Objects whose last version could not be read";
    WATCH_STATE Gauge "namerd_k8s_watch_state" ["api", "source", "state"] "1 for the state that a watch is in";

    INGRESS_RULES Gauge "namerd_k8s_ingress_rules" [] "Ingress rules that are served to nodes";
    INGRESS_LEFT_OUT Gauge "namerd_k8s_ingress_rules_left_out" ["reason"] "Rules of our Ingresses that cannot be served";

    HTTP_REQUESTS Counter "namerd_api_http_requests_total" ["route", "status"] "Requests answered by HTTP controllers";
    HTTP_SECONDS Histogram "namerd_api_http_request_seconds" ["route"] "Time until the answer of an HTTP controller begins";
    GRPC_CALLS Counter "namerd_api_grpc_calls_total" ["method", "code"] "gRPC calls that have ended";
    GRPC_SECONDS Histogram "namerd_api_grpc_call_seconds" ["method"] "Time until the answer of a gRPC call begins";
    GRPC_STREAMS Gauge "namerd_api_grpc_open_streams" ["method"] "Streams open until their clients leave, Follow apart";
    THRIFT_CALLS Counter "namerd_api_thrift_calls_total" ["method", "outcome"] "Calls of the thrift interface that have ended";
    THRIFT_WAITING Gauge "namerd_api_thrift_waiting_calls" ["method"] "Calls of the thrift interface that wait for an answer";
    LIMITS Counter "namerd_api_limits_total" ["limit"] "Times that a limit refused something";
    ACCESS_LOG Counter "namerd_api_access_log_lines_total" ["outcome"] "Lines of access logs: written, dropped since the disk was slow, or failed";
    HANDSHAKES Counter "namerd_tls_handshakes_total" ["server", "result"] "TLS handshakes by how they ended";
    TLS_RELOADS Counter "namerd_tls_reloads_total" ["server", "result"] "Changed TLS files: taken, or not usable";
    CERTIFICATE_END Gauge "namerd_tls_certificate_end_seconds" ["server"] "When the certificate in use ends, in seconds of Unix time";

    CA_REQUESTS Counter "namerd_ca_requests_total" ["result"] "Certificates signed for nodes, and requests refused";
    CA_ROOTS Counter "namerd_ca_roots_total" ["result"] "Roots of the certificate authority taken into use, and failures to read, keep or replace them";
    CA_ROOT_END Gauge "namerd_ca_root_end_seconds" [] "When the root that signs ends, in seconds of Unix time";
    CA_TRUSTED Gauge "namerd_ca_trusted_roots" [] "Roots that nodes are told to trust: two while one is replaced";

    ADMIN_REQUESTS Counter "namerd_admin_requests_total" ["category", "status"] "Requests answered by the admin server";
    ADMIN_WATCHERS Gauge "namerd_admin_watchers" [] "Pages that follow changes";
    LOG_LINES Counter "namerd_app_log_lines_total" ["level"] "Lines written into the log";
    LOG_LEFT_OUT Counter "namerd_app_log_left_out_total" [] "Lines left out of the log because the same came too often";
    SPANS Counter "namerd_app_trace_spans_total" ["outcome"] "Spans of traces that were recorded";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let modules = [
            "process",
            "store",
            "bind",
            "transform",
            "stream",
            "k8s",
            "api",
            "tls",
            "ca",
            "admin",
            "app",
        ];
        let mut names: Vec<_> = METRICS.iter().map(|m| m.name).collect();
        for m in METRICS {
            let rest = m.name.strip_prefix("namerd_").expect("ours");
            let module = rest.split('_').next().expect("a module");
            assert!(modules.contains(&module), "{}", m.name);
            let is_plain = |text: &str| {
                text.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            assert!(is_plain(m.name) && m.labels.iter().all(|l| is_plain(l)));
            assert_eq!(
                m.name.ends_with("_total"),
                m.kind == Type::Counter,
                "{}",
                m.name
            );
            if m.kind == Type::Histogram {
                assert!(m.name.ends_with("_seconds"), "{}", m.name);
            }
            assert!(!m.help.is_empty() && !m.help.contains(['\n', '\\']));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len(), "each name once");
    }

    /// The table as the paper has it. `L5D_WRITE_DOCS=1` writes it.
    #[test]
    fn the_paper_has_this_table() {
        let mut text = String::from("| name | kind | labels | says |\n|---|---|---|---|\n");
        for m in METRICS {
            let kind = format!("{:?}", m.kind).to_lowercase();
            let labels = m.labels.join(", ");
            text += &format!("| `{}` | {kind} | {labels} | {} |\n", m.name, m.help);
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/METRICS.md");
        let paper = std::fs::read_to_string(file).expect("the paper");
        let (begin, end) = ("<!-- namerd -->\n", "<!-- namerd end -->");
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
