//! Label and field selectors, so far as the double takes them: equality, inequality, existence, absence.

use serde_json::Value;

/// All of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Need>,
    fields: Vec<Need>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Need {
    Equal(String, String),
    Different(String, String),
    Present(String),
    Absent(String),
}

impl Selector {
    /// From `labelSelector` and `fieldSelector`. What is not understood is an error, never ignored.
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, String> {
        let fields = needs(fields)?;
        for need in &fields {
            match need {
                Need::Equal(field, _) | Need::Different(field, _) if known(field) => {}
                _ => return Err(format!("field selector not supported: {need:?}")),
            }
        }
        Ok(Self {
            labels: needs(labels)?,
            fields,
        })
    }

    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object has all of it.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        let field = |path: &str| object["metadata"][path.strip_prefix("metadata.")?].as_str();
        self.labels.iter().all(|need| need.holds(label))
            && self.fields.iter().all(|need| need.holds(field))
    }
}

impl Need {
    fn holds<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::Equal(key, value) => get(key) == Some(value),
            Self::Different(key, value) => get(key) != Some(value),
            Self::Present(key) => get(key).is_some(),
            Self::Absent(key) => get(key).is_none(),
        }
    }
}

fn known(field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace")
}

fn needs(text: &str) -> Result<Vec<Need>, String> {
    let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    parts.map(need).collect()
}

fn need(text: &str) -> Result<Need, String> {
    if text.contains(['(', ')', ' ']) {
        return Err(format!("set-based selector not supported: {text}"));
    }
    let two = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Ok(if let Some(pair) = text.split_once("!=").map(two) {
        Need::Different(pair.0, pair.1)
    } else if let Some(pair) = text.split_once("==").map(two) {
        Need::Equal(pair.0, pair.1)
    } else if let Some(pair) = text.split_once('=').map(two) {
        Need::Equal(pair.0, pair.1)
    } else if let Some(key) = text.strip_prefix('!') {
        Need::Absent(key.to_owned())
    } else {
        Need::Present(text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requirements_are_read_and_all_must_hold() {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "world", "v": "1"}}});
        let holds = |labels, fields| Selector::parse(labels, fields).unwrap().matches(&object);
        assert!(holds("", ""));
        assert!(holds("app", "metadata.name=a"));
        assert!(holds("app=world,v==1,!x,v!=2", ""));
        assert!(!holds("app=world,v=2", ""));
        assert!(!holds("!app", ""));
        assert!(!holds("", "metadata.name!=a"));
        assert!(Selector::parse("app in (a,b)", "").is_err());
        assert!(Selector::parse("", "spec.nodeName=a").is_err());
    }
}
