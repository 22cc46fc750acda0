//! `nodes`: the node proxies that follow, on every replica that is named.

use clap::Args;
use l5d_resolver::v1;
use serde::Serialize;

use crate::fail::Failure;
use crate::output::remark;
use crate::output::table::table;
use crate::output::{Format, Output};
use crate::resolver::{connect_to, words};
use crate::settings::{FormArgs, Settings};

/// Which nodes.
#[derive(Args, Debug)]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    pub(crate) form: FormArgs,
    /// Only this node
    #[arg(default_value = "", hide_default_value = true)]
    node: String,
}

/// One session of a node with a replica.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Session {
    node: String,
    replica: String,
    peer: String,
    version: String,
    interests: u32,
    clusters: u32,
    /// Since the oldest message that the node has not acknowledged; 0: it has all. An older namerd does not say.
    stale_ms: Option<u64>,
    /// How long the last acknowledgement took, or how long the next one is taking.
    lag_ms: u64,
    connected_ms: u64,
    bytes: u64,
    writes: u64,
    resumed: bool,
}

/// A node acknowledges at most once a second, so only more than this says that it is behind (resolver API 2).
const BEHIND_MS: u64 = 2000;

/// Asks every replica; one that does not answer is told, and is a failure in the end.
pub(crate) async fn nodes(settings: &Settings, args: &NodesArgs) -> anyhow::Result<()> {
    let mut sessions = Vec::new();
    let mut silent = Vec::new();
    for replica in &settings.resolvers {
        match ask(settings, replica, &args.node).await {
            Ok(found) => sessions.extend(found),
            Err(error) => silent.push(error),
        }
    }
    if silent.len() == settings.resolvers.len()
        && let Some(error) = silent.pop()
    {
        silent.iter().for_each(|e| remark(&format!("{e:#}")));
        return Err(error);
    }
    sessions.sort_by(|a, b| (&a.node, &a.replica, &a.peer).cmp(&(&b.node, &b.replica, &b.peer)));
    let output = settings.output;
    output.show(&sessions, |format| text(output, format, &sessions))?;
    if silent.is_empty() {
        return Ok(());
    }
    silent.iter().for_each(|e| remark(&format!("{e:#}")));
    let all = settings.resolvers.len();
    Err(Failure::new(format!("{} of {all} replicas did not answer", silent.len())).into())
}

async fn ask(settings: &Settings, replica: &str, node: &str) -> anyhow::Result<Vec<Session>> {
    let mut client = connect_to(settings, replica).await?;
    let node = node.to_owned();
    let answer = client.nodes(v1::NodesRequest { node }).await;
    let mut stream = answer.map_err(|s| words(&s))?.into_inner();
    let mut sessions = Vec::new();
    while let Some(s) = stream.message().await.map_err(|s| words(&s))? {
        sessions.push(Session {
            node: s.node,
            replica: replica.to_owned(),
            peer: s.peer,
            version: s.version,
            interests: s.interests,
            clusters: s.clusters,
            stale_ms: s.stale_ms,
            lag_ms: s.lag_ms,
            connected_ms: s.connected_ms,
            bytes: s.bytes,
            writes: s.writes,
            resumed: s.resumed,
        });
    }
    Ok(sessions)
}

fn text(output: Output, format: Format, sessions: &[Session]) -> String {
    if format == Format::Name {
        let mut names: Vec<_> = sessions.iter().map(|s| s.node.as_str()).collect();
        names.dedup();
        return names.iter().map(|n| format!("{n}\n")).collect();
    }
    let mut titles = vec![
        "NODE",
        "STATE",
        "STALE",
        "LAG",
        "INTERESTS",
        "CLUSTERS",
        "VERSION",
        "AGE",
        "REPLICA",
    ];
    if format == Format::Wide {
        titles.extend(["PEER", "BYTES", "WRITES", "RESUMED"]);
    }
    let row = |s: &Session| {
        let mut row = vec![
            s.node.clone(),
            s.state().to_owned(),
            s.stale_ms.map(lasting).unwrap_or_default(),
            lasting(s.lag_ms),
            s.interests.to_string(),
            s.clusters.to_string(),
            s.version.clone(),
            lasting(s.connected_ms),
            s.replica.clone(),
        ];
        if format == Format::Wide {
            let resumed = if s.resumed { "yes" } else { "no" };
            row.extend([s.peer.clone(), s.bytes.to_string()]);
            row.extend([s.writes.to_string(), resumed.to_owned()]);
        }
        row
    };
    let rows: Vec<_> = sessions.iter().map(row).collect();
    table(output, &titles, &rows)
}

impl Session {
    fn state(&self) -> &'static str {
        if self.stale_ms.unwrap_or(self.lag_ms) > BEHIND_MS {
            "behind"
        } else {
            "current"
        }
    }
}

/// A duration as kubectl shows ages.
fn lasting(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_who_is_behind() {
        let session = |node: &str, stale_ms, lag_ms| Session {
            node: node.to_owned(),
            replica: "a:4321".to_owned(),
            peer: "10.0.0.1:5000".to_owned(),
            version: "0.1.0".to_owned(),
            interests: 3,
            clusters: 2,
            stale_ms,
            lag_ms,
            connected_ms: 7_300_000,
            bytes: 1000,
            writes: 7,
            resumed: true,
        };
        let sessions = [
            // Slow once, current since.
            session("node-1", Some(0), 5_000),
            session("node-2", Some(60_500), 60_500),
            // Of an older namerd.
            session("node-3", None, 60_500),
        ];
        let output = Output {
            format: None,
            headers: true,
        };
        let plain =
            |format| anstream::adapter::strip_str(&text(output, format, &sessions)).to_string();
        assert_eq!(
            plain(Format::Table),
            "NODE     STATE     STALE   LAG   INTERESTS   CLUSTERS   VERSION   AGE   REPLICA\n\
             node-1   current   0ms     5s    3           2          0.1.0     2h    a:4321\n\
             node-2   behind    60s     60s   3           2          0.1.0     2h    a:4321\n\
             node-3   behind            60s   3           2          0.1.0     2h    a:4321\n"
        );
        assert_eq!(plain(Format::Name), "node-1\nnode-2\nnode-3\n");
        let wide = plain(Format::Wide);
        assert!(
            wide.lines()
                .nth(1)
                .is_some_and(|l| l.ends_with("10.0.0.1:5000   1000    7        yes")),
            "{wide}"
        );
    }
}
