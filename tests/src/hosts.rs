//! Hosts of a cluster as network namespaces, joined by a bridge: no privilege needed where user namespaces are allowed. Where
//! they are not, as subnets of loopback.
//!
//! Comes in: a test's name and how many hosts it wants. Goes out: programs that run on a host, and addresses. Nothing is
//! changed outside: the test runs again as the first process of its own user, network, mount and process namespaces, and when
//! it ends, however it ends, the kernel ends everything in them.
//!
//! ```text
//!   this process, API server, namerd          host 1: 10.0.0.1, pods 10.1.1.0/24
//!   10.0.0.254 on the bridge ---------+------ host 2: 10.0.0.2, pods 10.1.2.0/24
//!                                     +------ host 3: 10.0.0.3, pods 10.1.3.0/24
//!   on loopback: 127.0.0.1                    host 1: 127.0.1.1, pods 127.1.1.0/24
//! ```

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use parking_lot::Mutex;

use crate::front::Rewrite;
use crate::process::Program;

/// Set within the namespaces to the test's name.
const INSIDE: &str = "L5D_INSIDE";
/// With this set to 1, hosts are on loopback even where namespaces are allowed.
const LOOPBACK: &str = "L5D_LOOPBACK_HOSTS";
/// Everything of its own, and an end with `unshare`.
const UNSHARE: [&str; 6] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// All that [`Hosts::build`] needs.
const TRIAL: &str = "mount -t tmpfs tmpfs /run && ip link add bridge type bridge && ip netns add trial \
    && ip link add veth type veth peer name eth0 netns trial && nsenter --net=/run/netns/trial true";

/// The hosts, for the process within.
#[derive(Debug)]
pub struct Hosts {
    count: u8,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Namespaces,
    Loopback,
}

/// Runs `test` in namespaces of its own with `count` hosts: outside it starts this program again for the test of that
/// name and tells its result, inside it calls `run`. Where namespaces are forbidden it calls `run` at once with hosts on
/// loopback, one test at a time.
pub fn with_hosts<F>(test: &str, count: u8, run: impl FnOnce(Hosts) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    if is_inside(test) {
        let hosts = Hosts::build(count)?;
        return block_on(run(hosts));
    }
    let Some(flags) = allowed_flags() else {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _mine = ONE_AT_A_TIME.lock();
        let place = Place::Loopback;
        return block_on(run(Hosts { count, place }));
    };
    again(test, &flags)
}

/// The same as root without a user namespace, so that programs can run as any user there. An error where that is forbidden.
pub fn with_hosts_of_root<F>(
    test: &str,
    count: u8,
    run: impl FnOnce(Hosts) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    if is_inside(test) {
        let hosts = Hosts::build(count)?;
        return block_on(run(hosts));
    }
    if !works(&UNSHARE) {
        bail!(
            "{test} needs root and network namespaces: run it as root where `unshare` is allowed"
        );
    }
    again(test, &UNSHARE)
}

/// Whether this process is the one within namespaces.
fn is_inside(test: &str) -> bool {
    std::env::var_os(INSIDE).is_some_and(|inside| inside == test)
}

/// Runs this program again for one test, in namespaces.
fn again(test: &str, flags: &[&str]) -> anyhow::Result<()> {
    let logs = tempfile::Builder::new().prefix("l5d-hosts-").tempdir()?;
    let mut inside = Program::new("inside", "unshare")
        .args(flags)
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .env("TMPDIR", logs.path())
        .start(logs.path())?;
    let status = loop {
        if let Some(status) = inside.ended()? {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    println!("{}", inside.last_words(400));
    if !status.success() {
        bail!("{test} failed within its namespaces: {status}");
    }
    Ok(())
}

fn block_on(test: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build()?.block_on(test)
}

/// With a user namespace where one is allowed, else as root without; `None` where neither is, or on demand.
fn allowed_flags() -> Option<Vec<&'static str>> {
    if std::env::var_os(LOOPBACK).is_some_and(|set| set == "1") {
        return None;
    }
    let with_user: Vec<_> = ["--map-root-user"].into_iter().chain(UNSHARE).collect();
    [with_user, UNSHARE.to_vec()]
        .into_iter()
        .find(|flags| works(flags))
}

fn works(flags: &[&str]) -> bool {
    let mut trial = Command::new("unshare");
    trial.args(flags).args(["sh", "-c", TRIAL]);
    trial.stdin(Stdio::null()).stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success())
}

// === impl Hosts ===

impl Hosts {
    fn build(count: u8) -> anyhow::Result<Self> {
        // For `ip netns`, and for the service account's files, without touching the machine's own.
        sh("mount -t tmpfs tmpfs /run")?;
        if !fs::symlink_metadata("/var/run")?.is_symlink() {
            sh("mount -t tmpfs tmpfs /var/run")?;
        }
        sh("ip link set lo up && ip link add bridge type bridge \
            && ip addr add 10.0.0.254/24 dev bridge && ip link set bridge up")?;
        for n in 1..=count {
            sh(&format!(
                "ip netns add node-{n} \
                 && ip link add veth-{n} type veth peer name eth0 netns node-{n} \
                 && ip link set veth-{n} master bridge up \
                 && ip -n node-{n} link set lo up \
                 && ip -n node-{n} addr add 10.0.0.{n}/24 dev eth0 \
                 && ip -n node-{n} link set eth0 up \
                 && ip -n node-{n} route add local 10.1.{n}.0/24 dev lo \
                 && ip route add 10.1.{n}.0/24 via 10.0.0.{n}"
            ))?;
        }
        for n in 1..=count {
            for other in (1..=count).filter(|other| *other != n) {
                sh(&format!(
                    "ip -n node-{n} route add 10.1.{other}.0/24 via 10.0.0.{other}"
                ))?;
            }
        }
        let place = Place::Namespaces;
        Ok(Self { count, place })
    }

    /// The address of this process on the bridge.
    pub fn control_ip(&self) -> Ipv4Addr {
        match self.place {
            Place::Namespaces => Ipv4Addr::new(10, 0, 0, 254),
            Place::Loopback => Ipv4Addr::LOCALHOST,
        }
    }

    /// The hosts' numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.count
    }

    /// A host's name, also as a node.
    pub fn name(&self, host: u8) -> String {
        format!("node-{host}")
    }

    /// A host's own address.
    pub fn ip(&self, host: u8) -> Ipv4Addr {
        match self.place {
            Place::Namespaces => Ipv4Addr::new(10, 0, 0, host),
            Place::Loopback => Ipv4Addr::new(127, 0, host, 1),
        }
    }

    /// An address for a pod on a host; any can be listened on there.
    pub fn pod_ip(&self, host: u8, pod: u8) -> Ipv4Addr {
        match self.place {
            Place::Namespaces => Ipv4Addr::new(10, 1, host, pod),
            Place::Loopback => Ipv4Addr::new(127, 1, host, pod),
        }
    }

    /// The address under which a pod is listed in slices: the API server refuses those of loopback.
    pub fn listed_ip(&self, host: u8, pod: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 1, host, pod)
    }

    /// What stands in slices and what is meant, if these differ.
    pub fn rewrite(&self) -> Option<Rewrite> {
        let rewrite = Rewrite {
            from: "10.1.",
            to: "127.1.",
        };
        (self.place == Place::Loopback).then_some(rewrite)
    }

    /// A program to be run on a host.
    #[must_use]
    pub fn on(&self, host: u8, program: Program) -> Program {
        match self.place {
            Place::Namespaces => {
                program.within(["nsenter", &format!("--net=/run/netns/node-{host}")])
            }
            Place::Loopback => program,
        }
    }

    /// Puts a service account's files where programs in pods find them; only with namespaces.
    pub fn mount_service_account(&self, folder: &Path) -> anyhow::Result<()> {
        let target = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
        fs::create_dir_all(target)?;
        for file in fs::read_dir(folder)? {
            let file = file?;
            fs::copy(file.path(), target.join(file.file_name()))?;
        }
        Ok(())
    }
}

fn sh(script: &str) -> anyhow::Result<()> {
    let output = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .output()
        .context("cannot run sh")?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{script}: {error}");
    }
    Ok(())
}
