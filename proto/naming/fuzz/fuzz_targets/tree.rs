//! Any text is a tree or an error; exact text reads back the same, printed text too but for rounded weights.
#![no_main]

use l5d_naming::NameTree;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(tree) = NameTree::parse(text) else {
        return;
    };
    // A weight that rounds to 1 disappears with the second printing.
    let print = |text: &str| NameTree::parse(text).expect("printed text").to_string();
    let canonical = print(&tree.to_string());
    assert_eq!(print(&canonical), canonical);
    let simple = tree.simplify();
    assert_eq!(simple.simplify(), simple);
    assert_eq!(simple.eval(), tree.eval());
    assert_eq!(NameTree::parse(&tree.show_exact()), Ok(tree));
});
