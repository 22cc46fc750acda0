//! Failures that the programs answer, from the code that makes them, and what to do about each.

use std::fmt::Write as _;

use l5d_node::serve::{MadeHere, failures};

/// By reason: what is the matter, and what to do.
const REASONS: &[(&str, &str, &str)] = &[
    (
        "malformed",
        "the client does not speak HTTP as it should, or more than fits",
        "look at the client; `maxHeadersKB`, `maxInitialLineKB`",
    ),
    (
        "override",
        "`l5d-dtab` or `l5d-ctx-dtab` does not parse",
        "mend the header; line and column are told",
    ),
    (
        "call_depth",
        "more elements in `Via` than `maxCallDepth`: a loop",
        "`namerctl explain` the name",
    ),
    (
        "connect_method",
        "CONNECT without `allowConnect`",
        "[clients](clients.md#connect)",
    ),
    (
        "unidentified",
        "the identifier finds no name in the request",
        "send `Host`, or change `identifier`",
    ),
    (
        "no_binding",
        "the name leads nowhere",
        "`namerctl explain` the name",
    ),
    (
        "no_address",
        "the name is bound and has no endpoint now",
        "are pods ready? is a proxy on their nodes?",
    ),
    (
        "binding_failed",
        "namerd cannot bind the name, or refuses to; the text says why",
        "see the codes below",
    ),
    (
        "binding_timeout",
        "nothing is known of the name in time",
        "is namerd reachable? [failures](failures.md#binding-timeout)",
    ),
    (
        "connect_failed",
        "no endpoint takes a connection",
        "[failures](failures.md#unable-to-establish-connection)",
    ),
    (
        "not_sent",
        "the connection died before the request was written",
        "tried again elsewhere by itself, within the budget",
    ),
    (
        "connection_lost",
        "the endpoint closed without an answer",
        "crash or restart of the application",
    ),
    (
        "reset",
        "the endpoint reset the stream (HTTP/2); its code is passed on",
        "the application's log",
    ),
    (
        "bad_response",
        "the endpoint does not speak HTTP as it should",
        "protocol of the router (`http`, `h2`), the application's port",
    ),
    (
        "timeout",
        "a limit of the request has ended; the text names the key",
        "the application, or the limit",
    ),
    (
        "loop",
        "the name leads to this listener itself",
        "`namerctl explain` the name",
    ),
    (
        "overloaded",
        "more requests at once than `maxConcurrentRequests`",
        "more pods, a higher limit",
    ),
    (
        "queue_full",
        "too many wait for an endpoint or a connection, or one in vain",
        "`client.queue`, `hostConnectionPool`, more pods",
    ),
    ("traced", "no failure: the answer to TRACE", "-"),
];

/// How a `Follow` stream of the resolver API ends, or what a call of it answers.
const STREAM: &[(&str, &str, &str)] = &[
    (
        "UNAVAILABLE",
        "namerd is not ready, is leaving, or cannot check a proof now",
        "the node tries the next address by itself",
    ),
    (
        "FAILED_PRECONDITION",
        "this replica is behind what the node has seen; for calls: a name too deep or too wide",
        "the node waits up to 30 s, then accepts; for calls: simplify the dtab",
    ),
    (
        "UNAUTHENTICATED",
        "who asks has not proved who it is",
        "certificate or token of the node; `auth` of the interface",
    ),
    (
        "PERMISSION_DENIED",
        "who asks may not",
        "`serviceAccounts`, `trustDomain`, rights of the token",
    ),
    (
        "RESOURCE_EXHAUSTED",
        "a limit: sessions, message size, calls per second",
        "`limits` of the interface",
    ),
    (
        "INVALID_ARGUMENT",
        "a fault of the protocol, or a text that does not parse (field, line, column)",
        "versions of node and namerd; the text",
    ),
    (
        "DEADLINE_EXCEEDED",
        "the node does not read",
        "the node is stuck or cut off",
    ),
];

/// The page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut out = "<!-- written by `cargo xtask reference` -->\n# Errors\n\n\
         By symptom, with commands: [When something fails](failures.md).\n\n\
         ## Responses made by a node proxy\n\n\
         They have `l5d-err`; applications' own errors do not. *Retryable*: sent with `l5d-retryable: true`, the destination has not seen the request. \
         Counted as `rt:responses_made{rt, reason}`, and at the listener as `rt:server:failures{exception}`.\n\n\
         | reason | status | gRPC | retryable | text begins | because | do |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for made in failures() {
        let MadeHere {
            reason,
            status,
            grpc,
            is_retryable,
            text,
        } = made;
        let known = REASONS.iter().find(|(r, _, _)| *r == reason);
        let (because, action) = known.map_or(("", ""), |(_, b, d)| (b, d));
        let retryable = if is_retryable { "yes" } else { "" };
        let text = text.lines().next().unwrap_or("").replace('|', "\\|");
        writeln!(
            out,
            "| `{reason}` | {status} | {grpc} | {retryable} | `{text}` | {because} | {action} |"
        )?;
    }
    out.push_str(
        "\nTimeouts are 504 with `timeoutStatus: 504`. On an `h2` router a request without a name is a stream reset (REFUSED_STREAM) unless \
         `answerUnidentified: true`; a reset of the endpoint is passed on with its code.\n\n\
         ## gRPC: namerd's resolver API\n\n| code | because | do |\n|---|---|---|\n",
    );
    for (code, because, action) in STREAM {
        writeln!(out, "| `{code}` | {because} | {action} |")?;
    }
    out.push_str(
        "\n## Names that namerd refuses or cannot bind\n\n\
         A request of such a name is answered with reason `binding_failed`.\n\n| code | because |\n|---|---|\n\
         | INVALID | a path or dtab does not parse, or is too long |\n\
         | ROUTER | a transformer, the root or the dtab of a router is not good: all names of that router |\n\
         | LIMIT | too many names, overrides, or new names per second; asked for again later |\n\
         | DENIED | this node may not ask for it |\n\
         | DEPTH | the dtab goes round, or too many steps |\n\
         | WIDTH | a tree with too many leaves |\n\
         | NAMER | the namer fails; the text says why |\n\
         | STORE | the dtab store has never answered |\n\n\
         Exit codes: [commands](commands.md).\n",
    );
    Ok(out)
}

#[test]
fn every_reason_is_explained_and_none_besides() {
    let made: std::collections::BTreeSet<&str> = failures().iter().map(|f| f.reason).collect();
    let known: std::collections::BTreeSet<&str> = REASONS.iter().map(|(r, _, _)| *r).collect();
    assert_eq!(made, known);
}
