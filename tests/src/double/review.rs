//! TokenReview and SubjectAccessReview for tokens that a test has made up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// Tokens and rights that the double knows.
#[derive(Debug, Default)]
pub struct Reviews {
    tokens: Mutex<BTreeMap<String, Token>>,
    /// User and verb.
    rights: Mutex<BTreeSet<(String, String)>>,
    asked: AtomicU64,
}

#[derive(Debug)]
struct Token {
    user: Value,
    audience: String,
}

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

impl Reviews {
    /// A token of a user, such as `system:serviceaccount:linkerd:l5d`, bound to a pod on a node.
    pub fn add(&self, token: &str, audience: &str, user: &str, node: Option<&str>) {
        let mut value = json!({"username": user, "uid": user, "groups": ["system:authenticated"]});
        if let Some(node) = node {
            value["extra"] = json!({"authentication.kubernetes.io/node-name": [node]});
        }
        let token = (
            token.to_owned(),
            Token {
                user: value,
                audience: audience.to_owned(),
            },
        );
        self.tokens.lock().insert(token.0, token.1);
    }

    /// Lets a user do this to dtabs.
    pub fn allow(&self, user: &str, verb: &str) {
        self.rights
            .lock()
            .insert((user.to_owned(), verb.to_owned()));
    }

    /// How many reviews were asked for.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn is_review(path: &str) -> bool {
        path == TOKENS || path == ACCESS
    }

    /// The review with its status.
    pub(super) fn answer(&self, path: &str, mut review: Value) -> Value {
        self.asked.fetch_add(1, Ordering::Relaxed);
        review["status"] = match path {
            TOKENS => self.token(&review["spec"]),
            _ => self.access(&review["spec"]),
        };
        review
    }

    fn token(&self, spec: &Value) -> Value {
        let tokens = self.tokens.lock();
        let token = spec["token"].as_str().and_then(|token| tokens.get(token));
        let Some(token) = token else {
            return json!({"authenticated": false, "error": "invalid bearer token"});
        };
        let audiences = spec["audiences"].as_array().cloned().unwrap_or_default();
        if !audiences.is_empty() && !audiences.contains(&json!(token.audience)) {
            let error = "invalid bearer token, token audiences do not match";
            return json!({"authenticated": false, "error": error});
        }
        json!({"authenticated": true, "user": token.user, "audiences": [token.audience]})
    }

    fn access(&self, spec: &Value) -> Value {
        let attributes = &spec["resourceAttributes"];
        let is_dtab = attributes["group"] == "l5d.io" && attributes["resource"] == "dtabs";
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let right = (text(&spec["user"]), text(&attributes["verb"]));
        json!({"allowed": is_dtab && self.rights.lock().contains(&right)})
    }
}
