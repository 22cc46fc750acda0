//! What a connection knows, and what the frames that come do to it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::task::Waker;

use h2::Reason;

use super::frame::{self, Header};
use super::head::{Reading, Trailers};
use super::hpack::{Decoder, Encoder};
use super::state::State;
use super::{Fail, Local};

/// A connection's state.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) peer: Peer,
    /// Frames that wait to be written.
    pub(super) out: Vec<u8>,
    pub(super) encoder: Encoder,
    pub(super) streams: HashMap<u32, State, foldhash::fast::RandomState>,
    /// Streams that the peer counts.
    pub(super) open: usize,
    pub(super) next_id: u32,
    pub(super) window: i64,
    /// Streams with room of their own that wait for the connection's, or for what is written to leave; the longest first.
    pub(super) blocked: VecDeque<u32>,
    /// Who waits to open a stream and was not told of room since, the longest first.
    pub(super) openers: BTreeMap<u64, Waker>,
    pub(super) next_ticket: u64,
    /// Nobody can open one any more.
    pub(super) has_no_opener: bool,
    /// The last stream that a peer that goes away has looked at.
    pub(super) last: Option<u32>,
    /// Why there is nothing more to come.
    pub(super) end: Option<Fail>,
    /// Something has come since it was asked last, and the answer to a PING.
    pub(super) has_heard: bool,
    pub(super) has_pong: bool,
    local: Local,
    decoder: Decoder,
    /// What the peer may still send, and what of its window was used up and taken since it was told.
    receive_window: i64,
    unreleased: u32,
    block: Option<Block>,
    driver: Option<Waker>,
    is_awake: bool,
    has_preface: bool,
}

/// What the peer has said of itself.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) window: i64,
    pub(super) max_frame: usize,
    /// `None`: it has not said anything yet.
    pub(super) max_streams: Option<usize>,
}

/// A header block that goes on in the next frame.
#[derive(Debug)]
struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
    frames: usize,
}

/// The last id that a client can use.
const LAST_ID: u32 = (1 << 31) - 1;
/// Bytes that may wait to be written: while there are more, heads and bodies wait and nothing is read.
pub(super) const MOST_OUT: usize = 64 << 10;
/// A head's bytes, if nobody has said less.
const MOST_LIST: u32 = 16 << 20;
/// Interim heads of a stream that wait to be taken, or pieces of a header block, beyond what their bytes justify.
pub(super) const MANY: usize = 32;
/// How many of those that wait are told that there is room: each will use some.
const TURN: usize = 64;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Core {
    pub(super) fn new(local: Local) -> Self {
        let mut out = PREFACE.to_vec();
        let mut settings = Vec::new();
        let all = [
            (frame::ENABLE_PUSH, Some(0)),
            (frame::INITIAL_WINDOW, Some(local.stream_window)),
            (frame::FRAME_SIZE, local.max_frame),
            (frame::HEADER_LIST, local.max_header_list),
            (frame::HEADER_TABLE, local.header_table),
        ];
        for (id, value) in all {
            if let Some(value) = value {
                settings.extend_from_slice(&id.to_be_bytes());
                settings.extend_from_slice(&u32::to_be_bytes(value));
            }
        }
        frame::put(frame::SETTINGS, 0, 0, &settings, &mut out);
        let more = local.connection_window.saturating_sub(frame::WINDOW);
        if more > 0 {
            frame::put(frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes(), &mut out);
        }
        Self {
            peer: Peer {
                window: frame::WINDOW.into(),
                max_frame: frame::MAX_FRAME,
                max_streams: None,
            },
            out,
            encoder: Encoder::default(),
            streams: HashMap::default(),
            open: 0,
            next_id: 1,
            window: frame::WINDOW.into(),
            blocked: VecDeque::new(),
            openers: BTreeMap::new(),
            next_ticket: 0,
            has_no_opener: false,
            last: None,
            end: None,
            has_heard: false,
            has_pong: false,
            decoder: Decoder::new(local.header_table.unwrap_or(4096) as usize),
            receive_window: local.connection_window.max(frame::WINDOW).into(),
            unreleased: 0,
            block: None,
            driver: None,
            is_awake: false,
            has_preface: false,
            local,
        }
    }

    /// The driver is being polled: it will see what is put now.
    pub(super) fn attend(&mut self, waker: &Waker) {
        self.is_awake = true;
        match &mut self.driver {
            Some(known) => known.clone_from(waker),
            None => self.driver = Some(waker.clone()),
        }
    }

    /// It waits from now on.
    pub(super) fn rest(&mut self) {
        self.is_awake = false;
    }

    /// There is something for the driver to do.
    pub(super) fn kick(&mut self) {
        if !std::mem::replace(&mut self.is_awake, true)
            && let Some(driver) = &self.driver
        {
            driver.wake_by_ref();
        }
    }

    /// Appends a frame.
    pub(super) fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        frame::put(kind, flags, stream, payload, &mut self.out);
        self.kick();
    }

    /// Tells the first of those that wait and can use it that there is room again.
    pub(super) fn wake_blocked(&mut self) {
        if self.window <= 0 {
            return;
        }
        let mut told = 0;
        for id in &self.blocked {
            let state = self.streams.get_mut(id);
            let state = state.filter(|s| s.fail.is_none() && !s.is_reset && s.window > 0);
            if let Some(state) = state {
                state.wake();
                told += 1;
            }
            if told == TURN {
                break;
            }
        }
    }

    /// Whether nobody can open a stream any more.
    pub(super) fn is_closed(&self) -> bool {
        self.end.is_some() || self.last.is_some() || self.next_id > LAST_ID
    }

    /// How many streams can be opened now: as the peer says, and none while too much waits to be written.
    pub(super) fn room(&self) -> usize {
        match self.out.len() {
            MOST_OUT.. => 0,
            _ => self.peer.max_streams.unwrap_or(0).saturating_sub(self.open),
        }
    }

    /// Tells as many of those who wait as there is room for; all of them if there will be none.
    pub(super) fn wake_openers(&mut self) {
        let mut room = if self.is_closed() {
            usize::MAX
        } else {
            self.room()
        };
        while room > 0
            && let Some((_, waker)) = self.openers.pop_first()
        {
            waker.wake();
            room -= 1;
        }
    }

    /// If both sides of a stream have ended, there is room for another.
    pub(super) fn settle(&mut self, id: u32) {
        if let Some(state) = self.streams.get_mut(&id)
            && state.settle(&mut self.open)
        {
            self.wake_openers();
        }
    }

    /// Ends all streams so, and whatever comes later.
    pub(super) fn fail(&mut self, fail: Fail) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(fail);
        self.wake_openers();
        for state in self.streams.values_mut() {
            state.fail(fail, &mut self.open);
        }
    }

    /// Whether nobody needs the connection any more.
    pub(super) fn is_done(&self) -> bool {
        self.streams.is_empty() && (self.has_no_opener || self.last.is_some())
    }

    /// Resets a stream for what the peer has done.
    pub(super) fn refuse(&mut self, id: u32, reason: Reason) {
        self.put(frame::RST_STREAM, 0, id, &u32::from(reason).to_be_bytes());
        if let Some(state) = self.streams.get_mut(&id) {
            state.is_reset = true;
            state.fail(Fail::Protocol(reason), &mut self.open);
        }
        self.wake_openers();
    }

    /// Takes whole frames from the beginning of `bytes`; gives how many bytes that were. An error ends the connection.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        self.has_heard = true;
        let mut rest = bytes;
        while let Some(header) = Header::read(rest) {
            if header.len > self.max_frame() {
                return Err(Reason::FRAME_SIZE_ERROR);
            }
            let Some(payload) = rest.get(frame::HEADER..frame::HEADER + header.len) else {
                break;
            };
            rest = &rest[frame::HEADER + header.len..];
            self.take(header, payload)?;
        }
        Ok(bytes.len() - rest.len())
    }

    fn max_frame(&self) -> usize {
        let said = self.local.max_frame.unwrap_or(0) as usize;
        said.max(frame::MAX_FRAME)
    }

    fn take(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        if let Some(block) = &self.block
            && (header.kind != frame::CONTINUATION || header.stream != block.stream)
        {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let is_settings = header.kind == frame::SETTINGS && header.flags & frame::ACK == 0;
        if !std::mem::replace(&mut self.has_preface, true) && !is_settings {
            return Err(Reason::PROTOCOL_ERROR);
        }
        match header.kind {
            frame::DATA => self.data(header, payload),
            frame::HEADERS => self.headers(header, payload),
            frame::CONTINUATION => self.continuation(header, payload),
            frame::SETTINGS => self.settings(header, payload),
            frame::WINDOW_UPDATE => self.window_update(header, payload),
            frame::RST_STREAM => self.reset(header, payload),
            frame::GOAWAY => self.goaway(header, payload),
            frame::PING => self.ping(header, payload),
            frame::PRIORITY if header.stream == 0 => Err(Reason::PROTOCOL_ERROR),
            frame::PRIORITY if payload.len() != 5 => Err(Reason::FRAME_SIZE_ERROR),
            // Forbidden by our settings.
            frame::PUSH_PROMISE => Err(Reason::PROTOCOL_ERROR),
            _ => Ok(()),
        }
    }

    /// An error if the stream was never opened.
    pub(super) fn check_id(&self, id: u32) -> Result<(), Reason> {
        if id.is_multiple_of(2) || id >= self.next_id {
            return Err(Reason::PROTOCOL_ERROR);
        }
        Ok(())
    }

    fn data(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        let id = header.stream;
        self.check_id(id)?;
        let data = header.strip(payload).ok_or(Reason::PROTOCOL_ERROR)?;
        let len = payload.len() as u32;
        self.receive_window -= i64::from(len);
        if self.receive_window < 0 {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let state = self
            .streams
            .get_mut(&id)
            .filter(|s| s.fail.is_none() && !s.is_reset);
        let Some(state) = state else {
            // Of a stream that nobody wants any more.
            self.give_back(len);
            return Ok(());
        };
        state.receive_window -= i64::from(len);
        state.held += len;
        let fault = if state.end.is_some() {
            Some(Reason::STREAM_CLOSED)
        } else if state.receive_window < 0 {
            Some(Reason::FLOW_CONTROL_ERROR)
        } else if !state.has_final {
            Some(Reason::PROTOCOL_ERROR)
        } else {
            state.body(data, header.flags & frame::END_STREAM != 0)
        };
        if let Some(reason) = fault {
            self.refuse(id, reason);
            return Ok(());
        }
        state.wake();
        self.settle(id);
        // Padding takes no room.
        self.release(id, len - data.len() as u32);
        Ok(())
    }

    /// What a stream has taken: the peer may send as much again.
    pub(super) fn release(&mut self, id: u32, bytes: u32) {
        if bytes == 0 {
            return;
        }
        let limit = self.local.stream_window / 2;
        let mut bytes = bytes;
        let mut update = None;
        if let Some(state) = self.streams.get_mut(&id) {
            bytes = bytes.min(state.held);
            state.held -= bytes;
            state.unreleased += bytes;
            let is_over = state.end.is_some() || state.fail.is_some() || state.is_reset;
            if state.unreleased > limit && !is_over {
                let more = std::mem::take(&mut state.unreleased);
                state.receive_window += i64::from(more);
                update = Some(more);
            }
        }
        if let Some(more) = update {
            self.put(frame::WINDOW_UPDATE, 0, id, &more.to_be_bytes());
        }
        self.give_back(bytes);
    }

    /// The connection's part of it.
    fn give_back(&mut self, bytes: u32) {
        self.unreleased += bytes;
        if self.unreleased > self.local.connection_window.max(frame::WINDOW) / 2 {
            let more = std::mem::take(&mut self.unreleased);
            self.receive_window += i64::from(more);
            self.put(frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
    }

    fn headers(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        self.check_id(header.stream)?;
        let block = header.strip(payload).ok_or(Reason::PROTOCOL_ERROR)?;
        let ends = header.flags & frame::END_STREAM != 0;
        if header.flags & frame::END_HEADERS != 0 {
            return self.block(header.stream, ends, block);
        }
        self.block = Some(Block {
            stream: header.stream,
            ends,
            bytes: block.to_vec(),
            frames: 1,
        });
        Ok(())
    }

    fn continuation(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        let Some(mut block) = self.block.take() else {
            return Err(Reason::PROTOCOL_ERROR);
        };
        block.bytes.extend_from_slice(payload);
        block.frames += 1;
        let is_large = block.bytes.len() > self.max_list() + frame::MAX_FRAME;
        if is_large || block.frames > MANY + (block.bytes.len() >> 10) {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        if header.flags & frame::END_HEADERS != 0 {
            return self.block(block.stream, block.ends, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    fn max_list(&self) -> usize {
        self.local.max_header_list.unwrap_or(MOST_LIST) as usize
    }

    /// A whole header block.
    fn block(&mut self, id: u32, ends: bool, block: &[u8]) -> Result<(), Reason> {
        let most = self.max_list();
        let state = self
            .streams
            .get_mut(&id)
            .filter(|s| s.fail.is_none() && !s.is_reset);
        let Some(state) = state else {
            // Nobody wants it, and it may change the table.
            let decoded = self.decoder.decode(block, &mut |_, _| {});
            return decoded.map_err(|_| Reason::COMPRESSION_ERROR);
        };
        let fault = if state.has_final {
            let mut trailers = Trailers::new(most);
            let decoded = self.decoder.decode(block, &mut |n, v| trailers.field(n, v));
            decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
            state.trailers(trailers.end(), ends)
        } else {
            let mut reading = Reading::new(most, ends);
            let decoded = self.decoder.decode(block, &mut |n, v| reading.field(n, v));
            decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
            state.head(reading.end())
        };
        if let Some(reason) = fault {
            self.refuse(id, reason);
            return Ok(());
        }
        state.wake();
        self.settle(id);
        Ok(())
    }

    /// A new stream's state. Its window towards us may be the protocol's until the peer has read our settings.
    pub(super) fn state(&self, is_sent: bool, to_head: bool) -> State {
        let receive_window = self.local.stream_window.max(frame::WINDOW);
        State::new((is_sent, to_head), self.peer.window, receive_window)
    }

    /// The owner lets go of a stream.
    pub(super) fn drop_stream(&mut self, id: u32) {
        let Some(mut state) = self.streams.remove(&id) else {
            return;
        };
        let is_whole = state.is_sent && state.end.is_some();
        if !(is_whole || state.fail.is_some() || state.is_reset) {
            let reason = u32::from(Reason::CANCEL);
            self.put(frame::RST_STREAM, 0, id, &reason.to_be_bytes());
        }
        state.fail(Fail::Lost, &mut self.open);
        if state.is_blocked {
            self.blocked.retain(|other| *other != id);
            // It may have been told of room that others can have.
            self.wake_blocked();
        }
        self.give_back(state.held);
        self.wake_openers();
        if self.is_done() {
            self.kick();
        }
    }
}
