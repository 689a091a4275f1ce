//! Is a minion that was re-mastered commanded by its new master, and one that was not by its old? Real Salt, real systemd.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod salted;

use bldr_testkit::lab::Begins;
use salted::{A, B, DUE, Fleet, NEW, Stack, fleet, outcomes};

const FLEET: [Stack; 6] = [
    Stack::new("ferry--ci"),
    Stack::new("ferry--prod"),
    Stack { nodes: 2, ..Stack::new("harbor--prod") },
    Stack { begins: Begins::Stopped, ..Stack::new("lantern--demo") },
    Stack::new("quill--ci"),
    Stack::new("quill--prod"),
];

fn running() -> impl Iterator<Item = String> {
    let up = FLEET.into_iter().filter(|stack| stack.begins == Begins::Running);
    up.flat_map(|stack| (1..=stack.nodes).map(move |node| format!("{}--{node}", stack.name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_changes_masters() {
    let fleet = fleet(&FLEET).await;
    one_stack_first(&fleet).await;

    let (code, events, _) = fleet.bldr(&["master.remaster_all:master-server--b", "--yes"]).await;
    let (ended, reasons) = outcomes(&events);
    assert_eq!(code, Some(0), "{reasons:?}");
    for stack in &FLEET {
        assert_eq!(ended[stack.name], if stack.name == "ferry--ci" { "already_there" } else { "remastered" });
        fleet.assert_context(stack.name, NEW);
    }
    for node in running() {
        fleet.assert_on(&node, B).await;
        assert_eq!(fleet.file(&node, "/etc/highstate-ran").await.as_deref(), Some("mastered by master-server--b\n"), "{node}");
        assert_eq!(fleet.file(&node, DUE).await, None, "{node}");
    }
    // The sleeping one was moved and sleeps again; nobody but the new master holds a key of anybody.
    assert_eq!(fleet.accepted(B).await.len(), 7);
    assert_eq!(fleet.accepted(A).await, Vec::<String>::new());

    let (code, events, _) = fleet.bldr(&["master.remaster_all:master-server--b", "--yes"]).await;
    let (ended, _) = outcomes(&events);
    assert_eq!(code, Some(0));
    assert!(ended.values().all(|outcome| outcome == "already_there" || outcome == "skipped"), "{ended:?}");
    assert!(!events.iter().any(|event| event["event"] == "step_started"), "a second run touches nothing");

    let (code, status, _) = fleet.bldr(&["master.status"]).await;
    let verdicts = &status[0]["verdicts"];
    assert_eq!((code, &verdicts["on_it"], &verdicts["asleep"]), (Some(0), &6.into(), &1.into()), "{status:?}");
}

async fn one_stack_first(fleet: &Fleet) {
    let (code, events, _) = fleet.bldr(&["master.remaster:ferry--ci,master-server--b,rehearse=yes"]).await;
    let (ended, reasons) = outcomes(&events);
    assert_eq!((code, ended["ferry--ci"].as_str()), (Some(0), "remastered"), "{reasons:?}");
    fleet.assert_on("ferry--ci--1", B).await;
    fleet.assert_on("ferry--prod--1", A).await;
    let rehearsed = events.iter().find(|event| event["event"] == "step_finished" && event["action"] == "rehearse").unwrap();
    assert_eq!(rehearsed["states"]["changed"][0], "/etc/highstate-ran (file.managed)", "{rehearsed}");
    assert!(!fleet.accepted(A).await.contains(&"ferry--ci--1".to_owned()));
}
