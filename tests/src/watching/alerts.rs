//! The alerts: what is wrong, for how long before somebody is told, and the series that must raise it.

mod control;
mod limits;
mod traffic;

/// How soon somebody has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Users notice, or will soon: now.
    Critical,
    /// A part of the safety is gone: today.
    Warning,
    /// To know: some time.
    Info,
}

/// One alert.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name, also the heading of its entry in the runbook.
    pub name: &'static str,
    /// See there.
    pub severity: Severity,
    /// How long it must be so.
    pub wait: &'static str,
    /// When it is so.
    pub expr: &'static str,
    /// One line: what, and where.
    pub summary: &'static str,
    /// What it means and what to look at first.
    pub description: &'static str,
    /// Series that take the place of those of a healthy fleet, or stand beside them, and raise it.
    pub fault: &'static [(&'static str, &'static str)],
    /// Other alerts that rightly say the same.
    pub also: &'static [&'static str],
    /// After how long the fault must have raised it.
    pub by: &'static str,
}

/// All of them, by group.
pub const ALERTS: [(&str, &[Alert]); 3] = [
    ("l5d-traffic", traffic::ALERTS),
    ("l5d-control", control::ALERTS),
    ("l5d-limits", limits::ALERTS),
];

impl Severity {
    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}
