//! What must hold of every `Lock`? One holder at a time, known to everybody else.

use bldr_core::{
    error::PortErrorKind,
    fleet::Timestamp,
    ports::{Holding, Lock, LockGuard, Owner},
};
use futures::future::join_all;
use std::{sync::Arc, time::Duration};

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
    of_tasks_that_race_for_it_one_at_a_time_is_in(make()).await;
    a_lock_that_nobody_holds_is_not_broken(&*make()).await;
    if make().acquire(&owner("ada")).await.unwrap().tenure().is_some() {
        every_holding_has_a_greater_number(&*make()).await;
        one_lock_is_told_from_another(&*make(), &*make()).await;
        a_broken_lock_is_free_and_says_who_broke_it(&*make()).await;
        a_holder_whose_lock_was_broken_hears_of_it_and_takes_it_from_nobody(&*make()).await;
        of_breakers_at_the_same_time_one_has_broken_it(&*make()).await;
    } else {
        a_lock_that_goes_with_its_process_is_not_broken(&*make()).await;
    }
}

/// The longest that a guard may take to hear that its lock is lost, or a lock to be free after its guard was dropped.
const SOON: Duration = Duration::from_secs(20);

async fn holder(lock: &dyn Lock) -> Option<Owner> {
    lock.owner().await.unwrap().map(|holding| holding.owner)
}

async fn soon(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{what}"));
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
    assert_eq!(holder(lock).await, Some(owner("ada")));
    assert_eq!(holder(lock).await, Some(owner("ada")), "asking does not disturb");
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
    assert_eq!(holder(lock).await, Some(owner("ada")), "a refused taker changes nothing");
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
    soon("a dropped guard gives it back", async || lock.owner().await.unwrap().is_none()).await;
    let guard = lock.acquire(&owner("bob")).await.unwrap();
    assert_eq!(holder(lock).await, Some(owner("bob")));
    drop(guard);
}

async fn of_takers_at_the_same_time_exactly_one_gets_it(lock: &dyn Lock) {
    for _ in 0..10 {
        let takers: Vec<_> = (0..6).map(|n| owner(&format!("taker-{n}"))).collect();
        let answers = join_all(takers.iter().map(|taker| lock.acquire(taker))).await;
        let got: Vec<_> = answers.iter().zip(&takers).filter(|(answer, _)| answer.is_ok()).map(|(_, taker)| taker).collect();
        assert_eq!(got.len(), 1);
        assert_eq!(holder(lock).await.as_ref(), Some(got[0]));
        for answer in answers {
            match answer {
                Ok(guard) => guard.release().await.unwrap(),
                Err(error) => assert_eq!(error.kind, PortErrorKind::Conflict, "{error}"),
            }
        }
    }
}

async fn of_tasks_that_race_for_it_one_at_a_time_is_in(lock: Arc<dyn Lock>) {
    let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let tasks = (0..4).map(|n| {
        let (lock, inside) = (lock.clone(), inside.clone());
        tokio::spawn(async move {
            let mut taken = 0;
            for _ in 0..10 {
                match lock.acquire(&owner(&format!("task-{n}"))).await {
                    Ok(guard) => {
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0, "nobody else is in");
                        guard.standing().unwrap();
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        guard.release().await.unwrap();
                        taken += 1;
                    }
                    Err(error) => assert_eq!(error.kind, PortErrorKind::Conflict, "{error}"),
                }
            }
            taken
        })
    });
    let taken: usize = join_all(tasks).await.into_iter().map(|taken| taken.unwrap()).sum();
    assert!(taken > 0, "somebody gets in");
    assert_eq!(lock.owner().await.unwrap(), None);
}

async fn a_lock_that_nobody_holds_is_not_broken(lock: &dyn Lock) {
    assert_eq!(lock.break_it(&owner("bob"), "why not").await.unwrap(), None);
    lock.acquire(&owner("ada")).await.unwrap().release().await.unwrap();
    assert_eq!(lock.break_it(&owner("bob"), "why not").await.unwrap(), None);
    assert_eq!(lock.broken().await.unwrap(), None, "nothing happened that would have to be known");
}

async fn a_lock_that_goes_with_its_process_is_not_broken(lock: &dyn Lock) {
    let guard = lock.acquire(&owner("ada")).await.unwrap();
    let error = lock.break_it(&owner("bob"), "she left").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused, "{error}");
    for part in ["ada", "ops-7", "4711"] {
        assert!(error.to_string().contains(part), "{part} in: {error}");
    }
    assert_eq!(holder(lock).await, Some(owner("ada")));
    guard.affirmed().await.unwrap();
    guard.standing().unwrap();
    assert_eq!(lock.broken().await.unwrap(), None);
    guard.release().await.unwrap();
}

fn number(guard: &dyn LockGuard) -> u64 {
    guard.tenure().expect("every holding has a number").epoch
}

async fn one_lock_is_told_from_another(lock: &dyn Lock, other: &dyn Lock) {
    let mut seen = Vec::new();
    for lock in [lock, lock, other, other] {
        let guard = lock.acquire(&owner("ada")).await.unwrap();
        seen.push(guard.tenure().unwrap());
        guard.release().await.unwrap();
    }
    assert!(seen.iter().all(|tenure| !tenure.lock.is_empty() && tenure.lock.chars().all(|c| c.is_ascii_alphanumeric())), "{seen:?}");
    assert!(seen[0].is_before(&seen[1]) && seen[2].is_before(&seen[3]), "{seen:?}");
    assert!(!seen[1].is_before(&seen[0]) && !seen[0].is_before(&seen[3]) && !seen[2].is_before(&seen[1]), "{seen:?}");
}

async fn every_holding_has_a_greater_number(lock: &dyn Lock) {
    let mut last = 0;
    for round in 0..4 {
        let guard = lock.acquire(&owner("ada")).await.unwrap();
        assert!(number(&*guard) > last);
        last = number(&*guard);
        assert_eq!(lock.owner().await.unwrap().and_then(|holding| holding.epoch), Some(last), "everybody sees it");
        if round % 2 == 0 {
            guard.release().await.unwrap();
        } else {
            lock.break_it(&owner("bob"), "she left").await.unwrap();
            drop(guard);
        }
    }
}

async fn a_broken_lock_is_free_and_says_who_broke_it(lock: &dyn Lock) {
    let guard = lock.acquire(&owner("ada")).await.unwrap();
    let broken = lock.break_it(&owner("bob"), "she left \"for good\" \u{e4}").await.unwrap();
    assert!(matches!(&broken, Some(Holding { owner: held, .. }) if *held == owner("ada")), "{broken:?}");
    assert_eq!(lock.owner().await.unwrap(), None);
    for taken in [false, true] {
        let breaking = lock.broken().await.unwrap().expect("it is recorded");
        assert_eq!((breaking.by, breaking.held.owner), (owner("bob"), owner("ada")));
        assert_eq!(breaking.reason, "she left \"for good\" \u{e4}");
        if !taken {
            lock.acquire(&owner("eve")).await.unwrap().release().await.unwrap();
        }
    }
    drop(guard);
}

async fn a_holder_whose_lock_was_broken_hears_of_it_and_takes_it_from_nobody(lock: &dyn Lock) {
    let lost = lock.acquire(&owner("ada")).await.unwrap();
    lost.standing().unwrap();
    lost.affirmed().await.unwrap();
    lock.break_it(&owner("bob"), "she left").await.unwrap();
    assert_eq!(lost.affirmed().await.unwrap_err().kind, PortErrorKind::Conflict, "whoever asks hears of it at once");
    let guard = lock.acquire(&owner("bob")).await.unwrap();
    soon("the holder hears of it", async || lost.standing().is_err()).await;
    let error = lost.standing().unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("bob") && error.to_string().contains("she left"), "who, and why: {error}");
    assert_eq!(lost.release().await.unwrap_err().kind, PortErrorKind::Conflict);
    assert_eq!(holder(lock).await, Some(owner("bob")), "what is not ours is not given back");
    guard.standing().unwrap();
    guard.release().await.unwrap();
}

async fn of_breakers_at_the_same_time_one_has_broken_it(lock: &dyn Lock) {
    let guard = lock.acquire(&owner("ada")).await.unwrap();
    let breakers: Vec<_> = (0..4).map(|n| owner(&format!("breaker-{n}"))).collect();
    let answers = join_all(breakers.iter().map(|breaker| lock.break_it(breaker, "she left"))).await;
    assert_eq!(answers.into_iter().filter(|answer| answer.as_ref().unwrap().is_some()).count(), 1);
    drop(guard);
}
