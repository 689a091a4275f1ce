//! Do the file adapters keep the contract of their ports?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_adapters_fs::{FileContexts, FileJournal, FileLaunches, FileLock, FileProjects, FileSleepers};
use bldr_core::{
    error::PortErrorKind,
    ports::{ContextStore, Expected, Journal, Lock, SharedAddress, Sleepers},
};
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
    contract::context_store::suite(|| {
        Arc::new(FileContexts::new(folders.next(), Arc::new(ManualClock::default()))) as Arc<dyn ContextStore>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_in_a_folder_that_has_to_be_made_first() {
    // All but the rule that an empty store lists nothing: a folder that is not there is more likely mistyped.
    let folders = Folders::new();
    let folder = folders.next().join("a").join("b");
    let store = FileContexts::new(&folder, Arc::new(ManualClock::default()));
    let harbor = "harbor--ci".parse().unwrap();
    let error = store.list().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert!(error.to_string().contains("settings.yaml"), "{error}");
    let error = store.load(&harbor).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert!(error.to_string().contains("the folder"), "{error}");
    store.save(&harbor, "{}", &Expected::Absent).await.unwrap();
    assert_eq!(store.list().await.unwrap(), [harbor]);
}

#[tokio::test(flavor = "multi_thread")]
async fn journals_in_files() {
    let folders = Folders::new();
    contract::journal::suite(|| Arc::new(FileJournal::new(folders.next().join("runs"))) as Arc<dyn Journal>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_in_a_file() {
    let folders = Folders::new();
    contract::lock::suite(|| Arc::new(FileLock::new(folders.next().join(".bldr").join("lock"))) as Arc<dyn Lock>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_in_files() {
    let folders = Folders::new();
    contract::launches::suite(&FileLaunches::new(folders.next().join("launches"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sleepers_in_files() {
    let folders = Folders::new();
    contract::sleepers::suite(|| Arc::new(FileSleepers::new(folders.next().join("sleepers"))) as Arc<dyn Sleepers>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shared_address_in_project_files() {
    let folders = Folders::new();
    let layouts = [
        "# the team's\ndefaults:\n    aws:\n        region: x\n        ec2:\n            # where\n            master_ip: ADDRESS # keep\n            size: 1\n\n\
         harbor:\n    aws: {}\n\nmaster-server:\n    aws: {ec2: {size: 2}}\n",
        "defaults: {aws: {ec2: {size: 1, master_ip: 'ADDRESS'}}}\r\nharbor: {aws: {}}\r\nmaster-server: {aws: {}}\r\n",
    ];
    for layout in layouts {
        contract::shared_address::suite(|address| {
            let folder = folders.next();
            let (one, other, empty) = (folder.join("one.yaml"), folder.join("other.yaml"), folder.join("empty.yaml"));
            std::fs::write(&one, layout.replace("ADDRESS", address.as_str())).unwrap();
            let more = layout.replace("harbor", "quay").replace("master-server", "pier");
            std::fs::write(&other, more.replace("ADDRESS", address.as_str())).unwrap();
            std::fs::write(&empty, "# not yet\n").unwrap();
            Arc::new(FileProjects::new([one, other, empty])) as Arc<dyn SharedAddress>
        })
        .await;
    }
}
