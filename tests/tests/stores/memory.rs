//! `io.l5d.inMemory`.

use std::future::Ready;

use anyhow::Result;
use l5d_tests::store_suite::{self, Backing, Opened};
use namerd::store::InMemoryStore;

struct Memory;

impl Backing for Memory {
    const SHARED: bool = false;
    const HISTORY: bool = true;
    const BAD_NAME: Option<&'static str> = None;

    async fn open(&self) -> Result<Opened> {
        Ok(Opened::new(InMemoryStore::new([]), None::<Ready<()>>))
    }

    async fn spoil(&self, _: &str, _: &str) -> Result<bool> {
        Ok(false)
    }
}

#[tokio::test]
async fn the_store_in_memory_does_what_every_store_must() -> Result<()> {
    store_suite::run(&Memory).await
}
