//! Any query and any body of a dtab at the HTTP controller: they are read or refused, and a dtab that is read is shown, in
//! each form, as what reads back.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/api/http/dtab_forms.rs"]
mod dtab_forms;
mod web;

use dtab_forms::Form;
use http::Uri;
use web::Params;

const FORMS: [Form; 3] = [Form::Json, Form::Dtab, Form::Plain];

fn query(text: &str) {
    let Ok(uri) = format!("/api/1/bind/default?{text}").parse::<Uri>() else {
        return;
    };
    let params = Params::of_query(&uri);
    let _ = params.is_true("watch");
    if let Ok(path) = params.path() {
        assert_eq!(l5d_naming::Path::parse(&path.to_string()), Ok(path));
    }
    if let Ok(dtab) = params.dtab() {
        assert_eq!(l5d_naming::Dtab::parse(&dtab.show_exact()), Ok(dtab));
    }
}

libfuzzer_sys::fuzz_target!(|input: (&str, &[u8])| {
    let (text, body) = input;
    query(text);
    for form in FORMS {
        let Ok(dtab) = form.read(body) else { continue };
        for other in FORMS {
            let shown = other.show_exact(&dtab);
            assert_eq!(other.read(shown.as_bytes()).as_ref(), Ok(&dtab));
        }
    }
});
