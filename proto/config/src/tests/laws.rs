//! What holds for any text.

use proptest::prelude::*;

use super::*;
use crate::align::locate;
use crate::source::Spot;

/// Text that looks like configuration, more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("interfaces:\n".to_owned()),
        Just("admin: {port: 1}\n".to_owned()),
        Just("- kind: io.l5d.mesh\n".to_owned()),
        Just("note: |\n  a\n".to_owned()),
        Just("note: \"\\x41\\u00e9\\\n b\"\n".to_owned()),
        Just("{\"note\": ".to_owned()),
        Just("&a *a !x ? - [ ] { } , : # \t".to_owned()),
        "\\PC{0,8}",
        "[\\s{}\\[\\]:,&*!|>'\"\\\\é-]{0,8}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_gives_values_or_mistakes_that_can_be_shown(text in text()) {
        if let Err(mistakes) = read("n.yml", &text, Scalars::Strict) {
            prop_assert!(!mistakes.all().is_empty());
            prop_assert!(mistakes.to_string().starts_with("n.yml:"));
        }
        let reader = Reader::open("n.yml", &text, Scalars::Lenient);
        if let Ok(reader) = reader {
            let made = reader.top().map(|top| {
                top.key("note").dtab();
                top.key("admin").path();
                transformers(top.key("interfaces"));
            });
            drop(reader.finish(made).map_err(|e| e.to_string()));
        }
    }

    #[test]
    fn the_place_of_a_character_is_where_it_stands_in_every_style(
        lines in proptest::collection::vec("[a-z/;=>é#]{1,6}( [a-z/;=>é|]{1,6}){0,3}", 1..5),
        indent in 1usize..6,
    ) {
        let content = lines.join("\n");
        let pad = " ".repeat(indent);
        let block = format!("|\n{pad}{}", lines.join(&format!("\n{pad}")));
        let quoted = format!("\"{}\"", lines.join("\\n"));
        let single = format!("'{}'", lines.join(&format!("\n{pad}")));
        for written in [block, quoted, single] {
            let source = format!("k: {written}\nend: 1");
            let spot = Spot::new(3, 3 + written.len());
            for (offset, c) in content.char_indices().filter(|(_, c)| !c.is_whitespace()) {
                let at = locate(&source, spot, &content, offset);
                prop_assert_eq!(source[at..].chars().next(), Some(c), "{} at {}", written, offset);
            }
            let end = locate(&source, spot, &content, content.len());
            prop_assert!(spot.start <= end && end <= spot.end);
        }
    }
}
