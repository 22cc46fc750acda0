use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use l5d_config::{Reader, Scalars};
use proptest::prelude::*;

use crate::file::LogFile;
use crate::line::{Clock, Line};
use crate::log::{Totals, start};
use crate::roll::Roll;
use crate::zone::named;
use crate::{AccessLog, Entry, Form, H2_KEYS, Settings};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn entry(at_text: &str) -> Entry<'static> {
    Entry {
        at: at(at_text),
        host: b"monkeys",
        remote: "10.0.0.1".parse().ok(),
        method: "HEAD",
        target: b"/foo?bar=bah",
        status: 402,
        length: Some(304_374),
        ..Entry::default()
    }
}

fn whole(entry: &Entry<'_>, form: Form, zone: TimeZone) -> String {
    let line = Line::of(entry, form);
    let (time, at) = line.time.expect("an entry has a time");
    let (left, right) = line.text.split_at(at);
    format!("{left}{}{right}", Clock::new(form, zone).text(time))
}

#[test]
fn a_line_is_that_of_the_specification() {
    let entry = entry("2016-01-06T21:21:26Z");
    assert_eq!(
        whole(&entry, Form::Http, TimeZone::UTC).replace("UTC", "GMT"),
        "monkeys 10.0.0.1 - - [06/01/2016:21:21:26 GMT] \"HEAD /foo?bar=bah HTTP/1.1\" 402 304374 \"-\" \"-\"\n"
    );
    let berlin = named("CET-1CEST,M3.5.0,M10.5.0/3").expect("rules");
    let shown = whole(
        &Entry {
            user_agent: b"a (b)",
            referer: b"https://c/",
            ..entry
        },
        Form::H2,
        berlin.clone(),
    );
    assert_eq!(
        shown,
        "monkeys 10.0.0.1 - - [06/01/2016:22:21:26 +0100] \"HEAD /foo?bar=bah HTTP/2\" 402 - \"https://c/\" \"a (b)\"\n"
    );
    let summer = Entry {
        at: at("2016-07-06T21:21:26Z"),
        ..entry
    };
    assert!(whole(&summer, Form::Http, berlin).contains("[06/07/2016:23:21:26 CEST]"));
}

proptest! {
    #[test]
    fn clients_cannot_forge_lines_or_fields(
        host: Vec<u8>, target: Vec<u8>, agent: Vec<u8>, referer: Vec<u8>,
    ) {
        let entry = Entry { host: &host, target: &target, user_agent: &agent, referer: &referer, ..entry("2016-01-06T21:21:26Z") };
        let line = whole(&entry, Form::Http, TimeZone::UTC);
        prop_assert!(line.is_ascii());
        prop_assert_eq!(line.matches('\n').count(), 1);
        let bare = line.replace("\\\\", "").replace("\\\"", "");
        let quoted: Vec<&str> = bare.trim_end().split('"').collect();
        prop_assert_eq!(quoted.len(), 7, "{}", line);
        prop_assert_eq!(quoted[0].split(' ').count(), 7);
        prop_assert_eq!(quoted[1].split(' ').count(), 3);
    }
}

#[test]
fn long_fields_are_cut() {
    let target = vec![b'a'; 100_000];
    let entry = Entry {
        target: &target,
        ..entry("2016-01-06T21:21:26Z")
    };
    let line = whole(&entry, Form::Http, TimeZone::UTC);
    assert!(line.len() < 2_300 && line.contains("aa... HTTP/1.1"));
}

#[test]
fn policies_are_those_of_the_old_names() {
    let read = |text: &str| text.parse::<Roll>();
    for (text, roll, shown) in [
        ("Never", Roll::Never, "never"),
        ("SIGHUP", Roll::Never, "never"),
        ("hourly", Roll::Hourly, "hourly"),
        ("Daily", Roll::Daily, "daily"),
        ("Weekly(7)", Roll::Weekly(7), "weekly(7)"),
        ("3.megabytes", Roll::Size(3 << 20), "3.megabytes"),
        ("1.gigabyte", Roll::Size(1 << 30), "1.gigabytes"),
        ("1000.bytes", Roll::Size(1_000), "1000.bytes"),
    ] {
        assert_eq!(read(text), Ok(roll), "{text}");
        assert_eq!(roll.to_string(), shown);
        assert_eq!(read(shown), Ok(roll));
    }
    for bad in [
        "",
        "weekly",
        "weekly(0)",
        "weekly(8)",
        "weekly(1",
        "3",
        "3.",
        "0.bytes",
        "-1.bytes",
        "99999999999.terabytes",
        "3.parsecs",
        "monthly",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn files_end_at_local_times() {
    let zone = named("CET-1CEST,M3.5.0,M10.5.0/3").expect("rules");
    let opened = at("2026-11-27T20:15:01Z");
    let end = |roll: Roll| roll.after(opened, &zone);
    assert_eq!(end(Roll::Never), None);
    assert_eq!(end(Roll::Size(1)), None);
    assert_eq!(end(Roll::Hourly), Some(at("2026-11-27T21:00:00Z")));
    assert_eq!(end(Roll::Daily), Some(at("2026-11-27T23:00:00Z")));
    // The 27th is a Friday, the sixth day; the next Friday is a week away.
    assert_eq!(end(Roll::Weekly(7)), Some(at("2026-11-27T23:00:00Z")));
    assert_eq!(end(Roll::Weekly(6)), Some(at("2026-12-03T23:00:00Z")));
    assert_eq!(end(Roll::Weekly(1)), Some(at("2026-11-28T23:00:00Z")));
    // The night in which an hour comes twice.
    let night = at("2026-10-24T22:30:00Z");
    assert_eq!(
        Roll::Daily.after(night, &zone),
        Some(at("2026-10-25T23:00:00Z"))
    );
}

fn file(settings: &Settings, now: Timestamp) -> (LogFile, Arc<Totals>) {
    let totals = Arc::<Totals>::default();
    let file = LogFile::open(settings, TimeZone::UTC, now, Arc::clone(&totals)).expect("opens");
    (file, totals)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    names
}

#[test]
fn rolled_files_are_marked_and_only_the_newest_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    fs::write(folder.path().join("access-notes.log"), "not ours").expect("written");
    let settings = Settings {
        roll: Roll::Hourly,
        keep: Some(2),
        ..Settings::new(&path)
    };
    let mut now = at("2026-11-27T20:15:00Z");
    let (mut log, _) = file(&settings, now);
    for hour in 0..5 {
        log.push(&[format!("{hour}\n").as_bytes()], now);
        now = now.checked_add(1.hour()).expect("in range");
    }
    log.flush();
    assert_eq!(
        names(folder.path()),
        [
            "access-20261127-22.log",
            "access-20261127-23.log",
            "access-notes.log",
            "access.log"
        ]
    );
    assert_eq!(fs::read_to_string(&path).expect("read"), "4\n");
    let rolled = folder.path().join("access-20261127-23.log");
    assert_eq!(fs::read_to_string(rolled).expect("read"), "3\n");
}

#[test]
fn sizes_are_never_passed_and_no_rolled_file_is_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        roll: Roll::Size(10),
        ..Settings::new(folder.path().join("log"))
    };
    let now = at("2026-11-27T20:15:00Z");
    let (mut log, _) = file(&settings, now);
    for _ in 0..12 {
        log.push(&[b"four", b"\n"], now);
    }
    log.flush();
    let all = names(folder.path());
    assert_eq!(all.len(), 6, "{all:?}");
    assert!(all.contains(&"log-20261127-201500-4".to_owned()), "{all:?}");
    for name in all {
        let text = fs::read_to_string(folder.path().join(name)).expect("read");
        assert_eq!(text, "four\nfour\n");
    }
}

#[test]
fn a_file_of_yesterday_is_put_aside_at_the_first_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    fs::write(&path, "old\n").expect("written");
    let written = fs::metadata(&path)
        .and_then(|m| m.modified())
        .expect("a time");
    let written = Timestamp::try_from(written).expect("in range");
    let settings = Settings {
        roll: Roll::Daily,
        ..Settings::new(&path)
    };
    let now = written.checked_add(24.hours()).expect("in range");
    let (mut log, _) = file(&settings, now);
    log.push(&[b"new\n"], now);
    log.flush();
    assert_eq!(fs::read_to_string(&path).expect("read"), "new\n");
    assert_eq!(names(folder.path()).len(), 2);
    let over = Settings {
        append: false,
        ..settings
    };
    file(&over, now);
    assert_eq!(fs::read_to_string(&path).expect("read"), "");
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew_and_lost_lines_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).expect("made");
    let path = logs.join("access.log");
    let now = at("2026-11-27T20:15:00Z");
    let (mut log, totals) = file(&Settings::new(&path), now);
    log.push(&[b"a\n"], now);
    log.flush();
    fs::rename(&path, logs.join("moved")).expect("moved");
    log.push(&[b"b\n"], now);
    log.flush();
    assert_eq!(fs::read_to_string(&path).expect("read"), "b\n");
    fs::remove_dir_all(&logs).expect("removed");
    log.push(&[b"c\n"], now);
    log.push(&[b"d\n"], now);
    log.flush();
    fs::create_dir(&logs).expect("made");
    log.push(&[b"e\n"], now);
    log.flush();
    assert_eq!(fs::read_to_string(&path).expect("read"), "e\n");
    let read = |n: &std::sync::atomic::AtomicU64| n.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((read(&totals.written), read(&totals.failed)), (3, 2));
}

#[test]
fn what_was_logged_before_the_end_is_in_the_file_and_nothing_is_lost_uncounted() {
    const THREADS: u64 = 4;
    const EACH: u64 = 20_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let (log, writer) = AccessLog::start(&Settings::new(&path), Form::H2).expect("starts");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    log.log(&entry("2016-01-06T21:21:26Z"));
                }
            });
        }
    });
    writer.end();
    log.write("late".to_owned());
    let counts = log.counts();
    assert_eq!(counts.written + counts.dropped, THREADS * EACH + 1);
    assert_eq!(counts.failed, 0);
    let text = fs::read_to_string(&path).expect("read");
    assert_eq!(text.lines().count() as u64, counts.written);
    assert!(!text.contains("late"));
    assert!(
        text.lines()
            .all(|l| l.ends_with("HTTP/2\" 402 - \"-\" \"-\""))
    );
}

/// A writer that does not come to write: its file is a pipe that nobody reads.
#[test]
fn a_disk_that_does_not_take_lines_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|s| s.success()), "mkfifo");
    // A pipe opens for writing once somebody reads; this one reads nothing.
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::File::open(pipe).expect("opens")
    });
    let (file, totals) = file(&Settings::new(&pipe), Timestamp::now());
    let reader = reader.join().expect("ends");
    let clock = Clock::new(Form::H2, TimeZone::UTC);
    let (log, writer) = start(Form::H2, totals, file, clock).expect("starts");
    for _ in 0..100_000 {
        log.write("x".repeat(200));
    }
    // The pipe, the piece that is written to it, and the queue.
    assert!(log.counts().dropped > 50_000, "{:?}", log.counts());
    // The writer's next write fails.
    drop(reader);
    writer.end();
    let counts = log.counts();
    assert_eq!(
        counts.written + counts.dropped + counts.failed,
        100_000,
        "{counts:?}"
    );
}

#[test]
fn the_keys_of_the_file_are_read_and_bad_policies_named() {
    let read = |text: &str| {
        let reader = Reader::open("namerd.yml", text, Scalars::Strict).expect("is YAML");
        let settings = reader.top().map(|top| Settings::read(&top, &H2_KEYS));
        let read = reader.finish(settings);
        read.map(|(settings, _)| settings)
            .map_err(|e| e.to_string())
    };
    let text = "h2AccessLog: /log\nh2AccessLogRollPolicy: Daily\nh2AccessLogAppend: false\nh2AccessLogRotateCount: 5\n";
    let expected = Settings {
        path: "/log".into(),
        roll: Roll::Daily,
        append: false,
        keep: Some(5),
    };
    assert_eq!(read(text), Ok(Some(expected)));
    let text = "h2AccessLog: /log\nh2AccessLogRotateCount: -1\n";
    assert_eq!(read(text), Ok(Some(Settings::new("/log"))));
    assert_eq!(read("h2AccessLogRollPolicy: daily\n"), Ok(None));
    let mistake = read("h2AccessLog: /log\nh2AccessLogRollPolicy: monthly\n");
    let mistake = mistake.expect_err("a mistake");
    assert!(
        mistake.contains("h2AccessLogRollPolicy is not a roll policy: monthly"),
        "{mistake}"
    );
}
