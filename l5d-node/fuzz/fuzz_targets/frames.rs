//! Any bytes where an endpoint's frames should be, in pieces of any size: nothing that is taken for a head has a line that was
//! not one, no more of a body is held than the windows allow, and what is written stays bounded.
#![no_main]
#![allow(dead_code, unreachable_pub)]

#[path = "../../src/connect/h2/engine/mod.rs"]
mod engine;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use engine::{Local, Opener, Part, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const WINDOW: u32 = 65_535;
const LOCAL: Local = Local {
    stream_window: WINDOW,
    connection_window: 4 * WINDOW,
    max_frame: None,
    max_header_list: Some(2_048),
    header_table: Some(512),
};
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const REQUEST: &[u8] = b"POST /a HTTP/1.1\r\nHost: web\r\nX-A: b\r\n\r\n";

/// Gives the input in pieces, takes all that is written.
struct Io<'a> {
    bytes: &'a [u8],
    piece: usize,
    written: usize,
}

impl AsyncRead for Io<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let n = this.bytes.len().min(this.piece).min(buf.remaining());
        if n == 0 {
            return Poll::Pending;
        }
        buf.put_slice(&this.bytes[..n]);
        this.bytes = &this.bytes[n..];
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().written += buf.len();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn open(opener: &Opener, ends: bool) -> Option<Stream> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut opening = opener.open(REQUEST, &[("te", "trailers")], (ends, false));
    match Pin::new(&mut opening).poll(&mut cx) {
        Poll::Ready(Ok(stream)) => Some(stream),
        _ => None,
    }
}

fn take(stream: &Stream, releases: bool) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok(head)) = stream.poll_head(&mut cx) {
        let text = head.text;
        assert!(text.starts_with(b"HTTP/1.1 ") && text.ends_with(b"\r\n\r\n"));
        let lines = text[..text.len() - 2].split(|b| *b == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            // Each line ends as lines do, and none is empty or has an end inside.
            let line = line.strip_suffix(b"\r").expect("a whole line");
            assert!(!line.is_empty() && !line.contains(&b'\r') && !line.contains(&0));
        }
    }
    let mut held = 0;
    loop {
        match stream.poll_part(&mut cx) {
            Poll::Ready(Ok(Part::Data(bytes, ends))) => {
                held += bytes.len();
                if releases {
                    stream.release(bytes.len());
                }
                if ends {
                    break;
                }
            }
            _ => break,
        }
    }
    assert!(held <= WINDOW as usize);
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((how, frames)) = bytes.split_first() else {
        return;
    };
    let input = [SETTINGS, frames].concat();
    let io = Io {
        bytes: &input,
        piece: 1 << (how & 15),
        written: 0,
    };
    let (opener, mut driver) = engine::begin(io, LOCAL);
    let mut cx = Context::from_waker(Waker::noop());
    let _ = driver.poll(&mut cx);
    let streams = [open(&opener, true), open(&opener, false), open(&opener, false)];
    let mut more = Bytes::from_static(&[0; 1000]);
    for _ in 0..3 {
        if driver.poll(&mut cx).is_ready() {
            break;
        }
        streams.iter().flatten().for_each(|stream| take(stream, how & 16 == 0));
        if let Some(stream) = &streams[1] {
            let _ = stream.poll_send(&mut cx, &mut more, how & 32 == 0);
        }
    }
    drop((streams, opener));
    let _ = driver.poll(&mut cx);
});
