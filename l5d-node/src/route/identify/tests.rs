//! The tables of node-proxy 7, row by row, on both protocols.

use l5d_naming::{Elem, Path};
use l5d_resolver::ingress::{Host, PathMatch, Rule};

use super::*;
use crate::config::IngressRules;

struct Fake {
    method: &'static str,
    target: String,
    host: Option<&'static str>,
    fields: Vec<(&'static str, &'static str)>,
    version: HttpVersion,
}

impl Fake {
    fn new(target: &str, version: HttpVersion) -> Self {
        Self {
            method: "GET",
            target: target.to_owned(),
            host: Some("foo"),
            fields: Vec::new(),
            version,
        }
    }

    fn at_query(&self) -> usize {
        self.target.find('?').unwrap_or(self.target.len())
    }
}

impl RequestView for Fake {
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn path(&self) -> &[u8] {
        &self.target.as_bytes()[..self.at_query()]
    }

    fn query(&self) -> &[u8] {
        &self.target.as_bytes()[self.at_query()..]
    }

    fn host(&self) -> Option<&[u8]> {
        self.host.map(str::as_bytes)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        let is = |f: &&(&str, &str)| f.0.eq_ignore_ascii_case(name);
        self.fields.iter().find(is).map(|f| f.1.as_bytes())
    }

    fn version(&self) -> HttpVersion {
        self.version
    }
}

const BOTH: [HttpVersion; 2] = [HttpVersion::Http11, HttpVersion::Http2];

fn name(segments: &Segments) -> String {
    let elems = segments.iter().map(|s| Elem::new(s).expect("not empty"));
    let svc = Path::from_elems(Elem::new("svc"));
    elems.fold(svc, |path, elem| path.child(elem)).to_string()
}

fn ask(identifiers: &[Identifier], request: &Fake) -> Result<(String, String), String> {
    let mut segments = Segments::default();
    let found = identify(identifiers, None, request, &mut segments)?;
    let rest = &request.target[found.consumed..];
    let slash = if rest.starts_with('/') { "" } else { "/" };
    Ok((name(&segments), format!("{slash}{rest}")))
}

fn named(identifier: &Identifier, request: &Fake) -> Result<String, String> {
    ask(std::slice::from_ref(identifier), request).map(|(name, _)| name)
}

fn token(header: &str) -> Identifier {
    Identifier::HeaderToken {
        header: header.to_owned(),
        folds_case: false,
    }
}

#[test]
fn header_token_takes_the_value_as_received() {
    for (header, version) in [("Host", BOTH[0]), (":authority", BOTH[1])] {
        let of = |host| {
            let request = Fake {
                host,
                ..Fake::new("/", version)
            };
            named(&token(header), &request)
        };
        for (host, name) in [
            ("hello", "/svc/hello"),
            ("hello:8080", "/svc/hello:8080"),
            ("HeLLo", "/svc/HeLLo"),
            ("a.b.svc.cluster.local", "/svc/a.b.svc.cluster.local"),
            ("[::1]:80", r"/svc/\x5b\x3a\x3a\x31\x5d\x3a\x38\x30"),
        ] {
            assert_eq!(of(Some(host)).as_deref(), Ok(name));
        }
        for none in [None, Some("")] {
            of(none).expect_err("no name");
        }
    }
    let missing = |version| {
        let request = Fake::new("/", version);
        named(&token("my-header"), &request).expect_err("no name")
    };
    assert_eq!(missing(BOTH[0]), "my-header header is absent");
    assert_eq!(missing(BOTH[1]), "missing header: 'my-header'");
    let mut other = Fake::new("/", HttpVersion::Http10);
    other.fields = vec![("My-Header", "foo/bar"), ("my-header", "second")];
    let name = named(&token("my-header"), &other);
    assert_eq!(name.as_deref(), Ok(r"/svc/\x66\x6f\x6f\x2f\x62\x61\x72"));
    other.host = Some("HeLLo");
    let folded = Identifier::HeaderToken {
        header: "Host".to_owned(),
        folds_case: true,
    };
    assert_eq!(named(&folded, &other).as_deref(), Ok("/svc/hello"));
}

#[test]
fn header_takes_a_path() {
    for version in BOTH {
        let of = |value| {
            let mut request = Fake::new("/", version);
            request.fields = vec![("L5d-Name", value)];
            let header = "l5d-name".to_owned();
            named(&Identifier::Header { header }, &request)
        };
        assert_eq!(of("/a/b").as_deref(), Ok("/svc/a/b"));
        assert_eq!(of("/").as_deref(), Ok("/svc"));
        for wrong in ["a", "/a//b", "/a/", "/a?b"] {
            assert!(of(wrong).expect_err("wrong").contains("is not a path"));
        }
        assert!(!of("").expect_err("empty").contains("is not a path"));
    }
}

/// An error ends the chain; no name hands on.
#[test]
fn chains_end_at_errors() {
    let header = Identifier::Header {
        header: "l5d-name".to_owned(),
    };
    let chain = [header, token("Host")];
    let mut request = Fake::new("/", BOTH[0]);
    let by_host = ask(&chain, &request).map(|(name, _)| name);
    assert_eq!(by_host.as_deref(), Ok("/svc/foo"));
    request.fields = vec![("l5d-name", "/a/b")];
    let by_name = ask(&chain, &request).map(|(name, _)| name);
    assert_eq!(by_name.as_deref(), Ok("/svc/a/b"));
    request.fields = vec![("l5d-name", "a b")];
    let error = ask(&chain, &request).expect_err("the chain ends");
    assert!(error.contains("is not a path"));
    (request.fields, request.host) = (vec![], None);
    let last = ask(&chain, &request).expect_err("no name");
    assert_eq!(
        last, "Host header is absent",
        "the last one's reason stands"
    );
}

#[test]
fn header_path_takes_the_first_segments() {
    for version in BOTH {
        let of = |target: &str, segments| {
            let identifier = Identifier::HeaderPath {
                header: ":path".to_owned(),
                segments,
            };
            named(&identifier, &Fake::new(target, version))
        };
        for (target, segments, name) in [
            ("/one/two", None, "/svc/one/two"),
            ("/one/two/?a=b", None, "/svc/one/two"),
            (
                "/helloworld.Greeter/SayHello",
                Some(1),
                "/svc/helloworld.Greeter",
            ),
            (
                "/helloworld.Greeter/SayHello",
                Some(2),
                "/svc/helloworld.Greeter/SayHello",
            ),
            ("/a~b/c=d", Some(1), r"/svc/\x61\x7e\x62"),
        ] {
            assert_eq!(of(target, segments).as_deref(), Ok(name), "{target}");
        }
        let short = of("/one/two", Some(3)).expect_err("too few");
        assert_eq!(short, "Path must have at least 3 segment(s)");
        assert_eq!(of("/", None).expect_err("none"), "Missing destination path");
        assert_eq!(
            of("/", Some(1)).expect_err("none"),
            "Missing destination path"
        );
        of("/a//b", Some(2)).expect_err("an empty segment");
        of("*", Some(1)).expect_err("no path");
    }
    let mut request = Fake::new("/x", BOTH[0]);
    request.fields = vec![("X-Path", "/a/b/c")];
    let identifier = Identifier::HeaderPath {
        header: "x-path".to_owned(),
        segments: Some(2),
    };
    assert_eq!(named(&identifier, &request).as_deref(), Ok("/svc/a/b"));
}

#[test]
fn method_and_host_tells_versions_apart() {
    let of = |method, host, target: &str, version, has_uri| {
        let request = Fake {
            method,
            host,
            ..Fake::new(target, version)
        };
        named(&Identifier::MethodAndHost { has_uri }, &request)
    };
    let (old, new) = (HttpVersion::Http10, HttpVersion::Http11);
    let host = Some("Foo.COM:8080");
    let name = "/svc/1.1/GET/foo.com:8080";
    assert_eq!(of("GET", host, "/x", new, false).as_deref(), Ok(name));
    assert_eq!(of("GET", host, "/x", BOTH[1], false).as_deref(), Ok(name));
    let name = of("POST", host, "/drum/bass", old, false);
    assert_eq!(name.as_deref(), Ok("/svc/1.0/POST"));
    let name = of("POST", None, "/drum/bass?q=1", old, true);
    assert_eq!(name.as_deref(), Ok("/svc/1.0/POST/drum/bass"));
    let name = of("GET", Some("foo"), "/", new, true);
    assert_eq!(name.as_deref(), Ok("/svc/1.1/GET/foo"));
    let name = of("GET", Some("foo"), "//a//b/", new, true);
    assert_eq!(name.as_deref(), Ok("/svc/1.1/GET/foo/a/b"));
    for none in [None, Some("")] {
        let reason = of("GET", none, "/", new, false).expect_err("no host");
        assert_eq!(reason, "HTTP/1.1 request missing hostname");
    }
}

#[test]
fn path_consumes_what_it_took() {
    let of = |target: &str, segments, version| {
        let identifier = Identifier::Path {
            segments,
            consumes: true,
        };
        ask(&[identifier], &Fake::new(target, version))
    };
    for version in BOTH {
        for (target, segments, name, sent) in [
            ("/a/b", 2, "/svc/a/b", "/"),
            ("/a/b/", 2, "/svc/a/b", "/"),
            ("/a/b/c/", 2, "/svc/a/b", "/c/"),
            ("/a/b/c?x=y", 2, "/svc/a/b", "/c?x=y"),
            ("/a/b/c?x=y/", 2, "/svc/a/b", "/c?x=y/"),
            ("/a?x=y", 1, "/svc/a", "/?x=y"),
            ("/a%20b/c", 1, "/svc/a%20b", "/c"),
        ] {
            let expected = (name.to_owned(), sent.to_owned());
            assert_eq!(of(target, segments, version), Ok(expected), "{target}");
        }
        for none in ["/", "*", "/?a=b"] {
            let reason = of(none, 1, version).expect_err("no name");
            assert_eq!(reason, "not enough segments in path", "{none}");
        }
        let reason = of("/a", 2, version).expect_err("too few");
        assert_eq!(reason, "not enough segments in path");
        of("/a//b", 2, version).expect_err("an empty piece");
    }
    let keeps = Identifier::Path {
        segments: 1,
        consumes: false,
    };
    let kept = ask(&[keeps], &Fake::new("/a/b", BOTH[0]));
    assert_eq!(kept, Ok(("/svc/a".to_owned(), "/a/b".to_owned())));
}

/// In a chain, what does not identify consumes nothing.
#[test]
fn only_who_identifies_consumes() {
    let path = Identifier::Path {
        segments: 3,
        consumes: true,
    };
    let chain = [path, token("Host")];
    let found = ask(&chain, &Fake::new("/a/b", BOTH[0]));
    assert_eq!(found, Ok(("/svc/foo".to_owned(), "/a/b".to_owned())));
}

#[test]
fn static_is_always_the_same() {
    let identifier = Identifier::Static {
        path: Path::parse("/one/two").expect("a path"),
    };
    for version in BOTH {
        let request = Fake {
            host: None,
            ..Fake::new("*", version)
        };
        assert_eq!(named(&identifier, &request).as_deref(), Ok("/svc/one/two"));
    }
}

fn rule(host: &str, path: PathMatch, service: &str, is_default: bool) -> Rule {
    Rule {
        host: Host::parse(host).expect("a host"),
        path,
        namespace: if service == "other" { "x" } else { "default" }.into(),
        service: service.into(),
        port: "http".into(),
        is_default,
    }
}

#[test]
fn k8s_43_ingress_names_namespace_port_and_service() {
    let table = Table::new([
        rule(
            "a.com",
            PathMatch::prefix("/api").expect("a path"),
            "api",
            false,
        ),
        rule("A.com", PathMatch::Any, "web", false),
        rule(
            "",
            PathMatch::expression("/x.*").expect("a path"),
            "other",
            false,
        ),
        rule("", PathMatch::Any, "fallback", true),
    ]);
    let find = |host, target: &str, namespace: Option<&str>, ignores, version| {
        let identifier = Identifier::Ingress(IngressRules {
            namespace: namespace.map(str::to_owned),
            class: "linkerd".to_owned(),
            ignores_default_backends: ignores,
        });
        let request = Fake {
            host: Some(host),
            ..Fake::new(target, version)
        };
        let mut segments = Segments::default();
        identify(&[identifier], Some(&table), &request, &mut segments).map(|_| name(&segments))
    };
    for version in BOTH {
        let of = |host, target| find(host, target, None, false, version);
        let ok = |service: &str, ns| Ok(format!("/svc/{ns}/http/{service}"));
        assert_eq!(of("a.com:80", "/api/v1?q"), ok("api", "default"));
        assert_eq!(of("A.COM", "/apis"), ok("web", "default"));
        assert_eq!(of("b.com", "/x1"), ok("other", "x"));
        assert_eq!(of("b.com", "/y"), ok("fallback", "default"));
        let ignored = find("b.com", "/y", None, true, version);
        assert_eq!(ignored.expect_err("no rule"), "no ingress rule matches");
        let elsewhere = find("b.com", "/x1", Some("default"), true, version);
        elsewhere.expect_err("a rule of another namespace");
    }
    let identifier = Identifier::Ingress(IngressRules {
        namespace: None,
        class: "linkerd".to_owned(),
        ignores_default_backends: false,
    });
    named(&identifier, &Fake::new("/", BOTH[0])).expect_err("no rules, no name");
}

#[test]
fn segments_are_what_was_pushed() {
    let mut segments = Segments::default();
    for segment in [&b"a"[..], b"", b"\x00\x00\x00\x01b", b"Cd"] {
        segments.push(segment);
    }
    segments.push_lower(b"Cd");
    let all: Vec<_> = segments.iter().collect();
    assert_eq!(all, [&b"a"[..], b"", b"\x00\x00\x00\x01b", b"Cd", b"cd"]);
}
