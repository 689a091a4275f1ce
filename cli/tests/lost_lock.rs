//! What does a command do whose lock is lost before one of its steps? That step is not taken, and none after it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use async_trait::async_trait;
use bldr_cli::{
    args::{self, Invocation},
    commands::{self, Session, fleet_lock::Held},
    exit::Code,
    meant,
    request::{Request, User},
    screen::{Format, Screen},
    settings::Settings,
    terminal::Terminal,
    wiring::{Place, Ports},
};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::InstanceState,
    ports::{Answered, Breaking, Holding, Lock, LockGuard, Owner, Tenure},
};
use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A lock that is lost after it was asked for so often.
struct Losing(usize);

struct Lost(AtomicUsize);

#[async_trait]
impl Lock for Losing {
    async fn acquire(&self, _: &Owner) -> PortResult<Box<dyn LockGuard>> {
        Ok(Box::new(Lost(AtomicUsize::new(self.0))))
    }
    async fn owner(&self) -> PortResult<Option<Holding>> {
        Ok(None)
    }
    async fn break_it(&self, _: &Owner, _: &str) -> PortResult<Option<Holding>> {
        Ok(None)
    }
    async fn broken(&self) -> PortResult<Option<Breaking>> {
        Ok(None)
    }
}

#[async_trait]
impl LockGuard for Lost {
    fn tenure(&self) -> Option<Tenure> {
        None
    }
    fn standing(&self) -> PortResult<()> {
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(PortError::new(PortErrorKind::Conflict, "the fleet's lock", "bob on ops-8 has taken it").advise("ask them")),
        }
    }
    /// Whoever asks here is asked again by who stands behind them.
    fn affirmed(&self) -> Answered {
        Box::pin(std::future::ready(Ok(())))
    }
    async fn release(self: Box<Self>) -> PortResult<()> {
        Ok(())
    }
}

/// What is said, for a test to read.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sandbox, and the ports of somebody who works in it.
struct Bench {
    home: tempfile::TempDir,
    ports: Ports,
}

impl Bench {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let ports = Ports::open(&Place::new(home.path(), Settings::of_the_sandbox()), User::Deploy).await.unwrap();
        Self { home, ports }
    }

    /// Carries out a line under a lock that is lost after so many questions; the code, and all that was said.
    async fn run(&mut self, line: &str, questions: usize) -> (Code, String) {
        self.ports.stores.lock = Arc::new(Losing(questions));
        let paper = Paper::default();
        let mut session = Session {
            screen: Screen::writing_to(Format::Text, paper.clone(), paper.clone()),
            terminal: Terminal::new(true, false),
            place: Place::new(self.home.path(), Settings::of_the_sandbox()),
            typed: format!("bldr {line}"),
        };
        let Ok(Invocation::Task(given)) = args::parse([line.into()]) else { panic!("{line} is no task") };
        let request = meant::meant(&given, &mut session.terminal).unwrap();
        let (ports, asked) = (&self.ports, &mut session);
        let ended = match request {
            Request::Switch(switch) => commands::power::switch(&switch, ports, asked).await,
            Request::BuildVars(stack, task) => commands::build_vars::run(&stack, task, ports, asked).await,
            Request::Context(stack, task) => commands::context::run(&stack, &task, &ports.stores, asked).await,
            Request::Share(share) => commands::share::share(&share, ports, asked).await,
            Request::Retire(retire) => commands::retire::retire(&retire, ports, asked).await,
            Request::Destroy(stack) => commands::destroy::destroy(&stack, ports, asked).await,
            Request::Launch(launch) => commands::launch::launch(&launch, ports, asked).await,
            Request::Update(update) => commands::update::update(&update, ports, asked).await,
            Request::Remaster(remaster) => commands::remaster_all::remaster(&remaster, ports, asked).await,
            other => panic!("{other:?}"),
        };
        let code = ended.unwrap_or_else(|exit| {
            session.screen.exit(&exit);
            exit.code
        });
        let said = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        (code, said)
    }

    async fn states(&self, stack: &str) -> Vec<InstanceState> {
        let mut instances = self.ports.inventory.instances().await.unwrap();
        instances.retain(|instance| instance.stack == stack);
        instances.sort_by(|one, other| one.node_tag.cmp(&other.node_tag));
        instances.into_iter().map(|instance| instance.state).collect()
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.home.path().join(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.home.path().join(path), text).unwrap();
    }
}

fn told(said: &str) -> bool {
    said.contains("bob on ops-8 has taken it")
}

#[tokio::test]
async fn of_several_nodes_those_after_it_are_left_alone() {
    let mut bench = Bench::new().await;
    let context = bench.read(".cfn/contexts/harbor--prod.json");
    let vars = |bench: &Bench, node: u8| bench.read(&format!(".bldr/sandbox/nodes/harbor--prod--{node}/etc/build-vars.json.b64"));
    bench.write(".cfn/contexts/harbor--prod.json", &context.replacen('{', "{\"more\": 1, ", 1));
    let before = [vars(&bench, 1), vars(&bench, 2)];
    let (code, said) = bench.run("buildvars.refresh:harbor--prod", 1).await;
    assert!(code == Code::Failed && told(&said), "{said}");
    let changed = [vars(&bench, 1) != before[0], vars(&bench, 2) != before[1]];
    assert_eq!(changed.iter().filter(|changed| **changed).count(), 1, "{said}");

    let (code, said) = bench.run("stop:harbor--prod", 1).await;
    assert!(code == Code::Failed && told(&said), "{said}");
    assert_eq!(bench.states("harbor--prod").await, [InstanceState::Stopped, InstanceState::Running]);
}

#[tokio::test]
async fn what_was_confirmed_late_is_not_begun() {
    let mut bench = Bench::new().await;
    let project = bench.read(".bldr/sandbox/project.yaml");
    let (code, said) = bench.run("master.share:master-server--a", 0).await;
    assert!(code == Code::Refused && told(&said), "{said}");
    assert_eq!(bench.read(".bldr/sandbox/project.yaml"), project);

    let (code, said) = bench.run("destroy:harbor--ci", 0).await;
    assert!(code == Code::Refused && told(&said), "{said}");
    let harbor = "harbor--ci".parse().unwrap();
    assert!(bench.ports.stores.launches.begun(&harbor).await.unwrap().is_none());
    assert_eq!(bench.states("harbor--ci").await, [InstanceState::Running]);

    let stored = bench.ports.stores.contexts.load(&harbor).await.unwrap();
    let newer = stored.text.replacen('{', "{\"more\": 1, ", 1);
    let expected = bldr_core::ports::Expected::Revision(stored.revision);
    bench.ports.stores.contexts.save(&harbor, &newer, &expected).await.unwrap();
    let earlier = bench.ports.stores.contexts.history(&harbor).await.unwrap().remove(0).revision.0;
    let (code, said) = bench.run(&format!("context.restore:harbor--ci,{earlier}"), 0).await;
    assert!(code == Code::Refused && told(&said), "{said}");
    assert_eq!(bench.ports.stores.contexts.load(&harbor).await.unwrap().text, newer);
}

#[tokio::test]
async fn nothing_is_made_updated_or_moved() {
    let mut bench = Bench::new().await;
    for line in ["launch:harbor,pr-9", "update:harbor--ci", "master.remaster:harbor--ci,master-server--b,allow_unshared=yes"] {
        let config = bench.read(".bldr/sandbox/nodes/harbor--ci--1/etc/salt/minion");
        let (code, said) = bench.run(line, 0).await;
        assert!(code == Code::Refused && told(&said), "{line}: {said}");
        let (code, said) = bench.run(line, 1).await;
        assert!(code == Code::Failed && told(&said), "lost before the first step: {line}: {said}");
        assert_eq!(bench.read(".bldr/sandbox/nodes/harbor--ci--1/etc/salt/minion"), config, "{line}");
        let new = "harbor--pr-9".parse().unwrap();
        assert!(bench.ports.stores.launches.begun(&new).await.unwrap().is_none(), "{line}");
        assert!(bench.states("harbor--pr-9").await.is_empty(), "{line}");
    }
}

#[tokio::test]
async fn a_master_is_not_stopped() {
    let mut bench = Bench::new().await;
    let (code, said) = bench.run("master.remaster_all:master-server--b", usize::MAX).await;
    assert_eq!(code, Code::Done, "{said}");
    let (code, said) = bench.run("master.retire:master-server--a", 0).await;
    assert!(code == Code::Refused && told(&said), "{said}");
    let (code, said) = bench.run("master.retire:master-server--a", 1).await;
    assert!(code == Code::Failed && told(&said), "{said}");
    assert_eq!(bench.states("master-server--a").await, [InstanceState::Running]);
    let (code, said) = bench.run("master.retire:master-server--a", 2).await;
    assert_eq!(code, Code::Done, "{said}");
    assert_eq!(bench.states("master-server--a").await, [InstanceState::Stopped]);
}

/// What a machine has said of who came later counts as much as what the lock says.
#[tokio::test]
async fn who_was_met_on_a_machine_has_the_lock() {
    use bldr_core::ports::Fence;
    let mut bench = Bench::new().await;
    bench.ports.stores.lock = Arc::new(Losing(usize::MAX));
    let session = Session {
        screen: Screen::writing_to(Format::Text, io::sink(), io::sink()),
        terminal: Terminal::new(true, false),
        place: Place::new(bench.home.path(), Settings::of_the_sandbox()),
        typed: String::new(),
    };
    let held = Held::take(&bench.ports.stores, &session).await.unwrap();
    let gate = &bench.ports.stores.gate;
    gate.standing().unwrap();
    gate.overtaken("harbor--ci--1: a run that took the lock later has worked on it since");
    let error = gate.standing().unwrap_err();
    assert!(
        error.kind == PortErrorKind::Conflict && error.to_string().contains("harbor--ci--1: a run that took the lock later"),
        "{error}"
    );
    held.during(session.screen.clone(), async { Ok(Code::Done) }).await.unwrap();
}
