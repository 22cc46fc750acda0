//! Writes: create, replace, merge patch, delete.

use serde_json::{Value, json};

use super::kinds::{Kind, Target};
use super::status::Refusal;
use super::store::{Key, Store};

/// POST to a collection. Gives the object.
pub(super) fn create(store: &Store, target: &Target, object: Value) -> Result<Value, Refusal> {
    check(&object)?;
    let name = object["metadata"]["name"].as_str().unwrap_or("");
    if name.is_empty() {
        return Err(Refusal::invalid("metadata.name: Required value"));
    }
    let key = key(target, name)?;
    if key.0.is_namespaced() && !store.has_namespace(&key.1) {
        return Err(Refusal::not_found(Kind::Namespace, &key.1));
    }
    let mut object = Some(object);
    one(store, &key, |now| match now {
        Some(_) => Err(Refusal::exists(key.0, &key.2)),
        None => {
            let mut object = object.take();
            valid(key.0, object.as_ref().unwrap_or(&Value::Null))?;
            if let Some(fields) = object.as_mut().and_then(Value::as_object_mut)
                && key.0.has_status()
            {
                fields.remove("status");
            }
            Ok(object)
        }
    })
}

/// PUT of an object.
pub(super) fn replace(store: &Store, target: &Target, object: Value) -> Result<Value, Refusal> {
    check(&object)?;
    let key = key(target, target.name.as_deref().unwrap_or(""))?;
    let mut object = Some(object);
    one(store, &key, |now| {
        let now = now.ok_or_else(|| Refusal::not_found(key.0, &key.2))?;
        let wanted = object.as_ref().unwrap_or(&Value::Null);
        same_version(&key, now, wanted)?;
        let replaced = object.take();
        Ok(replaced.map(|object| with_status(target, now, object)))
    })
}

/// PATCH of an object with `application/merge-patch+json`.
pub(super) fn patch(store: &Store, target: &Target, patch: &Value) -> Result<Value, Refusal> {
    check(patch)?;
    let key = key(target, target.name.as_deref().unwrap_or(""))?;
    one(store, &key, |now| {
        let now = now.ok_or_else(|| Refusal::not_found(key.0, &key.2))?;
        same_version(&key, now, patch)?;
        let mut merged = now.clone();
        merge(&mut merged, patch);
        valid(key.0, &merged)?;
        Ok(Some(with_status(target, now, merged)))
    })
}

/// DELETE of an object.
pub(super) fn delete(store: &Store, target: &Target) -> Result<Value, Refusal> {
    let key = key(target, target.name.as_deref().unwrap_or(""))?;
    let gone = one(store, &key, |now| match now {
        Some(_) => Ok(None),
        None => Err(Refusal::not_found(key.0, &key.2)),
    })?;
    Ok(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {
            "name": key.2, "group": key.0.group(), "kind": key.0.plural(),
            "uid": gone["metadata"]["uid"],
        },
    }))
}

fn one(
    store: &Store,
    key: &Key,
    mut write: impl FnMut(Option<&Value>) -> Result<Option<Value>, Refusal>,
) -> Result<Value, Refusal> {
    let object = store.write(key, &mut write)?;
    Ok(object.map_or(Value::Null, |object| Value::clone(&object)))
}

fn key(target: &Target, name: &str) -> Result<Key, Refusal> {
    let namespace = match (target.kind.is_namespaced(), &target.namespace) {
        (true, Some(namespace)) => namespace.clone(),
        (false, _) => String::new(),
        (true, None) => return Err(Refusal::bad_request("the namespace is missing in the URL")),
    };
    Ok((target.kind, namespace, name.to_owned()))
}

/// A write of the status changes nothing else, and no other write changes the status.
fn with_status(target: &Target, now: &Value, wanted: Value) -> Value {
    if !target.kind.has_status() {
        return wanted;
    }
    let (mut object, status) = match target.status {
        true => (now.clone(), wanted["status"].clone()),
        false => (wanted, now["status"].clone()),
    };
    if let Some(fields) = object.as_object_mut() {
        match status {
            Value::Null => fields.remove("status"),
            status => fields.insert("status".to_owned(), status),
        };
    }
    object
}

/// What the CustomResourceDefinition asks of a DTab.
fn valid(kind: Kind, object: &Value) -> Result<(), Refusal> {
    if kind != Kind::DTab {
        return Ok(());
    }
    let Some(dentries) = object["dentries"].as_array() else {
        return Err(Refusal::invalid("dentries: Required value"));
    };
    for (i, dentry) in dentries.iter().enumerate() {
        for field in ["prefix", "dst"] {
            if dentry[field].as_str().is_none_or(str::is_empty) {
                let message = format!("dentries[{i}].{field}: Required value");
                return Err(Refusal::invalid(message));
            }
        }
        if !dentry["prefix"]
            .as_str()
            .is_some_and(|p| p.starts_with('/'))
        {
            let message = format!("dentries[{i}].prefix: a prefix is a path and begins with '/'");
            return Err(Refusal::invalid(message));
        }
    }
    Ok(())
}

fn check(object: &Value) -> Result<(), Refusal> {
    let metadata = object.get("metadata");
    if object.is_object() && metadata.is_none_or(Value::is_object) {
        return Ok(());
    }
    Err(Refusal::bad_request("an object with metadata is wanted"))
}

/// Whoever names a version writes only on top of that one.
fn same_version(key: &Key, now: &Value, wanted: &Value) -> Result<(), Refusal> {
    let wanted = &wanted["metadata"]["resourceVersion"];
    if wanted.is_null() || wanted == "" || *wanted == now["metadata"]["resourceVersion"] {
        return Ok(());
    }
    Err(Refusal::conflict(key.0, &key.2))
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            if let Some(fields) = target.as_object_mut() {
                fields.remove(name);
            }
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}
