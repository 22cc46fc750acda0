//! The bill of materials of an image. Comes in: the image, the crates of its program and what else is linked into it. Goes out:
//! a CycloneDX 1.6 document in JSON, the same for the same input.
//!
//! Source: the JSON schema of CycloneDX 1.6 (`bom`, `component`, `licenseChoice`, `dependency`); package URLs of the types
//! `cargo` and `oci`.

use serde_json::{Value, json};

use crate::crates::{Crate, Id, Linked};
use crate::image::{Image, Packed, timestamp};
use crate::sha256;

/// What no crate says: libraries that the compilers link in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Such as `glibc`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// An SPDX expression.
    pub license: String,
}

/// The document for one image.
pub fn document(
    image: &Image<'_>,
    packed: &Packed,
    linked: &Linked,
    libraries: &[Library],
) -> anyhow::Result<Value> {
    let program_hash = sha256(image.content);
    let mut components = vec![json!({
        "type": "application",
        "bom-ref": "program",
        "name": image.program,
        "version": image.version,
        "hashes": [{"alg": "SHA-256", "content": program_hash}],
    })];
    components.extend(linked.crates.values().map(component));
    components.extend(libraries.iter().map(Library::component));
    let below_program = libraries.iter().map(Library::reference);
    let below_program: Vec<_> = [reference(&linked.root)]
        .into_iter()
        .chain(below_program)
        .collect();
    let mut dependencies = vec![
        json!({"ref": "image", "dependsOn": ["program"]}),
        json!({"ref": "program", "dependsOn": below_program}),
    ];
    dependencies.extend(linked.edges.iter().map(|(from, to)| {
        let to: Vec<_> = to.iter().map(reference).collect();
        json!({"ref": reference(from), "dependsOn": to})
    }));
    dependencies.extend(libraries.iter().map(|l| json!({"ref": l.reference()})));
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(&sha256(packed.digest.as_bytes())),
        "version": 1,
        "metadata": {
            "timestamp": timestamp(image.created)?,
            "tools": {"components": [{"type": "application", "name": "cargo xtask image", "version": image.version}]},
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": image.name,
                "version": image.version,
                "purl": format!("pkg:oci/{}@{}?tag={}", image.program, packed.digest.replace(':', "%3A"), image.version),
            },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(made: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(&made.id),
        "name": made.id.name,
        "version": made.id.version,
        "scope": "required",
    });
    if let Some(license) = &made.license {
        component["licenses"] = json!([{"expression": license}]);
    }
    if let Some(description) = &made.description {
        component["description"] = json!(description.trim());
    }
    // Only what a registry has can be found there: packages of this workspace have no package URL.
    if let Some(checksum) = &made.checksum {
        component["purl"] = json!(reference(&made.id));
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = &made.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// The package URL serves as the name within the document.
fn reference(id: &Id) -> String {
    let version = id.version.replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", id.name)
}

impl Library {
    fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    fn component(&self) -> Value {
        json!({
            "type": "library",
            "bom-ref": self.reference(),
            "name": self.name,
            "version": self.version,
            "scope": "required",
            "licenses": [{"expression": self.license}],
        })
    }
}

/// A UUID that the content decides (version 8 of RFC 9562), of the first digits of a hash.
fn serial(hash: &str) -> String {
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &hash[..8],
        &hash[8..12],
        &hash[13..16],
        &hash[17..20],
        &hash[20..32]
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::crates::linked;
    use crate::crates::tests::{LOCK, METADATA, TREE};

    fn made() -> Value {
        let image = Image {
            program: "it",
            content: b"program",
            name: "l5d/it",
            version: "0.1.0",
            architecture: "amd64",
            created: 1_000_000_000,
            labels: BTreeMap::new(),
            ports: &[],
            folders: &[],
        };
        let packed = Packed {
            reference: image.reference(),
            digest: "sha256:00".to_owned(),
            unpacked: 7,
            packed: 7,
        };
        let linked = linked("it", TREE, METADATA, LOCK).unwrap();
        let glibc = Library {
            name: "glibc".to_owned(),
            version: "2.36".to_owned(),
            license: "LGPL-2.1-or-later".to_owned(),
        };
        document(&image, &packed, &linked, &[glibc]).unwrap()
    }

    #[test]
    fn crates_are_listed_with_licence_source_and_hash() {
        let made = made();
        let components = made["components"].as_array().unwrap();
        let find = |name: &str, kind: &str| {
            let found = components.iter();
            let mut found = found.filter(|c| c["name"] == name && c["type"] == kind);
            found.next().unwrap().clone()
        };
        let a = find("a", "library");
        assert_eq!(a["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(a["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(a["hashes"][0]["content"], "0a");
        assert_eq!(a["externalReferences"][0]["url"], "https://example.org/a");
        assert_eq!(find("glibc", "library")["version"], "2.36");
        let program = find("it", "application");
        assert_eq!(program["hashes"][0]["content"], sha256(b"program"));
        assert!(!components.iter().any(|c| c["name"] == "ring"));
    }

    #[test]
    fn every_reference_leads_to_one_component() {
        let made = made();
        let mut known = BTreeSet::from(["image"]);
        for component in made["components"].as_array().unwrap() {
            let reference = component["bom-ref"].as_str().unwrap();
            assert!(known.insert(reference), "{reference} twice");
        }
        let dependencies = made["dependencies"].as_array().unwrap();
        let from: BTreeSet<_> = dependencies.iter().map(|d| d["ref"].as_str()).collect();
        assert_eq!(from.len(), known.len());
        for dependency in dependencies {
            let to = dependency["dependsOn"].as_array().into_iter().flatten();
            for reference in to.chain([&dependency["ref"]]) {
                assert!(known.contains(reference.as_str().unwrap()), "{reference}");
            }
        }
        assert_eq!(made["metadata"]["timestamp"], "2001-09-09T01:46:40Z");
    }

    #[test]
    fn a_serial_number_is_a_uuid() {
        let hash: String = ('0'..='9').chain('a'..='f').cycle().take(64).collect();
        assert_eq!(
            serial(&hash),
            "urn:uuid:01234567-89ab-8def-8123-456789abcdef"
        );
    }
}
