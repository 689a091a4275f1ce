//! The program is killed, at every step.

use super::{Faulted, ends, node};
use crate::salted::{A, B, Stack};
use bldr_testkit::{disturbance::Disturbance, lab::Begins};
use futures::future::join_all;
use serde_json::Value;
use std::{fs::File, time::Duration};

pub const STEPS: [&str; 11] =
    ["survey", "start", "examine", "introduce", "rewrite context", "repoint", "prove", "confirm", "highstate", "forget old keys", "stop"];

/// The stack whose run is killed at that step.
fn stack(step: &'static str) -> &'static str {
    match step {
        "survey" => "survey--ci",
        "start" => "start--ci",
        "examine" => "examine--ci",
        "introduce" => "introduce--ci",
        "rewrite context" => "rewrite--ci",
        "repoint" => "repoint--ci",
        "prove" => "prove--ci",
        "confirm" => "confirm--ci",
        "highstate" => "highstate--ci",
        "forget old keys" => "forget--ci",
        "stop" => "stop--ci",
        other => panic!("no such step: {other}"),
    }
}

/// Begins to move the stack and is killed at that step; what it told.
async fn killed_at(faulted: &Faulted, step: &'static str) -> Vec<Value> {
    let (stack, fleet) = (stack(step), &faulted.fleet);
    if step == "repoint" {
        faulted.slow_to_stop(stack).await;
    }
    let mut going = match step {
        "survey" => {
            let ec2 = fleet.lab.ec2().await.unwrap();
            let late = Disturbance::of("DescribeInstances").times(1).delayed(Duration::from_secs(5));
            let number = ec2.disturb(&late).await.unwrap();
            let going = faulted.begin(stack, B, "").await;
            while ec2.disturbed().await.unwrap()[&number] == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            return going.kill().await;
        }
        "rewrite context" => {
            // Somebody else has the turn to write.
            let turn = File::create(fleet.home.join(".cfn/contexts/.lock")).unwrap();
            turn.lock().unwrap();
            let mut going = faulted.begin(stack, B, "").await;
            going.begins("rewrite_context").await;
            return going.kill().await;
        }
        "forget old keys" => {
            let mut going = faulted.begin(stack, B, "").await;
            // Nobody needs the old one any more, until its keys are removed.
            going.begins("repoint").await;
            fleet.master(A).freeze().await.unwrap();
            going.tells(|event| ends(event, "highstate")).await;
            let told = going.kill().await;
            fleet.master(A).thaw().await.unwrap();
            return told;
        }
        _ => faulted.begin(stack, B, "").await,
    };
    if step == "prove" {
        going.begins("introduce").await;
        faulted.keep_from_joining(stack, B).await;
    }
    going.begins(step).await;
    if step == "repoint" {
        faulted.in_the_middle(stack).await;
    }
    let told = going.kill().await;
    if step == "prove" {
        faulted.let_join(stack, B).await;
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_step_is_shown_as_such_and_the_next_one_gets_there() {
    let begins = |step| if ["start", "stop"].contains(&step) { Begins::Stopped } else { Begins::Running };
    let faulted = Faulted::light(STEPS.map(|step| Stack { begins: begins(step), ..Stack::new(stack(step)) }).to_vec()).await;
    let but_one = STEPS.into_iter().filter(|step| *step != "forget old keys").map(|step| node(stack(step)));
    faulted.highstates_take(10, but_one).await;
    // What stands in everybody's way is done alone.
    let (alone, together): (Vec<_>, Vec<_>) =
        STEPS.into_iter().partition(|step| ["survey", "rewrite context", "forget old keys"].contains(step));
    let mut told = Vec::new();
    for step in alone {
        told.push((step, killed_at(&faulted, step).await));
    }
    told.extend(join_all(together.into_iter().map(async |step| (step, killed_at(&faulted, step).await))).await);
    faulted.judge().await;
    for (step, told) in &told {
        let home = faulted.operator(stack(step));
        if *step == "survey" {
            assert!(told.is_empty() && !home.join(".bldr/runs").exists(), "{told:?}");
            continue;
        }
        assert!(told.last().is_some_and(|event| event["event"] != "run_finished"), "{step}: {told:?}");
        let doubtful = faulted.is_recorded(&home, stack(step), B, told).await;
        match *step {
            "forget old keys" => assert!(doubtful.is_empty(), "that is no step of a stack: {doubtful:?}"),
            // They may be over by the time that they are struck.
            "examine" | "introduce" | "confirm" => assert_eq!(doubtful.len(), 1, "{step}: {doubtful:?}"),
            _ => assert_eq!(doubtful, [step.replace(' ', "_")], "{step}"),
        }
    }
    faulted.highstates_take(0, faulted.nodes()).await;
    faulted.converge(B).await;
}
