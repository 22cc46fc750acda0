//! The peers' configurations: each as lean as ours, nothing logged, connections kept, one worker.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::arm::{Arm, Protocol};
use super::origin::{Tls, everywhere, heading, nginx};

/// One hop of a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop<'a> {
    pub(super) arm: Arm,
    /// Where it listens.
    pub(super) at: SocketAddr,
    /// Where it leads to.
    pub(super) next: SocketAddr,
    /// That is the origin.
    pub(super) is_last: bool,
    pub(super) tls: &'a Tls,
    /// Where its files go.
    pub(super) folder: &'a Path,
}

impl Hop<'_> {
    /// Whether it speaks HTTP/2 to what comes next.
    fn goes_on_with_http2(&self) -> bool {
        match self.arm.protocol {
            Protocol::Http1 => false,
            Protocol::Http2To1 => !self.is_last,
            Protocol::Http2 | Protocol::Grpc => true,
        }
    }

    fn goes_on_with_tls(&self) -> bool {
        self.arm.tls && !self.is_last
    }

    /// nginx. Of HTTP/2 it speaks nothing but gRPC to upstreams.
    pub(super) fn nginx(&self) -> Result<Command> {
        let own = self.folder.join(format!("nginx-{}", self.at.port()));
        std::fs::create_dir_all(&own)?;
        let (at, next, tls) = (self.at, self.next, self.tls);
        let http2 = if self.arm.is_http2() { " http2" } else { "" };
        let listen = match self.arm.tls {
            true => format!(
                "listen {at} ssl{http2}; ssl_certificate {}; ssl_certificate_key {};",
                tls.certificate.display(),
                tls.key.display()
            ),
            false => format!("listen {at}{http2};"),
        };
        let secure = if self.goes_on_with_tls() { "s" } else { "" };
        let onward = match self.arm.protocol {
            Protocol::Grpc => format!("grpc_pass grpc{secure}://next;"),
            _ => format!(
                "proxy_pass http{secure}://next; proxy_http_version 1.1; proxy_set_header Connection \"\";"
            ),
        };
        let config = own.join("nginx.conf");
        let text = format!(
            "{}http {{ {}
 upstream next {{ server {next}; keepalive 1000; keepalive_requests 100000000; }}
 server {{ {listen} location / {{ {onward} }} }}
}}
",
            heading(&own),
            everywhere(&own)
        );
        std::fs::write(&config, text)?;
        Ok(nginx(&config, &own))
    }

    /// HAProxy.
    pub(super) fn haproxy(&self) -> Result<Command> {
        let mut bind = format!("bind {}", self.at);
        match (self.arm.tls, self.arm.is_http2()) {
            (true, http2) => {
                let alpn = if http2 { "h2" } else { "http/1.1" };
                write!(bind, " ssl crt {} alpn {alpn}", self.tls.both.display())?;
            }
            (false, true) => bind.push_str(" proto h2"),
            (false, false) => {}
        }
        let mut server = format!("server s {} pool-max-conn 1000", self.next);
        match (self.goes_on_with_tls(), self.goes_on_with_http2()) {
            (true, true) => server.push_str(" ssl verify none alpn h2"),
            (true, false) => server.push_str(" ssl verify none alpn http/1.1"),
            (false, true) => server.push_str(" proto h2"),
            (false, false) => {}
        }
        let config = self.folder.join(format!("haproxy-{}.cfg", self.at.port()));
        let text = format!(
            "global
 nbthread 1
 maxconn 9000
 tune.ssl.default-dh-param 2048
defaults
 mode http
 timeout client 300s
 timeout server 300s
 timeout connect 5s
 option http-keep-alive
 http-reuse always
frontend f
 {bind}
 default_backend b
backend b
 {server}
"
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(config);
        Ok(command)
    }

    /// Envoy; `program` is its binary.
    pub(super) fn envoy(&self, program: Option<&Path>) -> Result<Command> {
        let program = program.context("its program is not there (--envoy)")?;
        let config = self.folder.join(format!("envoy-{}.json", self.at.port()));
        let text = json!({"static_resources": {"listeners": [self.envoy_listener()], "clusters": [self.envoy_cluster()]}});
        std::fs::write(&config, text.to_string())?;
        let mut command = Command::new(program);
        command.arg("-c").arg(config).args([
            "--concurrency",
            "1",
            "-l",
            "error",
            "--use-dynamic-base-id",
        ]);
        Ok(command)
    }

    fn envoy_listener(&self) -> Value {
        let codec = if self.arm.is_http2() {
            "HTTP2"
        } else {
            "HTTP1"
        };
        let manager = json!({
            "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
            "codec_type": codec, "stat_prefix": "p", "generate_request_id": false,
            "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "next", "timeout": "0s"}}]}]},
            "http_filters": [{"name": "envoy.filters.http.router",
                "typed_config": {"@type": format!("{FILTERS}.http.router.v3.Router")}}]
        });
        let mut chain = json!({"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]});
        if self.arm.tls {
            let alpn = if self.arm.is_http2() {
                "h2"
            } else {
                "http/1.1"
            };
            chain["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": format!("{TLS}.DownstreamTlsContext"),
                "common_tls_context": {"alpn_protocols": [alpn], "tls_certificates": [{
                    "certificate_chain": {"filename": self.tls.certificate}, "private_key": {"filename": self.tls.key}}]}}});
        }
        json!({"name": "l", "address": socket(self.at), "filter_chains": [chain]})
    }

    fn envoy_cluster(&self) -> Value {
        let mut cluster = json!({
            "name": "next", "type": "STATIC", "connect_timeout": "5s", "lb_policy": "LEAST_REQUEST",
            "circuit_breakers": {"thresholds": [{"max_connections": 10000, "max_pending_requests": 100000, "max_requests": 100000}]},
            "load_assignment": {"cluster_name": "next", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(self.next)}}]}]}
        });
        if self.goes_on_with_http2() {
            cluster["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}});
        }
        if self.goes_on_with_tls() {
            let alpn = if self.goes_on_with_http2() {
                "h2"
            } else {
                "http/1.1"
            };
            cluster["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": format!("{TLS}.UpstreamTlsContext"), "common_tls_context": {"alpn_protocols": [alpn]}}});
        }
        cluster
    }
}

const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

fn socket(addr: SocketAddr) -> Value {
    json!({"socket_address": {"address": addr.ip().to_string(), "port_value": addr.port()}})
}
