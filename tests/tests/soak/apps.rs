//! Pods that answer with who they are, until they are told to behave badly.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use l5d_tests::objects;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// All pods listen on it, at addresses of their own.
pub(crate) const PORT: u16 = 7777;

/// How a pod behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    Good,
    /// Answers 500.
    Fails,
    /// Resets the connection instead of answering.
    Resets,
    /// Takes requests and never answers while it lasts.
    Stalls,
}

/// All pods that run.
pub(crate) struct Pods {
    net: [u8; 3],
    next: u8,
    running: BTreeMap<String, Running>,
}

struct Running {
    host: u8,
    ip: IpAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    service: &'static str,
    pod: String,
    mood: AtomicU8,
    requests: AtomicU64,
}

impl Pods {
    pub(crate) fn new(net: [u8; 3]) -> Self {
        Self {
            net,
            next: 20,
            running: BTreeMap::new(),
        }
    }

    /// Starts one more; gives it as it is to be listed.
    pub(crate) async fn start(&mut self, service: &'static str, host: u8) -> Result<objects::Pod> {
        // Addresses come back after a while, as in a cluster.
        self.next = if self.next >= 250 { 20 } else { self.next + 1 };
        let ip = IpAddr::from([self.net[0], self.net[1], self.net[2], self.next]);
        let pod = format!("{service}-{}", self.next);
        let shared = Arc::new(Shared {
            service,
            pod: pod.clone(),
            mood: AtomicU8::new(Mood::Good as u8),
            requests: AtomicU64::new(0),
        });
        let listener = TcpListener::bind((ip, PORT))
            .await
            .context("a pod's address")?;
        let task = AbortOnDropHandle::new(tokio::spawn(accept(listener, shared.clone())));
        let running = Running {
            host,
            ip,
            shared,
            _task: task,
        };
        self.running.insert(pod.clone(), running);
        Ok(objects::Pod::new(pod, ip, format!("node-{host}")))
    }

    /// The pods of a service, with their hosts.
    pub(crate) fn of(&self, service: &str) -> Vec<(String, u8)> {
        let of = self
            .running
            .iter()
            .filter(|(_, r)| r.shared.service == service);
        of.map(|(pod, r)| (pod.clone(), r.host)).collect()
    }

    pub(crate) fn set(&self, pod: &str, mood: Mood) {
        self.running[pod]
            .shared
            .mood
            .store(mood as u8, Ordering::Relaxed);
    }

    /// Requests that a pod has read.
    pub(crate) fn requests(&self, pod: &str) -> u64 {
        self.running[pod].shared.requests.load(Ordering::Relaxed)
    }

    /// Ends a pod as a crash does.
    pub(crate) fn kill(&mut self, pod: &str) -> Option<IpAddr> {
        self.running.remove(pod).map(|gone| gone.ip)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    open.spawn(converse(stream, shared.clone()));
                }
            }
            Some(_) = open.join_next() => {}
        }
    }
}

async fn converse(mut stream: TcpStream, shared: Arc<Shared>) {
    // A peer that is gone is no fault of a pod.
    let _ = serve(&mut stream, &shared).await;
    if shared.mood() == Mood::Resets {
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

impl Shared {
    fn mood(&self) -> Mood {
        let moods = [Mood::Good, Mood::Fails, Mood::Resets, Mood::Stalls];
        moods[usize::from(self.mood.load(Ordering::Relaxed))]
    }
}

/// Requests one after the other, each answered with the service, the pod, the request's number and the length of its body.
async fn serve(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let mut buf = Vec::new();
    loop {
        let Some((head, body)) = message(stream, &mut buf).await? else {
            return Ok(());
        };
        shared.requests.fetch_add(1, Ordering::Relaxed);
        let field = |name: &str| value(&head, name).unwrap_or_default().to_owned();
        let status = match shared.mood() {
            Mood::Resets => return Ok(()),
            Mood::Good => "200 OK",
            Mood::Fails => "500 No",
            Mood::Stalls => {
                while shared.mood() == Mood::Stalls {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                "200 OK"
            }
        };
        let said = format!(
            "{} {} {} {}",
            shared.service,
            shared.pod,
            field("x-number"),
            body.len()
        );
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{said}",
            said.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// A message with a body of a length that is told, or none; `None`: the peer has ended.
pub(crate) async fn message(
    stream: &mut TcpStream,
    buf: &mut Vec<u8>,
) -> io::Result<Option<(String, Vec<u8>)>> {
    let end = loop {
        if let Some(at) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buf).await? == 0 {
            let is_cut = !buf.is_empty();
            return if is_cut { Err(cut()) } else { Ok(None) };
        }
    };
    let rest = buf.split_off(end);
    let head = String::from_utf8_lossy(&std::mem::replace(buf, rest)).into_owned();
    let len = value(&head, "content-length")
        .and_then(|v| v.parse().ok())
        .unwrap_or(0);
    while buf.len() < len {
        if stream.read_buf(buf).await? == 0 {
            return Err(cut());
        }
    }
    let rest = buf.split_off(len);
    Ok(Some((head, std::mem::replace(buf, rest))))
}

fn cut() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "cut in the middle of a message",
    )
}

/// The first value of a field.
pub(crate) fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut values = fields.filter(|(n, _)| n.eq_ignore_ascii_case(name));
    values.next().map(|(_, v)| v.trim())
}

/// One request over a new connection; the status and the body.
pub(crate) async fn ask(proxy: SocketAddr, service: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(proxy).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {service}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let answer = message(&mut stream, &mut Vec::new()).await?;
    let (head, body) = answer.ok_or_else(cut)?;
    Ok((status(&head), String::from_utf8_lossy(&body).into_owned()))
}

/// 0: none.
pub(crate) fn status(head: &str) -> u16 {
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or(0)
}
