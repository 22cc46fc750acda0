//! Numbers: the metric tree of node-proxy 15.2. What it holds stands in [`crate::meter::table`]; [`render`] shows it as
//! Prometheus text (15.3) and JSON (15.4), [`Window`] knows what came in the last minute.

mod gather;
mod process;
mod render;
mod window;

use std::borrow::Cow;
use std::rc::Rc;

use crate::meter::{Described, HistogramView, Scope};

pub(super) use self::gather::{place, samples};
pub(super) use self::render::{flat, nested, prometheus};
pub(super) use self::window::EVERY;
pub use self::window::Window;

/// One value of one metric.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) of: &'static Described,
    pub(super) scope: Scope,
    /// What stands for the variable part of its name.
    pub(super) part: Cow<'static, str>,
    pub(super) at: Rc<Place>,
    pub(super) value: Value,
}

/// Where a scope is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) labels: Vec<(&'static str, String)>,
    /// Such as `rt/outgoing/server/0.0.0.0/4140`.
    pub(super) path: String,
}

#[derive(Debug)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Spread(Box<Distribution>),
}

/// A distribution since the beginning, and in the last minute.
#[derive(Debug)]
pub(super) struct Distribution {
    pub(super) all: HistogramView,
    pub(super) recent: HistogramView,
}

impl Sample {
    /// Its place in the tree, such as `rt/outgoing/server/0.0.0.0/4140/status/200`.
    pub(super) fn place(&self) -> String {
        let (plain, part) = self.of.pattern();
        match part {
            None => format!("{}/{plain}", self.at.path),
            Some(_) => format!("{}/{plain}/{}", self.at.path, self.part),
        }
    }
}
