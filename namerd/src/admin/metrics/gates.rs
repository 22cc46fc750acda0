//! TLS of each server that has it.

use std::sync::Arc;

use super::{Sheet, float, t};
use crate::tls::Gate;

pub(super) fn put(sheet: &mut Sheet, gates: &[(String, Arc<Gate>)]) {
    for (name, gate) in gates {
        let Some(end) = gate.not_after() else {
            continue;
        };
        let counts = gate.counts();
        for (result, n) in counts.handshakes() {
            sheet.label(&t::HANDSHAKES, &[name, result], float(n));
        }
        for (result, n) in counts.reloads() {
            sheet.label(&t::TLS_RELOADS, &[name, result], float(n));
        }
        sheet.label(&t::CERTIFICATE_END, &[name], end as f64);
    }
}
