//! Prefix patterns (node-proxy 2.3): which names an entry of kind `io.l5d.static` is for.

use std::fmt;

use l5d_naming::Path;
use regex::Regex;

/// `/#/io.l5d.k8s/*/http/{service}`. Matches by prefix, segment by segment, on the shown form of each.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone)]
enum Segment {
    /// `*`
    Any,
    Literal(String),
    /// With captures: the whole segment, and the captures' names in order.
    Mixed(Regex, Vec<String>),
}

/// What a name had where the pattern has `{name}`s, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures(Vec<(String, String)>);

/// A pattern that does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It must be a path.
    #[error("a prefix begins with /")]
    NoSlash,
    /// A brace that is alone.
    #[error("`{0}`: a {{ without a name and }} behind it")]
    Brace(String),
    /// Letters, digits and `. : - _` make a name.
    #[error("`{{{0}}}` is no name for a capture: letters, digits and . : - _ are allowed")]
    Name(String),
    /// Greedy captures leave nothing for one that follows at once.
    #[error("{{{0}}} follows another capture at once and would always be empty")]
    AlwaysEmpty(String),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        let rest = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let segments = rest
            .trim_matches('/')
            .split('/')
            .filter(|s| !s.is_empty())
            .map(Segment::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }

    /// What the name had for the captures, if it begins as the pattern says.
    pub fn matches(&self, name: &Path) -> Option<Captures> {
        let elems = name.elems();
        if elems.len() < self.segments.len() {
            return None;
        }
        let mut captures = Captures::default();
        for (segment, elem) in self.segments.iter().zip(elems) {
            segment.matches(&elem.to_string(), &mut captures)?;
        }
        Some(captures)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if !text.contains(['{', '}']) {
            return Ok(Self::Literal(text.to_owned()));
        }
        let (mut pattern, mut names) = ("^".to_owned(), Vec::new());
        let (mut rest, mut is_behind_capture) = (text, false);
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, brace) = rest.split_at(at);
            pattern.push_str(&regex::escape(literal));
            let (name, behind) = brace
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .ok_or_else(|| PatternError::Brace(text.to_owned()))?;
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".:-_".contains(c);
            if name.is_empty() || !name.chars().all(is_allowed) {
                return Err(PatternError::Name(name.to_owned()));
            }
            if is_behind_capture && literal.is_empty() {
                return Err(PatternError::AlwaysEmpty(name.to_owned()));
            }
            pattern.push_str("(.*)");
            names.push(name.to_owned());
            (rest, is_behind_capture) = (behind, true);
        }
        pattern.push_str(&regex::escape(rest));
        pattern.push('$');
        let regex = Regex::new(&pattern).map_err(|_| PatternError::Brace(text.to_owned()))?;
        Ok(Self::Mixed(regex, names))
    }

    fn matches(&self, shown: &str, captures: &mut Captures) -> Option<()> {
        match self {
            Self::Any => Some(()),
            Self::Literal(literal) => (literal == shown).then_some(()),
            Self::Mixed(regex, names) => {
                let found = regex.captures(shown)?;
                let values = found.iter().skip(1).flatten().map(|m| m.as_str());
                for (name, value) in names.iter().zip(values) {
                    captures.0.push((name.clone(), value.to_owned()));
                }
                Some(())
            }
        }
    }
}

impl Captures {
    /// `text` with each `{name}` replaced; unknown names stay as they are.
    pub fn substitute(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, name: &str) -> Option<Vec<(String, String)>> {
        let pattern = Pattern::parse(pattern).expect("a pattern");
        let found = pattern.matches(&Path::parse(name).expect("a path"));
        found.map(|c| c.0)
    }

    fn one(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn prefixes_match_segment_by_segment() {
        assert_eq!(captures("/", "/svc/a"), Some(vec![]));
        assert_eq!(captures("/", "/"), Some(vec![]));
        assert_eq!(captures("/svc/", "/svc/a"), Some(vec![]));
        assert_eq!(captures("//svc", "/svc/a"), Some(vec![]));
        assert_eq!(captures("/sv", "/svc/a"), None);
        assert_eq!(captures("/svc/*/b", "/svc/a/b/c"), Some(vec![]));
        assert_eq!(captures("/svc/*", "/svc"), None, "no segment is no match");
        assert_eq!(
            captures("/svc/{ns}/x/{port}", "/svc/default/x/http"),
            Some(vec![one("ns", "default"), one("port", "http")])
        );
    }

    #[test]
    fn captures_are_greedy_and_anchored() {
        let found = captures("/{foo}-{bar}", "/a-b-c");
        assert_eq!(found, Some(vec![one("foo", "a-b"), one("bar", "c")]));
        assert_eq!(captures("/v{n}", "/v12"), Some(vec![one("n", "12")]));
        assert_eq!(captures("/v{n}", "/xv12"), None);
        assert_eq!(captures("/{n}.com", "/a-com"), None, "a dot is a dot");
        assert_eq!(captures("/a+{n}", "/aa1"), None, "all literals are escaped");
        let shown = captures("/svc/{host}", r"/svc/\x5b\x3a\x3a\x31\x5d").expect("a match");
        assert_eq!(shown[0].1, r"\x5b\x3a\x3a\x31\x5d", "the shown form");
    }

    #[test]
    fn mistakes_are_told() {
        let error = |text: &str| Pattern::parse(text).expect_err("wrong").to_string();
        assert!(error("svc").contains("begins with /"));
        assert!(error("/{a}{b}").contains("always be empty"));
        assert!(error("/{a b}").contains("no name for a capture"));
        assert!(error("/{}").contains("no name for a capture"));
        assert!(error("/{a").contains("without a name"));
        assert!(error("/a}").contains("without a name"));
    }

    #[test]
    fn unknown_names_stay() {
        let captures = Captures(vec![one("service", "api"), one("ns", "x")]);
        let text = captures.substitute("{service}.{ns}.{other}");
        assert_eq!(text, "api.x.{other}");
    }
}
