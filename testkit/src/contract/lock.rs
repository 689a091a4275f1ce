//! What must hold of every `Lock`? One holder at a time, known to everybody else.

use bldr_core::{
    error::PortErrorKind,
    fleet::Timestamp,
    ports::{Lock, Owner},
};
use futures::future::join_all;
use std::sync::Arc;

/// Every rule of the port, each on a lock of its own. `make` gives a lock that nobody holds.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(make: impl Fn() -> Arc<dyn Lock>) {
    a_lock_that_was_never_taken_has_no_owner(&*make()).await;
    whoever_holds_it_is_known(&*make()).await;
    a_second_taker_is_told_who_holds_it(&*make()).await;
    it_is_free_once_it_was_given_back(&*make()).await;
    it_is_free_once_its_guard_was_dropped(&*make()).await;
    of_takers_at_the_same_time_exactly_one_gets_it(&*make()).await;
}

/// Somebody who may hold a lock.
pub fn owner(who: &str) -> Owner {
    Owner {
        who: who.into(),
        host: "ops-7".into(),
        pid: 4711,
        purpose: "master.remaster_all:master-server--b".into(),
        since: Timestamp(1_795_350_181_123),
    }
}

async fn a_lock_that_was_never_taken_has_no_owner(lock: &dyn Lock) {
    assert_eq!(lock.owner().await.unwrap(), None);
}

async fn whoever_holds_it_is_known(lock: &dyn Lock) {
    let guard = lock.acquire(&owner("ada")).await.unwrap();
    assert_eq!(lock.owner().await.unwrap(), Some(owner("ada")));
    assert_eq!(lock.owner().await.unwrap(), Some(owner("ada")), "asking does not disturb");
    drop(guard);
}

async fn a_second_taker_is_told_who_holds_it(lock: &dyn Lock) {
    let guard = lock.acquire(&owner("ada")).await.unwrap();
    let error = lock.acquire(&owner("bob")).await.map(drop).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict, "{error}");
    for part in ["ada", "ops-7", "4711", "master.remaster_all:master-server--b", "2026-11-22", "12:23:01"] {
        assert!(error.to_string().contains(part), "{part} in: {error}");
    }
    assert!(error.advice.is_some(), "what to do next: {error}");
    assert_eq!(lock.owner().await.unwrap(), Some(owner("ada")), "a refused taker changes nothing");
    guard.release().await.unwrap();
}

async fn it_is_free_once_it_was_given_back(lock: &dyn Lock) {
    for who in ["ada", "bob"] {
        let guard = lock.acquire(&owner(who)).await.unwrap();
        guard.release().await.unwrap();
        assert_eq!(lock.owner().await.unwrap(), None);
    }
}

async fn it_is_free_once_its_guard_was_dropped(lock: &dyn Lock) {
    drop(lock.acquire(&owner("ada")).await.unwrap());
    assert_eq!(lock.owner().await.unwrap(), None);
    let guard = lock.acquire(&owner("bob")).await.unwrap();
    assert_eq!(lock.owner().await.unwrap(), Some(owner("bob")));
    drop(guard);
}

async fn of_takers_at_the_same_time_exactly_one_gets_it(lock: &dyn Lock) {
    for _ in 0..10 {
        let takers: Vec<_> = (0..6).map(|n| owner(&format!("taker-{n}"))).collect();
        let answers = join_all(takers.iter().map(|taker| lock.acquire(taker))).await;
        let got: Vec<_> = answers.iter().zip(&takers).filter(|(answer, _)| answer.is_ok()).map(|(_, taker)| taker).collect();
        assert_eq!(got.len(), 1);
        assert_eq!(lock.owner().await.unwrap().as_ref(), Some(got[0]));
        for answer in answers {
            match answer {
                Ok(guard) => guard.release().await.unwrap(),
                Err(error) => assert_eq!(error.kind, PortErrorKind::Conflict, "{error}"),
            }
        }
    }
}
