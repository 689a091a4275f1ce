//! What must hold of every `Minions`? One suite for the simulated fleet and for real nodes over SSH.

use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    error::PortErrorKind,
    fleet::{Host, PublicKey},
    ports::{Change, HighstateMode, Minions, Proof, Repointing},
};
use futures::{StreamExt, channel::mpsc};
use std::time::Duration;

/// The minion's configuration.
pub const CONFIG: &str = "/etc/salt/minion";
/// The key the minion trusts.
pub const TRUSTED: &str = "/etc/salt/pki/minion/minion_master.pub";
/// The build vars.
pub const BUILD_VARS: &str = "/etc/build-vars.json.b64";
/// The mark "highstate due".
pub const DUE: &str = "/var/lib/bldr/highstate-due";
/// The mark "a repointing has begun".
pub const REPOINTING: &str = "/var/lib/bldr/repointing";

/// How the next highstates of the node shall end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HighstateEnd {
    /// Every state succeeds, and there is at least one.
    Succeeds,
    /// One state fails.
    Fails {
        /// Its id.
        state: String,
    },
    /// The states cannot be rendered: none runs.
    RendersError,
}

/// One node to try things on, with a back door to its files.
#[async_trait]
pub trait Bench: Send + Sync {
    /// What is tested.
    fn minions(&self) -> &dyn Minions;
    /// The node.
    fn host(&self) -> Host;
    /// The new master's address.
    fn address(&self) -> MasterAddress;
    /// The new master's key.
    fn master_key(&self) -> PublicKey;
    /// Makes a file of the node have this content; `None` removes it.
    async fn put(&self, path: &str, content: Option<&str>);
    /// A file of the node; `None` where there is none.
    async fn get(&self, path: &str) -> Option<String>;
    /// The contents of all files that were kept, for root alone, before a file of this name (`minion`, `build-vars.json.b64`)
    /// was replaced; oldest first.
    async fn backups(&self, name: &str) -> Vec<String>;
    /// Decides how the next highstates end.
    async fn set_highstate(&self, end: HighstateEnd);
}

/// Longer than any suite takes.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Another master's key than any bench has.
const OLD_KEY: &str = "-----BEGIN PUBLIC KEY-----\nb2xkIG1hc3Rlcg==\n-----END PUBLIC KEY-----\n";
const OLD_CONFIG: &str = "# kept\nmaster: 10.9.9.9\nid: kept\n\n# master: a comment\nmaster_port: 4506\ngrains:\n  master: nested\n";

/// Every rule of the port, one after the other, on one node.
pub async fn suite(bench: &dyn Bench) {
    absent_files_read_as_none(bench).await;
    what_was_written_reads_back(bench).await;
    build_vars_are_kept_before_they_are_replaced(bench).await;
    repointing_changes_only_the_master(bench).await;
    repointing_twice_touches_nothing(bench).await;
    a_half_done_repointing_is_completed(bench).await;
    a_list_of_masters_becomes_one(bench).await;
    a_missing_configuration_is_made(bench).await;
    only_an_applied_highstate_that_succeeds_takes_the_mark_away(bench).await;
    an_examination_tells_what_a_reading_tells_and_changes_nothing(bench).await;
    a_switch_that_is_put_back_leaves_everything_as_it_was(bench).await;
    a_switch_that_is_not_whole_is_not_confirmed(bench).await;
    a_switch_that_is_confirmed_stays(bench).await;
    a_switch_that_is_made_twice_is_put_back_to_what_was_before_the_first(bench).await;
    a_minion_is_proven_on_the_master_it_is_on_alone(bench).await;
}

async fn pointed_elsewhere(bench: &dyn Bench) {
    bench.put(CONFIG, Some(OLD_CONFIG)).await;
    bench.put(TRUSTED, Some(OLD_KEY)).await;
    bench.put(DUE, None).await;
}

async fn repoint(bench: &dyn Bench) -> Change {
    let change = switch(bench, None).await;
    bench.minions().confirm(&bench.host(), &bench.address(), &bench.master_key()).await.expect("confirm");
    change
}

/// A repointing that waits to be confirmed.
async fn switch(bench: &dyn Bench, build_vars: Option<&str>) -> Change {
    let to = Repointing { address: bench.address(), key: bench.master_key(), build_vars: build_vars.map(Into::into), patience: PATIENCE };
    bench.minions().repoint(&bench.host(), &to).await.expect("repoint")
}

async fn absent_files_read_as_none(bench: &dyn Bench) {
    for path in [CONFIG, TRUSTED, BUILD_VARS, DUE, REPOINTING] {
        bench.put(path, None).await;
    }
    let files = bench.minions().read(&bench.host()).await.expect("read");
    assert_eq!((files.build_vars, files.minion_config, files.trusted_key, files.highstate_due), (None, None, None, false));
}

async fn what_was_written_reads_back(bench: &dyn Bench) {
    pointed_elsewhere(bench).await;
    bench.put(DUE, Some("10.9.9.9\n")).await;
    bench.minions().write_build_vars(&bench.host(), "eyJhIjoxfQ==").await.expect("write build vars");
    let files = bench.minions().read(&bench.host()).await.expect("read");
    assert_eq!(files.build_vars.as_deref(), Some("eyJhIjoxfQ=="), "one line, no newline");
    assert_eq!(files.minion_config.as_deref(), Some(OLD_CONFIG));
    assert_eq!(files.trusted_key.as_deref(), Some(OLD_KEY));
    assert!(files.highstate_due);
}

async fn build_vars_are_kept_before_they_are_replaced(bench: &dyn Bench) {
    bench.put(BUILD_VARS, Some("b2xk")).await;
    bench.minions().write_build_vars(&bench.host(), "bmV3").await.expect("write build vars");
    assert_eq!(bench.get(BUILD_VARS).await.as_deref(), Some("bmV3"));
    assert_eq!(bench.backups("build-vars.json.b64").await.last().map(String::as_str), Some("b2xk"));
}

async fn repointing_changes_only_the_master(bench: &dyn Bench) {
    pointed_elsewhere(bench).await;
    assert_eq!(repoint(bench).await, Change::Made);
    let wanted = OLD_CONFIG.replace("master: 10.9.9.9", &format!("master: {}", bench.address()));
    assert_eq!(bench.get(CONFIG).await, Some(wanted));
    let placed = bench.get(TRUSTED).await.expect("a trusted key");
    assert_eq!(PublicKey::from_pem(&placed), Some(bench.master_key()));
    assert_eq!(bench.backups("minion").await.last().map(String::as_str), Some(OLD_CONFIG));
    let files = bench.minions().read(&bench.host()).await.expect("read");
    assert!(files.highstate_due, "a node that was pointed elsewhere is due for a highstate");
}

async fn repointing_twice_touches_nothing(bench: &dyn Bench) {
    bench.put(DUE, None).await;
    let (config, backups) = (bench.get(CONFIG).await, bench.backups("minion").await);
    assert_eq!(repoint(bench).await, Change::NotNeeded);
    assert_eq!(bench.get(CONFIG).await, config);
    assert_eq!(bench.get(DUE).await, None, "nothing changed, so nothing is due");
    assert_eq!(bench.backups("minion").await, backups);
}

async fn a_half_done_repointing_is_completed(bench: &dyn Bench) {
    let config = bench.get(CONFIG).await;
    bench.put(TRUSTED, Some(OLD_KEY)).await;
    assert_eq!(repoint(bench).await, Change::Made);
    assert_eq!(bench.get(CONFIG).await, config);
    let placed = bench.get(TRUSTED).await.expect("a trusted key");
    assert_eq!(PublicKey::from_pem(&placed), Some(bench.master_key()));
    bench.put(TRUSTED, None).await;
    assert_eq!(repoint(bench).await, Change::Made, "a minion that trusts nobody yet would trust whoever answers first");
    assert!(bench.get(TRUSTED).await.is_some());
    // Cut short after the last file was written: the minion may never have been started again, and only the mark tells.
    assert_eq!(bench.get(REPOINTING).await, None, "it was finished");
    bench.put(REPOINTING, Some("10.9.9.9\n")).await;
    let files = bench.minions().read(&bench.host()).await.expect("read");
    assert_eq!(files.trusted_key, None, "it is not taken for finished");
    assert_eq!(repoint(bench).await, Change::Made, "the minion may be down");
    assert_eq!(bench.get(REPOINTING).await, None);
}

async fn a_list_of_masters_becomes_one(bench: &dyn Bench) {
    bench.put(CONFIG, Some("id: kept\nmaster:\n  - 10.9.9.8\n  - 10.9.9.9\nlast: kept\n")).await;
    assert_eq!(repoint(bench).await, Change::Made);
    assert_eq!(bench.get(CONFIG).await, Some(format!("id: kept\nmaster: {}\nlast: kept\n", bench.address())));
}

async fn a_missing_configuration_is_made(bench: &dyn Bench) {
    bench.put(CONFIG, None).await;
    assert_eq!(repoint(bench).await, Change::Made);
    assert_eq!(bench.get(CONFIG).await, Some(format!("master: {}\n", bench.address())));
}

async fn only_an_applied_highstate_that_succeeds_takes_the_mark_away(bench: &dyn Bench) {
    let (heard, mut states) = mpsc::unbounded();
    let run = async |mode| bench.minions().highstate(&bench.host(), mode, heard.clone()).await.expect("highstate");
    pointed_elsewhere(bench).await;
    repoint(bench).await;

    bench.set_highstate(HighstateEnd::Fails { state: "web-server".into() }).await;
    let failed = run(HighstateMode::Apply).await;
    assert!(!failed.succeeded && !failed.summary.is_empty());
    assert!(failed.failed.iter().any(|name| name.contains("web-server")), "{failed:?} names the state that failed");
    assert!(bench.get(DUE).await.is_some(), "a highstate that fails stays due");

    bench.set_highstate(HighstateEnd::RendersError).await;
    let unrendered = run(HighstateMode::Apply).await;
    assert!(!unrendered.succeeded && !unrendered.summary.is_empty());
    assert!(bench.get(DUE).await.is_some(), "a highstate that did not run stays due");

    bench.set_highstate(HighstateEnd::Succeeds).await;
    assert!(run(HighstateMode::Test).await.succeeded);
    assert!(bench.get(DUE).await.is_some(), "a trial changes nothing");
    let applied = run(HighstateMode::Apply).await;
    assert!(applied.succeeded && applied.failed.is_empty(), "{applied:?}");
    assert_eq!(bench.get(DUE).await, None);
    drop(heard);
    let begun = states.next().await.expect("which states begin is told");
    assert!(begun.contains('.'), "{begun} is a function");
}

async fn an_examination_tells_what_a_reading_tells_and_changes_nothing(bench: &dyn Bench) {
    pointed_elsewhere(bench).await;
    let read = bench.minions().read(&bench.host()).await.expect("read");
    let (files, outlook) = bench.minions().examine(&bench.host(), &bench.address()).await.expect("examine");
    assert!(files == read, "both read the same files");
    assert!(outlook.version.is_some(), "there is a Salt on it");
    assert_eq!(bench.get(CONFIG).await.as_deref(), Some(OLD_CONFIG));
    assert_eq!(bench.get(TRUSTED).await.as_deref(), Some(OLD_KEY));
    assert!(files.minion_id.is_some_and(|id| !id.is_empty()), "it has an id");
}

/// Everything a switch changes.
async fn state(bench: &dyn Bench) -> [Option<String>; 4] {
    [bench.get(CONFIG).await, bench.get(TRUSTED).await, bench.get(BUILD_VARS).await, bench.get(DUE).await]
}

async fn a_switch_that_is_put_back_leaves_everything_as_it_was(bench: &dyn Bench) {
    for (vars, key) in [(Some("b2xk"), Some(OLD_KEY)), (None, None)] {
        pointed_elsewhere(bench).await;
        bench.put(BUILD_VARS, vars).await;
        bench.put(TRUSTED, key).await;
        let before = state(bench).await;
        assert_eq!(switch(bench, Some("bmV3")).await, Change::Made);
        assert_eq!(bench.get(BUILD_VARS).await.as_deref(), Some("bmV3"), "build vars change with the rest");
        let files = bench.minions().read(&bench.host()).await.expect("read");
        assert!(files.unconfirmed.is_some() && files.highstate_due);
        assert_eq!(bench.minions().revert(&bench.host()).await.expect("revert"), Change::Made);
        let mut after = state(bench).await;
        if key.is_none() {
            // A minion that trusts nobody trusts whoever answers first, and it has been started again.
            after[1] = None;
        }
        assert_eq!(after, before);
        assert!(bench.minions().read(&bench.host()).await.expect("read").unconfirmed.is_none());
        assert_eq!(bench.minions().revert(&bench.host()).await.expect("revert"), Change::NotNeeded, "once is enough");
        let late = bench.minions().confirm(&bench.host(), &bench.address(), &bench.master_key()).await.expect_err("it has been put back");
        assert_eq!(late.kind, PortErrorKind::Refused);
    }
}

/// The address was right before the switch and the key was not: who looks at the address alone takes what was put back for
/// what was switched.
async fn a_switch_that_is_not_whole_is_not_confirmed(bench: &dyn Bench) {
    pointed_elsewhere(bench).await;
    bench.put(CONFIG, Some(&format!("master: {}\n", bench.address()))).await;
    bench.put(TRUSTED, Some(OLD_KEY)).await;
    let before = state(bench).await;
    let refused = async || {
        let late = bench.minions().confirm(&bench.host(), &bench.address(), &bench.master_key()).await.expect_err("it is not as switched");
        assert_eq!(late.kind, PortErrorKind::Refused);
    };
    assert_eq!(switch(bench, None).await, Change::Made);
    assert_eq!(bench.minions().revert(&bench.host()).await.expect("revert"), Change::Made);
    refused().await;
    // Interrupted in the middle of putting back, it is completed.
    assert_eq!(switch(bench, None).await, Change::Made);
    bench.put(TRUSTED, Some(OLD_KEY)).await;
    refused().await;
    assert!(bench.minions().read(&bench.host()).await.expect("read").unconfirmed.is_none());
    assert_eq!(state(bench).await, before);
    // What is to be looked at stays, whatever it is.
    assert_eq!(switch(bench, None).await, Change::Made);
    bench.put(TRUSTED, Some(OLD_KEY)).await;
    bench.minions().keep(&bench.host()).await.expect("keep");
    assert_eq!(bench.minions().revert(&bench.host()).await.expect("revert"), Change::NotNeeded);
}

async fn a_switch_that_is_confirmed_stays(bench: &dyn Bench) {
    pointed_elsewhere(bench).await;
    bench.put(BUILD_VARS, Some("b2xk")).await;
    assert_eq!(switch(bench, Some("bmV3")).await, Change::Made);
    for _ in 0..2 {
        bench.minions().confirm(&bench.host(), &bench.address(), &bench.master_key()).await.expect("confirming twice is as good as once");
    }
    let after = state(bench).await;
    assert_eq!(bench.minions().revert(&bench.host()).await.expect("revert"), Change::NotNeeded);
    assert_eq!(state(bench).await, after);
    assert_eq!(after[2].as_deref(), Some("bmV3"));
    let files = bench.minions().read(&bench.host()).await.expect("read");
    assert!(files.unconfirmed.is_none() && files.highstate_due, "confirmed, and still due for a highstate");
}

async fn a_switch_that_is_made_twice_is_put_back_to_what_was_before_the_first(bench: &dyn Bench) {
    pointed_elsewhere(bench).await;
    bench.put(BUILD_VARS, Some("b2xk")).await;
    let before = state(bench).await;
    switch(bench, Some("bmV3")).await;
    // Somebody's hand, or a script that was killed half way.
    bench.put(TRUSTED, Some(OLD_KEY)).await;
    assert_eq!(switch(bench, Some("bmV3")).await, Change::Made);
    assert_eq!(switch(bench, Some("bmV3")).await, Change::NotNeeded);
    assert_eq!(bench.minions().revert(&bench.host()).await.expect("revert"), Change::Made);
    assert_eq!(state(bench).await, before);
}

async fn a_minion_is_proven_on_the_master_it_is_on_alone(bench: &dyn Bench) {
    let (host, soon) = (bench.host(), Duration::from_secs(1));
    let prove = async |address: &MasterAddress, key: &PublicKey| bench.minions().prove(&host, address, key, soon).await.expect("prove");
    pointed_elsewhere(bench).await;
    let unproven = prove(&bench.address(), &bench.master_key()).await;
    assert!(matches!(&unproven, Proof::Unproven(why) if !why.is_empty()), "{unproven:?}");
    repoint(bench).await;
    let joined = bench.minions().prove(&host, &bench.address(), &bench.master_key(), Duration::from_secs(20)).await.expect("prove");
    assert_eq!(joined, Proof::Proven);
    assert_eq!(bench.minions().read(&host).await.expect("read").connected, [bench.address().to_string()]);
    let other = PublicKey::from_pem(OLD_KEY).expect("a key");
    assert!(matches!(prove(&bench.address(), &other).await, Proof::Unproven(_)), "another key than the one it trusts");
    assert!(matches!(prove(&"10.9.9.9".parse().expect("an address"), &bench.master_key()).await, Proof::Unproven(_)), "another master");
}
