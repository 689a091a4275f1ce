//! AWS throttles, fails, or gives half of what it was asked for: at the survey, and while it starts and stops a node.

use super::{Fault, Faulted, NAMES, node};
use crate::salted::{A, B, Stack};
use bldr_testkit::{
    disturbance::Disturbance,
    lab::{Begins, Ec2},
};
use futures::future::join_all;
use std::time::Duration;

pub const SURVEYED: [Fault; 9] = [
    ("throttled twice", "survey"),
    ("throttled for good", "survey"),
    ("fails twice (500)", "survey"),
    ("fails for good (500)", "survey"),
    ("refuses the second page", "survey"),
    ("fails at the second page for good (500)", "survey"),
    ("half an answer", "survey"),
    ("half an answer, for good", "survey"),
    ("answers late", "survey"),
];

pub const SWITCHED: [Fault; 8] = [
    ("throttled twice", "start"),
    ("throttled for good", "start"),
    ("does it, and the answer is lost", "start"),
    ("half an answer", "start"),
    ("throttled twice", "stop"),
    ("throttled for good", "stop"),
    ("does it, and the answer is lost", "stop"),
    ("cannot tell for a while", "stop"),
];

const THROTTLED: (u16, &str) = (503, "RequestLimitExceeded");
const FAILED: (u16, &str) = (500, "InternalError");

/// What is ordered of EC2, and how a run ends then.
fn at_the_survey(how: &str) -> (Disturbance, i32) {
    let calls = || Disturbance::of("DescribeInstances");
    let refused = |disturbance: Disturbance, (status, code)| disturbance.refused(status, code);
    match how {
        "throttled twice" => (refused(calls().times(2), THROTTLED), 0),
        "throttled for good" => (refused(calls(), THROTTLED), 4),
        "fails twice (500)" => (refused(calls().times(2), FAILED), 0),
        "fails for good (500)" => (refused(calls(), FAILED), 4),
        "refuses the second page" => (refused(calls().after(1), (403, "UnauthorizedOperation")), 4),
        "fails at the second page for good (500)" => (refused(calls().after(1), FAILED), 4),
        "half an answer" => (calls().times(1).halved(), 0),
        "half an answer, for good" => (calls().halved(), 4),
        "answers late" => (calls().delayed(Duration::from_secs(3)), 0),
        other => panic!("no such fault: {other}"),
    }
}

/// The same while a machine is switched.
fn at_the_switch((how, step): Fault, id: &str) -> (Disturbance, i32) {
    let action = if step == "start" { "StartInstances" } else { "StopInstances" };
    let calls = || Disturbance::of(action).holding(id);
    // Its own state, which is asked for by its id.
    let looks = || Disturbance::of("DescribeInstances").holding(id);
    match how {
        "throttled twice" => (calls().times(2).refused(THROTTLED.0, THROTTLED.1), 0),
        "throttled for good" => (calls().refused(THROTTLED.0, THROTTLED.1), 1),
        "does it, and the answer is lost" => (calls().times(1).refused(FAILED.0, FAILED.1).done(), 0),
        "half an answer" => (calls().times(1).halved(), 0),
        // Those of the start go well, and the first of the stop.
        "cannot tell for a while" => (looks().after(3).times(5).refused(FAILED.0, FAILED.1), 0),
        other => panic!("no such fault: {other}"),
    }
}

async fn struck(ec2: &Ec2) {
    let struck = ec2.undisturbed().await.unwrap();
    assert!(struck.values().all(|times| *times > 0), "{struck:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_ec2_does_not_show_in_full_is_left_alone_and_the_next_run_gets_there() {
    let faulted = Faulted::light(NAMES[..4].iter().map(|name| Stack::new(name)).collect()).await;
    let (ec2, stack) = (faulted.fleet.lab.ec2().await.unwrap(), NAMES[0]);
    let (mut from, mut to) = (A, B);
    for (how, step) in SURVEYED {
        let (disturbance, expected) = at_the_survey(how);
        ec2.disturb(&Disturbance::of("DescribeInstances").paged(5)).await.unwrap();
        ec2.disturb(&disturbance).await.unwrap();
        let (code, told) = faulted.ran(stack, to, ",allow_unshared=yes").await;
        struck(ec2).await;
        assert_eq!(code, Some(expected), "{how} at {step}: {told:?}");
        faulted.judge().await;
        if expected == 0 {
            faulted.is_recorded(&faulted.operator(stack), stack, to, &told).await;
        } else {
            assert!(told.len() == 1 && !told[0]["error"].is_null(), "{how}: {told:?}");
            faulted.is_at(stack, from).await;
            let (code, told) = faulted.ran(stack, to, ",allow_unshared=yes").await;
            assert_eq!(code, Some(0), "the run after {how}: {told:?}");
        }
        faulted.is_at(stack, to).await;
        (from, to) = (to, from);
    }
    faulted.converge(B).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ec2_does_not_start_or_stop_at_once_is_moved_and_sleeps_again_after_the_next_run() {
    let asleep = |name| Stack { begins: Begins::Stopped, ..Stack::new(name) };
    let faulted = Faulted::light(NAMES[..SWITCHED.len()].iter().map(|name| asleep(name)).collect()).await;
    let ec2 = faulted.fleet.lab.ec2().await.unwrap();
    let orders =
        SWITCHED.into_iter().zip(NAMES).map(|(fault, stack)| (fault, stack, at_the_switch(fault, &faulted.fleet.ids[&node(stack)])));
    let orders: Vec<_> = orders.collect();
    for (.., (disturbance, _)) in &orders {
        ec2.disturb(disturbance).await.unwrap();
    }
    let runs = orders.iter().map(async |(fault, stack, (_, expected))| (*fault, *stack, *expected, faulted.ran(stack, B, "").await));
    let runs = join_all(runs).await;
    struck(ec2).await;
    faulted.judge().await;
    for ((how, step), stack, expected, (code, told)) in runs {
        assert_eq!(code, Some(expected), "{how} at {step}: {:?}", told.last());
        faulted.is_recorded(&faulted.operator(stack), stack, B, &told).await;
    }
    faulted.converge(B).await;
}
