//! Dtabs as text and as JSON, and which of the two is meant (control plane 7.2, 7.3).

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, header};
use l5d_naming::{Dentry, Dtab, NameTree, Path, Prefix};
use serde_json::Value;

use crate::web::{JSON, json_text, media_type};

/// A form of a dtab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `application/json`: a list of entries.
    Json,
    /// `application/dtab`: text.
    Dtab,
    /// `text/plain`: the same text.
    Plain,
}

impl Form {
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json" => Some(Form::Json),
            "application/dtab" => Some(Form::Dtab),
            "text/plain" => Some(Form::Plain),
            _ => None,
        }
    }

    /// The first known type of `Accept` in the order written, else JSON. Parameters and weights do not count.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        all(headers, ACCEPT)
            .flat_map(|value| value.split(','))
            .find_map(|range| {
                let bare = range.split(';').next().unwrap_or_default();
                Self::of(&bare.trim().to_ascii_lowercase())
            })
            .unwrap_or(Form::Json)
    }

    /// The form of the request's body.
    pub(super) fn given(headers: &HeaderMap) -> Result<Self, String> {
        let given = media_type(headers);
        given.as_deref().and_then(Self::of).ok_or_else(|| {
            let found = given.unwrap_or_else(|| "no Content-Type".to_owned());
            format!(
                "Content-Type must be application/json, application/dtab or text/plain, not {found} ({} decides how the body is read)",
                header::CONTENT_TYPE
            )
        })
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Json => JSON,
            Form::Dtab => "application/dtab",
            Form::Plain => "text/plain",
        }
    }

    /// The dtab in this form, without a newline. Weights are rounded to two decimals (control plane 2.3).
    pub(super) fn show(self, dtab: &Dtab) -> String {
        match self {
            Form::Json => json_entries(dtab, &|tree| tree.to_string()),
            Form::Dtab | Form::Plain => dtab.to_string(),
        }
    }

    /// The same with as many digits of each weight as read back the same number.
    pub(super) fn show_exact(self, dtab: &Dtab) -> String {
        match self {
            Form::Json => json_entries(dtab, &NameTree::show_exact),
            Form::Dtab | Form::Plain => dtab.show_exact(),
        }
    }

    /// Reads a body. The error says what is wrong and where.
    pub(super) fn read(self, body: &[u8]) -> Result<Dtab, String> {
        let text = std::str::from_utf8(body)
            .map_err(|e| format!("the body is not UTF-8 at byte {}", e.valid_up_to()))?;
        if self == Form::Json {
            return read_json(text);
        }
        Dtab::parse(text).map_err(|e| format!("Invalid dtab: {e}"))
    }
}

fn all(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
}

fn json_entries(dtab: &Dtab, show: &dyn Fn(&NameTree<Path>) -> String) -> String {
    let entry = |entry: &Dentry| {
        format!(
            r#"{{"prefix":{},"dst":{}}}"#,
            json_text(&entry.prefix.to_string()),
            json_text(&show(&entry.dst)),
        )
    };
    let entries: Vec<String> = dtab.entries().iter().map(entry).collect();
    format!("[{}]", entries.join(","))
}

fn read_json(text: &str) -> Result<Dtab, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| format!("Invalid JSON: {e}"))?;
    let Value::Array(items) = value else {
        return Err("the dtab must be a JSON list of entries".to_owned());
    };
    let nulls = items.iter().filter(|item| item.is_null()).count();
    if nulls > 0 {
        let nulls = vec!["null"; nulls].join(", ");
        return Err(format!("The dtab contains invalid dentries: [{nulls}]"));
    }
    let mut entries = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let entry = entry(item).map_err(|e| format!("entry {}: {e}", i + 1))?;
        entries.push(entry);
    }
    let dtab = Dtab::from_entries(entries);
    // Entries given one by one must not get around the limits of a whole text.
    Dtab::parse(&dtab.show_exact()).map_err(|e| format!("Invalid dtab: {e}"))?;
    Ok(dtab)
}

fn entry(item: &Value) -> Result<Dentry, String> {
    let Value::Object(members) = item else {
        return Err("must be an object with prefix and dst".to_owned());
    };
    if let Some(key) = members
        .keys()
        .find(|k| !matches!(k.as_str(), "prefix" | "dst"))
    {
        return Err(format!("unknown key {}", json_text(key)));
    }
    let text = |key: &str| match members.get(key) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(format!("{key} must be text")),
        None => Err(format!("{key} is missing")),
    };
    let prefix = Prefix::parse(text("prefix")?).map_err(|e| format!("invalid prefix: {e}"))?;
    let dst = NameTree::parse(text("dst")?).map_err(|e| format!("invalid dst: {e}"))?;
    Ok(Dentry { prefix, dst })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_known_accepted_type_wins_whatever_its_weight() {
        let accepted = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(value).expect("a header"));
            Form::accepted(&headers)
        };
        assert_eq!(
            accepted("text/html, Application/DTAB;q=0.1, application/json"),
            Form::Dtab
        );
        assert_eq!(accepted("*/*"), Form::Json);
        assert_eq!(accepted("text/plain"), Form::Plain);
        assert_eq!(Form::accepted(&HeaderMap::new()), Form::Json);
    }

    #[test]
    fn json_dtabs_say_what_is_wrong_and_where() {
        let wrong = |text: &str| Form::Json.read(text.as_bytes()).expect_err("wrong");
        assert_eq!(
            wrong("[null]"),
            "The dtab contains invalid dentries: [null]"
        );
        assert_eq!(
            wrong(r#"[{"prefix":"/a","dst":"/b"},{"prefix":"/a"}]"#),
            "entry 2: dst is missing"
        );
        assert_eq!(
            wrong(r#"[{"prefix":1,"dst":"/b"}]"#),
            "entry 1: prefix must be text"
        );
        assert_eq!(
            wrong(r#"[{"prefix":"/a","dst":"/b","x":1}]"#),
            "entry 1: unknown key \"x\""
        );
        assert!(wrong(r#"[{"prefix":"a","dst":"/b"}]"#).starts_with("entry 1: invalid prefix: "));
        assert!(
            wrong(r#"[{"prefix":"/a","dst":"/b | | "}]"#).starts_with("entry 1: invalid dst: ")
        );
        assert!(wrong("").starts_with("Invalid JSON"));
        assert!(wrong("{}").contains("list"));
        let many = format!(
            "[{}]",
            vec![r#"{"prefix":"/a","dst":"/b"}"#; 150_000].join(",")
        );
        assert!(wrong(&many).starts_with("Invalid dtab: "));
    }

    #[test]
    fn both_forms_read_what_they_show() {
        let dtab = Dtab::parse("/svc => /#/io.l5d.fs ; /w => 0.3 * /a & 0.7 * /b").expect("a dtab");
        assert_eq!(
            Form::Dtab.show(&dtab),
            "/svc=>/#/io.l5d.fs;/w=>0.30*/a & 0.70*/b"
        );
        let json = Form::Json.show(&dtab);
        assert!(json.starts_with(r#"[{"prefix":"/svc","dst":"/#/io.l5d.fs"},"#));
        assert_eq!(Form::Json.read(json.as_bytes()), Ok(dtab));
        assert_eq!(Form::Dtab.read(b""), Ok(Dtab::empty()));
    }
}
