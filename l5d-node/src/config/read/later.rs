//! Keys that are read and checked, and have no effect yet. The commit that brings the effect takes its key out of here.

use l5d_config::Section;

/// The keys of one kind of section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Later {
    /// Without it the proxy only does less well: a warning.
    without_effect: &'static [&'static str],
}

pub(super) const ADMIN: Later = Later {
    without_effect: &["httpIdentifierPort"],
};

pub(super) const SERVER: Later = Later {
    without_effect: &["windowUpdateRatio"],
};

pub(super) const SERVICE: Later = Later {
    without_effect: &["classificationTimeoutMs"],
};

pub(super) const RETRY_BUFFER: Later = Later {
    without_effect: &["responseBytes"],
};

pub(super) const CLIENT: Later = Later {
    without_effect: &["socketOptions", "windowUpdateRatio"],
};

impl Later {
    /// Says so for each key that is there.
    pub(super) fn check(self, section: &Section<'_>) {
        for key in self.without_effect {
            section.without_effect(key);
        }
    }
}
