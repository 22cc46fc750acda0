//! Configuration keys: a table for each program with what a key says and what it is without it. What a key takes, whether it is
//! needed and whether it does anything is not written here: the programs' readers tell (`l5d_config::asked`). A test reads
//! samples that have everything and compares both.
//!
//! Places are patterns of `l5d_config::asked`; `@id` at the beginning stands for every place of that group.

mod namerd;
mod node;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context as _;
use l5d_config::asked::{Asked, Questions, Standing};

/// Sections that have the same keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) places: &'static [&'static str],
    pub(crate) keys: &'static [Key],
}

/// One key of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What holds without it; between backquotes a value that could stand there. Empty: nothing.
    pub(crate) default: &'static str,
    pub(crate) says: &'static str,
}

/// A program whose file is described.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) groups: &'static [Group],
    /// Files that have every section and every kind.
    samples: &'static [&'static str],
    ask: fn(&str) -> anyhow::Result<(String, Questions)>,
}

pub(crate) const NODE: Program = Program {
    name: "l5d-node",
    groups: node::GROUPS,
    samples: &[
        include_str!("samples/node.yaml"),
        include_str!("samples/node-identity.yaml"),
    ],
    ask: |text| {
        let read = l5d_node::config::read_asking("sample", text);
        let (mut config, questions) = read.map_err(|e| anyhow::anyhow!("{e}"))?;
        config.warnings.clear();
        Ok((format!("{config:?}"), questions))
    },
};

pub(crate) const NAMERD: Program = Program {
    name: "namerd",
    groups: namerd::GROUPS,
    samples: &[
        include_str!("samples/namerd.yaml"),
        include_str!("samples/namerd-config-map.yaml"),
        include_str!("samples/namerd-consul.yaml"),
        include_str!("samples/namerd-etcd.yaml"),
        include_str!("samples/namerd-etcd-host.yaml"),
        include_str!("samples/namerd-files.yaml"),
        include_str!("samples/namerd-memory.yaml"),
    ],
    ask: |text| {
        let env = |name: &str| (name == "POD_NAMESPACE").then(|| "pods".to_owned());
        let read = ::namerd::config::Config::read_asking("sample", text, &env);
        let (config, _, questions) = read.map_err(|e| anyhow::anyhow!("{e}"))?;
        Ok((format!("{config:?}"), questions))
    },
};

impl Program {
    /// All that its reader asks a file for.
    pub(crate) fn questions(&self) -> anyhow::Result<Questions> {
        let mut all = Questions::default();
        for (i, sample) in self.samples.iter().enumerate() {
            let asked = (self.ask)(sample);
            let (_, questions) =
                asked.with_context(|| format!("sample {i} of {} is not read", self.name))?;
            all.join(questions);
        }
        Ok(all)
    }

    /// The patterns of a group's places.
    pub(crate) fn places(&self, group: &Group) -> anyhow::Result<Vec<String>> {
        let mut places = Vec::new();
        for place in group.places {
            let Some(rest) = place.strip_prefix('@') else {
                places.push((*place).to_owned());
                continue;
            };
            let end = rest.find(['.', '{']).unwrap_or(rest.len());
            let (id, rest) = rest.split_at(end);
            let base = self.groups.iter().find(|g| g.id == id);
            let base = base.with_context(|| format!("{place}: there is no group `{id}`"))?;
            places.extend(self.places(base)?.into_iter().map(|p| format!("{p}{rest}")));
        }
        Ok(places)
    }

    /// The page.
    pub(crate) fn page(&self) -> anyhow::Result<String> {
        let questions = self.questions()?;
        let name = self.name;
        let mut out = format!(
            "<!-- written by `cargo xtask reference` -->\n# Keys of `{name}`\n\n\
             Every key that the program reads, from its own reader. YAML, or JSON if the first character is `{{`. `{name} --check FILE` tells all \
             mistakes at once, with line and column; unknown keys are mistakes. *Needed*: it must be there. A default between \
             backquotes is what you could write; none: nothing happens without the key.\n"
        );
        for group in self.groups {
            self.group(group, &questions, &mut out)?;
        }
        Ok(out)
    }

    fn group(&self, group: &Group, questions: &Questions, out: &mut String) -> anyhow::Result<()> {
        let places = self.places(group)?;
        writeln!(out, "\n## {}\n", group.title)?;
        if places.iter().any(|p| !p.is_empty()) {
            let shown: Vec<_> = places.iter().map(|p| format!("`{p}`")).collect();
            writeln!(out, "At {}.\n", shown.join(", "))?;
        }
        if group.keys.is_empty() {
            let kinds = places.first().and_then(|p| questions.kinds.get(p));
            if let Some((kinds, _)) = kinds {
                writeln!(out, "Kinds: `{}`.", kinds.join("`, `"))?;
            }
            return Ok(());
        }
        writeln!(out, "| key | takes | default | says |\n|---|---|---|---|")?;
        for key in group.keys {
            let asked = asked(questions, &places, key.name);
            let (takes, default) = (takes(&asked), default(&asked, key));
            writeln!(
                out,
                "| `{}` | {takes} | {default} | {} |",
                key.name,
                says(&asked, key)
            )?;
        }
        Ok(())
    }
}

/// What the reader says of a key at all these places.
fn asked(questions: &Questions, places: &[String], key: &str) -> Asked {
    let mut all = Asked::default();
    for place in places {
        let Some(one) = questions.keys.get(&join(place, key)) else {
            continue;
        };
        all.takes.extend(one.takes.iter().cloned());
        all.is_needed |= one.is_needed;
        all.standing = standing(one);
    }
    all
}

/// The place of a key of the section at `place`.
fn join(place: &str, key: &str) -> String {
    match place {
        "" => key.to_owned(),
        place => format!("{place}.{key}"),
    }
}

/// A key that is refused in some sections of a place, as those of the other protocol are, and read in others, is used.
fn standing(asked: &Asked) -> Standing {
    match asked.standing {
        Standing::Refused if !asked.takes.is_empty() => Standing::Used,
        standing => standing,
    }
}

fn takes(asked: &Asked) -> String {
    let all: BTreeSet<&str> = asked.takes.iter().map(String::as_str).collect();
    let all: Vec<_> = all.into_iter().collect();
    all.join(", or ")
}

fn default(asked: &Asked, key: &Key) -> String {
    match (asked.is_needed, key.default) {
        (true, "") => "*needed*".to_owned(),
        (_, default) => default.to_owned(),
    }
}

fn says(asked: &Asked, key: &Key) -> String {
    match asked.standing {
        Standing::Used => key.says.to_owned(),
        Standing::WithoutEffect => format!("*no effect*: {}", key.says),
        Standing::Refused => format!("*refused*: {}", key.says),
    }
}
