//! Do the file adapters keep the contract of their ports?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_adapters_fs::FileContexts;
use bldr_core::ports::ContextStore;
use bldr_testkit::{clock::ManualClock, contract};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Folders that are there already, empty, each for one case.
struct Folders(tempfile::TempDir, AtomicUsize);

impl Folders {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), AtomicUsize::new(0))
    }
    fn next(&self) -> PathBuf {
        let folder = self.0.path().join(self.1.fetch_add(1, Ordering::SeqCst).to_string());
        std::fs::create_dir(&folder).unwrap();
        folder
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_in_files() {
    let folders = Folders::new();
    contract::context_store::suite(|| Arc::new(FileContexts::new(folders.next(), Arc::new(ManualClock::default()))) as Arc<dyn ContextStore>).await;
}
