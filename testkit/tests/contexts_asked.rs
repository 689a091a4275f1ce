//! What is asked of the contexts in a run, and what becomes of what a colleague writes meanwhile?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{
    build_vars::BuildVars,
    error::PortResult,
    event::{Action, Event, Outcome, RunId},
    execute::RunReport,
    name::StackName,
    ports::{ContextStore, Expected},
};
use bldr_testkit::{
    between::{Between, Call, Interposed, Unshared},
    machines::path,
    spec::FleetSpec,
    world::World,
};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

const B: &str = "master-server--b";

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

/// Somebody who counts what is asked of the contexts, and does something by hand before each save.
struct Counting<F> {
    reads: AtomicUsize,
    saves: Mutex<Vec<StackName>>,
    by_hand: F,
}

impl<F: Fn(&StackName) + Send + Sync> Between for Counting<F> {
    async fn through<T: Send>(&self, call: Call<'_>, work: impl Future<Output = PortResult<T>> + Send) -> PortResult<T> {
        match call {
            Call::Contexts => _ = self.reads.fetch_add(1, Ordering::SeqCst),
            Call::Save(stack) => {
                (self.by_hand)(stack);
                self.saves.lock().unwrap().push(stack.clone());
            }
            _ => {}
        }
        work.await
    }
}

/// A run, the contexts it read, the list of them included, and those it wrote.
async fn run(world: &World, by_hand: impl Fn(&StackName) + Send + Sync) -> (RunReport, usize, Vec<String>) {
    let counting = Counting { reads: AtomicUsize::new(0), saves: Mutex::default(), by_hand };
    let counted = Interposed { world, between: counting };
    let report = counted.remaster_all(B, &RunId("run-001".into()), Unshared::Refused).await.unwrap();
    let Counting { reads, saves, .. } = counted.between;
    (report, reads.into_inner(), saves.into_inner().unwrap().iter().map(ToString::to_string).collect())
}

/// What a colleague writes into a context by hand.
fn noted(world: &World, stack: &StackName, note: &str) {
    let text = world.contexts.text(stack).unwrap();
    world.contexts.put(stack, &text.replacen('{', &format!("{{\"{note}\": \"was here\", "), 1));
}

fn moved(world: &World, name: &str) -> String {
    let text = world.contexts.text(&stack(name)).unwrap();
    assert!(text.contains("\"master_ip\": \"10.0.0.20\"") && !text.contains("10.0.0.10"), "{text}");
    text
}

#[tokio::test]
async fn a_context_is_read_once_and_written_once_however_many_nodes_its_stack_has() {
    let world = World::new(&FleetSpec::of(&["beacon--ci", "harbor--ci"]).with("harbor--prod", |s| s.nodes = Some(3))).unwrap();
    let (report, reads, saves) = run(&world, |_| {}).await;
    assert!(report.outcomes.values().all(|outcome| outcome.is_success()), "{report:?}");
    // The survey of a test reads the masters' own, too.
    assert_eq!((reads, saves.as_slice()), (1 + 5, ["beacon--ci", "harbor--ci", "harbor--prod"].map(String::from).as_slice()));
    for name in ["beacon--ci", "harbor--ci", "harbor--prod"] {
        moved(&world, name);
    }
}

#[tokio::test]
async fn what_a_colleague_wrote_since_the_survey_is_kept_and_comes_to_the_nodes() {
    let world = World::new(&FleetSpec::of(&["harbor--ci", "harbor--prod"])).unwrap();
    let once = AtomicUsize::new(0);
    let (report, reads, saves) = run(&world, |name| {
        if name.as_str() == "harbor--ci" && once.fetch_add(1, Ordering::SeqCst) == 0 {
            noted(&world, name, "colleague");
        }
    })
    .await;
    assert!(report.outcomes.values().all(|outcome| outcome.is_success()), "{report:?}");
    assert_eq!((reads, saves.as_slice()), (1 + 4 + 1, ["harbor--ci", "harbor--ci", "harbor--prod"].map(String::from).as_slice()));
    assert!(moved(&world, "harbor--ci").contains("\"colleague\": \"was here\""));
    let vars = BuildVars::decode(&world.machines.file("harbor--ci--1", path::BUILD_VARS).unwrap().unwrap()).unwrap();
    assert!(vars.as_object().get("colleague").is_some(), "the nodes know what he wrote");
    let told = world.operator.told().into_iter().find_map(|record| match record.event {
        Event::StepFinished { action: Action::RewriteContext, detail, .. } => Some(detail),
        _ => None,
    });
    assert!(told.flatten().is_some_and(|detail| detail.contains("somebody has written it since the survey")));
}

#[tokio::test]
async fn whoever_is_overtaken_twice_gives_way_and_says_by_what() {
    let world = World::new(&FleetSpec::of(&["harbor--ci", "quill--ci"])).unwrap();
    let times = AtomicUsize::new(0);
    let (report, _, saves) = run(&world, |name| {
        if name.as_str() == "harbor--ci" {
            noted(&world, name, &format!("colleague-{}", times.fetch_add(1, Ordering::SeqCst)));
        }
    })
    .await;
    assert_eq!(report.outcomes[&stack("harbor--ci")], Outcome::Failed);
    let why = &report.reasons[&stack("harbor--ci")];
    assert!(why.contains("somebody else has written its context since it was read; what differs by now is 'colleague-1'"), "{why}");
    assert!(why.contains("nothing was switched"), "{why}");
    assert_eq!(saves.iter().filter(|name| *name == "harbor--ci").count(), 2);
    let text = world.contexts.text(&stack("harbor--ci")).unwrap();
    assert!(text.contains("colleague-0") && text.contains("colleague-1") && !text.contains("10.0.0.20"), "{text}");
    assert_eq!(report.outcomes[&stack("quill--ci")], Outcome::Remastered);
}

#[tokio::test]
async fn a_context_that_names_the_new_master_already_is_read_when_its_nodes_are_switched_and_not_written() {
    let world = World::new(&FleetSpec::of(&[]).with("harbor--prod", |s| s.nodes = Some(3))).unwrap();
    let prod = stack("harbor--prod");
    let document = world.contexts.load(&prod).await.unwrap();
    let done = document.text.replace("10.0.0.10", "10.0.0.20");
    world.contexts.save(&prod, &done, &Expected::Revision(document.revision)).await.unwrap();
    let (report, reads, saves) = run(&world, |_| {}).await;
    assert_eq!(report.outcomes[&prod], Outcome::Remastered);
    assert_eq!((reads, saves.len()), (1 + 3 + 1, 0), "once by the survey, and once for all of its nodes");
}

#[tokio::test]
async fn a_context_that_was_removed_since_the_survey_is_not_made_again() {
    let world = World::new(&FleetSpec::of(&["harbor--ci"])).unwrap();
    let name = stack("harbor--ci");
    let (report, ..) = run(&world, |stack| {
        let stored = futures::executor::block_on(world.contexts.load(stack)).unwrap();
        futures::executor::block_on(world.contexts.remove(stack, &stored.revision)).unwrap();
    })
    .await;
    assert_eq!(report.outcomes[&name], Outcome::Failed);
    assert_eq!(world.contexts.text(&name), None);
}
