//! Rounds over files that others write.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, Arc<FilesStore>) {
    let dir = TempDir::new().expect("a directory");
    let store = FilesStore::new(&FilesStorage::Folder(dir.path().to_owned()));
    (dir, store)
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("a file");
}

fn shown(store: &FilesStore, name: &str) -> String {
    match store.observe(name).value() {
        NamespaceState::Present(version) => version.dtab.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn each_file_is_a_namespace_and_others_are_not() {
    let (dir, store) = folder();
    write(
        dir.path(),
        "default",
        "/svc => /a ; # comment\n/x => /y ;\n",
    );
    write(dir.path(), "empty", "");
    for other in [".hidden", "backup~"] {
        write(dir.path(), other, "/a=>/b");
    }
    fs::create_dir(dir.path().join("folder")).expect("a directory");
    assert_eq!(shown(&store, "default"), "Pending");
    store.refresh();
    assert_eq!(shown(&store, "default"), "/svc=>/a;/x=>/y");
    assert_eq!(shown(&store, "empty"), "");
    let names = store.list().value().expect("a list");
    assert_eq!(*names, ["default".to_owned(), "empty".to_owned()]);
}

/// An editor that empties a file before it writes it, or moves it away for a moment, empties no dtab.
#[test]
fn a_change_counts_when_it_was_seen_twice() {
    let (dir, store) = folder();
    write(dir.path(), "a", "/svc => /1");
    store.refresh();
    for step in ["", "/svc => /2 ; /x =>", "/svc => /2 ; /x => /y"] {
        write(dir.path(), "a", step);
        store.refresh();
        assert_eq!(shown(&store, "a"), "/svc=>/1");
    }
    fs::rename(dir.path().join("a"), dir.path().join("a~")).expect("renamed");
    store.refresh();
    assert_eq!(shown(&store, "a"), "/svc=>/1");
    write(dir.path(), "a", "/svc => /3");
    store.refresh();
    store.refresh();
    assert_eq!(shown(&store, "a"), "/svc=>/3");
    fs::remove_file(dir.path().join("a")).expect("removed");
    store.refresh();
    store.refresh();
    assert_eq!(shown(&store, "a"), "Absent");
}

#[test]
fn a_directory_that_is_gone_changes_nothing() {
    let (dir, store) = folder();
    write(dir.path(), "a", "/svc => /1");
    store.refresh();
    let path = dir.path().to_owned();
    let away = path.with_extension("away");
    fs::rename(&path, &away).expect("moved");
    (0..3).for_each(|_| store.refresh());
    assert_eq!(shown(&store, "a"), "/svc=>/1");
    let status = store.status().value();
    assert!(!status.connected && status.failures == 3, "{status:?}");
    fs::rename(&away, &path).expect("moved");
    store.refresh();
    assert!(store.status().value().connected);
}

/// What the 1.x interpreter `io.l5d.fs` had.
#[tokio::test]
async fn one_file_is_the_namespace_default() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("all.dtab");
    let store = FilesStore::new(&FilesStorage::One(file.clone()));
    write(dir.path(), "other", "/a=>/b");
    store.refresh();
    assert_eq!(*store.list().value().expect("a list"), [""; 0]);
    let dtab = Dtab::parse("/svc=>/a;/b=>0.5*/c & 0.25*/d").expect("a dtab");
    store
        .create("default", dtab.clone())
        .await
        .expect("is made");
    let text = fs::read_to_string(&file).expect("a file");
    assert_eq!(text, "/svc => /a ;\n/b => 0.5*/c & 0.25*/d ;\n");
    store.refresh();
    assert_eq!(
        *store.list().value().expect("a list"),
        ["default".to_owned()]
    );
    let refused = store.put("other", dtab).await;
    assert!(
        matches!(refused, Err(StoreError::BadName { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn links_and_permissions_survive_a_write() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (dir, store) = folder();
    let real = TempDir::new().expect("a directory");
    let target = real.path().join("target");
    write(real.path(), "target", "/svc => /1");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).expect("permissions");
    symlink(&target, dir.path().join("a")).expect("a link");
    store.refresh();
    assert_eq!(shown(&store, "a"), "/svc=>/1");
    let dtab = Dtab::parse("/svc=>/2").expect("a dtab");
    store.put("a", dtab).await.expect("is put");
    assert_eq!(
        fs::read_to_string(&target).expect("a file"),
        "/svc => /2 ;\n"
    );
    let mode = fs::metadata(&target).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(dir.path().join("a").is_symlink());
}

fn past(store: &[PastDtab]) -> Vec<String> {
    let shown = store.iter().map(|past| past.version.dtab.to_string());
    shown.collect()
}

#[tokio::test]
async fn the_last_twenty_contents_are_kept_those_of_others_too() {
    let (dir, store) = folder();
    let dtab = |n: usize| Dtab::parse(&format!("/svc=>/{n}")).expect("a dtab");
    for n in 0..30 {
        store.put("a", dtab(n)).await.expect("is put");
        store.put("b", dtab(n)).await.expect("is put");
    }
    write(dir.path(), "a", "/svc => /hand # why");
    let by_hand = store.history("a").await.expect("a history");
    assert_eq!(past(&by_hand)[..2], ["/svc=>/hand", "/svc=>/29"]);
    store.put("a", dtab(30)).await.expect("is put");
    store.put("a", dtab(30)).await.expect("is put");
    let history = store.history("a").await.expect("a history");
    let shown = past(&history);
    assert_eq!(shown.len(), 20);
    assert_eq!(shown[..3], ["/svc=>/30", "/svc=>/hand", "/svc=>/29"]);
    assert_eq!(history[1].version.token, by_hand[0].version.token);
    assert!(history.iter().all(|past| past.written.is_some()));
    store.refresh();
    let names = store.list().value().expect("a list");
    assert_eq!(*names, ["a".to_owned(), "b".to_owned()]);
    store.delete("a").await.expect("is deleted");
    let kept: Vec<_> = fs::read_dir(dir.path().join(".history"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(kept, ["b.json"]);
}

#[tokio::test]
async fn a_history_that_cannot_be_kept_keeps_nobody_from_writing() {
    let (dir, store) = folder();
    write(dir.path(), ".history", "in the way");
    for n in 1..=2 {
        let dtab = Dtab::parse(&format!("/svc=>/{n}")).expect("a dtab");
        store.put("a", dtab).await.expect("is put");
    }
    assert_eq!(shown(&store, "a"), "/svc=>/2");
    assert_eq!(store.status().value().unkept, 2);
}

#[tokio::test]
async fn a_single_file_has_no_history() {
    let dir = TempDir::new().expect("a directory");
    let store = FilesStore::new(&FilesStorage::One(dir.path().join("all.dtab")));
    for n in 1..=2 {
        let dtab = Dtab::parse(&format!("/svc=>/{n}")).expect("a dtab");
        store.put("default", dtab).await.expect("is put");
    }
    let history = store.history("default").await;
    assert_eq!(history, Err(StoreError::NoHistory("io.l5d.fs")));
    assert!(!dir.path().join(".history").exists());
}
