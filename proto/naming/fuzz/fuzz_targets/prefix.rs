//! Any text is a prefix or an error; what prints reads back the same.
#![no_main]

use l5d_naming::Prefix;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(prefix) = Prefix::parse(text) {
        assert_eq!(Prefix::parse(&prefix.to_string()), Ok(prefix));
    }
});
