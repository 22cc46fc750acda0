//! The table of Ingress rules: what it says, which rule takes a request, its content hash.
//!
//! namerd makes it of Ingress objects, nodes match requests with it, so both must read it alike. The rules stand in the
//! order in which they count: the first that matches takes the request (Kubernetes 3).

use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::hash::{h8, put_len, put_str};

/// Rules of one table, at most: about 2 MB for each node.
pub const MOST_RULES: usize = 10_000;
/// The feature that both ends must list (RES-15).
pub const FEATURE: &str = "ingress";
/// Longest path of a rule, in bytes: four times what servers take as a request's, and a rule fits on a page.
pub const LONGEST_PATH: usize = 4 << 10;
/// Longest host of a rule, in bytes: the longest name of DNS.
pub const LONGEST_HOST: usize = 253;
/// What one expression may take when it is compiled, in bytes: far above any that people write.
const EXPRESSION_BYTES: usize = 256 << 10;

/// All rules, in order, with their hash.
#[derive(Clone)]
pub struct Table {
    rules: Arc<[Rule]>,
    hash: u64,
}

/// Where one kind of request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which hosts.
    pub host: Host,
    /// Which paths.
    pub path: PathMatch,
    /// The Kubernetes namespace of the Ingress, and so of the Service.
    pub namespace: Arc<str>,
    /// The Service.
    pub service: Arc<str>,
    /// Its port, number or name, as written.
    pub port: Arc<str>,
    /// Whether it is a default backend, which some routers ignore.
    pub is_default: bool,
}

/// Which hosts a rule takes (K8S-41). Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// This one.
    Exact(Arc<str>),
    /// One label, then a dot and this.
    OneLabel(Arc<str>),
    /// All.
    Any,
}

/// Which paths a rule takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// This one.
    Exact(Arc<str>),
    /// Those that match as a whole.
    Expression(Expression),
    /// Those whose elements begin with these; kept without a slash at the end, so empty means all.
    Prefix(Arc<str>),
    /// All.
    Any,
}

/// A regular expression that matches whole paths.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    regex: Regex,
}

/// Why a rule cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// Not an expression.
    #[error("path {0} is not a regular expression: {1}")]
    Expression(String, String),
    /// Longer than allowed.
    #[error("{0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
    /// A wildcard elsewhere than as the first label.
    #[error("host {0} is neither a name nor *. and a name")]
    Host(String),
}

// === impl Table ===

impl Table {
    /// A table of these rules, in this order.
    pub fn new(rules: impl Into<Arc<[Rule]>>) -> Self {
        let rules = rules.into();
        let mut bytes = b"l5d.resolver.v1/ingress\0".to_vec();
        put_len(&mut bytes, rules.len());
        for rule in &*rules {
            rule.put(&mut bytes);
        }
        Self {
            hash: h8(&bytes),
            rules,
        }
    }

    /// The rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The content hash: H8(`l5d.resolver.v1/ingress` 00, count of rules, the rules), each rule a byte for the kind of its
    /// host, str(host), a byte for the kind of its path, str(path), str(namespace), str(service), str(port), a byte that is 1
    /// for a default backend.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The rule for a request: its `host` as sent, with or without a port, and its path, with or without a query.
    /// `namespace`: only rules of this Kubernetes namespace; `defaults`: whether default backends count.
    pub fn find(
        &self,
        host: &str,
        path: &str,
        namespace: Option<&str>,
        defaults: bool,
    ) -> Option<&Rule> {
        let host = without_port(host).to_ascii_lowercase();
        let path = path.split('?').next().unwrap_or_default();
        self.rules.iter().find(|rule| {
            namespace.is_none_or(|namespace| *rule.namespace == *namespace)
                && (defaults || !rule.is_default)
                && rule.host.matches(&host)
                && rule.path.matches(path)
        })
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.rules == other.rules
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&*self.rules).finish()
    }
}

/// A host without its port; brackets stay around an IPv6 address (K8S-43).
fn without_port(host: &str) -> &str {
    let from = host.find(']').unwrap_or(0);
    match host[from..].find(':') {
        Some(at) => &host[..from + at],
        None => host,
    }
}

// === impl Rule ===

impl Rule {
    fn put(&self, out: &mut Vec<u8>) {
        let (kind, host) = match &self.host {
            Host::Any => (0, ""),
            Host::Exact(name) => (1, &**name),
            Host::OneLabel(suffix) => (2, &**suffix),
        };
        out.push(kind);
        put_str(out, host);
        let (kind, path) = match &self.path {
            PathMatch::Any => (0, ""),
            PathMatch::Exact(path) => (1, &**path),
            PathMatch::Prefix(prefix) => (2, &**prefix),
            PathMatch::Expression(expression) => (3, &*expression.text),
        };
        out.push(kind);
        put_str(out, path);
        for text in [&self.namespace, &self.service, &self.port] {
            put_str(out, text);
        }
        out.push(u8::from(self.is_default));
    }
}

// === impl Host ===

impl Host {
    /// As a rule has it: a name, `*.` and a name, or nothing.
    pub fn parse(text: &str) -> Result<Self, BadRule> {
        if text.len() > LONGEST_HOST {
            return Err(BadRule::TooLong("host", LONGEST_HOST));
        }
        let lower = text.to_ascii_lowercase();
        let bad = || BadRule::Host(text.to_owned());
        match lower.strip_prefix("*.") {
            Some("") => Err(bad()),
            Some(suffix) if !suffix.contains('*') => Ok(Self::OneLabel(suffix.into())),
            None if lower.is_empty() => Ok(Self::Any),
            None if !lower.contains('*') => Ok(Self::Exact(lower.into())),
            _ => Err(bad()),
        }
    }

    /// `host` is in lower case and has no port.
    fn matches(&self, host: &str) -> bool {
        match self {
            Host::Any => true,
            Host::Exact(name) => **name == *host,
            Host::OneLabel(suffix) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && *rest == **suffix),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => Ok(()),
            Host::Exact(name) => f.write_str(name),
            Host::OneLabel(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

// === impl PathMatch ===

impl PathMatch {
    /// Paths that are this one.
    pub fn exact(path: &str) -> Result<Self, BadRule> {
        check(path)?;
        Ok(Self::Exact(path.into()))
    }

    /// Paths that begin with these elements.
    pub fn prefix(path: &str) -> Result<Self, BadRule> {
        check(path)?;
        Ok(Self::Prefix(path.trim_end_matches('/').into()))
    }

    /// Paths that match this expression as a whole; an empty one means all (K8S-41).
    pub fn expression(text: &str) -> Result<Self, BadRule> {
        check(text)?;
        if text.is_empty() {
            return Ok(Self::Any);
        }
        let bad = |e: regex::Error| BadRule::Expression(text.to_owned(), e.to_string());
        // By itself first: it must not close the group around it.
        let compile = |text: &str| {
            let mut builder = RegexBuilder::new(text);
            builder.size_limit(EXPRESSION_BYTES).build().map_err(bad)
        };
        compile(text)?;
        Ok(Self::Expression(Expression {
            text: text.into(),
            regex: compile(&format!(r"\A(?:{text})\z"))?,
        }))
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            PathMatch::Any => true,
            PathMatch::Exact(exact) => **exact == *path,
            PathMatch::Expression(expression) => expression.regex.is_match(path),
            PathMatch::Prefix(prefix) => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

fn check(path: &str) -> Result<(), BadRule> {
    match path.len() > LONGEST_PATH {
        true => Err(BadRule::TooLong("path", LONGEST_PATH)),
        false => Ok(()),
    }
}

// === impl Expression ===

impl Expression {
    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(host: &str, path: Result<PathMatch, BadRule>, requests: &[(&str, &str)]) -> Vec<bool> {
        let rule = Rule {
            host: Host::parse(host).expect("a host"),
            path: path.expect("a path"),
            namespace: "n".into(),
            service: "s".into(),
            port: "80".into(),
            is_default: false,
        };
        let table = Table::new([rule]);
        let find = |(host, path): &(&str, &str)| table.find(host, path, None, true).is_some();
        requests.iter().map(find).collect()
    }

    #[test]
    fn k8s_41_hosts_are_cut_at_the_port_and_paths_match_as_a_whole() {
        let requests = [
            ("Shop.example:8080", "/"),
            ("shop.example", "/?q=/x"),
            ("shop.example", "/x"),
            ("a.shop.example", "/"),
        ];
        let found = takes("shop.example", PathMatch::expression("/"), &requests);
        assert_eq!(found, [true, true, false, false]);
        let found = takes("", PathMatch::expression("/x/.*|/y"), &requests[..3]);
        assert_eq!(found, [false, false, false]);
        let all = [
            ("h", "/x/"),
            ("h", "/x/1/2"),
            ("h", "/y"),
            ("h", "/y/"),
            ("h", "/x"),
        ];
        let found = takes("", PathMatch::expression("/x/.*|/y"), &all);
        assert_eq!(found, [true, true, true, false, false]);
        let found = takes("", PathMatch::expression(""), &all);
        assert_eq!(found, [true; 5]);
    }

    #[test]
    fn k8s_43_an_ipv6_address_as_host_harms_nobody() {
        let requests = [
            ("[::1]:80", "/"),
            ("[::1]", "/"),
            ("::1", "/"),
            ("]:", "/"),
            ("", "/"),
        ];
        assert_eq!(takes("", PathMatch::exact("/"), &requests), [true; 5]);
        let found = takes("[::1]", PathMatch::exact("/"), &requests);
        assert_eq!(found, [true, true, false, false, false]);
    }

    #[test]
    fn k8s_3_2_prefixes_count_by_elements_and_wildcards_by_one_label() {
        let paths = [
            "/aaa/bbb",
            "/aaa/bbb/",
            "/aaa/bbb/c",
            "/aaa/bbbxyz",
            "/aaa",
            "/",
        ];
        let requests = paths.map(|path| ("h", path));
        for prefix in ["/aaa/bbb", "/aaa/bbb/"] {
            let found = takes("", PathMatch::prefix(prefix), &requests);
            assert_eq!(found, [true, true, true, false, false, false], "{prefix}");
        }
        assert_eq!(takes("", PathMatch::prefix("/"), &requests), [true; 6]);
        let hosts = [
            "a.foo.com",
            "A.FOO.com:1",
            "foo.com",
            "a.b.foo.com",
            ".foo.com",
            "afoo.com",
        ];
        let requests = hosts.map(|host| (host, "/"));
        let found = takes("*.foo.com", PathMatch::prefix("/"), &requests);
        assert_eq!(found, [true, true, false, false, false, false]);
    }

    #[test]
    fn what_cannot_be_a_rule_says_why() {
        for text in ["(", "a)|(b", r"\d{100000}"] {
            let error = PathMatch::expression(text).expect_err(text).to_string();
            assert!(error.contains("is not a regular expression"), "{error}");
        }
        for host in ["*", "*.", "a.*.com", "*.*.com", "a*"] {
            assert!(Host::parse(host).is_err(), "{host}");
        }
        assert!(PathMatch::exact(&"x".repeat(LONGEST_PATH + 1)).is_err());
        assert!(Host::parse(&"x".repeat(LONGEST_HOST + 1)).is_err());
    }

    /// Written down so that no release comes to another hash than nodes hold; computed by hand from the definition.
    #[test]
    fn k8s_44_the_hash_is_that_of_the_vector() {
        let rules = [
            Rule {
                host: Host::parse("*.shop.example").expect("a host"),
                path: PathMatch::prefix("/cart/").expect("a path"),
                namespace: "default".into(),
                service: "cart".into(),
                port: "http".into(),
                is_default: false,
            },
            Rule {
                host: Host::Any,
                path: PathMatch::Any,
                namespace: "default".into(),
                service: "other".into(),
                port: "80".into(),
                is_default: true,
            },
        ];
        assert_eq!(Table::new([]).hash(), 0x6bb9_f7f4_fb93_3991);
        assert_eq!(Table::new(rules).hash(), 0x2e47_f3a1_00d2_654a);
    }

    #[test]
    fn the_hash_depends_on_every_part_and_the_order() {
        let rule = |n: usize| Rule {
            host: if n == 1 {
                Host::Any
            } else {
                Host::Exact("h".into())
            },
            path: PathMatch::Exact(if n == 2 { "/" } else { "/p" }.into()),
            namespace: if n == 3 { "n" } else { "m" }.into(),
            service: if n == 4 { "s" } else { "t" }.into(),
            port: if n == 5 { "80" } else { "81" }.into(),
            is_default: n == 6,
        };
        let mut hashes: Vec<_> = (0..7).map(|n| Table::new([rule(n)]).hash()).collect();
        hashes.push(Table::new([rule(0), rule(1)]).hash());
        hashes.push(Table::new([rule(1), rule(0)]).hash());
        hashes.push(Table::new([]).hash());
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 10);
    }
}
