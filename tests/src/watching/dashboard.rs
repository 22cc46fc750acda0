//! One dashboard of Grafana: panels with queries, laid out row by row.

use serde_json::{Value, json};

/// What a panel looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Lines over time.
    Lines,
    /// One number, now.
    Number,
    /// Rows, now.
    Rows,
}

/// One panel.
#[derive(Clone, Debug)]
pub struct Panel {
    look: Look,
    width: u32,
    title: &'static str,
    /// The name that Grafana has for it.
    unit: &'static str,
    says: &'static str,
    /// From which value on a number is yellow and red.
    limits: Option<(f64, f64)>,
    /// Queries and what their lines are called.
    pub queries: Vec<(&'static str, &'static str)>,
}

/// A row of panels and its title.
#[derive(Clone, Debug)]
pub(super) struct Row(pub(super) &'static str, pub(super) Vec<Panel>);

/// A variable that is chosen from the values of a label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// The series, with a selector of the variables before, and the label.
    pub(super) series: &'static str,
    pub(super) label: &'static str,
    pub(super) has_all: bool,
}

impl Panel {
    pub(super) fn new(
        look: Look,
        width: u32,
        title: &'static str,
        unit: &'static str,
        says: &'static str,
    ) -> Self {
        Self {
            look,
            width,
            title,
            unit,
            says,
            limits: None,
            queries: Vec::new(),
        }
    }

    pub(super) fn ask(mut self, query: &'static str, legend: &'static str) -> Self {
        self.queries.push((query, legend));
        self
    }

    pub(super) fn limits(mut self, yellow: f64, red: f64) -> Self {
        self.limits = Some((yellow, red));
        self
    }

    /// Its title.
    pub fn title(&self) -> &'static str {
        self.title
    }

    fn height(&self) -> u32 {
        match self.look {
            Look::Number => 4,
            Look::Lines | Look::Rows => 8,
        }
    }

    fn json(&self, id: usize, (x, y): (u32, u32)) -> Value {
        let is_now = self.look != Look::Lines;
        let targets = self.queries.iter().zip('A'..).map(|((expr, legend), id)| {
            json!({
                "refId": id, "expr": expr, "legendFormat": legend, "instant": is_now, "range": !is_now,
                "format": if self.look == Look::Rows { "table" } else { "time_series" },
                "datasource": source(),
            })
        });
        let mut defaults = json!({"unit": self.unit, "color": {"mode": "palette-classic"}});
        if self.look == Look::Lines {
            defaults["custom"] = json!({"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"});
            defaults["min"] = json!(0);
        }
        if let Some((yellow, red)) = self.limits {
            defaults["color"] = json!({"mode": "thresholds"});
            let step = |color, value: Value| json!({"color": color, "value": value});
            let steps = match yellow < red {
                true => [
                    step("green", Value::Null),
                    step("yellow", json!(yellow)),
                    step("red", json!(red)),
                ],
                // The lower, the worse.
                false => [
                    step("red", Value::Null),
                    step("yellow", json!(red)),
                    step("green", json!(yellow)),
                ],
            };
            defaults["thresholds"] = json!({"mode": "absolute", "steps": steps});
        }
        json!({
            "id": id,
            "type": match self.look { Look::Lines => "timeseries", Look::Number => "stat", Look::Rows => "table" },
            "title": self.title,
            "description": self.says,
            "datasource": source(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height()},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": self.options(),
            "targets": targets.collect::<Vec<_>>(),
            "transformations": if self.look == Look::Rows { rows() } else { json!([]) },
        })
    }

    fn options(&self) -> Value {
        match self.look {
            Look::Lines => json!({
                "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Look::Number => json!({
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                "colorMode": "value", "graphMode": "none", "textMode": "value",
            }),
            Look::Rows => json!({"showHeader": true}),
        }
    }
}

/// Tables show labels and the value, not when it was asked for.
fn rows() -> Value {
    json!([{"id": "organize", "options": {"excludeByName": {"Time": true, "__name__": true}}}])
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// All of a dashboard.
pub(super) fn json(
    name: &str,
    title: &str,
    says: &str,
    variables: &[Variable],
    rows: &[Row],
) -> Value {
    let mut list = vec![json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
    })];
    list.extend(variables.iter().map(variable));
    json!({
        "uid": format!("l5d-{name}"),
        "title": title,
        "description": says,
        "tags": ["l5d"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list},
        "links": [{
            "title": "l5d", "type": "dashboards", "tags": ["l5d"], "asDropdown": true, "includeVars": true, "keepTime": true,
        }],
        "annotations": {"list": [{
            "name": "Alerts", "enable": true, "iconColor": "red", "datasource": source(),
            "expr": FIRING, "titleFormat": "{{alertname}}", "textFormat": "{{service}} {{instance}}",
        }]},
        "panels": panels(rows),
    })
}

/// Alerts that fire, marked in every dashboard: since when.
pub(super) const FIRING: &str = "ALERTS{alertname=~\"L5d.+\", alertstate=\"firing\"}";

fn variable(variable: &Variable) -> Value {
    let query = format!("label_values({}, {})", variable.series, variable.label);
    json!({
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "datasource": source(),
        "query": {"query": query, "refId": "A"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "includeAll": variable.has_all,
        "multi": variable.has_all,
        "allValue": if variable.has_all { json!(".+") } else { Value::Null },
        "current": if variable.has_all { json!({"text": "All", "value": "$__all"}) } else { json!({}) },
    })
}

fn panels(rows: &[Row]) -> Vec<Value> {
    let (mut all, mut y) = (Vec::new(), 0);
    for Row(title, panels) in rows {
        all.push(json!({
            "id": all.len() + 1, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for panel in panels {
            if x + panel.width > 24 {
                (x, y, height) = (0, y + height, 0);
            }
            all.push(panel.json(all.len() + 1, (x, y)));
            x += panel.width;
            height = height.max(panel.height());
        }
        y += height;
    }
    all
}

/// A query as Grafana sends it, with these values of variables; times are as a scrape every second wants them.
pub fn fill(query: &str, values: &[(&str, &str)]) -> String {
    let mut filled = query
        .replace("$__rate_interval", "1m")
        .replace("$__range", "5m");
    for (name, value) in values {
        filled = filled.replace(&format!("${name}"), value);
    }
    filled
}
