//! Pages over the handler, with everything behind them empty.

use l5d_naming::Dtab;
use serde_json::Value;

use super::*;
use crate::config::{Server, SocketOptions};
use crate::store::InMemoryStore;
use crate::stream::{Limits, NoSources};
use crate::tls::Gate;
use crate::transform::Transforms;
use crate::web::{listen, serve};

mod page;

struct Levels(parking_lot::Mutex<LogLevel>);

impl LogLevels for Levels {
    fn all(&self) -> Vec<(&'static str, LogLevel)> {
        vec![("root", *self.0.lock())]
    }

    fn set(&self, logger: &str, level: LogLevel) -> Result<(), String> {
        if logger != "root" {
            return Err(format!("unknown logger {logger}"));
        }
        *self.0.lock() = level;
        Ok(())
    }
}

fn admin() -> Admin {
    let dtab = Dtab::parse("/svc => /#/<b> | ~".replace("<b>", "x").as_str()).expect("a dtab");
    let store = InMemoryStore::new([("<i>default</i>".to_owned(), dtab)]);
    let engine = Engine::new();
    let transforms = Transforms::new(engine.clone(), None);
    let store: Arc<dyn DtabStore> = store;
    let binder = Binder::new(engine.clone(), Arc::clone(&store), Vec::new(), transforms);
    Admin {
        config: serde_json::json!({"storage": {"kind": "io.l5d.inMemory"}}),
        warnings: vec!["a warning".to_owned()],
        security: Security::default(),
        prometheus: vec![crate::config::PrometheusPage {
            path: "/prom".to_owned(),
            prefix: "mesh_".to_owned(),
        }],
        influxdb: true,
        engine,
        store,
        hub: Hub::new(
            binder.clone(),
            Arc::new(NoSources),
            Limits::default(),
            Arc::default(),
        ),
        binder,
        clusters: vec![ClusterState {
            api: "http://api".to_owned(),
            services: Services::new(crate::store::services::Policy::default()),
        }],
        namers: vec![NamerState {
            kind: "io.l5d.k8s",
            prefix: Path::parse("/a/b").expect("a path"),
            api: Some("http://api".to_owned()),
        }],
        ready: Cell::new(false),
        requests: Arc::default(),
        ca: None,
        gates: vec![("admin".to_owned(), Gate::plain(SocketOptions::default()))],
        meter: Arc::default(),
        watchers: Watchers::default(),
        missing_gateways: Arc::new(|| 7),
        levels: Arc::new(Levels(parking_lot::Mutex::new(LogLevel::Info))),
        stop: CancellationToken::new(),
        started: Instant::now(),
    }
}

/// An admin server on a socket of its own.
struct World {
    addr: std::net::SocketAddr,
    admin: Arc<Admin>,
    _stop: tokio_util::sync::DropGuard,
}

impl World {
    fn start(admin: Admin) -> Self {
        let server = Server {
            addr: "127.0.0.1:0".parse().expect("an address"),
            socket: SocketOptions::default(),
            tls: None,
            limits: crate::config::ClientLimits::default(),
        };
        let listener = listen("test", &server).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (admin, stop) = (Arc::new(admin), CancellationToken::new());
        tokio::spawn(serve(
            listener,
            Gate::plain(server.socket),
            Arc::new(Pages(Arc::clone(&admin))),
            stop.clone(),
        ));
        Self {
            addr,
            admin,
            _stop: stop.drop_guard(),
        }
    }

    /// Status and body.
    async fn ask(&self, method: &str, target: &str) -> (u16, String) {
        let (status, _, body) = self.send(method, target, "", "").await;
        (status, body)
    }

    /// Status, head and body; `headers` are lines that end.
    async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> (u16, String, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.addr)
            .await
            .expect("connects");
        let length = match body.is_empty() {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        let status = answer[9..12].parse().expect("a status");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, target: &str) -> (u16, String) {
        self.ask("GET", target).await
    }
}

#[tokio::test]
async fn k8s_129_ready_says_what_is_missing_and_live_does_not_care() {
    let world = World::start(admin());
    assert_eq!(world.get("/live").await.0, 200);
    let (status, body) = world.get("/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("k8s/endpointslices of http://api"), "{body}");
    world.admin.ready.set(true);
    assert_eq!(world.get("/ready").await, (200, "ready\n".to_owned()));
}

#[tokio::test]
async fn every_listed_page_answers() {
    let world = World::start(admin());
    world.admin.ready.set(true);
    let (_, index) = world.get("/admin").await;
    let mut sorted: Vec<_> = index.lines().collect();
    sorted.sort_unstable();
    assert_eq!(index.lines().collect::<Vec<_>>(), sorted);
    for path in index.lines() {
        let want = match path {
            "/admin/shutdown" => 405,
            "/dtab/delegator.json" => 400,
            "/ui/check.json" => 405,
            _ => 200,
        };
        assert_eq!(world.get(path).await.0, want, "{path}");
    }
    assert_eq!(world.get("/nosuch").await.0, 404);
    assert_eq!(world.ask("PUT", "/live").await.0, 405);
    assert_eq!(world.ask("PUT", "/nowhere").await.0, 404);
    assert_eq!(world.ask("HEAD", "/admin/ping").await, (200, String::new()));
    assert_eq!(world.get("/admin/ping").await.1, "pong");
}

#[tokio::test]
async fn k8s_132_the_state_shows_watches_namespaces_bindings_and_namers() {
    let world = World::start(admin());
    let ask = world
        .get("/dtab/delegator.json?path=/svc/a&dtab=/svc%3D%3E/$/nil")
        .await;
    assert!(
        ask.0 == 200 && ask.1.contains("\"type\":\"delegate\""),
        "{ask:?}"
    );
    let (_, text) = world.get("/state.json").await;
    let state: Value = serde_json::from_str(&text).expect("json");
    assert_eq!(state["watches"].as_array().map(Vec::len), Some(3));
    assert_eq!(state["watches"][0]["source"], "k8s/endpointslices");
    assert_eq!(state["namespaces"][0]["version"], "AAAAAAAAAAE=");
    assert_eq!(state["namers"][0]["prefix"], "/#/a/b");
    let (_, namer) = world.get("/namer_state/a/b.json").await;
    assert!(namer.contains("k8s/endpointslices"), "{namer}");
    let (_, dtabs) = world.get("/storage/dtabs.json").await;
    assert!(dtabs.contains("AAAAAAAAAAE="), "{dtabs}");
}

#[tokio::test]
async fn metrics_come_as_text_and_as_json() {
    let world = World::start(admin());
    world
        .admin
        .requests
        .count("bind", StatusCode::OK, Duration::from_millis(3));
    let (_, text) = world.get("/admin/metrics/prometheus").await;
    let (status, prefixed) = world.get("/prom").await;
    assert_eq!(status, 200);
    assert!(
        prefixed.contains("\nmesh_namerd_transform_gateway_missing_total 7\n"),
        "{prefixed}"
    );
    for line in [
        "# TYPE namerd_stream_encodings_total counter",
        "namerd_transform_gateway_missing_total 7",
        "namerd_api_http_requests_total{route=\"bind\",status=\"200\"} 1",
        "namerd_k8s_watch_synced{api=\"http://api\",source=\"k8s/nodes\"} 0",
        "namerd_store_namespaces 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} not in {text}");
    }
    let (_, influx) = world.get("/admin/metrics/influxdb").await;
    let line = "namerd_k8s_watch_synced,host=x,api=http://api,source=k8s/nodes gauge=0";
    assert!(influx.lines().any(|l| l == line), "{influx}");
    let (_, flat) = world
        .get("/admin/metrics.json?q=api/http_requests_total/bind")
        .await;
    assert_eq!(flat, "{\"api/http_requests_total/bind/200\":1}");
    let (_, tree) = world
        .get("/admin/metrics.json?q=api/http_requests_total&tree=true")
        .await;
    assert_eq!(
        tree,
        "{\"api\":{\"http_requests_total\":{\"bind\":{\"200\":{\"counter\":1}}}}}"
    );
    let (status, missing) = world.get("/admin/metrics.json?q=nosuch").await;
    assert_eq!(
        (status, missing.as_str()),
        (404, "{\"error\":\"No such subtree: nosuch\"}")
    );
}

/// What is exposed is described: with help and type of the table, its labels, and nothing twice.
#[tokio::test]
async fn every_exposed_metric_stands_in_the_table() {
    let world = World::start(admin());
    let admin = &world.admin;
    let took = Duration::from_millis(3);
    admin.requests.count("bind", StatusCode::OK, took);
    admin.meter.grpc.count(["a/b", "0"]);
    admin.meter.grpc_seconds.record("a/\"b\\", took);
    let (_, text) = world.get("/metrics").await;
    let mut series = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (key, value) = line.rsplit_once(' ').expect("a value");
        value.parse::<f64>().expect("a number");
        assert!(series.insert(key), "twice: {key}");
        let name = key.split('{').next().unwrap_or_default();
        let of = crate::meter::METRICS
            .iter()
            .find(|m| name == m.name || name.starts_with(&format!("{}_", m.name)))
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        let suffix = &name[of.name.len()..];
        let is_part = ["_bucket", "_sum", "_count"].contains(&suffix);
        assert_eq!(is_part, of.kind == crate::meter::Type::Histogram, "{name}");
        for label in of.labels {
            assert!(key.contains(&format!("{label}=\"")), "{key} lacks {label}");
        }
        let typed = format!("# HELP {} {}\n# TYPE {} ", of.name, of.help, of.name);
        assert_eq!(text.matches(&typed).count(), 1, "{typed}");
    }
    let bucket = r#"namerd_api_grpc_call_seconds_bucket{method="a/\"b\\",le="0.005"} 1"#;
    assert!(text.lines().any(|line| line == bucket), "{text}");
    let (_, json) = world
        .get("/admin/metrics.json?q=api/http_request_seconds")
        .await;
    assert!(
        json.contains("\"api/http_request_seconds/bind.count\":1"),
        "{json}"
    );
}

#[tokio::test]
async fn levels_are_set_and_bad_ones_refused() {
    let world = World::start(admin());
    assert_eq!(
        world.get("/logging.json").await.1,
        "[{\"logger\":\"root\",\"level\":\"INFO\"}]"
    );
    let (status, body) = world
        .ask("POST", "/logging.json?logger=root&level=debug")
        .await;
    assert_eq!(
        (status, body.as_str()),
        (200, "[{\"logger\":\"root\",\"level\":\"DEBUG\"}]")
    );
    for bad in [
        "logger=root",
        "logger=x&level=INFO",
        "logger=root&level=LOUD",
    ] {
        assert_eq!(
            world.ask("POST", &format!("/logging.json?{bad}")).await.0,
            400,
            "{bad}"
        );
    }
    assert_eq!(world.ask("DELETE", "/logging.json").await.0, 405);
}

#[tokio::test]
async fn only_a_post_stops_the_process_and_refused_paths_do_not_exist() {
    let world = World::start(admin());
    assert_eq!(world.get("/admin/shutdown").await.0, 405);
    assert!(!world.admin.stop.is_cancelled());
    assert_eq!(world.ask("POST", "/admin/shutdown").await.0, 200);
    assert!(world.admin.stop.is_cancelled());

    let mut closed = admin();
    closed.security.control = false;
    let world = World::start(closed);
    assert_eq!(
        world.ask("POST", "/admin/shutdown").await,
        (404, String::new())
    );
    assert!(!world.admin.stop.is_cancelled());
    assert_eq!(world.get("/admin/ping").await.0, 200);
}
