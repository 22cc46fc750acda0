//! The origin: nginx, which answers without looking anything up, for HTTP/1.1 and for HTTP/2 with prior knowledge.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use l5d_tests::pki::Authority;

use super::arm::Protocol;
use super::program::{Cores, Program, free_port};

/// A running origin, and what else all proxies need.
#[derive(Debug)]
pub(super) struct Origin {
    http1: SocketAddr,
    http2: SocketAddr,
    pub(super) tls: Tls,
    _program: Program,
}

/// What hops show to clients and to each other, as files. The name in it is `web`.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Certificate and key in one, as HAProxy reads them.
    pub(super) both: PathBuf,
    pub(super) authority: PathBuf,
}

const SMALL: usize = 1 << 10;
const LARGE: usize = 1 << 20;

impl Origin {
    pub(super) fn start(folder: &Path, cores: &Cores) -> Result<Self> {
        let own = folder.join("origin");
        std::fs::create_dir_all(own.join("files"))?;
        std::fs::write(own.join("files/small"), vec![b'x'; SMALL])?;
        std::fs::write(own.join("files/large"), vec![b'x'; LARGE])?;
        // A gRPC message: no compression, then its length.
        let message = [&[0, 0, 0, 4, 0], &[b'x'; SMALL][..]].concat();
        std::fs::write(folder.join("message"), message)?;
        let (http1, http2) = (free_port()?, free_port()?);
        let config = own.join("nginx.conf");
        std::fs::write(&config, configuration(&own, http1, http2))?;
        let log = own.join("log");
        let mut command = nginx(&config, &own);
        let mut program = Program::start(&mut command, &log, &cores.rest, &cores.rest)?;
        program.wait_for(http2, &log).context("the origin")?;
        Ok(Self {
            http1,
            http2,
            tls: Tls::write(folder)?,
            _program: program,
        })
    }

    /// Where this protocol is answered.
    pub(super) fn addr(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Http1 | Protocol::Http2To1 => self.http1,
            Protocol::Http2 | Protocol::Grpc => self.http2,
        }
    }

    /// Where HTTP/1.1 is answered.
    pub(super) fn http1(&self) -> SocketAddr {
        self.http1
    }
}

impl Tls {
    fn write(folder: &Path) -> Result<Self> {
        let signer = Authority::new("bench")?;
        let issued = signer.issue(&["web"])?;
        let (certificate, key) = issued.write(folder, "web")?;
        let (both, authority) = (folder.join("web.pem"), folder.join("authority.pem"));
        std::fs::write(&both, format!("{}{}", issued.certificate, issued.key))?;
        std::fs::write(&authority, signer.pem())?;
        Ok(Self {
            certificate,
            key,
            both,
            authority,
        })
    }
}

/// nginx with this configuration and a folder of its own.
pub(super) fn nginx(config: &Path, folder: &Path) -> Command {
    let mut command = Command::new("nginx");
    command
        .arg("-e")
        .arg(folder.join("errors"))
        .arg("-c")
        .arg(config)
        .arg("-p")
        .arg(folder);
    command
}

/// What nginx needs in its `http` block to write nowhere else, and to close nothing by itself.
pub(super) fn everywhere(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "access_log off; keepalive_requests 100000000; keepalive_timeout 300s; http2_max_concurrent_streams 1000;
 client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
 uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; proxy_max_temp_file_size 0; default_type text/plain;"
    )
}

/// The lines before the `http` block.
pub(super) fn heading(folder: &Path) -> String {
    format!(
        "worker_processes 1; daemon off; pid {}/pid;\nevents {{ worker_connections 15000; }}\n",
        folder.display()
    )
}

fn configuration(folder: &Path, http1: SocketAddr, http2: SocketAddr) -> String {
    let small = "x".repeat(SMALL);
    let files = folder.join("files");
    format!(
        "{}http {{ {}
 server {{
  listen {http1}; listen {http2} http2; root {};
  location = /small {{ return 200 \"{small}\"; }}
  location /bench.Bench/ {{ default_type application/grpc; add_trailer grpc-status 0 always; return 200 \"{small}\"; }}
  location / {{ sendfile on; }}
 }}
}}
",
        heading(folder),
        everywhere(folder),
        files.display()
    )
}
