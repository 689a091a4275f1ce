//! How many stacks may be in work at once? Few at first, more while the new master keeps up, fewer where it does not.
//!
//! A minion that is switched authenticates, fetches and renders: hundreds of them at once take a master down, and with it those that
//! are on it already. So a run begins with one stack and has one more in work with each that went well, which doubles them with every
//! round; what the master says of itself holds or halves that.

use crate::{fleet::Timestamp, name::StackName, stage::Stage};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// How fast a run may go, and where it is to stop by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacing {
    /// How many stacks are in work at once, at most and at least 1. A run begins with one and has more while the new master keeps up.
    pub jobs: usize,
    /// The stack that goes before all others, and without whose success no other one goes.
    pub canary: Option<StackName>,
    /// How many stacks may fail before no more are begun.
    pub max_failures: Option<MaxFailures>,
    /// The stage from which on nothing is begun.
    pub pause_before: Option<Stage>,
    /// When the last stack may begin.
    pub until: Option<Timestamp>,
}

impl Pacing {
    /// So many at once, and nothing else that would stop it.
    pub fn jobs(jobs: usize) -> Self {
        Self { jobs, canary: None, max_failures: None, pause_before: None, until: None }
    }

    /// The stage before which it pauses, where this stack is of that or a later one. The canary goes before any pause.
    pub fn pauses_before(&self, stack: &StackName) -> Option<Stage> {
        self.pause_before.filter(|stage| Stage::of(stack) >= *stage && self.canary.as_ref() != Some(stack))
    }
}

/// How many stacks of a run may fail: a number, or a part of all that are to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxFailures {
    /// So many.
    Count(usize),
    /// So many of a hundred.
    Percent(u8),
}

impl MaxFailures {
    /// Whether so many failures are too many where so many stacks are to be worked on.
    pub fn is_exceeded(self, failures: usize, stacks: usize) -> bool {
        match self {
            Self::Count(most) => failures > most,
            Self::Percent(most) => failures * 100 > usize::from(most) * stacks,
        }
    }
}

impl FromStr for MaxFailures {
    type Err = String;
    /// `3`, or `10%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is neither a number of stacks, as 3, nor a part of them, as 10%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
            Some(part) => part.parse().ok().filter(|part| *part <= 100).map(Self::Percent).ok_or_else(wrong),
        }
    }
}

impl fmt::Display for MaxFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most}%"),
        }
    }
}

/// What a master is burdened with at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strain {
    /// Its load over the last minute, in hundredths of a processor, for each processor it has: 100 is just busy.
    pub load: u32,
    /// How many keys wait to be accepted: each is a minion that comes again and again.
    pub pending: u32,
}

/// How a master fares: what it says of itself, and what is seen of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// What it says.
    pub strain: Strain,
    /// How long it takes to let a minion in, in milliseconds; 0 where it let none in.
    pub latency: u32,
}

/// What a master's strain asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// It keeps up.
    Grow,
    /// Not one more for now; why.
    Hold(Cause),
    /// Fewer; why.
    Shrink(Cause),
}

/// Why a run does not go faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its load, in hundredths of a processor for each it has.
    Load(u32),
    /// How many keys wait to be accepted.
    Pending(u32),
    /// How long it takes to let a minion in, in milliseconds.
    Latency {
        /// Now.
        now: u32,
        /// At first.
        first: u32,
    },
    /// It could not be asked.
    Silent,
}

impl Advice {
    /// Why it is not to go faster, where that is so.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Grow => None,
            Self::Hold(cause) | Self::Shrink(cause) => Some(*cause),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(load) => write!(f, "its load is {}.{:02} for each processor", load / 100, load % 100),
            Self::Pending(pending) => write!(f, "{pending} keys wait to be accepted on it"),
            Self::Latency { now, first } => write!(f, "it takes {now} ms to let a minion in, and took {first} ms at first"),
            Self::Silent => f.write_str("it could not be asked how it fares"),
        }
    }
}

/// From which load on there are no more at once, and from which on fewer.
const LOADS: (u32, u32) = (150, 300);
/// The same, of keys that wait.
const PENDING: (u32, u32) = (10, 50);
/// The same, of how many times slower it answers than at first; what is quick enough for anybody is never too slow.
const SLOWER: (u32, u32) = (4, 10);
const QUICK: u32 = 500;

impl Signs {
    /// What they ask for, beside what it was when nothing was moved yet.
    pub fn advice(&self, first: &Self) -> Advice {
        let latency = Cause::Latency { now: self.latency, first: first.latency };
        let slower = if self.latency <= QUICK || first.latency == 0 { 0 } else { self.latency / first.latency };
        // Keys that waited before are nobody of this run.
        let pending = self.strain.pending.saturating_sub(first.strain.pending);
        let load = self.strain.load;
        let signs = [(load, LOADS, Cause::Load(load)), (pending, PENDING, Cause::Pending(pending)), (slower, SLOWER, latency)];
        if let Some((.., cause)) = signs.iter().find(|(sign, (_, most), _)| sign >= most) {
            return Advice::Shrink(*cause);
        }
        match signs.iter().find(|(sign, (much, _), _)| sign >= much) {
            Some((.., cause)) => Advice::Hold(*cause),
            None => Advice::Grow,
        }
    }
}

/// How many may be in work, from the beginning of a run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    limit: usize,
    ceiling: usize,
    /// How many went well since the limit was last lowered: one more each, but not before as many have ended as were in work then.
    debt: usize,
}

impl Pace {
    /// How often the new master is asked how it fares.
    pub const ASKED_EVERY: Duration = Duration::from_secs(10);

    /// Begins with one, and never has more than this many.
    pub fn new(ceiling: usize) -> Self {
        Self { limit: 1, ceiling: ceiling.max(1), debt: 0 }
    }

    /// How many may be in work now.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A stack has ended well; one more may be in work where nothing speaks against it.
    pub fn went_well(&mut self, advice: &Advice) {
        if self.debt > 0 {
            self.debt -= 1;
        } else if *advice == Advice::Grow {
            self.limit = (self.limit + 1).min(self.ceiling);
        }
    }

    /// Whether the new master has been asked and fewer may be in work than before.
    pub fn heard(&mut self, advice: &Advice) -> bool {
        if self.limit == 1 || self.debt > 0 || !matches!(advice, Advice::Shrink(_)) {
            return false;
        }
        // Those that are in work end first, so that one bad moment halves it once.
        self.debt = self.limit;
        self.limit /= 2;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(load: u32, pending: u32, latency: u32) -> Signs {
        Signs { strain: Strain { load, pending }, latency }
    }

    #[test]
    fn one_grows_to_two_and_four_and_eight_and_no_further_than_it_may() {
        let mut pace = Pace::new(10);
        let mut limits = Vec::new();
        for _round in 0..5 {
            limits.push(pace.limit());
            (0..pace.limit()).for_each(|_| pace.went_well(&Advice::Grow));
        }
        assert_eq!(limits, [1, 2, 4, 8, 10]);
        assert_eq!(Pace::new(0).limit(), 1);
    }

    #[test]
    fn a_master_that_is_busy_holds_it_and_one_that_is_overrun_halves_it_once() {
        let mut pace = Pace::new(64);
        (0..15).for_each(|_| pace.went_well(&Advice::Grow));
        assert_eq!(pace.limit(), 16);
        pace.went_well(&Advice::Hold(Cause::Load(200)));
        assert_eq!(pace.limit(), 16);
        let overrun = Advice::Shrink(Cause::Load(400));
        assert!(pace.heard(&overrun) && !pace.heard(&overrun), "those in work have to end first");
        assert_eq!(pace.limit(), 8);
        (0..16).for_each(|_| pace.went_well(&Advice::Grow));
        assert_eq!(pace.limit(), 8);
        pace.went_well(&Advice::Grow);
        assert_eq!(pace.limit(), 9);
    }

    #[test]
    fn failures_are_counted_or_measured_by_the_whole() {
        let exceeded = |text: &str, failures| text.parse::<MaxFailures>().unwrap().is_exceeded(failures, 40);
        assert!(exceeded("0", 1) && !exceeded("0", 0) && !exceeded("3", 3) && exceeded("3", 4));
        assert!(!exceeded("10%", 4) && exceeded("10%", 5) && !exceeded("100%", 40));
        for nonsense in ["", "-1", "101%", "%", "3.5", "ten"] {
            assert!(nonsense.parse::<MaxFailures>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn it_never_stands_still() {
        let mut pace = Pace::new(8);
        assert!(!pace.heard(&Advice::Shrink(Cause::Silent)));
        assert_eq!(pace.limit(), 1);
    }

    #[test]
    fn a_strain_is_judged_beside_the_first_one() {
        let of = |load, pending, latency| signs(load, pending, latency).advice(&signs(20, 2, 80));
        assert_eq!(of(20, 2, 80), Advice::Grow);
        assert_eq!(of(150, 2, 80), Advice::Hold(Cause::Load(150)));
        assert_eq!(of(300, 2, 80), Advice::Shrink(Cause::Load(300)));
        assert_eq!(of(20, 11, 80), Advice::Grow, "two waited before");
        assert_eq!(of(20, 12, 80), Advice::Hold(Cause::Pending(10)));
        assert_eq!(of(20, 2, 500), Advice::Grow, "half a second is quick enough");
        assert_eq!(of(20, 2, 800), Advice::Shrink(Cause::Latency { now: 800, first: 80 }));
        assert_eq!(of(400, 2, 600), Advice::Shrink(Cause::Load(400)), "the worst is told");
        assert_eq!(signs(20, 2, 9000).advice(&Signs::default()), Advice::Grow, "it has let nobody in before");
        assert_eq!(Cause::Load(312).to_string(), "its load is 3.12 for each processor");
    }
}
