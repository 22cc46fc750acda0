//! Manifests with new configurations in them.

use super::deploy::{self, Deployment};
use super::emit;
use super::input::{Found, Input, Program, object_name};
use super::objects::{self, Workloads};
use super::report::{Fate, Report};
use super::tree::{Document, Node};
use super::write::Output;

/// What manifests are made of.
#[derive(Debug)]
pub(crate) struct Manifests<'a> {
    pub(crate) inputs: &'a [Input],
    /// Converted.
    pub(crate) found: &'a [Found],
    /// The configuration of a namerd that the input had not.
    pub(crate) namerd: Option<&'a Node>,
    pub(crate) namespace: Option<String>,
    /// What nodes follow that name no namerd.
    pub(crate) address: Option<String>,
    pub(crate) node_image: &'a str,
    pub(crate) namerd_image: &'a str,
}

impl Manifests<'_> {
    /// One manifest for each that came in, and one for a new namerd.
    pub(crate) fn convert(&self, report: &mut Report) -> Vec<Output> {
        let workloads = Workloads {
            config_maps: self.config_maps(),
            node_image: self.node_image.to_owned(),
            namerd_image: self.namerd_image.to_owned(),
            namerd: self.address.clone(),
        };
        let mut outputs = Vec::new();
        for (i, input) in self
            .inputs
            .iter()
            .enumerate()
            .filter(|(_, i)| i.is_manifest)
        {
            let mut text = String::new();
            let mut has_changed = false;
            for (d, document) in input.documents.iter().enumerate() {
                let mut root = document.root.clone();
                let mut noter = report.noter(&input.name, "");
                let is_config = self.put_configs(i, d, &mut root);
                let is_new = objects::convert(&mut root, &workloads, &mut noter) || is_config;
                has_changed |= is_new;
                text.push_str(&shown(document, &root, d, is_new));
            }
            if !has_changed {
                let message = "nothing in this file is for linkerd or namerd, or has to change; it is copied as it is";
                report
                    .noter(&input.name, "")
                    .note(Fate::Note, 0, "", message, None);
            }
            text.push_str(&self.access(i, report));
            outputs.push(Output::new(&input.base, text));
        }
        outputs.extend(self.new_namerd(report));
        outputs
    }

    fn config_maps(&self) -> Vec<(String, Program)> {
        let in_map = self.found.iter().filter(|f| f.data_key.is_some());
        let name = |f: &Found| {
            let root = &self.inputs[f.input].documents[f.document].root;
            let name = root.at(&["metadata", "name"])?.str()?;
            Some((name.to_owned(), f.program))
        };
        in_map.filter_map(name).collect()
    }

    fn put_configs(&self, input: usize, document: usize, root: &mut Node) -> bool {
        let here = |f: &&Found| f.input == input && f.document == document;
        let mut has_changed = false;
        for config in self.found.iter().filter(here) {
            let Some(key) = &config.data_key else {
                continue;
            };
            let text = emit::document(&config.root, &config.tail).text();
            if let Some(data) = root.get_mut("data") {
                data.set(key, Node::text(&text));
                has_changed = true;
            }
        }
        has_changed
    }

    /// Access for a namerd of the input, when no file says what it may do.
    fn access(&self, input: usize, report: &mut Report) -> String {
        let is_namerd =
            |f: &&Found| f.input == input && f.program == Program::Namerd && f.data_key.is_some();
        let Some(config) = self.found.iter().find(is_namerd) else {
            return String::new();
        };
        let documents = || self.inputs.iter().flat_map(|i| &i.documents);
        let is_role = |d: &Document| d.root.word("kind") == Some("ClusterRole");
        if documents().any(is_role) {
            return String::new();
        }
        let own = &self.inputs[input].documents;
        let account = own.iter().find_map(|d| {
            let pod = d.root.at(&["spec", "template", "spec"])?;
            pod.word("serviceAccountName")
                .or(pod.word("serviceAccount"))
        });
        let account = account.unwrap_or("default");
        let name = &self.inputs[input].name;
        let message = format!(
            "a ClusterRole `namerd`, bound to the service account `{account}`: no role was in the files"
        );
        let help = "leave it out if the account has these rights already";
        let mut noter = report.noter(name, &config.object);
        noter.note(Fate::Added, 0, "ClusterRole/namerd", message, Some(help));
        deploy::access(account, self.namespace.as_deref())
    }

    fn new_namerd(&self, report: &mut Report) -> Option<Output> {
        let root = self.namerd?;
        let input = self.inputs.iter().find(|i| i.is_manifest)?;
        let config = emit::document(root, &[]).text();
        let text = deploy::namerd(&Deployment {
            namespace: self.namespace.as_deref(),
            image: self.namerd_image,
            config: &config,
        });
        let message = "a Deployment `namerd` with its Service, configuration, service account and role; apply it before the nodes";
        let help = format!(
            "the role is bound to the service account in the Kubernetes namespace `{}`; node proxies need no access to the API \
             server themselves",
            self.namespace.as_deref().unwrap_or("default")
        );
        let mut noter = report.noter(&input.name, "");
        noter.note(Fate::Added, 0, "namerd.manifest.yaml", message, Some(&help));
        Some(Output::new("namerd.manifest.yaml", text))
    }
}

/// A document, as it came if nothing changed.
fn shown(document: &Document, root: &Node, index: usize, is_new: bool) -> String {
    let separator = if index > 0 { "---\n" } else { "" };
    if is_new {
        let text = emit::document(root, &document.tail).text();
        return format!("{separator}{text}");
    }
    let text = document
        .text
        .trim_start_matches("---")
        .trim_start_matches('\n');
    let text = text.trim_end();
    if text.is_empty() || object_name(root) == "object/?" {
        return String::new();
    }
    format!("{separator}{text}\n")
}
