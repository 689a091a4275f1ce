//! What must hold of every machine that is changed under a lock? It does not listen to who held the lock before whoever was there last.

use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    error::{PortError, PortErrorKind, PortResult},
    fleet::{HeldKey, Host, KeyState, PublicKey},
    ports::{Enlistment, Fence, HighstateMode, Installation, Library, Masters, Minions, Repointing, Role, SaltSource, Setup, Tenure},
    salt_version::SaltVersion,
};
use futures::channel::mpsc;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The fence of somebody who holds a lock, or believes that they do: it stands until they hear that somebody came after them.
pub struct Believing {
    tenure: Option<Tenure>,
    overtaken: Mutex<Option<String>>,
}

impl Believing {
    /// In this holding; `None` where the lock's have no numbers.
    pub fn in_a(tenure: Option<Tenure>) -> Self {
        Self { tenure, overtaken: Mutex::default() }
    }
    /// What they have heard of who came after them.
    pub fn heard(&self) -> Option<String> {
        self.overtaken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Fence for Believing {
    fn standing(&self) -> PortResult<()> {
        let lost = |by| Err(PortError::new(PortErrorKind::Conflict, "the fleet's lock", by));
        self.heard().map_or(Ok(()), lost)
    }
    fn tenure(&self) -> Option<Tenure> {
        self.tenure.clone()
    }
    fn overtaken(&self, by: &str) {
        self.overtaken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| by.to_owned());
    }
}

/// A machine as an operator gets at it.
pub struct View<'a> {
    /// As a minion.
    pub minions: Box<dyn Minions + 'a>,
    /// As a master.
    pub masters: Box<dyn Masters + 'a>,
    /// As something that is set up.
    pub setup: Box<dyn Setup + 'a>,
}

/// A machine that is a minion and a master, and whoever gets at it.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The machine, as somebody gets at it who has this fence.
    fn view(&self, fence: &Arc<Believing>) -> View<'_>;
    /// The machine.
    fn host(&self) -> Host;
    /// The address of a master that the minion may be moved to.
    fn address(&self) -> MasterAddress;
    /// That master's key.
    fn master_key(&self) -> PublicKey;
    /// Makes a file of the machine have this content; `None` removes it.
    async fn put(&self, path: &str, content: Option<&str>);
    /// A file of the machine; `None` where there is none.
    async fn get(&self, path: &str) -> Option<String>;
    /// Comes back once the minion's watchdog has put it back, whose patience is so long.
    async fn has_put_itself_back(&self, patience: Duration);
}

/// What the machine remembers.
const TENURE: &str = "/var/lib/bldr/tenure";
const CONFIG: &str = "/etc/salt/minion";
const OLD_CONFIG: &str = "master: 10.9.9.9\nid: kept\n";
const MINION: &str = "ferry--ci--1";

/// Every rule, one after the other, on one machine.
pub async fn suite(bench: &dyn Bench) {
    who_has_no_numbers_leaves_no_trace(bench).await;
    whoever_was_there_last_is_remembered(bench).await;
    an_older_one_changes_nothing_and_is_told_why(bench).await;
    an_older_one_may_look(bench).await;
    a_newer_one_goes_on_from_there(bench).await;
    the_machine_puts_itself_back_all_the_same(bench).await;
    another_locks_is_let_in_and_is_who_was_there_last(bench).await;
    a_memory_that_is_damaged_keeps_nobody_out(bench).await;
}

fn holding(lock: &str, epoch: u64) -> Arc<Believing> {
    Arc::new(Believing::in_a(Some(Tenure { lock: lock.into(), epoch })))
}

fn held() -> HeldKey {
    let key = PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\nbWlu\n-----END PUBLIC KEY-----\n").expect("a key");
    HeldKey { id: MINION.into(), state: KeyState::Accepted, key: key.fingerprint() }
}

fn to(bench: &dyn Bench, patience: Duration) -> Repointing {
    Repointing { address: bench.address(), key: bench.master_key(), build_vars: Some("bmV3".into()), patience }
}

/// Everything that changes something, and what became of it.
async fn changes(bench: &dyn Bench, fence: &Arc<Believing>) -> Vec<(&'static str, PortResult<()>)> {
    let (View { minions, masters, setup }, host) = (bench.view(fence), bench.host());
    let (address, key) = (bench.address(), bench.master_key());
    let salt = Installation {
        version: SaltVersion::find("3999.9").expect("a version"),
        role: Role::Minion,
        source: SaltSource::Script("#!/bin/sh\nexit 1\n".into()),
    };
    let whose = Enlistment { id: "kept".into(), address: address.clone(), key: key.clone() };
    vec![
        ("write_build_vars", minions.write_build_vars(&host, "bmV3").await),
        ("repoint", minions.repoint(&host, &to(bench, Duration::from_secs(3600))).await.map(drop)),
        ("confirm", minions.confirm(&host, &address, &key).await),
        ("keep", minions.keep(&host).await),
        ("revert", minions.revert(&host).await.map(drop)),
        ("highstate", minions.highstate(&host, HighstateMode::Apply, mpsc::unbounded().0).await.map(drop)),
        ("accept", masters.accept(&host, "quill--ci--1", &key).await.map(drop)),
        ("forget", masters.forget(&host, &[held()]).await.map(drop)),
        ("restore", masters.restore(&host, &[held()]).await.map(drop)),
        ("install", setup.install(&host, &salt).await.map(drop)),
        ("identity", setup.identity(&host).await.map(drop)),
        ("enlist", setup.enlist(&host, &whose).await.map(drop)),
        ("deploy_key", setup.deploy_key(&host).await.map(drop)),
        ("refresh", setup.refresh(&host, &Library::default()).await.map(drop)),
    ]
}

/// All that any of them would change.
async fn state(bench: &dyn Bench) -> Vec<Option<String>> {
    let files = [
        TENURE,
        CONFIG,
        "/etc/salt/pki/minion/minion_master.pub",
        "/etc/salt/pki/minion/minion.pub",
        "/etc/build-vars.json.b64",
        "/var/lib/bldr/highstate-due",
        "/var/lib/bldr/repointing",
        "/var/lib/bldr/switch/deadline",
        "/etc/salt/pki/master/minions/ferry--ci--1",
        "/etc/salt/pki/master/minions/quill--ci--1",
        "/root/.ssh/id_rsa.pub",
        "/etc/cron.d/bldr-refresh",
    ];
    let mut state = Vec::new();
    for file in files {
        state.push(bench.get(file).await);
    }
    state
}

async fn who_has_no_numbers_leaves_no_trace(bench: &dyn Bench) {
    bench.put(CONFIG, Some(OLD_CONFIG)).await;
    bench.put("/etc/salt/pki/master/minions/ferry--ci--1", Some("-----BEGIN PUBLIC KEY-----\nbWlu\n-----END PUBLIC KEY-----\n")).await;
    let fence = Arc::new(Believing::in_a(None));
    bench.view(&fence).minions.write_build_vars(&bench.host(), "b2xk").await.expect("write build vars");
    assert_eq!(bench.get(TENURE).await, None);
}

async fn whoever_was_there_last_is_remembered(bench: &dyn Bench) {
    for (epoch, seen) in [(7, "4f 7\n"), (8, "4f 8\n"), (8, "4f 8\n")] {
        let fence = holding("4f", epoch);
        bench.view(&fence).minions.write_build_vars(&bench.host(), "b2xk").await.expect("write build vars");
        assert_eq!(bench.get(TENURE).await.as_deref(), Some(seen));
        assert_eq!(fence.heard(), None);
    }
}

async fn an_older_one_changes_nothing_and_is_told_why(bench: &dyn Bench) {
    // What is half done is what an older one would be the most mistaken about.
    let newer = holding("4f", 8);
    bench.view(&newer).minions.repoint(&bench.host(), &to(bench, Duration::from_secs(3600))).await.expect("repoint");
    let before = state(bench).await;
    let older = holding("4f", 7);
    for (what, answer) in changes(bench, &older).await {
        let error = answer.expect_err(what);
        assert_eq!(error.kind, PortErrorKind::Conflict, "{what}: {error}");
        let told = error.to_string();
        assert!(told.contains(&bench.host().node.to_string()) && told.contains("(epoch 8, this run has 7)"), "{what}: {told}");
        assert!(told.contains("nothing was changed"), "{what}: {told}");
    }
    assert_eq!(state(bench).await, before);
    let heard = older.heard().expect("their fence hears of it");
    assert!(heard.contains("a run that took the lock later has worked on it since") && older.standing().is_err(), "{heard}");
}

async fn an_older_one_may_look(bench: &dyn Bench) {
    let older = holding("4f", 7);
    let (View { minions, masters, .. }, host) = (bench.view(&older), bench.host());
    minions.read(&host).await.expect("read");
    minions.examine(&host, &bench.address()).await.expect("examine");
    minions.prove(&host, &bench.address(), &bench.master_key(), Duration::from_secs(1)).await.expect("prove");
    masters.quarantined(&host).await.expect("quarantined");
    masters.strain(&host).await.expect("strain");
    assert_eq!(older.heard(), None);
}

async fn a_newer_one_goes_on_from_there(bench: &dyn Bench) {
    let newer = holding("4f", 9);
    bench.view(&newer).minions.revert(&bench.host()).await.expect("revert");
    assert_eq!(bench.get(CONFIG).await.as_deref(), Some(OLD_CONFIG));
    assert_eq!(bench.get(TENURE).await.as_deref(), Some("4f 9\n"));
}

async fn the_machine_puts_itself_back_all_the_same(bench: &dyn Bench) {
    let (newer, patience) = (holding("4f", 9), Duration::from_secs(1));
    bench.view(&newer).minions.repoint(&bench.host(), &to(bench, patience)).await.expect("repoint");
    bench.has_put_itself_back(patience).await;
    assert_eq!(bench.get(CONFIG).await.as_deref(), Some(OLD_CONFIG));
    assert_eq!(bench.get(TENURE).await.as_deref(), Some("4f 9\n"), "that was nobody's doing");
}

async fn another_locks_is_let_in_and_is_who_was_there_last(bench: &dyn Bench) {
    for (lock, epoch) in [("b0b", 1), ("4f", 2)] {
        let fence = holding(lock, epoch);
        bench.view(&fence).minions.write_build_vars(&bench.host(), "b2xk").await.expect("write build vars");
        assert_eq!(bench.get(TENURE).await, Some(format!("{lock} {epoch}\n")));
    }
    let older = holding("4f", 1);
    let refused = bench.view(&older).minions.keep(&bench.host()).await.expect_err("older").kind;
    assert_eq!(refused, PortErrorKind::Conflict);
}

async fn a_memory_that_is_damaged_keeps_nobody_out(bench: &dyn Bench) {
    for damaged in ["", "4f", "4f x\n", "\n\n"] {
        bench.put(TENURE, Some(damaged)).await;
        let fence = holding("4f", 3);
        bench.view(&fence).minions.write_build_vars(&bench.host(), "b2xk").await.expect(damaged);
        assert_eq!(bench.get(TENURE).await.as_deref(), Some("4f 3\n"), "{damaged:?}");
    }
}
