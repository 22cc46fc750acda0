//! Traces of the real program, as a collector sees them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use l5d_resolver::v1::ResolveRequest;
use l5d_resolver::v1::resolver_client::ResolverClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const PATIENCE: Duration = Duration::from_secs(60);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Takes spans and hands them on.
struct Collector(mpsc::Sender<(String, Span)>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            let attributes = spans.resource.unwrap_or_default().attributes;
            let resource = format!("{attributes:?}");
            for span in spans.scope_spans.into_iter().flat_map(|s| s.spans) {
                let told = self.0.send((resource.clone(), span)).await;
                told.map_err(|_| Status::unavailable("the test has ended"))?;
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A namerd that sends its traces to a collector of ours.
struct World {
    namerd: Child,
    addresses: Vec<String>,
    spans: mpsc::Receiver<(String, Span)>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let collector = listener.local_addr().expect("an address");
        let (tell, spans) = mpsc::channel(1_000);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(TraceServiceServer::new(Collector(tell)))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("namerd.yml");
        let config = format!(
            "admin: {{port: 0}}
storage: {{kind: io.l5d.inMemory}}
telemetry: [{{kind: io.l5d.opentelemetry, endpoint: 'http://{collector}', sampleRate: 0, serviceName: tested}}]
interfaces: [{{kind: io.l5d.httpController, port: 0}}, {{kind: io.l5d.mesh, port: 0}}]
"
        );
        std::fs::write(&file, config).expect("written");
        let mut namerd = Command::new(env!("CARGO_BIN_EXE_namerd"))
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let stdout = namerd.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let pairs = line
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        Self {
            namerd,
            addresses: pairs.map(|(_, addr)| addr.to_owned()).collect(),
            spans,
            _folder: folder,
        }
    }

    /// What the server at this place of the list answers.
    async fn http(&self, server: usize, request: &str) -> String {
        let addr = &self.addresses[server];
        let mut stream = tokio::net::TcpStream::connect(addr)
            .await
            .expect("connects");
        let request = format!("{request}Host: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        answer
    }

    async fn span(&mut self, name: &str) -> (String, Span) {
        let find = async {
            while let Some((resource, span)) = self.spans.recv().await {
                if span.name == name {
                    return (resource, span);
                }
            }
            panic!("the collector has ended");
        };
        tokio::time::timeout(PATIENCE, find)
            .await
            .unwrap_or_else(|_| panic!("no span {name}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Nothing to end if it has ended.
        let _ = self.namerd.kill();
        let _ = self.namerd.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn parent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// A trace that a caller has begun goes on through the door into the store; one that nobody has begun is not sampled here;
/// and what waits at the stop is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_goes_on_to_the_store_and_is_flushed_at_the_stop() {
    let mut world = World::start().await;
    let answer = world.http(1, "GET /api/1/dtabs HTTP/1.1\r\n").await;
    assert!(answer.contains(" 200 "), "{answer}");
    let delete = format!(
        "DELETE /api/1/dtabs/nosuch HTTP/1.1\r\ntraceparent: {}\r\n",
        parent()
    );
    let answer = world.http(1, &delete).await;
    assert!(answer.contains(" 404 "), "{answer}");
    let (_, store) = world.span("store delete").await;
    let (resource, door) = world.span("http dtab").await;
    assert!(resource.contains("tested"), "{resource}");
    assert_eq!(
        (hex(&door.trace_id), hex(&door.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    assert_eq!(
        (&store.trace_id, &store.parent_span_id),
        (&door.trace_id, &door.span_id)
    );
    // Counted once the collector's answer has come back.
    let counted = "namerd_app_trace_spans_total{outcome=\"exported\"} 2";
    let mut text = String::new();
    for _ in 0..1_000 {
        text = world.http(0, "GET /metrics HTTP/1.1\r\n").await;
        if text.contains(counted) {
            break;
        }
    }
    assert!(text.contains(counted), "{text}");

    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", world.addresses[2]));
    let channel = channel
        .expect("an address")
        .connect()
        .await
        .expect("connects");
    let mut request = Request::new(ResolveRequest::default());
    request
        .metadata_mut()
        .insert("traceparent", parent().parse().expect("ascii"));
    let refused = ResolverClient::new(channel).resolve(request).await;
    refused.expect_err("no path was given");
    let stopped = Command::new("kill")
        .args(["-TERM", &world.namerd.id().to_string()])
        .status();
    assert!(stopped.expect("kill is there").success());
    let (_, call) = world.span("l5d.resolver.v1.Resolver/Resolve").await;
    assert_eq!(
        (hex(&call.trace_id), hex(&call.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    assert_eq!(world.namerd.wait().expect("ends").code(), Some(0));
}
