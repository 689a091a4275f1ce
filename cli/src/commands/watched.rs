//! What is the same of every run? Somebody watches it, it has a name, and its outcomes come to an exit code.

use super::Session;
use crate::{
    exit::{Code, Exit},
    interrupt::Interruptions,
    screen::Interrupt,
    wiring::Stores,
};
use bldr_core::{
    event::{Event, Outcome, RunId},
    execute::RunReport,
    fleet::Timestamp,
    ports::{Operator, Record},
    update::Run,
};
use std::{
    hash::{BuildHasher, Hasher},
    pin::pin,
};

/// What is watched, and so what becomes of it once somebody asks to stop.
#[derive(Debug, Clone, Copy)]
pub enum Work<'a> {
    /// Many stacks, one after the other.
    Stacks(&'a RunId),
    /// One stack, step by step.
    Steps(&'a RunId),
    /// One stack goes, which takes two steps.
    Destruction(&'a RunId),
    /// What another bldr does.
    Another,
}

impl<'a> Work<'a> {
    fn stopping(self) -> &'static str {
        match self {
            Self::Stacks(_) => "stopping: the stacks in flight are finished, no other is begun",
            Self::Steps(_) => {
                "stopping: a machine is no longer waited for, another step in flight is finished; the same command goes on from there"
            }
            Self::Destruction(_) => "a destruction that has begun is finished; where it is cut off, the same command goes on from there",
            Self::Another => "the watching ends, and the run goes on",
        }
    }

    /// The run that is recorded here.
    fn run(self) -> Option<&'a RunId> {
        match self {
            Self::Stacks(run) | Self::Steps(run) | Self::Destruction(run) => Some(run),
            Self::Another => None,
        }
    }
}

/// Does it with the operator watching, who may ask it to stop: once, and it comes to an end; twice, and it is left where it is, which is
/// recorded; once more, and the process ends.
///
/// # Errors
/// That it was left where it is, and what to type next; and that the lock was lost before it began.
pub async fn watched<T>(what: Work<'_>, stores: &Stores, session: &Session, work: impl AsyncFnOnce(&dyn Operator) -> T) -> Result<T, Exit> {
    if what.run().is_some() {
        stores.gate.affirmed().await?;
    }
    let interrupt = Interrupt::default();
    let screen = session.screen.for_a_run(interrupt.clone());
    let mut interruptions = Interruptions::listen();
    let done = {
        let mut work = pin!(work(&*screen));
        loop {
            tokio::select! {
                done = &mut work => break Some(done),
                () = interruptions.next() => {}
            }
            if !interrupt.ask() {
                break None;
            }
            screen.note(&format!("{}; once more stops at once", what.stopping()));
        }
    };
    let done = match (done, what.run()) {
        (Some(done), _) => Ok(done),
        (None, None) => Err(Exit::new(Code::Interrupted, "the watching ended, and the run goes on")),
        (None, Some(run)) => {
            screen.note("stopping here and now: that is recorded, and the lock given back; once more leaves both");
            let record = Record { at: stores.clock.now(), event: Event::RunStopped { run: run.clone() } };
            let recorded = interruptions.last(stores.journal.append(run, std::slice::from_ref(&record))).await;
            screen.notify(&record);
            let exit = Exit::new(Code::Interrupted, "stopped: what was in flight is as it is").line(format!(
                "`bldr run.show:{run}` shows its doubtful steps, `bldr run.resume:{run}` looks at them and finishes the run"
            ));
            Err(match recorded {
                Ok(()) => exit,
                Err(error) => exit.line(format!("that could not be recorded: {error}")),
            })
        }
    };
    screen.close();
    done
}

/// A run of this command line, on one stack.
pub fn run_of(session: &Session, now: Timestamp) -> Run {
    Run {
        id: run_id(now),
        cloud: session.place.settings.cloud.name().into(),
        command: session.typed.clone(),
        addresses: session.place.settings.addresses(),
    }
}

/// What the outcomes come to; and that the same can be run again, where that is of use.
///
/// # Errors
/// A run that could not be recorded.
pub fn ended(report: &RunReport, session: &Session) -> Result<Code, Exit> {
    let code = code_of(report)?;
    match code {
        Code::Done => {}
        Code::Interrupted if report.outcomes.values().all(|outcome| outcome.is_success()) => {
            session.screen.note("stopped as you asked; what was in flight was the last of it, and all is done");
        }
        Code::Interrupted if !report.outcomes.values().any(|outcome| *outcome == Outcome::Failed) => {
            session.screen.note("run the same again to go on: what is done is left alone");
        }
        _ => session.screen.note("run the same again when the causes are gone: what is done is left alone"),
    }
    Ok(code)
}

/// The code that the outcomes come to.
///
/// # Errors
/// A run that could not be recorded.
pub(super) fn code_of(report: &RunReport) -> Result<Code, Exit> {
    if let Some(problem) = &report.unrecorded {
        return Err(Exit::new(Code::Unrecorded, format!("the run could not be recorded: {problem}"))
            .line("nothing was begun after that; what was in flight was finished")
            .line("see to it that it can be (is the disk full?), and run the same again: what is done is left alone"));
    }
    let outcomes = || report.outcomes.values();
    if report.interrupted || outcomes().any(|outcome| *outcome == Outcome::Interrupted) {
        Ok(Code::Interrupted)
    } else if outcomes().all(|outcome| outcome.is_success()) {
        Ok(Code::Done)
    } else {
        Ok(Code::Failed)
    }
}

/// The time to the second, two letters for its milliseconds, so that runs sort by time, and two so that no two are alike.
pub fn run_id(now: Timestamp) -> RunId {
    const LETTERS: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
    // The standard library seeds its hashers at random; that is all the chance that is needed here.
    let chance = std::collections::hash_map::RandomState::new().build_hasher().finish() as usize;
    let millis = now.0.rem_euclid(1000) as usize;
    let letters: String = [millis >> 5, millis, chance, chance >> 5].map(|i| char::from(LETTERS[i % LETTERS.len()])).iter().collect();
    let time =
        jiff::Timestamp::from_millisecond(now.0).map_or_else(|_| now.0.to_string(), |time| time.strftime("%Y%m%d-%H%M%S").to_string());
    RunId(format!("{time}-{letters}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended_with(outcomes: &[(&str, Outcome)], unrecorded: Option<&str>) -> Result<Code, Code> {
        let outcomes = outcomes.iter().map(|(stack, outcome)| (stack.parse().unwrap(), *outcome)).collect();
        let report = RunReport { outcomes, unrecorded: unrecorded.map(Into::into), ..RunReport::default() };
        code_of(&report).map_err(|exit| exit.code)
    }

    #[test]
    fn runs_sort_by_time_to_the_millisecond() {
        let ids: Vec<_> = (0..2000).map(|millis| run_id(Timestamp(1_795_000_000_000 + millis))).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.0.len() == "20261122-124301-k3f9".len()), "{ids:?}");
    }

    #[test]
    fn the_code_is_that_of_the_worst_there_was() {
        use Outcome::{AlreadyThere, Failed, Held, Interrupted, Remastered, Skipped};
        assert_eq!(ended_with(&[], None), Ok(Code::Done));
        assert_eq!(ended_with(&[("a--b", Remastered), ("a--c", AlreadyThere), ("a--d", Skipped)], None), Ok(Code::Done));
        assert_eq!(ended_with(&[("a--b", Failed), ("c--d", Remastered)], None), Ok(Code::Failed));
        assert_eq!(ended_with(&[("a--b", Held)], None), Ok(Code::Failed));
        assert_eq!(ended_with(&[("a--b", Failed), ("c--d", Interrupted)], None), Ok(Code::Interrupted));
        assert_eq!(ended_with(&[("a--b", Remastered)], Some("the disk is full")), Err(Code::Unrecorded));
    }

    #[test]
    fn a_run_that_was_asked_to_stop_says_so_whatever_was_in_flight() {
        for outcome in [Outcome::Remastered, Outcome::Failed, Outcome::Held] {
            let outcomes = [("a--b".parse().unwrap(), outcome)].into();
            assert_eq!(code_of(&RunReport { outcomes, interrupted: true, ..RunReport::default() }).unwrap(), Code::Interrupted);
        }
    }

    #[test]
    fn runs_of_one_second_have_different_names_that_sort_by_time() {
        let [first, second] = [0, 1000].map(|millis| run_id(Timestamp(1_795_351_381_000 + millis)));
        assert!(first < second && first.0.starts_with("20261122-124301-"), "{first} {second}");
        assert_ne!(run_id(Timestamp(0)), run_id(Timestamp(0)));
    }
}
