//! A tree of steps with lines, colours and reasons, as `explain` and `delegate` show it.

use crate::output::paint::{self, BAD, DIM, GOOD, MARKED, ORIGIN, TITLE};

/// One step from a path towards its addresses.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) path: String,
    /// The share in a union, if it is a branch of one.
    pub(super) weight: Option<f64>,
    /// What it is: a leaf, negative, ...
    pub(super) kind: String,
    /// The rule that led here and where it is from.
    pub(super) rule: Option<String>,
    /// What is to be said of it, or why it was not taken.
    pub(super) why: String,
    /// Whether it is part of the result.
    pub(super) taken: bool,
    pub(super) children: Vec<Shown>,
}

/// The whole tree.
pub(super) fn text(root: &Shown) -> String {
    let mut out = String::new();
    line(root, None, "", &mut out);
    below(root, "", &mut out);
    out
}

fn below(step: &Shown, indent: &str, out: &mut String) {
    let last = step.children.len().saturating_sub(1);
    for (i, child) in step.children.iter().enumerate() {
        let (branch, on) = if i == last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        line(child, step.rule.as_ref(), &format!("{indent}{branch}"), out);
        below(child, &format!("{indent}{on}"), out);
    }
}

/// `above`: the rule of the step above, which is not said twice.
fn line(step: &Shown, above: Option<&String>, indent: &str, out: &mut String) {
    let (mark, style) = match (step.taken, step.kind.as_str()) {
        (false, _) => (paint::with(DIM, "✗"), DIM),
        (true, "neg" | "empty") => (paint::with(MARKED, "~"), MARKED),
        (true, "fail" | "exception") => (paint::with(BAD, "!"), BAD),
        (true, "leaf") => (paint::with(GOOD, "✓"), TITLE),
        (true, _) => (paint::with(GOOD, "✓"), anstyle::Style::new()),
    };
    let weight = step.weight.map_or(String::new(), |w| format!("{w} * "));
    out.push_str(&format!(
        "{}{mark} {weight}{}",
        paint::with(DIM, indent),
        paint::with(style, &step.path)
    ));
    // What has branches is plain to see.
    if !matches!(step.kind.as_str(), "delegate" | "alt" | "union" | "") {
        out.push_str(&format!("  {}", paint::with(DIM, &step.kind)));
    }
    if !step.why.is_empty() {
        let style = if step.taken {
            anstyle::Style::new()
        } else {
            DIM
        };
        out.push_str(&paint::with(style, format_args!(": {}", step.why)));
    }
    if let Some(rule) = step.rule.as_ref().filter(|rule| above != Some(rule)) {
        out.push_str(&format!(
            "  {}",
            paint::with(ORIGIN, format_args!("[{rule}]"))
        ));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_have_lines_and_what_was_not_taken_says_why() {
        let child = |path: &str, kind: &str, taken, why: &str| Shown {
            path: path.to_owned(),
            kind: kind.to_owned(),
            taken,
            why: why.to_owned(),
            rule: Some("/a => /b".to_owned()),
            ..Shown::default()
        };
        let mut first = child("/b", "delegate", true, "");
        let mut leaf = child("/#/x", "leaf", true, "2 endpoints");
        leaf.rule = Some("/b => /#/x".to_owned());
        first.children.push(leaf);
        first.children.push(child("/d", "neg", false, ""));
        let root = Shown {
            path: "/a".to_owned(),
            kind: "alt".to_owned(),
            taken: true,
            children: vec![first, child("/c", "neg", false, "an earlier one was found")],
            ..Shown::default()
        };
        let plain = anstream::adapter::strip_str(&text(&root)).to_string();
        let shown = "✓ /a\n├─ ✓ /b  [/a => /b]\n│  ├─ ✓ /#/x  leaf: 2 endpoints  [/b => /#/x]\n│  └─ ✗ /d  neg\n\
                     └─ ✗ /c  neg: an earlier one was found  [/a => /b]\n";
        assert_eq!(plain, shown);
    }
}
