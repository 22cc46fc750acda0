//! How a clear-text connection of an `h2` router begins: with HTTP/2 at once, or with an HTTP/1.1 request that asks for it
//! (`Upgrade: h2c`, RFC 7540 3.2). Anything else is told so.
//!
//! The codec knows nothing of upgrades: it gets the client's own preface and SETTINGS, behind them the request as the frames
//! that it would have come in, then what the client sends.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::about::About;
use super::connection::{LIMIT, run};
use super::prefixed::Prefixed;
use crate::connect::Stream;
use crate::connect::h2::PREFACE;
use crate::serve::connection::labels;
use crate::serve::request::Request;
use crate::serve::respond::{BESIDE_ERR, Failure, Form};
use crate::serve::wire::field::{Kind, list, values};
use crate::serve::wire::framing::Framing;
use crate::serve::wire::head::{HeadError, Version, parse_request};
use crate::serve::worker::Server;

/// How a connection begins.
enum Begin {
    Http2(Vec<u8>),
    /// The client has ended, or has nothing to say.
    Gone,
    /// What is there is answered with this.
    Refused(Failure),
}

/// Frames and their flags (RFC 9113 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The largest frame that needs no permission.
const FRAME: usize = 16_384;

/// Serves one connection; gives the number of requests that it had.
pub(crate) async fn accept(server: Rc<Server>, mut stream: Stream) -> u64 {
    let Ok(begin) = timeout(LIMIT, begin(&server, &mut stream)).await else {
        return 0;
    };
    match begin {
        Begin::Http2(before) => {
            let about = About::of(&server, &stream, labels(&server, &stream));
            run(server, Prefixed::new(before.into(), stream), about).await
        }
        Begin::Gone => 0,
        Begin::Refused(failure) => {
            server.stats.refused.inc();
            refuse(&server, &mut stream, &failure).await;
            1
        }
    }
}

async fn begin(server: &Server, stream: &mut Stream) -> Begin {
    let mut bytes = Vec::with_capacity(256);
    loop {
        let n = bytes.len().min(PREFACE.len());
        if bytes[..n] != PREFACE[..n] {
            match parse_request(&bytes, server.limits()) {
                Ok(None) => {}
                Ok(Some(head)) => {
                    let limit = server.router.config.stream_after_bytes;
                    return match Request::accept(&bytes, head, limit) {
                        Ok(request) if !stream.is_tls() => upgrade(stream, bytes, &request).await,
                        Ok(_) => Begin::Refused(Failure::http2_required()),
                        Err(failure) => Begin::Refused(failure),
                    };
                }
                // Whoever sent this does not read HTTP/1 either.
                Err(HeadError::Malformed(_)) => {
                    server.stats.refused.inc();
                    return Begin::Gone;
                }
                Err(e) => return Begin::Refused(Failure::head(e)),
            }
        } else if n == PREFACE.len() {
            return Begin::Http2(bytes);
        }
        match stream.read_buf(&mut bytes).await {
            Ok(n) if n > 0 => {}
            _ => return Begin::Gone,
        }
    }
}

/// Switches if the request asks for it as it must.
async fn upgrade(stream: &mut Stream, mut bytes: Vec<u8>, request: &Request) -> Begin {
    let frames = match frames(&bytes, request) {
        Some(frames) if asks(&bytes, request) => frames,
        _ => return Begin::Refused(Failure::http2_required()),
    };
    while bytes.len() < request.buffered_len() {
        match stream.read_buf(&mut bytes).await {
            Ok(n) if n > 0 => {}
            _ => return Begin::Gone,
        }
    }
    let mut rest = bytes.split_off(request.buffered_len());
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    if stream.write_all(switch).await.is_err() || stream.flush().await.is_err() {
        return Begin::Gone;
    }
    // The preface and one SETTINGS frame come first.
    let mut settings_end = PREFACE.len() + 9;
    loop {
        if rest.len() >= PREFACE.len() + 9 {
            let header = &rest[PREFACE.len()..PREFACE.len() + 9];
            let len =
                usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
            if header[3] != SETTINGS || len > FRAME || !rest.starts_with(PREFACE) {
                // The codec says what is wrong with it.
                return Begin::Http2(rest);
            }
            settings_end = PREFACE.len() + 9 + len;
        }
        if rest.len() >= settings_end && rest.len() >= PREFACE.len() + 9 {
            break;
        }
        match stream.read_buf(&mut rest).await {
            Ok(n) if n > 0 => {}
            _ => return Begin::Gone,
        }
    }
    let behind = rest.split_off(settings_end);
    rest.extend_from_slice(&frames);
    let body = &bytes[request.head_len..];
    if !body.is_empty() {
        put_frame(DATA, END_STREAM, body, &mut rest);
    }
    rest.extend_from_slice(&behind);
    Begin::Http2(rest)
}

/// Whether it is a valid wish for h2c (RFC 7540 3.2, 3.2.1) with a body that is read before.
fn asks(bytes: &[u8], request: &Request) -> bool {
    let is_named = |wanted: &[u8]| {
        let named = values(bytes, &request.fields, Kind::Connection);
        named.flat_map(list).any(|o| o.eq_ignore_ascii_case(wanted))
    };
    let upgrades = request.field(bytes, "upgrade").unwrap_or_default();
    let is_settings = |f: &&crate::serve::wire::field::Field| {
        f.name(bytes).eq_ignore_ascii_case(b"http2-settings")
    };
    let mut settings = request.fields.iter().filter(is_settings);
    let is_valid = settings.next().is_some_and(|f| {
        let decoded = URL_SAFE_NO_PAD.decode(f.value(bytes).trim_ascii_end());
        decoded.is_ok_and(|payload| payload.len() % 6 == 0)
    });
    request.version == Version::Http11
        && request.is_buffered
        && is_named(b"upgrade")
        && is_named(b"http2-settings")
        && list(upgrades).any(|u| u.eq_ignore_ascii_case(b"h2c"))
        && is_valid
        && settings.next().is_none()
}

/// The HEADERS frame of stream 1. `None`: too long for one.
fn frames(bytes: &[u8], request: &Request) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    let target = &bytes[request.target.clone()];
    let path = if request.adds_slash {
        [b"/", target].concat()
    } else {
        target.to_vec()
    };
    put_literal(b":method", &bytes[request.method.clone()], &mut block);
    put_literal(b":scheme", b"http", &mut block);
    put_literal(
        b":authority",
        request.host(bytes).unwrap_or_default(),
        &mut block,
    );
    put_literal(b":path", &path, &mut block);
    for field in &request.fields {
        let name = field.name(bytes).to_ascii_lowercase();
        let is_left_out = matches!(
            field.kind,
            Kind::Host | Kind::Connection | Kind::HopByHop | Kind::TransferEncoding
        ) || name == b"http2-settings";
        if !is_left_out {
            put_literal(&name, field.value(bytes), &mut block);
        }
    }
    let ends = matches!(request.framing, Framing::None | Framing::Length(0));
    let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
    let mut frames = Vec::new();
    put_frame(HEADERS, flags, &block, &mut frames);
    (block.len() <= FRAME).then_some(frames)
}

/// A frame of stream 1.
fn put_frame(kind: u8, flags: u8, payload: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    out.extend_from_slice(&len[1..]);
    out.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
    out.extend_from_slice(payload);
}

/// A field that leaves the compression table alone (RFC 7541 6.2.2).
fn put_literal(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.push(0);
    for text in [name, value] {
        let mut len = text.len();
        if len < 127 {
            out.push(len as u8);
        } else {
            out.push(127);
            len -= 127;
            while len >= 128 {
                out.push(len as u8 & 127 | 128);
                len >>= 7;
            }
            out.push(len as u8);
        }
        out.extend_from_slice(text);
    }
}

async fn refuse(server: &Server, stream: &mut Stream, failure: &Failure) {
    server.stats.failures.count(failure.reason);
    let config = &server.router.config;
    let form = Form {
        via: &config.via,
        version: Version::Http11,
        to_head: false,
        keep_alive: false,
        clear_context: server.config.clear_context,
        max_err: config.max_headers_bytes.saturating_sub(BESIDE_ERR),
        max_body: config.max_err_response_bytes,
    };
    let mut out = Vec::new();
    failure.write(form, &mut out);
    // A client that does not listen misses it.
    let _ = stream.write_all(&out).await;
    crate::serve::connection::linger(stream).await;
}
