//! What is the same of every run? Somebody watches it, it has a name, and its outcomes come to an exit code.

use super::Session;
use crate::{
    exit::{Code, Exit},
    interrupt::{self, Work},
    screen::{Interrupt, RunScreen},
};
use bldr_core::{
    event::{Outcome, RunId},
    execute::RunReport,
    fleet::Timestamp,
    ports::Operator,
    update::Run,
};
use std::{
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

/// Does it with the operator watching, who may ask it to stop.
pub async fn watched<T>(what: Work, session: &Session, work: impl AsyncFnOnce(&dyn Operator) -> T) -> T {
    let interrupt = Interrupt::default();
    let screen: Arc<dyn RunScreen> = session.screen.for_a_run(interrupt.clone()).into();
    let watch = interrupt::watch(what, interrupt, screen.clone());
    let done = work(&*screen).await;
    watch.abort();
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
            .line("make room for the journal and run the same again: what is done is left alone"));
    }
    let outcomes = || report.outcomes.values();
    if outcomes().any(|outcome| *outcome == Outcome::Interrupted) {
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
    fn runs_of_one_second_have_different_names_that_sort_by_time() {
        let [first, second] = [0, 1000].map(|millis| run_id(Timestamp(1_795_351_381_000 + millis)));
        assert!(first < second && first.0.starts_with("20261122-124301-"), "{first} {second}");
        assert_ne!(run_id(Timestamp(0)), run_id(Timestamp(0)));
    }
}
