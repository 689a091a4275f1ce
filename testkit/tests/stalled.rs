//! What becomes of nodes when an operator's laptop falls asleep in the middle of a run, a colleague breaks their lock and moves the
//! same nodes, and the laptop wakes up? The call that it was about to make arrives then, whichever it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use bldr_core::{
    error::PortResult,
    event::RunId,
    execute::RunReport,
    name::NodeName,
    ports::{Fence, Lock, Owner},
};
use bldr_testkit::{
    between::{Between, Call, Interposed, Unshared},
    contract::{fence::Believing, lock::owner},
    machines::path,
    spec::{FleetSpec, MasterSpec},
    under::Under,
    world::{Allegiance, World},
};
use futures::future::{Either, join, select};
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

const NODES: [&str; 4] = ["beacon--ci--1", "harbor--ci--1", "harbor--prod--1", "harbor--prod--2"];
/// Where Ada moves everything, and where Bob does.
const ADAS: &str = "master-server--b";
const BOBS: &str = "master-server--c";

/// Somebody who acts under a lock, and falls asleep between asking whether they hold it and a certain call.
struct Stalling<'a> {
    under: Under<'a>,
    at: usize,
    calls: AtomicUsize,
    asleep: Notify,
    woken: Notify,
}

impl Between for Stalling<'_> {
    async fn through<T: Send>(&self, call: Call<'_>, work: impl Future<Output = PortResult<T>> + Send) -> PortResult<T> {
        if matches!(call, Call::Machine(..) | Call::Save(_)) && self.calls.fetch_add(1, Ordering::SeqCst) == self.at {
            self.asleep.notify_one();
            self.woken.notified().await;
        }
        self.under.through(call, work).await
    }
    fn fence(&self) -> Option<&dyn Fence> {
        self.under.fence()
    }
}

fn world() -> World {
    let mut spec = FleetSpec::of(&["beacon--ci", "harbor--ci"]).with("harbor--prod", |stack| stack.nodes = Some(2));
    spec.masters.insert(BOBS.into(), MasterSpec { private: "10.0.0.30".parse().ok(), ..MasterSpec::default() });
    World::new(&spec).unwrap()
}

/// All that a run changes of a node, and of its stack's context.
fn left(world: &World) -> BTreeMap<String, Vec<Option<String>>> {
    let files =
        [path::MINION, path::TRUSTED, path::BUILD_VARS, path::DUE, path::REPOINTING, path::DEADLINE, path::HIGHSTATES, path::TENURE];
    let of = |node: &str| {
        let context = world.contexts.text(node.parse::<NodeName>().unwrap().stack());
        files.iter().map(|file| world.machines.file(node, file).unwrap()).chain([context]).collect()
    };
    NODES.iter().map(|node| ((*node).to_owned(), of(node))).collect()
}

fn on_bobs() -> Allegiance {
    let machine = format!("{BOBS}--1");
    Allegiance {
        context: Some("10.0.0.30".into()),
        build_vars: Some("10.0.0.30".into()),
        configured: Some("10.0.0.30".into()),
        trusts: Some(machine.clone()),
        obeys: Some(machine),
    }
}

/// Ada's run, who sleeps before this call while Bob's goes from its beginning to its end. `None` where hers has no such call.
async fn slept_through(world: &World, at: usize) -> Option<(RunReport, Arc<Believing>)> {
    let held = world.lock.acquire(&owner("ada")).await.unwrap();
    // No heartbeat tells her anything: what she meets has to.
    let ada = Arc::new(Believing::in_a(held.tenure()));
    let (asleep, woken) = (Notify::new(), Notify::new());
    let stalling = Stalling { under: Under { world, fence: ada.clone() }, at, calls: AtomicUsize::new(0), asleep, woken };
    let hers = Interposed { world, between: stalling };
    let run = async { hers.remaster_all(ADAS, &RunId("run-ada".into()), Unshared::Allowed).await.unwrap() };
    let meanwhile = async {
        hers.between.asleep.notified().await;
        let bob = Owner { who: "bob".into(), ..owner("bob") };
        world.lock.break_it(&bob, "her laptop is closed").await.unwrap().unwrap();
        let taken = world.lock.acquire(&bob).await.unwrap();
        let fence = Arc::new(Believing::in_a(taken.tenure()));
        let his = Interposed { world, between: Under { world, fence: fence.clone() } };
        let report = his.remaster_all(BOBS, &RunId("run-bob".into()), Unshared::Allowed).await.unwrap();
        assert!(report.outcomes.values().all(|outcome| outcome.is_success()), "call {at}: {report:?}");
        assert_eq!(fence.heard(), None, "call {at}: nobody came after him");
        taken.release().await.unwrap();
        left(world)
    };
    let report = match select(pin!(run), pin!(meanwhile)).await {
        Either::Left(_) => return None,
        Either::Right((as_he_left_it, run)) => {
            let (report, ()) = join(run, async { hers.between.woken.notify_one() }).await;
            assert_eq!(left(world), as_he_left_it, "call {at}: {report:?}");
            report
        }
    };
    Some((report, ada))
}

#[tokio::test]
async fn whichever_call_of_hers_arrives_late_the_nodes_stay_as_her_colleague_left_them() {
    let (mut late, mut refused) = (0, 0);
    for at in 0.. {
        let world = world();
        let Some((report, ada)) = slept_through(&world, at).await else { break };
        for node in NODES {
            assert_eq!(world.allegiance(&node.parse().unwrap()).unwrap(), on_bobs(), "call {at}: {node}");
        }
        late += 1;
        if let Some(by) = ada.heard() {
            refused += 1;
            assert!(by.contains("a run that took the lock later has worked on it since"), "{by}");
            // From there on she begins nothing, and puts nothing back.
            let told =
                |why: &String| ["the lock is lost", "took the lock later", "taken the lock since"].iter().any(|sign| why.contains(sign));
            assert!(report.reasons.values().any(told) || report.outcomes.values().all(|outcome| outcome.is_success()), "{report:?}");
        }
    }
    println!("{late} calls came late, and {refused} of the runs heard of it from a machine");
    assert!(late >= 40 && refused >= 30, "{late} calls came late, and {refused} were the first of which she heard that she was");
}
