//! The `bind` and `delegate` vectors of the naming examples.

use std::path::PathBuf;

use serde_json::Value;

use super::delegation::{delegate, json};
use super::*;
use crate::bind::namers::{RewriteNamer, TransformedNamer};

fn examples() -> Option<Value> {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/spec/naming-examples.json");
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            println!("skipped: the naming examples are not at {}", file.display());
            None
        }
    }
}

fn world(vector: &Value) -> World {
    let files: Vec<_> = vector["fs"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_str().unwrap()))
        .collect();
    World::with(&files, |parts| {
        let namers = vector["namers"].as_array().into_iter().flatten();
        namers.map(|config| namer(config, parts)).collect()
    })
}

fn namer(config: &Value, parts: &Parts) -> Arc<dyn Namer> {
    let text = |key: &str| config[key].as_str().unwrap();
    let namer: Arc<dyn Namer> = match text("kind") {
        "io.l5d.fs" => parts.fs(text("prefix")),
        "io.l5d.rewrite" => {
            let namer = RewriteNamer::new(&path(text("prefix")), text("pattern"), text("name"));
            Arc::new(namer.unwrap())
        }
        other => panic!("{other}"),
    };
    let transformers: Vec<_> = config["transformers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| {
            let spec = TransformerSpec {
                port: t["port"].to_string(),
                ..spec(t["kind"].as_str().unwrap())
            };
            parts.transforms.build(&spec).unwrap()
        })
        .collect();
    Arc::new(TransformedNamer::new(
        namer,
        transformers,
        Arc::clone(&parts.system),
    ))
}

async fn question(world: &World, vector: &Value) -> BindKey {
    let rules = vector["dtab"].as_str().unwrap();
    world.store.put("default", dtab(rules)).await.unwrap();
    stored(
        vector["local_dtab"].as_str().unwrap_or_default(),
        vector["path"].as_str().unwrap(),
    )
}

#[tokio::test]
async fn bind_vectors() {
    let Some(examples) = examples() else { return };
    for vector in examples["bind"].as_array().unwrap() {
        let name = &vector["name"];
        let world = world(vector);
        let binding = world.ask(&question(&world, vector).await);
        world.settle();
        let expect = &vector["expect"];
        let state = &binding.state.get().1;
        let kind = match state {
            BindState::Failed(_) => "error",
            BindState::Pending => "pending",
            BindState::Tree(NameTree::Leaf(_)) => "leaf",
            BindState::Tree(NameTree::Union(_)) => "union",
            BindState::Tree(NameTree::Neg) => "neg",
            BindState::Tree(NameTree::Fail) => "fail",
            BindState::Tree(NameTree::Empty | NameTree::Alt(_)) => "other",
        };
        assert_eq!(
            Some(kind),
            expect["kind"].as_str(),
            "{name}: {}",
            show(&binding)
        );
        let expected = expect["leaves"].as_array().cloned().unwrap_or_default();
        let found = leaves(&binding);
        assert_eq!(found.len(), expected.len(), "{name}");
        for (leaf, expected) in found.iter().zip(&expected) {
            check_leaf(name, leaf, expected);
        }
        if let BindState::Tree(NameTree::Union(branches)) = state {
            let weights: Vec<_> = branches.iter().map(|b| b.weight.value()).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|l| l["weights"][0].as_f64().unwrap())
                .collect();
            assert_eq!(weights, expected, "{name}");
        }
    }
}

fn check_leaf(name: &Value, leaf: &BoundLeaf, expected: &Value) {
    assert_eq!(
        leaf.cluster.id.to_string(),
        expected["id"].as_str().unwrap(),
        "{name}"
    );
    assert_eq!(
        leaf.residual.to_string(),
        expected["residual"].as_str().unwrap(),
        "{name}"
    );
    let set = leaf.cluster.bound().unwrap();
    let addrs: Vec<_> = set.endpoints().iter().map(|e| e.addr.to_string()).collect();
    let texts = |v: &Value| -> Vec<String> {
        let texts = v.as_array().unwrap().iter();
        texts.map(|t| t.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(addrs, texts(&expected["addrs"]), "{name}");
    if let Some(weights) = expected["addr_weights"].as_array() {
        let expected: Vec<_> = weights.iter().map(|w| w.as_f64().unwrap_or(1.0)).collect();
        let weights: Vec<_> = set.endpoints().iter().map(|e| e.weight.to_f64()).collect();
        assert_eq!(weights, expected, "{name}");
    }
    let noted = expected["addr_meta"]["namer_nametree_weight"].as_f64();
    assert_eq!(
        leaf.tree_weight.map(l5d_naming::Weight::value),
        noted,
        "{name}"
    );
}

#[tokio::test]
async fn delegate_vectors() {
    let Some(examples) = examples() else { return };
    for vector in examples["delegate"].as_array().unwrap() {
        let world = world(vector);
        let key = question(&world, vector).await;
        let delegation = delegate(&world, &key).await.unwrap();
        assert_eq!(json(&delegation), vector["expect"], "{}", vector["name"]);
    }
}
