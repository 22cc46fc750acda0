//! The certificate authority of nodes.

use std::sync::atomic::Ordering;

use super::{Sheet, float, size, t};
use crate::ca::Ca;

pub(super) fn put(sheet: &mut Sheet, ca: &Ca) {
    let counts = ca.counts();
    for (of, result, counter) in [
        (&t::CA_REQUESTS, "signed", &counts.signed),
        (&t::CA_REQUESTS, "refused", &counts.refused),
        (&t::CA_ROOTS, "taken", &counts.rotated),
        (&t::CA_ROOTS, "failed", &counts.failed),
    ] {
        sheet.label(of, &[result], float(counter.load(Ordering::Relaxed)));
    }
    if let Some(roots) = ca.roots() {
        sheet.put(&t::CA_ROOT_END, roots.not_after() as f64);
        sheet.put(&t::CA_TRUSTED, size(roots.trusted()));
    }
}
