//! Connections that do nothing: what does each take?

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Connections that are held.
pub(super) const CONNECTIONS: usize = 1_000;
/// For buffers to be given back.
const REST: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens connections, has a request answered on each, all at once, and leaves them alone.
pub(super) fn hold(addr: SocketAddr) -> Result<Vec<TcpStream>> {
    let mut all = Vec::new();
    for n in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(addr).with_context(|| format!("connection {n}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /small HTTP/1.1\r\nHost: web\r\n\r\n")?;
        all.push(stream);
    }
    let mut answer = [0; 4096];
    for (n, stream) in all.iter_mut().enumerate() {
        match stream
            .read(&mut answer)
            .with_context(|| format!("connection {n}"))?
        {
            0 => bail!("connection {n} was closed"),
            _ if !answer.starts_with(b"HTTP/1.1 200") => {
                bail!("connection {n} was not answered with 200")
            }
            _ => {}
        }
    }
    std::thread::sleep(REST);
    Ok(all)
}
