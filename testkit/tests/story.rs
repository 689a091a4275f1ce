//! What becomes of a fleet when its master is replaced, when things go wrong on the way, and when somebody tries again?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{
    event::{Event, Outcome},
    execute::RunReport,
    fleet::InstanceState,
    name::{NodeName, StackName},
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
        // One of them is for the master's key.
        assert!((4..=6).contains(&(world.machines.commands() - 1)), "{}", world.machines.commands());
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
        let report = world.execute(&plan, &fleet, &master, 1).await;
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
    world.execute(&plan, &fleet, &master, 1).await;
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
async fn everything_that_was_told_is_in_the_journal_and_the_last_of_it_is_the_end() {
    let world = world_of(&["harbor--ci"]);
    let report = world.remaster_all(B).await.unwrap();
    let run = world.journal.runs().await.unwrap().pop().unwrap();
    let records = world.journal.read(&run).await.unwrap();
    assert_eq!(records, world.operator.told());
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
            assert!(world.plan(B).await.unwrap().2.is_empty(), "after {writes} writes");
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
        let report = world.remaster_all(B).await.unwrap();
        assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::Failed);
        assert!(report.reasons[&stack("harbor--ci")].contains("another key"), "{:?}", report.reasons);
        assert!(world.machines.file("master-server--b--1", &format!("{}/{NODE}", path::DENIED)).unwrap().is_some());
        assert!(!world.machines.get(NODE).unwrap().minion.unwrap().up);
    }

    #[tokio::test]
    async fn a_key_that_nobody_accepted_waits() {
        let mut spec = FleetSpec::of(&["harbor--ci"]);
        spec.masters.get_mut(B).unwrap().auto_accept = false;
        let world = World::new(&spec).unwrap();
        let report = world.remaster_all(B).await.unwrap();
        assert!(report.reasons[&stack("harbor--ci")].contains("has not accepted"), "{:?}", report.reasons);
        assert!(world.machines.file("master-server--b--1", &format!("{}/{NODE}", path::PENDING)).unwrap().is_some());
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
            (format!("{project}--{instance}"), StackSpec { nodes: Some(nodes), state, master, context, build_vars, fault })
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
