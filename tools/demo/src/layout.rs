//! What runs where: addresses, names and the programs' configurations.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A virtual host: a loopback subnet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) name: &'static str,
    /// Third byte of its addresses.
    subnet: u8,
}

/// A pod of an application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pod {
    pub(crate) name: &'static str,
    pub(crate) service: &'static str,
    pub(crate) host: Host,
    pub(crate) text: &'static str,
    last: u8,
    pub(crate) port: u16,
    /// Whether it calls `world`.
    pub(crate) calls_world: bool,
}

pub(crate) const A: Host = Host {
    name: "node-a",
    subnet: 1,
};
pub(crate) const B: Host = Host {
    name: "node-b",
    subnet: 2,
};

/// The pods at the beginning.
pub(crate) const PODS: [Pod; 6] = [
    pod("hello-a", "hello", A, "Hello", 10, 7777),
    pod("hello-b", "hello", B, "Hello", 10, 7777),
    pod("world-v1-a", "world-v1", A, "World", 11, 7778),
    pod("world-v1-b", "world-v1", B, "World", 11, 7778),
    pod("world-v2-a", "world-v2", A, "Monde", 12, 7778),
    pod("world-v2-b", "world-v2", B, "Monde", 12, 7778),
];

/// Takes the place of `world-v1-a`, on the other host.
pub(crate) const MOVED: Pod = pod("world-v1-c", "world-v1", B, "World", 13, 7778);

pub(crate) const SERVICES: [(&str, u16); 3] =
    [("hello", 7777), ("world-v1", 7778), ("world-v2", 7778)];

pub(crate) const NAMERD_HTTP: SocketAddr = loopback(4180);
pub(crate) const NAMERD_GRPC: SocketAddr = loopback(4321);
pub(crate) const NAMERD_ADMIN: SocketAddr = loopback(9991);

/// The rule that one request brings along.
pub(crate) const OVERRIDE: &str = "/host/world => /k8s/world-v2";

/// namerd's configuration, with the Kubernetes API at this address.
pub(crate) fn namerd(api: SocketAddr) -> String {
    let (ip, port) = (api.ip(), api.port());
    format!(
        "\
admin: {{ip: 127.0.0.1, port: 9991}}
storage:
  kind: io.l5d.inMemory
  namespaces:
    default: |
      /k8s        => /#/io.l5d.k8s/default/http ;
      /host       => /k8s ;
      /host/world => /k8s/world-v1 ;
      /svc        => /host ;
namers:
- {{kind: io.l5d.k8s, host: {ip}, port: {port}, startupJitter: 0}}
interfaces:
- {{kind: io.l5d.mesh, ip: 127.0.0.1, port: 4321}}
- {{kind: io.l5d.httpController, ip: 127.0.0.1, port: 4180}}
"
    )
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const fn pod(
    name: &'static str,
    service: &'static str,
    host: Host,
    text: &'static str,
    last: u8,
    port: u16,
) -> Pod {
    Pod {
        name,
        service,
        host,
        text,
        last,
        port,
        calls_world: port == 7777,
    }
}

impl Host {
    fn ip(self, last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, self.subnet, last))
    }

    /// The node proxy's pod address.
    pub(crate) fn proxy_ip(self) -> IpAddr {
        self.ip(2)
    }

    /// Where applications of this host send their requests.
    pub(crate) fn outgoing(self) -> SocketAddr {
        SocketAddr::new(self.proxy_ip(), 4140)
    }

    /// Where other hosts' proxies send theirs.
    pub(crate) fn incoming(self) -> SocketAddr {
        SocketAddr::new(self.proxy_ip(), 4141)
    }

    pub(crate) fn admin(self) -> SocketAddr {
        SocketAddr::new(self.proxy_ip(), 9990)
    }

    /// The node proxy's configuration: what a DaemonSet of Linkerd 1.x has, with namerd as interpreter.
    pub(crate) fn configuration(self) -> String {
        let ip = self.proxy_ip();
        format!(
            "\
admin: {{ip: {ip}, port: 9990}}
routers:
- protocol: http
  label: outgoing
  servers:
  - {{ip: {ip}, port: 4140}}
  interpreter:
    kind: io.l5d.mesh
    dst: /$/inet/127.0.0.1/4321
    root: /default
    transformers:
    - {{kind: io.l5d.k8s.daemonset, namespace: default, service: l5d, port: incoming}}
- protocol: http
  label: incoming
  servers:
  - {{ip: {ip}, port: 4141}}
  interpreter:
    kind: io.l5d.mesh
    dst: /$/inet/127.0.0.1/4321
    root: /default
    transformers:
    - kind: io.l5d.k8s.localnode
"
        )
    }
}

impl Pod {
    pub(crate) fn ip(self) -> IpAddr {
        self.host.ip(self.last)
    }

    pub(crate) fn addr(self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }
}
