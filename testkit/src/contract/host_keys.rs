//! What must hold of every `HostKeys`? A machine gets our trust by the keys that were learnt for it and by no other, until it is
//! forgotten.

use crate::salt::made_up_ssh_key;
use async_trait::async_trait;
use bldr_core::{
    error::{PortErrorKind, PortResult},
    fleet::Host,
    ports::HostKeys,
    ssh_key::SshPublicKey,
};

/// The adapter and a machine that shows a host key.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The adapter.
    fn host_keys(&self) -> &dyn HostKeys;
    /// The machine.
    fn host(&self) -> Host;
    /// The key it shows.
    fn shown(&self) -> SshPublicKey;
    /// Connects to it, and logs in.
    async fn enters(&self) -> PortResult<()>;
}

/// Every rule of the port, one after the other on one machine.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(bench: &dyn Bench) {
    nothing_to_forget_is_fine(bench).await;
    a_machine_that_shows_another_key_than_the_learnt_one_is_not_spoken_to(bench).await;
    what_is_learnt_takes_the_place_of_what_was(bench).await;
    of_several_keys_the_one_that_is_shown_is_enough(bench).await;
    a_forgotten_machine_is_a_new_one(bench).await;
}

fn others() -> Vec<SshPublicKey> {
    ["one", "two"].map(|seed| made_up_ssh_key("ssh-ed25519", seed, "nobody has shown it").expect("a key")).into()
}

async fn learn(bench: &dyn Bench, keys: &[SshPublicKey]) {
    bench.host_keys().learn(&bench.host(), keys).await.expect("learn");
}

async fn nothing_to_forget_is_fine(bench: &dyn Bench) {
    for _ in 0..2 {
        bench.host_keys().forget(&bench.host()).await.expect("forget");
    }
    bench.enters().await.expect("a new machine is let in to");
}

async fn a_machine_that_shows_another_key_than_the_learnt_one_is_not_spoken_to(bench: &dyn Bench) {
    for other in others() {
        learn(bench, &[other]).await;
        assert_eq!(bench.enters().await.map_err(|error| error.kind), Err(PortErrorKind::Denied));
    }
}

async fn what_is_learnt_takes_the_place_of_what_was(bench: &dyn Bench) {
    learn(bench, &others()).await;
    learn(bench, &[bench.shown()]).await;
    assert!(bench.host_keys().known(&bench.host()).await.expect("known"), "it is known by what was learnt");
    bench.enters().await.expect("it shows what was learnt");
    learn(bench, &[bench.shown()]).await;
    bench.enters().await.expect("learnt twice is learnt");
    learn(bench, &others()).await;
    assert_eq!(bench.enters().await.map_err(|error| error.kind), Err(PortErrorKind::Denied), "what it showed before does not count");
}

async fn of_several_keys_the_one_that_is_shown_is_enough(bench: &dyn Bench) {
    learn(bench, &[others(), vec![bench.shown()]].concat()).await;
    bench.enters().await.expect("one of them is shown");
}

async fn a_forgotten_machine_is_a_new_one(bench: &dyn Bench) {
    learn(bench, &others()).await;
    bench.host_keys().forget(&bench.host()).await.expect("forget");
    assert!(!bench.host_keys().known(&bench.host()).await.expect("known"));
    bench.enters().await.expect("whatever it shows now is its key");
}
