//! One service, over all nodes: from its requests to its endpoints.

use super::{Dashboard, RT};
use crate::watching::dashboard::{Look::*, Panel, Row, Variable};

const SERVICE: Variable = Variable {
    name: "service",
    title: "Service",
    series: r#"rt:service:requests{rt=~"$rt"}"#,
    label: "service",
    has_all: false,
};

pub(super) fn all() -> Dashboard {
    Dashboard {
        name: "service",
        title: "l5d / Service",
        says: "One logical name: how many requests it has, how many fail, how long they take, to which clients (bound names) they go, and how those are.",
        variables: vec![RT, SERVICE],
        rows: vec![requests(), clients(), endpoints()],
    }
}

fn requests() -> Row {
    Row("Requests", vec![
        Panel::new(Number, 6, "Requests", "reqps", "Each counts once, however often it was tried.")
            .ask(r#"sum(l5d:service_requests:rate5m{rt=~"$rt", service="$service"})"#, ""),
        Panel::new(Number, 6, "Failing", "percentunit", "By the service's classifier, those without an answer included.")
            .ask(r#"sum(l5d:service_failures:rate5m{rt=~"$rt", service="$service"}) / sum(l5d:service_requests:rate5m{rt=~"$rt", service="$service"})"#, "")
            .limits(0.01, 0.05),
        Panel::new(Number, 6, "99 in 100 within", "ms", "On the worst node.")
            .ask(r#"max(rt:service:request_latency_ms{quantile="0.99", rt=~"$rt", service="$service"})"#, ""),
        Panel::new(Number, 6, "Pending", "none", "Requests that have not ended.")
            .ask(r#"sum(rt:service:pending{rt=~"$rt", service="$service"})"#, ""),
        Panel::new(Lines, 8, "Success and failure", "reqps", "Since when.")
            .ask(r#"sum(rate(rt:service:success{rt=~"$rt", service="$service"}[$__rate_interval]))"#, "success")
            .ask(r#"sum(rate(rt:service:failures{exception="", rt=~"$rt", service="$service"}[$__rate_interval]))"#, "failures"),
        Panel::new(Lines, 8, "Latency", "ms", "The mean over nodes of each quantile of the last minute.")
            .ask(r#"avg by (quantile) (rt:service:request_latency_ms{quantile=~"0.5|0.95|0.99", rt=~"$rt", service="$service"})"#, "{{quantile}}"),
        Panel::new(Lines, 8, "Why there was no answer", "reqps", "Failures that the node proxy had to answer itself, by reason. Failures of the service's own are not in here.")
            .ask(r#"sum by (exception) (rate(rt:service:failures{exception!="", rt=~"$rt", service="$service"}[$__rate_interval]))"#, "{{exception}}"),
        Panel::new(Lines, 12, "Failures by node", "reqps", "The ten node proxies with most: one host, or all?")
            .ask(r#"topk(10, sum by (node, instance) (rate(rt:service:failures{exception="", rt=~"$rt", service="$service"}[$__rate_interval])))"#, "{{node}} {{instance}}"),
        Panel::new(Lines, 12, "Retries", "reqps", "Made, and not made because the budget was used up or the request had been tried often enough.")
            .ask(r#"sum(rate(rt:service:retries:total{rt=~"$rt", service="$service"}[$__rate_interval]))"#, "made")
            .ask(r#"sum(rate(rt:service:retries:budget_exhausted{rt=~"$rt", service="$service"}[$__rate_interval]))"#, "budget used up")
            .ask(r#"sum(rate(rt:service:retries:max_exceeded{rt=~"$rt", service="$service"}[$__rate_interval]))"#, "tried often enough"),
    ])
}

fn clients() -> Row {
    Row("Clients: where its requests go", vec![
        Panel::new(Lines, 8, "Attempts by client", "reqps", "Where a dtab, a fallback or a weight sends them.")
            .ask(r#"sum by (client) (rate(rt:client:service:requests{rt=~"$rt", service="$service"}[$__rate_interval]))"#, "{{client}}"),
        Panel::new(Lines, 8, "Failing attempts by client", "percentunit", "A canary that fails shows here.")
            .ask(r#"sum by (client) (rate(rt:client:service:failures{rt=~"$rt", service="$service"}[$__rate_interval])) / (sum by (client) (rate(rt:client:service:requests{rt=~"$rt", service="$service"}[$__rate_interval])) > 0)"#, "{{client}}"),
        Panel::new(Lines, 8, "Latency by client", "ms", "99 in 100 attempts, on the worst node.")
            .ask(r#"max by (client) (rt:client:service:request_latency_ms{quantile="0.99", rt=~"$rt", service="$service"})"#, "{{client}}"),
    ])
}

fn endpoints() -> Row {
    Row("Their endpoints and connections", vec![
        Panel::new(Lines, 8, "Endpoints", "none", "Those that the bound name has, and those that are set aside on the worst node.")
            .ask(r#"max by (client) (rt:client:loadbalancer:size{rt=~"$rt"}) and on (client) rt:client:service:requests{rt=~"$rt", service="$service"}"#, "{{client}}")
            .ask(r#"max by (client) (rt:client:loadbalancer:busy{rt=~"$rt"}) and on (client) rt:client:service:requests{rt=~"$rt", service="$service"}"#, "{{client}} set aside"),
        Panel::new(Lines, 8, "Connections that cannot be opened", "cps", "By client.")
            .ask(r#"sum by (client) (rate(rt:client:connect_failures{rt=~"$rt"}[$__rate_interval])) and on (client) rt:client:service:requests{rt=~"$rt", service="$service"}"#, "{{client}}"),
        Panel::new(Lines, 8, "Bytes", "Bps", "Of the clients' connections, whichever services use them.")
            .ask(r#"sum by (client) (rate(rt:client:received_bytes{rt=~"$rt"}[$__rate_interval])) and on (client) rt:client:service:requests{rt=~"$rt", service="$service"}"#, "{{client}} in")
            .ask(r#"sum by (client) (rate(rt:client:sent_bytes{rt=~"$rt"}[$__rate_interval])) and on (client) rt:client:service:requests{rt=~"$rt", service="$service"}"#, "{{client}} out"),
        Panel::new(Lines, 12, "Requests that wait", "none", "For a connection, or for the first endpoints.")
            .ask(r#"sum by (client) (rt:client:pool_waiters{rt=~"$rt"}) and on (client) rt:client:service:requests{rt=~"$rt", service="$service"}"#, "{{client}}"),
        Panel::new(Lines, 12, "Removals by failure accrual", "ops", "How often endpoints are set aside, and come back.")
            .ask(r#"sum by (client) (rate(rt:client:failure_accrual:removals{rt=~"$rt"}[$__rate_interval])) and on (client) rt:client:service:requests{rt=~"$rt", service="$service"}"#, "{{client}} removed")
            .ask(r#"sum by (client) (rate(rt:client:failure_accrual:revivals{rt=~"$rt"}[$__rate_interval])) and on (client) rt:client:service:requests{rt=~"$rt", service="$service"}"#, "{{client}} back"),
    ])
}
