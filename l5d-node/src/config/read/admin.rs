//! `admin` (node-proxy 2.4).

use l5d_config::{Field, Section};
use regex::Regex;

use super::scalar::flag;
use super::server::socket;
use super::{Servers, address};
use crate::config::{Admin, Security};

pub(super) fn read(field: Field<'_>, servers: &mut Servers) -> Option<Admin> {
    let default = Admin::default();
    if !field.is_present() {
        servers.take(default.addr);
        return Some(default);
    }
    let section = field.section()?;
    let spot = section.spot();
    let addr = address(&section, default.addr.port());
    let tls = l5d_tls::read::server(section.key("tls"), true);
    let socket = socket(section.key("socketOptions"), true);
    let security = section.key("security").section();
    section.legacy(
        "workerThreads",
        "the admin server has one thread of its own",
    );
    let grace = section.key("shutdownGraceMs").millis();
    section.legacy(
        "httpIdentifierPort",
        "recent requests and the access log tell the names that requests got",
    );
    let addr = addr?;
    servers.add(addr, spot, &section);
    Some(Admin {
        addr,
        tls,
        socket: socket.unwrap_or(default.socket),
        security: security.as_ref().map(read_security).unwrap_or_default(),
        shutdown_grace: grace.unwrap_or(default.shutdown_grace),
    })
}

fn read_security(section: &Section<'_>) -> Security {
    Security {
        has_ui: flag(section, "uiEnabled", true),
        has_control: flag(section, "controlEnabled", true),
        has_diagnostics: flag(section, "diagnosticsEnabled", true),
        allowed: patterns(section.key("pathWhitelist"), section),
        denied: patterns(section.key("pathBlacklist"), section),
    }
}

fn patterns(field: Field<'_>, section: &Section<'_>) -> Vec<Regex> {
    let mut found = Vec::new();
    for item in field.list().unwrap_or_default() {
        let spot = item.spot();
        let Some(text) = item.string() else { continue };
        match Regex::new(&text) {
            Ok(regex) => found.push(regex),
            Err(e) => {
                let message = format!("`{}` is not a regular expression: {e}", text.escape_debug());
                section.reader().mistake(spot, message, None);
            }
        }
    }
    found
}
