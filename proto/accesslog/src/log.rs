//! The queue between those who answer requests and the thread that writes.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use jiff::Timestamp;

use crate::file::LogFile;
use crate::line::{Clock, Entry, Form, Line};
use crate::settings::{OpenError, Settings};
use crate::zone;

/// Lines that wait for the writer, at most.
const QUEUE_LINES: usize = 16_384;
/// Their bytes, at most.
const QUEUE_BYTES: usize = 4 << 20;
/// How often the writer looks. It is woken only when the queue is half full: so a line costs its writer no system call.
const EVERY: Duration = Duration::from_millis(50);
/// How long [`Writer::end`] waits for a disk that does not take what is queued.
const LAST: Duration = Duration::from_secs(2);

/// Where lines go. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Shared>);

/// The thread that writes. Dropping it ends the thread as [`Writer::end`] does.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

/// What became of lines, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the file.
    pub written: u64,
    /// Found no room in the queue, or came after the end.
    pub dropped: u64,
    /// Could not be written.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) written: AtomicU64,
    pub(crate) failed: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    form: Form,
    lines: SyncSender<Line>,
    /// Lines and bytes of the queue.
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    totals: Arc<Totals>,
    stop: AtomicBool,
    writer: OnceLock<Thread>,
}

impl AccessLog {
    /// Opens the file and starts the thread that writes it, in the local time zone.
    pub fn start(settings: &Settings, form: Form) -> Result<(Self, Writer), OpenError> {
        let zone = zone::local();
        let failed = |source| OpenError {
            path: settings.path.clone(),
            source,
        };
        let totals = Arc::<Totals>::default();
        let now = Timestamp::now();
        let file =
            LogFile::open(settings, zone.clone(), now, Arc::clone(&totals)).map_err(failed)?;
        let clock = Clock::new(form, zone);
        start(form, totals, file, clock).map_err(failed)
    }

    /// Logs a request.
    pub fn log(&self, entry: &Entry<'_>) {
        self.put(Line::of(entry, self.0.form));
    }

    /// Logs a line of another format, such as a JSON object, which the caller has made harmless; the end of the line is added.
    pub fn write(&self, mut text: String) {
        text.push('\n');
        self.put(Line { text, time: None });
    }

    /// What became of lines.
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let totals = &self.0.totals;
        Counts {
            written: read(&totals.written),
            dropped: read(&totals.dropped),
            failed: read(&totals.failed),
        }
    }

    fn put(&self, line: Line) {
        let shared = &*self.0;
        let bytes = line.text.len();
        let before = shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let place = shared.waiting.fetch_add(1, Ordering::Relaxed);
        let has_room = before + bytes <= QUEUE_BYTES && !shared.stop.load(Ordering::Relaxed);
        if !has_room || shared.lines.try_send(line).is_err() {
            shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            shared.totals.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let passes = |before: usize, more, most| before < most / 2 && before + more >= most / 2;
        if passes(place, 1, QUEUE_LINES) || passes(before, bytes, QUEUE_BYTES) {
            shared.wake();
        }
    }
}

impl Shared {
    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

pub(crate) fn start(
    form: Form,
    totals: Arc<Totals>,
    file: LogFile,
    clock: Clock,
) -> io::Result<(AccessLog, Writer)> {
    let (lines, queue) = sync_channel(QUEUE_LINES);
    let (tell_end, ended) = sync_channel(1);
    let shared = Arc::new(Shared {
        form,
        lines,
        waiting: AtomicUsize::new(0),
        waiting_bytes: AtomicUsize::new(0),
        totals,
        stop: AtomicBool::new(false),
        writer: OnceLock::new(),
    });
    let mine = Arc::clone(&shared);
    let thread = thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || {
            run(&mine, &queue, file, clock);
            // Nobody listens any more if the process ends anyway.
            let _ = tell_end.send(());
        })?;
    // Just made: it is not set yet.
    let _ = shared.writer.set(thread.thread().clone());
    let writer = Writer {
        shared: Arc::clone(&shared),
        ended,
    };
    Ok((AccessLog(shared), writer))
}

fn run(shared: &Shared, queue: &Receiver<Line>, mut file: LogFile, mut clock: Clock) {
    loop {
        // Asked before the queue is emptied: what was put in before the stop is written.
        let is_last = shared.stop.load(Ordering::Acquire);
        let now = Timestamp::now();
        while let Ok(line) = queue.try_recv() {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            shared
                .waiting_bytes
                .fetch_sub(line.text.len(), Ordering::Relaxed);
            let text = line.text.as_bytes();
            match line.time {
                Some((time, at)) => {
                    let (left, right) = text.split_at(at);
                    file.push(&[left, clock.text(time).as_bytes(), right], now);
                }
                None => file.push(&[text], now),
            }
        }
        file.flush();
        if is_last {
            return;
        }
        thread::park_timeout(EVERY);
    }
}

impl Writer {
    /// Writes what is queued and ends the thread. Blocks, for a bounded time; lines that come later are dropped.
    pub fn end(self) {}
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
        if self.ended.recv_timeout(LAST).is_err() {
            tracing::warn!("the access log did not take its last lines in time");
        }
    }
}
