//! Failures by reason.

use super::{Counter, Described, Reading};

/// Failures made here, by reason.
#[derive(Debug, Default)]
pub struct FailureCounts([Counter; Reason::ALL.len()]);

/// Why a response was made here (node-proxy 11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the metric")]
pub enum Reason {
    Malformed,
    Override,
    CallDepth,
    ConnectMethod,
    Unidentified,
    NoBinding,
    NoAddress,
    BindingFailed,
    BindingTimeout,
    ConnectFailed,
    NotSent,
    ConnectionLost,
    Reset,
    BadResponse,
    Timeout,
    Loop,
    Overloaded,
    QueueFull,
    /// No failure: TRACE ended here.
    Traced,
}

// === impl Reason ===

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 19] = [
        Self::Malformed,
        Self::Override,
        Self::CallDepth,
        Self::ConnectMethod,
        Self::Unidentified,
        Self::NoBinding,
        Self::NoAddress,
        Self::BindingFailed,
        Self::BindingTimeout,
        Self::ConnectFailed,
        Self::NotSent,
        Self::ConnectionLost,
        Self::Reset,
        Self::BadResponse,
        Self::Timeout,
        Self::Loop,
        Self::Overloaded,
        Self::QueueFull,
        Self::Traced,
    ];

    /// Its name in metrics, logs and spans.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Override => "override",
            Self::CallDepth => "call_depth",
            Self::ConnectMethod => "connect_method",
            Self::Unidentified => "unidentified",
            Self::NoBinding => "no_binding",
            Self::NoAddress => "no_address",
            Self::BindingFailed => "binding_failed",
            Self::BindingTimeout => "binding_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::NotSent => "not_sent",
            Self::ConnectionLost => "connection_lost",
            Self::Reset => "reset",
            Self::BadResponse => "bad_response",
            Self::Timeout => "timeout",
            Self::Loop => "loop",
            Self::Overloaded => "overloaded",
            Self::QueueFull => "queue_full",
            Self::Traced => "traced",
        }
    }
}

impl FailureCounts {
    /// One more.
    pub fn count(&self, reason: Reason) {
        self.0[reason as usize].inc();
    }

    /// Those that there were, under `of`.
    pub fn read(&self, of: &'static Described, to: &mut Reading) {
        for reason in Reason::ALL {
            to.part(of, reason.name(), self.0[reason as usize].get());
        }
    }

    /// The same, without reasons that there never were: for what there are many of.
    pub fn read_seen(&self, of: &'static Described, to: &mut Reading) {
        for reason in Reason::ALL {
            match self.0[reason as usize].get() {
                0 => {}
                n => to.part(of, reason.name(), n),
            }
        }
    }
}
