//! `admin` (node-proxy 2.4).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use regex::Regex;

use super::{ServerTls, SocketOptions};

/// The admin server.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub addr: SocketAddr,
    /// `tls` (14.1); `None`: in clear text.
    pub tls: Option<ServerTls>,
    /// `socketOptions` (4.2)
    pub socket: SocketOptions,
    /// `security`
    pub security: Security,
    /// Longest drain on a stop request.
    pub shutdown_grace: Duration,
}

/// Which pages are served.
#[derive(Clone, Debug)]
pub struct Security {
    /// `uiEnabled`: what the web page needs.
    pub has_ui: bool,
    /// `controlEnabled`: `/admin/shutdown` and `/logging.json`.
    pub has_control: bool,
    /// `diagnosticsEnabled`: all else.
    pub has_diagnostics: bool,
    /// `pathWhitelist`: served although their category is off.
    pub allowed: Vec<Regex>,
    /// `pathBlacklist`: not served although it is on.
    pub denied: Vec<Regex>,
}

/// What a page is, for [`Security`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// The web page and what it asks for.
    Ui,
    /// Changes something.
    Control,
    /// All else.
    Diagnostics,
}

impl Security {
    /// Whether a page of this path is served.
    pub fn allows(&self, path: &str, kind: PageKind) -> bool {
        let is_on = match kind {
            PageKind::Ui => self.has_ui,
            PageKind::Control => self.has_control,
            PageKind::Diagnostics => self.has_diagnostics,
        };
        let is_in = |list: &[Regex]| list.iter().any(|r| r.is_match(path));
        if is_on {
            !is_in(&self.denied)
        } else {
            is_in(&self.allowed)
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            addr: (Ipv4Addr::LOCALHOST, 9990).into(),
            tls: None,
            socket: SocketOptions::default(),
            security: Security::default(),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self {
            has_ui: true,
            has_control: true,
            has_diagnostics: true,
            allowed: Vec::new(),
            denied: Vec::new(),
        }
    }
}
