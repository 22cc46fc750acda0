//! The double's objects, with one counter of resource versions and a history to watch from, as in etcd.
//!
//! Comes in: writes. Goes out: objects as of any resource version that has not been compacted, changes after one, and a
//! wake-up. A watcher keeps only its position, so a slow one costs nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::kinds::Kind;
use super::status::Refusal;

/// How many changes are kept before the oldest are compacted.
const HISTORY: usize = 100_000;

/// An object's key; the order is the order of lists.
pub(super) type Key = (Kind, String, String);
/// Objects in the order of lists.
pub(super) type Listed = Vec<(Key, Arc<Value>)>;
type Objects = BTreeMap<Key, Arc<Value>>;

/// Objects and their history. Every write counts one resource version up, for all kinds together.
#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
    moved: watch::Sender<u64>,
}

/// The objects at some time, to go back to.
#[derive(Clone, Debug)]
pub struct Snapshot {
    version: u64,
    objects: Objects,
}

/// One change of one object: created without `before`, deleted without `after`.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) before: Option<Arc<Value>>,
    pub(super) after: Option<Arc<Value>>,
    /// What a deletion shows: the last content with the version of the deletion.
    pub(super) deleted: Option<Arc<Value>>,
}

#[derive(Debug)]
struct Inner {
    version: u64,
    /// Changes up to this version are forgotten.
    floor: u64,
    objects: Objects,
    history: VecDeque<Arc<Change>>,
    created: u64,
}

/// What a write does to the object that is there.
type Write<'a> = dyn FnMut(Option<&Value>) -> Result<Option<Value>, Refusal> + 'a;

impl Store {
    pub(super) fn new() -> Self {
        let inner = Inner {
            version: 1,
            floor: 0,
            objects: Objects::new(),
            history: VecDeque::new(),
            created: 0,
        };
        Self {
            inner: Mutex::new(inner),
            moved: watch::channel(1).0,
        }
    }

    /// The newest resource version.
    pub fn version(&self) -> u64 {
        self.inner.lock().version
    }

    /// One object as it is now.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.inner.lock().objects.get(&key).cloned()
    }

    /// Puts an object in whatever it is, also a malformed one: the double knows no schema. Its namespace need not exist.
    pub fn put(&self, kind: Kind, object: Value) -> Arc<Value> {
        let part = |name: &str| object["metadata"][name].as_str().unwrap_or("").to_owned();
        let key = (kind, part("namespace"), part("name"));
        let mut object = Some(object);
        let write = &mut |_: Option<&Value>| Ok(object.take());
        match self.write(&key, write) {
            Ok(Some(object)) => object,
            _ => unreachable!("the write above gives an object and no refusal"),
        }
    }

    /// Takes an object out; says whether it was there.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let mut found = false;
        let write = &mut |now: Option<&Value>| {
            found = now.is_some();
            Ok(None)
        };
        let _ = self.write(&key, write);
        found
    }

    /// Forgets the history: who is behind now gets 410.
    pub fn compact(&self) {
        let mut inner = self.inner.lock();
        inner.floor = inner.version;
        inner.history.clear();
    }

    /// What to go back to with [`Store::restore`].
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.inner.lock();
        Snapshot {
            version: inner.version,
            objects: inner.objects.clone(),
        }
    }

    /// Goes back in time, resource versions too, as a restored backup of etcd does. Open watches hear nothing of it.
    pub fn restore(&self, snapshot: &Snapshot) {
        let version = snapshot.version;
        {
            let mut inner = self.inner.lock();
            inner.version = version;
            inner.floor = version;
            inner.objects = snapshot.objects.clone();
            inner.history.clear();
        }
        self.moved.send_replace(version);
    }

    /// Woken by every change.
    pub(super) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// One write under the lock: what the closure gives becomes the object, `None` deletes it. A write that changes nothing
    /// costs no version and is no event. Gives the object as it is then (for a deletion: as it was).
    pub(super) fn write(
        &self,
        key: &Key,
        write: &mut Write<'_>,
    ) -> Result<Option<Arc<Value>>, Refusal> {
        let (object, version) = {
            let mut inner = self.inner.lock();
            let object = inner.write(key, write)?;
            (object, inner.version)
        };
        self.moved.send_replace(version);
        Ok(object)
    }

    /// Whether a namespace exists.
    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.get(Kind::Namespace, "", name).is_some()
    }

    /// A kind's objects as of a version (`None`: now), in order, and that version.
    pub(super) fn list(&self, kind: Kind, at: Option<u64>) -> Result<(u64, Listed), Refusal> {
        let inner = self.inner.lock();
        let at = at.unwrap_or(inner.version);
        if at < inner.floor {
            return Err(Refusal::expired(at, inner.floor));
        }
        let mut objects: Objects = of_kind(&inner.objects, kind);
        let undone = inner.history.iter().rev();
        for change in undone.take_while(|change| change.version > at) {
            if change.key.0 != kind {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        Ok((at, objects.into_iter().collect()))
    }

    /// Changes of a kind after a version, in order, and the version that has been reached.
    pub(super) fn changes(
        &self,
        kind: Kind,
        after: u64,
    ) -> Result<(u64, Vec<Arc<Change>>), Refusal> {
        let inner = self.inner.lock();
        if after < inner.floor {
            return Err(Refusal::expired(after, inner.floor));
        }
        let first = inner.history.partition_point(|c| c.version <= after);
        let changes = inner.history.range(first..).filter(|c| c.key.0 == kind);
        // Who asks from the future stays there.
        Ok((inner.version.max(after), changes.cloned().collect()))
    }
}

/// What a generation counts the changes of.
fn content(object: &Value) -> Value {
    let mut content = object.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("metadata");
        fields.remove("status");
    }
    content
}

fn of_kind(objects: &Objects, kind: Kind) -> Objects {
    let first = (kind, String::new(), String::new());
    let range = objects.range(first..).take_while(|(key, _)| key.0 == kind);
    range.map(|(k, v)| (k.clone(), Arc::clone(v))).collect()
}

impl Inner {
    fn write(&mut self, key: &Key, write: &mut Write<'_>) -> Result<Option<Arc<Value>>, Refusal> {
        let before = self.objects.get(key).cloned();
        let Some(mut object) = write(before.as_deref())? else {
            let Some(before) = before else {
                return Ok(None);
            };
            self.version += 1;
            let mut last = Value::clone(&before);
            last["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.objects.remove(key);
            self.remember(key, Some(before), None, Some(Arc::new(last)));
            return Ok(self.history.back().and_then(|c| c.deleted.clone()));
        };
        self.fill(key, &mut object, before.as_deref());
        if let Some(before) = before.as_ref().filter(|before| ***before == object) {
            return Ok(Some(Arc::clone(before)));
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        self.objects.insert(key.clone(), Arc::clone(&object));
        self.remember(key, before, Some(Arc::clone(&object)), None);
        Ok(Some(object))
    }

    /// What the server owns: identity from the first write on, the version of the last.
    fn fill(&mut self, key: &Key, object: &mut Value, before: Option<&Value>) {
        object["kind"] = json!(key.0.name());
        object["apiVersion"] = json!(key.0.api_version());
        key.0.default(object);
        let metadata = &mut object["metadata"];
        match before {
            Some(before) => {
                for field in ["uid", "creationTimestamp", "resourceVersion"] {
                    metadata[field] = before["metadata"][field].clone();
                }
            }
            None => {
                self.created += 1;
                metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012x}", self.created));
                metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
        }
        if key.0.is_namespaced() {
            metadata["namespace"] = json!(key.1);
        }
        if key.0.has_status() {
            let old = before.map_or(0, |b| b["metadata"]["generation"].as_u64().unwrap_or(0));
            let same = before.is_some_and(|before| content(before) == content(object));
            object["metadata"]["generation"] = json!(old + u64::from(!same));
        }
    }

    fn remember(
        &mut self,
        key: &Key,
        before: Option<Arc<Value>>,
        after: Option<Arc<Value>>,
        deleted: Option<Arc<Value>>,
    ) {
        self.history.push_back(Arc::new(Change {
            version: self.version,
            key: key.clone(),
            before,
            after,
            deleted,
        }));
        if self.history.len() > HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.floor = oldest.version;
        }
    }
}
