//! TLS of each server that has it, and what all servers have refused to clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Sheet, float, t};
use crate::tls::Gate;

pub(super) fn put(sheet: &mut Sheet, gates: &[(String, Arc<Gate>)]) {
    let mut refused = BTreeMap::new();
    for (what, n) in gates.iter().flat_map(|(_, gate)| gate.refused()) {
        *refused.entry(what).or_insert(0) += n;
    }
    for (what, n) in refused {
        sheet.label(&t::LIMITS, &[what], float(n));
    }
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
