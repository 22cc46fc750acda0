//! The dashboards: what somebody wants to know who was woken up. What is broken, since when, for whom, why, on which node.

mod fleet;
mod namerd;
mod node;
mod service;

use serde_json::Value;

use super::dashboard::{self, Panel, Row, Variable};

/// One dashboard.
#[derive(Debug)]
pub struct Dashboard {
    /// Of its file, and of its place in Grafana behind `l5d-`.
    pub name: &'static str,
    title: &'static str,
    says: &'static str,
    variables: Vec<Variable>,
    rows: Vec<Row>,
}

/// All of them.
pub fn dashboards() -> [Dashboard; 4] {
    [fleet::all(), service::all(), node::all(), namerd::all()]
}

impl Dashboard {
    /// As Grafana reads it.
    pub fn json(&self) -> Value {
        dashboard::json(
            self.name,
            self.title,
            self.says,
            &self.variables,
            &self.rows,
        )
    }

    /// All panels.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|Row(_, panels)| panels)
    }

    /// Every query, those of the variables and of the marks included.
    pub fn queries(&self) -> Vec<&'static str> {
        let of_panels = self.panels().flat_map(|p| p.queries.iter().map(|q| q.0));
        let of_variables = self.variables.iter().map(|v| v.series);
        let mut all: Vec<_> = of_panels.chain(of_variables).collect();
        all.push(dashboard::FIRING);
        all
    }
}

/// Which router.
const RT: Variable = Variable {
    name: "rt",
    title: "Router",
    series: "rt:server:requests",
    label: "rt",
    has_all: true,
};
