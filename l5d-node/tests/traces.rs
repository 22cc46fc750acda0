//! Spans of a whole proxy, as a collector gets them over gRPC (node-proxy 15.7).

use std::time::Duration;

use l5d_node::app::{Options, run};
use l5d_node::config::{Identity, read};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What came: headers, the resource's attributes as text, and a span.
type Came = (Option<String>, String, Span);

struct Collector(mpsc::Sender<Came>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let key = request.metadata().get("api-key");
        let key = key.and_then(|key| key.to_str().ok()).map(str::to_owned);
        for spans in request.into_inner().resource_spans {
            let resource = format!("{:?}", spans.resource.unwrap_or_default().attributes);
            for span in spans.scope_spans.into_iter().flat_map(|s| s.spans) {
                let told = self.0.send((key.clone(), resource.clone(), span)).await;
                told.map_err(|_| Status::unavailable("the test has ended"))?;
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_collector_gets_the_spans_of_sampled_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let collector = listener.local_addr().expect("an address");
    let (tell, mut spans) = mpsc::channel(100);
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector(tell)))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let text = format!(
        "admin: {{port: 0}}\nrouters: [{{protocol: http, label: out, servers: [{{port: 0}}], bindingTimeoutMs: 100, \
         interpreter: {{kind: io.l5d.mesh, dst: /$/inet/127.0.0.1/1}}}}]\n\
         telemetry: [{{kind: io.l5d.opentelemetry, endpoint: 'http://{collector}', sampleRate: 0.0, \
         headers: {{Api-Key: k}}, resource: {{service.name: tested, zone: z1}}}}]"
    );
    let config = read("l5d.yml", &text).unwrap_or_else(|e| panic!("{e}"));
    let node = run(config, Identity::default(), Options::default()).expect("it starts");
    for (target, fields) in [("/quiet", ""), ("/a?b", "l5d-sample: 1.0\r\n")] {
        let addr = node.addresses[0][0];
        let mut stream = TcpStream::connect(addr).await.expect("it listens");
        let text =
            format!("GET {target} HTTP/1.1\r\nHost: web\r\n{fields}Connection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        read.await.expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    // Before the end, when what waits has a second to leave.
    let came = tokio::time::timeout(PATIENCE, spans.recv()).await;
    node.join().await;
    let (key, resource, span) = came.expect("in time").expect("a span");
    assert_eq!(key.as_deref(), Some("k"));
    for part in ["service.name", "tested", "zone", "z1", "service.version"] {
        assert!(resource.contains(part), "{part} is not in {resource}");
    }
    assert_eq!(span.name, "out /svc/web");
    let attributes = format!("{:?}", span.attributes);
    for part in ["url.path", "\"/a\"", "binding_timeout", "IntValue(503)"] {
        assert!(attributes.contains(part), "{part} is not in {attributes}");
    }
    assert!(!attributes.contains("/a?b") && span.parent_span_id.iter().all(|b| *b == 0));
    assert!(spans.try_recv().is_err(), "only what is sampled is sent");
}
