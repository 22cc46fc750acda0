//! The full dtab of a question: stored, the router's, the request's, in this order, not copied together.

use l5d_naming::{Dentry, Dtab, Path};

use super::RuleSource;

/// The parts of a full dtab.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    stored: &'a [Dentry],
    router: &'a [Dentry],
    request: &'a [Dentry],
}

/// One matching rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match<'a> {
    /// Its place in the full dtab; the next match is looked for below it.
    pub(super) at: usize,
    /// The rule.
    pub(super) dentry: &'a Dentry,
    /// Rules that were compared to find it.
    pub(super) compared: usize,
}

impl<'a> Rules<'a> {
    pub(super) fn new(stored: &'a Dtab, router: &'a Dtab, request: &'a Dtab) -> Self {
        Self {
            stored: stored.entries(),
            router: router.entries(),
            request: request.entries(),
        }
    }

    /// The number of rules.
    pub(super) fn len(&self) -> usize {
        self.stored.len() + self.router.len() + self.request.len()
    }

    /// The last rule before place `below` that matches (naming 3.4: order alone decides).
    pub(super) fn last_match(&self, path: &Path, below: usize) -> Option<Match<'a>> {
        (0..below).rev().find_map(|at| {
            let dentry = self.get(at);
            dentry.prefix.matches(path).then_some(Match {
                at,
                dentry,
                compared: below - at,
            })
        })
    }

    /// Which part the rule at a place of the full dtab is of, and its index there.
    pub(super) fn source(&self, at: usize) -> (RuleSource, usize) {
        let router = self.stored.len();
        let request = router + self.router.len();
        if at < router {
            (RuleSource::Store, at)
        } else if at < request {
            (RuleSource::Router, at - router)
        } else {
            (RuleSource::Request, at - request)
        }
    }

    fn get(&self, at: usize) -> &'a Dentry {
        match self.source(at) {
            (RuleSource::Store, i) => &self.stored[i],
            (RuleSource::Router, i) => &self.router[i],
            (RuleSource::Request, i) => &self.request[i],
        }
    }
}
