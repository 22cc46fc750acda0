//! `explain`: every step from a path to its addresses, with the rules that applied and why the others fell away.

use l5d_resolver::v1::{self, rule};
use serde::Serialize;

use super::Question;
use super::steps::{self, Shown};
use super::view::Resolved;
use crate::output::paint::{self, DIM, GONE, TITLE};
use crate::output::{Format, Output};
use crate::resolver::{connect, words};
use crate::settings::Settings;

#[derive(Serialize)]
struct Explained {
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Step>,
    transformed: Vec<Transformed>,
    result: Resolved,
}

#[derive(Serialize)]
struct Step {
    path: String,
    kind: String,
    taken: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    residual: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Step>,
}

#[derive(Serialize)]
struct Rule {
    prefix: String,
    dst: String,
    from: &'static str,
    index: u32,
}

#[derive(Serialize)]
struct Transformed {
    kind: String,
    leaf: String,
    before: u32,
    after: u32,
    removed: Vec<Removed>,
}

#[derive(Serialize)]
struct Removed {
    endpoint: String,
    reason: String,
}

/// The tree, the transformers, the result.
pub(crate) async fn explain(settings: &Settings, question: &Question) -> anyhow::Result<()> {
    let mut client = connect(settings).await?;
    let answer = client.explain(question.request(settings)).await;
    let explained = Explained::from(answer.map_err(|s| words(&s))?.into_inner());
    let output = settings.output;
    output.show(&explained, |format| explained.text(output, format))
}

impl From<v1::Explained> for Explained {
    fn from(wire: v1::Explained) -> Self {
        let removed = |r: v1::Removed| Removed {
            endpoint: r.endpoint,
            reason: r.reason,
        };
        let transformed = |t: v1::Transformed| Transformed {
            kind: t.kind,
            leaf: t.leaf,
            before: t.before,
            after: t.after,
            removed: t.removed.into_iter().map(removed).collect(),
        };
        Self {
            steps: wire.steps.map(|step| Step::of(step, false)),
            transformed: wire.transformed.into_iter().map(transformed).collect(),
            result: wire.result.unwrap_or_default().into(),
        }
    }
}

impl Step {
    /// On the wire every step has a weight; it counts below a union.
    fn of(wire: v1::Step, is_branch: bool) -> Self {
        let rule = wire.rule.map(|r| Rule {
            from: match r.from() {
                rule::From::Store => "store",
                rule::From::Router => "router",
                rule::From::Request => "request",
            },
            prefix: r.prefix,
            dst: r.dst,
            index: r.index,
        });
        let is_union = wire.kind == "union";
        let children = wire.children.into_iter().map(|c| Step::of(c, is_union));
        Self {
            children: children.collect(),
            path: wire.path,
            kind: wire.kind,
            taken: wire.taken,
            weight: is_branch.then_some(wire.weight),
            rule,
            why: wire.why,
            id: wire.id,
            residual: wire.residual,
        }
    }

    fn shown(&self) -> Shown {
        let rule = self.rule.as_ref().map(|r| {
            let from = match r.from {
                "store" => "stored",
                from => from,
            };
            format!("{from} rule {}: {} => {}", r.index, r.prefix, r.dst)
        });
        let rest = match self.residual.as_str() {
            "" | "/" => String::new(),
            residual => format!(", rest {residual}"),
        };
        // A leaf whose name is its path says nothing new.
        let id = match self.id.as_str() {
            "" => String::new(),
            id if id == self.path => String::new(),
            id => format!(" {id}"),
        };
        Shown {
            path: self.path.clone(),
            weight: self.weight,
            kind: format!("{}{id}{rest}", self.kind),
            rule,
            why: self.why.clone(),
            taken: self.taken,
            children: self.children.iter().map(Step::shown).collect(),
        }
    }
}

impl Explained {
    fn text(&self, output: Output, format: Format) -> String {
        if format == Format::Name {
            return self.result.text(output, format);
        }
        let mut out = self
            .steps
            .as_ref()
            .map_or(String::new(), |s| steps::text(&s.shown()));
        if !self.transformed.is_empty() {
            out.push_str(&format!("\n{}\n", paint::with(TITLE, "Transformers")));
        }
        for t in &self.transformed {
            out.push_str(&format!(
                "  {}: {} -> {} endpoints",
                t.kind, t.before, t.after
            ));
            out.push_str(&format!("  {}\n", paint::with(DIM, &t.leaf)));
            for removed in &t.removed {
                let gone = paint::with(GONE, format_args!("- {}", removed.endpoint));
                out.push_str(&format!("    {gone}  {}\n", removed.reason));
            }
        }
        out.push_str(&format!("\n{}\n", paint::with(TITLE, "Result")));
        for line in self.result.tree().lines() {
            out.push_str(&format!("  {line}\n"));
        }
        let endpoints = self.result.endpoints(output, format);
        if !endpoints.is_empty() {
            out.push_str(&format!("\n{endpoints}"));
        }
        out
    }
}
