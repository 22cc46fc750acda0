//! `io.l5d.rewrite`: one pattern, one new name (naming 5.3).

use l5d_naming::{ParseError, Path};
use regex::Regex;

use super::under_hash;
use crate::bind::{Answer, Namer};
use crate::store::{Caller, Reads};

/// The `io.l5d.rewrite` namer.
#[derive(Debug)]
pub struct RewriteNamer {
    prefix: Path,
    segments: Vec<Segment>,
    name: String,
}

/// What one element has to look like.
#[derive(Debug)]
enum Segment {
    /// Any one.
    Any,
    /// Equal, in printed form.
    Is(String),
    /// Searched for in the printed form; the names of the captures in order.
    Captures(Regex, Vec<String>),
}

/// The pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment} of the pattern cannot be searched for: {reason}")]
pub struct BadRewrite {
    segment: String,
    reason: String,
}

impl RewriteNamer {
    /// A namer that answers under `/#` and `prefix`.
    pub fn new(prefix: &Path, pattern: &str, name: &str) -> Result<Self, BadRewrite> {
        let pattern = pattern.trim_matches('/');
        let segments = pattern
            .split('/')
            .filter(|_| !pattern.is_empty())
            .map(Segment::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            prefix: under_hash(prefix),
            segments,
            name: name.to_owned(),
        })
    }

    /// The new name's text; `None` if the pattern does not match.
    fn rewrite(&self, rest: &Path) -> Option<String> {
        if rest.len() < self.segments.len() {
            return None;
        }
        let mut captured: Vec<(String, String)> = Vec::new();
        for (segment, elem) in self.segments.iter().zip(rest.elems()) {
            let shown = elem.to_string();
            match segment {
                Segment::Any => {}
                Segment::Is(text) if *text == shown => {}
                Segment::Is(_) => return None,
                Segment::Captures(regex, vars) => {
                    let found = regex.captures(&shown)?;
                    let values = found
                        .iter()
                        .skip(1)
                        .flatten()
                        .map(|m| m.as_str().to_owned());
                    captured.extend(vars.iter().cloned().zip(values));
                }
            }
        }
        Some(fill(&self.name, &captured))
    }
}

impl Namer for RewriteNamer {
    fn prefix(&self) -> &Path {
        &self.prefix
    }

    fn kind(&self) -> &str {
        "io.l5d.rewrite"
    }

    fn look_up(&self, rest: &Path, _caller: &Caller, _reads: &mut Reads) -> Answer {
        let Some(text) = self.rewrite(rest) else {
            return Answer::neg();
        };
        match Path::parse(&text) {
            Ok(path) => Answer::path(path),
            Err(ParseError { message, .. }) => Answer::Failed(
                format!(
                    "namer {} makes {text} of {rest}, which is no path: {message}",
                    self.prefix
                )
                .into(),
            ),
        }
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, BadRewrite> {
        if text == "*" {
            return Ok(Segment::Any);
        }
        let mut pattern = String::new();
        let mut vars = Vec::new();
        let mut rest = text;
        while let Some((before, var, behind)) = next_capture(rest) {
            pattern.push_str(&regex::escape(before));
            pattern.push_str("(.*)");
            vars.push(var.to_owned());
            rest = behind;
        }
        if vars.is_empty() {
            return Ok(Segment::Is(text.to_owned()));
        }
        pattern.push_str(&regex::escape(rest));
        let regex = Regex::new(&pattern).map_err(|error| BadRewrite {
            segment: text.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Segment::Captures(regex, vars))
    }
}

/// The first `{var}`: what stands before it, its name, what stands behind.
fn next_capture(text: &str) -> Option<(&str, &str, &str)> {
    let is_var = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_');
    text.match_indices('{').find_map(|(open, _)| {
        let (var, behind) = text[open + 1..].split_once('}')?;
        (!var.is_empty() && var.chars().all(is_var)).then_some((&text[..open], var, behind))
    })
}

/// The text with every captured `{var}` in it replaced, once: what was put in is not looked at again.
fn fill(text: &str, captured: &[(String, String)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, var, behind)) = next_capture(rest) {
        filled.push_str(before);
        match captured.iter().rev().find(|(name, _)| name == var) {
            Some((_, value)) => filled.push_str(value),
            None => {
                filled.push('{');
                filled.push_str(var);
                filled.push('}');
            }
        }
        rest = behind;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pattern: &str, name: &str, rest: &str) -> String {
        let prefix = Path::parse("/r").unwrap();
        let namer = RewriteNamer::new(&prefix, pattern, name).unwrap();
        let rest = Path::parse(rest).unwrap();
        match namer.look_up(&rest, &Caller::default(), &mut Reads::default()) {
            Answer::Tree(l5d_naming::NameTree::Leaf(crate::bind::Found::Path(path))) => {
                path.to_string()
            }
            Answer::Tree(l5d_naming::NameTree::Neg) => "~".to_owned(),
            Answer::Failed(_) => "error".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_table_of_naming_5_3() {
        for (pattern, name, rest, result) in [
            (
                "/{team}/*/{svc}",
                "/srv/{svc}-{team}",
                "/red/x/cart/v1",
                "/srv/cart-red",
            ),
            (
                "/{a}.{b}",
                "/d/{b}/{a}",
                "/www.shop.example",
                "/d/example/www.shop",
            ),
            ("/api-{v}", "/api/{v}", "/api-v2/x", "/api/v2"),
            ("/{a}:grpc", "/g/{a}", "/cart:http", "~"),
            ("/{a}:grpc", "/g/{a}", "/cart:grpcs", "/g/cart"),
        ] {
            assert_eq!(told(pattern, name, rest), result, "{pattern} {rest}");
        }
    }

    #[test]
    fn the_rules_of_naming_5_3() {
        for (pattern, name, rest, result) in [
            ("//a/{b}", "/x/{b}", "/a/c/d", "/x/c"),
            ("/a/{b}", "/x/{b}", "/a", "~"),
            ("/a/*", "/x", "/a", "~"),
            ("/{my-var}", "/x", "/foo", "~"),
            ("/{a}", "/x/{c}", "/foo", "error"),
            ("/{a}y", "/x/{a}/z", "/y", "error"),
            ("/{a}y", "/x/{a}", "/y", "error"),
            ("/a+{b}", "/x/{b}", "/aab", "~"),
            ("/{a}", "/x/{a}", "/\\x2f", "/x/\\x2f"),
            ("/", "/x", "/anything/at/all", "/x"),
        ] {
            assert_eq!(told(pattern, name, rest), result, "{pattern} {rest}");
        }
    }
}
