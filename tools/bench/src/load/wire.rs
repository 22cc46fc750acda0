//! A gRPC client's end of one HTTP/2 connection, as thin as can be: thousands of them share a core with what they measure.
//!
//! Every byte read is counted, also the frames that carry no message. It sends whole requests and messages within the first
//! window and reads streams without an end; what it does not need of HTTP/2 (compressed headers of answers, priorities, its
//! own flow control) is left out.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const FRAME_HEAD: usize = 9;
const MESSAGE_HEAD: usize = 5;
const MAX_FRAME: usize = 16 << 10;
/// What a stream may send before it hears of us; the window that the specification gives a node's stream.
const STREAM_WINDOW: u32 = 64 << 10;
/// The same for all streams.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What HTTP/2 gives a connection in the beginning.
const FIRST_WINDOW: u32 = 65_535;

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    socket: TcpStream,
    input: BytesMut,
    output: BytesMut,
    /// Half-read messages, by stream; streams have odd numbers from 1.
    streams: Vec<Stream>,
    unacknowledged: u32,
    /// Counted since the last look.
    pub(super) bytes_down: u64,
    pub(super) bytes_up: u64,
    pub(super) bytes_idle: u64,
    pub(super) reads: u64,
}

#[derive(Debug, Default)]
struct Stream {
    rest: BytesMut,
    unacknowledged: u32,
}

impl Wire {
    /// Connects and says hello.
    pub(super) async fn connect(to: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(to).await?;
        socket.set_nodelay(true)?;
        let mut wire = Self {
            socket,
            input: BytesMut::new(),
            output: BytesMut::new(),
            streams: Vec::new(),
            unacknowledged: 0,
            bytes_down: 0,
            bytes_up: 0,
            bytes_idle: 0,
            reads: 0,
        };
        wire.output.put_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // SETTINGS_INITIAL_WINDOW_SIZE, SETTINGS_HEADER_TABLE_SIZE.
        let mut settings = Vec::new();
        settings.put_u16(4);
        settings.put_u32(STREAM_WINDOW);
        settings.put_u16(1);
        settings.put_u32(0);
        wire.frame(SETTINGS, 0, 0, &settings);
        wire.window(0, CONNECTION_WINDOW - FIRST_WINDOW);
        Ok(wire)
    }

    /// Begins a call with its first messages; gives its index, from 0 in the order of calls.
    pub(super) fn call<M: Message>(
        &mut self,
        path: &str,
        authority: &str,
        messages: &[M],
    ) -> usize {
        let index = self.streams.len();
        self.streams.push(Stream::default());
        let mut head = vec![0x83, 0x86];
        let mut field = |name: &[u8], value: &str| {
            head.extend_from_slice(name);
            head.push(value.len() as u8);
            head.extend_from_slice(value.as_bytes());
        };
        assert!(
            path.len() < 127 && authority.len() < 127,
            "one byte holds a length"
        );
        // Literals that are not indexed, with indexed names but for `te`.
        field(&[0x04], path);
        field(&[0x01], authority);
        field(&[0x0f, 0x10], "application/grpc");
        field(&[0x00, 2, b't', b'e'], "trailers");
        self.frame(HEADERS, END_HEADERS, number(index), &head);
        messages
            .iter()
            .for_each(|message| self.message(index, message));
        index
    }

    /// One more message of a call.
    pub(super) fn message(&mut self, call: usize, message: &impl Message) {
        let len = message.encoded_len();
        let mut body = BytesMut::with_capacity(MESSAGE_HEAD + len);
        body.put_u8(0);
        body.put_u32(len as u32);
        message
            .encode(&mut body)
            .expect("a growing buffer has room");
        for part in body.chunks(MAX_FRAME) {
            self.frame(DATA, 0, number(call), part);
        }
    }

    /// No more messages of a call: a server waits for that where a method takes one only.
    pub(super) fn close(&mut self, call: usize) {
        self.frame(DATA, END_STREAM, number(call), &[]);
    }

    /// Writes what there is to write.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.bytes_up += self.output.len() as u64;
        while !self.output.is_empty() {
            self.socket.write_all_buf(&mut self.output).await?;
        }
        Ok(())
    }

    /// Waits for bytes and hands on the messages that are complete: the call's index and the message. Cancel safe. An error
    /// ends the connection.
    pub(super) async fn read(&mut self, mut take: impl FnMut(usize, Bytes)) -> io::Result<()> {
        self.socket.readable().await?;
        self.input.reserve(4 << 10);
        let read = match self.socket.try_read_buf(&mut self.input) {
            Ok(0) => return Err(io::Error::other("the server closed the connection")),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        self.bytes_down += read as u64;
        self.reads += 1;
        while let Some(frame) = self.take_frame() {
            self.hear(frame, &mut take)?;
        }
        if self.input.is_empty() {
            // The buffer of an idle connection is given back.
            self.input = BytesMut::new();
        }
        Ok(())
    }

    fn take_frame(&mut self) -> Option<(u8, u8, u32, Bytes)> {
        let head = self.input.get(..FRAME_HEAD)?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        if self.input.len() < FRAME_HEAD + len {
            return None;
        }
        let mut frame = self.input.split_to(FRAME_HEAD + len).freeze();
        frame.advance(FRAME_HEAD);
        Some((kind, flags, stream, frame))
    }

    fn hear(
        &mut self,
        (kind, flags, stream, frame): (u8, u8, u32, Bytes),
        take: &mut impl FnMut(usize, Bytes),
    ) -> io::Result<()> {
        match kind {
            DATA => self.data(flags, stream, frame, take)?,
            HEADERS | RST_STREAM if kind == RST_STREAM || flags & END_STREAM != 0 => {
                let text = String::from_utf8_lossy(&frame).into_owned();
                return Err(io::Error::other(format!("a stream was ended: {text:?}")));
            }
            SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => {
                self.bytes_idle += (FRAME_HEAD + frame.len()) as u64;
                self.frame(PING, ACK, 0, &frame);
            }
            GOAWAY => {
                let code = frame.get(4..8).unwrap_or(&[]);
                let text = String::from_utf8_lossy(frame.get(8..).unwrap_or(&[]));
                let why = format!("the server goes away: code {code:?} {text:?}");
                return Err(io::Error::other(why));
            }
            _ => {}
        }
        Ok(())
    }

    fn data(
        &mut self,
        flags: u8,
        number: u32,
        frame: Bytes,
        take: &mut impl FnMut(usize, Bytes),
    ) -> io::Result<()> {
        let index = (number as usize).saturating_sub(1) / 2;
        let len = frame.len() as u32;
        let Some(stream) = self.streams.get_mut(index).filter(|_| flags & PADDED == 0) else {
            return Err(io::Error::other("a frame that nobody asked for"));
        };
        let mut whole = match stream.rest.is_empty() {
            // Nearly always: whole messages in one frame, which are not copied.
            true => frame,
            false => {
                stream.rest.extend_from_slice(&frame);
                std::mem::take(&mut stream.rest).freeze()
            }
        };
        while whole.len() >= MESSAGE_HEAD {
            let len = u32::from_be_bytes([whole[1], whole[2], whole[3], whole[4]]) as usize;
            if whole.len() < MESSAGE_HEAD + len {
                break;
            }
            whole.advance(MESSAGE_HEAD);
            take(index, whole.split_to(len));
        }
        if !whole.is_empty() {
            stream.rest = BytesMut::from(&whole[..]);
        }
        stream.unacknowledged += len;
        let more = stream.unacknowledged;
        if more > STREAM_WINDOW / 2 {
            stream.unacknowledged = 0;
            self.window(number, more);
        }
        self.unacknowledged += len;
        if self.unacknowledged > CONNECTION_WINDOW / 2 {
            let more = std::mem::take(&mut self.unacknowledged);
            self.window(0, more);
        }
        Ok(())
    }

    fn window(&mut self, stream: u32, more: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, body: &[u8]) {
        let len = (body.len() as u32).to_be_bytes();
        self.output.put_slice(&len[1..]);
        self.output.put_slice(&[kind, flags]);
        self.output.put_u32(stream);
        self.output.put_slice(body);
    }
}

/// Bytes of a message on the wire, if it has a frame of its own.
pub(super) fn alone(message: &[u8]) -> u64 {
    (FRAME_HEAD + MESSAGE_HEAD + message.len()) as u64
}

/// A call's number on the wire.
fn number(call: usize) -> u32 {
    call as u32 * 2 + 1
}
