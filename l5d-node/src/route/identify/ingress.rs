//! `io.l5d.ingress` (node-proxy 7.8): the rules come from namerd, the matcher is the one that both ends have.

use l5d_resolver::ingress::Table;

use super::kinds::FOUND;
use super::{Outcome, RequestView, Segments};
use crate::config::IngressRules;

/// Namespace, port and service of the first rule that takes the request. Without rules none does: who asks has waited.
pub(super) fn find(
    wanted: &IngressRules,
    rules: Option<&Table>,
    request: &impl RequestView,
    out: &mut Segments,
) -> Outcome {
    let no_rule = || Outcome::NotFound("no ingress rule matches".to_owned());
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let host = text(request.host().unwrap_or_default());
    let (Some(rules), Some(host), Some(path)) = (rules, host, text(request.path())) else {
        return no_rule();
    };
    let defaults = !wanted.ignores_default_backends;
    let Some(rule) = rules.find(host, path, wanted.namespace.as_deref(), defaults) else {
        return no_rule();
    };
    for part in [&rule.namespace, &rule.port, &rule.service] {
        out.push(part.as_bytes());
    }
    FOUND
}
