//! How fast does a run go, and where does it stop by itself?
#![allow(clippy::unwrap_used, clippy::panic)]

use bldr_core::{
    error::PortResult,
    event::{Event, Outcome, RunId},
    execute::RunReport,
    fleet::Timestamp,
    name::StackName,
    pace::{MaxFailures, Pacing},
    ports::Clock,
    record::RunRecord,
    stage::Stage,
};
use bldr_testkit::{
    between::{Between, Call, Interposed, Unshared},
    machines::{Fault, Machine, path},
    spec::FleetSpec,
    world::World,
};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const B: &str = "master-server--b";

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

async fn run(world: &World, pacing: Pacing) -> RunReport {
    let (fleet, master, plan) = world.plan(B).await.unwrap();
    world.execute(&plan, &fleet, &master, pacing).await
}

fn broken(stacks: &[&str], broken: &[&str]) -> World {
    let spec = broken.iter().fold(FleetSpec::of(stacks), |spec, stack| spec.with(stack, |s| s.fault = Some(Fault::NeverJoins)));
    World::new(&spec).unwrap()
}

/// The stacks on which work began, in order.
fn begun(world: &World) -> Vec<String> {
    let stack = |event| if let Event::StackStarted { stack, .. } = event { Some(stack.to_string()) } else { None };
    world.operator.told().into_iter().filter_map(|record| stack(record.event)).collect()
}

/// Every stack with how it ended, and why where it was held.
fn held(report: &RunReport) -> BTreeSet<(&str, &str)> {
    let held = report.outcomes.iter().filter(|(_, outcome)| **outcome == Outcome::Held);
    held.map(|(stack, _)| (stack.as_str(), report.reasons[stack].as_str())).collect()
}

#[tokio::test]
async fn the_canary_goes_before_all_others() {
    let world = broken(&["beacon--ci", "harbor--ci", "harbor--prod", "quill--ci"], &[]);
    let report = run(&world, Pacing { canary: Some(stack("harbor--prod")), ..Pacing::jobs(1) }).await;
    assert!(report.outcomes.values().all(|outcome| outcome.is_success()), "{report:?}");
    assert_eq!(begun(&world), ["harbor--prod", "beacon--ci", "harbor--ci", "quill--ci"]);
}

#[tokio::test]
async fn a_canary_that_fails_holds_all_others() {
    let world = broken(&["beacon--ci", "harbor--ci", "harbor--prod"], &["harbor--ci"]);
    let report = run(&world, Pacing { canary: Some(stack("harbor--ci")), ..Pacing::jobs(8) }).await;
    assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::RolledBack);
    let why = "the canary harbor--ci failed";
    assert_eq!(held(&report), [("beacon--ci", why), ("harbor--prod", why)].into());
    assert_eq!(begun(&world), ["harbor--ci"]);
}

#[tokio::test]
async fn too_many_failures_hold_what_is_not_begun() {
    let stacks = ["a--ci", "b--ci", "c--ci", "d--ci", "e--ci"];
    for (most, failed) in [(MaxFailures::Count(0), 1), (MaxFailures::Count(1), 2), (MaxFailures::Percent(40), 3)] {
        let world = broken(&stacks, &stacks);
        let report = run(&world, Pacing { max_failures: Some(most), ..Pacing::jobs(1) }).await;
        assert_eq!(report.outcomes.values().filter(|outcome| **outcome == Outcome::RolledBack).count(), failed, "{most}");
        let held = held(&report);
        assert_eq!(held.len(), stacks.len() - failed);
        let why = format!("{failed} of 5 stacks failed, and max_failures is {most}");
        assert!(held.iter().all(|(_, reason)| *reason == why), "{held:?}");
    }
}

#[tokio::test]
async fn a_stack_that_cannot_be_asked_counts_as_a_failure() {
    let spec = FleetSpec::of(&["b--ci", "c--ci"]).with("a--ci", |s| s.fault = Some(Fault::Unreachable));
    let report = run(&World::new(&spec).unwrap(), Pacing { max_failures: Some(MaxFailures::Count(0)), ..Pacing::jobs(1) }).await;
    assert_eq!((report.outcomes[&stack("a--ci")], held(&report).len()), (Outcome::Failed, 2));
}

#[tokio::test]
async fn what_is_known_to_fail_counts_before_anything_is_begun() {
    let mut spec = FleetSpec::of(&["a--ci", "d--ci", "d--prod"]);
    for name in ["b--ci", "c--ci", "d--prod"] {
        spec = spec.with(name, |s| s.fault = Some(Fault::Unreachable));
    }
    for (most, begins) in [(1, false), (2, true)] {
        let world = World::new(&spec).unwrap();
        let report = run(&world, Pacing { max_failures: Some(MaxFailures::Count(most)), ..Pacing::jobs(1) }).await;
        assert_eq!(begun(&world).is_empty(), !begins, "{report:?}");
        let failed: Vec<_> = report.outcomes.iter().filter(|(_, how)| **how == Outcome::Failed).map(|(name, _)| name.as_str()).collect();
        assert!(failed.starts_with(&["b--ci", "c--ci"]), "{failed:?}");
        if !begins {
            let why = "2 of 5 stacks failed, and max_failures is 1";
            assert_eq!(held(&report), [("a--ci", why), ("d--ci", why)].into(), "{report:?}");
        }
    }
}

#[tokio::test]
async fn a_run_pauses_before_a_stage() {
    let world = broken(&["harbor--ci", "harbor--prod", "quill--end2end", "quill--mine"], &[]);
    let paused = Pacing { pause_before: Some(Stage::End2end), ..Pacing::jobs(8) };
    let report = run(&world, paused.clone()).await;
    let why = "the run pauses before end2end";
    assert_eq!(held(&report), [("harbor--prod", why), ("quill--end2end", why)].into());
    let again = run(&world, Pacing { pause_before: Some(Stage::Prod), ..paused }).await;
    assert_eq!(held(&again), [("harbor--prod", "the run pauses before prod")].into());
}

#[tokio::test]
async fn nothing_begins_once_the_window_is_over() {
    let world = broken(&["a--ci", "b--ci", "c--ci"], &[]);
    let over = Timestamp(world.clock.now().0);
    let report = run(&world, Pacing { until: Some(over), ..Pacing::jobs(8) }).await;
    assert_eq!(held(&report).len(), 3);
    world.clock.advance(Duration::from_secs(60));
    let later = Timestamp(world.clock.now().0 + 3_600_000);
    assert!(held(&run(&world, Pacing { until: Some(later), ..Pacing::jobs(8) }).await).is_empty());
}

/// How many stacks were in work at once, at most.
fn at_once(world: &World) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for record in world.operator.told() {
        match record.event {
            Event::StackStarted { .. } => now += 1,
            Event::StackFinished { outcome: Outcome::Remastered, .. } => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    most
}

#[tokio::test]
async fn a_run_has_more_in_work_with_each_that_went_well_unless_the_master_is_overloaded() {
    let names: Vec<_> = (0..40).map(|number| format!("p{number:02}--ci")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (fault, most) in [(None, 16), (Some(Fault::Overloaded), 1)] {
        let mut world = broken(&names, &[]);
        let machine = world.machines.get("master-server--b--1").unwrap();
        world.machines.put("master-server--b--1", Machine { fault: fault.clone(), ..machine }).unwrap();
        world.machines = world.machines.paced(Duration::from_millis(10));
        let report = run(&world, Pacing::jobs(16)).await;
        assert_eq!(report.outcomes.values().filter(|outcome| **outcome == Outcome::Remastered).count(), 40);
        assert_eq!(at_once(&world), most);
        let told = world.operator.told().into_iter();
        let paced: Vec<_> =
            told.filter_map(|record| if let Event::Paced { limit, why } = record.event { Some((limit, why)) } else { None }).collect();
        let expected = fault.map(|_| (1, Some("its load is 4.00 for each processor".to_owned())));
        assert_eq!(paced, expected.into_iter().collect::<Vec<_>>());
    }
}

/// A new master that begins to suffer once it has let some minions in.
struct Suffering<'a> {
    world: &'a World,
    how: Suffers,
    let_in: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
enum Suffers {
    /// It lets nobody in for seconds.
    Slow,
    /// So many keys wait on it.
    Pending(usize),
}

impl Between for Suffering<'_> {
    async fn through<T: Send>(&self, call: Call<'_>, work: impl Future<Output = PortResult<T>> + Send) -> PortResult<T> {
        let clock = &self.world.clock;
        match call {
            Call::Machine(_, "accept") => match (self.how, self.let_in.fetch_add(1, Ordering::SeqCst)) {
                (Suffers::Slow, 4..) => clock.advance(Duration::from_secs(2)),
                (Suffers::Pending(count), 4) => (0..count).for_each(|number| {
                    let waits = format!("{}/stray-{number}", path::PENDING);
                    self.world.machines.keep("master-server--b--1", &waits, Some("a key")).unwrap();
                }),
                _ => clock.advance(Duration::from_millis(100)),
            },
            Call::Machine(_, "repoint") => clock.advance(Duration::from_secs(6)),
            _ => {}
        }
        work.await
    }
}

#[tokio::test]
async fn a_run_goes_no_faster_or_slower_when_the_master_lets_minions_in_slowly_or_has_many_waiting() {
    let names: Vec<_> = (0..16).map(|number| format!("p{number:02}--ci")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (how, why, fewer) in [
        (Suffers::Slow, "it takes 2000 ms to let a minion in, and took 100 ms at first", true),
        (Suffers::Pending(20), "20 keys wait to be accepted on it", false),
        (Suffers::Pending(60), "60 keys wait to be accepted on it", true),
    ] {
        let world = World::new(&FleetSpec::of(&names)).unwrap();
        let run = Interposed { world: &world, between: Suffering { world: &world, how, let_in: AtomicUsize::new(0) } };
        let report = run.remaster_all(B, &RunId("run".into()), Unshared::Allowed).await.unwrap();
        assert_eq!(report.outcomes.values().filter(|outcome| **outcome == Outcome::Remastered).count(), 16, "{report:?}");
        let told = world.operator.told();
        let paced: Vec<_> = told
            .iter()
            .filter_map(|record| if let Event::Paced { limit, why } = &record.event { Some((*limit, why.as_deref())) } else { None })
            .collect();
        let [(limit, first), ..] = paced[..] else { panic!("{how:?}: nothing was said of the pace") };
        assert_eq!(first, Some(why), "{how:?}: {paced:?}");
        // By then it was four at once, which is the ceiling.
        assert_eq!(limit < 4, fewer, "{how:?}: {paced:?}");
        let record = RunRecord::of(&RunId("run".into()), &told).unwrap();
        assert_eq!(record.paces.iter().map(|pace| (pace.limit, pace.why.as_deref())).collect::<Vec<_>>(), paced);
    }
}
