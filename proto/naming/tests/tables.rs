//! Every example of naming.md sections 1 to 3.

use l5d_naming::{Dtab, Eval, NameTree, ParseError, Path, Prefix};

/// The text with the offending character in brackets, as errors show it.
fn place(error: &ParseError) -> &str {
    let start = error.message.find(": '").expect("the place") + 3;
    &error.message[start..error.message.len() - 1]
}

#[test]
fn paths_read_and_print() {
    // Naming 1.3.
    let table = [
        ("/", "", "/"),
        ("  /a:b/c.d  ", "613a62 632e64", "/a:b/c.d"),
        ("/50%/x", "353025 78", "/50%/x"),
        (r"/\x41\x7a", "417a", "/Az"),
        (
            r"/w\xc3\xb6rter/x",
            "77c3b672746572 78",
            r"/\x77\xc3\xb6\x72\x74\x65\x72/x",
        ),
        (
            r"/w\xC3\xB6rter/x",
            "77c3b672746572 78",
            r"/\x77\xc3\xb6\x72\x74\x65\x72/x",
        ),
        (r"/a\x2fb", "612f62", r"/\x61\x2f\x62"),
        ("/srv#1/#x # note", "7372762331 2378", "/srv#1/#x"),
        ("/ # note", "", "/"),
        ("# note\n\t/a # note\n # note", "61", "/a"),
        ("\u{2003}/a\u{3000}", "61", "/a"),
    ];
    for (text, elems, shown) in table {
        let path = Path::parse(text).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let found: Vec<_> = path.elems().iter().map(|e| hex(e.as_bytes())).collect();
        assert_eq!(found.join(" "), elems, "{text}");
        assert_eq!(path.to_string(), shown, "{text}");
    }
}

#[test]
fn bad_paths_tell_the_place() {
    // Naming 1.3.
    let table = [
        ("", "[]"),
        ("a/b", "[a]/b"),
        ("//", "/[/]"),
        ("/a/", "/a/[]"),
        ("/a//b", "/a/[/]b"),
        ("/one two", "/one [t]wo"),
        ("/a,b", "/a[,]b"),
        ("/a*", "/a[*]"),
        ("/*", "/[*]"),
        ("/{x}", "/[{]x}"),
        ("/a?b", "/a[?]b"),
        ("/ö", "/[ö]"),
        (r"/\X41", r"/\[X]41"),
        (r"/\x4", r"/\x4[]"),
        (r"/\x4g", r"/\x4[g]"),
        (r"/\n", r"/\[n]"),
        ("/a\u{a0}", "/a[\u{a0}]"),
        ("/a/ b", "/a/[ ]b"),
    ];
    for (text, expected) in table {
        assert_eq!(place(&Path::parse(text).unwrap_err()), expected, "{text}");
    }
}

#[test]
fn trees_read_print_simplify_and_evaluate() {
    // Naming 2.5. "same" is the printed form; "none" stands for no set.
    let table = [
        ("/x | /y & 2*/z", "/x | /y & 2.00*/z", "same", "/x"),
        (
            "(/x | /y) & 0.25 * /z",
            "(/x | /y) & 0.25*/z",
            "same",
            "/x /z",
        ),
        ("0.9 * /x", "/x", "/x", "/x"),
        ("0.045*/x & .955*/y", "0.05*/x & 0.96*/y", "same", "/x /y"),
        (
            "0.125*/x & 0.001*/y & 5.*/z",
            "0.13*/x & 0.00*/y & 5.00*/z",
            "same",
            "/x /y /z",
        ),
        ("/x | ! | /y", "/x | ! | /y", "/x | !", "/x"),
        ("~ & ! | /x", "~ & ! | /x", "/x", "/x"),
        ("(! | /x) | /y", "(! | /x) | /y", "!", "none"),
        ("(/x | !) | /y", "(/x | !) | /y", "same", "/x"),
        (
            "2 * (! | /x) & 8 * /y",
            "2.00*(! | /x) & 8.00*/y",
            "/y",
            "/y",
        ),
        ("~ | $ | /x", "~ | $ | /x", "$ | /x", ""),
        ("$ & ~", "$ & ~", "$", ""),
        ("! & ~", "! & ~", "~", "none"),
        ("/x#y | /z # tail", "/x#y | /z", "same", "/x#y"),
        ("((/a))", "/a", "/a", "/a"),
        ("(/a | /b) | /c", "(/a | /b) | /c", "same", "/a"),
        ("(/a & /b) & /c", "(/a & /b) & /c", "same", "/a /b /c"),
        ("(/a & /b) | /c", "/a & /b | /c", "same", "/a /b"),
        ("/$/inet", "/$/inet", "same", "/$/inet"),
        (
            "#\n/a #\n | #\n1 #\n * #\n /b & ( #)\n/c#\n)",
            "/a | /b & /c#",
            "same",
            "/a",
        ),
    ];
    for (text, printed, simplified, value) in table {
        let tree = NameTree::parse(text).unwrap();
        assert_eq!(tree.to_string(), printed, "{text}");
        let simplified = if simplified == "same" {
            printed
        } else {
            simplified
        };
        assert_eq!(tree.simplify().to_string(), simplified, "{text}");
        let found = match tree.eval() {
            Eval::Neg | Eval::Fail => "none".to_owned(),
            Eval::Leaves(leaves) => {
                let leaves: Vec<_> = leaves.iter().map(ToString::to_string).collect();
                leaves.join(" ")
            }
        };
        assert_eq!(found, value, "{text}");
    }
}

#[test]
fn bad_trees_tell_the_place() {
    // Naming 2.5 and 2.1.
    let table = [
        ("/x &", "/x &[]"),
        ("| /x", "[|] /x"),
        ("()", "([)]"),
        ("(/x", "(/x[]"),
        ("/x)", "/x[)]"),
        ("/x /y", "/x [/]y"),
        ("0.5 /x", "0.5 [/]x"),
        ("0.5.1 * /x & /y", "0.5[.]1 * /x & /y"),
        (". * /x & /y", ".[ ]* /x & /y"),
        ("0.5 * 0.5 * /x", "0.5 * [0].5 * /x"),
        ("-1 * /x & /y", "[-]1 * /x & /y"),
        ("1e3 * /x & /y", "1[e]3 * /x & /y"),
        ("$/inet", "$[/]inet"),
        ("/a/*", "/a/[*]"),
        ("", "[]"),
        ("# only a note", "# only a note[]"),
    ];
    for (text, expected) in table {
        assert_eq!(
            place(&NameTree::parse(text).unwrap_err()),
            expected,
            "{text}"
        );
    }
    let huge = format!("{} * /x & /y", "9".repeat(400));
    let error = NameTree::parse(&huge).unwrap_err();
    assert_eq!(
        (error.offset, error.expected.as_str()),
        (0, "a weight that is not too large")
    );
}

#[test]
fn prefixes_read_and_print() {
    // Naming 3.1.
    for text in ["/", "/*", "/a/*/b", "/*/*", "/#/x", r"/\x2a"] {
        assert_eq!(Prefix::parse(text).unwrap().to_string(), text);
    }
    for (text, expected) in [
        ("/a*", "/a[*]"),
        ("/*a", "/*[a]"),
        ("/a/", "/a/[]"),
        ("*", "[*]"),
    ] {
        assert_eq!(place(&Prefix::parse(text).unwrap_err()), expected, "{text}");
    }
    let star = Prefix::parse(r"/\x2a").unwrap();
    assert!(
        star.matches(&Path::parse(r"/\x2a/b").unwrap()),
        "an escaped star is data"
    );
    assert!(!star.matches(&Path::parse("/a").unwrap()));
}

#[test]
fn dtabs_read_and_print() {
    // Naming 3.1, 3.2.
    let table = [
        ("", ""),
        (" \n\t", ""),
        ("# a note", ""),
        ("/a => /b", "/a=>/b"),
        ("/a=>/b;", "/a=>/b"),
        (
            "/a => /b ;\n/c => /d | 0.3 * /e & /f ; # end\n",
            "/a=>/b;/c=>/d | 0.30*/e & /f",
        ),
        ("/svc => /h#1", "/svc=>/h#1"),
        ("/ => /", "/=>/"),
        (
            "/x => (/a | /b) & ~ ; /x => /c ; /x => /c",
            "/x=>(/a | /b) & ~;/x=>/c;/x=>/c",
        ),
        (
            "# first\n/a # what\n => # where\n /b # there\n ; # done",
            "/a=>/b",
        ),
    ];
    for (text, printed) in table {
        assert_eq!(Dtab::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn bad_dtabs_tell_the_place() {
    // Naming 3.3 and 3.1.
    let table = [
        ("/svc = /host", "/svc =[ ]/host"),
        ("/svc => /host /x => /y", "/svc => /host [/]x => /y"),
        ("/svc => /host/ ;", "/svc => /host/[ ];"),
        ("/a*b => /c", "/a[*]b => /c"),
        ("/svc => /host ;;", "/svc => /host ;[;]"),
        ("svc => /host", "[s]vc => /host"),
        ("/svc =>", "/svc =>[]"),
        (";", "[;]"),
        ("/a => /b ; ; /c => /d", "/a => /b ; [;] /c => /d"),
        ("/a => /b, /c => /d", "/a => /b[,] /c => /d"),
        ("/svc => /h# 1", "/svc => /h# [1]"),
        ("/a = > /b", "/a =[ ]> /b"),
        ("/a => /b/*", "/a => /b/[*]"),
        ("/a", "/a[]"),
    ];
    for (text, expected) in table {
        assert_eq!(place(&Dtab::parse(text).unwrap_err()), expected, "{text}");
    }
}

#[test]
fn an_error_says_what_was_expected_and_found_and_where() {
    // Naming 3.3.
    let error = Dtab::parse("/a => /b ;\n/c = /d ;\n/e => /f").unwrap_err();
    assert_eq!(
        error.to_string(),
        "'=>' expected but ' ' found at line 2, column 5: '/c =[ ]/d ;'"
    );
    assert_eq!((error.offset, error.line, error.column), (15, 2, 5));
    let error = Path::parse("/a\u{7}").unwrap_err();
    assert_eq!(
        error.to_string(),
        r"end of input expected but '\u{7}' found at line 1, column 3: '/a[\u{7}]'"
    );
    let error = Path::parse("").unwrap_err();
    assert_eq!(
        error.to_string(),
        "'/' expected but end of input found at line 1, column 1: '[]'"
    );
    let long = format!("/{} /{}", "a".repeat(100), "b".repeat(100));
    let shown = format!("...{} [/]{}...", "a".repeat(59), "b".repeat(60));
    assert_eq!(place(&Path::parse(&long).unwrap_err()), shown);
    assert_eq!(place(&Path::parse("/a/\n/b").unwrap_err()), r"/a/[\n]");
}

#[test]
fn lookup_takes_every_match_last_first() {
    // Naming 3.4.
    let dtab = "/svc => /host ; /svc/* => /host/any ; /svc/mail => ~ ; /host => /#/io.l5d.fs | /#/io.l5d.fs/default";
    let table = [
        ("/svc", "/host"),
        ("/svc/web", "/host/any | /host/web"),
        ("/svc/mail/in", "~ | /host/any/in | /host/mail/in"),
        ("/host/web", "/#/io.l5d.fs/web | /#/io.l5d.fs/default/web"),
        ("/other", "~"),
        ("/", "~"),
    ];
    let dtab = Dtab::parse(dtab).unwrap();
    for (path, result) in table {
        let found = dtab.lookup(&Path::parse(path).unwrap());
        assert_eq!(found, NameTree::parse(result).unwrap(), "{path}");
    }
    let strip = Dtab::parse("/http/1.1 => /").unwrap();
    let found = strip.lookup(&Path::parse("/http/1.1/GET/x").unwrap());
    assert_eq!(found.to_string(), "/GET/x");
    let nested = Dtab::parse("/a => /b | /c ; /a => 0.3*/d & ! & $").unwrap();
    let found = nested.lookup(&Path::parse("/a/x").unwrap());
    assert_eq!(found.to_string(), "0.30*/d/x & ! & $ | (/b/x | /c/x)");
}

#[test]
fn dtabs_are_kept_as_written() {
    // Naming 3.5.
    let dtab = |text: &str| Dtab::parse(text).unwrap();
    assert_eq!(
        dtab("/a => ~ | /b ; /c => ~ & !").simplify(),
        dtab("/a => /b")
    );
    assert_eq!(
        dtab("/a=>/b;/c=>/d").strip_prefix(&dtab("/a=>/b")),
        dtab("/c=>/d")
    );
    assert_eq!(
        dtab("/a=>/b;/c=>/d").strip_prefix(&dtab("/c=>/d")),
        dtab("/a=>/b;/c=>/d")
    );
    assert!(dtab("/a => /b | ~").is_equivalent(&dtab("/a => 3*/b")));
    assert!(!dtab("/a => /b ; /a => ~").is_equivalent(&dtab("/a => /b")));
    assert!(!dtab("/a => /b").is_equivalent(&dtab("/* => /b")));
}
