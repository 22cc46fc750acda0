//! One request as it is told of.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The span of a request at this hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Of the trace; often only the lower half is used.
    pub trace: u128,
    /// This hop's.
    pub span: u64,
    /// The one that it is under; itself if it is the first.
    pub parent: u64,
    /// Whether the trace is sampled, if that has been decided.
    pub sampled: Option<bool>,
}

/// One request, from its head to its end. The client's bytes are as they came: whoever writes them makes them harmless.
#[derive(Debug)]
pub struct Record {
    /// When it came.
    pub at: SystemTime,
    start: Instant,
    /// Until it has ended, zero.
    pub took: Duration,
    /// `None`: it could not be read.
    pub ids: Option<Ids>,
    /// The router's label.
    pub router: Arc<str>,
    /// `<ip>/<port>` of the server.
    pub server: Arc<str>,
    /// The client's address.
    pub remote: Option<SocketAddr>,
    text: Vec<u8>,
    fields: [Range<u32>; 5],
    /// 0 or 1 of HTTP/1, 2 for HTTP/2.
    pub version: u8,
    /// Logical name; empty: it got none.
    pub service: String,
    /// The request's own dtab, as text.
    pub local_dtab: String,
    /// In order.
    pub attempts: Vec<Attempt>,
    /// 0: no response, or one that was cut.
    pub status: u16,
    /// `Content-Length` of the response.
    pub length: Option<u64>,
    /// Why the response was made here.
    pub failure: Option<&'static str>,
    /// What the answer is worth.
    pub verdict: Verdict,
}

/// What a classifier made of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// `grpc-status`, if there was one and somebody looked at it.
    pub grpc_status: Option<u32>,
    /// `None`: nobody judged.
    pub is_success: Option<bool>,
}

/// One attempt at one endpoint.
#[derive(Debug)]
pub struct Attempt {
    /// Bound id.
    pub client: Arc<str>,
    /// What the bound name leaves over.
    pub residual: String,
    /// Where it went.
    pub addr: SocketAddr,
    /// Its span.
    pub span: u64,
    /// From the request's start.
    pub began: Duration,
    /// From the request's start.
    pub ended: Duration,
    /// 0: no response.
    pub status: u16,
    /// What went wrong.
    pub error: Option<&'static str>,
    /// What its answer is worth.
    pub verdict: Verdict,
}

/// More are not kept.
const ATTEMPTS: usize = 32;

impl Record {
    /// A request that has just come; `fields` are its method, target, host, referer and user agent.
    pub fn new(start: Instant, fields: [&[u8]; 5]) -> Self {
        let mut text = Vec::with_capacity(fields.iter().map(|f| f.len()).sum());
        let fields = fields.map(|field| {
            let from = text.len() as u32;
            text.extend_from_slice(field);
            from..text.len() as u32
        });
        Self {
            at: SystemTime::now() - start.elapsed(),
            start,
            took: Duration::ZERO,
            ids: None,
            router: "".into(),
            server: "".into(),
            remote: None,
            text,
            fields,
            version: 1,
            service: String::new(),
            local_dtab: String::new(),
            attempts: Vec::new(),
            status: 0,
            length: None,
            failure: None,
            verdict: Verdict::default(),
        }
    }

    fn field(&self, index: usize) -> &[u8] {
        let range = &self.fields[index];
        &self.text[range.start as usize..range.end as usize]
    }

    /// The method.
    pub fn method(&self) -> &[u8] {
        self.field(0)
    }

    /// The target as it was sent.
    pub fn target(&self) -> &[u8] {
        self.field(1)
    }

    /// The host that names the destination.
    pub fn host(&self) -> &[u8] {
        self.field(2)
    }

    /// `Referer`.
    pub fn referer(&self) -> &[u8] {
        self.field(3)
    }

    /// `User-Agent`.
    pub fn user_agent(&self) -> &[u8] {
        self.field(4)
    }

    /// An attempt begins.
    pub fn attempt(&mut self, client: &str, residual: String, addr: SocketAddr) {
        if self.attempts.len() == ATTEMPTS {
            self.attempts.remove(0);
        }
        let now = self.start.elapsed();
        self.attempts.push(Attempt {
            client: client.into(),
            residual,
            addr,
            span: 0,
            began: now,
            ended: now,
            status: 0,
            error: None,
            verdict: Verdict::default(),
        });
    }

    /// The last attempt has ended.
    pub fn attempt_ended(&mut self, status: u16, error: Option<&'static str>) {
        let now = self.start.elapsed();
        if let Some(last) = self.attempts.last_mut() {
            (last.ended, last.status, last.error) = (now, status, error);
        }
    }

    /// The answer of the last attempt was judged.
    pub fn attempt_judged(&mut self, verdict: Verdict) {
        if let Some(last) = self.attempts.last_mut() {
            last.verdict = verdict;
        }
    }

    /// The request has ended.
    pub fn end(&mut self) {
        self.took = self.start.elapsed();
    }

    /// For logs, which want a number: nginx's for a client that left.
    pub fn shown_status(&self) -> u16 {
        if self.status == 0 { 499 } else { self.status }
    }
}

impl Ids {
    /// Whether a trace is in the sample of this rate: the same decision at each hop, because it depends on the trace alone.
    pub fn is_in(&self, rate: f64) -> bool {
        self.sampled.unwrap_or_else(|| {
            let mixed = (self.trace as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
            (mixed as f64) < rate * (1u64 << 53) as f64
        })
    }
}
