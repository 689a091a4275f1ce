//! What only a real machine can show: it reboots under a run, and a real salt-master is restarted.

use super::{Fault, Faulted, NAMES, address, node};
use crate::salted::{A, B, Going, Stack};
use bldr_testkit::lab::HostKind;
use futures::future::join_all;

pub const REBOOTED: [Fault; 5] =
    [("rebooted", "examine"), ("rebooted", "repoint"), ("rebooted", "prove"), ("rebooted", "confirm"), ("rebooted", "highstate")];

pub const MASTERS: [Fault; 2] = [("salt-master restarted", "prove"), ("salt-master restarted", "highstate")];

#[tokio::test(flavor = "multi_thread")]
async fn machines_that_reboot_under_a_run_and_a_master_that_is_restarted_lose_no_minion() {
    let faulted = Faulted::of(HostKind::Booted, NAMES[..REBOOTED.len()].iter().map(|name| Stack::new(name)).collect()).await;
    let runs = REBOOTED.into_iter().zip(NAMES).map(async |((how, step), stack)| {
        let mut going = faulted.begin(stack, B, ",join-timeout=90").await;
        going.begins(step).await;
        if step == "repoint" {
            faulted.in_the_middle(stack).await;
        }
        faulted.fleet.host(&node(stack)).reboot().await.unwrap();
        (how, step, stack, going.end().await)
    });
    let runs = join_all(runs).await;
    faulted.judge().await;
    for (how, step, stack, (code, told)) in runs {
        assert!([Some(0), Some(1)].contains(&code), "{how} at {step}: {:?}", told.last());
        faulted.is_recorded(&faulted.operator(stack), stack, B, &told).await;
    }
    faulted.converge(B).await;

    // All of them are on their way when it goes down, the first of them at that step.
    faulted.shares(address(A));
    let others = NAMES[1..REBOOTED.len()].iter().map(|stack| faulted.begin(stack, A, ",join-timeout=120"));
    let (mut first, others) = futures::join!(faulted.begin(NAMES[0], A, ",join-timeout=120"), join_all(others));
    let struck = async {
        for (_, step) in MASTERS {
            first.begins(step).await;
            faulted.fleet.master(A).shell("systemctl restart salt-master").await.unwrap();
        }
        first.end().await
    };
    let (first, others) = futures::join!(struck, join_all(others.into_iter().map(Going::end)));
    faulted.judge().await;
    for (stack, (code, told)) in NAMES.into_iter().zip([vec![first], others].concat()) {
        assert!([Some(0), Some(1)].contains(&code), "{stack}: {:?}", told.last());
        faulted.is_recorded(&faulted.operator(stack), stack, A, &told).await;
    }
    faulted.converge(A).await;
}
