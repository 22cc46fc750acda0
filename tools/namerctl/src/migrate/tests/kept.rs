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

/// Interpreters that read a dtab themselves, and the same as a store of namerd.
const READERS: [(&str, &str); 2] = [
    (
        "{kind: io.l5d.fs, dtabFile: /all.dtab}",
        "{kind: io.l5d.fs, dtabFile: /all.dtab}",
    ),
    (
        "{kind: io.l5d.k8s.configMap, experimental: true, host: localhost, port: 8001, name: dtabs, filename: all}",
        "{kind: io.l5d.k8s.configMap, name: dtabs, filename: all}",
    ),
];

fn reading(label: &str, port: u16, interpreter: &str) -> String {
    format!(
        "- protocol: http\n  label: {label}\n  servers: [{{port: {port}}}]\n  interpreter: {interpreter}\n"
    )
}

#[test]
fn the_one_dtab_that_proxies_read_themselves_becomes_the_store() {
    for (interpreter, _) in READERS {
        let routers = [("in", 4140), ("out", 4141)].map(|(l, p)| reading(l, p, interpreter));
        let made = made_of(&format!("routers:\n{}", routers.concat()));
        assert_eq!(decisions(&made), []);
        let changed = made.report.findings.iter();
        let changed: Vec<_> = changed.filter(|f| f.fate == Fate::Changed).collect();
        assert_eq!(changed.len(), 2, "{}", made.report.text(&[]));
        assert_eq!(changed[1].key, "routers[1].interpreter");
        assert!(changed[1].message.contains("namerd's store"), "{changed:?}");
        match load(&made).storage {
            Storage::Files(files) => {
                let one = namerd::config::FilesStorage::One("/all.dtab".into());
                assert_eq!(files, one);
            }
            Storage::ConfigMap(map) => {
                assert_eq!(
                    (map.name.as_str(), map.filename.as_deref()),
                    ("dtabs", Some("all"))
                );
            }
            other => panic!("{other:?}"),
        }
        let text = made.text("node.yaml");
        assert_eq!(text.matches("root: /default\n").count(), 2, "{text}");
        assert!(l5d_node::config::read("node", text).is_ok(), "{text}");
    }
}

#[test]
fn two_dtabs_that_proxies_read_themselves_are_for_the_user_to_choose_from() {
    for (interpreter, storage) in READERS {
        let other = "{kind: io.l5d.fs, dtabFile: /other.dtab}";
        let routers = [("in", 4140, interpreter), ("out", 4141, other)];
        let routers = routers.map(|(l, p, i)| reading(l, p, i));
        let made = made_of(&format!("routers:\n{}", routers.concat()));
        assert_eq!(decisions(&made).len(), 2, "{}", made.report.text(&[]));
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
        let text = made.text("node.yaml");
        assert!(
            text.contains("root: /in\n") && text.contains("root: /out\n"),
            "{text}"
        );
    }
}

/// In pods namerd sees neither the file nor, without a right of its own, the ConfigMap: the report asks for it.
#[test]
fn in_a_manifest_what_namerd_must_reach_is_for_the_user_to_see_to() {
    for ((interpreter, _), wanted) in READERS.into_iter().zip([
        "mount the volume with /all.dtab",
        "may list and watch configmaps",
    ]) {
        let config = format!("routers:\n{}", reading("in", 4140, interpreter));
        let config = config.replace('\n', "\n    ");
        let made = made_of(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  config.yaml: |\n    {config}\n"
        ));
        let open = made.report.findings.iter();
        let open: Vec<_> = open.filter(|f| f.fate == Fate::Decide).collect();
        assert_eq!(open.len(), 1, "{}", made.report.text(&[]));
        assert_eq!(open[0].key, "routers[0].interpreter");
        let help = open[0].help.as_deref();
        assert!(help.is_some_and(|h| h.contains(wanted)), "{open:?}");
    }
}
