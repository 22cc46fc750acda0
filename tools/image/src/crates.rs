//! What a program is linked from. Comes in: the texts of `cargo tree`, `cargo metadata` and `Cargo.lock`. Goes out: crates with
//! their licences and checksums, and who depends on whom.
//!
//! The tree says which crates, for it alone knows the features of just these packages: `cargo metadata` unites those of the
//! whole workspace, tests included, and would name crates that are not in the program.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// The arguments of `cargo tree` that make the text read here, after `tree`; packages and target come on top.
pub const TREE: &[&str] = &[
    "--edges=normal,no-proc-macro",
    "--prefix=depth",
    "--no-dedupe",
    "--format= {p}",
];

/// Name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The crate's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// Which.
    pub id: Id,
    /// An SPDX expression.
    pub license: Option<String>,
    /// Where its source is kept.
    pub repository: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// SHA-256 of the file that the registry has; `None` for packages of this workspace.
    pub checksum: Option<String>,
}

/// All crates of one program and their edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The program's own package.
    pub root: Id,
    /// With the root.
    pub crates: BTreeMap<Id, Crate>,
    /// What each depends on.
    pub edges: BTreeMap<Id, BTreeSet<Id>>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    description: Option<String>,
}

/// The crates of `program`, which is one of the roots in `tree`.
pub fn linked(program: &str, tree: &str, metadata: &str, lock: &str) -> anyhow::Result<Linked> {
    let edges = edges(program, tree)?;
    let root = edges.keys().find(|id| id.name == program);
    let root = root.context("a tree has its root")?.clone();
    let metadata: Metadata =
        serde_json::from_str(metadata).context("cannot read what `cargo metadata` says")?;
    let mut packages: HashMap<Id, Package> = metadata
        .packages
        .into_iter()
        .map(|package| {
            let (name, version) = (package.name.clone(), package.version.clone());
            (Id { name, version }, package)
        })
        .collect();
    let checksums = checksums(lock);
    let mut crates = BTreeMap::new();
    for id in edges.keys() {
        let package = packages.remove(id).with_context(|| {
            format!("`cargo metadata` does not know {} {}", id.name, id.version)
        })?;
        let checksum = checksums.get(id).cloned();
        let made = Crate {
            id: id.clone(),
            license: package.license.as_deref().map(expression),
            repository: package.repository,
            description: package.description,
            checksum,
        };
        crates.insert(id.clone(), made);
    }
    Ok(Linked {
        root,
        crates,
        edges,
    })
}

/// Each line is a depth, a name, a version and perhaps a place; depth 0 begins the tree of another package.
fn edges(program: &str, tree: &str) -> anyhow::Result<BTreeMap<Id, BTreeSet<Id>>> {
    let mut edges: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut above: Vec<Id> = Vec::new();
    let mut ours = false;
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (Some(Ok(depth)), Some(name), Some(version)) = (
            words.next().map(str::parse::<usize>),
            words.next(),
            words.next().and_then(|v| v.strip_prefix('v')),
        ) else {
            bail!("cannot read this line of `cargo tree`: {line}");
        };
        if depth == 0 {
            ours = name == program;
        }
        if !ours {
            continue;
        }
        let id = Id {
            name: name.to_owned(),
            version: version.to_owned(),
        };
        above.truncate(depth);
        edges.entry(id.clone()).or_default();
        if let Some(parent) = above.last() {
            edges.entry(parent.clone()).or_default().insert(id.clone());
        }
        above.push(id);
    }
    if edges.is_empty() {
        bail!("`cargo tree` says nothing of {program}");
    }
    Ok(edges)
}

/// `Cargo.lock` is a list of tables; only three keys of each count here.
fn checksums(lock: &str) -> HashMap<Id, String> {
    let value = |table: &str, key: &str| {
        let mut lines = table.lines();
        lines.find_map(|line| {
            let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
            Some(value.strip_suffix('"')?.to_owned())
        })
    };
    lock.split("[[package]]")
        .filter_map(|table| {
            let (name, version) = (value(table, "name")?, value(table, "version")?);
            Some((Id { name, version }, value(table, "checksum")?))
        })
        .collect()
}

/// Old crates separate licences with a slash, which SPDX does not know.
fn expression(license: &str) -> String {
    let parts: Vec<_> = license.split('/').map(str::trim).collect();
    parts.join(" OR ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const TREE: &str = "\
0 other v0.1.0 (/somewhere/other)
1 unrelated v9.0.0

0 it v0.1.0 (/somewhere/it)
1 a v1.0.0
2 c v3.0.0
1 b v2.0.0+meta
2 c v3.0.0
";
    pub(crate) const METADATA: &str = r#"{"packages": [
        {"name": "it", "version": "0.1.0", "license": "Apache-2.0"},
        {"name": "a", "version": "1.0.0", "license": "MIT/Apache-2.0", "repository": "https://example.org/a"},
        {"name": "b", "version": "2.0.0+meta", "license": "MIT", "description": "is b"},
        {"name": "c", "version": "3.0.0"},
        {"name": "ring", "version": "0.17.0", "license": "MIT"}
    ]}"#;
    pub(crate) const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\n\
        checksum = \"0a\"\ndependencies = [\n \"c\",\n]\n\n[[package]]\nname = \"it\"\nversion = \"0.1.0\"\n";

    pub(crate) fn id(name: &str, version: &str) -> Id {
        Id {
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    #[test]
    fn the_tree_of_one_program_has_its_crates_and_edges() {
        let linked = linked("it", TREE, METADATA, LOCK).unwrap();
        let (a, b, c) = (id("a", "1.0.0"), id("b", "2.0.0+meta"), id("c", "3.0.0"));
        let it = id("it", "0.1.0");
        assert_eq!(linked.root, it);
        assert_eq!(linked.edges[&it], BTreeSet::from([a.clone(), b.clone()]));
        assert_eq!(linked.edges[&a], BTreeSet::from([c.clone()]));
        assert_eq!(linked.edges[&c], BTreeSet::new());
        assert!(linked.crates.keys().eq([&a, &b, &c, &it]));
        assert_eq!(
            linked.crates[&a].license.as_deref(),
            Some("MIT OR Apache-2.0")
        );
        assert_eq!(linked.crates[&a].checksum.as_deref(), Some("0a"));
        assert_eq!(linked.crates[&it].checksum, None);
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        assert!(linked("nobody", TREE, METADATA, LOCK).is_err());
        assert!(linked("it", "0 it\n", METADATA, LOCK).is_err());
        assert!(linked("other", TREE, METADATA, LOCK).is_err());
    }
}
