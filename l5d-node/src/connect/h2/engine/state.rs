//! One stream's state: what has come and was not taken, what may be sent, how it ends.

use std::collections::VecDeque;
use std::task::Waker;

use h2::Reason;
use http::HeaderMap;

use super::Fail;
use super::core::MANY;
use super::head::Head;

/// A stream's state, from its opening until its owner lets go of it.
#[derive(Debug)]
pub(super) struct State {
    /// Interim heads, and the final one.
    pub(super) heads: VecDeque<Head>,
    pub(super) has_final: bool,
    pub(super) received: VecDeque<Vec<u8>>,
    /// The end has come, perhaps with trailers.
    pub(super) end: Option<Option<HeaderMap>>,
    pub(super) fail: Option<Fail>,
    /// END_STREAM was sent, or a reset.
    pub(super) is_sent: bool,
    pub(super) is_reset: bool,
    pub(super) window: i64,
    pub(super) is_blocked: bool,
    pub(super) waker: Option<Waker>,
    is_counted: bool,
    pub(super) receive_window: i64,
    pub(super) unreleased: u32,
    /// Bytes that have come and were not released.
    pub(super) held: u32,
    /// To a request with HEAD.
    to_head: bool,
    /// Bytes that have to come.
    awaited: Option<u64>,
}

/// Small pieces of a body that nobody takes are put together up to this size.
const PIECE: usize = 4 << 10;

impl State {
    /// Open, with these windows: what may be sent, and what may come.
    pub(super) fn new((is_sent, to_head): (bool, bool), window: i64, receive_window: u32) -> Self {
        Self {
            heads: VecDeque::new(),
            has_final: false,
            received: VecDeque::new(),
            end: None,
            fail: None,
            is_sent,
            is_reset: false,
            window,
            is_blocked: false,
            waker: None,
            is_counted: true,
            receive_window: receive_window.into(),
            unreleased: 0,
            held: 0,
            to_head,
            awaited: None,
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Keeps whoever polls to be told of what comes.
    pub(super) fn watch(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }

    /// Both sides have said all: the peer does not count it any more.
    pub(super) fn settle(&mut self, open: &mut usize) -> bool {
        let is_over = self.is_sent && self.end.is_some() || self.fail.is_some() || self.is_reset;
        let is_news = is_over && std::mem::replace(&mut self.is_counted, false);
        *open -= usize::from(is_news);
        is_news
    }

    pub(super) fn fail(&mut self, fail: Fail, open: &mut usize) {
        self.fail.get_or_insert(fail);
        self.settle(open);
        self.wake();
    }

    pub(super) fn head(&mut self, head: Option<Head>) -> Option<Reason> {
        let Some(head) = head else {
            return Some(Reason::PROTOCOL_ERROR);
        };
        if head.status < 200 {
            if head.ends {
                return Some(Reason::PROTOCOL_ERROR);
            }
            if self.heads.len() >= MANY {
                return Some(Reason::ENHANCE_YOUR_CALM);
            }
            self.heads.push_back(head);
            return None;
        }
        self.has_final = true;
        let has_no_body = self.to_head || head.status == 204 || head.status == 304;
        self.awaited = if has_no_body { Some(0) } else { head.length };
        let ends = head.ends;
        self.heads.push_back(head);
        ends.then(|| self.ended(None)).flatten()
    }

    pub(super) fn body(&mut self, data: &[u8], ends: bool) -> Option<Reason> {
        if let Some(awaited) = &mut self.awaited {
            match awaited.checked_sub(data.len() as u64) {
                Some(rest) => *awaited = rest,
                None => return Some(Reason::PROTOCOL_ERROR),
            }
        }
        match self.received.back_mut() {
            _ if data.is_empty() => {}
            Some(last) if last.len() + data.len() <= PIECE => last.extend_from_slice(data),
            _ => self.received.push_back(data.to_vec()),
        }
        ends.then(|| self.ended(None)).flatten()
    }

    pub(super) fn trailers(&mut self, trailers: Option<HeaderMap>, ends: bool) -> Option<Reason> {
        match trailers {
            _ if self.end.is_some() => Some(Reason::STREAM_CLOSED),
            Some(trailers) if ends => self.ended(Some(trailers)),
            _ => Some(Reason::PROTOCOL_ERROR),
        }
    }

    fn ended(&mut self, trailers: Option<HeaderMap>) -> Option<Reason> {
        if self.awaited.is_some_and(|rest| rest > 0) {
            return Some(Reason::PROTOCOL_ERROR);
        }
        self.end = Some(trailers);
        None
    }
}
