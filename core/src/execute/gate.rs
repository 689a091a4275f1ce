//! Who begins next? Lanes wait here for their turn; turns are given as fast as the new master bears it.

use crate::pace::{Advice, Cause, Pace, Signs};
use futures::channel::oneshot;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Which of those that wait goes first: of the lanes with the most ahead of them the first, as those decide when the run ends. Where
/// one goes at a time nothing is won by that, and lanes go one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    ahead: Reverse<usize>,
    lane: usize,
}

pub(super) struct Gate {
    ceiling: usize,
    state: Mutex<State>,
}

struct State {
    pace: Pace,
    in_work: usize,
    waiting: BTreeMap<Rank, oneshot::Sender<()>>,
    asked: Option<i64>,
    first: Option<Signs>,
    /// The longest that it took to let a minion in since it was last asked.
    latency: u32,
    advice: Advice,
}

/// What is to be told of the pace, where that has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) limit: usize,
    pub(super) cause: Option<Cause>,
}

impl Gate {
    pub(super) fn new(ceiling: usize) -> Self {
        let state = State {
            pace: Pace::new(ceiling),
            in_work: 0,
            waiting: BTreeMap::new(),
            asked: None,
            first: None,
            latency: 0,
            advice: Advice::Grow,
        };
        Self { ceiling, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of this lane, which has so many stacks ahead of it. To be followed by [`Gate::leave`].
    pub(super) async fn enter(&self, lane: usize, ahead: usize) {
        let (turn, come) = oneshot::channel();
        let rank = Rank { ahead: Reverse(if self.ceiling > 1 { ahead } else { 0 }), lane };
        {
            let mut state = self.state();
            state.waiting.insert(rank, turn);
            state.admit();
        }
        // The gate is there for as long as anybody waits at it.
        let _ = come.await;
    }

    /// The stack that had its turn has ended, well or not.
    pub(super) fn leave(&self, well: bool) {
        let mut state = self.state();
        state.in_work -= 1;
        if well {
            let advice = state.advice.clone();
            state.pace.went_well(&advice);
        }
        state.admit();
    }

    /// It took so long to let a minion in.
    pub(super) fn let_in_within(&self, millis: u64) {
        let mut state = self.state();
        state.latency = state.latency.max(u32::try_from(millis).unwrap_or(u32::MAX));
    }

    /// Whether the master is to be asked how it fares, at this time in milliseconds. Only one is told so.
    pub(super) fn asks(&self, now: i64) -> bool {
        let mut state = self.state();
        let due = self.ceiling > 1 && state.asked.is_none_or(|at| now - at >= i64::try_from(Pace::ASKED_EVERY.as_millis()).unwrap_or(0));
        if due {
            state.asked = Some(now);
        }
        due
    }

    /// What it said, or that it could not be asked; what is to be told of that.
    pub(super) fn heard(&self, strain: Option<crate::pace::Strain>) -> Option<News> {
        let mut state = self.state();
        let latency = std::mem::take(&mut state.latency);
        let advice = match strain.map(|strain| Signs { strain, latency }) {
            None => Advice::Hold(Cause::Silent),
            Some(signs) => {
                let first = state.first.get_or_insert(signs);
                if first.latency == 0 {
                    first.latency = signs.latency;
                }
                signs.advice(first)
            }
        };
        let fewer = state.pace.heard(&advice);
        let before = std::mem::replace(&mut state.advice, advice);
        let cause = state.advice.cause();
        let changed = before.cause().map(|cause| std::mem::discriminant(&cause)) != cause.map(|cause| std::mem::discriminant(&cause));
        (fewer || changed).then(|| News { limit: state.pace.limit(), cause })
    }
}

impl State {
    fn admit(&mut self) {
        while self.in_work < self.pace.limit() {
            let Some((_, turn)) = self.waiting.pop_first() else { return };
            if turn.send(()).is_ok() {
                self.in_work += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Strain;
    use futures::{FutureExt, executor::block_on};

    #[test]
    fn the_longest_lane_goes_first_and_each_that_ends_well_makes_room_for_two() {
        let gate = Gate::new(4);
        block_on(gate.enter(9, 1));
        let mut short = Box::pin(gate.enter(0, 1));
        let mut long = Box::pin(gate.enter(1, 5));
        let mut longer_still = Box::pin(gate.enter(2, 5));
        assert!([&mut short, &mut long, &mut longer_still].into_iter().all(|turn| turn.now_or_never().is_none()));
        gate.leave(true);
        assert!(long.now_or_never().is_some() && longer_still.now_or_never().is_some() && (&mut short).now_or_never().is_none());
        gate.leave(false);
        assert!(short.now_or_never().is_some(), "one that failed makes room for one");
    }

    #[test]
    fn where_one_goes_at_a_time_lanes_go_one_after_the_other() {
        let gate = Gate::new(1);
        block_on(gate.enter(0, 2));
        let (mut next, mut again) = (Box::pin(gate.enter(1, 7)), Box::pin(gate.enter(0, 1)));
        assert!((&mut next).now_or_never().is_none() && (&mut again).now_or_never().is_none());
        gate.leave(true);
        assert!(again.now_or_never().is_some() && next.now_or_never().is_none());
    }

    #[test]
    fn a_master_that_is_overrun_is_told_once_and_so_is_that_it_keeps_up_again() {
        let gate = Gate::new(8);
        assert!(gate.asks(0) && !gate.asks(9_999) && gate.asks(10_000));
        let loaded = |load| Some(Strain { load, pending: 0 });
        assert_eq!(gate.heard(loaded(10)), None);
        (0..7).for_each(|_| {
            block_on(gate.enter(0, 1));
            gate.leave(true);
        });
        assert_eq!(gate.heard(loaded(160)), Some(News { limit: 8, cause: Some(Cause::Load(160)) }));
        assert_eq!(gate.heard(loaded(170)), None, "still the same");
        assert_eq!(gate.heard(loaded(400)), Some(News { limit: 4, cause: Some(Cause::Load(400)) }));
        assert_eq!(gate.heard(loaded(20)), Some(News { limit: 4, cause: None }));
        assert_eq!(gate.heard(None), Some(News { limit: 4, cause: Some(Cause::Silent) }));
    }

    #[test]
    fn how_long_it_takes_to_let_a_minion_in_is_judged_beside_the_first() {
        let gate = Gate::new(8);
        assert_eq!(gate.heard(Some(Strain::default())), None);
        gate.let_in_within(100);
        assert_eq!(gate.heard(Some(Strain::default())), None);
        gate.let_in_within(900);
        gate.let_in_within(300);
        assert_eq!(gate.heard(Some(Strain::default())), Some(News { limit: 1, cause: Some(Cause::Latency { now: 900, first: 100 }) }));
    }
}
