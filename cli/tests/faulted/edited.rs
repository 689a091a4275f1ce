//! Somebody edits what a run reads: an old checkout takes the place of the project file, a context or build vars are broken by hand.

use super::{Fault, Faulted, address, node};
use crate::salted::{A, B, BUILD_VARS, NEW, OLD, Stack, outcomes};
use serde_json::{Value, json};
use std::fs;

pub const STALE: [Fault; 3] = [
    ("the defaults name the old address", "survey"),
    ("the project has the old address of its own", "survey"),
    ("the defaults name the old address", "prove"),
];

pub const MALFORMED: [Fault; 7] = [
    ("a context is no JSON", "survey"),
    ("the EC2 of a context is a list", "survey"),
    ("a context is no JSON", "examine"),
    ("a context is no JSON", "repoint"),
    ("build vars are no base64", "survey"),
    ("build vars lack what they need", "survey"),
    ("build vars are no base64", "examine"),
];

/// A fleet in whose middle something is wrong.
const FLEET: [&str; 4] = ["early--ci", "middle--ci", "middle--prod", "tail--ci"];
const MIDDLE: &str = "middle--ci";

#[tokio::test(flavor = "multi_thread")]
async fn an_old_checkout_is_refused_before_anything_changes() {
    let faulted = Faulted::light(FLEET[..3].iter().map(|name| Stack::new(name)).collect()).await;
    let file = faulted.fleet.home.join("project.yaml");
    let shared = fs::read_to_string(&file).unwrap();
    for (how, step) in STALE {
        let stale = match how {
            "the defaults name the old address" => shared.replace(NEW, OLD),
            _ => shared.replace("middle:\n    aws: {}", &format!("middle:\n    aws:\n        ec2:\n            master_ip: {OLD}")),
        };
        assert_ne!(stale, shared);
        if step == "survey" {
            fs::write(&file, stale).unwrap();
        } else {
            let mut going = faulted.begin(MIDDLE, B, "").await;
            going.begins(step).await;
            fs::write(&file, stale).unwrap();
            let (code, told) = going.end().await;
            assert_eq!(code, Some(0), "what has begun is finished: {told:?}");
            faulted.is_recorded(&faulted.operator(MIDDLE), MIDDLE, B, &told).await;
        }
        let (code, told, errors) = faulted.fleet.bldr(&[&format!("master.remaster_all:{B}"), "--yes"]).await;
        assert_eq!((code, told.len()), (Some(3), 1), "{how}: {told:?}");
        assert!(errors.contains("the team has not been told") && errors.contains("nothing was changed"), "{how}: {errors}");
        for stack in ["early--ci", "middle--prod"] {
            faulted.is_at(stack, A).await;
        }
        faulted.judge().await;
        fs::write(&file, &shared).unwrap();
    }
    assert!(faulted.fleet.home.join(".bldr/runs").read_dir().is_err(), "nothing of it was a run");
    faulted.converge(B).await;
}

/// What is broken: a context, or the build vars of a node.
async fn break_it(faulted: &Faulted, how: &str, whole: &str) -> String {
    let host = faulted.fleet.host(&node(MIDDLE));
    let context = faulted.fleet.home.join(format!(".cfn/contexts/{MIDDLE}.json"));
    let broken = match how {
        "a context is no JSON" => whole[..whole.len() / 2].to_owned(),
        "the EC2 of a context is a list" => {
            let mut context: Value = serde_json::from_str(whole).unwrap();
            context["ec2"] = json!([1]);
            context.to_string()
        }
        "build vars are no base64" => "{not base64}".into(),
        "build vars lack what they need" => "eyJhIjogMX0=".into(),
        other => panic!("no such fault: {other}"),
    };
    if how.starts_with("build vars") {
        host.write(BUILD_VARS, broken.as_bytes(), 0o644).await.unwrap();
    } else {
        fs::write(context, &broken).unwrap();
    }
    broken
}

/// What was broken by hand is mended by hand, where it is broken still.
async fn mend_it(faulted: &Faulted, how: &str, whole: &str, broken: &str) {
    if how.starts_with("build vars") {
        if faulted.fleet.file(&node(MIDDLE), BUILD_VARS).await.as_deref() == Some(broken) {
            faulted.fleet.host(&node(MIDDLE)).write(BUILD_VARS, whole.as_bytes(), 0o644).await.unwrap();
        }
    } else if faulted.context(MIDDLE).await == broken {
        fs::write(faulted.fleet.home.join(format!(".cfn/contexts/{MIDDLE}.json")), whole).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_in_the_middle_of_a_fleet_costs_its_own_project_and_is_overwritten_by_nobody() {
    let nodes = |name| if name == MIDDLE { 2 } else { 1 };
    let faulted = Faulted::light(FLEET.map(|name| Stack { nodes: nodes(name), ..Stack::new(name) }).to_vec()).await;
    let (mut from, mut to) = (A, B);
    for (how, step) in MALFORMED {
        faulted.shares(address(to));
        let whole = if how.starts_with("build vars") {
            faulted.fleet.file(&node(MIDDLE), BUILD_VARS).await.unwrap()
        } else {
            faulted.context(MIDDLE).await
        };
        let line = format!("master.remaster_all:{to},jobs=1");
        let mut broken = String::new();
        if step == "survey" {
            broken = break_it(&faulted, how, &whole).await;
        }
        let mut going = faulted.fleet.start_at(&faulted.fleet.home, &[&line, "--yes"]).await;
        let begins =
            |action| move |event: &Value| event["event"] == "step_started" && event["stack"] == MIDDLE && event["action"] == action;
        match step {
            "survey" => {}
            // That of its second node, which waits for the first to join.
            "repoint" => {
                going.tells(begins("introduce")).await;
                faulted.keep_from_joining(MIDDLE, to).await;
                going.tells(begins("prove")).await;
                broken = break_it(&faulted, how, &whole).await;
                faulted.let_join(MIDDLE, to).await;
            }
            _ => {
                going.tells(begins(step)).await;
                broken = break_it(&faulted, how, &whole).await;
            }
        }
        let (code, told) = going.end().await;
        let (ended, reasons) = outcomes(&told);
        // Build vars that were whole when they were looked at are made anew.
        let anew = (how, step) == ("build vars are no base64", "examine") && ended[MIDDLE] == "remastered";
        // A context that was broken once it was rewritten is not looked at again before the next run.
        let later = step == "repoint" && !how.starts_with("build vars");
        let well = anew || later;
        let expected = if well { ["remastered"; 2] } else { ["failed", "held"] };
        assert_eq!([ended[MIDDLE].as_str(), ended["middle--prod"].as_str()], expected, "{how} at {step}: {reasons:?}");
        assert_eq!(code, Some(i32::from(!well)), "{how} at {step}");
        if step == "survey" && !how.starts_with("build vars") {
            assert_eq!(faulted.context(MIDDLE).await, broken, "what somebody has written is left to them");
        }
        let mended = if later { whole.replace(address(from), address(to)) } else { whole };
        mend_it(&faulted, how, &mended, &broken).await;
        faulted.judge().await;
        for stack in ["early--ci", "tail--ci"] {
            assert_eq!(ended[stack], "remastered", "{how} at {step}: {reasons:?}");
            faulted.is_at(stack, to).await;
        }
        faulted.is_recorded(&faulted.fleet.home, MIDDLE, to, &told).await;
        if !well {
            faulted.is_at(MIDDLE, from).await;
            faulted.is_at("middle--prod", from).await;
        }
        faulted.converge(to).await;
        (from, to) = (to, from);
    }
    let all: Vec<Value> = faulted.fleet.bldr(&["runs:all=yes"]).await.1;
    assert_eq!(all[0]["runs"].as_array().unwrap().len(), 2 * MALFORMED.len());
}
