//! What must hold of every `KeyPairs`? A stack has one key until it is removed, whoever asks, and never that one again.

use bldr_core::{
    name::StackName,
    ports::{Change, KeyPairs},
    ssh_key::SshPublicKey,
};
use futures::future::join_all;
use std::sync::Arc;

/// Every rule of the port, each on key pairs of its own. `make` gives a place that has none yet.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(make: impl Fn() -> Arc<dyn KeyPairs>) {
    a_pair_is_made_once_and_stays_the_same(&*make()).await;
    stacks_have_different_keys(&*make()).await;
    a_removed_pair_is_gone_and_another_one_takes_its_place(&*make()).await;
    who_ask_at_the_same_time_get_one_key(&*make()).await;
}

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

async fn key(pairs: &dyn KeyPairs, name: &str, expected: Change) -> SshPublicKey {
    let (key, change) = pairs.of(&stack(name)).await.unwrap();
    assert_eq!(change, expected, "{name}");
    assert!(key.line().ends_with(&format!(" {name}")), "the key says whose it is: {key}");
    key
}

async fn a_pair_is_made_once_and_stays_the_same(pairs: &dyn KeyPairs) {
    let made = key(pairs, "harbor--ci", Change::Made).await;
    for _ in 0..2 {
        assert_eq!(key(pairs, "harbor--ci", Change::NotNeeded).await, made);
    }
}

async fn stacks_have_different_keys(pairs: &dyn KeyPairs) {
    let one = key(pairs, "harbor--ci", Change::Made).await;
    assert_ne!(key(pairs, "harbor--ci--2", Change::Made).await, one);
}

async fn a_removed_pair_is_gone_and_another_one_takes_its_place(pairs: &dyn KeyPairs) {
    assert_eq!(pairs.remove(&stack("harbor--ci")).await.unwrap(), None);
    let first = key(pairs, "harbor--ci", Change::Made).await;
    let other = key(pairs, "quay--ci", Change::Made).await;
    let place = pairs.remove(&stack("harbor--ci")).await.unwrap();
    assert!(place.as_ref().is_some_and(|place| place.contains("harbor--ci")), "{place:?}");
    assert_eq!(pairs.remove(&stack("harbor--ci")).await.unwrap(), None);
    assert_ne!(key(pairs, "harbor--ci", Change::Made).await, first);
    assert_eq!(key(pairs, "quay--ci", Change::NotNeeded).await, other, "other stacks keep theirs");
}

async fn who_ask_at_the_same_time_get_one_key(pairs: &dyn KeyPairs) {
    let harbor = stack("harbor--ci");
    let answers = join_all((0..6).map(|_| pairs.of(&harbor))).await;
    let (keys, changes): (Vec<_>, Vec<_>) = answers.into_iter().map(Result::unwrap).unzip();
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(changes.iter().filter(|change| **change == Change::Made).count(), 1, "one of them has made it");
}
