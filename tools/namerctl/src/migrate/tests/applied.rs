//! The manifests of the examples, migrated, are taken by the real API server, with every field known.

use anyhow::Context as _;
use http::Method;
use l5d_tests::objects;
use l5d_tests::real::{ADMIN, Binaries, RealCluster};
use serde_json::{Map, Value};

use crate::migrate::tree::{self, Node, Style};
use crate::migrate::{input, migrate, parse};

use super::{args, examples};

fn json(node: &Node) -> Value {
    match &node.value {
        tree::Value::Scalar(s) if s.is_null() => Value::Null,
        tree::Value::Scalar(s) if s.style == Style::Plain => {
            let other = serde_json::from_str(&s.text).ok();
            // A mode in octal, as YAML 1.1 has it.
            let octal = s
                .text
                .strip_prefix('0')
                .and_then(|o| i64::from_str_radix(o, 8).ok());
            let octal = octal.filter(|_| s.text.len() > 1).map(Value::from);
            octal
                .or(other)
                .unwrap_or_else(|| Value::from(s.text.as_str()))
        }
        tree::Value::Scalar(s) => Value::from(s.text.as_str()),
        tree::Value::List(slots) => slots
            .iter()
            .filter(|s| !s.is_off)
            .map(|s| json(&s.node))
            .collect(),
        tree::Value::Map(slots) => {
            let on = slots.iter().filter(|s| !s.is_off);
            let entries = on.map(|s| (s.key.clone().expect("a key"), json(&s.node)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// Where objects of a kind are written to.
fn path(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let root = if version.contains('/') { "apis" } else { "api" };
    let plural = format!("{}s", kind.to_lowercase());
    let is_of_cluster = kind.starts_with("ClusterRole")
        || kind == "CustomResourceDefinition"
        || kind == "Namespace";
    let namespace = object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default");
    let within = if is_of_cluster {
        String::new()
    } else {
        format!("namespaces/{namespace}/")
    };
    format!("/{root}/{version}/{within}{plural}?dryRun=All&fieldValidation=Strict")
}

#[tokio::test]
async fn a_real_api_server_takes_migrated_manifests() -> anyhow::Result<()> {
    let files = examples();
    let Some(binaries) = Binaries::find()?.filter(|_| !files.is_empty()) else {
        return Ok(());
    };
    let cluster = RealCluster::start(&binaries, [127, 0, 0, 1].into(), &[]).await?;
    let api = cluster.client(ADMIN)?;
    for name in ["default", "linkerd"] {
        // `default` may be there already.
        let namespace = objects::namespace(name);
        api.send(Method::POST, "/api/v1/namespaces", &[], Some(&namespace))
            .await?;
    }
    let mut taken = 0;
    for file in files {
        let made = migrate(&[input::read(&file)?], &args())?;
        let manifests = made
            .outputs
            .iter()
            .filter(|o| o.text.contains("\nkind: ") || o.text.starts_with("kind: "));
        for output in manifests.filter(|o| o.text.contains("apiVersion: ")) {
            for document in parse::documents(&output.text, 1)? {
                let object = json(&document.root);
                let answer = api
                    .send(Method::POST, &path(&object), &[], Some(&object))
                    .await?;
                // The role of the test's own namerd has the same name as ours.
                if answer.status != 409 {
                    answer
                        .ok()
                        .with_context(|| format!("{file}: {}\n{object:#}", output.name))?;
                }
                taken += 1;
            }
        }
    }
    assert!(taken > 80, "only {taken} objects were sent");
    Ok(())
}
