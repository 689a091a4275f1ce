//! What do the file adapters do that the contract of their ports does not speak of: modes, leftovers, damage?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_adapters_fs::{FileContexts, FileJournal, FileLock, FileSleepers};
use bldr_core::{
    error::PortErrorKind,
    event::RunId,
    name::StackName,
    ports::{ContextStore, Expected, Journal, Lock, LockGuard, Sleepers},
};
use bldr_testkit::{
    clock::ManualClock,
    contract::{journal::every_event, lock::owner},
};
use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

fn contexts(folder: &Path) -> FileContexts {
    FileContexts::new(folder, Arc::new(ManualClock::default()))
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

async fn save(store: &FileContexts, name: &str, text: &str) {
    let expected = store.load(&stack(name)).await.map_or(Expected::Absent, |document| Expected::Revision(document.revision));
    store.save(&stack(name), text, &expected).await.unwrap();
}

#[tokio::test]
async fn contexts_are_for_this_user_alone_and_a_mode_that_was_set_stays() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join(".cfn/contexts");
    let store = contexts(&folder);
    save(&store, "harbor--ci", "{}").await;
    assert_eq!((mode(&folder), mode(folder.join("harbor--ci.json"))), (0o700, 0o600));
    fs::set_permissions(folder.join("harbor--ci.json"), Permissions::from_mode(0o640)).unwrap();
    save(&store, "harbor--ci", "{\"a\": 1}").await;
    assert_eq!(mode(folder.join("harbor--ci.json")), 0o640);
    assert_eq!(mode(folder.join(".history")), 0o700);
}

#[tokio::test]
async fn files_that_are_no_contexts_are_left_alone() {
    let home = TempDir::new().unwrap();
    let store = contexts(home.path());
    save(&store, "harbor--ci", "{}").await;
    let others =
        ["README", "harbor.json", "harbor--ci.json~", ".#harbor--ci.json", "har bor--ci.json", "harbor--ci.yaml", ".harbor--x.json"];
    for name in others {
        fs::write(home.path().join(name), "mine").unwrap();
    }
    fs::create_dir(home.path().join("quay--folder.json")).unwrap();
    save(&store, "harbor--ci", "{\"a\": 1}").await;
    assert_eq!(store.list().await.unwrap(), [stack("harbor--ci")]);
    for name in others {
        assert_eq!(fs::read_to_string(home.path().join(name)).unwrap(), "mine", "{name}");
    }
}

#[tokio::test]
async fn what_a_crash_left_aside_is_no_context_and_is_gone_after_the_next_save() {
    let home = TempDir::new().unwrap();
    let store = contexts(home.path());
    save(&store, "harbor--ci", "{}").await;
    fs::write(home.path().join(".new"), "{\"ha").unwrap();
    assert_eq!(store.list().await.unwrap(), [stack("harbor--ci")]);
    save(&store, "quay--ci", "{}").await;
    assert!(!home.path().join(".new").exists());
}

#[tokio::test]
async fn history_that_a_crash_kept_too_early_is_not_listed_and_not_listed_twice() {
    let home = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = FileContexts::new(home.path(), clock.clone());
    for text in ["one", "two"] {
        save(&store, "harbor--ci", text).await;
    }
    let revision = store.load(&stack("harbor--ci")).await.unwrap().revision.0;
    let kept = home.path().join(".history/harbor--ci");
    fs::hard_link(home.path().join("harbor--ci.json"), kept.join(format!("000002-20260101T000000.000Z-{revision}.json"))).unwrap();
    assert_eq!(store.history(&stack("harbor--ci")).await.unwrap().len(), 1, "'two' is still in place");
    clock.advance(Duration::from_secs(60));
    save(&store, "harbor--ci", "three").await;
    let history = store.history(&stack("harbor--ci")).await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[1].at.0 - history[0].at.0, 60_000, "when it was replaced, not when it was kept");
    assert_eq!(store.replaced(&stack("harbor--ci"), &history[1].revision).await.unwrap(), "two");
}

#[tokio::test]
async fn history_that_somebody_changed_is_not_passed_off_as_what_was() {
    let home = TempDir::new().unwrap();
    let store = contexts(home.path());
    for text in ["one", "two"] {
        save(&store, "harbor--ci", text).await;
    }
    let file = fs::read_dir(home.path().join(".history/harbor--ci")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "0ne").unwrap();
    let replaced = store.history(&stack("harbor--ci")).await.unwrap().remove(0);
    let error = store.replaced(&stack("harbor--ci"), &replaced.revision).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Malformed, "{error}");
}

#[tokio::test]
async fn a_context_that_is_no_text_or_a_link_is_named() {
    let home = TempDir::new().unwrap();
    let store = contexts(home.path());
    fs::write(home.path().join("harbor--ci.json"), b"{\"a\": \"\xff\"}").unwrap();
    let error = store.load(&stack("harbor--ci")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Malformed);
    assert!(error.to_string().contains("harbor--ci.json: it is not UTF-8"), "{error}");

    fs::write(home.path().join("elsewhere"), "{}").unwrap();
    symlink("elsewhere", home.path().join("quay--ci.json")).unwrap();
    let read = store.load(&stack("quay--ci")).await.unwrap();
    let error = store.save(&stack("quay--ci"), "{\"a\": 1}", &Expected::Revision(read.revision)).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused, "{error}");
    assert_eq!(fs::read_to_string(home.path().join("elsewhere")).unwrap(), "{}");
}

#[tokio::test]
async fn a_path_that_cannot_be_a_folder_is_an_error_not_an_empty_store() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("contexts");
    fs::write(&file, "").unwrap();
    let store = contexts(&file);
    assert!(store.list().await.is_err());
    assert!(store.save(&stack("harbor--ci"), "{}", &Expected::Absent).await.is_err());
}

#[tokio::test]
async fn a_torn_last_line_is_left_out_and_cut_off_by_the_next_record() {
    let home = TempDir::new().unwrap();
    let journal = FileJournal::new(home.path());
    let run = RunId("20261122-124301-k3f9".into());
    let records = every_event();
    for torn in ["{\"at\": 1, \"eve", "x", "\0\0\0\0", &"y".repeat(10_000)] {
        let path = home.path().join("20261122-124301-k3f9.jsonl");
        let _ = fs::remove_file(&path);
        journal.append(&run, &records[..1]).await.unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
        assert_eq!(journal.read(&run).await.unwrap(), records[..1]);
        journal.append(&run, &records[1..2]).await.unwrap();
        assert_eq!(journal.read(&run).await.unwrap(), records[..2]);
        assert_eq!(mode(path), 0o600);
    }
}

#[tokio::test]
async fn a_file_that_is_all_one_torn_line_begins_anew() {
    let home = TempDir::new().unwrap();
    let journal = FileJournal::new(home.path());
    let run = RunId("20261122-124301-k3f9".into());
    fs::write(home.path().join("20261122-124301-k3f9.jsonl"), "{".repeat(9_000)).unwrap();
    assert_eq!(journal.read(&run).await.unwrap(), []);
    journal.append(&run, &every_event()[..1]).await.unwrap();
    assert_eq!(journal.read(&run).await.unwrap(), every_event()[..1]);
}

#[tokio::test]
async fn a_damaged_line_in_the_middle_is_named_by_file_and_line() {
    let home = TempDir::new().unwrap();
    let journal = FileJournal::new(home.path());
    let run = RunId("20261122-124301-k3f9".into());
    for record in &every_event()[..2] {
        journal.append(&run, std::slice::from_ref(record)).await.unwrap();
    }
    let path = home.path().join("20261122-124301-k3f9.jsonl");
    let text = fs::read_to_string(&path).unwrap().replacen('\n', "\n{\"at\": 5, \"event\": \"s3cret\"}\n", 1);
    fs::write(&path, text).unwrap();
    let error = journal.read(&run).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Malformed);
    assert!(error.to_string().contains("20261122-124301-k3f9.jsonl:2"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn what_is_no_run_is_never_made_a_path() {
    let home = TempDir::new().unwrap();
    let journal = FileJournal::new(home.path().join("runs"));
    for name in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "a\0b"] {
        assert_eq!(journal.read(&RunId(name.into())).await.unwrap_err().kind, PortErrorKind::NotFound, "{name:?}");
        assert!(journal.append(&RunId(name.into()), &every_event()[..1]).await.is_err(), "{name:?}");
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_memory_that_is_damaged_or_another_nodes_is_named() {
    let home = TempDir::new().unwrap();
    let sleepers = FileSleepers::new(home.path());
    for text in ["{", "{\"node\": \"harbor--ci--2\", \"id\": \"i-1\", \"launched\": 1, \"state\": \"woken\"}"] {
        fs::write(home.path().join("harbor--ci--1.json"), text).unwrap();
        let error = sleepers.all().await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Malformed);
        assert!(error.to_string().contains("harbor--ci--1.json") && error.advice.is_some(), "{error}");
    }
    fs::rename(home.path().join("harbor--ci--1.json"), home.path().join("notes.json")).unwrap();
    assert_eq!(sleepers.all().await.unwrap(), []);
}

#[tokio::test]
async fn a_lock_file_that_was_removed_does_not_let_two_in_unseen() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("lock");
    let lock = FileLock::new(&path);
    lock.acquire(&owner("ada")).await.unwrap().release().await.unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(lock.owner().await.unwrap(), None);
    let guard: Box<dyn LockGuard> = lock.acquire(&owner("bob")).await.unwrap();
    assert_eq!(FileLock::new(&path).acquire(&owner("eve")).await.map(drop).unwrap_err().kind, PortErrorKind::Conflict);
    drop(guard);
}

#[tokio::test]
async fn a_lock_file_with_something_else_in_it_is_still_a_lock() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("lock");
    fs::write(&path, "not JSON at all").unwrap();
    let lock = FileLock::new(&path);
    assert_eq!(lock.owner().await.unwrap(), None);
    let guard = lock.acquire(&owner("ada")).await.unwrap();
    fs::write(&path, "not JSON at all").unwrap();
    let error = lock.acquire(&owner("bob")).await.map(drop).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    assert!(error.to_string().contains("fuser"), "{error}");
    guard.release().await.unwrap();
    assert_eq!(lock.owner().await.unwrap(), None);
}
