//! Files that are to be migrated, and the configurations in them.

use std::path::Path;

use anyhow::Context as _;

use super::tree::{Document, Node, Style, Value};
use super::{emit, parse};

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Linkerd,
    Namerd,
}

/// A file.
#[derive(Debug)]
pub(crate) struct Input {
    /// As the user named it.
    pub(crate) name: String,
    /// Its name without folder and extension.
    pub(crate) stem: String,
    /// Its name without folder.
    pub(crate) base: String,
    pub(crate) documents: Vec<Document>,
    /// Whether it holds Kubernetes objects.
    pub(crate) is_manifest: bool,
}

/// A configuration in a file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) input: usize,
    pub(crate) document: usize,
    pub(crate) program: Program,
    /// The key of the ConfigMap's data; `None`: the file itself.
    pub(crate) data_key: Option<String>,
    /// `ConfigMap/l5d-config`; empty without one.
    pub(crate) object: String,
    pub(crate) root: Node,
    pub(crate) tail: Vec<String>,
}

/// Reads a file, `-` being standard input.
pub(crate) fn read(file: &str) -> anyhow::Result<Input> {
    let text = if file == "-" {
        std::io::read_to_string(std::io::stdin()).context("standard input")?
    } else {
        std::fs::read_to_string(file).with_context(|| file.to_owned())?
    };
    let path = Path::new(file);
    let part = |part: Option<&std::ffi::OsStr>| {
        let part = part.map(|p| p.to_string_lossy().into_owned());
        part.filter(|p| p != "-")
            .unwrap_or_else(|| "stdin".to_owned())
    };
    input(file, part(path.file_stem()), part(path.file_name()), &text)
}

pub(crate) fn input(name: &str, stem: String, base: String, text: &str) -> anyhow::Result<Input> {
    let documents = parse::documents(text, 1).with_context(|| name.to_owned())?;
    let documents: Vec<Document> = documents.into_iter().flat_map(items).collect();
    let is_object =
        |d: &Document| d.root.get("apiVersion").is_some() && d.root.get("kind").is_some();
    Ok(Input {
        name: name.to_owned(),
        stem,
        base,
        is_manifest: documents.iter().any(is_object),
        documents,
    })
}

/// The objects of a `List`, as `kubectl get -o yaml` writes it; any other document itself.
fn items(document: Document) -> Vec<Document> {
    if document.root.word("kind") != Some("List") {
        return vec![document];
    }
    let items = document.root.get("items").map_or(&[][..], Node::items);
    let alone = |slot: &super::tree::Slot| Document {
        root: slot.node.clone(),
        tail: Vec::new(),
        text: emit::document(&slot.node, &[]).text(),
    };
    items.iter().map(alone).collect()
}

/// `ConfigMap/l5d-config`.
pub(crate) fn object_name(root: &Node) -> String {
    let kind = root.word("kind").unwrap_or("object");
    let name = root.at(&["metadata", "name"]).and_then(Node::str);
    format!("{kind}/{}", name.unwrap_or("?"))
}

/// All configurations of all files.
pub(crate) fn find(inputs: &[Input]) -> Vec<Found> {
    let mut found = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        for (d, document) in input.documents.iter().enumerate() {
            if let Some(program) = program(&document.root) {
                found.push(Found {
                    input: i,
                    document: d,
                    program,
                    data_key: None,
                    object: String::new(),
                    root: document.root.clone(),
                    tail: document.tail.clone(),
                });
            }
            if document.root.word("kind") == Some("ConfigMap") {
                found.extend(in_config_map(i, d, &document.root));
            }
        }
    }
    found
}

fn in_config_map(input: usize, document: usize, root: &Node) -> Vec<Found> {
    let slots = root.get("data").map_or(&[][..], Node::slots);
    let read = slots.iter().filter_map(|slot| {
        let Value::Scalar(scalar) = &slot.node.value else {
            return None;
        };
        let first_line = slot.line + usize::from(scalar.style == Style::Block);
        let mut documents = parse::documents(&scalar.text, first_line).ok()?;
        let document_in = documents.pop().filter(|_| documents.is_empty())?;
        Some(Found {
            input,
            document,
            program: program(&document_in.root)?,
            data_key: slot.key.clone(),
            object: object_name(root),
            root: document_in.root,
            tail: document_in.tail,
        })
    });
    read.collect()
}

/// Linkerd has routers, namerd a store and interfaces.
fn program(root: &Node) -> Option<Program> {
    if root.get("routers").is_some_and(|r| !r.items().is_empty()) {
        return Some(Program::Linkerd);
    }
    let is_list = |key| root.get(key).is_some_and(|n| !n.items().is_empty());
    (root.get("storage").is_some_and(Node::is_map) || is_list("interfaces"))
        .then_some(Program::Namerd)
}
