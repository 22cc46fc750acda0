//! What is rendered from the Helm chart: plain YAML and a kustomize base, for those who have no Helm. The chart is the source; a
//! test fails while a rendered file differs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::kubectl;
use crate::run::root;

const CHART: &str = "deploy/chart/l5d";
const CRD: &str = "deploy/dtabs.l5d.io.yaml";
/// The chart cannot read files outside of its folder.
const CRD_OF_CHART: &str = "deploy/chart/l5d/files/dtabs.l5d.io.yaml";
/// Plain YAML, what it is, and the chart's values for it.
const PLAIN: [(&str, &str, &str); 3] = [
    (
        "deploy/l5d.yaml",
        "a proxy on each host, behind a port of it",
        "",
    ),
    (
        "deploy/l5d-host-network.yaml",
        "a proxy on each host, in its network",
        ",hostNetwork=true",
    ),
    (
        "deploy/l5d-sidecar.yaml",
        "a proxy in each pod of `default` that has a container for it",
        ",mode=sidecar",
    ),
];
const BASE: &str = "deploy/kustomize/base";
const WRITTEN: &str = "# Written by `cargo xtask chart` from deploy/chart/l5d.\n";

/// Writes all rendered files.
pub(crate) fn write() -> anyhow::Result<()> {
    take_crd()?;
    let programs = kubectl::obtain()?;
    let (_, helm) = programs.first().context("helm is obtained first")?;
    for (file, text) in rendered(helm)? {
        let path = root().join(&file);
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Copies the definition of dtabs into the chart.
pub(crate) fn take_crd() -> anyhow::Result<()> {
    let to = root().join(CRD_OF_CHART);
    std::fs::copy(root().join(CRD), &to)
        .with_context(|| format!("cannot write {}", to.display()))?;
    println!("{}", to.display());
    Ok(())
}

/// The files and what they hold, from the chart as it is now.
fn rendered(helm: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    for (file, what, values) in PLAIN {
        let objects = objects(&template(helm, values)?)?;
        let all: Vec<&str> = objects.iter().map(|(_, text)| text.as_str()).collect();
        let head = format!(
            "# The mesh in the namespace l5d, with {what}: kubectl apply --server-side -f {file}\n{WRITTEN}"
        );
        files.insert(file.into(), format!("{head}---\n{}", all.join("---\n")));
        if values.is_empty() {
            add_base(&objects, &mut files);
        }
    }
    Ok(files)
}

fn template(helm: &Path, values: &str) -> anyhow::Result<String> {
    let output = Command::new(helm)
        .args(["template", "l5d"])
        .arg(root().join(CHART))
        .args(["--namespace", "l5d", "--set"])
        .arg(format!("namespace.create=true{values}"))
        .output()
        .with_context(|| format!("cannot start {}", helm.display()))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("helm template failed: {why}");
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A file for each part of the chart, and the one that names them.
fn add_base(objects: &[(String, String)], files: &mut BTreeMap<PathBuf, String>) {
    let mut parts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (part, text) in objects {
        parts.entry(part).or_default().push(text);
    }
    for (part, texts) in &parts {
        let file = Path::new(BASE).join(format!("{part}.yaml"));
        files.insert(file, format!("{WRITTEN}---\n{}", texts.join("---\n")));
    }
    let names: String = parts
        .keys()
        .map(|part| format!("- {part}.yaml\n"))
        .collect();
    let base = format!(
        "{WRITTEN}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{names}"
    );
    files.insert(Path::new(BASE).join("kustomization.yaml"), base);
}

/// Each object with the part of the chart that it comes from, in the order in which they are to be applied: namespace and
/// definitions first.
fn objects(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    const SOURCE: &str = "# Source: l5d/templates/";
    let mut objects = Vec::new();
    for document in text
        .split("---\n")
        .filter(|document| !document.trim().is_empty())
    {
        let (source, body) = document.split_once('\n').context("an object")?;
        let source = source
            .strip_prefix(SOURCE)
            .with_context(|| format!("whence is {source}"))?;
        let part = source.split(['/', '.']).next().unwrap_or_default();
        // Nobody's release.
        let kept = body
            .lines()
            .filter(|line| !line.contains("app.kubernetes.io/managed-by:"));
        let body: String = kept.map(|line| format!("{}\n", line.trim_end())).collect();
        let body = body.trim_start_matches('\n').to_owned();
        objects.push((part.to_owned(), body));
    }
    let order = |part: &str| {
        ["namespace", "crd"]
            .iter()
            .position(|first| *first == part)
            .unwrap_or(2)
    };
    objects.sort_by_key(|(part, _)| order(part));
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_in_the_order_of_their_needs() {
        let text = "---\n# Source: l5d/templates/namerd/rights.yaml\nkind: Role\nmetadata:\n  labels:\n    \
                    app.kubernetes.io/managed-by: Helm\n---\n# Source: l5d/templates/namespace.yaml\nkind: Namespace\n";
        let found = objects(text).expect("good");
        let expected = [
            ("namespace", "kind: Namespace\n"),
            ("namerd", "kind: Role\nmetadata:\n  labels:\n"),
        ];
        assert_eq!(
            found,
            expected.map(|(part, text)| (part.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn the_chart_has_the_definition_of_today() {
        let read = |file| std::fs::read_to_string(root().join(file)).expect("is there");
        assert!(read(CRD) == read(CRD_OF_CHART), "run `cargo xtask chart`");
    }

    /// Left out, with a line, where Helm has not been obtained; `cargo xtask test` obtains it.
    #[test]
    fn rendered_files_are_of_todays_chart() {
        let helm = crate::kubectl::helm().expect("a cache folder");
        if !helm.exists() {
            let required = std::env::var_os("L5D_REQUIRE_CLUSTER").is_some_and(|set| set == "1");
            assert!(!required, "{} is missing", helm.display());
            eprintln!(
                "skipped: {} is missing; `cargo xtask cluster` obtains it",
                helm.display()
            );
            return;
        }
        let rendered = rendered(&helm).expect("the chart renders");
        for (file, text) in &rendered {
            let there = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            assert!(
                there == *text,
                "{} is stale: run `cargo xtask chart`",
                file.display()
            );
        }
        let base = std::fs::read_dir(root().join(BASE)).expect("the base");
        for file in base.filter_map(Result::ok) {
            let file = Path::new(BASE).join(file.file_name());
            assert!(
                rendered.contains_key(&file),
                "{} is rendered by nothing",
                file.display()
            );
        }
    }
}
