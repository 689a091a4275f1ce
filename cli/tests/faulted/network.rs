//! The way to a node is lost under a run, or the node itself hangs or starts anew.

use super::{Fault, Faulted, NAMES, address, node};
use crate::salted::{A, B, SWITCH, Stack};
use bldr_testkit::lab::Host;
use futures::future::join_all;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

/// For so long that connections break and are made anew; or for the rest of the run, and whoever goes there hears that there is no way.
pub const CUT: [Fault; 11] = [
    ("cut until the end", "survey"),
    ("cut for 40 s", "examine"),
    ("cut for 40 s", "repoint"),
    ("cut for 40 s", "prove"),
    ("cut for 40 s", "confirm"),
    ("cut for 40 s", "highstate"),
    ("no way until the end", "examine"),
    ("no way until the end", "repoint"),
    ("no way until the end", "prove"),
    ("no way until the end", "confirm"),
    ("no way until the end", "highstate"),
];

/// For so short that nobody need notice.
pub const FROZEN: [Fault; 5] = [
    ("frozen for 3 s", "examine"),
    ("frozen for 3 s", "repoint"),
    ("frozen for 3 s", "prove"),
    ("frozen for 3 s", "confirm"),
    ("frozen for 3 s", "highstate"),
];

pub const REBOOTED: [Fault; 6] = [
    ("rebooted", "examine"),
    ("rebooted", "introduce"),
    ("rebooted", "repoint"),
    ("rebooted", "prove"),
    ("rebooted", "confirm"),
    ("rebooted", "highstate"),
];

async fn strikes(faulted: &Faulted, host: &Host, how: &str) {
    match how {
        "cut for 40 s" | "cut until the end" => host.drop_all_traffic().await.unwrap(),
        "no way until the end" => faulted.reachable(host, false).await,
        "frozen for 3 s" => host.freeze().await.unwrap(),
        "rebooted" => host.reboot().await.unwrap(),
        other => panic!("no such fault: {other}"),
    }
}

async fn passes(faulted: &Faulted, host: &Host, how: &str) {
    match how {
        "cut for 40 s" | "cut until the end" => host.restore_traffic().await.unwrap(),
        "no way until the end" => faulted.reachable(host, true).await,
        "frozen for 3 s" => host.thaw().await.unwrap(),
        _ => {}
    }
}

/// It happens to the node of a stack that is moved there; how that ended.
async fn thrown(faulted: &Faulted, (how, step): Fault, stack: &str, to: &str) -> (Option<i32>, Vec<Value>) {
    let host = faulted.fleet.host(&node(stack));
    let options = ",watchdog=75,join-timeout=15";
    if step == "repoint" {
        faulted.slow_to_stop(stack).await;
    }
    let going = if step == "survey" {
        strikes(faulted, host, how).await;
        faulted.begin(stack, to, options).await
    } else {
        let mut going = faulted.begin(stack, to, options).await;
        let mut turn = String::new();
        match step {
            // Before it is over: a minion that has no way to its master yet, and a turn on the node that somebody else has.
            "prove" => {
                going.begins("introduce").await;
                faulted.keep_from_joining(stack, to).await;
            }
            "confirm" => {
                going.begins("prove").await;
                let hold = "sh -c 'exec 9>/var/lib/bldr/lock; flock 9; exec sleep 120' >/dev/null 2>&1 & echo $!";
                turn = host.shell(hold).await.unwrap().trim().to_owned();
            }
            _ => {}
        }
        going.begins(step).await;
        if step == "repoint" {
            faulted.in_the_middle(stack).await;
        }
        strikes(faulted, host, how).await;
        // What was in its way is taken away again; a reboot has done so.
        match step {
            "prove" if how != "rebooted" => faulted.let_join(stack, to).await,
            "confirm" if how != "rebooted" => drop(host.shell(&format!("kill {turn}")).await.unwrap()),
            _ => {}
        }
        going
    };
    let lasts = match how {
        "cut for 40 s" => Some(40),
        "frozen for 3 s" => Some(3),
        _ => None,
    };
    let passes = passes(faulted, host, how);
    match lasts {
        Some(seconds) => {
            let passed = async {
                sleep(Duration::from_secs(seconds)).await;
                passes.await;
            };
            futures::join!(going.end(), passed).0
        }
        None => {
            let ended = going.end().await;
            passes.await;
            ended
        }
    }
}

/// All of them at once, each to a stack of its own.
async fn all_thrown(faulted: &Faulted, faults: &[Fault], to: &str) {
    let runs = faults.iter().zip(NAMES).map(async |(fault, stack)| (*fault, stack, thrown(faulted, *fault, stack, to).await));
    let runs = join_all(runs).await;
    faulted.judge().await;
    for ((how, step), stack, (code, told)) in runs {
        let expected: &[Option<i32>] = match (how, step) {
            (_, "survey") => &[Some(3)],
            ("frozen for 3 s", _) => &[Some(0)],
            ("no way until the end", _) => &[Some(1)],
            _ => &[Some(0), Some(1)],
        };
        assert!(expected.contains(&code), "{how} at {step}: {code:?} {:?}", told.last());
        if how == "no way until the end" && ["prove", "confirm"].contains(&step) {
            let failed = told.iter().find(|event| event["event"] == "step_failed").unwrap();
            assert_eq!(failed["action"], step, "{how}: {failed}");
        }
        if step == "survey" {
            assert!(!faulted.operator(stack).join(".bldr/runs").exists(), "{told:?}");
            faulted.is_at(stack, if to == A { B } else { A }).await;
        } else {
            faulted.is_recorded(&faulted.operator(stack), stack, to, &told).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_hangs_or_starts_anew_at_any_step_is_commanded_and_the_next_run_gets_it_there() {
    let faulted = Faulted::light(NAMES[..CUT.len()].iter().map(|name| Stack::new(name)).collect()).await;
    faulted.highstates_take(4, faulted.nodes()).await;
    all_thrown(&faulted, &CUT, B).await;
    // Where nobody comes, it puts itself back.
    let alone = CUT.iter().position(|fault| *fault == ("no way until the end", "prove")).unwrap();
    let back = format!("timeout 120 sh -c 'while [ -e {SWITCH} ]; do sleep 0.2; done'");
    faulted.fleet.host(&node(NAMES[alone])).shell(&back).await.unwrap();
    faulted.is_at(NAMES[alone], A).await;
    faulted.judge().await;
    faulted.highstates_take(0, faulted.nodes()).await;
    faulted.converge(B).await;

    faulted.highstates_take(4, faulted.nodes()).await;
    faulted.shares(address(A));
    all_thrown(&faulted, &[&FROZEN[..], &REBOOTED].concat(), A).await;
    faulted.highstates_take(0, faulted.nodes()).await;
    faulted.converge(A).await;
}
