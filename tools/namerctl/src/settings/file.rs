//! `.namerctl.<extension>`: a flat file of texts in one of several languages.
//!
//! It is looked for in `$PWD` and every folder above it, nearest first, as the original does. A file found that way which
//! does not read is told and left out; one named with `--config` must read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::output::remark;

/// In the order in which the original tries them.
const EXTENSIONS: [&str; 8] = [
    "json",
    "toml",
    "yaml",
    "yml",
    "properties",
    "props",
    "prop",
    "hcl",
];

/// Keys, in lower case, and their texts.
#[derive(Debug, Default)]
pub(super) struct File {
    keys: BTreeMap<String, String>,
    folder: PathBuf,
}

impl File {
    /// The named file, or the nearest one, or nothing.
    pub(super) fn find(named: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(named) = named.filter(|n| !n.as_os_str().is_empty()) {
            return Self::read(named);
        }
        let here = match std::env::var_os("PWD").filter(|p| !p.is_empty()) {
            Some(here) => PathBuf::from(here),
            None => std::env::current_dir().unwrap_or_default(),
        };
        let Some(found) = nearest(&here) else {
            return Ok(Self::default());
        };
        Ok(Self::read(&found).unwrap_or_else(|error| {
            remark(&format!("{error:#}"));
            Self::default()
        }))
    }

    /// A key's text, if it has one.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let text = self.keys.get(key).map(String::as_str);
        text.filter(|t| !t.is_empty())
    }

    /// A key's path; a relative one begins where the file is.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.get(key).map(|path| self.folder.join(path))
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("yaml");
        let keys = keys(extension, &text).with_context(|| format!("{}", path.display()))?;
        Ok(Self {
            keys,
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        })
    }
}

fn nearest(here: &Path) -> Option<PathBuf> {
    here.ancestors().find_map(|folder| {
        let files = EXTENSIONS.map(|e| folder.join(format!(".namerctl.{e}")));
        files.into_iter().find(|file| file.is_file())
    })
}

fn keys(extension: &str, text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let value = match extension {
        "toml" | "properties" | "props" | "prop" | "hcl" => return flat(text),
        "json" => serde_json::from_str(text).context("this is not JSON")?,
        _ if text.trim().is_empty() => return Ok(BTreeMap::new()),
        _ => serde_saphyr::from_str(text).context("this is not YAML")?,
    };
    let serde_json::Value::Object(entries) = value else {
        bail!("keys such as base-url are expected");
    };
    let texts = entries.into_iter().filter_map(|(key, value)| match value {
        serde_json::Value::String(text) => Some((key.to_lowercase(), text)),
        _ => None,
    });
    Ok(texts.collect())
}

/// What TOML, properties and HCL have in common: `key = text` or `key = "text"` on a line of its own, above any section.
fn flat(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let mut keys = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            break;
        }
        if line.is_empty() || line.starts_with(['#', '!', '/']) {
            continue;
        }
        let at = line.find(['=', ':', ' ']).unwrap_or(line.len());
        let (key, rest) = line.split_at(at);
        let rest = rest.trim_start().trim_start_matches(['=', ':']).trim();
        let value = unquote(rest).with_context(|| format!("line {}: {line}", i + 1))?;
        keys.insert(key.trim_matches('"').to_lowercase(), value);
    }
    Ok(keys)
}

fn unquote(text: &str) -> anyhow::Result<String> {
    if let Some(rest) = text.strip_prefix('\'') {
        let (inside, _) = rest.split_once('\'').context("a quote is missing")?;
        return Ok(inside.to_owned());
    }
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    let mut texts = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let first = texts.next().context("a quote is missing")?;
    first.context("this is not a quoted text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_says_the_same() {
        let texts = [
            ("yaml", "base-url: http://a:4180\nother: [1, 2]\n"),
            ("json", r#"{"base-url": "http://a:4180", "n": 1}"#),
            (
                "toml",
                "# x\nbase-url = \"http://a:4180\" # y\n[other]\nbase-url = 'z'\n",
            ),
            ("toml", "base-url = 'http://a:4180'\n"),
            ("properties", "! x\nbase-url=http://a:4180\n"),
            ("properties", "Base-URL: http://a:4180\n"),
            ("hcl", "\"base-url\" = \"http://a:4180\"\n"),
        ];
        for (extension, text) in texts {
            let keys = keys(extension, text).expect(text);
            assert_eq!(keys["base-url"], "http://a:4180", "{extension}: {text}");
        }
        assert!(keys("json", "{").is_err());
        assert!(keys("yaml", "- a").is_err());
        assert!(keys("toml", "base-url = \"x").is_err());
        assert!(keys("yaml", "").expect("no keys").is_empty());
    }

    #[test]
    fn the_nearest_file_counts_and_its_paths_begin_beside_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).expect("folders");
        assert_eq!(nearest(&below), None);
        let upper = dir.path().join(".namerctl.yaml");
        std::fs::write(&upper, "tls-ca: ca.pem\n").expect("written");
        assert_eq!(nearest(&below), Some(upper.clone()));
        let file = File::read(&upper).expect("reads");
        assert_eq!(file.path("tls-ca"), Some(dir.path().join("ca.pem")));
        for extension in ["yml", "toml"] {
            let name = format!("a/.namerctl.{extension}");
            std::fs::write(dir.path().join(name), "").expect("written");
        }
        let nearer = dir.path().join("a/.namerctl.toml");
        assert_eq!(nearest(&below), Some(nearer));
    }
}
