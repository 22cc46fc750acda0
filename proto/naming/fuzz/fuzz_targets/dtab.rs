//! Any text is a dtab or an error; exact text reads back the same, printed text too but for rounded weights, lookup answers.
#![no_main]

use l5d_naming::{Dtab, NameTree, Path};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(dtab) = Dtab::parse(text) else {
        return;
    };
    // A weight that rounds to 1 disappears with the second printing.
    let print = |text: &str| Dtab::parse(text).expect("printed text").to_string();
    let canonical = print(&dtab.to_string());
    assert_eq!(print(&canonical), canonical);
    let path = Path::parse("/a/b/c").expect("a path");
    let found = dtab.lookup(&path);
    match dtab.matches(&path).count() {
        0 => assert_eq!(found, NameTree::Neg),
        1 => {}
        n => assert!(matches!(found, NameTree::Alt(trees) if trees.len() == n)),
    }
    assert_eq!(dtab.simplify().simplify(), dtab.simplify());
    assert_eq!(Dtab::parse(&dtab.show_exact()), Ok(dtab));
});
