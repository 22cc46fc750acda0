//! Any text is a path or an error; what prints reads back the same.
#![no_main]

use l5d_naming::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(path) = Path::parse(text) {
        assert_eq!(Path::parse(&path.to_string()), Ok(path));
    }
});
