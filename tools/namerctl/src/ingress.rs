//! `ingress`: the Ingress rules that namerd serves to node proxies, in the order in which they count; or the one that takes a
//! request.

use anyhow::bail;
use clap::Args;
use l5d_resolver::ingress::{Host, PathMatch, Rule, Table};
use l5d_resolver::ingress_page::TableAssembly;
use l5d_resolver::v1;
use serde::Serialize;

use crate::fail::Failure;
use crate::output::table::table;
use crate::output::{Format, Output};
use crate::resolver::{connect, words};
use crate::settings::{FormArgs, Settings};

/// Which rules.
#[derive(Args, Debug)]
pub(crate) struct IngressArgs {
    #[command(flatten)]
    pub(crate) form: FormArgs,
    /// Only the rule that takes a request for this HOST/PATH
    #[arg(value_name = "HOST/PATH")]
    request: Option<String>,
    /// Of this class; namerd serves one, and says so if it is another
    #[arg(long, default_value = "", hide_default_value = true)]
    class: String,
    /// Only of Ingresses in this Kubernetes namespace
    #[arg(long, value_name = "NAMESPACE")]
    of_namespace: Option<String>,
    /// Leave default backends out, as routers with `ignoreDefaultBackends` do
    #[arg(long)]
    no_defaults: bool,
}

/// One rule, as it is shown.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    /// Its place in the order, from 1.
    place: usize,
    /// Empty: any.
    host: String,
    /// `any`, `exact`, `prefix` or `expression`.
    matches: &'static str,
    path: &'a str,
    namespace: &'a str,
    service: &'a str,
    port: &'a str,
    is_default: bool,
}

/// Asks the first replica that can be reached.
pub(crate) async fn ingress(settings: &Settings, args: &IngressArgs) -> anyhow::Result<()> {
    let rules = ask(settings, &args.class).await?;
    let shown = match &args.request {
        Some(request) => vec![taking(&rules, request, args)?],
        None => all(&rules, args),
    };
    let output = settings.output;
    output.show(&shown, |format| text(output, format, &shown))
}

async fn ask(settings: &Settings, class: &str) -> anyhow::Result<Table> {
    let mut client = connect(settings).await?;
    let class = class.to_owned();
    let answer = client.ingresses(v1::IngressesRequest { class }).await;
    let mut pages = answer.map_err(|s| words(&s))?.into_inner();
    let mut assembly = TableAssembly::default();
    while let Some(page) = pages.message().await.map_err(|s| words(&s))? {
        if let Some(table) = assembly.push(&page)? {
            return Ok(table);
        }
    }
    bail!("namerd ended the table of Ingress rules before its last page")
}

fn all<'a>(rules: &'a Table, args: &IngressArgs) -> Vec<Shown<'a>> {
    let namespace = args.of_namespace.as_deref();
    let wanted = |rule: &Rule| {
        namespace.is_none_or(|n| n == &*rule.namespace) && !(args.no_defaults && rule.is_default)
    };
    let numbered = rules.rules().iter().enumerate();
    numbered
        .filter(|(_, rule)| wanted(rule))
        .map(|(i, rule)| Shown::of(i, rule))
        .collect()
}

fn taking<'a>(rules: &'a Table, request: &str, args: &IngressArgs) -> anyhow::Result<Shown<'a>> {
    let request = request.split_once("://").map_or(request, |(_, rest)| rest);
    let (host, path) = request.split_at(request.find('/').unwrap_or(request.len()));
    let path = if path.is_empty() { "/" } else { path };
    let namespace = args.of_namespace.as_deref();
    let Some(rule) = rules.find(host, path, namespace, !args.no_defaults) else {
        let count = rules.rules().len();
        let what = format!("none of {count} rules takes a request for {host}{path}");
        return Err(Failure::new(what).into());
    };
    let is_it = |r: &&Rule| std::ptr::eq(*r, rule);
    let place = rules.rules().iter().position(|r| is_it(&r));
    Ok(Shown::of(place.unwrap_or_default(), rule))
}

impl<'a> Shown<'a> {
    fn of(i: usize, rule: &'a Rule) -> Self {
        let (matches, path) = match &rule.path {
            PathMatch::Any => ("any", ""),
            PathMatch::Exact(path) => ("exact", &**path),
            // The slash at its end is left out for matching.
            PathMatch::Prefix(prefix) if prefix.is_empty() => ("prefix", "/"),
            PathMatch::Prefix(prefix) => ("prefix", &**prefix),
            PathMatch::Expression(expression) => ("expression", expression.text()),
        };
        Self {
            place: i + 1,
            host: rule.host.to_string(),
            matches,
            path,
            namespace: &rule.namespace,
            service: &rule.service,
            port: &rule.port,
            is_default: rule.is_default,
        }
    }
}

fn text(output: Output, format: Format, rules: &[Shown<'_>]) -> String {
    if format == Format::Name {
        let name = |r: &Shown<'_>| format!("{}/{}\n", r.namespace, r.service);
        return rules.iter().map(name).collect();
    }
    let mut titles = vec!["HOST", "PATH", "MATCHES", "NAMESPACE", "SERVICE", "PORT"];
    if format == Format::Wide {
        titles.extend(["PLACE", "DEFAULT"]);
    }
    let any = Host::Any.to_string();
    let row = |r: &Shown<'_>| {
        let host = if r.host == any { "*" } else { &r.host };
        let mut row = [host, r.path, r.matches, r.namespace, r.service, r.port]
            .map(str::to_owned)
            .to_vec();
        if format == Format::Wide {
            let default = if r.is_default { "yes" } else { "no" };
            row.extend([r.place.to_string(), default.to_owned()]);
        }
        row
    };
    let rows: Vec<_> = rules.iter().map(row).collect();
    table(output, &titles, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Table {
        let rule = |host: &str, path: PathMatch, service: &str, is_default| Rule {
            host: Host::parse(host).expect("a host"),
            path,
            namespace: "default".into(),
            service: service.into(),
            port: "80".into(),
            is_default,
        };
        let prefix = |path| PathMatch::prefix(path).expect("a path");
        Table::new(vec![
            rule("shop.example", prefix("/cart"), "cart", false),
            rule("shop.example", prefix("/"), "shop", false),
            rule("", PathMatch::Any, "other", true),
        ])
    }

    fn args(request: Option<&str>) -> IngressArgs {
        IngressArgs {
            form: FormArgs::default(),
            request: request.map(str::to_owned),
            class: String::new(),
            of_namespace: None,
            no_defaults: false,
        }
    }

    fn plain(format: Format, shown: &[Shown<'_>]) -> String {
        let output = Output {
            format: None,
            headers: true,
        };
        anstream::adapter::strip_str(&text(output, format, shown)).to_string()
    }

    #[test]
    fn rules_are_shown_in_the_order_in_which_they_count() {
        let rules = rules();
        assert_eq!(
            plain(Format::Table, &all(&rules, &args(None))),
            "HOST           PATH    MATCHES   NAMESPACE   SERVICE   PORT\n\
             shop.example   /cart   prefix    default     cart      80\n\
             shop.example   /       prefix    default     shop      80\n\
             *                      any       default     other     80\n"
        );
        let no_defaults = IngressArgs {
            no_defaults: true,
            ..args(None)
        };
        assert_eq!(
            plain(Format::Name, &all(&rules, &no_defaults)),
            "default/cart\ndefault/shop\n"
        );
        let wide = plain(Format::Wide, &all(&rules, &args(None)));
        assert!(wide.ends_with("other     80     3       yes\n"), "{wide}");
    }

    #[test]
    fn the_rule_that_takes_a_request_is_the_one_that_a_node_takes() {
        let rules = rules();
        for (request, service) in [
            ("shop.example/cart/1?x=y", "cart"),
            ("http://SHOP.example:8080/carts", "shop"),
            ("shop.example", "shop"),
            ("a.example/", "other"),
        ] {
            let shown = taking(&rules, request, &args(None)).expect(request);
            assert_eq!(shown.service, service, "{request}");
        }
        let strict = IngressArgs {
            no_defaults: true,
            ..args(None)
        };
        let error = taking(&rules, "a.example/x", &strict).expect_err("none");
        assert_eq!(
            error.to_string(),
            "none of 3 rules takes a request for a.example/x"
        );
    }
}
