//! A table of Ingress rules as messages of at most [`MESSAGE_BYTES`], and back.

use prost::Message as _;

use crate::ingress::{BadRule, Host, MOST_RULES, PathMatch, Rule, Table};
use crate::v1;
use crate::{ENVELOPE, MESSAGE_BYTES};

/// Most bytes that a page's own fields and the head of one rule take.
const HEADS: usize = 32;

/// The pages of a table, at least one; all but the last say that more follow.
pub fn pages(table: &Table) -> Vec<v1::Ingress> {
    let mut page = v1::Ingress {
        hash: table.hash(),
        ..v1::Ingress::default()
    };
    let (mut pages, mut bytes) = (Vec::new(), ENVELOPE + HEADS);
    for rule in table.rules().iter().map(to_wire) {
        let len = rule.encoded_len() + 4;
        if bytes + len > MESSAGE_BYTES && !page.rules.is_empty() {
            page.more = true;
            pages.push(std::mem::take(&mut page));
            bytes = ENVELOPE + HEADS;
        }
        bytes += len;
        page.rules.push(rule);
    }
    pages.push(page);
    pages
}

fn to_wire(rule: &Rule) -> v1::IngressRule {
    let (kind, path) = match &rule.path {
        PathMatch::Any => (v1::PathKind::PathAny, ""),
        PathMatch::Exact(path) => (v1::PathKind::PathExact, &**path),
        PathMatch::Prefix(prefix) => (v1::PathKind::PathPrefix, &**prefix),
        PathMatch::Expression(expression) => (v1::PathKind::PathExpression, expression.text()),
    };
    v1::IngressRule {
        host: rule.host.to_string(),
        kind: kind.into(),
        path: path.to_owned(),
        namespace: rule.namespace.to_string(),
        service: rule.service.to_string(),
        port: rule.port.to_string(),
        is_default: rule.is_default,
    }
}

/// Pages that cannot be a table. What was there before stays in use (RES-8).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// A rule.
    #[error("an Ingress rule: {0}")]
    Rule(#[from] BadRule),
    /// A kind of path that this release does not know.
    #[error("an Ingress rule has a path of the unknown kind {0}")]
    Kind(i32),
    /// More rules than a table holds.
    #[error("more than {MOST_RULES} Ingress rules")]
    TooMany,
    /// Another content than was told.
    #[error("the Ingress rules have the hash {found:016x}, but {told:016x} told")]
    Hash {
        /// As the first page says.
        told: u64,
        /// Of the rules that came.
        found: u64,
    },
}

/// Pages of one table, as they come in.
#[derive(Debug, Default)]
pub struct TableAssembly {
    hash: u64,
    rules: Vec<Rule>,
}

impl TableAssembly {
    /// One more page; the table, once it is whole.
    pub fn push(&mut self, page: &v1::Ingress) -> Result<Option<Table>, BadTable> {
        if self.rules.is_empty() {
            self.hash = page.hash;
        }
        if self.rules.len() + page.rules.len() > MOST_RULES {
            return Err(BadTable::TooMany);
        }
        for rule in &page.rules {
            self.rules.push(from_wire(rule)?);
        }
        if page.more {
            return Ok(None);
        }
        let table = Table::new(std::mem::take(&mut self.rules));
        match table.hash() == self.hash {
            true => Ok(Some(table)),
            false => Err(BadTable::Hash {
                told: self.hash,
                found: table.hash(),
            }),
        }
    }
}

fn from_wire(rule: &v1::IngressRule) -> Result<Rule, BadTable> {
    let kind = v1::PathKind::try_from(rule.kind).map_err(|_| BadTable::Kind(rule.kind))?;
    Ok(Rule {
        host: Host::parse(&rule.host)?,
        path: match kind {
            v1::PathKind::PathAny => PathMatch::Any,
            v1::PathKind::PathExact => PathMatch::exact(&rule.path)?,
            v1::PathKind::PathPrefix => PathMatch::prefix(&rule.path)?,
            v1::PathKind::PathExpression => PathMatch::expression(&rule.path)?,
        },
        namespace: rule.namespace.as_str().into(),
        service: rule.service.as_str().into(),
        port: rule.port.as_str().into(),
        is_default: rule.is_default,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(n: usize) -> Rule {
        let path = format!("/{n}/{}", "x".repeat(n % 300));
        Rule {
            host: Host::parse(["", "a.x", "*.x"][n % 3]).expect("a host"),
            path: match n % 4 {
                0 => PathMatch::Any,
                1 => PathMatch::exact(&path).expect("a path"),
                2 => PathMatch::prefix(&path).expect("a path"),
                _ => PathMatch::expression(&path).expect("an expression"),
            },
            namespace: "n".into(),
            service: n.to_string().into(),
            port: "http".into(),
            is_default: n.is_multiple_of(7),
        }
    }

    #[test]
    fn k8s_44_a_table_comes_out_of_its_pages_as_it_went_in() {
        for count in [0, 1, 3, 400] {
            let table = Table::new((0..count).map(rule).collect::<Vec<_>>());
            let pages = pages(&table);
            assert_eq!(pages.len() > 1, count == 400);
            let mut assembly = TableAssembly::default();
            let mut whole = None;
            for page in &pages {
                assert!(page.encoded_len() + ENVELOPE <= MESSAGE_BYTES);
                assert_eq!(whole, None, "not before the last page");
                whole = assembly.push(page).expect("a good page");
            }
            assert_eq!(whole, Some(table));
        }
    }

    #[test]
    fn res_8_a_table_that_is_not_what_was_told_is_refused() {
        let table = Table::new([rule(1), rule(2)]);
        let good = pages(&table).remove(0);
        let mut lost = good.clone();
        lost.rules.pop();
        let mut unknown = good.clone();
        unknown.rules[0].kind = 9;
        let mut bad = good;
        bad.rules[0] = v1::IngressRule {
            kind: v1::PathKind::PathExpression.into(),
            path: "(".to_owned(),
            ..v1::IngressRule::default()
        };
        for page in [lost, unknown, bad] {
            assert!(TableAssembly::default().push(&page).is_err(), "{page:?}");
        }
    }
}
