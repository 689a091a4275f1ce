//! What becomes of a fleet, and of the record, when anything that can go wrong does, at every call that a run makes?
//!
//! After each: no context is lost or half written, every minion that runs obeys exactly one master, what was recorded is true, and the
//! next run gets all of them to the new one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod struck;

use bldr_core::{
    context::Context,
    event::{Event, Outcome, RunId},
    fleet::{ContextFacts, InstanceState},
    name::{NodeName, StackName},
    ports::{ContextStore, Journal, Record},
    record::{RunRecord, RunStanding},
};
use bldr_testkit::{
    between::{Interposed, Unshared},
    machines::path,
    spec::FleetSpec,
    world::World,
};
use futures::future::{Either, select};
use std::{pin::pin, time::Duration};
use struck::{BROKEN, Fault, Struck, share};

const A: &str = "10.0.0.10";
const B: &str = "10.0.0.20";
const NEW: &str = "master-server--b";
const NODES: [&str; 5] = ["beacon--ci--1", "harbor--ci--1", "harbor--prod--1", "harbor--prod--2", "lantern--demo--1"];
const ASLEEP: &str = "lantern--demo--1";

fn world() -> World {
    let spec = FleetSpec::of(&["beacon--ci", "harbor--ci"])
        .with("harbor--prod", |stack| stack.nodes = Some(2))
        .with("lantern--demo", |stack| stack.state = InstanceState::Stopped);
    World::new(&spec).unwrap()
}

/// The master that a node's context names.
fn named(world: &World, node: &str) -> String {
    let stack = node.parse::<NodeName>().unwrap().stack().clone();
    let text = world.contexts.text(&stack).unwrap_or_else(|| panic!("the context of {stack} is lost"));
    let context = Context::parse(&text).unwrap_or_else(|error| panic!("the context of {stack} is half written: {error}\n{text}"));
    match context.facts().unwrap() {
        ContextFacts::Mastered { masters, .. } => masters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        other => panic!("{stack} names no master: {other:?}"),
    }
}

/// Whether these can be what the last append wrote, or nothing: a stack's beginning and the end of a step go with what it does next.
fn is_one_append(events: &[&Event]) -> bool {
    match events {
        [] | [_] => true,
        [
            Event::StackStarted { stack, .. } | Event::StepFinished { stack, .. } | Event::StepFailed { stack, .. },
            Event::StepStarted { stack: next, .. } | Event::StackFinished { stack: next, .. },
        ] => stack == next,
        _ => false,
    }
}

/// What is recorded of a run that was killed: that it was, all that the operator was told, and what nobody knows the end of.
fn is_cut_short(world: &World, record: &RunRecord, records: &[Record], told: &str) {
    // What a highstate is at is shown, and not recorded.
    let mut shown = world.operator.told();
    shown.retain(|said| !matches!(said.event, Event::StateBegun { .. }));
    let mut left = shown.iter().peekable();
    let unshown: Vec<&Event> = records.iter().filter(|record| left.next_if_eq(record).is_none()).map(|record| &record.event).collect();
    assert_eq!(left.next(), None, "{told}: shown and not recorded: {records:?}");
    assert!(is_one_append(&unshown), "{told}: recorded and not shown: {unshown:?}");
    let began = records.iter().filter(|record| matches!(record.event, Event::StepStarted { .. })).count();
    let ended = records.iter().filter(|record| matches!(record.event, Event::StepFinished { .. } | Event::StepFailed { .. })).count();
    assert_eq!(record.open_steps().count(), began - ended, "{told}");
    let finished = records.iter().any(|record| matches!(record.event, Event::RunFinished { .. }));
    assert_eq!(record.standing(None, true, record.last), if finished { RunStanding::Ended } else { RunStanding::CutShort }, "{told}");
}

/// What happened to a fleet: at this call, this. `None` where it could not, as the run made fewer calls or this was none of its kind.
fn after(fault: Fault, at: usize) -> (bool, usize) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let world = world();
        let (context, vars) =
            (world.contexts.text(&BROKEN.parse().unwrap()).unwrap(), world.machines.file("harbor--prod--1", path::BUILD_VARS));
        let struck = Interposed { world: &world, between: Struck::new(&world, fault, at) };
        let id = RunId("run-001".into());
        let report = match select(pin!(struck.remaster_all(NEW, &id, Unshared::Refused)), pin!(struck.between.killed())).await {
            Either::Left((report, _)) => Some(report),
            Either::Right(_) => None,
        };
        let told = format!("{fault:?} at call {at}");
        let (happened, calls) = (struck.between.happened(), struck.between.calls());
        if !happened {
            return (false, calls);
        }
        // What was broken by hand is mended by hand, where it is broken still.
        struck.between.master(true);
        world.fence.stands();
        share(&world, B);
        if fault == Fault::ContextBroken && Context::parse(&world.contexts.text(&BROKEN.parse().unwrap()).unwrap()).is_err() {
            world.contexts.put(&BROKEN.parse().unwrap(), &context);
        }
        if fault == Fault::BuildVarsBroken && world.machines.file("harbor--prod--1", path::BUILD_VARS).unwrap().as_deref() == Some("!") {
            world.machines.keep("harbor--prod--1", path::BUILD_VARS, vars.unwrap().as_deref()).unwrap();
        }
        // The watchdogs have the time they need.
        world.clock.advance(Duration::from_secs(7200));
        world.survey().await.unwrap();
        let records = world.journal.read(&id).await.unwrap_or_default();
        let record = RunRecord::of(&id, &records);
        if let (None, Some(record)) = (&report, &record) {
            is_cut_short(&world, record, &records, &told);
            let commanded = struck.between.commanded().filter(|node| NODES.contains(&node.to_string().as_str()));
            let open = |node: &NodeName| record.open_steps().any(|(_, step)| step.node.as_ref() == Some(node));
            assert!(commanded.as_ref().is_none_or(open), "{told}: {commanded:?} was commanded, and no step of it recorded before");
        }
        for node in NODES {
            assert!([A, B].contains(&named(&world, node).as_str()), "{told}: the context of {node} names {}", named(&world, node));
            let is = world.allegiance(&node.parse().unwrap()).unwrap();
            let up = world.state(node) == Some(InstanceState::Running);
            assert!(!up || is.obeys.is_some(), "{told}: {node} is an orphan: {is:?}\n{report:?}");
            let stack: StackName = node.parse::<NodeName>().unwrap().stack().clone();
            let recorded = record.as_ref().and_then(|record| record.stacks.get(&stack));
            // Nothing is recorded of a machine that EC2 did not show.
            let known = fault != Fault::HalfAFleet
                || recorded.is_some_and(|stack| stack.steps.iter().flat_map(|step| &step.node).any(|of| of.to_string() == node));
            let recorded = match recorded.and_then(|stack| stack.outcome).filter(|_| known) {
                Some(Outcome::Remastered) => Some(("master-server--b--1", B)),
                Some(Outcome::RolledBack) => Some(("master-server--a--1", A)),
                _ => None,
            };
            if let Some((trusted, address)) = recorded {
                assert_eq!(is.trusts.as_deref(), Some(trusted), "{told}: {node} is not where it is recorded to be");
                // What was broken by hand was mended by hand.
                assert!(
                    named(&world, node) == address || fault == Fault::ContextBroken,
                    "{told}: the context of {node} is not where it is recorded to be\n{report:?}"
                );
            }
        }
        if let Some(Ok(report)) = &report {
            let recorded = record.as_ref().is_some_and(|record| record.ended);
            assert!(recorded || report.unrecorded.is_some(), "{told}: it ended, and the record does not say so");
            let open: Vec<_> = record.iter().filter(|record| record.ended).flat_map(RunRecord::open_steps).collect();
            assert!(open.is_empty(), "{told}: it ended, and the record does not say how these did: {open:?}");
        }
        let calm = Interposed { world: &world, between: Struck::new(&world, fault, usize::MAX) };
        let again = calm.remaster_all(NEW, &RunId("run-002".into()), Unshared::Refused).await.unwrap();
        assert!(again.outcomes.values().all(|outcome| outcome.is_success()), "{told}: {:?}\n{report:?}", again.reasons);
        for node in NODES {
            assert_eq!(named(&world, node), B, "{told}: {node}");
            let is = world.allegiance(&node.parse().unwrap()).unwrap();
            assert_eq!(
                (is.build_vars.as_deref(), is.configured.as_deref(), is.trusts.as_deref()),
                (Some(B), Some(B), Some("master-server--b--1")),
                "{told}: {node}"
            );
            let obeys =
                if node == ASLEEP && world.state(node) == Some(InstanceState::Stopped) { None } else { Some("master-server--b--1") };
            assert_eq!(is.obeys.as_deref(), obeys, "{told}: {node}");
        }
        if fault == Fault::Colleague {
            assert!(
                world.contexts.list().await.unwrap().iter().any(|stack| world.contexts.text(stack).unwrap().contains("was here")),
                "{told}: what a colleague wrote is lost"
            );
        }
        (true, calls)
    })
}

#[test]
fn whatever_happens_at_whichever_call_nobody_is_orphaned_and_the_next_run_converges() {
    let faults = [
        Fault::KilledBefore,
        Fault::KilledAfter,
        Fault::Cut(1),
        Fault::Cut(3),
        Fault::Cut(40),
        Fault::AnswerLost,
        Fault::Rebooted,
        Fault::MasterDown(5),
        Fault::MasterDown(60),
        Fault::Throttled,
        Fault::PageRefused,
        Fault::HalfAPage,
        Fault::HalfAFleet,
        Fault::StoreRefuses,
        Fault::StoreDown,
        Fault::StoreSlow(5),
        Fault::StoreSlow(60),
        Fault::Contested(1),
        Fault::Contested(40),
        Fault::WrittenAndContested,
        Fault::ContextsFull,
        Fault::JournalFull,
        Fault::JournalTorn,
        Fault::Colleague,
        Fault::ClockForward,
        Fault::ClockBack,
        Fault::LockTaken,
        Fault::ContextBroken,
        Fault::BuildVarsBroken,
        Fault::StaleProjects,
    ];
    let mut all = 0;
    for fault in faults {
        let mut of_it = 0;
        for at in 0.. {
            let (happened, calls) = after(fault, at);
            of_it += usize::from(happened);
            if !happened && calls <= at {
                break;
            }
        }
        println!("{of_it:>5}  {fault:?}");
        assert!(of_it > 0, "{fault:?} never happened");
        all += of_it;
    }
    println!("{all:>5}  faults in all");
    assert!(all > 1000, "{all}");
}
