//! What must hold of every `Sleepers`? What was remembered last of a node is known, and nothing of one that was forgotten.

use bldr_core::{
    fleet::{Ec2Id, Evidence, PublicKey, Timestamp},
    name::NodeName,
    ports::{Sleeper, SleeperState, Sleepers},
};
use futures::future::join_all;
use std::sync::Arc;

/// Every rule of the port, each on a memory of its own. `make` gives one that remembers nothing yet.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(make: impl Fn() -> Arc<dyn Sleepers>) {
    nothing_is_remembered_at_first(&*make()).await;
    what_was_remembered_last_of_a_node_is_known(&*make()).await;
    evidence_comes_back_as_it_was(&*make()).await;
    a_forgotten_node_is_gone_and_others_stay(&*make()).await;
    nodes_are_remembered_at_the_same_time(&*make()).await;
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn woken(name: &str, id: &str) -> Sleeper {
    Sleeper { node: node(name), id: Ec2Id(id.into()), launched: Timestamp(1_795_350_181_123), state: SleeperState::Woken }
}

async fn all(sleepers: &dyn Sleepers) -> Vec<Sleeper> {
    let mut all = sleepers.all().await.unwrap();
    all.sort_by(|a, b| a.node.cmp(&b.node));
    all
}

async fn nothing_is_remembered_at_first(sleepers: &dyn Sleepers) {
    assert_eq!(all(sleepers).await, []);
    sleepers.forget(&node("harbor--ci--1")).await.unwrap();
}

async fn what_was_remembered_last_of_a_node_is_known(sleepers: &dyn Sleepers) {
    sleepers.remember(&woken("harbor--ci--1", "i-1")).await.unwrap();
    sleepers.remember(&woken("harbor--ci--1", "i-2")).await.unwrap();
    sleepers.remember(&woken("harbor--ci--2", "i-3")).await.unwrap();
    assert_eq!(all(sleepers).await, [woken("harbor--ci--1", "i-2"), woken("harbor--ci--2", "i-3")]);
}

async fn evidence_comes_back_as_it_was(sleepers: &dyn Sleepers) {
    let key = PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").unwrap();
    let known = Evidence {
        build_vars: Ok(Some("10.0.0.1".parse().unwrap())),
        configured: Some("'salt' # the old one".into()),
        trusted: Some(key.fingerprint()),
        highstate_due: true,
        minion_id: Some("harbor--ci--1".into()),
        minion_key: Some(key.fingerprint()),
        connected: ["10.0.0.1".into(), "10.0.0.2".into()].into(),
        unconfirmed: true,
    };
    let unknown = Evidence {
        build_vars: Err("no 'revision' in them \"\u{e4}\"\n".into()),
        configured: None,
        trusted: None,
        highstate_due: false,
        minion_id: None,
        minion_key: None,
        connected: [].into(),
        unconfirmed: false,
    };
    let masterless = Evidence { build_vars: Ok(None), ..unknown.clone() };
    for (i, evidence) in [known, unknown, masterless].into_iter().enumerate() {
        let sleeper = Sleeper { state: SleeperState::Asleep(evidence), ..woken(&format!("harbor--ci--{}", i + 1), "i-1") };
        sleepers.remember(&sleeper).await.unwrap();
        assert_eq!(all(sleepers).await[i], sleeper);
    }
}

async fn a_forgotten_node_is_gone_and_others_stay(sleepers: &dyn Sleepers) {
    for name in ["harbor--ci--1", "harbor--ci--10", "harbor--ci--1--1"] {
        sleepers.remember(&woken(name, "i-1")).await.unwrap();
    }
    sleepers.forget(&node("harbor--ci--1")).await.unwrap();
    sleepers.forget(&node("harbor--ci--1")).await.unwrap();
    assert_eq!(all(sleepers).await, [woken("harbor--ci--10", "i-1"), woken("harbor--ci--1--1", "i-1")]);
}

async fn nodes_are_remembered_at_the_same_time(sleepers: &dyn Sleepers) {
    let many: Vec<_> = (1..=20).map(|number| woken(&format!("harbor--ci--{number}"), "i-1")).collect();
    for answer in join_all(many.iter().map(|sleeper| sleepers.remember(sleeper))).await {
        answer.unwrap();
    }
    assert_eq!(all(sleepers).await, many);
}
