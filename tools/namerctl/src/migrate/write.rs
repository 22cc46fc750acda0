//! Results to files.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::emit;
use super::input::{Found, Input, Program};
use super::linkerd::StoredDtab;
use super::tree::Node;

/// A file to be written.
#[derive(Debug)]
pub(crate) struct Output {
    /// Below the output folder.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Output {
    pub(crate) fn new(name: &str, text: String) -> Self {
        Self {
            name: name.to_owned(),
            text,
        }
    }
}

/// The configurations, each as a file of its own.
pub(crate) fn configs(inputs: &[Input], found: &[Found], new: Option<&Node>) -> Vec<Output> {
    let of = |config: &Found| {
        let program = match config.program {
            Program::Linkerd => "node",
            Program::Namerd => "namerd",
        };
        let stem = &inputs[config.input].stem;
        let name = if stem == program {
            format!("{program}.yaml")
        } else {
            format!("{stem}.{program}.yaml")
        };
        Output::new(&name, emit::document(&config.root, &config.tail).text())
    };
    let mut outputs: Vec<Output> = found.iter().map(of).collect();
    if let Some(root) = new {
        outputs.push(Output::new("namerd.yaml", emit::document(root, &[]).text()));
    }
    outputs
}

/// A dtab, as `namerctl dtab create NAMESPACE FILE` takes it.
pub(crate) fn dtab(dtab: &StoredDtab) -> Output {
    let name = format!("dtabs/{}.dtab", file_name(&dtab.namespace));
    let text = super::dtabs::outdented(&dtab.text);
    Output::new(&name, text)
}

/// A namespace as a file name that stays in its folder.
fn file_name(namespace: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let safe: String = namespace
        .chars()
        .map(|c| if is_safe(c) { c } else { '_' })
        .collect();
    safe.trim_start_matches('.').to_owned()
}

/// Gives files of one name different ones.
pub(crate) fn distinct(outputs: &mut [Output]) {
    let mut taken = BTreeSet::new();
    for output in outputs {
        let (stem, extension) = match output.name.rsplit_once('.') {
            Some((stem, extension)) => (stem.to_owned(), format!(".{extension}")),
            None => (output.name.clone(), String::new()),
        };
        let mut n = 1;
        while !taken.insert(output.name.clone()) {
            n += 1;
            output.name = format!("{stem}-{n}{extension}");
        }
    }
}

/// Everything in one text, each file below its name.
pub(crate) fn joined(outputs: &[Output]) -> String {
    let show = |o: &Output| {
        let text = o.text.strip_prefix("---\n").unwrap_or(&o.text);
        format!("---\n# {}\n{text}", o.name)
    };
    outputs.iter().map(show).collect()
}

/// Writes all files, or none if one is there already and is not to be replaced.
pub(crate) fn files(folder: &Path, outputs: &[Output], is_forced: bool) -> anyhow::Result<()> {
    for output in outputs {
        let path = folder.join(&output.name);
        if !is_forced && path.exists() {
            bail!(
                "{} is there already; --force replaces it, -o names another folder",
                path.display()
            );
        }
    }
    for output in outputs {
        let path = folder.join(&output.name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        std::fs::write(&path, &output.text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
