//! `watch`: what changes about a path, as it changes.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use l5d_resolver::v1;

use super::Question;
use super::view::{Endpoint, Resolved};
use crate::fail::Failure;
use crate::output::paint::{self, DIM, GONE, GOOD, MARKED};
use crate::output::{Format, print, remark};
use crate::resolver::{connect, is_lost, words};
use crate::settings::Settings;

/// A path, and how long to watch it.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) question: Question,
    /// End after as many states
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Waits between attempts to reach a namerd again.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];

/// Shows the state, then each change with its time. A namerd that goes away is told, and asked or replaced again.
pub(crate) async fn watch(settings: &Settings, args: &WatchArgs) -> anyhow::Result<()> {
    let mut watched = Watched {
        settings,
        left: args.count,
        last: None,
    };
    let mut pause = PAUSE[0];
    loop {
        let before = watched.left;
        let Some(lost) = watched.once(&args.question).await? else {
            return Ok(());
        };
        if watched.left != before {
            pause = PAUSE[0];
        }
        remark(&format!(
            "{} {lost:#}; trying again in {:.1} s",
            paint::with(DIM, now()),
            pause.as_secs_f64()
        ));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE[1]);
    }
}

struct Watched<'a> {
    settings: &'a Settings,
    left: Option<u64>,
    last: Option<Resolved>,
}

impl Watched<'_> {
    /// One stream; `None`: everything wanted has been shown, else why it ended.
    async fn once(&mut self, question: &Question) -> anyhow::Result<Option<anyhow::Error>> {
        // The first attempt fails for good: it may be the wrong address.
        let is_again = self.last.is_some();
        let mut client = match connect(self.settings).await {
            Err(error) if is_again => return Ok(Some(error)),
            connected => connected?,
        };
        let mut states = match client.watch(question.request(self.settings)).await {
            Err(status) if is_again && is_lost(&status) => return Ok(Some(words(&status))),
            answer => answer.map_err(|s| words(&s))?.into_inner(),
        };
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            match states.message().await {
                Ok(Some(state)) => self.show(state)?,
                Ok(None) => return Ok(Some(Failure::new("the stream has ended").into())),
                Err(status) if is_lost(&status) => return Ok(Some(words(&status))),
                Err(status) => return Err(words(&status)),
            }
        }
    }

    fn show(&mut self, state: v1::Resolved) -> anyhow::Result<()> {
        let now_is = Resolved::from(state);
        self.left = self.left.map(|left| left.saturating_sub(1));
        let output = self.settings.output;
        match output.format() {
            Format::Json => print(&format!("{}\n", serde_json::to_string(&now_is)?))?,
            Format::Yaml => {
                print("---\n")?;
                output.show(&now_is, |_| String::new())?;
            }
            _ => print(&changes(self.last.as_ref(), &now_is, &now()))?,
        }
        self.last = Some(now_is);
        Ok(())
    }
}

fn now() -> String {
    let millis = jiff::Timestamp::now().as_millisecond();
    let rounded = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{rounded:.3}")
}

/// What was added, removed and changed; for the first state all of it. Equal states give nothing.
fn changes(before: Option<&Resolved>, after: &Resolved, at: &str) -> String {
    let at = paint::with(DIM, at);
    let mut out = String::new();
    if before.is_none_or(|before| !before.has_tree_of(after)) {
        for line in after.tree().lines() {
            out.push_str(&format!("{at} = {line}\n"));
        }
    }
    let old = before.map(endpoints).unwrap_or_default();
    let new = endpoints(after);
    for ((id, address), endpoint) in &old {
        if !new.contains_key(&(*id, address.clone())) {
            let gone = paint::with(GONE, format_args!("- {address}"));
            out.push_str(&format!("{at} {gone}{}\n", place(endpoint, id)));
        }
    }
    for ((id, address), endpoint) in &new {
        match old.get(&(*id, address.clone())) {
            None => {
                let added = paint::with(GOOD, format_args!("+ {address}"));
                out.push_str(&format!("{at} {added}{}\n", place(endpoint, id)));
            }
            Some(was) if was.weight != endpoint.weight => {
                let text = format!("~ {address}  weight {} -> {}", was.weight, endpoint.weight);
                out.push_str(&format!("{at} {}\n", paint::with(MARKED, text)));
            }
            Some(_) => {}
        }
    }
    out
}

type Endpoints<'a> = BTreeMap<(&'a str, String), &'a Endpoint>;

fn endpoints(resolved: &Resolved) -> Endpoints<'_> {
    let clusters = resolved.clusters.iter();
    let all = clusters.flat_map(|c| c.endpoints.iter().map(|e| (c.id.as_str(), e)));
    all.map(|(id, e)| ((id, e.address()), e)).collect()
}

fn place(endpoint: &Endpoint, id: &str) -> String {
    let mut out = String::new();
    if endpoint.weight != 1.0 {
        out.push_str(&format!("  weight {}", endpoint.weight));
    }
    if !endpoint.node.is_empty() {
        out.push_str(&format!("  on {}", endpoint.node));
    }
    out.push_str(&paint::with(DIM, format_args!("  {id}")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(addresses: &[(&str, f64)]) -> Resolved {
        let endpoint = |(ip, weight): &(&str, f64)| v1::ResolvedEndpoint {
            ip: (*ip).to_owned(),
            port: 80,
            weight: *weight,
            node: "n".to_owned(),
            ..Default::default()
        };
        let cluster = v1::ResolvedCluster {
            id: "/#/a".to_owned(),
            state: v1::State::Bound.into(),
            endpoints: addresses.iter().map(endpoint).collect(),
            ..Default::default()
        };
        let leaf = v1::Leaf {
            id: "/#/a".to_owned(),
            residual: "/".to_owned(),
            cluster: 0,
        };
        Resolved::from(v1::Resolved {
            tree: Some(v1::Node {
                node: Some(v1::node::Node::Leaf(leaf)),
            }),
            clusters: vec![cluster],
            ..Default::default()
        })
    }

    fn plain(before: Option<&Resolved>, after: &Resolved) -> String {
        anstream::adapter::strip_str(&changes(before, after, "T")).to_string()
    }

    #[test]
    fn a_change_is_what_came_went_and_weighs_otherwise() {
        let first = state(&[("10.0.0.1", 1.0), ("10.0.0.2", 1.0)]);
        assert_eq!(
            plain(None, &first),
            "T = /#/a  2 endpoints\nT + 10.0.0.1:80  on n  /#/a\nT + 10.0.0.2:80  on n  /#/a\n"
        );
        let second = state(&[("10.0.0.2", 2.5), ("10.0.0.3", 1.0)]);
        assert_eq!(
            plain(Some(&first), &second),
            "T - 10.0.0.1:80  on n  /#/a\nT ~ 10.0.0.2:80  weight 1 -> 2.5\nT + 10.0.0.3:80  on n  /#/a\n"
        );
        assert_eq!(plain(Some(&second), &second), "");
    }
}
