//! Two operators get into each other's way.

use super::{Fault, Faulted, NAMES, node};
use crate::salted::{A, B, Stack};

/// The second one is refused.
pub const REFUSED: [Fault; 4] = [
    ("another operator begins", "examine"),
    ("another operator begins", "prove"),
    ("another operator begins", "highstate"),
    ("another operator breaks the lock of one who lives", "prove"),
];

/// The second one breaks the lock, which in S3 goes with no process, and moves the same stack to where the first takes it from; or leaves it.
pub const BROKEN: [Fault; 6] = [
    ("another operator begins", "prove"),
    ("the lock is broken, and the stack moved back", "examine"),
    ("the lock is broken, and the stack moved back", "repoint"),
    ("the lock is broken, and the stack moved back", "prove"),
    ("the lock is broken, and the stack moved back", "highstate"),
    ("the lock is broken", "highstate"),
];

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_is_refused_with_who_is_at_work_and_the_first_goes_on() {
    let faulted = Faulted::light(NAMES[..REFUSED.len()].iter().map(|name| Stack::new(name)).collect()).await;
    for ((how, step), stack) in REFUSED.into_iter().zip(NAMES) {
        faulted.highstates_take(5, [node(stack)]).await;
        let (home, other) = (faulted.operator(stack), NAMES[REFUSED.len() - 1]);
        let mut going = faulted.begin(stack, B, "").await;
        going.begins(step).await;
        let line = match how {
            "another operator begins" => format!("master.remaster:{other},{B}"),
            _ => "lock.break:I cannot wait".into(),
        };
        let (code, _, errors) = faulted.fleet.bldr_at(&home, &[&line, "--yes"]).await;
        assert_eq!(code, Some(3), "{how} at {step}: {errors}");
        assert!(errors.contains(&format!("master.remaster:{stack},{B}")) && errors.contains("frees the lock"), "{how} at {step}: {errors}");
        let (code, told) = going.end().await;
        assert_eq!(code, Some(0), "{how} at {step}: {:?}", told.last());
        faulted.judge().await;
        faulted.is_recorded(&home, stack, B, &told).await;
        faulted.highstates_take(0, [node(stack)]).await;
    }
    faulted.converge(B).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_lock_begins_nothing_more_and_the_next_run_gets_there() {
    let nodes = |stack: &Fault| if *stack == BROKEN[BROKEN.len() - 1] { 2 } else { 1 };
    let stacks = BROKEN.iter().zip(NAMES).map(|(fault, name)| Stack { nodes: nodes(fault), ..Stack::new(name) });
    let faulted = Faulted::light(stacks.collect()).await.in_s3().await;
    let runs = BROKEN.into_iter().zip(NAMES).map(async |((how, step), stack)| {
        // Long enough for the next beat of the lock's heart.
        faulted.highstates_take(if how == "the lock is broken" { 20 } else { 5 }, [node(stack)]).await;
        let home = faulted.operator(stack);
        let mut going = faulted.begin(stack, B, ",watchdog=75,join-timeout=15").await;
        going.begins(step).await;
        let back = format!("master.remaster:{stack},{A},allow_unshared=yes,watchdog=75,join-timeout=15");
        let broken = async || assert_eq!(faulted.fleet.bldr_at(&home, &["lock.break:they are at lunch", "--yes"]).await.0, Some(0));
        match how {
            "another operator begins" => {
                let (code, _, errors) = faulted.fleet.bldr_at(&home, &[&back]).await;
                assert!(code == Some(3) && errors.contains(&format!("master.remaster:{stack},{B}")), "{how} at {step}: {errors}");
                let (code, told) = going.end().await;
                assert_eq!(code, Some(0), "{how} at {step}: {:?}", told.last());
                faulted.is_recorded(&home, stack, B, &told).await;
            }
            "the lock is broken" => {
                broken().await;
                let (code, told) = going.end().await;
                let reason = told.last().unwrap()["reasons"][stack].as_str().unwrap_or_default().to_owned();
                assert!(code == Some(1) && reason.contains("the lock is lost") && reason.contains("they are at lunch"), "{how}: {reason}");
                faulted.is_recorded(&home, stack, B, &told).await;
            }
            _ => {
                broken().await;
                // Both are at work on it; whoever is refused or put back by the other says so.
                let (first, second) = futures::join!(going.end(), faulted.begin(stack, A, ",allow_unshared=yes,watchdog=75").await.end());
                for (code, told) in [first, second] {
                    assert!([Some(0), Some(1), Some(3)].contains(&code), "{how} at {step}: {code:?} {:?}", told.last());
                }
            }
        }
    });
    futures::future::join_all(runs).await;
    faulted.judge().await;
    // Two records of every such run, each of which came to its own end or is shown as cut short.
    for stack in &NAMES[1..BROKEN.len() - 1] {
        let (code, runs, _) = faulted.fleet.bldr_at(&faulted.operator(stack), &["runs"]).await;
        let runs = runs[0]["runs"].as_array().unwrap().clone();
        assert!(code == Some(0) && !runs.is_empty() && runs.iter().all(|run| run["standing"] == "ended"), "{stack}: {runs:?}");
    }
    faulted.highstates_take(0, faulted.nodes()).await;
    faulted.converge(B).await;
}
