//! Does a launch that is cut short anywhere come to the same as one that is not? And what does an update do to a node? In the
//! simulated world, where every write can be the last.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{
    event::{Action, Event, Outcome, RunId},
    fleet::{Fleet, InstanceState, PublicKey},
    launch::{self, Destruction, Launch, LaunchPlan, There},
    name::StackName,
    ports::{
        Begun, Change, ContextStore, Expected, KeyPairs, Launches, Library, Masters, Proposal, Provisioning, SaltSource, SharedAddress,
        Versioned,
    },
    survey::{self, AddressPolicy},
    update::{self, Concurrency, Mode, Run, Sweep, Update, Updated},
};
use bldr_testkit::{
    machines::{KeyPair, path},
    salt,
    spec::FleetSpec,
    stores::{MemoryContexts, MemoryKeyPairs, MemoryLaunches},
    world::World,
};

const GIT_HOST: &str = "git.example.org ssh-ed25519 AAAA";

struct Scene {
    world: World,
    key_pairs: MemoryKeyPairs,
    launches: MemoryLaunches,
    runs: std::cell::Cell<usize>,
}

impl Scene {
    fn new(stacks: &[&str]) -> Self {
        let world = World::new(&FleetSpec::of(stacks)).unwrap();
        Self { world, key_pairs: MemoryKeyPairs::default(), launches: MemoryLaunches::default(), runs: std::cell::Cell::new(0) }
    }

    fn run(&self) -> Run {
        self.runs.set(self.runs.get() + 1);
        let id = RunId(format!("run-{:04}", self.runs.get()));
        Run { id, cloud: "sandbox".into(), command: "bldr".into(), addresses: AddressPolicy::default() }
    }

    fn ports(&self) -> launch::Ports<'_> {
        let world = &self.world;
        launch::Ports {
            update: update::Ports {
                setup: &world.machines,
                minions: &world.machines,
                masters: &world.machines,
                power: &world.machines,
                sleepers: &world.sleepers,
                contexts: &world.contexts,
                fence: &world.fence,
                journal: &world.journal,
                operator: &world.operator,
                clock: &*world.clock,
            },
            provisioning: &world.machines,
            key_pairs: &self.key_pairs,
            host_keys: &world.machines,
            launches: &self.launches,
        }
    }

    async fn of(&self, stack: &StackName) -> Update {
        let projects = self.world.projects.projects().await.unwrap();
        let hosts = [GIT_HOST.to_owned()];
        Update {
            stack: stack.clone(),
            mode: Mode::Apply,
            concurrency: Concurrency::Serial,
            autostart: false,
            source: Some(SaltSource::Pip { packages: None }),
            library: if stack.is_master() { Library::of(&projects, stack, &hosts).unwrap() } else { Library::default() },
            join: std::time::Duration::from_secs(60),
            new: false,
        }
    }

    async fn plan(&self, stack: &StackName) -> Result<(Fleet, LaunchPlan), String> {
        let (world, projects) = (&self.world, self.world.projects.projects().await.unwrap());
        let fleet = survey::list(&world.sources()).await.map_err(|e| e.to_string())?;
        let master = "10.0.0.20".parse().unwrap();
        let launch = Launch {
            projects: &projects,
            stack,
            alternate: None,
            master: (!stack.is_master()).then_some(&master),
            author: "ann",
            now: bldr_core::fleet::Timestamp(0),
        };
        let there = There {
            context: world.contexts.load(stack).await.ok(),
            begun: self.launches.begun(stack).await.unwrap(),
            belongings: world.machines.found(stack).await.map_err(|e| e.to_string())?,
            siblings: Vec::new(),
        };
        let plan = launch::plan(&launch, &fleet, there).map_err(|e| e.to_string())?;
        Ok((fleet, plan))
    }

    async fn launch(&self, stack: &StackName) -> Result<Updated, String> {
        let (fleet, plan) = self.plan(stack).await?;
        let update = Update { new: true, ..self.of(stack).await };
        Ok(launch::launch(&plan, &update, &fleet, &self.run(), &self.ports()).await)
    }

    /// Writes something else in the project file.
    async fn edit(&self, stacks: &[&str], was: &str, becomes: &str) {
        let before = FleetSpec::of(stacks).project_json();
        let after = before.replace(was, becomes);
        assert_ne!(before, after, "{was} is not there");
        let proposal = Proposal { file: String::new(), before, after, history: Versioned::No };
        self.world.projects.share(&proposal).await.unwrap();
    }

    async fn update(&self, update: &Update, sweep: Option<u32>) -> Updated {
        let sources = self.world.sources();
        let fleet = survey::list(&sources).await.unwrap();
        let sweep = sweep.map(|percent| Sweep { sources: &sources, percent });
        update::update(update, sweep.as_ref(), &fleet, &self.run(), &self.ports().update).await
    }

    async fn destroy(&self, stack: &StackName) -> Outcome {
        let fleet = survey::list(&self.world.sources()).await.unwrap();
        let context = self.world.contexts.load(stack).await.ok().map(|document| document.revision);
        let nodes = fleet.stacks.get(stack).map(|stack| stack.nodes.clone()).unwrap_or_default();
        let what = Destruction { stack, nodes: &nodes, context: context.as_ref() };
        launch::destroy(&what, &self.run(), &self.ports()).await.outcomes[stack]
    }

    fn held(&self, master: &str) -> Vec<String> {
        let accepted = path::ACCEPTED;
        let names = ["harbor--ci--1", "ship--prod--1"].map(String::from).into_iter();
        names.filter(|name| self.world.machines.file(master, &format!("{accepted}/{name}")).unwrap().is_some()).collect()
    }
}

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

fn outcome(updated: &Updated, stack: &StackName) -> (Outcome, Option<String>) {
    (updated.report.outcomes[stack], updated.report.reasons.get(stack).cloned())
}

#[tokio::test]
async fn a_launch_that_is_cut_short_anywhere_is_completed_by_the_same_again_and_makes_nothing_twice() {
    let ship = stack("ship--prod");
    for writes in 0.. {
        let scene = Scene::new(&["harbor--ci", "ship--ci"]);
        scene.world.machines.blow_after(writes);
        let whole = scene.launch(&ship).await.is_ok_and(|updated| updated.report.outcomes[&ship] == Outcome::Launched);
        scene.world.machines.mend_fuse();
        if whole {
            assert!(writes > 20, "{writes} writes are too few for all of it");
            assert!(scene.launch(&ship).await.unwrap_err().contains("already, with all its machines"));
            return;
        }
        let again = scene.launch(&ship).await.unwrap();
        assert_eq!(outcome(&again, &ship), (Outcome::Launched, None), "cut after {writes} writes");
        let found = scene.world.machines.found(&ship).await.unwrap();
        assert_eq!((found.instances.len(), found.security_groups.len(), found.key_pair.is_some()), (1, 1, true), "{writes}");
        let (_, change) = scene.key_pairs.of(&ship).await.unwrap();
        assert_eq!(change, Change::NotNeeded);
        assert!(salt::answers(&scene.world.machines, "master-server--b--1", "ship--prod--1"), "cut after {writes} writes");
        let allegiance = scene.world.allegiance(&ship.node(1)).unwrap();
        assert_eq!(allegiance.build_vars.as_deref(), Some("10.0.0.20"), "cut after {writes} writes");
        assert_eq!(scene.launches.begun(&ship).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_operator_who_asks_to_stop_waits_for_no_machine_and_the_same_again_goes_on() {
    let ship = stack("ship--prod");
    let waits = |record: &bldr_core::ports::Record| matches!(record.event, Event::StepStarted { action: Action::FirstStart, .. });
    let scene = Scene::new(&["harbor--ci", "ship--ci"]);
    scene.launch(&ship).await.unwrap();
    let before = scene.world.operator.told().iter().position(waits).unwrap();
    let scene = Scene::new(&["harbor--ci", "ship--ci"]);
    scene.world.operator.stops_after(before + 1);
    let stopped = scene.launch(&ship).await.unwrap();
    let (ended, reason) = outcome(&stopped, &ship);
    assert_eq!((ended, stopped.report.interrupted), (Outcome::Interrupted, true));
    assert!(reason.is_some_and(|reason| reason.contains("run the same again to go on")));
    let last = scene.world.operator.told().into_iter().rev().find(|record| matches!(record.event, Event::StepFailed { .. })).unwrap();
    assert!(matches!(&last.event, Event::StepFailed { reason, .. } if reason.contains("the operator asked to stop")), "{last:?}");
    assert!(scene.launches.begun(&ship).await.unwrap().is_some());

    scene.world.operator.goes_on();
    assert_eq!(outcome(&scene.launch(&ship).await.unwrap(), &ship), (Outcome::Launched, None));
    assert_eq!(scene.world.machines.found(&ship).await.unwrap().instances.len(), 1);
}

#[tokio::test]
async fn a_key_pair_whose_private_half_is_not_here_is_told_and_nothing_is_made_in_its_place() {
    let ship = stack("ship--prod");
    let reason = async |own: bool, made_before: bool| {
        let scene = Scene::new(&["harbor--ci", "ship--ci"]);
        let lost = salt::made_up_ssh_key("ssh-ed25519", "lost", "ship--prod").unwrap();
        let pair = KeyPair { key: lost.to_string(), stack: own.then(|| ship.to_string()) };
        scene.world.machines.put_key_pair("ship--prod", &pair).unwrap();
        if made_before {
            scene.key_pairs.of(&ship).await.unwrap();
        }
        let (ended, reason) = outcome(&scene.launch(&ship).await.unwrap(), &ship);
        assert_eq!((ended, scene.key_pairs.remove(&ship).await.unwrap().is_some()), (Outcome::Failed, made_before));
        reason.unwrap_or_default()
    };
    let missing = "its private key is not here: put it into `keypairs` as ship--prod.pem, and type the same again";
    assert!(reason(true, false).await.contains(&format!("{missing}; where nobody has it, `bldr destroy:ship--prod` removes")));
    assert!(reason(false, false).await.contains("`aws ec2 describe-key-pairs --key-names ship--prod` shows whose it is"));
    assert!(reason(true, true).await.contains("ship--prod.pem in `keypairs` is that of another"));
}

#[tokio::test]
async fn a_destruction_that_is_cut_short_anywhere_is_completed_by_the_same_again() {
    let ship = stack("ship--prod");
    for writes in 0.. {
        let scene = Scene::new(&["harbor--ci", "ship--ci"]);
        scene.launch(&ship).await.unwrap();
        scene.world.machines.blow_after(writes);
        let whole = scene.destroy(&ship).await == Outcome::Destroyed;
        scene.world.machines.mend_fuse();
        if !whole {
            assert_eq!(scene.destroy(&ship).await, Outcome::Destroyed, "cut after {writes} writes");
        }
        assert!(scene.world.machines.found(&ship).await.unwrap().is_empty(), "cut after {writes} writes");
        assert!(scene.world.contexts.load(&ship).await.is_err());
        assert_eq!(scene.world.contexts.history(&ship).await.unwrap().len(), 1, "its context is kept");
        assert!(salt::answers(&scene.world.machines, "master-server--a--1", "harbor--ci--1"), "nobody else's");
        if whole {
            assert!(writes > 3, "{writes} writes are too few for all of it");
            return;
        }
    }
}

#[tokio::test]
async fn a_machine_of_a_name_that_was_used_before_replaces_its_predecessors_key() {
    let (scene, ship) = (Scene::new(&["harbor--ci", "ship--ci"]), stack("ship--prod"));
    scene.launch(&ship).await.unwrap();
    assert_eq!(scene.destroy(&ship).await, Outcome::Destroyed);
    assert_eq!(scene.held("master-server--b--1"), ["ship--prod--1"]);
    let again = scene.launch(&ship).await.unwrap();
    assert_eq!(outcome(&again, &ship), (Outcome::Launched, None));
    let quarantined = scene.world.machines.file("master-server--b--1", &format!("{}/minions/ship--prod--1", path::QUARANTINE)).unwrap();
    assert!(quarantined.is_some(), "the old key is kept");
}

#[tokio::test]
async fn a_master_is_locked_out_until_its_key_is_registered_and_then_takes_orders_from_itself() {
    let (scene, new) = (Scene::new(&["harbor--ci"]), stack("master-server--new"));
    let first = scene.launch(&new).await.unwrap();
    let locked_out = first.locked_out.clone().expect("locked out");
    assert_eq!((outcome(&first, &new).0, locked_out.why.contains("Permission denied (publickey)")), (Outcome::Failed, true));
    scene.world.machines.register_deploy_key(&locked_out.key).unwrap();
    let updated = scene.update(&scene.of(&new).await, None).await;
    assert_eq!((outcome(&updated, &new), updated.locked_out), ((Outcome::Updated, None), None));
    assert!(salt::answers(&scene.world.machines, "master-server--new--1", "master-server--new--1"));
    assert!(salt::answers(&scene.world.machines, "master-server--a--1", "harbor--ci--1"), "nobody else was moved");
}

#[tokio::test]
async fn an_update_takes_the_master_from_the_build_vars_whatever_the_context_and_the_project_file_say() {
    let (scene, harbor) = (Scene::new(&["harbor--ci"]), stack("harbor--ci"));
    let document = scene.world.contexts.load(&harbor).await.unwrap();
    let stale = document.text.replace("10.0.0.10", "10.0.0.20");
    scene.world.contexts.save(&harbor, &stale, &Expected::Revision(document.revision)).await.unwrap();
    let updated = scene.update(&scene.of(&harbor).await, None).await;
    assert_eq!(outcome(&updated, &harbor), (Outcome::Updated, None));
    assert!(salt::answers(&scene.world.machines, "master-server--a--1", "harbor--ci--1"));
    assert!(!scene.held("master-server--b--1").contains(&"harbor--ci--1".into()));
}

#[tokio::test]
async fn an_update_mends_what_is_wrong_and_restarts_the_minion_only_then() {
    let (scene, harbor) = (Scene::new(&["harbor--ci"]), stack("harbor--ci"));
    let changes = |run: &str| -> Vec<(Action, bool)> {
        let told = scene.world.operator.told();
        let since = told.iter().rposition(|record| matches!(&record.event, Event::RunStarted { run: id, .. } if id.0 == run)).unwrap();
        let finished = told[since..].iter().filter_map(|record| match &record.event {
            Event::StepFinished { action, change, .. } => Some((*action, *change == Change::Made)),
            _ => None,
        });
        finished.collect()
    };
    scene.update(&scene.of(&harbor).await, None).await;
    assert!(changes("run-0001").contains(&(Action::Enlist, false)), "all was right");
    let stale = salt::made_up_key("somebody else");
    scene.world.machines.keep("harbor--ci--1", path::TRUSTED, Some(&stale)).unwrap();
    let updated = scene.update(&scene.of(&harbor).await, None).await;
    assert_eq!(outcome(&updated, &harbor), (Outcome::Updated, None));
    assert!(changes("run-0002").contains(&(Action::Enlist, true)));
    let trusted = scene.world.machines.file("harbor--ci--1", path::TRUSTED).unwrap().unwrap();
    let its_masters = scene.world.machines.file("master-server--a--1", path::MASTER_KEY).unwrap().unwrap();
    assert_eq!(PublicKey::from_pem(&trusted), PublicKey::from_pem(&its_masters));
}

#[tokio::test]
async fn salt_is_neither_downgraded_nor_ahead_of_the_master() {
    let harbor = stack("harbor--ci");
    let installed = async |node: &str, master: &str| {
        let scene = Scene::new(&["harbor--ci"]);
        scene.world.machines.keep("harbor--ci--1", path::VERSION, Some(node)).unwrap();
        scene.world.machines.keep("master-server--a--1", path::VERSION, Some(master)).unwrap();
        let updated = scene.update(&scene.of(&harbor).await, None).await;
        (outcome(&updated, &harbor), scene.world.machines.file("harbor--ci--1", path::VERSION).unwrap().unwrap().trim().to_owned())
    };
    assert_eq!(installed("3007.1", "3008.3").await, ((Outcome::Updated, None), "3008.3".into()));
    assert_eq!(installed("3009.1", "3009.1").await, ((Outcome::Updated, None), "3009.1".into()), "newer than its context wants");
    let ((outcome, reason), version) = installed("3006.1", "3008.2").await;
    assert_eq!((outcome, &*version), (Outcome::Failed, "3006.1"));
    assert!(reason.as_ref().is_some_and(|reason| reason.contains("update the master first")), "{reason:?}");
}

#[tokio::test]
async fn a_sweep_removes_the_keys_of_stacks_that_are_no_more_and_none_where_the_fleet_looks_empty() {
    let (scene, b) = (Scene::new(&["harbor--ci", "ship--ci"]), stack("master-server--b"));
    let ship = stack("ship--prod");
    scene.launch(&ship).await.unwrap();
    assert_eq!(scene.destroy(&ship).await, Outcome::Destroyed);
    let swept = scene.update(&scene.of(&b).await, Some(20)).await;
    assert_eq!((outcome(&swept, &b), scene.held("master-server--b--1")), ((Outcome::Updated, None), vec![]));

    // Stopped is alive.
    for name in ["harbor--ci--1", "ship--ci--1"] {
        scene.world.machines.change_state(name, InstanceState::Stopped);
    }
    let a = stack("master-server--a");
    assert_eq!(outcome(&scene.update(&scene.of(&a).await, Some(0)).await, &a), (Outcome::Updated, None));
    assert_eq!(scene.held("master-server--a--1"), ["harbor--ci--1"]);
    // A context without a machine here may be that of another region.
    scene.world.machines.wipe("harbor--ci--1").unwrap();
    assert_eq!(outcome(&scene.update(&scene.of(&a).await, Some(100)).await, &a), (Outcome::Updated, None));
    assert_eq!(scene.held("master-server--a--1"), ["harbor--ci--1"]);
    // And where nothing is there at all, nothing is believed.
    for name in ["harbor--ci--1", "ship--ci--1"] {
        scene.world.machines.wipe(name).unwrap();
    }
    for name in ["harbor--ci", "ship--ci"].map(stack) {
        let revision = scene.world.contexts.load(&name).await.unwrap().revision;
        scene.world.contexts.remove(&name, &revision).await.unwrap();
    }
    let (outcome, reason) = outcome(&scene.update(&scene.of(&a).await, Some(100)).await, &a);
    assert!(outcome == Outcome::Failed && reason.as_ref().is_some_and(|reason| reason.contains("no key was removed")), "{reason:?}");
    assert_eq!(scene.held("master-server--a--1"), ["harbor--ci--1"]);
}

#[tokio::test]
async fn a_sweep_believes_no_store_that_has_no_context_at_all() {
    let (scene, b) = (Scene::new(&["harbor--ci", "ship--ci"]), stack("master-server--b"));
    let ship = stack("ship--prod");
    scene.launch(&ship).await.unwrap();
    assert_eq!(scene.destroy(&ship).await, Outcome::Destroyed);
    let update = scene.of(&b).await;
    let empty = MemoryContexts::new(scene.world.clock.clone());
    let sources = survey::Sources { contexts: &empty, ..scene.world.sources() };
    let fleet = survey::list(&scene.world.sources()).await.unwrap();
    let sweep = Sweep { sources: &sources, percent: 100 };
    let swept = update::update(&update, Some(&sweep), &fleet, &scene.run(), &scene.ports().update).await;
    let (ended, reason) = outcome(&swept, &b);
    let reason = reason.unwrap_or_default();
    assert!(ended == Outcome::Failed && reason.contains("has no context at all") && reason.contains("no key was removed"), "{reason}");
    assert_eq!(scene.held("master-server--b--1"), ["ship--prod--1"]);
}

/// What the update of a new master comes to, whose library was changed before; once its key is registered.
async fn updated_with(prepare: impl FnOnce(&World, &mut Update)) -> (Outcome, String, bool) {
    let (scene, new) = (Scene::new(&["harbor--ci"]), stack("master-server--new"));
    let key = scene.launch(&new).await.unwrap().locked_out.unwrap().key;
    scene.world.machines.register_deploy_key(&key).unwrap();
    let mut update = scene.of(&new).await;
    prepare(&scene.world, &mut update);
    let updated = scene.update(&update, None).await;
    let (outcome, reason) = outcome(&updated, &new);
    (outcome, reason.unwrap_or_default(), updated.locked_out.is_some())
}

#[tokio::test]
async fn what_is_wrong_with_a_masters_library_is_named() {
    let private = |update: &Update| update.library.private.clone().unwrap();
    let empty = updated_with(|world, update| world.machines.commit(&private(update), &[]).unwrap()).await;
    assert!(
        empty.1.contains("builder-private cannot be read: it is empty; `private-repo` in the project file is its address"),
        "{empty:?}"
    );
    assert_eq!((empty.0, empty.2), (Outcome::Failed, false), "a key would not help");

    let stranger = updated_with(|_, update| update.library.known_hosts.clear()).await;
    assert!(stranger.1.contains("Host key verification failed.; `git-hosts` in settings.yaml"), "{stranger:?}");
    assert!(!stranger.2, "a key would not help");

    let rootless = "worker_threads: 5\n";
    let template = updated_with(|world, update| world.machines.commit(&private(update), &[("etc-salt-master", rootless)]).unwrap()).await;
    assert!(
        template.0 == Outcome::Failed && template.1.contains("its configuration stays as it was") && template.1.contains("file_roots"),
        "{template:?}"
    );

    let missing = updated_with(|_, update| update.library.formulas.push("https://git.example.org/missing/x-formula".into())).await;
    assert_eq!(missing.0, Outcome::Failed);
    assert!(missing.1.contains("https://git.example.org/missing/x-formula cannot be read: Repository not found"), "{missing:?}");
}

#[tokio::test]
async fn a_dry_run_of_a_master_names_its_repositories_and_the_orphans_and_changes_nothing() {
    let (scene, b, ship) = (Scene::new(&["harbor--ci", "ship--ci"]), stack("master-server--b"), stack("ship--prod"));
    scene.launch(&ship).await.unwrap();
    assert_eq!(scene.destroy(&ship).await, Outcome::Destroyed);
    let mut update = Update { mode: Mode::DryRun, ..scene.of(&b).await };
    let said = |action: Action| {
        let told = scene.world.operator.told();
        told.iter().rev().find_map(|record| match &record.event {
            Event::StepFinished { action: its, detail, change: Change::NotNeeded, .. } if *its == action => detail.clone(),
            _ => None,
        })
    };
    let (ended, reason) = outcome(&scene.update(&update, Some(20)).await, &b);
    let removes = "orphaned: 1 key: ship--prod--1; `bldr master.update:master-server--b` removes it";
    assert_eq!(ended, Outcome::Skipped);
    assert!(reason.as_ref().is_some_and(|reason| reason.contains(removes)), "{reason:?}");
    assert_eq!(said(Action::Sweep).as_deref(), Some(removes));
    let refreshed = said(Action::Refresh).unwrap();
    assert!(refreshed.starts_with("would be refreshed: /opt/builder-private from git@git.example.org:"), "{refreshed}");
    assert_eq!(scene.held("master-server--b--1"), ["ship--prod--1"], "it is still there");

    let few = outcome(&scene.update(&update, Some(0)).await, &b).1.unwrap_or_default();
    assert!(few.contains("removes them with --yes only"), "{few}");
    update.library.formulas.push("https://git.example.org/missing/x-formula".into());
    let (ended, reason) = outcome(&scene.update(&update, Some(20)).await, &b);
    assert_eq!(ended, Outcome::Failed);
    assert!(reason.is_some_and(|reason| reason.contains("x-formula cannot be read: Repository not found")));
}

#[tokio::test]
async fn an_alternate_that_only_one_stack_may_have_is_not_given_twice() {
    let scene = Scene::new(&["harbor--ci"]);
    let text = r#"{"defaults": {"aws": {"region": "x", "ec2": {"ami": "a", "type": "t", "master_ip": "10.0.0.20"}}, "aws-alt": {}},
        "harbor": {"aws": {}, "aws-alt": {"db": {"unique": true, "ec2": {}}}}}"#;
    let projects = bldr_core::project::Projects::from_file("p.json", bldr_core::json::parse(text).unwrap()).unwrap();
    let fleet = survey::list(&scene.world.sources()).await.unwrap();
    let planned = |name: &str, siblings: &[(&str, &str)]| {
        let stack = stack(name);
        let launch = Launch {
            projects: &projects,
            stack: &stack,
            alternate: Some("db"),
            master: None,
            author: "ann",
            now: bldr_core::fleet::Timestamp(0),
        };
        let context = |text: &str| bldr_core::context::Context::parse(text).unwrap();
        let siblings = siblings.iter().map(|(name, text)| (name.parse().unwrap(), context(text))).collect();
        launch::plan(&launch, &fleet, There { siblings, ..There::default() }).map(drop).map_err(|error| error.to_string())
    };
    let taken = [("harbor--one", r#"{"alt-config": "db"}"#)];
    assert_eq!(planned("harbor--two", &taken), Err("the alternate 'db' is unique, and harbor--one has it".into()));
    assert_eq!(planned("harbor--two", &[("harbor--one", r#"{"alt-config": null}"#)]), Ok(()));
    let by_its_name = Err("the alternate 'db' is unique, and harbor--db has it".into());
    assert_eq!(planned("harbor--two", &[("harbor--db", "{}")]), by_its_name, "older contexts do not say it");
    assert_eq!(planned("harbor--two", &[("harbor--db", r#"{"alt-config": "large"}"#)]), Ok(()));
}

#[tokio::test]
async fn what_no_machine_was_made_from_gives_way_to_what_the_project_file_says_now() {
    const STACKS: [&str; 2] = ["harbor--ci", "ship--ci"];
    let ship = stack("ship--prod");
    let kind = |context: &bldr_core::context::Context| context.as_object().get("ec2").unwrap().at(&["type"]).unwrap().to_string();
    let (mut renewed, mut kept) = (0, 0);
    for writes in 0.. {
        let scene = Scene::new(&STACKS);
        scene.world.machines.blow_after(writes);
        if scene.launch(&ship).await.is_ok_and(|updated| updated.report.outcomes[&ship] == Outcome::Launched) {
            break;
        }
        scene.world.machines.mend_fuse();
        let machines = scene.world.machines.found(&ship).await.unwrap().instances.len();
        scene.edit(&STACKS, "t3.small", "t3.large").await;
        let again = scene.launch(&ship).await.unwrap();
        assert_eq!(outcome(&again, &ship), (Outcome::Launched, None), "cut after {writes} writes");
        let stored = scene.world.contexts.load(&ship).await.unwrap();
        let context = bldr_core::context::Context::parse(&stored.text).unwrap();
        let expected = if machines == 0 { "\"t3.large\"" } else { "\"t3.small\"" };
        assert_eq!(kind(&context), expected, "cut after {writes} writes, with {machines} machines");
        if machines == 0 { renewed += 1 } else { kept += 1 }
    }
    assert!(renewed > 1 && kept > 1, "{renewed} renewed, {kept} kept");
}

#[tokio::test]
async fn a_context_that_no_launch_was_begun_with_stays() {
    let (scene, ship) = (Scene::new(&["harbor--ci", "ship--ci"]), stack("ship--prod"));
    let foreign = r#"{"ec2": {"master_ip": "10.0.0.20"}}"#;
    scene.world.contexts.save(&ship, foreign, &Expected::Absent).await.unwrap();
    let refused = scene.plan(&ship).await.map(drop).unwrap_err();
    assert!(refused.contains("it may be in another region"), "{refused}");
    let begun = Begun { stack: ship.clone(), alternate: None, at: bldr_core::fleet::Timestamp(0), going: false };
    scene.launches.begin(&begun).await.unwrap();
    let (_, plan) = scene.plan(&ship).await.unwrap();
    let revision = scene.world.contexts.load(&ship).await.unwrap().revision;
    assert_eq!(plan.save, Some(Expected::Revision(revision)), "now it is its own");
}

#[tokio::test]
async fn what_the_first_update_would_refuse_is_not_planned() {
    const STACKS: [&str; 2] = ["harbor--ci", "ship--ci"];
    let ship = stack("ship--prod");
    let salt = async |wanted: &str| {
        let scene = Scene::new(&STACKS);
        if wanted != r#""3008.3""# {
            scene.edit(&STACKS, r#""3008.3""#, wanted).await;
        }
        let (fleet, plan) = scene.plan(&ship).await.unwrap();
        let master = plan.master(&fleet).unwrap().unwrap();
        assert_eq!(master.name, stack("master-server--b"));
        let standing = scene.world.machines.read(&master.host).await.unwrap();
        let salt = plan.salt(Some((&master.name, &standing))).map_err(|error| error.to_string());
        (salt.map(|salt| salt.map(|version| version.to_string())), plan.salt(None).is_ok())
    };
    let installed = |version: &str| Ok(Some(version.to_owned()));
    assert_eq!(salt(r#""3008.3""#).await, (installed("3008.3"), true));
    assert_eq!(salt(r#""3007.1""#).await, (installed("3007.1"), true));
    assert_eq!(salt("3008").await, (installed("3008.3"), true), "the master has one of that series");
    let (newer, alone) = salt(r#""3009.1""#).await;
    assert!(newer.unwrap_err().contains("ship--prod: its context wants Salt 3009.1 and its master has 3008.3"));
    assert!(alone, "a master that was not asked is no reason");
    let (none, alone) = salt("null").await;
    assert!(none.unwrap_err().contains("its context does not say which it shall have (`project.salt`)") && !alone);
}

#[tokio::test]
async fn who_was_let_in_to_before_is_not_told_how_again() {
    let (scene, new) = (Scene::new(&["harbor--ci"]), stack("master-server--new"));
    let started = || {
        let told = scene.world.operator.told();
        told.iter().rev().find_map(|record| match &record.event {
            Event::StepFinished { action: Action::FirstStart, change, detail, .. } => Some((*change, detail.clone())),
            _ => None,
        })
    };
    assert!(scene.launch(&new).await.unwrap().locked_out.is_some());
    assert_eq!(started(), Some((Change::Made, Some("its host key is the one on its console".into()))));
    assert!(scene.launch(&new).await.unwrap().locked_out.is_some());
    assert_eq!(started(), Some((Change::NotNeeded, None)));
}

#[tokio::test]
async fn whose_context_cannot_be_read_is_told_how_an_earlier_one_comes_back() {
    let (scene, harbor) = (Scene::new(&["harbor--ci"]), stack("harbor--ci"));
    let revision = scene.world.contexts.load(&harbor).await.unwrap().revision;
    scene.world.contexts.save(&harbor, "{\"ec2\": 7}", &Expected::Revision(revision)).await.unwrap();
    let (ended, reason) = outcome(&scene.update(&scene.of(&harbor).await, None).await, &harbor);
    assert_eq!(ended, Outcome::Failed);
    assert!(reason.as_ref().is_some_and(|reason| reason.contains("`bldr context.restore:harbor--ci,REVISION`")), "{reason:?}");
}
