//! TokenReview and SubjectAccessReview: who a token belongs to, and what its owner may do to dtabs.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::transport::ApiServer;
use super::{Address, K8sError};
use crate::auth::{Access, Reviews, TokenUser, Unanswered, Verdict};

/// Asks one API server. Needs the rights to create `tokenreviews` and `subjectaccessreviews`, which the ClusterRole
/// `system:auth-delegator` gives.
#[derive(Debug)]
pub struct Reviewer {
    server: ApiServer,
    /// The Kubernetes namespace of the dtabs.
    namespace: String,
}

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

impl Reviewer {
    /// Contacts nobody yet. `namespace`: where the dtabs are, for questions about them.
    pub fn new(address: Address, namespace: String) -> Result<Self, K8sError> {
        let server = ApiServer::new(address)?;
        Ok(Self { server, namespace })
    }

    async fn ask(&self, path: &str, question: &Value) -> Result<Value, Unanswered> {
        let answer = self.server.post(path, question.to_string()).await;
        let (status, body) = answer.map_err(Unanswered)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            200..300 => Ok(body),
            _ => {
                let message = body["message"].as_str().unwrap_or("no message");
                Err(Unanswered(format!(
                    "the API server answered {status}: {message}"
                )))
            }
        }
    }
}

#[async_trait]
impl Reviews for Reviewer {
    async fn token(&self, token: &str, audiences: &[String]) -> Result<Verdict, Unanswered> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": audiences},
        });
        let answer = self.ask(TOKENS, &review).await?;
        Ok(verdict(&answer["status"], audiences))
    }

    async fn access(
        &self,
        user: &TokenUser,
        access: &Access,
    ) -> Result<Result<(), String>, Unanswered> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
                "resourceAttributes": {
                    "group": "l5d.io", "resource": "dtabs", "verb": access.verb,
                    "namespace": self.namespace, "name": access.name.as_deref().unwrap_or_default(),
                },
            },
        });
        let answer = self.ask(ACCESS, &review).await?;
        let status = &answer["status"];
        if status["allowed"] == true {
            return Ok(Ok(()));
        }
        let reason = status["reason"]
            .as_str()
            .filter(|reason| !reason.is_empty());
        Ok(Err(reason.unwrap_or("no rule allows it").to_owned()))
    }
}

fn verdict(status: &Value, audiences: &[String]) -> Verdict {
    if status["authenticated"] != true {
        let why = status["error"].as_str().filter(|why| !why.is_empty());
        return Verdict::No(why.unwrap_or("the API server does not know it").to_owned());
    }
    // A server that knows nothing of audiences would take a token that was made for anybody.
    let said = texts(&status["audiences"]);
    if !audiences.is_empty() && !said.iter().any(|audience| audiences.contains(audience)) {
        return Verdict::No(format!("it is not made for {}", audiences.join(" or ")));
    }
    let user = &status["user"];
    let text = |key: &str| user[key].as_str().unwrap_or_default().to_owned();
    let extra = user["extra"].as_object();
    let extra: BTreeMap<_, _> = extra
        .into_iter()
        .flatten()
        .map(|(key, values)| (key.clone(), texts(values)))
        .collect();
    Verdict::User(TokenUser {
        name: text("username"),
        uid: text("uid"),
        groups: texts(&user["groups"]),
        extra,
    })
}

fn texts(values: &Value) -> Vec<String> {
    let values = values.as_array().into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_for_somebody_else_or_of_nobody_is_refused() {
        let ours = ["namerd".to_owned()];
        let good =
            json!({"authenticated": true, "audiences": ["namerd"], "user": {"username": "u"}});
        let Verdict::User(user) = verdict(&good, &ours) else {
            panic!("accepted")
        };
        assert_eq!(user.name, "u");
        for status in [
            json!({}),
            json!({"authenticated": false, "error": "expired", "user": {"username": "u"}}),
            json!({"authenticated": true, "user": {"username": "u"}}),
            json!({"authenticated": true, "audiences": ["other"], "user": {"username": "u"}}),
        ] {
            assert!(
                matches!(verdict(&status, &ours), Verdict::No(_)),
                "{status}"
            );
        }
    }
}
