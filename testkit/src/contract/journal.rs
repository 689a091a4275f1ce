//! What must hold of every `Journal`? What was appended is read back, in order, run by run.

use bldr_core::{
    error::PortErrorKind,
    event::{Action, Event, LaneNames, Outcome, RunId, States},
    fleet::Timestamp,
    ports::{Change, Journal, Position, Record},
};
use futures::future::join_all;
use std::sync::Arc;

/// Every rule of the port, each on a journal of its own. `make` gives one that has no runs.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(make: impl Fn() -> Arc<dyn Journal>) {
    an_empty_journal_has_no_runs(&*make()).await;
    every_event_comes_back_as_it_was(&*make()).await;
    runs_are_listed_oldest_first_and_kept_apart(&*make()).await;
    records_of_tasks_at_the_same_time_are_all_kept(&*make()).await;
    who_reads_on_gets_what_is_new_and_nothing_twice(&*make()).await;
    outputs_are_kept_beside_each_other(&*make()).await;
}

/// One record of every kind of event, with odd texts in them, in the order of a run.
pub fn every_event() -> Vec<Record> {
    let stack = |name: &str| name.parse().unwrap();
    let harbor = || stack("harbor--ci");
    let node = || Some("harbor--ci--1".parse().unwrap());
    let events = [
        Event::RunStarted {
            run: run("20261122-124301-k3f9"),
            cloud: "sandbox".into(),
            master: Some(stack("master-server--b")),
            address: "10.0.0.2".parse().ok(),
            command: "master.remaster_all:master-server--b \"\\\u{e4}\u{2028}\n".into(),
            lanes: vec![LaneNames { project: "harbor".parse().unwrap(), stacks: vec![harbor()] }],
            allow_unshared: true,
            untouched: [].into(),
        },
        Event::StackStarted { stack: harbor(), was: "10.0.0.1".parse().ok() },
        Event::StepStarted { stack: harbor(), node: None, action: Action::RewriteContext },
        Event::StepFinished {
            stack: harbor(),
            node: node(),
            action: Action::Highstate,
            change: Change::Made,
            millis: u64::from(u32::MAX) * 2,
            detail: Some("12 states, 3 changed".into()),
            states: Some(States { changed: vec!["motd (file.managed)".into()], failed: Vec::new(), output: Some("a/b.json".into()) }),
        },
        Event::StepFailed {
            stack: harbor(),
            node: node(),
            action: Action::Repoint,
            reason: "no\r\nanswer".into(),
            millis: 0,
            states: None,
        },
        Event::StackFinished { stack: harbor(), outcome: Outcome::Failed, reason: Some("said \u{1F600}".into()), millis: 7 },
        Event::StackFinished { stack: stack("quay--prod"), outcome: Outcome::AlreadyThere, reason: None, millis: 7 },
        Event::StackFinished { stack: stack("quay--ci"), outcome: Outcome::RolledBack, reason: None, millis: 7 },
        Event::OldKeysRemoved { master: stack("master-server--a"), ids: ["harbor--ci--1".to_owned()].into(), millis: 3 },
        Event::Warning { message: String::new() },
        Event::RunFinished {
            run: run("20261122-124301-k3f9"),
            cloud: "sandbox".into(),
            outcomes: [(harbor(), Outcome::Failed), (stack("quay--prod"), Outcome::Remastered)].into(),
            reasons: [(harbor(), "said so".to_owned())].into(),
            millis: 9,
        },
    ];
    events.into_iter().zip(0..).map(|(event, n)| Record { at: Timestamp(1_795_350_181_123 + n), event }).collect()
}

fn run(name: &str) -> RunId {
    RunId(name.into())
}

fn warning(message: &str) -> Record {
    Record { at: Timestamp(1), event: Event::Warning { message: message.into() } }
}

async fn an_empty_journal_has_no_runs(journal: &dyn Journal) {
    assert_eq!(journal.runs().await.unwrap(), []);
    let error = journal.read(&run("20261122-124301-k3f9")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("20261122-124301-k3f9"), "the run is named: {error}");
}

async fn every_event_comes_back_as_it_was(journal: &dyn Journal) {
    let run = run("20261122-124301-k3f9");
    let mut written = Vec::new();
    for record in every_event() {
        journal.append(&run, std::slice::from_ref(&record)).await.unwrap();
        written.push(record);
        assert_eq!(journal.read(&run).await.unwrap(), written, "it can be read at any time");
    }
}

async fn runs_are_listed_oldest_first_and_kept_apart(journal: &dyn Journal) {
    let names = ["20261122-124301-k3f9", "20251122-124301-zzzz", "20261122-124301-a000"];
    for name in names {
        journal.append(&run(name), &[warning(name)]).await.unwrap();
    }
    let listed = journal.runs().await.unwrap();
    assert_eq!(listed, [run(names[1]), run(names[2]), run(names[0])]);
    for name in names {
        assert_eq!(journal.read(&run(name)).await.unwrap(), [warning(name)]);
    }
}

async fn records_of_tasks_at_the_same_time_are_all_kept(journal: &dyn Journal) {
    let run = run("20261122-124301-k3f9");
    let records: Vec<_> = (10..40).map(|n| warning(&format!("{n}{}", "x".repeat(5000)))).collect();
    for answer in join_all(records.chunks(2).map(|records| journal.append(&run, records))).await {
        answer.unwrap();
    }
    let mut read = journal.read(&run).await.unwrap();
    read.sort_by_key(|record| format!("{record:?}"));
    assert_eq!(read, records);
}

async fn who_reads_on_gets_what_is_new_and_nothing_twice(journal: &dyn Journal) {
    let run = run("20261122-124301-k3f9");
    let error = journal.read_on(&run, Position::default()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound, "{error}");
    let mut position = Position::default();
    for batch in [0..1, 1..1, 1..12, 12..12, 12..15] {
        let records: Vec<_> = batch.map(|n| warning(&format!("number {n} \u{e4}"))).collect();
        journal.append(&run, &records).await.unwrap();
        let (new, next) = journal.read_on(&run, position).await.unwrap();
        assert_eq!(new, records);
        position = next;
    }
    assert_eq!(journal.read(&run).await.unwrap().len(), 15, "whoever begins at the beginning gets all");
}

async fn outputs_are_kept_beside_each_other(journal: &dyn Journal) {
    let run = run("20261122-124301-k3f9");
    let node = "harbor--ci--1".parse().unwrap();
    let other = "harbor--ci--1--1".parse().unwrap();
    let mut places = Vec::new();
    for (node, output) in [(&node, "{}"), (&node, "{\"local\": {}}"), (&other, "")] {
        places.push(journal.keep_output(&run, node, output).await.unwrap());
    }
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 3, "each has a place of its own: {places:?}");
    assert_eq!(journal.runs().await.unwrap(), [], "an output alone is no record of a run");
}
