//! Buffers, kept by the worker and lent to connections that have something to read or write. An idle connection has none.

use std::cell::RefCell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::connect::ReadHalf;

/// A worker's spare buffers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers(Rc<Spare>);

#[derive(Debug, Default)]
struct Spare {
    /// All of them [`BLOCK`] long.
    blocks: RefCell<Vec<Vec<u8>>>,
    /// All of them empty.
    scratch: RefCell<Vec<Vec<u8>>>,
}

/// Bytes read and not yet used. Without memory while it is empty and released.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    owner: Buffers,
}

/// Room to put an outgoing message together.
#[derive(Debug)]
pub(crate) struct Scratch {
    data: Vec<u8>,
    owner: Buffers,
}

/// A head of default limits and a small body fit; so does what one read brings in a stream.
const BLOCK: usize = 16 << 10;
/// Spare buffers of each sort: 2 MiB.
const KEPT: usize = 128;

impl Buffers {
    pub(crate) fn buffer(&self) -> Buffer {
        Buffer {
            data: Vec::new(),
            start: 0,
            end: 0,
            owner: self.clone(),
        }
    }

    pub(crate) fn scratch(&self) -> Scratch {
        Scratch {
            data: self.0.scratch.borrow_mut().pop().unwrap_or_default(),
            owner: self.clone(),
        }
    }

    fn block(&self) -> Vec<u8> {
        let spare = self.0.blocks.borrow_mut().pop();
        spare.unwrap_or_else(|| vec![0; BLOCK])
    }
}

impl Buffer {
    /// What has been read and not used.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `n` bytes are used.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once, as much as there is room for, growing when it is full: callers bound what they wait for. 0: the peer has
    /// ended.
    pub(crate) async fn fill<R: AsyncRead + Unpin>(&mut self, read: &mut R) -> io::Result<usize> {
        self.make_room();
        let n = read.read(&mut self.data[self.end..]).await?;
        self.end += n;
        Ok(n)
    }

    /// Reads what is there already, as [`Buffer::fill`] does. Polled, not tried: a read that leaves room tells the runtime that
    /// nothing more is there, so that the next wait is none for a system call that finds nothing.
    pub(crate) fn try_fill(&mut self, read: &mut ReadHalf<'_>) -> io::Result<usize> {
        let nothing = || Err(io::ErrorKind::WouldBlock.into());
        self.fill(read).now_or_never().unwrap_or_else(nothing)
    }

    /// Gives the memory back, if nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.is_empty() && !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            (self.start, self.end) = (0, 0);
            let mut blocks = self.owner.0.blocks.borrow_mut();
            if data.len() == BLOCK && blocks.len() < KEPT {
                blocks.push(data);
            }
        }
    }

    fn make_room(&mut self) {
        if self.data.is_empty() {
            self.data = self.owner.block();
        }
        if self.end < self.data.len() {
            return;
        }
        if self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else {
            self.data.resize(self.data.len() * 2, 0);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        (self.start, self.end) = (0, 0);
        self.release();
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.data
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }
}

impl Scratch {
    /// Gives the memory back before its time.
    pub(crate) fn give_back(&mut self) {
        let mut data = std::mem::take(&mut self.data);
        let mut spare = self.owner.0.scratch.borrow_mut();
        if data.capacity() > 0 && data.capacity() <= 4 * BLOCK && spare.len() < KEPT {
            data.clear();
            spare.push(data);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.give_back();
    }
}
