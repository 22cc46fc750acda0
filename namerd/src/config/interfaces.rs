//! `interfaces` (control plane 3.5): what each kind speaks and its own keys.

use std::time::Duration;

use l5d_accesslog::{H2_KEYS, Settings as AccessLogSettings};
use l5d_config::{Field, Kinds, Section};
use l5d_naming::Path;

use super::check::Claim;
use super::servers::server;
use super::{CallerAuth, Env, Interface, NodeAuth, SessionLimits, auth};

const INTERFACES: Kinds = Kinds {
    what: "interface",
    known: &[
        "io.l5d.mesh",
        "io.l5d.httpController",
        "io.l5d.thriftNameInterpreter",
        "io.l5d.destination",
    ],
    others: &[],
};

/// Half an hour: a replica that was added has its share of 5,000 nodes by then, and three nodes a second move.
const CONNECTION_AGE: Duration = Duration::from_secs(1_800);

/// What an interface speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// `io.l5d.mesh`: gRPC, with the resolver API.
    Mesh(MeshOptions),
    /// `io.l5d.httpController`.
    HttpController,
    /// `io.l5d.destination`: the API that Linkerd 2 proxies resolve through.
    Destination(DestinationOptions),
    /// `io.l5d.thriftNameInterpreter`: the interface of the 1.x interpreter `io.l5d.namerd`.
    Thrift(ThriftOptions),
}

/// Keys of `io.l5d.mesh`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeshOptions {
    /// `grpcWebOrigins`: origins, such as `https://tools.example.org`, whose pages may call this interface by grpc-web; `*`
    /// stands for all. None by default: pages of other origins are kept out by the browser.
    pub grpc_web_origins: Vec<String>,
    /// `limits`: what nodes may ask for.
    pub limits: SessionLimits,
    /// `h2AccessLog` and its like: where calls are logged.
    pub access_log: Option<AccessLogSettings>,
}

/// Keys of `io.l5d.destination`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationOptions {
    /// `prefix`: what stands before a destination's name.
    pub prefix: Path,
    /// `namespace`: the dtab namespace in which it is bound.
    pub namespace: String,
}

/// Keys of `io.l5d.thriftNameInterpreter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThriftOptions {
    /// `cache.bindingCacheActive`: different names that are waited for at one time; further ones are refused.
    pub bindings: usize,
    /// `cache.addrCacheActive`: the same for bound names.
    pub addresses: usize,
}

impl InterfaceKind {
    /// The configuration's kind.
    pub fn name(&self) -> &'static str {
        match self {
            InterfaceKind::Mesh(_) => "io.l5d.mesh",
            InterfaceKind::HttpController => "io.l5d.httpController",
            InterfaceKind::Destination(_) => "io.l5d.destination",
            InterfaceKind::Thrift(_) => "io.l5d.thriftNameInterpreter",
        }
    }
}

pub(super) fn interfaces(top: &Section<'_>, env: Env<'_>) -> (Vec<Interface>, Vec<Claim>) {
    let field = top.need("interfaces");
    let spot = field.spot();
    let sections = field.sections();
    if sections.as_ref().is_some_and(Vec::is_empty) && top.reader().is_good() {
        let message = "One or more interfaces must be specified";
        top.reader().mistake(spot, message, None);
    }
    sections
        .unwrap_or_default()
        .into_iter()
        .filter_map(|section| interface(section, env))
        .unzip()
}

fn interface(mut section: Section<'_>, env: Env<'_>) -> Option<(Interface, Claim)> {
    let kind = section.kind(&INTERFACES)?;
    let limits = section.key("limits").section();
    let limits = limits.as_ref();
    let (kind, port) = match kind {
        "io.l5d.mesh" => (InterfaceKind::Mesh(mesh(&section, limits)), 4321),
        "io.l5d.thriftNameInterpreter" => (InterfaceKind::Thrift(thrift(&section)), 4100),
        "io.l5d.destination" => (InterfaceKind::Destination(destination(&section)), 8086),
        _ => (InterfaceKind::HttpController, 4180),
    };
    let who = format!("{} ({})", section.name(), kind.name());
    let (server, claim) = server(&section, limits, who, port);
    let mut interface = Interface {
        kind,
        server,
        nodes: NodeAuth::default(),
        callers: CallerAuth::default(),
        connection_age: None,
    };
    match interface.kind {
        InterfaceKind::Mesh(_) => {
            let age = section.key("maxConnectionAgeSecs").secs();
            let age = age.unwrap_or(CONNECTION_AGE);
            interface.connection_age = Some(age).filter(|age| !age.is_zero());
            interface.nodes = auth::nodes(&section, &interface.server, env);
        }
        InterfaceKind::HttpController => {
            interface.callers = auth::callers(&section, &interface.server, env);
        }
        InterfaceKind::Destination(_) => {
            interface.nodes = auth::proxies(&section, &interface.server, env);
        }
        InterfaceKind::Thrift(_) => {
            interface.nodes = auth::interpreters(&section, &interface.server);
        }
    }
    Some((interface, claim))
}

fn mesh(section: &Section<'_>, limits: Option<&Section<'_>>) -> MeshOptions {
    let origins = section.key("grpcWebOrigins").list().unwrap_or_default();
    MeshOptions {
        limits: limits.map_or_else(SessionLimits::default, SessionLimits::read),
        grpc_web_origins: origins
            .into_iter()
            .filter_map(|field| origin(section, field))
            .collect(),
        access_log: AccessLogSettings::read(section, &H2_KEYS),
    }
}

/// A scheme and a host as browsers write them, or `*`.
fn origin(section: &Section<'_>, field: Field<'_>) -> Option<String> {
    let (spot, name) = (field.spot(), field.name().to_owned());
    let text = field.string()?;
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| {
        let is_part = |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase() && b != b'/';
        !host.is_empty() && host.bytes().all(is_part)
    };
    if text == "*" || host.is_some_and(is_host) {
        return Some(text);
    }
    let message = format!("{name} is not an origin: {text}");
    let help = "write it as browsers do: a scheme and a host in small letters, without a path, such as https://tools.example.org, or *";
    section
        .reader()
        .mistake(spot, message, Some(help.to_owned()));
    None
}

fn destination(section: &Section<'_>) -> DestinationOptions {
    let default = DestinationOptions::default();
    DestinationOptions {
        prefix: section.key("prefix").path().unwrap_or(default.prefix),
        namespace: section
            .key("namespace")
            .string()
            .unwrap_or(default.namespace),
    }
}

fn thrift(section: &Section<'_>) -> ThriftOptions {
    for key in ["retryBaseSecs", "retryJitterSecs"] {
        section.legacy(key, "clients choose when they come back");
    }
    let default = ThriftOptions::default();
    let Some(cache) = section.key("cache").section() else {
        return default;
    };
    for key in [
        "bindingCacheInactive",
        "bindingCacheInactiveTTLSecs",
        "addrCacheInactive",
        "addrCacheInactiveTTLSecs",
    ] {
        cache.legacy(
            key,
            "what nobody waits for is kept in the table that all interfaces share",
        );
    }
    let most = |key, default| {
        let given = cache.key(key).integer(1..=1_000_000);
        given
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default)
    };
    ThriftOptions {
        bindings: most("bindingCacheActive", default.bindings),
        addresses: most("addrCacheActive", default.addresses),
    }
}

impl Default for ThriftOptions {
    fn default() -> Self {
        Self {
            bindings: 1_000,
            addresses: 1_000,
        }
    }
}

impl Default for DestinationOptions {
    fn default() -> Self {
        let svc = l5d_naming::Elem::new(b"svc")
            .into_iter()
            .collect::<Vec<_>>();
        Self {
            prefix: Path::from_elems(svc),
            namespace: "default".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CallerProof, Config};
    use super::*;

    fn read(interface: &str) -> Result<Config, Vec<String>> {
        let text = format!("storage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{{interface}}}]\n");
        let read = Config::read("namerd.yml", &text, &|_| None);
        let texts = |all: &[l5d_config::Mistake]| all.iter().map(|m| m.message.clone()).collect();
        read.map(|(config, _)| config)
            .map_err(|mistakes| texts(mistakes.all()))
    }

    #[test]
    fn destinations_are_bound_where_the_file_says() {
        let config = read("kind: io.l5d.destination").expect("good");
        let interface = &config.interfaces[0];
        let options = DestinationOptions::default();
        assert_eq!(options.prefix.to_string(), "/svc");
        assert_eq!(interface.kind, InterfaceKind::Destination(options));
        assert_eq!(interface.server.addr.to_string(), "127.0.0.1:8086");
        let config = read("kind: io.l5d.destination, prefix: /a/b, namespace: linkerd2");
        let config = config.expect("good");
        let InterfaceKind::Destination(options) = &config.interfaces[0].kind else {
            panic!("a destination");
        };
        assert_eq!(
            (options.prefix.to_string(), &*options.namespace),
            ("/a/b".to_owned(), "linkerd2")
        );
        let shown = config.effective();
        assert_eq!(shown["interfaces"][0]["prefix"], "/a/b");
        assert_eq!(shown["interfaces"][0]["namespace"], "linkerd2");
    }

    #[test]
    fn old_keys_of_the_thrift_interface_are_taken() {
        let config = read("kind: io.l5d.thriftNameInterpreter").expect("good");
        let options = ThriftOptions::default();
        assert_eq!((options.bindings, options.addresses), (1_000, 1_000));
        assert_eq!(config.interfaces[0].kind, InterfaceKind::Thrift(options));
        assert_eq!(
            config.interfaces[0].server.addr.to_string(),
            "127.0.0.1:4100"
        );
        let text = "storage: {kind: io.l5d.inMemory}\ninterfaces:\n- kind: io.l5d.thriftNameInterpreter\n  retryBaseSecs: 600\n  retryJitterSecs: 60\n  cache: {bindingCacheActive: 5, bindingCacheInactive: 1, bindingCacheInactiveTTLSecs: 1, addrCacheActive: 6, addrCacheInactive: 1, addrCacheInactiveTTLSecs: 1}\n";
        let (config, warnings) = Config::read("namerd.yml", text, &|_| None).expect("good");
        assert_eq!(warnings.len(), 6, "{warnings:?}");
        let options = ThriftOptions {
            bindings: 5,
            addresses: 6,
        };
        assert_eq!(config.interfaces[0].kind, InterfaceKind::Thrift(options));
        let shown = config.effective();
        assert_eq!(shown["interfaces"][0]["cache"]["addrCacheActive"], 6);
    }

    /// The half-page interfaces keep people out too, where their protocols can.
    #[test]
    fn auth_of_destination_and_thrift_is_what_their_protocols_can_show() {
        let tls = "tls: {certPath: c, keyPath: k, caCertPath: a}";
        let api = "host: localhost, port: 8001";
        let kinds = ["io.l5d.destination", "io.l5d.thriftNameInterpreter"];
        for kind in kinds {
            let config = read(&format!(
                "kind: {kind}, {tls}, auth: {{callers: certificate, {api}}}"
            ));
            let config = match (kind, config) {
                // It asks nobody, so it has no API server.
                ("io.l5d.thriftNameInterpreter", Err(mistakes)) => {
                    assert!(mistakes[0].contains("unknown key `host`"), "{mistakes:?}");
                    read(&format!(
                        "kind: {kind}, {tls}, auth: {{callers: certificate}}"
                    ))
                    .expect("good")
                }
                (_, config) => config.expect("good"),
            };
            assert_eq!(config.interfaces[0].nodes.tools, [CallerProof::Certificate]);
            let shown = &config.effective()["interfaces"][0]["auth"];
            assert_eq!(shown["callers"][0], "certificate", "{shown}");
            let plain = read(&format!("kind: {kind}")).expect("good");
            assert_eq!(plain.effective()["interfaces"][0]["auth"], "none");
            let mistakes = read(&format!("kind: {kind}, auth: {{callers: certificate}}"));
            let mistakes = mistakes.expect_err("no authority");
            assert!(
                mistakes.iter().any(|m| m.contains("caCertPath")),
                "{mistakes:?}"
            );
        }
        let token = format!("kind: io.l5d.destination, auth: {{callers: token, {api}}}");
        let config = read(&token).expect("good");
        assert_eq!(config.interfaces[0].nodes.tools, [CallerProof::Token]);
        let token = "kind: io.l5d.thriftNameInterpreter, auth: {callers: token}";
        let mistakes = read(token).expect_err("no place for it");
        assert!(
            mistakes[0].contains("a token cannot be shown over thrift"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn access_logs_are_named_as_in_1_x() {
        let keys =
            "h2AccessLog: /log, h2AccessLogRollPolicy: 3.megabytes, h2AccessLogRotateCount: 5";
        let config = read(&format!("kind: io.l5d.mesh, {keys}")).expect("good");
        let InterfaceKind::Mesh(options) = &config.interfaces[0].kind else {
            panic!("a mesh");
        };
        let log = options.access_log.as_ref().expect("a log");
        assert!(log.append && log.keep == Some(5));
        let shown = &config.effective()["interfaces"][0];
        assert_eq!(shown["h2AccessLog"], "/log");
        assert_eq!(shown["h2AccessLogRollPolicy"], "3.megabytes");
        assert_eq!(shown["h2AccessLogRotateCount"], 5);
        let bad = read("kind: io.l5d.mesh, h2AccessLog: /log, h2AccessLogRollPolicy: monthly");
        assert!(bad.expect_err("bad")[0].contains("not a roll policy: monthly"));
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let good = "kind: io.l5d.mesh, grpcWebOrigins: ['https://tools.example:8443', 'http://[::1]', '*']";
        let config = read(good).expect("good");
        let InterfaceKind::Mesh(options) = &config.interfaces[0].kind else {
            panic!("a mesh");
        };
        assert_eq!(options.grpc_web_origins.len(), 3);
        assert_eq!(
            config.effective()["interfaces"][0]["grpcWebOrigins"][2],
            "*"
        );
        for bad in ["tools.example", "https://", "https://a/", "https://A"] {
            let mistakes = read(&format!("kind: io.l5d.mesh, grpcWebOrigins: ['{bad}']"));
            let mistakes = mistakes.expect_err(bad);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains("is not an origin"), "{mistakes:?}");
        }
    }
}
