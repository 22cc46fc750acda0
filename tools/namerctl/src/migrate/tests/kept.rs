//! What namerd has of 1.x besides Kubernetes' names: it is kept word for word, and the result loads.

use l5d_config::Mistakes;
use namerd::config::{Config, NamerKind, Storage};

use super::made_of;
use crate::migrate::Made;
use crate::migrate::report::Fate;

const DOOR: &str = "interfaces:\n- kind: io.l5d.mesh\n";

fn load(made: &Made) -> Config {
    let text = made.text("namerd.yaml");
    let read: Result<_, Mistakes> = Config::read("namerd", text, &|_| None);
    read.unwrap_or_else(|e| panic!("{e}\n{text}")).0
}

fn decisions(made: &Made) -> Vec<(&str, &str)> {
    let open = made.report.findings.iter();
    let open = open.filter(|f| f.fate == Fate::Decide);
    open.map(|f| (f.key.as_str(), f.message.as_str())).collect()
}

#[test]
fn namers_of_1_x_that_namerd_has_are_kept() {
    let namers = "namers:\n\
         - kind: io.l5d.consul\n  host: consul.local\n  port: 8501\n  includeTag: true\n  useHealthCheck: true\n  \
         healthStatuses:\n  - passing\n  setHost: true\n  preferServiceAddress: false\n  weights:\n  - tag: big\n    weight: 3\n\
         - kind: io.l5d.dnssrv\n  refreshIntervalSeconds: 7\n  dnsHosts:\n  - 10.0.0.53\n\
         - kind: io.l5d.k8s.external\n  experimental: true\n  host: localhost\n  port: 8001\n";
    let made = made_of(&format!(
        "storage:\n  kind: io.l5d.inMemory\n{namers}{DOOR}"
    ));
    let text = made.text("namerd.yaml");
    assert!(text.contains(namers), "{text}");
    let namers = load(&made).namers;
    assert!(
        matches!(
            namers.iter().map(|n| &n.kind).collect::<Vec<_>>()[..],
            [
                NamerKind::Consul(..),
                NamerKind::DnsSrv { .. },
                NamerKind::K8sExternal(..)
            ]
        ),
        "{namers:?}"
    );
    assert_eq!(decisions(&made), []);
}

/// Namers of a Linkerd 1.x without namerd go to namerd as they are.
#[test]
fn namers_of_proxies_are_kept_too() {
    let made = made_of(
        "routers:\n- protocol: http\n  dtab: /svc => /#/io.l5d.consul/dc1;\n  servers: [{port: 4140}]\n\
         namers:\n- kind: io.l5d.consul\n  host: consul.local\n- kind: io.l5d.dnssrv\n",
    );
    let kinds = load(&made).namers;
    let kinds: Vec<_> = kinds.iter().map(|n| &n.kind).collect();
    assert!(
        matches!(kinds[..], [NamerKind::Consul(..), NamerKind::DnsSrv { .. }]),
        "{kinds:?}"
    );
}

#[test]
fn stores_of_1_x_that_namerd_has_are_kept() {
    let of = |keys: &str| {
        let storage = format!("storage:\n{keys}");
        let made = made_of(&format!("{storage}{DOOR}"));
        let text = made.text("namerd.yaml");
        assert!(text.contains(&storage), "{text}");
        (load(&made).storage, made)
    };
    let (consul, made) = of(
        "  kind: io.l5d.consul\n  host: consul.local\n  pathPrefix: /my/dtabs\n  token: secret\n  datacenter: dc1\n  \
         readConsistencyMode: stale\n",
    );
    assert!(matches!(consul, Storage::Consul(_)), "{consul:?}");
    assert_eq!(decisions(&made), []);
    let (k8s, made) = of("  kind: io.l5d.k8s\n  host: localhost\n  port: 8001\n  namespace: l5d\n");
    assert!(matches!(k8s, Storage::K8s(_)), "{k8s:?}");
    assert_eq!(decisions(&made), []);
    let (etcd, made) =
        of("  kind: io.l5d.etcd\n  host: etcd.local\n  port: 2379\n  pathPrefix: /dtabs\n");
    assert!(matches!(etcd, Storage::Etcd(_)), "{etcd:?}");
    // It loads, but is another store than it was.
    let told = decisions(&made);
    assert!(
        matches!(told[..], [("storage", what)] if what.contains("API v3")),
        "{told:?}"
    );
    // Not of 1.x; whoever migrates again has them already.
    let (files, made) = of("  kind: io.l5d.fs\n  dtabFile: /all.dtab\n");
    assert!(matches!(files, Storage::Files(_)), "{files:?}");
    assert_eq!(decisions(&made), []);
    let (map, made) = of("  kind: io.l5d.k8s.configMap\n  name: dtabs\n  filename: all\n");
    assert!(matches!(map, Storage::ConfigMap(_)), "{map:?}");
    assert_eq!(decisions(&made), []);
}

#[test]
fn dtabs_that_proxies_read_themselves_have_a_store_to_go_to() {
    for (interpreter, storage) in [
        (
            "kind: io.l5d.fs\n    dtabFile: /all.dtab",
            "{kind: io.l5d.fs, dtabFile: /all.dtab}",
        ),
        (
            "kind: io.l5d.k8s.configMap\n    name: dtabs\n    filename: all",
            "{kind: io.l5d.k8s.configMap, name: dtabs, filename: all}",
        ),
    ] {
        let made = made_of(&format!(
            "routers:\n- protocol: http\n  servers: [{{port: 4140}}]\n  interpreter:\n    {interpreter}\n"
        ));
        let help = made
            .report
            .findings
            .iter()
            .filter_map(|f| f.help.as_deref());
        let help: Vec<_> = help.filter(|help| help.contains(storage)).collect();
        assert_eq!(help.len(), 1, "{}", made.report.text(&[]));
        let all = format!("storage: {storage}\n{DOOR}");
        let read = Config::read("namerd", &all, &|_| None);
        assert!(read.is_ok(), "{all}");
    }
}
