//! Is what a run was read from its records as they were made?

use super::*;
use crate::event::Event::{RunFinished, RunStarted, StackFinished, StackStarted, StepFailed, StepFinished, StepStarted};
use crate::ports::Owner;

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp(1_795_351_381_000 + 1000 * second)
}

fn begun() -> Event {
    let lanes = vec![LaneNames { project: "harbor".parse().unwrap(), stacks: vec![stack("harbor--ci"), stack("harbor--prod")] }];
    let (run, master) = (RunId("r".into()), Some(stack("master-server--b")));
    RunStarted {
        run,
        cloud: "aws".into(),
        master,
        address: "10.0.0.2".parse().ok(),
        command: "c".into(),
        lanes,
        allow_unshared: false,
        untouched: [(stack("hermit--prod"), LeftAlone { outcome: Outcome::Skipped, reason: "masterless".into() })].into(),
    }
}

fn began(name: &str, was: &str) -> Event {
    StackStarted { stack: stack(name), was: was.parse().ok() }
}

fn step(name: &str, action: Action) -> Event {
    StepStarted { stack: stack(name), node: Some(stack(name).node(1)), action }
}

fn well(name: &str, action: Action) -> Event {
    let (change, node) = (Change::Made, Some(stack(name).node(1)));
    StepFinished { stack: stack(name), node, action, change, millis: 1000, detail: None, states: None }
}

fn failed(name: &str, action: Action) -> Event {
    StepFailed { stack: stack(name), node: Some(stack(name).node(1)), action, reason: "no".into(), millis: 1000, states: None }
}

fn finished(name: &str, outcome: Outcome) -> Event {
    StackFinished { stack: stack(name), outcome, reason: None, millis: 1000 }
}

fn of(events: impl IntoIterator<Item = Event>) -> RunRecord {
    let records: Vec<_> = events.into_iter().zip(0..).map(|(event, second)| Record { at: at(second), event }).collect();
    RunRecord::of(&RunId("r".into()), &records).unwrap()
}

fn held_since(second: i64) -> Holding {
    Owner { who: "alice".into(), host: "laptop".into(), pid: 1, purpose: "c".into(), since: at(second) }.into()
}

#[test]
fn a_run_that_came_to_its_end_has_every_stack_with_its_outcome() {
    let outcomes = BTreeMap::from([(stack("harbor--ci"), Outcome::Remastered), (stack("ferry--ci"), Outcome::AlreadyThere)]);
    let run = of([
        begun(),
        began("harbor--ci", "10.0.0.1"),
        step("harbor--ci", Action::Repoint),
        well("harbor--ci", Action::Repoint),
        finished("harbor--ci", Outcome::Remastered),
        RunFinished { run: RunId("r".into()), cloud: "aws".into(), outcomes, reasons: BTreeMap::new(), millis: 5000 },
    ]);
    assert_eq!(run.standing(Some(&held_since(0)), true, at(3)), RunStanding::Ended);
    assert_eq!(run.stacks[&stack("ferry--ci")].outcome, Some(Outcome::AlreadyThere));
    assert_eq!((run.began, run.last), (at(0), at(5)));
    assert_eq!(run.stacks[&stack("harbor--ci")].steps[0].ended.as_ref().unwrap().0, at(3));
    let hermit = &run.stacks[&stack("hermit--prod")];
    assert_eq!((hermit.outcome, hermit.reason.as_deref()), (Some(Outcome::Skipped), Some("masterless")));
    assert_eq!(run.stacks[&stack("harbor--prod")], StackRecord::default(), "it was to be done, and nothing was heard of it");
}

#[test]
fn a_run_without_an_end_goes_on_while_who_began_it_holds_the_lock() {
    let run = of([begun(), began("harbor--ci", "10.0.0.1"), step("harbor--ci", Action::Repoint)]);
    assert_eq!(run.standing(Some(&held_since(0)), true, at(3)), RunStanding::GoingOn);
    assert_eq!(run.standing(Some(&held_since(0)), false, at(3)), RunStanding::CutShort, "a later run has begun since");
    assert_eq!(run.standing(Some(&held_since(1)), true, at(3)), RunStanding::CutShort, "it is held by somebody who came later");
    assert_eq!(run.standing(None, true, at(3)), RunStanding::CutShort);
    let holder = |heard, gone| Holding { heard: Some(at(heard)), gone, ..held_since(0) };
    let standing = |holder| run.standing(Some(&holder), true, at(100));
    assert_eq!(standing(holder(40, false)), RunStanding::GoingOn);
    assert_eq!(standing(holder(39, false)), RunStanding::CutShort, "who was not heard of for a minute begins nothing more");
    assert_eq!(standing(holder(99, true)), RunStanding::CutShort, "its process is no more");
    assert_eq!(standing(holder(500, false)), RunStanding::GoingOn, "by a clock that goes ahead of ours");
    let open: Vec<_> = run.open_steps().map(|(stack, step)| (stack.as_str(), step.action)).collect();
    assert_eq!(open, [("harbor--ci", Action::Repoint)]);
}

#[test]
fn a_step_that_is_taken_twice_ends_the_second_time() {
    let run = of([
        begun(),
        began("harbor--ci", "10.0.0.1"),
        step("harbor--ci", Action::Prove),
        failed("harbor--ci", Action::Prove),
        step("harbor--ci", Action::Prove),
        well("harbor--ci", Action::Prove),
    ]);
    let ends: Vec<_> = run.stacks[&stack("harbor--ci")].steps.iter().map(|step| step.ended.as_ref().unwrap().0).collect();
    assert_eq!((ends, run.open_steps().count()), (vec![at(3), at(5)], 0));
}

#[test]
fn what_may_have_moved_is_known_with_where_it_was() {
    let run = of([
        begun(),
        began("harbor--ci", "10.0.0.1"),
        step("harbor--ci", Action::RewriteContext),
        began("ferry--ci", "salt.example.org"),
        step("ferry--ci", Action::Repoint),
        well("ferry--ci", Action::Repoint),
        finished("ferry--ci", Outcome::Failed),
        began("quill--ci", "10.0.0.1"),
        step("quill--ci", Action::Repoint),
        finished("quill--ci", Outcome::RolledBack),
        began("beacon--ci", "10.0.0.1"),
        step("beacon--ci", Action::Examine),
        finished("beacon--ci", Outcome::Failed),
    ]);
    let moved: Vec<_> = run.moved().into_iter().map(|(was, stacks)| (was.to_string(), stacks)).collect();
    assert_eq!(moved, [("10.0.0.1".into(), vec![stack("harbor--ci")]), ("salt.example.org".into(), vec![stack("ferry--ci")])]);
}

#[test]
fn records_that_do_not_begin_with_the_beginning_are_no_run() {
    let records = [Record { at: at(0), event: began("harbor--ci", "10.0.0.1") }];
    assert_eq!(RunRecord::of(&RunId("r".into()), &records), None);
    assert_eq!(RunRecord::of(&RunId("r".into()), &[]), None);
}
