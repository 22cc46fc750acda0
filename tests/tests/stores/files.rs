//! `io.l5d.fs`: a directory of dtab files.

use std::sync::Arc;

use anyhow::Result;
use l5d_tests::store_suite::{self, Backing, Opened};
use namerd::config::FilesStorage;
use namerd::files::FilesStore;
use tempfile::TempDir;

struct Folder(TempDir);

impl Backing for Folder {
    const SHARED: bool = true;
    const HISTORY: bool = true;
    const BAD_NAME: Option<&'static str> = Some("a/b");

    async fn open(&self) -> Result<Opened> {
        let folder = self.0.path().to_owned();
        let store = FilesStore::new(&FilesStorage::Folder(folder));
        let run = Arc::clone(&store).run();
        Ok(Opened::new(store, Some(run)))
    }

    async fn spoil(&self, namespace: &str, text: &str) -> Result<bool> {
        std::fs::write(self.0.path().join(namespace), text)?;
        Ok(true)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_files_does_what_every_store_must() -> Result<()> {
    store_suite::run(&Folder(TempDir::new()?)).await
}
