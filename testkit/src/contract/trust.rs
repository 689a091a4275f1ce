//! Whom does a minion obey? Salt's trust rules, one suite for the simulated fleet, the stand-ins and real Salt: what the
//! simulation shows is what would have happened.

use async_trait::async_trait;

/// The two masters of a bench. [`Side::Old`] has the minion's key accepted at first; neither lets anybody in by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one the minion is on at first.
    Old,
    /// The other.
    New,
}

/// What a master makes of the minion's key, by the folder it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// `minions`
    Accepted,
    /// `minions_pre`
    Pending,
    /// `minions_denied`
    Denied,
    /// `minions_rejected`
    Rejected,
}

impl Folder {
    /// Its name under the master's `pki_dir`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "minions",
            Self::Pending => "minions_pre",
            Self::Denied => "minions_denied",
            Self::Rejected => "minions_rejected",
        }
    }
}

/// A minion between two masters, with a hand on all three.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The public key of a master, as PEM.
    fn master_key(&self, side: Side) -> String;
    /// The minion's own.
    fn minion_key(&self) -> String;
    /// Some other key that is none of these.
    fn foreign_key(&self) -> String;
    /// Stops the minion.
    async fn stop(&self);
    /// Points the stopped minion at a master, with this trusted key or none, and starts it.
    async fn start(&self, master: Side, trusted: Option<&str>);
    /// Makes what a master holds of the minion be this and nothing else.
    async fn hold(&self, master: Side, held: Option<(Folder, &str)>);
    /// Whether the minion's key is in that folder of a master.
    async fn holds(&self, master: Side, folder: Folder) -> bool;
    /// The key the minion trusts, by its file.
    async fn trusted(&self) -> Option<String>;
    /// Removes that file while the minion runs.
    async fn remove_trusted(&self);
    /// Whether the master gets an answer, once everything that was going to happen has happened.
    async fn answers(&self, master: Side) -> bool;
    /// Whether the minion's daemon is up, as its unit says, once everything has happened.
    async fn is_up(&self) -> bool;
}

fn same(a: &str, b: &str) -> bool {
    let body = |text: &str| text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect::<String>();
    body(a) == body(b)
}

/// Every rule, one after the other.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(bench: &dyn Bench) {
    a_minion_whose_key_is_accepted_answers_its_master_alone(bench).await;
    a_minion_that_trusts_another_key_is_up_and_never_answers(bench).await;
    a_minion_that_trusts_nobody_trusts_whoever_answers_first(bench).await;
    a_trusted_key_removed_while_the_minion_runs_comes_back(bench).await;
    a_key_that_nobody_accepted_waits_until_somebody_does(bench).await;
    a_second_key_under_one_id_is_denied_and_ends_the_daemon(bench).await;
    a_rejected_key_ends_the_daemon(bench).await;
}

async fn a_minion_whose_key_is_accepted_answers_its_master_alone(bench: &dyn Bench) {
    bench.hold(Side::New, Some((Folder::Accepted, &bench.minion_key()))).await;
    for (side, other) in [(Side::Old, Side::New), (Side::New, Side::Old)] {
        bench.stop().await;
        bench.start(side, Some(&bench.master_key(side))).await;
        assert!(bench.answers(side).await && !bench.answers(other).await, "{side:?}");
    }
}

async fn a_minion_that_trusts_another_key_is_up_and_never_answers(bench: &dyn Bench) {
    bench.stop().await;
    bench.start(Side::New, Some(&bench.master_key(Side::Old))).await;
    assert!(!bench.answers(Side::New).await && bench.is_up().await);
}

async fn a_minion_that_trusts_nobody_trusts_whoever_answers_first(bench: &dyn Bench) {
    bench.stop().await;
    bench.start(Side::New, None).await;
    assert!(bench.answers(Side::New).await);
    assert!(same(&bench.trusted().await.expect("it keeps the key"), &bench.master_key(Side::New)));
}

async fn a_trusted_key_removed_while_the_minion_runs_comes_back(bench: &dyn Bench) {
    bench.remove_trusted().await;
    bench.stop().await;
    let back = bench.trusted().await;
    bench.start(Side::New, back.as_deref()).await;
    assert!(bench.answers(Side::New).await);
    assert!(same(&bench.trusted().await.expect("it is there again"), &bench.master_key(Side::New)));
}

async fn a_key_that_nobody_accepted_waits_until_somebody_does(bench: &dyn Bench) {
    bench.stop().await;
    bench.hold(Side::New, None).await;
    bench.start(Side::New, Some(&bench.master_key(Side::New))).await;
    assert!(!bench.answers(Side::New).await);
    assert!(bench.holds(Side::New, Folder::Pending).await);
    bench.stop().await;
    bench.hold(Side::New, Some((Folder::Accepted, &bench.minion_key()))).await;
    bench.start(Side::New, Some(&bench.master_key(Side::New))).await;
    assert!(bench.answers(Side::New).await);
}

async fn a_second_key_under_one_id_is_denied_and_ends_the_daemon(bench: &dyn Bench) {
    bench.stop().await;
    bench.hold(Side::New, Some((Folder::Accepted, &bench.foreign_key()))).await;
    bench.start(Side::New, Some(&bench.master_key(Side::New))).await;
    assert!(!bench.is_up().await, "the daemon ends");
    assert!(bench.holds(Side::New, Folder::Denied).await && !bench.answers(Side::New).await);
}

async fn a_rejected_key_ends_the_daemon(bench: &dyn Bench) {
    bench.stop().await;
    bench.hold(Side::New, Some((Folder::Rejected, &bench.minion_key()))).await;
    bench.start(Side::New, Some(&bench.master_key(Side::New))).await;
    assert!(!bench.is_up().await && !bench.answers(Side::New).await);
}
