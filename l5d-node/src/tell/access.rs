//! The access log (node-proxy 15.5): at the server, once for each request, failures included.

use std::fmt::Write as _;

use jiff::Timestamp;
use l5d_accesslog::{AccessLog, Counts, Entry, Form, OpenError, Writer};

use super::{Record, is_h2};
use crate::config::Router;

/// One router's log.
#[derive(Debug)]
pub(super) struct Access {
    log: AccessLog,
    is_json: bool,
}

/// A log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("router {router}: {source}")]
pub struct AccessError {
    router: String,
    source: OpenError,
}

impl Access {
    /// Opens the log of a router, if it has one.
    pub(super) fn start(router: &Router) -> Result<Option<(Self, Writer)>, AccessError> {
        let Some(config) = &router.access_log else {
            return Ok(None);
        };
        let form = match is_h2(router) {
            true => Form::H2,
            false => Form::Http,
        };
        let (log, writer) = AccessLog::start(&config.file, form).map_err(|source| AccessError {
            router: router.label.clone(),
            source,
        })?;
        let is_json = config.is_json;
        Ok(Some((Self { log, is_json }, writer)))
    }

    pub(super) fn log(&self, record: &Record) {
        if self.is_json {
            return self.log.write(json(record));
        }
        self.log.log(&Entry {
            at: timestamp(record),
            host: record.host(),
            remote: record.remote.map(|addr| addr.ip()),
            method: std::str::from_utf8(record.method()).unwrap_or_default(),
            target: record.target(),
            version: (record.version == 0).then_some("HTTP/1.0"),
            status: record.shown_status(),
            length: record.length,
            referer: record.referer(),
            user_agent: record.user_agent(),
        });
    }

    pub(super) fn counts(&self) -> Counts {
        self.log.counts()
    }
}

pub(super) fn timestamp(record: &Record) -> Timestamp {
    Timestamp::try_from(record.at).unwrap_or_default()
}

/// One object, without its line's end.
pub(super) fn json(record: &Record) -> String {
    let mut line = Object(String::with_capacity(512));
    line.0.push('{');
    line.raw("time", format_args!("\"{:.3}\"", timestamp(record)));
    line.text("router", record.router.as_bytes());
    line.text("server", record.server.as_bytes());
    if let Some(remote) = record.remote {
        line.raw("client", format_args!("\"{remote}\""));
    }
    line.text("host", record.host());
    line.text("method", record.method());
    line.text("target", record.target());
    let version = match record.version {
        2 => "HTTP/2",
        1 => "HTTP/1.1",
        _ => "HTTP/1.0",
    };
    line.text("version", version.as_bytes());
    line.raw("status", format_args!("{}", record.status));
    if let Some(length) = record.length {
        line.raw("length", format_args!("{length}"));
    }
    let took = record.took.as_secs_f64() * 1000.0;
    line.raw("duration_ms", format_args!("{took:.3}"));
    line.text("service", record.service.as_bytes());
    line.text("dtab", record.local_dtab.as_bytes());
    if let Some(last) = record.attempts.last() {
        line.text("bound", last.client.as_bytes());
        line.text("residual", last.residual.as_bytes());
        line.raw("endpoint", format_args!("\"{}\"", last.addr));
        line.raw("attempts", format_args!("{}", record.attempts.len()));
    }
    line.text("failure", record.failure.unwrap_or_default().as_bytes());
    if record.status == 0 {
        line.raw("aborted", format_args!("true"));
    }
    if let Some(ids) = &record.ids {
        line.raw("trace", format_args!("\"{:016x}\"", ids.trace));
    }
    line.text("referer", record.referer());
    line.text("user_agent", record.user_agent());
    line.0.push('}');
    line.0
}

/// An object being written; what is empty is left out.
struct Object(String);

impl Object {
    fn raw(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // A string takes everything.
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
    }

    fn text(&mut self, name: &str, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.raw(name, format_args!("\""));
        for c in String::from_utf8_lossy(value).chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                c if c < ' ' || c == '\u{7f}' => drop(write!(self.0, "\\u{:04x}", c as u32)),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }
}
