//! What becomes of a fleet when its master is replaced, when things go wrong on the way, and when somebody tries again?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{
    event::{Event, Outcome},
    execute::RunReport,
    fleet::InstanceState,
    name::{NodeName, StackName},
    pace::Pacing,
    plan::{self, Scope, Stopped, Todo},
    ports::{ContextStore, Expected, Journal, Operator, Power, SharedAddress, Sleeper, SleeperState, Sleepers},
    soundness,
};
use bldr_testkit::{
    machines::{Fault, Machine, path},
    salt,
    spec::{FleetSpec, StackSpec},
    world::{Allegiance, World},
};
use proptest::prelude::*;
use std::time::Duration;

const A: &str = "master-server--a";
const B: &str = "master-server--b";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

fn world_of(stacks: &[&str]) -> World {
    World::new(&FleetSpec::of(stacks)).unwrap()
}

fn on(master: &str) -> Allegiance {
    let address = if master == B { "10.0.0.20" } else { "10.0.0.10" };
    let machine = format!("{master}--1");
    Allegiance {
        context: Some(address.into()),
        build_vars: Some(address.into()),
        configured: Some(address.into()),
        trusts: Some(machine.clone()),
        obeys: Some(machine),
    }
}

fn allegiance(world: &World, node: &str) -> Allegiance {
    world.allegiance(&node.parse::<NodeName>().unwrap()).unwrap()
}

fn all_well(report: &RunReport) -> bool {
    report.outcomes.values().all(|outcome| outcome.is_success())
}

#[tokio::test]
async fn a_fleet_changes_masters_and_a_second_run_has_nothing_to_do() {
    let built_in = FleetSpec::built_in().unwrap();
    let world = World::new(&FleetSpec { shared: Some("10.0.0.20".into()), ..built_in }).unwrap();
    let report = world.remaster_all(B).await.unwrap();
    for (name, outcome) in &report.outcomes {
        let expected = match name.as_str() {
            "beacon--ci" => Outcome::AlreadyThere,
            "bucket--prod" | "hermit--prod" | A | B => Outcome::Skipped,
            _ => Outcome::Remastered,
        };
        assert_eq!(*outcome, expected, "{name}: {:?}", report.reasons.get(name));
    }
    for node in world.machines.names().iter().filter(|n| !n.starts_with("master-server") && !n.starts_with("hermit")) {
        let asleep = node == "lantern--demo--1";
        let expected = if asleep { Allegiance { obeys: None, ..on(B) } } else { on(B) };
        assert_eq!(allegiance(&world, node), expected, "{node}");
        assert_eq!(world.state(node), Some(if asleep { InstanceState::Stopped } else { InstanceState::Running }), "{node}");
    }
    let (_, _, plan) = world.plan(B).await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.untouched.len(), report.outcomes.len());
    let again = world.remaster_all(B).await.unwrap();
    assert!(all_well(&again) && !again.outcomes.values().any(|o| *o == Outcome::Remastered), "{again:?}");
}

#[tokio::test]
async fn a_node_is_given_no_more_than_six_commands() {
    for state in [InstanceState::Running, InstanceState::Stopped] {
        let world = World::new(&FleetSpec::of(&[]).with("harbor--ci", |s| s.state = state)).unwrap();
        let report = world.remaster_all(B).await.unwrap();
        assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::Remastered);
        let commands = world.machines.commands("harbor--ci--1");
        assert!((5..=6).contains(&commands), "{commands}");
    }
}

#[tokio::test]
async fn somebody_who_started_a_sleeping_stack_makes_it_be_asked_again() {
    let world = World::new(&FleetSpec::of(&[]).with("lantern--demo", |s| s.state = InstanceState::Stopped)).unwrap();
    assert_eq!(world.remaster_all(B).await.unwrap().outcomes[&stack("lantern--demo")], Outcome::Remastered);
    assert!(world.plan(B).await.unwrap().2.is_empty());
    let id = world.machines.get("lantern--demo--1").unwrap().id;
    world.clock.advance(Duration::from_secs(60));
    world.machines.start(&id).await.unwrap();
    world.machines.keep("lantern--demo--1", path::MINION, Some("master: 10.0.0.10\n")).unwrap();
    world.machines.stop(&id).await.unwrap();
    assert!(!world.plan(B).await.unwrap().2.is_empty());
}

#[tokio::test]
async fn a_stopped_stack_is_skipped_or_left_running_when_that_is_asked() {
    for (stopped, state, outcome) in
        [(Stopped::Skip, InstanceState::Stopped, Outcome::Skipped), (Stopped::Start, InstanceState::Running, Outcome::Remastered)]
    {
        let world = World::new(&FleetSpec::of(&[]).with("lantern--demo", |s| s.state = InstanceState::Stopped)).unwrap();
        let fleet = world.survey().await.unwrap();
        let master = world.new_master(&fleet, &stack(B)).await.unwrap();
        let request = plan::Request { stopped, ..World::request(&master, Scope::Fleet) };
        let plan = plan::plan(&fleet, &world.projects.projects().await.unwrap(), &request);
        let report = world.execute(&plan, &fleet, &master, Pacing::jobs(1)).await;
        assert_eq!(report.outcomes[&stack("lantern--demo")], outcome);
        assert_eq!(world.state("lantern--demo--1"), Some(state));
    }
}

#[tokio::test]
async fn a_cluster_whose_sleeping_node_is_skipped_moves_the_others() {
    let world = World::new(&FleetSpec::of(&[]).with("harbor--prod", |s| s.nodes = Some(2))).unwrap();
    world.machines.stop(&world.machines.get("harbor--prod--2").unwrap().id).await.unwrap();
    let fleet = world.survey().await.unwrap();
    let master = world.new_master(&fleet, &stack(B)).await.unwrap();
    let request = plan::Request { stopped: Stopped::Skip, ..World::request(&master, Scope::Fleet) };
    let plan = plan::plan(&fleet, &world.projects.projects().await.unwrap(), &request);
    soundness::check(&plan, &fleet).unwrap();
    world.execute(&plan, &fleet, &master, Pacing::jobs(1)).await;
    assert_eq!(allegiance(&world, "harbor--prod--1"), on(B));
    assert_eq!(allegiance(&world, "harbor--prod--2").configured, on(A).configured);
    // It is not forgotten: whoever does not skip it finds it.
    assert!(!world.plan(B).await.unwrap().2.is_empty());
}

#[tokio::test]
async fn a_node_whose_start_was_cut_short_is_stopped_again_by_the_next_run() {
    let world = World::new(&FleetSpec::of(&[]).with("lantern--demo", |s| s.state = InstanceState::Stopped)).unwrap();
    let machine = world.machines.get("lantern--demo--1").unwrap();
    let waking = Sleeper {
        node: "lantern--demo--1".parse().unwrap(),
        id: machine.id.clone(),
        launched: machine.launched,
        state: SleeperState::Waking,
    };
    world.sleepers.remember(&waking).await.unwrap();
    world.machines.start(&machine.id).await.unwrap();
    assert_eq!(world.remaster_all(B).await.unwrap().outcomes[&stack("lantern--demo")], Outcome::Remastered);
    assert_eq!(world.state("lantern--demo--1"), Some(InstanceState::Stopped));
    assert!(world.plan(B).await.unwrap().2.is_empty());
}

#[tokio::test]
async fn what_is_left_of_a_master_without_a_machine_is_not_in_charge() {
    let world = world_of(&["harbor--ci"]);
    world.contexts.put(&stack("master-server--0"), "{\"ec2\": {}}");
    let fleet = world.survey().await.unwrap();
    let masters: Vec<_> = fleet.masters().iter().map(|master| master.name.to_string()).collect();
    assert_eq!(masters, [A, B]);
}

#[tokio::test]
async fn a_failure_holds_only_its_project() {
    let spec = FleetSpec::of(&["harbor--demo", "harbor--prod", "quill--ci", "quill--prod"]);
    let world = World::new(&spec.with("harbor--ci", |s| s.fault = Some(Fault::HighstateFails))).unwrap();
    let report = world.remaster_all(B).await.unwrap();
    let outcomes: Vec<_> = report.outcomes.iter().map(|(stack, outcome)| (stack.as_str(), *outcome)).collect();
    assert_eq!(
        outcomes,
        [
            ("harbor--ci", Outcome::Failed),
            ("harbor--demo", Outcome::Remastered),
            ("harbor--prod", Outcome::Held),
            (A, Outcome::Skipped),
            (B, Outcome::Skipped),
            ("quill--ci", Outcome::Remastered),
            ("quill--prod", Outcome::Remastered),
        ]
    );
    assert_eq!(allegiance(&world, "harbor--prod--1"), on(A));
    assert!(report.reasons[&stack("harbor--ci")].contains("web-server"), "{}", report.reasons[&stack("harbor--ci")]);
    // Once the state is mended, running again finishes the job: the mark on the node says that a highstate is due.
    let machine = world.machines.get("harbor--ci--1").unwrap();
    world.machines.put("harbor--ci--1", Machine { fault: None, ..machine }).unwrap();
    let report = world.remaster_all(B).await.unwrap();
    assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::Remastered);
    assert_eq!(allegiance(&world, "harbor--prod--1"), on(B));
}

#[tokio::test]
async fn what_cannot_be_read_is_a_line_of_the_plan_and_the_others_go_on() {
    let spec = FleetSpec::of(&["quill--ci", "quill--prod"])
        .with("a--ci", |s| s.context = Some(b"{not json".into()))
        .with("b--ci", |s| s.context = Some(b"{\"ec2\": \"big\"}".into()))
        .with("c--ci", |s| s.build_vars = Some(b"%%%".into()))
        .with("d--ci", |s| s.build_vars = Some(b"e30=".into()))
        .with("e--ci", |s| s.fault = Some(Fault::Unreachable))
        .with("f--ci", |s| s.fault = Some(Fault::Denied));
    let world = World::new(&spec).unwrap();
    let (_, _, plan) = world.plan(B).await.unwrap();
    assert_eq!(plan.blocked().count(), 6);
    let report = world.remaster_all(B).await.unwrap();
    for (name, reason) in [
        ("a--ci", "not JSON"),
        ("b--ci", "'ec2' in the context is a string"),
        ("c--ci", "not base64"),
        ("d--ci", "lack 'stackname'"),
        ("e--ci", "nobody answers"),
        ("f--ci", "permission denied"),
    ] {
        assert_eq!(report.outcomes[&stack(name)], Outcome::Failed, "{name}");
        assert!(report.reasons[&stack(name)].contains(reason), "{name}: {}", report.reasons[&stack(name)]);
    }
    assert_eq!(report.outcomes[&stack("quill--prod")], Outcome::Remastered);
}

#[tokio::test]
async fn a_half_done_stack_is_finished_although_its_context_says_it_is_done() {
    let world = world_of(&["harbor--ci"]);
    let name = stack("harbor--ci");
    let document = world.contexts.load(&name).await.unwrap();
    let done = document.text.replace("10.0.0.10", "10.0.0.20");
    world.contexts.save(&name, &done, &Expected::Revision(document.revision)).await.unwrap();
    assert_eq!(world.remaster_all(B).await.unwrap().outcomes[&name], Outcome::Remastered);
    assert_eq!(allegiance(&world, "harbor--ci--1"), on(B));
}

#[tokio::test]
async fn a_stale_key_left_by_hand_is_replaced() {
    let world = world_of(&["harbor--ci"]);
    world.remaster_all(B).await.unwrap();
    world.machines.keep("harbor--ci--1", path::TRUSTED, Some(&salt::made_up_key("an impostor"))).unwrap();
    assert_eq!(world.remaster_all(B).await.unwrap().outcomes[&stack("harbor--ci")], Outcome::Remastered);
    assert_eq!(allegiance(&world, "harbor--ci--1"), on(B));
}

#[tokio::test]
async fn an_operator_who_asks_to_stop_gets_what_is_in_flight_finished_and_nothing_else_begun() {
    let world = world_of(&["harbor--ci", "harbor--end2end", "harbor--prod"]);
    world.operator.stops_after(4);
    let report = world.remaster_all(B).await.unwrap();
    assert!(report.interrupted && world.operator.interrupted());
    assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::Remastered);
    assert_eq!(report.outcomes[&stack("harbor--prod")], Outcome::Interrupted);
    assert_eq!(allegiance(&world, "harbor--ci--1"), on(B));
    assert_eq!(allegiance(&world, "harbor--prod--1"), on(A));
}

#[tokio::test]
async fn a_run_that_can_no_longer_be_recorded_begins_nothing_more() {
    let world = world_of(&["harbor--ci", "quill--ci", "quill--prod"]);
    world.journal.fills_up_after(5);
    let report = world.remaster_all(B).await.unwrap();
    assert!(report.unrecorded.is_some());
    assert!(report.outcomes.values().any(|o| *o == Outcome::Held));
    assert_eq!(allegiance(&world, "quill--prod--1"), on(A));
}

#[tokio::test]
async fn a_run_whose_lock_is_lost_begins_nothing_more_and_the_next_one_completes_it() {
    for questions in 0..40 {
        let world = world_of(&["harbor--ci", "quill--ci", "quill--prod"]);
        world.fence.falls_after(questions);
        let report = world.remaster_all(B).await.unwrap();
        let told = world.operator.told().len();
        if report.outcomes.values().all(|outcome| outcome.is_success()) {
            assert!(questions > 10, "it was asked before every step");
            return;
        }
        assert!(
            report.reasons.values().any(|why| why.contains("the lock is lost") && why.contains("bob on ops-8 has taken it")),
            "{report:?}"
        );
        let begun = world.operator.told().iter().filter(|record| matches!(record.event, Event::StepStarted { .. })).count();
        assert!(begun <= questions, "{begun} steps were begun on {questions} answers that it is held, and {told} things told");
        world.fence.stands();
        world.clock.advance(Duration::from_secs(3600));
        let report = world.remaster_all(B).await.unwrap();
        assert!(report.outcomes.values().all(|outcome| outcome.is_success()), "{questions}: {report:?}");
        assert_eq!(allegiance(&world, "quill--prod--1"), on(B));
    }
    panic!("a run asks less often than that");
}

#[tokio::test]
async fn everything_that_was_told_is_in_the_journal_and_the_last_of_it_is_the_end() {
    let world = world_of(&["harbor--ci"]);
    let report = world.remaster_all(B).await.unwrap();
    let run = world.journal.runs().await.unwrap().pop().unwrap();
    let records = world.journal.read(&run).await.unwrap();
    let mut told = world.operator.told();
    told.retain(|record| !matches!(record.event, Event::StateBegun { .. }));
    assert_eq!(records, told, "but for what a highstate is at");
    let Event::RunFinished { outcomes, .. } = &records.last().unwrap().event else { panic!("{records:?}") };
    assert_eq!(*outcomes, report.outcomes);
}

#[tokio::test]
async fn a_master_that_does_not_run_is_refused() {
    let mut spec = FleetSpec::of(&["harbor--ci"]);
    spec.masters.get_mut(B).unwrap().state = InstanceState::Stopped;
    let world = World::new(&spec).unwrap();
    let error = world.plan(B).await.unwrap_err();
    assert!(error.contains("it is stopped"), "{error}");
    assert!(world.plan("master-server--z").await.unwrap_err().contains("there is no master-server--z"));
    assert!(world.plan("harbor--ci").await.unwrap_err().contains("not a master"));
}

#[tokio::test]
async fn an_address_that_was_not_shared_is_known_before_anything_changes() {
    let spec = FleetSpec { shared: None, ..FleetSpec::of(&["harbor--ci", "harbor--prod"]) };
    let (_, _, plan) = World::new(&spec).unwrap().plan(B).await.unwrap();
    assert_eq!(plan.unshared, [stack("harbor--ci"), stack("harbor--prod")]);
}

#[tokio::test]
async fn a_minion_that_its_new_master_has_lost_is_introduced_again() {
    let world = world_of(&["harbor--ci"]);
    assert!(all_well(&world.remaster_all(B).await.unwrap()));
    let own = world.machines.file("harbor--ci--1", path::MINION_KEY).unwrap().unwrap();
    for (folder, content) in [(path::ACCEPTED, None), (path::PENDING, Some(own.as_str()))] {
        world.machines.keep("master-server--b--1", &format!("{}/harbor--ci--1", path::ACCEPTED), None).unwrap();
        world.machines.keep("master-server--b--1", &format!("{folder}/harbor--ci--1"), content).unwrap();
        let report = world.remaster_all(B).await.unwrap();
        assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::Remastered, "{:?}", report.reasons);
        let key = world.machines.file("master-server--b--1", &format!("{}/harbor--ci--1", path::ACCEPTED)).unwrap();
        assert_eq!(key.as_deref(), Some(own.as_str()));
    }
    assert!(world.plan(B).await.unwrap().2.is_empty());
}

/// Kills the program after every single write; by the time of the next run the node has lost its way to the new master.
#[test]
fn what_a_killed_run_has_begun_is_put_back_whole_by_one_that_cannot_finish_it() {
    let (mut back, mut there) = (0, 0);
    for writes in 0.. {
        let finished = block_on(async {
            let world = world_of(&["harbor--ci"]);
            world.machines.blow_after(writes);
            let finished = all_well(&world.remaster_all(B).await.unwrap());
            world.machines.mend_fuse();
            let machine = world.machines.get("harbor--ci--1").unwrap();
            world.machines.put("harbor--ci--1", Machine { fault: Some(Fault::NeverJoins), ..machine }).unwrap();
            let report = world.remaster_all(B).await.unwrap();
            let node = allegiance(&world, "harbor--ci--1");
            let reason = report.reasons.get(&stack("harbor--ci"));
            if report.outcomes[&stack("harbor--ci")].is_success() {
                there += 1;
                assert_eq!(node, on(B), "after {writes} writes");
            } else {
                back += 1;
                assert_eq!(node, on(A), "after {writes} writes: {reason:?}");
                assert!(reason.unwrap().contains("it answers its old master"), "after {writes} writes: {reason:?}");
            }
            finished
        });
        if finished {
            break;
        }
    }
    assert!(back > 10 && there > 0, "{back} {there}");
}

/// Kills the program after every single write it makes to a machine, and runs it again.
#[test]
fn killed_at_any_write_the_next_run_converges() {
    let spec = FleetSpec::of(&["harbor--ci"]).with("lantern--demo", |s| s.state = InstanceState::Stopped);
    let mut kills = 0;
    for writes in 0.. {
        let finished = block_on(async {
            let world = World::new(&spec).unwrap();
            world.machines.blow_after(writes);
            let finished = all_well(&world.remaster_all(B).await.unwrap());
            world.machines.mend_fuse();
            let report = world.remaster_all(B).await.unwrap();
            assert!(all_well(&report), "after {writes} writes: {:?}", report.reasons);
            assert_eq!(allegiance(&world, "harbor--ci--1"), on(B), "after {writes} writes");
            assert_eq!(allegiance(&world, "lantern--demo--1").trusts, on(B).trusts, "after {writes} writes");
            let (_, _, rest) = world.plan(B).await.unwrap();
            assert!(rest.is_empty(), "after {writes} writes: {rest:?}");
            finished
        });
        if finished {
            break;
        }
        kills += 1;
    }
    assert!(kills > 10, "{kills}");
}

mod trust {
    use super::*;

    const NODE: &str = "harbor--ci--1";

    fn restarted_with(world: &World, config: &str, trusted: Option<&str>) {
        salt::stop_minion(&world.machines, NODE).unwrap();
        world.machines.keep(NODE, path::MINION, Some(config)).unwrap();
        world.machines.keep(NODE, path::TRUSTED, trusted).unwrap();
        salt::start_minion(&world.machines, NODE).unwrap();
    }

    #[tokio::test]
    async fn a_minion_that_trusts_another_key_is_up_and_never_answers() {
        let world = world_of(&["harbor--ci"]);
        let old = world.machines.file(NODE, path::TRUSTED).unwrap();
        restarted_with(&world, "master: 10.0.0.20\n", old.as_deref());
        assert_eq!(allegiance(&world, NODE).obeys, None);
        assert!(world.machines.get(NODE).unwrap().minion.unwrap().up);
    }

    #[tokio::test]
    async fn a_minion_that_trusts_nobody_trusts_whoever_answers_first() {
        let world = world_of(&["harbor--ci"]);
        restarted_with(&world, "master: 10.0.0.20\n", None);
        assert_eq!(allegiance(&world, NODE).obeys.as_deref(), Some("master-server--b--1"));
        assert!(world.machines.file(NODE, path::TRUSTED).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_key_deleted_while_the_daemon_runs_comes_back() {
        let world = world_of(&["harbor--ci"]);
        let key = world.machines.file(NODE, path::TRUSTED).unwrap();
        assert!(key.is_some());
        world.machines.keep(NODE, path::TRUSTED, None).unwrap();
        salt::stop_minion(&world.machines, NODE).unwrap();
        assert_eq!(world.machines.file(NODE, path::TRUSTED).unwrap(), key);
    }

    #[tokio::test]
    async fn a_second_key_under_one_id_is_denied_and_ends_the_daemon() {
        let world = world_of(&["harbor--ci"]);
        let held = format!("{}/{NODE}", path::ACCEPTED);
        world.machines.keep("master-server--b--1", &held, Some(&salt::made_up_key("another"))).unwrap();
        let key = world.machines.file("master-server--b--1", path::MASTER_KEY).unwrap();
        restarted_with(&world, "master: 10.0.0.20\n", key.as_deref());
        assert!(world.machines.file("master-server--b--1", &format!("{}/{NODE}", path::DENIED)).unwrap().is_some());
        assert!(!world.machines.get(NODE).unwrap().minion.unwrap().up);
    }

    #[tokio::test]
    async fn a_key_that_nobody_accepted_waits() {
        let mut spec = FleetSpec::of(&["harbor--ci"]);
        spec.masters.get_mut(B).unwrap().auto_accept = false;
        let world = World::new(&spec).unwrap();
        let key = world.machines.file("master-server--b--1", path::MASTER_KEY).unwrap();
        restarted_with(&world, "master: 10.0.0.20\n", key.as_deref());
        assert!(world.machines.file("master-server--b--1", &format!("{}/{NODE}", path::PENDING)).unwrap().is_some());
        assert_eq!(allegiance(&world, NODE).obeys, None);
    }
}

mod join_or_revert {
    use super::*;
    use bldr_core::{
        fleet::KeyState,
        plan::{Patience, Request, Unproven},
        ports::Masters,
    };

    const NODE: &str = "harbor--ci--1";
    const OLD_MASTER: &str = "master-server--a--1";
    const NEW_MASTER: &str = "master-server--b--1";

    fn files(world: &World, node: &str) -> Vec<Option<String>> {
        [path::MINION, path::TRUSTED, path::BUILD_VARS, path::DUE].map(|file| world.machines.file(node, file).unwrap()).into()
    }

    /// A run with something other than the default asked for.
    async fn run_with(world: &World, change: impl FnOnce(&mut Request)) -> RunReport {
        let (fleet, master, _) = world.plan(B).await.unwrap();
        let mut request = World::request(&master, Scope::Fleet);
        change(&mut request);
        let plan = plan::plan(&fleet, &world.projects.projects().await.unwrap(), &request);
        soundness::check(&plan, &fleet).unwrap();
        world.execute(&plan, &fleet, &master, Pacing::jobs(4)).await
    }

    fn accepted(world: &World, master: &str, minion: &str) -> bool {
        world.machines.file(master, &format!("{}/{minion}", path::ACCEPTED)).unwrap().is_some()
    }

    #[tokio::test]
    async fn a_master_that_accepts_nobody_by_itself_is_introduced_to_its_minions() {
        let mut spec = FleetSpec::of(&["harbor--ci"]);
        spec.masters.get_mut(B).unwrap().auto_accept = false;
        let world = World::new(&spec).unwrap();
        assert!(all_well(&world.remaster_all(B).await.unwrap()));
        assert_eq!(allegiance(&world, NODE), on(B));
        assert!(accepted(&world, NEW_MASTER, NODE));
        assert!(!accepted(&world, OLD_MASTER, NODE), "the old master no longer holds its key");
        let kept = world.machines.file(OLD_MASTER, &format!("{}/minions/{NODE}", path::QUARANTINE)).unwrap();
        assert_eq!(kept, world.machines.file(NODE, path::MINION_KEY).unwrap());
    }

    #[tokio::test]
    async fn what_does_not_join_is_put_back_and_holds_its_project() {
        let world = World::new(&FleetSpec::of(&["harbor--prod"]).with("harbor--ci", |s| s.fault = Some(Fault::NeverJoins))).unwrap();
        let (before, context) = (files(&world, NODE), world.contexts.text(&stack("harbor--ci")));
        let report = world.remaster_all(B).await.unwrap();
        assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::RolledBack);
        assert_eq!(report.outcomes[&stack("harbor--prod")], Outcome::Held);
        let reason = &report.reasons[&stack("harbor--ci")];
        assert!(reason.contains("not connected to 10.0.0.20") && reason.contains("it answers its old master"), "{reason}");
        assert_eq!(files(&world, NODE), before);
        assert_eq!(world.contexts.text(&stack("harbor--ci")), context);
        assert_eq!(allegiance(&world, NODE), on(A));
        assert!(accepted(&world, OLD_MASTER, NODE), "a minion that came back keeps its key there");
    }

    #[tokio::test]
    async fn a_cluster_joins_or_reverts_as_a_whole() {
        let world = World::new(&FleetSpec::of(&[]).with("harbor--ci", |s| s.nodes = Some(3))).unwrap();
        let machine = world.machines.get("harbor--ci--3").unwrap();
        world.machines.put("harbor--ci--3", Machine { fault: Some(Fault::NeverJoins), ..machine }).unwrap();
        let report = world.remaster_all(B).await.unwrap();
        assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::RolledBack);
        for number in 1..=3 {
            assert_eq!(allegiance(&world, &format!("harbor--ci--{number}")), on(A), "{number}");
        }
    }

    #[tokio::test]
    async fn what_is_to_be_left_for_inspection_is_not_put_back_by_the_node_either() {
        let world = World::new(&FleetSpec::of(&[]).with("harbor--ci", |s| s.fault = Some(Fault::NeverJoins))).unwrap();
        let report = run_with(&world, |request| request.unproven = Unproven::Leave).await;
        assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::Failed);
        assert!(report.reasons[&stack("harbor--ci")].contains("left as it is (revert=no)"), "{:?}", report.reasons);
        world.clock.advance(Duration::from_secs(86_400));
        world.survey().await.unwrap();
        assert_eq!(allegiance(&world, NODE).configured.as_deref(), Some("10.0.0.20"));
    }

    /// Kills the program after every single write; nobody runs it again, and time passes.
    #[test]
    fn killed_at_any_write_the_node_is_where_it_was_or_where_it_should_be() {
        let spec = FleetSpec::of(&["harbor--ci"]);
        let (mut old, mut new) = (0, 0);
        for writes in 0.. {
            let finished = block_on(async {
                let world = World::new(&spec).unwrap();
                world.machines.blow_after(writes);
                let report = run_with(&world, |request| {
                    request.patience = Patience { watchdog: Some(Duration::from_secs(300)), ..Patience::default() }
                })
                .await;
                world.machines.mend_fuse();
                world.clock.advance(Duration::from_secs(301));
                world.survey().await.unwrap();
                let node = allegiance(&world, NODE);
                match node.obeys.as_deref() {
                    Some(OLD_MASTER) => old += 1,
                    Some(NEW_MASTER) => new += 1,
                    _ => panic!("after {writes} writes it obeys nobody: {node:?}"),
                }
                // Configuration, key and build vars agree on whom.
                let expected = if node.obeys.as_deref() == Some(OLD_MASTER) { on(A) } else { on(B) };
                assert_eq!(Allegiance { context: expected.context.clone(), ..node }, expected, "after {writes} writes");
                all_well(&report)
            });
            if finished {
                break;
            }
        }
        assert!(old > 10 && new > 0, "{old} {new}");
    }

    #[tokio::test]
    async fn a_rehearsal_that_fails_changes_nothing() {
        let world = World::new(&FleetSpec::of(&["quill--ci"]).with("harbor--ci", |s| s.fault = Some(Fault::HighstateFails))).unwrap();
        let before = files(&world, NODE);
        let report = run_with(&world, |request| request.rehearse = true).await;
        assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::Failed);
        assert_eq!(report.outcomes[&stack("quill--ci")], Outcome::Remastered);
        assert!(report.reasons[&stack("harbor--ci")].contains("rehearsing highstate"), "{:?}", report.reasons);
        assert_eq!(files(&world, NODE), before);
        assert_eq!(allegiance(&world, NODE), on(A));
    }

    #[tokio::test]
    async fn what_could_not_join_is_known_before_anything_changes() {
        let world = World::new(&FleetSpec::of(&["a--ci", "b--ci", "c--ci", "d--ci"]).with("e--ci", |s| s.fault = Some(Fault::PortBlocked)))
            .unwrap();
        let keep = |machine: &str, file: &str, content: &str| world.machines.keep(machine, file, Some(content)).unwrap();
        keep("a--ci--1", path::VERSION, "3009.1");
        keep(NEW_MASTER, &format!("{}/b--ci--1", path::ACCEPTED), &salt::made_up_key("another"));
        let own = world.machines.file("c--ci--1", path::MINION_KEY).unwrap().unwrap();
        keep(NEW_MASTER, &format!("{}/c--ci--1", path::REJECTED), &own);
        let (_, _, plan) = world.plan(B).await.unwrap();
        let blocked: Vec<_> = plan.blocked().map(|(stack, reason)| (stack.as_str(), reason.to_owned())).collect();
        for ((stack, reason), (name, sign)) in blocked.iter().zip([
            ("a--ci", "(3009.1) is newer than that of master-server--b (3008.3)"),
            ("b--ci", "holds another key under its id 'b--ci--1'"),
            ("c--ci", "has rejected its key"),
            ("e--ci", "does not answer at port 4505"),
        ]) {
            assert!(*stack == name && reason.contains(sign), "{stack}: {reason}");
        }
        assert_eq!(blocked.len(), 4);
        let report = world.remaster_all(B).await.unwrap();
        assert_eq!(report.outcomes[&stack("d--ci")], Outcome::Remastered);
        assert_eq!(allegiance(&world, "b--ci--1"), on(A));
    }

    #[tokio::test]
    async fn a_dead_daemon_is_started_by_the_move_and_makes_a_node_that_looks_done_be_moved() {
        for master in [A, B] {
            let world = World::new(&FleetSpec::of(&[]).with("harbor--ci", |s| s.master = Some(master.into()))).unwrap();
            salt::stop_minion(&world.machines, NODE).unwrap();
            assert_eq!(allegiance(&world, NODE).obeys, None);
            assert_eq!(world.remaster_all(B).await.unwrap().outcomes[&stack("harbor--ci")], Outcome::Remastered);
            assert_eq!(allegiance(&world, NODE), on(B));
        }
    }

    #[tokio::test]
    async fn an_old_master_that_cannot_be_asked_keeps_the_key_and_that_is_told() {
        let world = world_of(&["harbor--ci"]);
        let id = world.machines.get(OLD_MASTER).unwrap().id;
        world.machines.stop(&id).await.unwrap();
        assert!(all_well(&world.remaster_all(B).await.unwrap()));
        let warned = world
            .operator
            .told()
            .iter()
            .any(|record| matches!(&record.event, Event::Warning { message } if message.contains("it is stopped")));
        assert!(warned, "{:?}", world.operator.told());
        // Once it runs again, the next run finds what was left there, and nothing else to do.
        world.machines.start(&id).await.unwrap();
        let (_, _, plan) = world.plan(B).await.unwrap();
        assert!(plan.lanes.is_empty() && !plan.is_empty(), "{plan:?}");
        world.remaster_all(B).await.unwrap();
        let host = bldr_core::fleet::Host { node: OLD_MASTER.parse().unwrap(), address: "10.0.0.10".parse().unwrap() };
        let standing = Masters::read(&world.machines, &host).await.unwrap();
        assert!(!standing.keys.iter().any(|held| *held.id == *NODE && held.state == KeyState::Accepted));
        assert!(world.plan(B).await.unwrap().2.is_empty());
    }

    /// Context, build vars, configuration, key and daemon, each on the old or the new master, in every combination.
    #[tokio::test]
    async fn a_node_that_is_half_way_in_any_manner_gets_there_in_one_run() {
        for halves in 0..32u32 {
            let world = world_of(&["harbor--ci"]);
            let done = World::new(&FleetSpec::of(&[]).with("harbor--ci", |s| s.master = Some(B.into()))).unwrap();
            let moved = |bit: u32| halves & (1 << bit) != 0;
            if moved(0) {
                world.contexts.put(&stack("harbor--ci"), &done.contexts.text(&stack("harbor--ci")).unwrap());
            }
            for (bit, file) in [(1, path::BUILD_VARS), (2, path::MINION), (3, path::TRUSTED)] {
                if moved(bit) {
                    world.machines.keep(NODE, file, done.machines.file(NODE, file).unwrap().as_deref()).unwrap();
                }
            }
            if moved(4) {
                salt::stop_minion(&world.machines, NODE).unwrap();
                salt::start_minion(&world.machines, NODE).unwrap();
            }
            let report = world.remaster_all(B).await.unwrap();
            assert!(all_well(&report), "{halves:05b}: {:?}", report.reasons);
            assert_eq!(allegiance(&world, NODE), on(B), "{halves:05b}");
            assert!(world.plan(B).await.unwrap().2.is_empty(), "{halves:05b}");
        }
    }
}

fn any_stack() -> impl Strategy<Value = (String, StackSpec)> {
    let stages = ["prod", "ci", "end2end", "continuumtest"].map(str::to_owned);
    let name = ("[a-d]", prop_oneof!["[a-z]{1,4}", proptest::sample::select(stages.to_vec())]);
    let master = proptest::sample::select(vec![None, Some(A.to_owned()), Some(B.to_owned())]);
    let state = prop_oneof![3 => Just(InstanceState::Running), 1 => Just(InstanceState::Stopped)];
    let context = prop_oneof![
        6 => Just(None),
        1 => Just(Some(b"{\"ec2\": false}".to_vec())),
        1 => Just(Some(b"{\"ec2\": {\"masterless\": true}}".to_vec())),
        1 => Just(Some(b"[]".to_vec())),
    ];
    let build_vars = prop_oneof![9 => Just(None), 1 => Just(Some(b"!".to_vec()))];
    let faults = [Fault::Unreachable, Fault::HighstateFails, Fault::LostDuringRepoint].map(Some);
    let fault = prop_oneof![9 => Just(None), 3 => proptest::sample::select(faults.to_vec())];
    (name, (0u64..3), state, master, context, build_vars, fault).prop_map(
        |((project, instance), nodes, state, master, context, build_vars, fault)| {
            (
                format!("{project}--{instance}"),
                StackSpec { nodes: Some(nodes), state, master, context, build_vars, fault, ..StackSpec::default() },
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_stack_is_in_the_plan_exactly_once_and_whatever_can_be_done_gets_done(
        stacks in proptest::collection::vec(any_stack(), 0..12),
    ) {
        let spec = FleetSpec { stacks: stacks.into_iter().collect(), ..FleetSpec::of(&[]) };
        block_on(async {
            let world = World::new(&spec).unwrap();
            let (fleet, _, plan) = world.plan(B).await.unwrap();
            soundness::check(&plan, &fleet).unwrap();
            let work = plan.lanes.iter().flat_map(|lane| lane.entries.iter().map(|entry| &entry.stack));
            let mut listed: Vec<_> = plan.untouched.keys().chain(work).collect();
            listed.sort();
            assert_eq!(listed, fleet.stacks.keys().collect::<Vec<_>>());

            let first = world.remaster_all(B).await.unwrap();
            assert_eq!(first.outcomes.keys().collect::<Vec<_>>(), fleet.stacks.keys().collect::<Vec<_>>());
            world.remaster_all(B).await.unwrap();
            let (_, _, rest) = world.plan(B).await.unwrap();
            for entry in rest.lanes.iter().flat_map(|lane| &lane.entries) {
                // What is left is what cannot be done, and what waits behind it in its project.
                let project = format!("{}--", entry.stack.project());
                let hopeless = |spec: &StackSpec| spec.fault.is_some() || spec.build_vars.is_some() || spec.context.as_deref() == Some(b"[]");
                let stuck = spec.stacks.iter().any(|(name, spec)| name.starts_with(&project) && hopeless(spec));
                assert!(matches!(entry.todo, Todo::Blocked(_)) || stuck, "{entry:?}");
            }
        });
    }
}
