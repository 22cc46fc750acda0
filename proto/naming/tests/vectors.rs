//! The shared example vectors of paths, trees and dtabs. Skipped where they are not at hand.

use l5d_naming::{Dtab, Eval, NameTree, ParseError, Path};
use serde_json::{Value, json};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/spec/naming-examples.json"
);

/// The vectors of one section, or none with a message.
fn vectors(section: &str) -> Vec<Value> {
    let Ok(text) = std::fs::read_to_string(FILE) else {
        println!("skipped: {FILE} cannot be read");
        return Vec::new();
    };
    let all: Value = serde_json::from_str(&text).expect("JSON");
    all[section].as_array().expect("a list").clone()
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().expect("a text")
}

/// The value, if the vector has one; otherwise checks the place of the error.
fn read<T: std::fmt::Debug>(vector: &Value, result: Result<T, ParseError>) -> Option<T> {
    if vector["ok"] == true {
        return Some(result.expect("a value"));
    }
    assert_eq!(
        vector["error_pos"],
        result.expect_err("an error").offset,
        "{vector}"
    );
    None
}

fn ast(tree: &NameTree<Path>) -> Value {
    match tree {
        NameTree::Leaf(path) => json!({"leaf": path.to_string()}),
        NameTree::Alt(trees) => json!({"alt": trees.iter().map(ast).collect::<Vec<_>>()}),
        NameTree::Union(branches) => {
            let branch = |b: &l5d_naming::Weighted<Path>| json!({"weight": b.weight.value(), "tree": ast(&b.tree)});
            json!({"union": branches.iter().map(branch).collect::<Vec<_>>()})
        }
        NameTree::Neg => json!("neg"),
        NameTree::Fail => json!("fail"),
        NameTree::Empty => json!("empty"),
    }
}

#[test]
fn paths() {
    for vector in vectors("paths") {
        let Some(path) = read(&vector, Path::parse(text(&vector, "text"))) else {
            continue;
        };
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let elems: Vec<_> = path.elems().iter().map(|e| hex(e.as_bytes())).collect();
        assert_eq!(vector["elems_hex"], json!(elems));
        assert_eq!(vector["shown"], path.to_string());
    }
}

#[test]
fn trees() {
    for vector in vectors("nametrees") {
        let Some(tree) = read(&vector, NameTree::parse(text(&vector, "text"))) else {
            continue;
        };
        assert_eq!(vector["ast"], ast(&tree));
        assert_eq!(vector["shown"], tree.to_string());
        assert_eq!(vector["simplified_ast"], ast(&tree.simplify()));
        assert_eq!(vector["simplified"], tree.simplify().to_string());
        let value = match tree.eval() {
            Eval::Neg | Eval::Fail => Value::Null,
            Eval::Leaves(leaves) => {
                let mut leaves: Vec<_> = leaves.iter().map(ToString::to_string).collect();
                leaves.sort();
                json!(leaves)
            }
        };
        assert_eq!(vector["eval"], value, "{vector}");
    }
}

#[test]
fn dtabs() {
    for vector in vectors("dtabs") {
        if vector["op"] == "lookup" {
            let dtab = Dtab::parse(text(&vector, "dtab")).unwrap();
            let found = dtab.lookup(&Path::parse(text(&vector, "path")).unwrap());
            assert_eq!(vector["result_ast"], ast(&found));
            assert_eq!(vector["result"], found.to_string());
            continue;
        }
        let Some(dtab) = read(&vector, Dtab::parse(text(&vector, "text"))) else {
            continue;
        };
        let entries = dtab.entries().iter();
        let entries: Vec<_> = entries
            .map(|d| json!({"prefix": d.prefix.to_string(), "dst": d.dst.to_string()}))
            .collect();
        assert_eq!(vector["dentries"], json!(entries));
        assert_eq!(vector["shown"], dtab.to_string());
    }
}
