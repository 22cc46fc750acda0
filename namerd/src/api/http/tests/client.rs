//! A small HTTP/1.1 client that shows what is on the wire.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub(super) struct Client(BufReader<TcpStream>);

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub(super) async fn open(addr: SocketAddr) -> Self {
        Self(BufReader::new(
            TcpStream::connect(addr).await.expect("connects"),
        ))
    }

    /// A request and its whole answer.
    pub(super) async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let mut answer = self.begin(method, target, headers, body).await;
        if method == "HEAD" || matches!(answer.status, 204 | 304) {
            return answer;
        }
        if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                answer.body.push_str(&chunk);
            }
            return answer;
        }
        let length = answer
            .header("content-length")
            .expect("a length")
            .parse()
            .expect("a number");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("the body");
        answer.body = String::from_utf8(body).expect("text");
        answer
    }

    /// A request and the head of its answer.
    pub(super) async fn begin(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let length = if body.is_empty() || headers.contains("Transfer-Encoding") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let text = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n{body}");
        self.0.write_all(text.as_bytes()).await.expect("writes");
        let status = self.line().await;
        let status = status
            .split(' ')
            .nth(1)
            .expect("a status")
            .parse()
            .expect("a number");
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Answer {
            status,
            headers,
            body: String::new(),
        }
    }

    /// The next chunk; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Option<String> {
        let size = self.line().await;
        let size = usize::from_str_radix(&size, 16).expect("a size");
        let mut data = vec![0; size + 2];
        self.0.read_exact(&mut data).await.expect("a chunk");
        data.truncate(size);
        (size > 0).then(|| String::from_utf8(data).expect("text"))
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.expect("a line");
        line.trim_end().to_owned()
    }
}
