//! Header fields that a node proxy reads, sets or takes away. A test finds every name in its source and wants it here.

use std::fmt::Write as _;

struct Field {
    name: &'static str,
    /// `request`, `response` or both.
    on: &'static str,
    does: &'static str,
    trust: &'static str,
}

const fn field(
    name: &'static str,
    on: &'static str,
    does: &'static str,
    trust: &'static str,
) -> Field {
    Field {
        name,
        on,
        does,
        trust,
    }
}

const CLEARED: &str = "dropped with `clearContext`";
const OURS: &str = "what others set is replaced";

const FIELDS: &[Field] = &[
    field(
        "Host, :authority",
        "request",
        "names the request, unless the identifier says otherwise; an absolute target replaces it",
        "any client's",
    ),
    field(
        "l5d-dtab",
        "request",
        "rules for this request; taken off, sent on within `l5d-ctx-dtab`",
        CLEARED,
    ),
    field(
        "l5d-ctx-dtab",
        "request",
        "rules that came with the request so far; **applications hand it on**",
        CLEARED,
    ),
    field(
        "l5d-ctx-trace",
        "request",
        "trace context of linkerd 1.x; read, and set anew; **applications hand it on**",
        CLEARED,
    ),
    field(
        "l5d-ctx-deadline",
        "request",
        "time of sending and deadline, in ns; read and set; ends requests with `enforceDeadline`; **applications hand it on**",
        CLEARED,
    ),
    field(
        "l5d-sample",
        "request",
        "0 to 1: share of traces that are recorded; taken off",
        CLEARED,
    ),
    field("l5d-reqid", "request", "set: the id of the trace", OURS),
    field("l5d-dst-service", "request", "set: the logical name", OURS),
    field(
        "l5d-dst-client",
        "request",
        "set: the bound name, transformers included",
        OURS,
    ),
    field(
        "l5d-dst-residual",
        "request",
        "set: what is left of the name behind it",
        OURS,
    ),
    field(
        "l5d-name",
        "request",
        "the name, with identifier `io.l5d.header`",
        "any client's",
    ),
    field(
        "l5d-err",
        "response",
        "set on every response that is made here: why; form-encoded",
        "taken off with `clearContext`",
    ),
    field(
        "l5d-retryable",
        "response",
        "`true`: the destination has not seen the request",
        "of other proxies: a classifier believes it",
    ),
    field(
        "l5d-success-class",
        "response",
        "what the classifier said: `1.0` or `0.0`",
        "of the next hop: the listener counts by it",
    ),
    field(
        "Via",
        "both",
        "`1.1 linkerd` is added; its elements are counted against `maxCallDepth`",
        "as it is",
    ),
    field(
        "Forwarded",
        "request",
        "added with `addForwardedHeader`",
        "as it is",
    ),
    field(
        "x-forwarded-client-cert",
        "request",
        "set with `forwardClientCert`",
        "of a client's certificate that was checked; else removed",
    ),
    field(
        "traceparent",
        "request",
        "W3C trace context, with `tracePropagator` `io.l5d.w3c`",
        CLEARED,
    ),
    field("tracestate", "request", "as `traceparent`", CLEARED),
    field(
        "x-b3-traceid",
        "request",
        "with `tracePropagator` `io.l5d.zipkin`: read and set",
        CLEARED,
    ),
    field("x-b3-spanid", "request", "as `x-b3-traceid`", CLEARED),
    field("x-b3-parentspanid", "request", "as `x-b3-traceid`", CLEARED),
    field("x-b3-sampled", "request", "as `x-b3-traceid`", CLEARED),
    field("x-b3-flags", "request", "as `x-b3-traceid`", CLEARED),
    field(
        "grpc-timeout",
        "request",
        "an upper bound of the total timeout, unless `honorGrpcTimeout: false`",
        "any client's",
    ),
    field(
        "grpc-status",
        "response",
        "read by gRPC classifiers; set on failures of gRPC requests",
        "the application's",
    ),
    field(
        "grpc-message",
        "response",
        "set on failures of gRPC requests: as `l5d-err`",
        "-",
    ),
    field(
        "l5d-node-http2",
        "both",
        "two node proxies agree on HTTP/2; ends at the next hop",
        "whoever sends it",
    ),
    field(
        "l5d-orig-proto",
        "request",
        "what a request between node proxies was before; ends at the next hop",
        "on connections of node proxies",
    ),
    field(
        "Max-Forwards",
        "request",
        "on TRACE: counted down, 0 ends here",
        "any client's",
    ),
    field(
        "Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding, TE, Trailer, Upgrade, Proxy-Authenticate, Proxy-Authorization",
        "both",
        "belong to one hop",
        "-",
    ),
    field(
        "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Real-IP, dtab-local",
        "request",
        "never read, set or removed",
        "as they are",
    ),
];

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut out = "<!-- written by `cargo xtask reference` -->\n# Headers\n\n\
         What a node proxy does with header fields. All other fields pass as they are. An application has to hand on the fields `l5d-ctx-*` of the \
         request that it serves to the requests that it makes; nothing else is asked of it.\n\n\
         | field | on | what becomes of it | trust |\n|---|---|---|---|\n"
        .to_owned();
    for field in FIELDS {
        let names: Vec<_> = field.name.split(", ").map(|n| format!("`{n}`")).collect();
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            names.join(", "),
            field.on,
            field.does,
            field.trust
        )?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What a name of a field that is ours to treat begins with.
    const BEGINNINGS: [&str; 6] = [
        "l5d-",
        "x-b3-",
        "x-forwarded-",
        "traceparent",
        "tracestate",
        "grpc-",
    ];
    /// Texts that look like one.
    const OTHERS: [&str; 3] = ["l5d-node", "l5d-", "x-forwarded-"];

    fn source(folder: &Path, out: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && name != "tests" && name != "ui" {
                source(&path, out);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                out.push_str(text.split("#[cfg(test)]\nmod ").next().unwrap_or(&text));
            }
        }
    }

    #[test]
    fn every_field_of_the_code_is_told() {
        let mut code = String::new();
        source(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../l5d-node/src"),
            &mut code,
        );
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let found: BTreeSet<&str> = code
            .split('"')
            .map(|text| text.split(|c| !is_name(c)).next().unwrap_or(""))
            .filter(|name| BEGINNINGS.iter().any(|b| name.starts_with(b)))
            .filter(|name| !OTHERS.contains(name))
            .collect();
        assert!(
            found.contains("l5d-ctx-dtab"),
            "the source is not read: {found:?}"
        );
        let told: BTreeSet<&str> = FIELDS.iter().flat_map(|f| f.name.split(", ")).collect();
        let missing: Vec<_> = found.iter().filter(|f| !told.contains(*f)).collect();
        assert!(
            missing.is_empty(),
            "tools/reference/src/headers.rs lacks {missing:?}"
        );
        let ours = |name: &&&str| {
            BEGINNINGS.iter().any(|b| name.starts_with(b)) || name.starts_with("l5d-")
        };
        // Where all fields begin so, the code has what is behind it.
        let has = |name: &str| {
            let behind = name.strip_prefix("l5d-").unwrap_or(name);
            code.contains(name) || code.contains(&format!("\"{behind}\""))
        };
        let gone: Vec<_> = told.iter().filter(ours).filter(|t| !has(t)).collect();
        assert!(gone.is_empty(), "the node knows nothing of {gone:?}");
    }
}
