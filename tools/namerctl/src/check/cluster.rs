//! Checks of the cluster itself: the API server's version and clock, rights, the definition of dtabs.

use serde_json::{Value, json};

use super::api::Api;
use super::clock;
use super::outcome::Outcomes;

/// The oldest Kubernetes that is supported, minor version of 1.
const OLDEST_MINOR: u32 = 33;

/// Whether the API server answers; without it nothing else of the cluster can be asked.
pub(crate) async fn server(api: &Api, outcomes: &mut Outcomes) -> bool {
    let url = api.url.to_string();
    let version = match api.get_dated("/version").await {
        Ok(version) => version,
        Err(refused) => {
            let hint = match refused.status {
                401 | 403 => {
                    "the credentials are not accepted: renew them, or name another file with --kubeconfig"
                }
                _ => {
                    "check the address in the kubeconfig or --server, and whether the network lets this machine there"
                }
            };
            outcomes.fail("api-server", &url, refused.to_string(), hint);
            return false;
        }
    };
    let shown = version.body["gitVersion"]
        .as_str()
        .unwrap_or("?")
        .to_owned();
    let number = |key: &str| {
        let text = version.body[key].as_str()?;
        text.trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse::<u32>()
            .ok()
    };
    match (number("major"), number("minor")) {
        (Some(1), Some(minor)) if minor < OLDEST_MINOR => {
            let hint =
                format!("Kubernetes 1.{OLDEST_MINOR} and later are supported: upgrade the cluster");
            outcomes.fail("api-server", &url, format!("version {shown}"), hint);
        }
        (Some(_), Some(_)) => outcomes.ok("api-server", &url, format!("version {shown}")),
        _ => {
            let hint = "is it an API server? its /version has no numbers";
            outcomes.warn("api-server", &url, format!("version {shown}"), hint);
        }
    }
    clock::compare("the API server", version.date.as_deref(), outcomes);
    true
}

/// What namerd must be allowed: group, resource, verbs, and whether it cannot do without.
const RIGHTS: [(&str, &str, &[&str], bool); 6] = [
    (
        "discovery.k8s.io",
        "endpointslices",
        &["list", "watch"],
        true,
    ),
    ("", "services", &["list", "watch"], true),
    ("", "nodes", &["list", "watch"], true),
    (
        "l5d.io",
        "dtabs",
        &["get", "list", "watch", "create", "patch", "delete"],
        true,
    ),
    ("authentication.k8s.io", "tokenreviews", &["create"], false),
    (
        "authorization.k8s.io",
        "subjectaccessreviews",
        &["create"],
        false,
    ),
];

/// Rights of ourselves, or of a service account `NAMESPACE/NAME`.
pub(crate) async fn rights(
    api: &Api,
    account: Option<&(String, String)>,
    dtabs: Option<&str>,
    outcomes: &mut Outcomes,
) {
    let who = account.map_or("these credentials".to_owned(), |(ns, name)| {
        format!("service account {ns}/{name}")
    });
    for (group, resource, verbs, is_needed) in RIGHTS {
        let namespace = if group == "l5d.io" {
            let Some(namespace) = dtabs else {
                let hint = "the configuration stores dtabs elsewhere";
                outcomes.skip("rights", resource, "not needed", hint);
                continue;
            };
            Some(namespace)
        } else {
            None
        };
        let mut missing = Vec::new();
        let mut broken = None;
        for verb in verbs {
            match may(api, account, group, resource, verb, namespace).await {
                Ok(true) => {}
                Ok(false) => missing.push(*verb),
                Err(message) => broken = Some(message),
            }
        }
        if let Some(message) = broken {
            let hint = "asking needs `create` on subjectaccessreviews (--service-account), or authentication";
            outcomes.skip(
                "rights",
                resource,
                format!("cannot be asked: {message}"),
                hint,
            );
        } else if missing.is_empty() {
            outcomes.ok(
                "rights",
                resource,
                format!("{who} may {}", verbs.join(", ")),
            );
        } else {
            denied(&who, group, resource, &missing, is_needed, outcomes);
        }
    }
}

fn denied(
    who: &str,
    group: &str,
    resource: &str,
    missing: &[&str],
    is_needed: bool,
    outcomes: &mut Outcomes,
) {
    let group = if group.is_empty() { "\"\"" } else { group };
    let verbs = missing.join(", ");
    let seen = format!("{who} may not {verbs}");
    let rule = format!(
        "a ClusterRole of namerd needs: apiGroups: [{group}], resources: [{resource}], verbs: [{verbs}]"
    );
    if is_needed {
        outcomes.fail("rights", resource, seen, rule);
    } else {
        let hint =
            format!("needed only where clients prove who they are by Kubernetes tokens; {rule}");
        outcomes.warn("rights", resource, seen, hint);
    }
}

async fn may(
    api: &Api,
    account: Option<&(String, String)>,
    group: &str,
    resource: &str,
    verb: &str,
    namespace: Option<&str>,
) -> Result<bool, String> {
    let mut attributes = json!({"group": group, "resource": resource, "verb": verb});
    if let Some(namespace) = namespace {
        attributes["namespace"] = json!(namespace);
    }
    let mut spec = json!({"resourceAttributes": attributes});
    let (kind, collection) = match account {
        None => ("SelfSubjectAccessReview", "selfsubjectaccessreviews"),
        Some((ns, name)) => {
            spec["user"] = json!(format!("system:serviceaccount:{ns}:{name}"));
            let of = format!("system:serviceaccounts:{ns}");
            spec["groups"] = json!(["system:serviceaccounts", of, "system:authenticated"]);
            ("SubjectAccessReview", "subjectaccessreviews")
        }
    };
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
    let path = format!("/apis/authorization.k8s.io/v1/{collection}");
    let answer = api.post(&path, &review).await.map_err(|r| r.to_string())?;
    Ok(answer["status"]["allowed"] == json!(true))
}

/// The definition of dtabs: there, served, and with a schema that does not prune them to nothing.
pub(crate) async fn definition(api: &Api, dtabs: Option<&str>, outcomes: &mut Outcomes) {
    const NAME: &str = "dtabs.l5d.io";
    const APPLY: &str = "kubectl apply -f deploy/dtabs.l5d.io.yaml";
    if dtabs.is_none() {
        let hint = "the configuration stores dtabs elsewhere";
        outcomes.skip("crd", NAME, "not needed", hint);
        return;
    }
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}");
    let definition = match api.get(&path).await {
        Ok(definition) => definition,
        Err(refused) if refused.status == 404 => {
            let hint = format!("{APPLY}; without it namerd has no dtabs");
            outcomes.fail("crd", NAME, "not installed", hint);
            return;
        }
        Err(refused) => {
            let hint = "reading it needs `get` on customresourcedefinitions; namerd does not need that itself";
            outcomes.skip("crd", NAME, refused.to_string(), hint);
            return;
        }
    };
    let versions = definition["spec"]["versions"].as_array();
    let version = versions.and_then(|v| v.iter().find(|v| v["name"] == "v1alpha1"));
    match version {
        Some(version) if version["served"] == json!(true) => {
            schema(NAME, version, &definition, outcomes)
        }
        _ => {
            let seen = "version v1alpha1 is not served";
            outcomes.fail(
                "crd",
                NAME,
                seen,
                format!("{APPLY}, and leave v1alpha1 `served: true`"),
            );
        }
    }
}

fn schema(name: &str, version: &Value, definition: &Value, outcomes: &mut Outcomes) {
    let schema = &version["schema"]["openAPIV3Schema"];
    let keeps_all = schema["x-kubernetes-preserve-unknown-fields"] == json!(true);
    let items = &schema["properties"]["dentries"]["items"];
    let keeps_items = items["x-kubernetes-preserve-unknown-fields"] == json!(true);
    let has = |key: &str| items["properties"][key].is_object();
    let keeps_both = has("prefix") && has("dst");
    if !(keeps_all || keeps_items || keeps_both) {
        let seen = "the schema has no dentries with prefix and dst";
        let hint = "the API server prunes every dtab to nothing: kubectl apply -f deploy/dtabs.l5d.io.yaml, then write the dtabs again";
        outcomes.fail("crd", name, seen, hint);
        return;
    }
    let conditions = definition["status"]["conditions"].as_array();
    let is_established = conditions.is_some_and(|all| {
        all.iter()
            .any(|c| c["type"] == "Established" && c["status"] == "True")
    });
    if is_established {
        outcomes.ok("crd", name, "v1alpha1 is served, with a schema");
    } else {
        let hint = "kubectl describe crd dtabs.l5d.io says why; names of another definition may be in the way";
        outcomes.fail("crd", name, "not established", hint);
    }
}
