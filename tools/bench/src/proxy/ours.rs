//! Our programs: one namerd for all, and the node proxy that follows it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::arm::{Arm, Protocol};
use super::origin::Tls;
use super::program::{Cores, Program, free_port, last_words};

/// A running namerd, which binds addresses to themselves.
#[derive(Debug)]
pub(super) struct Namerd {
    addr: SocketAddr,
    _program: Program,
}

impl Namerd {
    pub(super) fn start(programs: &Path, folder: &Path, cores: &Cores) -> Result<Self> {
        let (addr, admin) = (free_port()?, free_port()?);
        let config = folder.join("namerd.yml");
        let text = format!(
            "admin: {{port: {}}}\nstorage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{kind: io.l5d.mesh, port: {}}}]\n",
            admin.port(),
            addr.port()
        );
        std::fs::write(&config, text)?;
        let log = folder.join("namerd.log");
        let mut command = Command::new(program(programs, "namerd")?);
        command.arg(&config);
        let mut program = Program::start(&mut command, &log, &cores.rest, &cores.rest)?;
        program.wait_for(addr, &log).context("namerd")?;
        Ok(Self {
            addr,
            _program: program,
        })
    }
}

/// A node proxy that listens at `at` and leads `web` to `next`. `is_last`: there is no TLS behind it.
pub(super) fn command(
    arm: Arm,
    is_last: bool,
    (at, next): (SocketAddr, SocketAddr),
    (programs, folder): (&Path, &Path),
    (namerd, tls): (&Namerd, &Tls),
) -> Result<Command> {
    if arm.protocol == Protocol::Http2To1 {
        bail!("its h2 routers speak HTTP/2 to endpoints");
    }
    let admin = free_port()?;
    let protocol = if arm.is_http2() { "h2" } else { "http" };
    let server = match arm.tls {
        true => format!(
            ", tls: {{certPath: {}, keyPath: {}}}",
            tls.certificate.display(),
            tls.key.display()
        ),
        false => String::new(),
    };
    let client = match arm.tls && !is_last {
        true => format!(
            "  client: {{tls: {{commonName: web, trustCerts: [{}]}}}}\n",
            tls.authority.display()
        ),
        false => String::new(),
    };
    let text = format!(
        "admin: {{port: {}}}
routers:
- protocol: {protocol}
  label: bench
  dtab: /svc/web => /$/inet/{}/{}
{client}  servers: [{{port: {}{server}}}]
",
        admin.port(),
        next.ip(),
        next.port(),
        at.port()
    );
    let config = folder.join(format!("node-{}.yml", at.port()));
    std::fs::write(&config, text)?;
    let node = program(programs, "l5d-node")?;
    let namerd = namerd.addr.to_string();
    check(&node, &config, &namerd, folder)?;
    let mut command = Command::new(node);
    command.arg(&config).arg("--namerd").arg(namerd);
    // Without a warm file: a folder that is not there cannot be written.
    command
        .env("RUST_LOG", "warn")
        .env("L5D_WARM_FILE", folder.join(format!("warm-{}", at.port())));
    Ok(command)
}

/// Whether this build can do that.
fn check(node: &Path, config: &Path, namerd: &str, folder: &Path) -> Result<()> {
    let log = folder.join("check.log");
    let out = std::fs::File::create(&log)?;
    let mut check = Command::new(node);
    check
        .arg("--check")
        .arg(config)
        .args(["--namerd", namerd])
        .stdout(out.try_clone()?)
        .stderr(out);
    match check.status().context("cannot start l5d-node")?.success() {
        true => Ok(()),
        false => bail!("this build cannot do it: {}", mistake(&log)),
    }
}

/// The line of a refused configuration that says what is wrong.
fn mistake(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().find(|line| line.contains(".yml:"));
    line.map_or_else(|| last_words(log), |line| line.trim().to_owned())
}

fn program(programs: &Path, name: &str) -> Result<PathBuf> {
    let path = programs.join(name);
    match path.exists() {
        true => Ok(path),
        false => bail!("{} is not built", path.display()),
    }
}
