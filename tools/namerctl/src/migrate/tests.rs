//! The published example manifests, migrated: they load, say what they must, and nothing of them is lost without a word.
//! They are read from the folder beside the repository; without it these tests say so and end.

mod applied;
mod examples;
mod kept;
mod laws;
mod lost;
mod parts;
mod sink;

use std::path::PathBuf;

use super::input::{self, Input};
use super::{Form, Made, MigrateArgs, migrate};

const EXAMPLES: &str = "../shared/compat/linkerd-examples";

/// The arguments that the command has without flags.
fn args() -> MigrateArgs {
    MigrateArgs {
        files: Vec::new(),
        output: PathBuf::new(),
        stdout: false,
        force: false,
        report: Form::Text,
        namerd: None,
        store_dtabs: false,
        node_image: "l5d-node:test".to_owned(),
        namerd_image: "namerd:test".to_owned(),
    }
}

/// All examples by name, or nothing, with a message.
fn examples() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(EXAMPLES);
    let Ok(folder) = std::fs::read_dir(&root) else {
        eprintln!("left out: {} is not there", root.display());
        return Vec::new();
    };
    let path = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("an entry").path().display().to_string()
    };
    let mut files: Vec<String> = folder.map(path).collect();
    files.sort();
    files
}

fn example(name: &str) -> Option<(Input, Made)> {
    let file = examples()
        .into_iter()
        .find(|f| f.ends_with(&format!("/{name}")))?;
    let inputs = [input::read(&file).expect("it is YAML")];
    let made = migrate(&inputs, &args()).expect("it migrates");
    let [input] = inputs;
    Some((input, made))
}

/// A configuration that is not in a file.
fn made_of(text: &str) -> Made {
    let inputs = [input::input(
        "linkerd.yaml",
        "linkerd".to_owned(),
        "linkerd.yaml".to_owned(),
        text,
    )
    .expect("it is YAML")];
    migrate(&inputs, &args()).expect("it migrates")
}

impl Made {
    fn text(&self, ending: &str) -> &str {
        let found = self.outputs.iter().find(|o| o.name.ends_with(ending));
        match found {
            Some(output) => &output.text,
            None => panic!(
                "no {ending} among {:?}",
                self.outputs.iter().map(|o| &o.name).collect::<Vec<_>>()
            ),
        }
    }
}
