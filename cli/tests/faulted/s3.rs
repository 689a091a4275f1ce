//! S3 refuses, throttles, fails, takes its time, or says that somebody else was there. Each stack's operator has a folder of the bucket: with its
//! own context, lock and record.

use super::{Fault, Faulted, NAMES, clock::Clock};
use crate::salted::{A, B, Going, Stack};
use bldr_testkit::disturbance::Disturbance;
use futures::future::join_all;
use serde_json::Value;
use std::time::Duration;

pub const S3: [Fault; 16] = [
    ("does not list (403)", "survey"),
    ("refuses the context (403)", "survey"),
    ("throttles twice (503)", "survey"),
    ("gives half a context", "survey"),
    ("refuses the lock (403)", "survey"),
    ("refuses (403)", "rewrite context"),
    ("refuses the copy of the old one (403)", "rewrite context"),
    ("throttles twice (503)", "rewrite context"),
    ("throttles for good (503)", "rewrite context"),
    ("has others in the way twice (409)", "rewrite context"),
    ("has others in the way for good (409)", "rewrite context"),
    ("says that somebody else was there (412)", "rewrite context"),
    ("does it, and the answer is lost", "rewrite context"),
    ("answers 3 s late", "rewrite context"),
    ("fails for good (500)", "rewrite context"),
    ("keeps the lock (500)", "the end"),
];

pub const RECORD: [Fault; 9] = [
    ("refuses the record (403)", "examine"),
    ("refuses the record (403)", "introduce"),
    ("refuses the record (403)", "repoint"),
    ("refuses the record (403)", "prove"),
    ("refuses the record (403)", "confirm"),
    ("refuses the record (403)", "highstate"),
    ("throttles the record twice (503)", "prove"),
    ("writes the record, and the answer is lost", "prove"),
    ("takes a second for each record", "survey"),
];

/// What happens to the program itself, whose lock is in S3.
pub const PROGRAM: [Fault; 2] = [("killed", "rewrite context"), ("its clock put forward by an hour", "prove")];

/// What is ordered of a folder of the bucket, and how a run ends then.
fn ordered((how, step): Fault, stack: &str) -> (Disturbance, i32) {
    let own = format!("/{}/{stack}", Faulted::BUCKET);
    let writes = || Disturbance::of(format!("PUT {own}/contexts/{stack}.json"));
    let reads = || Disturbance::of(format!("GET {own}/contexts/{stack}.json"));
    let records = || Disturbance::of(format!("PUT {own}/bldr/runs/"));
    let lock = || Disturbance::of(format!("PUT {own}/bldr/lock.json"));
    match (how, step) {
        ("does not list (403)", _) => {
            (Disturbance::of(format!("GET /{}", Faulted::BUCKET)).holding(format!("{stack}%2Fcontexts%2F")).refused(403, "AccessDenied"), 4)
        }
        ("refuses the context (403)", _) => (reads().refused(403, "AccessDenied"), 3),
        ("throttles twice (503)", "survey") => (reads().times(2).refused(503, "SlowDown"), 0),
        ("gives half a context", _) => (reads().times(1).halved(), 3),
        ("refuses the lock (403)", _) => (lock().refused(403, "AccessDenied"), 4),
        ("refuses (403)", _) => (writes().refused(403, "AccessDenied"), 1),
        ("refuses the copy of the old one (403)", _) => {
            (Disturbance::of(format!("PUT {own}/contexts/.history/")).refused(403, "AccessDenied"), 1)
        }
        ("throttles twice (503)", _) => (writes().times(2).refused(503, "SlowDown"), 0),
        ("throttles for good (503)", _) => (writes().refused(503, "SlowDown"), 1),
        ("has others in the way twice (409)", _) => (writes().times(2).refused(409, "ConditionalRequestConflict"), 0),
        ("has others in the way for good (409)", _) => (writes().refused(409, "ConditionalRequestConflict"), 1),
        ("says that somebody else was there (412)", _) => (writes().times(1).refused(412, "PreconditionFailed"), 0),
        ("does it, and the answer is lost", _) => (writes().times(1).refused(500, "InternalError").done(), 0),
        ("answers 3 s late", _) => (writes().delayed(Duration::from_secs(3)), 0),
        // It was read for the survey, and is read once more where its bucket keeps no versions: the old one is to be kept.
        ("fails for good (500)", _) => (reads().after(1).refused(500, "InternalError"), 1),
        ("keeps the lock (500)", _) => (lock().after(2).refused(500, "InternalError"), 0),
        ("refuses the record (403)", _) => (records().refused(403, "AccessDenied"), 5),
        ("throttles the record twice (503)", _) => (records().times(2).refused(503, "SlowDown"), 0),
        ("writes the record, and the answer is lost", _) => (records().times(1).refused(500, "InternalError").done(), 0),
        ("takes a second for each record", _) => (records().delayed(Duration::from_secs(1)), 0),
        (other, _) => panic!("no such fault: {other}"),
    }
}

/// It happens to the run that moves a stack; how that ended.
async fn thrown(faulted: &Faulted, fault: Fault, stack: &str, to: &str) -> (Option<i32>, Vec<Value>) {
    let ec2 = faulted.fleet.lab.ec2().await.unwrap();
    let (disturbance, _) = ordered(fault, stack);
    if fault.0.contains("the record") && fault.1 != "survey" {
        let mut going = faulted.begin(stack, to, ",join-timeout=10").await;
        going.begins(fault.1).await;
        ec2.disturb(&disturbance).await.unwrap();
        return going.end().await;
    }
    ec2.disturb(&disturbance).await.unwrap();
    faulted.ran(stack, to, ",join-timeout=10").await
}

async fn all_thrown(faulted: &Faulted, faults: &[Fault], to: &str) {
    let runs = faults.iter().zip(NAMES).map(async |(fault, stack)| (*fault, stack, thrown(faulted, *fault, stack, to).await));
    let runs = join_all(runs).await;
    let struck = faulted.fleet.lab.ec2().await.unwrap().undisturbed().await.unwrap();
    assert!(struck.len() == faults.len() && struck.values().all(|times| *times > 0), "{struck:?}");
    faulted.judge().await;
    for ((how, step), stack, (code, told)) in runs {
        let (_, expected) = ordered((how, step), stack);
        assert_eq!(code, Some(expected), "{how} at {step}: {told:?}");
        match expected {
            3 | 4 => {
                assert!(told.len() == 1 && !told[0]["error"].is_null(), "{how} at {step}: {told:?}");
                faulted.is_at(stack, if to == A { B } else { A }).await;
            }
            // What could not be recorded is not told in full.
            5 => assert!(told.last().is_some_and(|last| last["error"]["code"] == 5), "{how} at {step}: {told:?}"),
            _ => drop(faulted.is_recorded(&faulted.operator(stack), stack, to, &told).await),
        }
    }
}

async fn killed_while_it_writes(faulted: &Faulted, stack: &str) {
    let ec2 = faulted.fleet.lab.ec2().await.unwrap();
    let late = Disturbance::of(format!("PUT /{}/{stack}/contexts/{stack}.json", Faulted::BUCKET)).delayed(Duration::from_secs(2));
    let number = ec2.disturb(&late).await.unwrap();
    let going: Going = faulted.begin(stack, A, "").await;
    while ec2.disturbed().await.unwrap()[&number] == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told = going.kill().await;
    ec2.undisturbed().await.unwrap();
    faulted.judge().await;
    faulted.is_recorded(&faulted.operator(stack), stack, A, &told).await;
    faulted.lock_of_the_dead(stack, A).await;
}

/// Whoever measured by the time of day how long nothing has got through to the lock would take it for lost.
async fn clock_put_forward(faulted: &Faulted, stack: &str) {
    let home = faulted.operator(stack);
    let clock = Clock::new(&home);
    let line = format!("master.remaster:{stack},{A},watchdog=75");
    let mut going = faulted.fleet.start_with(&home, &[&line], &clock.env()).await;
    going.begins("prove").await;
    clock.set("+3600");
    let (code, told) = going.end().await;
    assert_eq!(code, Some(0), "{told:?}");
    faulted.judge().await;
    faulted.is_recorded(&home, stack, A, &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_s3_answers_no_context_is_lost_and_the_next_run_gets_there() {
    let faulted = Faulted::light(NAMES.iter().map(|name| Stack::new(name)).collect()).await.in_s3().await;
    all_thrown(&faulted, &S3, B).await;
    let kept = S3.iter().position(|(how, _)| *how == "keeps the lock (500)").unwrap();
    faulted.lock_of_the_dead(NAMES[kept], B).await;
    faulted.converge(B).await;

    faulted.shares(super::address(A));
    all_thrown(&faulted, &RECORD, A).await;
    for ((how, _), stack) in PROGRAM.into_iter().zip(&NAMES[RECORD.len()..]) {
        match how {
            "killed" => killed_while_it_writes(&faulted, stack).await,
            _ => clock_put_forward(&faulted, stack).await,
        }
    }
    faulted.converge(A).await;
}
