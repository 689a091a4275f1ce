//! A master is restarted, goes down or hangs under a run, or cannot be reached from where bldr runs.

use super::{Fault, Faulted, NAMES, node};
use crate::salted::{A, B, Stack};
use bldr_testkit::lab::Host;
use std::time::Duration;
use tokio::time::sleep;

pub const MASTERS: [Fault; 14] = [
    ("restarted", "examine"),
    ("restarted", "introduce"),
    ("restarted", "repoint"),
    ("restarted", "prove"),
    ("restarted", "confirm"),
    ("restarted", "highstate"),
    ("down for 3 s", "prove"),
    ("down for 3 s", "highstate"),
    ("frozen for 3 s", "introduce"),
    ("frozen for 3 s", "prove"),
    ("down until the end", "survey"),
    ("down until the end", "introduce"),
    ("down until the end", "prove"),
    ("the old one out of reach", "forget old keys"),
];

async fn strikes(faulted: &Faulted, new: &Host, how: &str) {
    match how {
        "restarted" => drop(new.shell("systemctl restart salt-master").await.unwrap()),
        "down for 3 s" | "down until the end" => drop(new.shell("systemctl stop salt-master").await.unwrap()),
        "frozen for 3 s" => new.freeze().await.unwrap(),
        "the old one out of reach" => faulted.reachable(faulted.fleet.master(A), false).await,
        other => panic!("no such fault: {other}"),
    }
}

async fn passes(faulted: &Faulted, new: &Host, how: &str) {
    match how {
        "down for 3 s" | "down until the end" => drop(new.shell("systemctl start salt-master").await.unwrap()),
        "frozen for 3 s" => new.thaw().await.unwrap(),
        "the old one out of reach" => faulted.reachable(faulted.fleet.master(A), true).await,
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_goes_down_at_any_step_keeps_its_minions_and_the_next_run_gets_there() {
    let faulted = Faulted::light(NAMES[..MASTERS.len()].iter().map(|name| Stack::new(name)).collect()).await;
    let new = faulted.fleet.master(B);
    for ((how, step), stack) in MASTERS.into_iter().zip(NAMES) {
        let until_the_end = !how.ends_with("for 3 s");
        let options = if how == "down until the end" { ",join-timeout=5" } else { ",join-timeout=30" };
        faulted.highstates_take(if step == "highstate" { 3 } else { 0 }, [node(stack)]).await;
        let going = if step == "survey" {
            strikes(&faulted, new, how).await;
            faulted.begin(stack, B, options).await
        } else {
            let mut going = faulted.begin(stack, B, options).await;
            if how == "down until the end" {
                going.begins("introduce").await;
                faulted.keep_from_joining(stack, B).await;
            }
            match step {
                // Nobody needs the old one any more, until its keys are removed.
                "forget old keys" => going.begins("repoint").await,
                "introduce" if how == "down until the end" => {}
                _ => going.begins(step).await,
            }
            strikes(&faulted, new, how).await;
            if how == "down until the end" {
                faulted.let_join(stack, B).await;
            }
            going
        };
        let (code, told) = if until_the_end {
            going.end().await
        } else {
            let passed = async {
                sleep(Duration::from_secs(3)).await;
                passes(&faulted, new, how).await;
            };
            futures::join!(going.end(), passed).0
        };
        if until_the_end {
            passes(&faulted, new, how).await;
        }
        let expected: &[i32] = match (how, step) {
            ("down until the end", "survey") => &[3],
            ("down until the end", _) => &[1],
            // It may be down just when the node looks whether it is there.
            ("restarted", _) => &[0, 1],
            _ => &[0],
        };
        assert!(expected.contains(&code.unwrap()), "{how} at {step}: {code:?} {:?}", told.last());
        faulted.judge().await;
        if step == "survey" {
            faulted.is_at(stack, A).await;
            continue;
        }
        if how == "down until the end" {
            assert_eq!(told.last().unwrap()["outcomes"][stack], "rolled_back", "{how} at {step}: {:?}", told.last());
        }
        if step == "forget old keys" {
            let warned = |event: &&serde_json::Value| event["event"] == "warning";
            assert!(
                told.iter().any(|event| warned(&event) && event["message"].as_str().unwrap().contains("still holds the key")),
                "{told:?}"
            );
        }
        faulted.is_recorded(&faulted.operator(stack), stack, B, &told).await;
    }
    faulted.converge(B).await;
}
