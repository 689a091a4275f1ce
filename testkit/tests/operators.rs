//! What becomes of a fleet that two operators move about, who are killed, take the lock from each other and begin again, in any order?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{
    error::PortResult,
    event::RunId,
    fleet::InstanceState,
    ports::{Clock, Fence, Lock, LockGuard, Owner, Tenure},
};
use bldr_testkit::{
    between::{Interposed, Unshared},
    spec::FleetSpec,
    under::Under,
    world::{Allegiance, World},
};
use futures::task::noop_waker;
use proptest::prelude::*;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

const MASTERS: [&str; 2] = ["master-server--a", "master-server--b"];
const NODES: [&str; 4] = ["beacon--ci--1", "harbor--ci--1", "harbor--prod--1", "harbor--prod--2"];

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// This operator begins to move everything to that master, where they have nothing in work.
    Begin(usize, usize),
    /// What this operator has in work gets so much further.
    GoOn(usize, usize),
    /// This operator's program is killed. Nobody gives its lock back.
    Kill(usize),
    /// This operator takes the lock from whoever holds it.
    Break(usize),
    /// So many seconds pass.
    Wait(u64),
}

fn any_move() -> impl Strategy<Value = Move> {
    let who = 0..2_usize;
    prop_oneof![
        3 => (who.clone(), 0..2_usize).prop_map(|(who, master)| Move::Begin(who, master)),
        8 => (who.clone(), 1..40_usize).prop_map(|(who, calls)| Move::GoOn(who, calls)),
        1 => who.clone().prop_map(Move::Kill),
        2 => who.prop_map(Move::Break),
        1 => (1..600_u64).prop_map(Move::Wait),
    ]
}

fn owner(who: usize, world: &World) -> Owner {
    Owner { who: format!("operator {who}"), host: "ops-7".into(), pid: 1, purpose: "a test".into(), since: world.clock.now() }
}

/// The fence of a lock.
struct Held(Box<dyn LockGuard>);

impl Fence for Held {
    fn standing(&self) -> PortResult<()> {
        self.0.standing()
    }
    fn tenure(&self) -> Option<Tenure> {
        self.0.tenure()
    }
    // The lock says so, too, without a delay.
    fn overtaken(&self, _: &str) {}
}

type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Moves everything, under the lock, or is refused it.
fn work(world: &World, who: usize, master: usize) -> Work<'_> {
    Box::pin(async move {
        let Ok(guard) = world.lock.acquire(&owner(who, world)).await else { return };
        let held = Arc::new(Held(guard));
        let theirs = Interposed { world, between: Under { world, fence: held.clone() } };
        // What keeps it from being begun is no matter here. Whoever has broken the lock has it, and this gives nothing back.
        let _ = theirs.remaster_all(MASTERS[master], &RunId(format!("run-{who}")), Unshared::Allowed).await;
    })
}

/// A program that is killed gives nothing back: what it holds is not dropped.
fn killed(work: &mut Option<Work<'_>>) {
    std::mem::forget(work.take());
}

fn on(master: usize) -> Allegiance {
    let address = ["10.0.0.10", "10.0.0.20"][master];
    let machine = format!("{}--1", MASTERS[master]);
    Allegiance {
        context: Some(address.into()),
        build_vars: Some(address.into()),
        configured: Some(address.into()),
        trusts: Some(machine.clone()),
        obeys: Some(machine),
    }
}

fn happens(moves: &[Move], last: usize) -> usize {
    let spec = FleetSpec::of(&["beacon--ci", "harbor--ci"]).with("harbor--prod", |stack| stack.nodes = Some(2));
    let mut world = World::new(&spec).unwrap();
    world.machines = world.machines.paced(Duration::from_millis(200));
    let world = world;
    let waker = noop_waker();
    let mut polls = Context::from_waker(&waker);
    let mut works: [Option<Work<'_>>; 2] = [None, None];
    let mut ended = 0;
    for next in moves {
        match *next {
            Move::Begin(who, master) => {
                works[who].get_or_insert_with(|| work(&world, who, master));
            }
            Move::GoOn(who, calls) => {
                for _ in 0..calls {
                    if works[who].as_mut().is_some_and(|work| matches!(work.as_mut().poll(&mut polls), Poll::Ready(()))) {
                        works[who] = None;
                        ended += 1;
                    }
                }
            }
            Move::Kill(who) => killed(&mut works[who]),
            Move::Break(who) => drop(futures::executor::block_on(world.lock.break_it(&owner(who, &world), "they are at lunch")).unwrap()),
            Move::Wait(seconds) => world.clock.advance(Duration::from_secs(seconds)),
        }
    }
    works.iter_mut().for_each(killed);
    let block_on = |work: Work<'_>| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
    world.clock.advance(Duration::from_secs(7200));
    block_on(Box::pin(async {
        world.survey().await.unwrap();
        for node in NODES {
            let is = world.allegiance(&node.parse().unwrap()).unwrap();
            assert!(world.state(node) == Some(InstanceState::Running) && is.obeys.is_some(), "{node} is an orphan: {is:?}");
        }
        world.lock.break_it(&owner(2, &world), "both have gone home").await.unwrap();
        let report = world.remaster_all(MASTERS[last]).await.unwrap();
        assert!(report.outcomes.values().all(|outcome| outcome.is_success()), "{report:?}");
        for node in NODES {
            assert_eq!(world.allegiance(&node.parse().unwrap()).unwrap(), on(last), "{node}");
        }
        assert!(world.plan(MASTERS[last]).await.unwrap().2.is_empty());
    }));
    ended
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn however_two_operators_get_into_each_others_way_the_next_run_gets_every_node_there(
        moves in proptest::collection::vec(any_move(), 0..60),
        last in 0..2_usize,
    ) {
        happens(&moves, last);
    }
}

#[test]
fn a_run_that_nobody_disturbs_comes_to_its_end() {
    assert_eq!(happens(&[Move::Begin(0, 1), Move::GoOn(0, 1000)], 1), 1);
}
