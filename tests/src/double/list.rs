//! Lists: all at once or in pages, every page as of the version of the first.

use serde_json::{Value, json};

use super::query::{Match, Page, Query};
use super::status::Refusal;
use super::store::Store;

/// The body of a list.
pub(super) fn list(store: &Store, query: &Query) -> Result<Value, Refusal> {
    let (version, mut objects) = match as_of(store, query)? {
        AsOf::Now => store.list(query.kind, None)?,
        AsOf::Version(version) => store.list(query.kind, Some(version))?,
    };
    objects.retain(|(key, object)| query.wants(key, object));
    if let Some(page) = &query.page {
        objects.retain(|(key, _)| (&key.1, &key.2) >= (&page.start.0, &page.start.1));
    }
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some(limit) = query.limit.filter(|limit| *limit < objects.len()) {
        let rest = objects.split_off(limit);
        let next = &rest[0].0;
        let token = Page {
            rv: version,
            number: query.page.as_ref().map_or(1, |page| page.number) + 1,
            start: (next.1.clone(), next.2.clone()),
        };
        metadata["continue"] = json!(token.token());
        if query.selector.is_empty() {
            metadata["remainingItemCount"] = json!(rest.len());
        }
    }
    let items: Vec<_> = objects
        .iter()
        .map(|(_, object)| query.view.show_listed(object))
        .collect();
    let (kind, api_version) = query.view.list_type(query.kind);
    Ok(json!({"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items}))
}

enum AsOf {
    Now,
    Version(u64),
}

/// The real server waits up to three seconds for a version of the future before it says 504; this one does not.
fn as_of(store: &Store, query: &Query) -> Result<AsOf, Refusal> {
    if let Some(page) = &query.page {
        return match query.version {
            None | Some(0) => Ok(AsOf::Version(page.rv)),
            Some(_) => Err(Refusal::bad_request(
                "specifying resource version is not allowed when using continue",
            )),
        };
    }
    let now = store.version();
    match (query.version, query.matching) {
        (None, Some(_)) => Err(Refusal::invalid(
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        (None | Some(0), _) => Ok(AsOf::Now),
        (Some(wanted), _) if wanted > now => Err(Refusal::too_large(wanted, now)),
        (Some(wanted), Some(Match::Exact)) => Ok(AsOf::Version(wanted)),
        (Some(_), _) => Ok(AsOf::Now),
    }
}
