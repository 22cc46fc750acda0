//! A whole namerd, as a program, among clients that mean it ill: over real sockets its memory stays bounded, and an honest
//! node is told of every change.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_resolver::v1::{self, down, up};
use l5d_tests::client::ApiClient;
use l5d_tests::follower::Follower;
use l5d_tests::process::{Process, Program};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};

const PATIENCE: Duration = Duration::from_secs(60);
/// More than any of this may cost, in bytes; what came in would be many times as much.
const MOST_GROWTH: f64 = 48e6;

/// The program under attack, and an honest node that follows it.
struct World {
    folder: TempDir,
    admin: SocketAddr,
    http: SocketAddr,
    mesh: SocketAddr,
    honest: Follower,
    /// Resident memory before the attack.
    before: f64,
    changes: u16,
    _program: Process,
}

/// Beside this test, as `cargo build` left it.
fn program() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).context("a target folder")?;
    let program = folder.join("namerd");
    if !program.is_file() {
        bail!("{} is missing: `cargo build -p namerd`", program.display());
    }
    Ok(program)
}

async fn connect(addr: SocketAddr) -> Result<Channel> {
    Ok(Endpoint::try_from(format!("http://{addr}"))?
        .connect()
        .await?)
}

impl World {
    async fn start(limits: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let disco = folder.path().join("disco");
        std::fs::create_dir(&disco)?;
        std::fs::write(disco.join("web"), "10.0.0.1 1\n")?;
        let config = format!(
            "admin: {{port: 0}}\nstorage: {{kind: io.l5d.inMemory, namespaces: {{default: /svc => /#/io.l5d.fs}}}}\n\
             namers: [{{kind: io.l5d.fs, rootDir: {}}}]\ninterfaces:\n\
             - {{kind: io.l5d.httpController, port: 0{limits}}}\n- {{kind: io.l5d.mesh, port: 0{limits}}}\n",
            disco.display()
        );
        let file = folder.path().join("namerd.yml");
        std::fs::write(&file, config)?;
        let process = Program::new("namerd", program()?)
            .arg(&file)
            .start(folder.path())?;
        let [admin, http, mesh] = listening(&process).await?;
        let router = [("out", Vec::new(), vec!["/svc/web"])];
        let honest = Follower::start(connect(mesh).await?, "honest", &router).await?;
        let mut world = Self {
            folder,
            admin,
            http,
            mesh,
            honest,
            before: 0.0,
            changes: 0,
            _program: process,
        };
        world.is_well().await?;
        world.before = world.resident().await?;
        Ok(world)
    }

    /// Writes so many addresses of `web`.
    fn change(&mut self, addresses: u16) -> Result<Vec<SocketAddr>> {
        self.changes += 1;
        let port = 1_000 + self.changes;
        let all =
            (0..addresses).map(|n| SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], port)));
        let all: Vec<SocketAddr> = all.collect();
        let mut text = Vec::new();
        for addr in &all {
            writeln!(text, "{} {}", addr.ip(), addr.port())?;
        }
        // Moved into place, so that no half of it is ever read.
        let new = self.folder.path().join("new");
        std::fs::write(&new, text)?;
        std::fs::rename(new, self.folder.path().join("disco/web"))?;
        Ok(all)
    }

    /// The honest node hears of a change, and HTTP answers.
    async fn is_well(&mut self) -> Result<()> {
        let addresses = self.change(3)?;
        self.honest.until_addresses("web", &addresses).await;
        let client = ApiClient::plain(self.http);
        let answer = timeout(PATIENCE, client.get("/api/1/dtabs")).await??;
        assert_eq!(answer.status, 200);
        Ok(())
    }

    async fn metric(&self, name: &str) -> Result<f64> {
        let page = ApiClient::plain(self.admin).get("/metrics").await?;
        let page = String::from_utf8(page.body.to_vec())?;
        let line = page.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next());
        Ok(value
            .with_context(|| format!("{name} in {page}"))?
            .parse()?)
    }

    /// `VmRSS` of the program, which reads it from its own `/proc`.
    async fn resident(&self) -> Result<f64> {
        self.metric("namerd_process_resident_bytes").await
    }

    /// Still well, and not much bigger.
    async fn is_unharmed(&mut self) -> Result<()> {
        self.is_well().await?;
        let growth = self.resident().await? - self.before;
        eprintln!("grown by {:.1} MB", growth / 1e6);
        assert!(growth < MOST_GROWTH, "grown by {growth} bytes");
        Ok(())
    }
}

/// What its first line says.
async fn listening(process: &Process) -> Result<[SocketAddr; 3]> {
    let begun = Instant::now();
    loop {
        let log = std::fs::read_to_string(process.log())?;
        if let Some(line) = log.lines().find(|line| line.starts_with("listening ")) {
            let addr = |pair: &str| pair.split_once('=').map(|(_, addr)| addr.parse());
            let addrs: Vec<SocketAddr> =
                line.split(' ').filter_map(addr).collect::<Result<_, _>>()?;
            return addrs.try_into().map_err(|_| anyhow::anyhow!("{line}"));
        }
        assert!(begun.elapsed() < PATIENCE, "does not listen: {log}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn wanting(interests: impl Iterator<Item = (u32, String)>) -> v1::Up {
    let interests = interests.map(|(id, path)| v1::Interest {
        id,
        path,
        ..v1::Interest::default()
    });
    v1::Up {
        message: Some(up::Message::Want(v1::Want {
            interests: interests.collect(),
        })),
    }
}

fn hello(node: &str) -> v1::Up {
    v1::Up {
        message: Some(up::Message::Hello(v1::Hello {
            node: node.to_owned(),
            routers: vec![v1::Router {
                root: "default".to_owned(),
                ..v1::Router::default()
            }],
            ..v1::Hello::default()
        })),
    }
}

/// RES-5: readers that take a few bytes, or none, while everything changes all the time.
#[tokio::test]
async fn slow_readers_cost_little_and_delay_nobody() -> Result<()> {
    let mut world = World::start("").await?;
    let mut slow = Vec::new();
    for n in 0..50 {
        let (ups, messages) = tokio::sync::mpsc::channel(4);
        ups.send(hello(&format!("slow-{n}"))).await?;
        ups.send(wanting([(1, "/svc/web".to_owned())].into_iter()))
            .await?;
        let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
        let mut client = ResolverClient::new(connect(world.mesh).await?);
        let mut downs = client.follow(messages).await?.into_inner();
        let first = downs.next().await.context("a welcome")??;
        assert!(matches!(first.message, Some(down::Message::Welcome(_))));
        // From here on it is not read: the window fills, and then the connection.
        slow.push((ups, downs));
    }
    for _ in 0..100 {
        let addresses = world.change(2_000)?;
        world.honest.until_addresses("web", &addresses).await;
    }
    world.is_unharmed().await
}

fn is_full_of(replicas: &l5d_mesh::v1::Replicas, port: u16) -> bool {
    let Some(l5d_mesh::v1::replicas::Result::Bound(bound)) = &replicas.result else {
        return false;
    };
    let has = |e: &l5d_mesh::v1::Endpoint| e.port == Some(port.into());
    bound.endpoints.len() == 2_000 && bound.endpoints.iter().all(has)
}

/// One unsent state a stream (control plane 4.8): what a client of Linkerd 1.x does not read is not kept, and when it reads
/// again it soon has the newest state.
#[tokio::test]
async fn streams_of_1_x_that_nobody_reads_keep_one_state() -> Result<()> {
    let mut world = World::start("").await?;
    let id = l5d_mesh::v1::Path {
        elems: ["#", "io.l5d.fs", "web"]
            .map(|elem| elem.as_bytes().to_vec().into())
            .to_vec(),
    };
    let mut slow = Vec::new();
    for _ in 0..50 {
        // The windows that a client of 1.x gives.
        let endpoint = Endpoint::try_from(format!("http://{}", world.mesh))?;
        let endpoint = endpoint
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535);
        let mut client =
            l5d_mesh::v1::resolver_client::ResolverClient::new(endpoint.connect().await?);
        let request = l5d_mesh::v1::ReplicasReq {
            id: Some(id.clone()),
        };
        let mut states = client.stream_replicas(request).await?.into_inner();
        states.next().await.context("a first state")??;
        slow.push(states);
    }
    let open = "namerd_api_grpc_open_streams{method=\"io.linkerd.mesh.Resolver/StreamReplicas\"}";
    assert_eq!(world.metric(open).await? as usize, slow.len());
    for _ in 0..100 {
        let addresses = world.change(2_000)?;
        world.honest.until_addresses("web", &addresses).await;
    }
    let newest = 1_000 + world.changes;
    let growth = world.resident().await? - world.before;
    assert!(growth < MOST_GROWTH, "grown by {growth} bytes");
    for states in &mut slow {
        let mut read = 0;
        loop {
            let state = timeout(PATIENCE, states.next()).await?.context("open")??;
            read += 1;
            if is_full_of(&state, newest) {
                break;
            }
        }
        assert!(read <= 10, "{read} of 100 states were kept");
    }
    drop(slow);
    let begun = Instant::now();
    while world.metric(open).await? > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "still open");
        sleep(Duration::from_millis(20)).await;
    }
    world.is_unharmed().await
}

#[tokio::test]
async fn a_flood_of_new_names_is_refused_beyond_the_limit() -> Result<()> {
    let mut world = World::start("").await?;
    let (ups, messages) = tokio::sync::mpsc::channel(4);
    ups.send(hello("greedy")).await?;
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut client = ResolverClient::new(connect(world.mesh).await?);
    let mut downs = client.follow(messages).await?.into_inner();
    let flood = async {
        // 100,000 names of 200 bytes, in messages below the limit.
        for batch in 0..200_u32 {
            let name = |n: u32| {
                (
                    batch * 500 + n + 1,
                    format!("/svc/{:0>190}", batch * 500 + n),
                )
            };
            ups.send(wanting((0..500).map(name))).await?;
        }
        anyhow::Ok(())
    };
    let mut refused = 0_u32;
    let hear = async {
        while refused < 80_000 {
            let down = timeout(PATIENCE, downs.next()).await?.context("open")??;
            if let Some(down::Message::Refuse(refuse)) = down.message {
                let error = refuse.error.context("an error")?;
                assert_eq!(error.code, v1::Code::Limit as i32, "{error:?}");
                refused += 1;
            }
        }
        anyhow::Ok(())
    };
    let (flooded, heard) = tokio::join!(flood, hear);
    flooded?;
    heard?;
    world.is_unharmed().await
}

/// Connections that say nothing, rubbish, or too much too slowly.
#[tokio::test]
async fn half_open_connections_garbage_and_slow_heads_harm_nobody() -> Result<()> {
    let mut world = World::start("").await?;
    let mut open = Vec::new();
    for n in 0..300_u32 {
        for addr in [world.http, world.mesh, world.admin] {
            let mut stream = TcpStream::connect(addr).await?;
            match n % 3 {
                0 => {}
                1 => {
                    let mut random = fastrand::Rng::with_seed(n.into());
                    let garbage: Vec<u8> = (0..4_096).map(|_| random.u8(..)).collect();
                    // It may be thrown out before it has said all.
                    let _ = stream.write_all(&garbage).await;
                }
                _ => {
                    stream
                        .write_all(b"GET /api/1/dtabs HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                        .await?
                }
            }
            open.push(stream);
        }
    }
    world.is_unharmed().await?;
    // Those that began a head go on, one byte at a time.
    for stream in open.iter_mut().skip(6).step_by(9) {
        let _ = stream.write_all(b"a").await;
    }
    world.is_unharmed().await
}

#[tokio::test]
async fn giant_heads_are_refused_while_they_come() -> Result<()> {
    let mut world = World::start("").await?;
    for addr in [world.http, world.admin, world.mesh] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(addr).await?;
            let line = vec![b'a'; 1 << 20];
            let mut said = 0;
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nX-Giant: ").await;
            // 64 MB, if it lets us.
            while said < 64 && stream.write_all(&line).await.is_ok() {
                said += 1;
            }
            assert!(said < 64, "{addr} has taken all of it");
        }
    }
    world.is_unharmed().await
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// `:method: POST`, `:scheme: http`, `:path: /`, `:authority: a`.
const HEAD: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'a'];

/// Says something over HTTP/2 again and again until the server ends the connection; gives how many bytes it has taken.
async fn until_thrown_out(addr: SocketAddr, mut next: impl FnMut(u32) -> Vec<u8>) -> Result<usize> {
    let (mut read, mut write) = TcpStream::connect(addr).await?.into_split();
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; 16 << 10];
        while read.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    });
    write.write_all(PREFACE).await?;
    write.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut taken = 0;
    let flood = async {
        for n in 0.. {
            let bytes = next(n);
            if write.write_all(&bytes).await.is_err() || reader.is_finished() {
                return;
            }
            taken += bytes.len();
        }
    };
    timeout(PATIENCE, flood)
        .await
        .context("it is never thrown out")?;
    Ok(taken)
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() -> Result<()> {
    let mut world = World::start("").await?;
    for _ in 0..20 {
        until_thrown_out(world.mesh, |n| {
            let stream = 2 * n + 1;
            let mut bytes = frame(HEADERS, END_HEADERS, stream, HEAD);
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            bytes
        })
        .await?;
    }
    world.is_unharmed().await
}

#[tokio::test]
async fn heads_that_never_end_end_their_connection() -> Result<()> {
    let mut world = World::start("").await?;
    // `x: ` and 8,000 times `a`, not indexed.
    let mut field = vec![0, 1, b'x', 0x7f, 0xc1, 0x3d];
    field.extend([b'a'; 8_000]);
    for _ in 0..20 {
        let taken = until_thrown_out(world.mesh, |n| match n {
            0 => frame(HEADERS, 0, 1, HEAD),
            _ => frame(CONTINUATION, 0, 1, &field),
        })
        .await?;
        assert!(taken < 64 << 20, "{taken} bytes of a head were taken");
    }
    // The same with fields of no length at all.
    for _ in 0..20 {
        until_thrown_out(world.mesh, |n| match n {
            0 => frame(HEADERS, 0, 1, HEAD),
            _ => frame(CONTINUATION, 0, 1, &[]),
        })
        .await?;
    }
    world.is_unharmed().await
}

#[tokio::test]
async fn one_client_gets_its_share_and_no_more() -> Result<()> {
    let limits = ", limits: {connectionsPerClient: 20, requestsPerSecond: 1, requestBurst: 10}";
    let mut world = World::start(limits).await?;
    let client = ApiClient::plain(world.http);
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let answer = client.get("/api/1/dtabs").await?;
        if answer.status == 429 {
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        }
        statuses.push(answer.status.as_u16());
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
    let mut tool = ResolverClient::new(connect(world.mesh).await?);
    let mut codes = Vec::new();
    for _ in 0..40 {
        let request = v1::ResolveRequest {
            root: "default".to_owned(),
            path: "/svc/web".to_owned(),
            ..v1::ResolveRequest::default()
        };
        let answer = tool.resolve(request).await;
        codes.push(answer.map_or_else(|status| status.code(), |_| tonic::Code::Ok));
    }
    assert!(codes.contains(&tonic::Code::Ok), "{codes:?}");
    assert!(codes.contains(&tonic::Code::ResourceExhausted), "{codes:?}");

    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(TcpStream::connect(world.http).await?);
    }
    let refused = r#"namerd_api_limits_total{limit="client-connections"}"#;
    let begun = Instant::now();
    while world.metric(refused).await.unwrap_or_default() < 20.0 {
        assert!(begun.elapsed() < PATIENCE, "nothing was refused");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(
        world
            .metric(r#"namerd_api_limits_total{limit="client-requests"}"#)
            .await?
            > 0.0
    );
    drop(open);
    // Its own share comes back.
    let begun = Instant::now();
    while !client
        .get("/api/1/dtabs")
        .await
        .is_ok_and(|answer| answer.status == 200)
    {
        assert!(begun.elapsed() < PATIENCE, "it is still refused");
        sleep(Duration::from_millis(50)).await;
    }
    let addresses = world.change(2)?;
    world.honest.until_addresses("web", &addresses).await;
    Ok(())
}
