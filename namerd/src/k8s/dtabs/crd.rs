//! The CustomResourceDefinition of `dtabs.l5d.io`, from the types of [`super::wire`].

use kube::core::schema::StructuralSchemaRewriter;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::wire::DTab;

/// What stands above it in the file.
const HEAD: &str = "\
# Dtabs as objects of Kubernetes, for `storage: {kind: io.l5d.k8s}`. Objects that Linkerd 1.x wrote are kept and served.
# Written by `cargo xtask crd` from namerd/src/k8s/dtabs/wire.rs; also printed by `namerd --crd`.
";

/// The definition as YAML.
pub fn yaml() -> String {
    let yaml = serde_saphyr::to_string(&definition()).expect("JSON becomes YAML");
    format!("{HEAD}{yaml}")
}

fn definition() -> Value {
    let column =
        |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let mut message = column("Message", "string", ".status.message");
    message["priority"] = json!(1);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "dtabs.l5d.io"},
        "spec": {
            "group": "l5d.io",
            "scope": "Namespaced",
            "names": {
                "kind": "DTab", "listKind": "DTabList", "plural": "dtabs", "singular": "dtab",
                "shortNames": ["dt"], "categories": ["l5d"],
            },
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    column("Valid", "boolean", ".status.valid"),
                    column("Entries", "integer", ".status.entries"),
                    column("Age", "date", ".metadata.creationTimestamp"),
                    message,
                ],
                "schema": {"openAPIV3Schema": schema()},
            }],
        },
    })
}

/// A structural schema: nothing is referred to, everything has a type.
fn schema() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let settings = settings.with_transform(StructuralSchemaRewriter);
    let schema = settings.into_generator().into_root_schema_for::<DTab>();
    let mut schema = schema.to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_definition_is_the_one_of_the_types() {
        let shipped = include_str!("../../../../deploy/dtabs.l5d.io.yaml");
        assert!(
            shipped == yaml(),
            "run `cargo xtask crd`; it would be:\n{}",
            yaml()
        );
    }

    #[test]
    fn control_plane_12_3_entries_are_at_the_top_and_required() {
        let schema = schema();
        assert_eq!(schema["required"], json!(["dentries"]));
        let dentries = &schema["properties"]["dentries"];
        assert_eq!(dentries["x-kubernetes-list-type"], "atomic");
        assert_eq!(dentries["items"]["required"], json!(["dst", "prefix"]));
        assert!(!schema.to_string().contains("$ref"));
    }
}
