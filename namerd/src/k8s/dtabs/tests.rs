//! Lists, events and answers to our own writes, in every order that can happen.

use super::memory::{DtabSink, Memory};
use super::wire::{self, Stored};
use super::*;
use crate::k8s::sink::Sink as _;
use tokio::time::Instant;

fn object(uid: &str, version: u64, dst: &str) -> Stored {
    let raw = format!(
        r#"{{"metadata":{{"name":"a","uid":"{uid}","resourceVersion":"{version}","generation":1}},
            "dentries":[{{"prefix":"/a","dst":"{dst}"}}]}}"#
    );
    wire::read(&raw).expect("reads").object
}

/// The table of `a` and its token.
fn shown(memory: &Memory) -> Option<(String, String)> {
    match memory.table.observe("a").value() {
        NamespaceState::Present(now) => Some((
            now.dtab.to_string(),
            String::from_utf8_lossy(&now.token.0).into_owned(),
        )),
        _ => None,
    }
}

fn is(memory: &Memory, dtab: &str, token: &str) {
    assert_eq!(shown(memory), Some((dtab.to_owned(), token.to_owned())));
}

fn listed() -> (Arc<Memory>, DtabSink) {
    let memory = Memory::new("default");
    let sink = DtabSink(Arc::clone(&memory));
    sink.replace(vec![object("u", 10, "/1")], 20, false);
    (memory, sink)
}

#[tokio::test]
async fn k8s_119_an_older_event_does_not_undo_an_answer() {
    let (memory, sink) = listed();
    memory.apply(object("u", 30, "/3"));
    sink.apply(object("u", 25, "/2"), Instant::now());
    is(&memory, "/a=>/3", "30");
    sink.apply(object("u", 30, "/3"), Instant::now());
    is(&memory, "/a=>/3", "30");
    // Another object of the name always wins (K8S-119).
    sink.apply(object("v", 5, "/v"), Instant::now());
    is(&memory, "/a=>/v", "5");
}

#[tokio::test]
async fn k8s_161_a_list_from_before_a_write_does_not_undo_it() {
    let (memory, sink) = listed();
    memory.apply(object("u", 30, "/3"));
    sink.replace(vec![object("u", 10, "/1")], 25, false);
    is(&memory, "/a=>/3", "30");
    // Created after the list.
    sink.replace(vec![], 29, false);
    is(&memory, "/a=>/3", "30");
    sink.replace(vec![], 31, false);
    assert_eq!(shown(&memory), None);
}

#[tokio::test]
async fn k8s_161_what_we_have_deleted_does_not_come_back_by_old_events() {
    let (memory, sink) = listed();
    memory.deleted("a", Some("u"));
    assert_eq!(shown(&memory), None);
    sink.apply(object("u", 25, "/2"), Instant::now());
    sink.replace(vec![object("u", 25, "/2")], 26, false);
    assert_eq!(shown(&memory), None);
    memory.apply(object("v", 40, "/new"));
    sink.delete(object("u", 35, "/2"), Instant::now());
    is(&memory, "/a=>/new", "40");
    sink.delete(object("v", 45, "/new"), Instant::now());
    assert_eq!(shown(&memory), None);
}

#[tokio::test]
async fn k8s_118_after_a_restore_the_list_stands() {
    let (memory, sink) = listed();
    memory.apply(object("u", 30, "/3"));
    memory.deleted("a", Some("u"));
    sink.replace(vec![object("u", 7, "/0")], 8, true);
    sink.reached(8);
    is(&memory, "/a=>/0", "7");
    let status = memory.table.status().value();
    assert_eq!((status.position, status.seen), (Some(7), Some(8)));
}

#[tokio::test]
async fn a_version_without_another_table_keeps_the_token() {
    let (memory, sink) = listed();
    sink.apply(object("u", 25, "/1"), Instant::now());
    is(&memory, "/a=>/1", "10");
    for (version, same) in [("10", true), ("25", true), ("11", false)] {
        let known = memory.known("a").expect("is known");
        assert_eq!(known.is_as_of(version.as_bytes()), same, "{version}");
    }
    sink.apply(object("u", 26, "/2"), Instant::now());
    is(&memory, "/a=>/2", "26");
}

/// K8S-125: one object that cannot be read.
#[tokio::test]
async fn a_bad_object_keeps_its_last_good_table() {
    let (memory, sink) = listed();
    sink.apply(object("u", 25, "/2 |"), Instant::now());
    is(&memory, "/a=>/1", "10");
    let lack = memory.without_status();
    assert_eq!(lack.len(), 1);
    assert!(!lack[0].wanted_status().valid);
}
