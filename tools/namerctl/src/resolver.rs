//! What asks the resolver API: `resolve`, `explain`, `watch`, `nodes`.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;
use l5d_naming::{Dtab, Path};
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_resolver::v1::{self, node, rule};
use tonic::transport::{Channel, Endpoint};

/// A path and who asks for it.
#[derive(Args, Debug)]
pub(crate) struct Question {
    /// The path, such as /svc/world
    path: Path,
    /// The dtab namespace; empty: no stored dtab
    #[arg(long, short, default_value = "default")]
    namespace: String,
    /// Rules behind the stored ones, as in the header l5d-dtab
    #[arg(long, short, default_value = "", value_parser = dtab)]
    dtab: String,
    /// As this node sees it
    #[arg(long, default_value = "")]
    node: String,
}

#[derive(Debug)]
pub(crate) enum ResolverCommand {
    Resolve(Question),
    Explain(Question),
    Watch(Question),
    Nodes(String),
}

/// Checked here, so that a mistake is shown with its place before anything is sent.
fn dtab(text: &str) -> Result<String, l5d_naming::ParseError> {
    Dtab::parse(text).map(|dtab| dtab.show_exact())
}

pub(crate) async fn run(resolver: &str, command: ResolverCommand) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(format!("http://{resolver}"))
        .with_context(|| format!("{resolver} is not HOST:PORT"))?
        .connect()
        .await
        .with_context(|| format!("cannot reach the resolver API at {resolver} (--resolver)"))?;
    let mut client = ResolverClient::new(channel);
    match command {
        ResolverCommand::Resolve(question) => {
            let resolved = client
                .resolve(question.request())
                .await
                .map_err(|s| words(&s))?
                .into_inner();
            print!("{}", show_resolved(&resolved));
        }
        ResolverCommand::Explain(question) => {
            let explained = client
                .explain(question.request())
                .await
                .map_err(|s| words(&s))?
                .into_inner();
            print!("{}", show_explained(&explained));
        }
        ResolverCommand::Watch(question) => watch(client, question).await?,
        ResolverCommand::Nodes(node) => nodes(client, node).await?,
    }
    Ok(())
}

impl Question {
    fn request(&self) -> v1::ResolveRequest {
        v1::ResolveRequest {
            root: self.namespace.trim_start_matches('/').to_owned(),
            path: self.path.to_string(),
            dtab: self.dtab.clone(),
            node: self.node.clone(),
            ..Default::default()
        }
    }
}

async fn watch(mut client: ResolverClient<Channel>, question: Question) -> anyhow::Result<()> {
    let mut states = client
        .watch(question.request())
        .await
        .map_err(|s| words(&s))?
        .into_inner();
    while let Some(resolved) = states.message().await.map_err(|s| words(&s))? {
        println!("{}", show_resolved(&resolved));
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn nodes(mut client: ResolverClient<Channel>, node: String) -> anyhow::Result<()> {
    let mut sessions = client
        .nodes(v1::NodesRequest { node })
        .await
        .map_err(|s| words(&s))?
        .into_inner();
    println!(
        "{:<20} {:<22} {:<10} {:>9} {:>8} {:>8} {:>7}",
        "NODE", "PEER", "VERSION", "INTERESTS", "CLUSTERS", "LAG", "AGE"
    );
    while let Some(s) = sessions.message().await.map_err(|s| words(&s))? {
        println!(
            "{:<20} {:<22} {:<10} {:>9} {:>8} {:>6}ms {:>6}s",
            s.node,
            s.peer,
            s.version,
            s.interests,
            s.clusters,
            s.lag_ms,
            s.connected_ms / 1000
        );
    }
    Ok(())
}

/// The server's own words.
fn words(status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{}: {}", status.code().description(), status.message())
}

fn show_resolved(resolved: &v1::Resolved) -> String {
    let mut out = String::new();
    match &resolved.tree {
        Some(tree) => show_node(tree, "", &mut out),
        None => out.push_str("(nothing)\n"),
    }
    for cluster in &resolved.clusters {
        let state = match cluster.state() {
            v1::State::Bound => format!("{} endpoints", cluster.endpoints.len()),
            v1::State::Pending => "pending".to_owned(),
            v1::State::Neg => "none (negative)".to_owned(),
            v1::State::Failed => format!("failed: {}", cluster.message),
        };
        out.push_str(&format!("{}  {state}\n", cluster.id));
        for e in &cluster.endpoints {
            let address = if e.ip.contains(':') {
                format!("[{}]:{}", e.ip, e.port)
            } else {
                format!("{}:{}", e.ip, e.port)
            };
            out.push_str(&format!(
                "  {address:<24} weight {:<6} {}\n",
                e.weight, e.node
            ));
        }
    }
    out
}

fn show_node(tree: &v1::Node, indent: &str, out: &mut String) {
    match &tree.node {
        Some(node::Node::Leaf(leaf)) => {
            let rest = if leaf.residual == "/" {
                String::new()
            } else {
                format!("  (rest {})", leaf.residual)
            };
            out.push_str(&format!("{indent}{}{rest}\n", leaf.id));
        }
        Some(node::Node::Union(union)) => {
            for branch in &union.branches {
                out.push_str(&format!("{indent}{} of\n", branch.weight));
                if let Some(node) = &branch.node {
                    show_node(node, &format!("{indent}  "), out);
                }
            }
        }
        Some(node::Node::Neg(_)) | None => out.push_str(&format!("{indent}~ (no such name)\n")),
        Some(node::Node::Fail(_)) => out.push_str(&format!("{indent}! (stopped)\n")),
        Some(node::Node::Empty(_)) => out.push_str(&format!("{indent}$ (exists, nobody home)\n")),
    }
}

fn show_explained(explained: &v1::Explained) -> String {
    let mut out = String::new();
    if let Some(step) = &explained.steps {
        show_step(step, "", &mut out);
    }
    for t in &explained.transformed {
        out.push_str(&format!(
            "{}  {} -> {} endpoints  {}\n",
            t.kind, t.before, t.after, t.leaf
        ));
        for removed in &t.removed {
            out.push_str(&format!(
                "  without {}: {}\n",
                removed.endpoint, removed.reason
            ));
        }
    }
    if let Some(result) = &explained.result {
        out.push_str(&show_resolved(result));
    }
    out
}

fn show_step(step: &v1::Step, indent: &str, out: &mut String) {
    let mark = if step.taken { "*" } else { " " };
    let rule = step.rule.as_ref().map_or(String::new(), |r| {
        let from = match r.from() {
            rule::From::Store => "stored",
            rule::From::Router => "router",
            rule::From::Request => "request",
        };
        format!("   by {} => {} ({from} rule {})", r.prefix, r.dst, r.index)
    });
    let why = if step.why.is_empty() {
        String::new()
    } else {
        format!("   {}", step.why)
    };
    out.push_str(&format!(
        "{mark} {indent}{} {}{rule}{why}\n",
        step.path, step.kind
    ));
    for child in &step.children {
        show_step(child, &format!("{indent}  "), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_union_is_shown_with_its_shares_and_the_addresses_below() {
        let leaf = |id: &str| v1::Node {
            node: Some(node::Node::Leaf(v1::Leaf {
                id: id.to_owned(),
                residual: "/".to_owned(),
                cluster: 0,
            })),
        };
        let branch = |weight, id| v1::Branch {
            weight,
            node: Some(leaf(id)),
        };
        let tree = v1::Node {
            node: Some(node::Node::Union(v1::Union {
                branches: vec![branch(0.9, "/#/a"), branch(0.1, "/#/b")],
            })),
        };
        let resolved = v1::Resolved {
            tree: Some(tree),
            clusters: vec![v1::ResolvedCluster {
                id: "/#/a".to_owned(),
                state: v1::State::Neg.into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let shown = "0.9 of\n  /#/a\n0.1 of\n  /#/b\n/#/a  none (negative)\n";
        assert_eq!(show_resolved(&resolved), shown);
    }
}
