//! The file: written in large pieces, rolled, begun anew when somebody has moved it away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::log::Totals;
use crate::roll::Roll;
use crate::settings::Settings;

/// So much is gathered before it is written.
const PIECE: usize = 64 << 10;
/// Rolled files of one mark.
const SAME_MARK: u32 = 10_000;

/// A log file. Its methods block, and never fail: what goes wrong is counted, and logged once until it goes well again.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    roll: Roll,
    keep: Option<usize>,
    zone: TimeZone,
    file: File,
    /// When its first line was written, as far as that is known.
    opened: Timestamp,
    /// When it ends.
    ends: Option<Timestamp>,
    /// Its bytes, those in `piece` with them.
    bytes: u64,
    piece: Vec<u8>,
    /// Lines in `piece`.
    lines: u64,
    totals: Arc<Totals>,
    is_ill: bool,
}

impl LogFile {
    pub(crate) fn open(
        settings: &Settings,
        zone: TimeZone,
        now: Timestamp,
        totals: Arc<Totals>,
    ) -> io::Result<Self> {
        let file = open(&settings.path)?;
        if !settings.append {
            file.set_len(0)?;
        }
        let meta = file.metadata()?;
        // A file of an earlier life is as old as its last line at least.
        let last = meta.modified().ok().and_then(|t| t.try_into().ok());
        let opened = last.filter(|_| meta.len() > 0).unwrap_or(now);
        Ok(Self {
            path: settings.path.clone(),
            roll: settings.roll,
            keep: settings.keep,
            ends: settings.roll.after(opened, &zone),
            zone,
            file,
            opened,
            bytes: meta.len(),
            piece: Vec::with_capacity(PIECE),
            lines: 0,
            totals,
            is_ill: false,
        })
    }

    /// Adds a line, given in parts, after a roll if that is due.
    pub(crate) fn push(&mut self, line: &[&[u8]], now: Timestamp) {
        let more: usize = line.iter().map(|part| part.len()).sum();
        if self.is_full(more, now) {
            self.flush();
            let begun = self.begin_next(now);
            self.note("roll", begun);
        } else if self.piece.len() + more > PIECE {
            self.flush();
        }
        for part in line {
            self.piece.extend_from_slice(part);
        }
        self.bytes += more as u64;
        self.lines += 1;
    }

    fn is_full(&self, more: usize, now: Timestamp) -> bool {
        match self.roll {
            Roll::Size(most) => self.bytes > 0 && self.bytes + more as u64 > most,
            _ => self.ends.is_some_and(|end| now >= end),
        }
    }

    /// Writes what is gathered. What cannot be written is lost: to wait for the disk would hold up more and more.
    pub(crate) fn flush(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines == 0 {
            return;
        }
        let written = self
            .reopen_if_moved()
            .and_then(|()| self.file.write_all(&self.piece));
        self.piece.clear();
        let count = match &written {
            Ok(()) => &self.totals.written,
            Err(_) => &self.totals.failed,
        };
        count.fetch_add(lines, Ordering::Relaxed);
        self.note("write", written);
    }

    /// Another program, such as logrotate, may have moved or removed the file.
    fn reopen_if_moved(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let is_ours = |there: fs::Metadata| (there.dev(), there.ino()) == (ours.dev(), ours.ino());
        if !fs::metadata(&self.path).is_ok_and(is_ours) {
            self.file = open(&self.path)?;
            self.bytes = self.file.metadata()?.len() + self.piece.len() as u64;
        }
        Ok(())
    }

    /// Puts the file aside and begins the next one. If that fails the old one is written on, until it is due again.
    fn begin_next(&mut self, now: Timestamp) -> io::Result<()> {
        let mark = self.roll.mark(self.opened, &self.zone);
        self.opened = now;
        self.ends = self.roll.after(now, &self.zone);
        fs::rename(&self.path, self.free_name(&mark)?)?;
        self.file = open(&self.path)?;
        self.bytes = 0;
        self.remove_old()
    }

    /// `access-20261127.log` for `access.log`; with a number if that is there already (1.x wrote over it).
    fn free_name(&self, mark: &str) -> io::Result<PathBuf> {
        let (stem, end) = self.parts();
        for n in 0..SAME_MARK {
            let name = match n {
                0 => format!("{stem}{mark}{end}"),
                n => format!("{stem}{mark}-{n}{end}"),
            };
            let path = self.path.with_file_name(name);
            if !path.try_exists()? {
                return Ok(path);
            }
        }
        Err(io::Error::other("too many rolled files of one time"))
    }

    /// What stands before and after the mark in the names of rolled files.
    fn parts(&self) -> (String, String) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        match name.rfind('.').filter(|at| *at > 0) {
            Some(at) => (format!("{}-", &name[..at]), name[at..].to_owned()),
            None => (format!("{name}-"), String::new()),
        }
    }

    /// Removes all but the newest rolled files.
    fn remove_old(&self) -> io::Result<()> {
        let Some(keep) = self.keep else { return Ok(()) };
        let (stem, end) = self.parts();
        let folder = self.path.parent().filter(|f| !f.as_os_str().is_empty());
        let mut rolled = Vec::new();
        for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let entry = entry?;
            let name = entry.file_name();
            let mark = name
                .to_str()
                .and_then(|name| name.strip_prefix(&*stem)?.strip_suffix(&*end));
            rolled.extend(mark.and_then(numbers).map(|mark| (mark, entry.path())));
        }
        rolled.sort();
        let old = rolled.len().saturating_sub(keep);
        rolled[..old]
            .iter()
            .try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn note(&mut self, what: &str, result: io::Result<()>) {
        let path = self.path.display();
        match result {
            Ok(()) if what == "write" && self.is_ill => {
                self.is_ill = false;
                tracing::info!(%path, "the access log is written again");
            }
            Ok(()) => {}
            Err(error) if !self.is_ill => {
                self.is_ill = true;
                tracing::error!(%path, %error, "cannot {what} the access log; lines that are lost are counted");
            }
            Err(error) => tracing::debug!(%path, %error, "cannot {what} the access log"),
        }
    }
}

/// The numbers of a mark, by which rolled files are sorted; `None` for files that are none of ours.
fn numbers(mark: &str) -> Option<Vec<u64>> {
    let number = |part: &str| {
        let is_number = part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|_| is_number)
    };
    mark.split('-').map(number).collect()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
