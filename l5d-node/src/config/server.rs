//! `servers`: listeners, and what connections of any kind have in common (node-proxy 4).

use std::net::SocketAddr;
use std::time::Duration;

use l5d_tls::ServerTls;

/// One listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where; port 0 asks the system for one.
    pub addr: SocketAddr,
    /// `<ip>/<port>` as configured, for metrics.
    pub label: String,
    /// `tls` (14.1); `None`: in clear text.
    pub tls: Option<ServerTls>,
    /// Whether context from outside is removed (8.5).
    pub clear_context: bool,
    /// More `Via` elements than this are refused (8.6).
    pub max_call_depth: usize,
    /// `maxConcurrentRequests` (13.9): more are answered 503 at once.
    pub max_concurrent_requests: Option<usize>,
    /// `timeoutMs`: of a whole request, to the response head.
    pub timeout: Option<Duration>,
    /// `socketOptions` (4.2)
    pub socket: SocketOptions,
    /// `serverSession`: a connection is closed gracefully beyond these.
    pub session: SessionLimits,
    /// `addForwardedHeader` (8.7)
    pub forwarded: Option<Forwarded>,
    /// `timestampHeader`: a request field with the time in milliseconds, added to those that are there.
    pub timestamp_header: Option<String>,
    /// HTTP/2 settings (4.1).
    pub h2: H2Settings,
}

/// `socketOptions` (4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// `noDelay`
    pub no_delay: bool,
    /// `reuseAddr`
    pub reuse_addr: bool,
    /// `reusePort`: two processes may listen at once, so that a new one takes over from an old one.
    pub reuse_port: bool,
    /// `readTimeoutMs`: longest wait for bytes while some are due.
    pub read_timeout: Option<Duration>,
    /// `writeTimeoutMs`: longest wait for the peer to take bytes.
    pub write_timeout: Option<Duration>,
    /// `keepAlive`: TCP's; `None`: as the system has it.
    pub keep_alive: Option<bool>,
    /// `backlog`, of listeners; `None`: our own.
    pub backlog: Option<u32>,
}

/// `serverSession`, `clientSession`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// `idleTimeMs`
    pub idle: Option<Duration>,
    /// `lifeTimeMs`
    pub life: Option<Duration>,
}

/// HTTP/2 settings (4.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct H2Settings {
    /// `initialStreamWindowBytes`
    pub stream_window: u32,
    /// `initialConnectionWindowBytes` (ours)
    pub connection_window: u32,
    /// `headerTableBytes`; `None`: the protocol's.
    pub header_table: Option<u32>,
    /// `maxFrameBytes`; `None`: the protocol's.
    pub max_frame: Option<u32>,
    /// `maxHeaderListBytes`; `None`: of servers the router's `maxHeadersKB`, if it has one, else our own; of clients 16 MiB.
    pub max_header_list: Option<u32>,
    /// `maxConcurrentStreamsPerConnection`, of servers.
    pub max_streams: u32,
    /// `pingIntervalMs` (ours): without a frame for this long, while streams are open, the peer is asked (10.3).
    pub ping_interval: Duration,
    /// `pingTimeoutMs` (ours): without an answer for this long the connection is closed.
    pub ping_timeout: Duration,
}

/// `addForwardedHeader` (8.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// `by`
    pub by: Labeler,
    /// `for`
    pub from: Labeler,
}

/// What stands for an address in `Forwarded` (8.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Labeler {
    /// `ip`
    Ip,
    /// `ip:port`
    IpPort,
    /// `requestRandom`: new for each request.
    #[default]
    RequestRandom,
    /// `connectionRandom`: one for each connection.
    ConnectionRandom,
    /// `router`: `_` and the router's label.
    Router,
    /// `static`: this label, which begins with `_`.
    Static(String),
}

impl Default for Server {
    /// A listener on loopback, port 0.
    fn default() -> Self {
        Self {
            addr: ([127, 0, 0, 1], 0).into(),
            label: "127.0.0.1/0".to_owned(),
            tls: None,
            clear_context: false,
            max_call_depth: 1000,
            max_concurrent_requests: None,
            timeout: None,
            socket: SocketOptions::default(),
            session: SessionLimits::default(),
            forwarded: None,
            timestamp_header: None,
            h2: H2Settings::default(),
        }
    }
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            no_delay: true,
            reuse_addr: true,
            reuse_port: false,
            read_timeout: None,
            write_timeout: None,
            keep_alive: None,
            backlog: None,
        }
    }
}

impl Default for H2Settings {
    fn default() -> Self {
        Self {
            stream_window: 65_535,
            connection_window: 1 << 20,
            header_table: None,
            max_frame: None,
            max_header_list: None,
            max_streams: 1000,
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(3),
        }
    }
}
