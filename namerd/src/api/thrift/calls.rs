//! The four calls of the service `Namer` (control plane 5): long polls over the bindings that all doors share.
//!
//! A stamp names the state that a caller has: it changes with the state, and differs between processes. A caller with the
//! present stamp waits for another state; all others are answered at once.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use l5d_naming::{BoundName, Dtab, NameTree, Path, Replicas};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::trees::{addr_value, bound_tree, delegate_tree, read_path, read_tree};
use super::value::{EXCEPTION, Message, REPLY, Value};
use crate::api::live::WAIT;
use crate::bind::{BindKey, BindState, Binder, Binding, BoundLeaf, Transformers};
use crate::config::ThriftOptions;
use crate::store::{Caller, NamespaceState, Version};

/// What answers calls.
#[derive(Debug)]
pub(super) struct Calls {
    binder: Binder,
    /// Makes stamps that no other process makes.
    stamps: RandomState,
    waiting: Mutex<HashMap<Question, usize>>,
    options: ThriftOptions,
    path_bytes: usize,
}

/// What is waited for, as limits count it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    Name(Arc<str>, Dtab, Path),
    Id(Path),
}

/// Keeps a question counted.
struct Waiting<'a>(&'a Calls, Question);

/// A declared exception.
struct Failure(String);

/// The stamp of every delegation: there is no other state of one to wait for.
const DELEGATED: &[u8] = b"delegated";
/// Longest dtab of a request, in bytes.
const DTAB_BYTES: usize = 1 << 20;

type Answer = Result<Value, Failure>;

impl Calls {
    pub(super) fn new(binder: Binder, path_bytes: usize, options: ThriftOptions) -> Self {
        Self {
            binder,
            stamps: RandomState::new(),
            waiting: Mutex::default(),
            options,
            path_bytes,
        }
    }

    /// The reply to a call, when there is one.
    pub(super) async fn answer(&self, call: Message) -> Message {
        let request = call.body.field(1).cloned().unwrap_or_else(Value::void);
        let answer = match &call.name[..] {
            b"bind" => self.bind(&request).await,
            b"addr" => self.addr(&request).await,
            b"delegate" => self.delegate(&request).await,
            b"dtab" => self.dtab(&request).await,
            name => {
                let why = format!("Invalid method name: '{}'", String::from_utf8_lossy(name));
                let body = Value::Struct(vec![(1, Value::text(why)), (2, Value::I32(1))]);
                let kind = EXCEPTION;
                return Message { kind, body, ..call };
            }
        };
        let result = match answer {
            Ok(success) => (0, success),
            Err(Failure(why)) => (1, failure(&call.name, &request, &why)),
        };
        Message {
            kind: REPLY,
            body: Value::Struct(vec![result]),
            ..call
        }
    }

    async fn bind(&self, request: &Value) -> Answer {
        let none = Value::void();
        let name = request.field(2).unwrap_or(&none);
        let key = BindKey {
            root: Some(text(name.bytes(3)).into()),
            router: Dtab::empty(),
            local: dtab(request.bytes(1))?,
            path: self.path(name.field(2))?,
            transformers: Transformers::default(),
        };
        let question = Question::Name(
            text(name.bytes(3)).into(),
            key.local.clone(),
            key.path.clone(),
        );
        let _waiting = self.wait(question, self.options.bindings)?;
        let binding = self.binding(&key)?;
        let mut seen = Version::default();
        loop {
            let now = binding.state.changed(seen).await;
            seen = now.0;
            let stamp = self.stamp(&(binding.number, now.0));
            match &now.1 {
                BindState::Pending => {}
                BindState::Failed(error) => return Err(Failure(error.message().to_owned())),
                BindState::Tree(_) if *name.bytes(1) == *stamp => {}
                BindState::Tree(tree) => {
                    let tree = tree.map(&mut |leaf: &BoundLeaf| BoundName {
                        id: leaf.cluster.id.clone(),
                        residual: leaf.residual.clone(),
                    });
                    return Ok(Value::Struct(vec![
                        (1, Value::Binary(stamp)),
                        (2, bound_tree(&tree)),
                        (3, Value::text(text(name.bytes(3)))),
                    ]));
                }
            }
        }
    }

    async fn addr(&self, request: &Value) -> Answer {
        let none = Value::void();
        let name = request.field(1).unwrap_or(&none);
        let id = self.path(name.field(2))?;
        let _waiting = self.wait(Question::Id(id.clone()), self.options.addresses)?;
        let binding = self.binder.bind_id(&id, &Caller::default());
        let binding = binding.map_err(|e| Failure(e.to_string()))?;
        loop {
            let (tree, replicas) = known(&binding).await;
            let stamp = self.stamp(&(binding.number, tree, replicas.at));
            match replicas.value {
                Replicas::Failed(why) => return Err(Failure((*why).to_owned())),
                value if *name.bytes(1) != *stamp => {
                    if let Some(value) = addr_value(&value) {
                        return Ok(Value::Struct(vec![(1, Value::Binary(stamp)), (2, value)]));
                    }
                }
                _ => {}
            }
            tokio::select! {
                _ = binding.state.changed(tree) => {}
                () = replicas.source.changed() => {}
            }
        }
    }

    async fn delegate(&self, request: &Value) -> Answer {
        let none = Value::void();
        let asked = request.field(2).unwrap_or(&none);
        if !asked.bytes(1).is_empty() {
            // Whoever has a delegation has it for good.
            std::future::pending::<()>().await;
        }
        let bad = || Failure("the delegation that is asked for has no tree of names".to_owned());
        let tree = read_tree(asked.field(2).unwrap_or(&none)).ok_or_else(bad)?;
        let key = BindKey {
            root: Some(text(asked.bytes(3)).into()),
            router: Dtab::empty(),
            local: dtab(request.bytes(1))?,
            path: Path::root(),
            transformers: Transformers::default(),
        };
        let caller = Caller::default();
        let delegation = self.binder.delegate_tree(&key, &tree, &caller);
        let late = "still waiting for addresses of some branch of the name";
        let delegation = timeout(WAIT, delegation).await;
        let delegation = delegation.map_err(|_| Failure(late.to_owned()))?;
        let delegation = delegation.map_err(|e| Failure(e.message().to_owned()))?;
        Ok(Value::Struct(vec![
            (1, Value::Binary(Bytes::from_static(DELEGATED))),
            (2, delegate_tree(&delegation)),
            (3, Value::text(text(asked.bytes(3)))),
        ]))
    }

    async fn dtab(&self, request: &Value) -> Answer {
        let name = text(request.bytes(2));
        let cell = self.binder.store().observe(&name);
        let mut seen = Version::default();
        loop {
            let now = cell.changed(seen).await;
            seen = now.0;
            match &now.1 {
                NamespaceState::Pending => {}
                NamespaceState::Absent => return Err(Failure("Root not found".to_owned())),
                NamespaceState::Unreadable(why) => return Err(Failure((**why).to_owned())),
                NamespaceState::Present(dtab) => {
                    let stamp = self.stamp(&(&name, &dtab.token));
                    if *request.bytes(1) != *stamp {
                        let text = Value::text(dtab.dtab.to_string());
                        return Ok(Value::Struct(vec![(1, Value::Binary(stamp)), (2, text)]));
                    }
                }
            }
        }
    }

    fn binding(&self, key: &BindKey) -> Result<Arc<Binding>, Failure> {
        let binding = self.binder.bind(key, &Caller::default());
        binding.map_err(|e| Failure(e.to_string()))
    }

    fn stamp(&self, state: &impl Hash) -> Bytes {
        let stamp = self.stamps.hash_one(state).to_be_bytes();
        Bytes::copy_from_slice(&stamp)
    }

    fn path(&self, value: Option<&Value>) -> Result<Path, Failure> {
        let path = read_path(value).filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| Failure("empty path".to_owned()))?;
        let bytes: usize = path.elems().iter().map(|e| e.as_bytes().len() + 1).sum();
        match bytes <= self.path_bytes {
            true => Ok(path),
            false => Err(Failure(format!("a path of {bytes} bytes is too long"))),
        }
    }

    /// Counts a question as waited for, if there is room or others wait for the same.
    fn wait(&self, question: Question, most: usize) -> Result<Waiting<'_>, Failure> {
        let mut waiting = self.waiting.lock();
        let is_same_kind =
            |q: &&Question| std::mem::discriminant(*q) == std::mem::discriminant(&question);
        if !waiting.contains_key(&question) && waiting.keys().filter(is_same_kind).count() >= most {
            return Err(Failure(format!(
                "The maximum number of concurrent observations has been reached ({most})"
            )));
        }
        *waiting.entry(question.clone()).or_default() += 1;
        drop(waiting);
        Ok(Waiting(self, question))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        if let Some(count) = waiting.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.1);
            }
        }
    }
}

/// The present endpoints of an id, where they come from, and the version of the tree that was looked at.
struct Known {
    value: Replicas,
    /// The cluster's number and its version.
    at: (u32, Version),
    source: Source,
}

/// What may change them besides the binding.
struct Source(Option<Arc<crate::bind::BoundCluster>>, Version);

impl Source {
    async fn changed(&self) {
        match &self.0 {
            Some(cluster) => drop(cluster.replicas.changed(self.1).await),
            None => std::future::pending().await,
        }
    }
}

async fn known(binding: &Binding) -> (Version, Known) {
    let is_known = |state: &BindState| *state != BindState::Pending;
    let now = binding.state.wait_for(is_known).await;
    let fixed = |value| Known {
        value,
        at: Default::default(),
        source: Source(None, Version::default()),
    };
    let known = match &now.1 {
        BindState::Pending => fixed(Replicas::Pending),
        BindState::Failed(error) => fixed(Replicas::Failed(error.message().into())),
        BindState::Tree(NameTree::Leaf(leaf)) => {
            let replicas = leaf.cluster.replicas.get();
            Known {
                value: replicas.1.clone(),
                at: (leaf.cluster.number, replicas.0),
                source: Source(Some(Arc::clone(&leaf.cluster)), replicas.0),
            }
        }
        BindState::Tree(NameTree::Neg) => fixed(Replicas::Neg),
        BindState::Tree(NameTree::Empty) => fixed(Replicas::Bound(Arc::default())),
        BindState::Tree(_) => {
            let why = format!("{} is not a concrete bound id", binding.key.path);
            fixed(Replicas::Failed(why.into()))
        }
    };
    (now.0, known)
}

/// The call's own exception; the fields besides the reason are what was asked for.
fn failure(call: &[u8], request: &Value, why: &str) -> Value {
    let none = Value::void();
    let mut fields = vec![(1, Value::text(why))];
    let name = match call {
        b"bind" => request.field(2),
        b"addr" => request.field(1),
        _ => return Value::Struct(fields),
    };
    let name = name.unwrap_or(&none);
    fields.push((2, Value::I32(0)));
    if let Some(path) = name.field(2) {
        fields.push((3, path.clone()));
    }
    if call == b"bind" {
        fields.push((4, Value::text(text(name.bytes(3)))));
    }
    Value::Struct(fields)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn dtab(bytes: &[u8]) -> Result<Dtab, Failure> {
    if bytes.len() > DTAB_BYTES {
        return Err(Failure(format!(
            "a dtab of {} bytes is too long",
            bytes.len()
        )));
    }
    Dtab::parse(&text(bytes)).map_err(|e| Failure(e.to_string()))
}
