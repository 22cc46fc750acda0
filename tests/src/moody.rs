//! An application that behaves as the path of a request says: `/bad` is answered with 500, `/hang` never, all else with 200.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Listens on a loopback port; what is given back ends it when dropped.
///
/// # Errors
/// No port is to be had.
pub async fn start() -> io::Result<(SocketAddr, AbortOnDropHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    Ok((addr, AbortOnDropHandle::new(task)))
}

/// Takes each read for a request: those of a test are short and come one by one.
async fn answer(mut stream: TcpStream) {
    let mut head = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut head).await {
        if head[..n].starts_with(b"GET /hang") {
            std::future::pending::<()>().await;
        }
        let status = match head[..n].starts_with(b"GET /bad") {
            true => "500 Bad",
            false => "200 OK",
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            break;
        }
    }
}
