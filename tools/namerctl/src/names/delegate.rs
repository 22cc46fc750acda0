//! `delegate`: the steps of a name over the HTTP controller, which an old namerd has as well.

use anyhow::Context as _;
use clap::Args;
use hyper::{Method, StatusCode};
use l5d_naming::Path;
use serde::Deserialize;

use super::Scope;
use super::steps::{self, Shown};
use crate::http::{Ask, Controller, escaped, query};
use crate::settings::{FormArgs, Settings};

/// A path and the rules that apply to it.
#[derive(Args, Debug)]
pub(crate) struct DelegateArgs {
    #[command(flatten)]
    pub(crate) form: FormArgs,
    /// The path, such as /svc/world
    path: Path,
    #[command(flatten)]
    scope: Scope,
}

/// The fields of all node types (control plane 7.6); unknown ones are skipped.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    dentry: Option<super::super::dtab::Entry>,
    name: String,
    message: String,
    bound: Option<Bound>,
    delegate: Option<Box<Node>>,
    tree: Option<Box<Node>>,
    alt: Vec<Node>,
    union: Vec<Branch>,
}

#[derive(Deserialize)]
struct Branch {
    weight: f64,
    tree: Node,
}

#[derive(Deserialize)]
struct Bound {
    id: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    addr: Addr,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Addr {
    #[serde(rename = "type")]
    kind: String,
    addrs: Vec<serde_json::Value>,
    cause: String,
}

/// Why a branch was not taken; `None`: it was.
type Left = Option<&'static str>;

const LATER: &str = "an alternative before it was taken";
const NEGATIVE: &str = "no such thing, so the search went on";
const NO_CLUSTER: &str = "a union leaves out branches without a cluster";

/// The tree; as a document it is what the server said.
pub(crate) async fn delegate(settings: &Settings, args: &DelegateArgs) -> anyhow::Result<()> {
    let controller = Controller::new(settings)?;
    let path = args.path.to_string();
    let namespace = args.scope.namespace(settings);
    let place = match namespace {
        "" => "delegate".to_owned(),
        namespace => format!("delegate/{}", escaped(namespace)),
    };
    let mut ask = Ask::new(Method::GET, place);
    ask.query = match (args.scope.dtab.as_str(), namespace) {
        // Without a namespace the parameter has to be there.
        ("", namespace) if !namespace.is_empty() => query(&[("path", &path)]),
        (dtab, _) => query(&[("path", &path), ("dtab", dtab)]),
    };
    let reply = controller.send(ask).await?;
    if reply.status != StatusCode::OK {
        return Err(reply.failure(false).into());
    }
    let document: serde_json::Value =
        serde_json::from_str(&reply.body).context("the answer is not a tree")?;
    let tree: Node =
        serde_json::from_value(document.clone()).context("the answer is not a tree")?;
    settings
        .output
        .show(&document, |_| steps::text(&tree.shown(None, None)))
}

impl Node {
    /// Whether the search ends here.
    fn is_found(&self) -> bool {
        match self.kind.as_str() {
            "neg" => false,
            "delegate" => self.delegate.as_ref().is_some_and(|d| d.is_found()),
            "transformation" => self.tree.as_ref().is_some_and(|t| t.is_found()),
            "alt" => self.alt.iter().any(Node::is_found),
            "union" => self.union.iter().any(|b| b.tree.is_found()),
            _ => true,
        }
    }

    /// `left`: why it was not taken, if so.
    fn shown(&self, weight: Option<f64>, left: Left) -> Shown {
        let one = |node: &Option<Box<Node>>| -> Vec<Shown> {
            node.iter().map(|n| n.shown(None, left)).collect()
        };
        let children = match self.kind.as_str() {
            "delegate" => one(&self.delegate),
            "transformation" => one(&self.tree),
            "alt" => self.alternatives(left),
            "union" => {
                let left_out = |b: &Branch| (!b.tree.is_found()).then_some(NO_CLUSTER);
                let shown = |b: &Branch| b.tree.shown(Some(b.weight), left.or(left_out(b)));
                self.union.iter().map(shown).collect()
            }
            _ => Vec::new(),
        };
        let what = self.what();
        let between = if what.is_empty() { "" } else { "; " };
        Shown {
            path: self.path.clone(),
            weight,
            kind: match self.kind.as_str() {
                "transformation" => format!("by {}", self.name),
                kind => kind.to_owned(),
            },
            rule: self
                .dentry
                .as_ref()
                .map(|d| format!("{} => {}", d.prefix, d.dst)),
            why: left.map_or_else(|| what.clone(), |why| format!("{what}{between}{why}")),
            taken: left.is_none(),
            children,
        }
    }

    fn alternatives(&self, left: Left) -> Vec<Shown> {
        let chosen = self.alt.iter().position(Node::is_found);
        let here = |i: usize| match chosen {
            Some(chosen) if i > chosen => Some(LATER),
            Some(chosen) if i < chosen => Some(NEGATIVE),
            _ => None,
        };
        let all = self.alt.iter().enumerate();
        all.map(|(i, node)| node.shown(None, left.or(here(i))))
            .collect()
    }

    /// What is to be said of it by itself.
    fn what(&self) -> String {
        if !self.message.is_empty() {
            return self.message.clone();
        }
        let Some(bound) = &self.bound else {
            return String::new();
        };
        let count = match (bound.addr.kind.as_str(), bound.addr.addrs.len()) {
            ("bound", 1) => "1 endpoint".to_owned(),
            ("bound", n) => format!("{n} endpoints"),
            ("failed", _) => format!("failed: {}", bound.addr.cause),
            ("neg", _) => "no such thing".to_owned(),
            (kind, _) => kind.to_owned(),
        };
        let id = match bound.id == self.path {
            true => String::new(),
            false => format!("{}, ", bound.id),
        };
        match bound.path.as_str() {
            "" | "/" => format!("{id}{count}"),
            rest => format!("{id}{count}, rest {rest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        let tree: Node = serde_json::from_str(json).expect(json);
        let text = steps::text(&tree.shown(None, None));
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn the_documents_of_the_specification_are_shown() {
        let leaf = r##"{"type":"delegate","path":"/svc/default","delegate":{"type":"leaf","path":"/#/io.l5d.fs/default","dentry":{"prefix":"/svc","dst":"/#/io.l5d.fs"},"bound":{"addr":{"type":"bound","addrs":[{"ip":"127.0.0.1","port":9990,"meta":{}}],"meta":{}},"id":"/#/io.l5d.fs/default","path":"/"}}}"##;
        assert_eq!(
            shown(leaf),
            "✓ /svc/default\n└─ ✓ /#/io.l5d.fs/default  leaf: 1 endpoint  [/svc => /#/io.l5d.fs]\n"
        );
        let alt = r#"{"type":"alt","path":"/yeezy","alt":[{"type":"neg","path":"/bar","dentry":{"prefix":"/yeezy","dst":"/bar"}},{"type":"fail","path":"!","dentry":{"prefix":"/yeezy","dst":"!"}}]}"#;
        assert_eq!(
            shown(alt),
            "✓ /yeezy\n├─ ✗ /bar  neg: no such thing, so the search went on  [/yeezy => /bar]\n└─ ! !  fail  [/yeezy => !]\n"
        );
        let bad = r#"{"type":"exception","path":"/$/nosuch/x","message":"Unknown namer"}"#;
        assert_eq!(shown(bad), "! /$/nosuch/x  exception: Unknown namer\n");
    }
}
