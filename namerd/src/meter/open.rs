//! How many of something are open.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Things that are open, by the value of a label. Its values are texts of the program, so that there are never many.
#[derive(Debug, Default)]
pub struct Open(Mutex<BTreeMap<&'static str, u64>>);

/// One of them; counted until it is dropped.
#[derive(Debug)]
pub struct OpenOne {
    all: Arc<Open>,
    label: &'static str,
}

impl Open {
    /// One more.
    pub fn one(self: &Arc<Self>, label: &'static str) -> OpenOne {
        *self.0.lock().entry(label).or_default() += 1;
        let all = Arc::clone(self);
        OpenOne { all, label }
    }

    /// Those that are open now, by each label value that there has been.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().iter().map(|(k, n)| (*k, *n)).collect()
    }
}

impl Drop for OpenOne {
    fn drop(&mut self) {
        if let Some(open) = self.all.0.lock().get_mut(self.label) {
            *open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_not_open() {
        let open = Arc::<Open>::default();
        let (a, b, c) = (open.one("x"), open.one("x"), open.one("y"));
        assert_eq!(open.all(), [("x", 2), ("y", 1)]);
        drop((a, c));
        assert_eq!(open.all(), [("x", 1), ("y", 0)]);
        drop(b);
        assert_eq!(open.all(), [("x", 0), ("y", 0)]);
    }
}
