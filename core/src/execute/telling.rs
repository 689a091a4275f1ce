//! What is told of a run? Every step before and after it: to the journal first, so that what an operator has seen is recorded.

use crate::{
    error::{PortError, PortErrorKind, PortResult},
    event::{Action, Event, Outcome, RunId, States},
    fleet::Host,
    name::{NodeName, StackName},
    ports::{Change, Clock, Fence, Highstate, HighstateMode, Journal, Minions, Operator, Record},
};
use futures::{
    StreamExt,
    channel::mpsc,
    future::{Either, select},
    join,
};
use std::{
    future::Future,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Who hears of a run, and how it ended for each stack so far.
pub(crate) struct Telling<'a> {
    run: &'a RunId,
    cloud: &'a str,
    fence: &'a dyn Fence,
    journal: &'a dyn Journal,
    operator: &'a dyn Operator,
    clock: &'a dyn Clock,
    report: Mutex<super::RunReport>,
    /// How steps ended that could not be recorded then.
    late: Mutex<Vec<Record>>,
}

/// What came of a step that did not fail.
pub(crate) struct Done {
    pub(crate) change: Change,
    pub(crate) detail: Option<String>,
    pub(crate) states: Option<States>,
}

impl From<Change> for Done {
    fn from(change: Change) -> Self {
        Self { change, detail: None, states: None }
    }
}

impl Done {
    /// The same, with something to say about it.
    pub(crate) fn saying(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Why a step failed.
pub(crate) struct Failed {
    pub(crate) error: PortError,
    pub(crate) states: Option<States>,
    /// Because the operator asked to stop.
    pub(crate) interrupted: bool,
}

impl From<PortError> for Failed {
    fn from(error: PortError) -> Self {
        Self { error, states: None, interrupted: false }
    }
}

pub(crate) type Stepped = Result<Done, Failed>;

/// Why a step failed, in a sentence; whether that was a refusal, and whether the operator asked for it.
pub(crate) struct Trouble {
    pub(crate) reason: String,
    pub(crate) refused: bool,
    pub(crate) interrupted: bool,
}

impl<'a> Telling<'a> {
    pub(crate) fn new(
        run: &'a RunId,
        cloud: &'a str,
        fence: &'a dyn Fence,
        journal: &'a dyn Journal,
        operator: &'a dyn Operator,
        clock: &'a dyn Clock,
    ) -> Self {
        Self { run, cloud, fence, journal, operator, clock, report: Mutex::default(), late: Mutex::default() }
    }

    fn report(&self) -> MutexGuard<'_, super::RunReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event of this moment.
    pub(crate) fn record(&self, event: Event) -> Record {
        Record { at: self.clock.now(), event }
    }

    /// Records first, then shows.
    pub(crate) async fn tell(&self, event: Event) {
        self.tell_all(&[self.record(event)]).await;
    }

    /// The same of several, recorded in one go. What cannot be recorded of steps that have ended is tried again with what comes next: they
    /// were taken, and the end of one may be recorded twice.
    async fn tell_all(&self, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        let late = || self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = std::mem::take(&mut *late());
        all.extend_from_slice(records);
        if let Err(error) = self.journal.append(self.run, &all).await {
            self.report().unrecorded.get_or_insert(error.to_string());
            all.retain(|record| matches!(record.event, Event::StepFinished { .. } | Event::StepFailed { .. }));
            late().extend(all);
        }
        for record in records {
            self.operator.notify(record);
        }
    }

    /// Why the run can no longer be recorded, where that is so.
    pub(crate) fn unrecorded(&self) -> Option<String> {
        self.report().unrecorded.clone()
    }

    /// Why the run's lock is lost, where that is so.
    fn unlocked(&self) -> Option<String> {
        self.fence.standing().err().map(|error| error.to_string())
    }

    /// Why nothing more is begun, where that is so.
    pub(crate) fn halted(&self) -> Option<String> {
        let unlocked = self.unlocked().map(|problem| format!("the lock is lost: {problem}"));
        unlocked.or_else(|| self.unrecorded().map(|problem| format!("the run can no longer be recorded: {problem}")))
    }

    pub(crate) fn interrupted(&self) -> bool {
        self.operator.interrupted()
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub(crate) async fn pause(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    pub(crate) fn millis_since(&self, begun: i64) -> u64 {
        u64::try_from(self.now() - begun).unwrap_or(0)
    }

    pub(crate) fn note(&self, stack: &StackName, outcome: Outcome, reason: Option<String>) {
        let mut report = self.report();
        report.outcomes.insert(stack.clone(), outcome);
        if let Some(reason) = reason {
            report.reasons.insert(stack.clone(), reason);
        }
    }

    /// How it ended for a stack.
    pub(crate) async fn finish(&self, stack: &StackName, outcome: Outcome, reason: Option<String>, millis: u64) {
        self.finish_after(Vec::new(), stack, outcome, reason, millis).await;
    }

    /// The same, and before it what is untold yet.
    pub(crate) async fn finish_after(
        &self,
        mut untold: Vec<Record>,
        stack: &StackName,
        outcome: Outcome,
        reason: Option<String>,
        millis: u64,
    ) {
        self.note(stack, outcome, reason.clone());
        untold.push(self.record(Event::StackFinished { stack: stack.clone(), outcome, reason, millis }));
        self.tell_all(&untold).await;
    }

    /// The end of the run, which began then.
    pub(crate) async fn close(self, begun: i64) -> super::RunReport {
        let (outcomes, reasons) = {
            let mut report = self.report();
            report.interrupted = self.interrupted();
            (report.outcomes.clone(), report.reasons.clone())
        };
        let (run, cloud, millis) = (self.run.clone(), self.cloud.into(), self.millis_since(begun));
        self.tell(Event::RunFinished { run, cloud, outcomes, reasons, millis }).await;
        self.report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a step, and tells of it. One that undoes something is taken even where the run can no longer be recorded. None is taken once
    /// the lock is lost: somebody else may be at work on the same nodes, and what was switched puts itself back.
    pub(crate) async fn step(
        &self,
        stack: &StackName,
        node: Option<NodeName>,
        action: Action,
        work: impl Future<Output = Stepped>,
    ) -> Result<(), Trouble> {
        let mut untold = Vec::new();
        let ended = self.step_after(&mut untold, stack, node, action, work).await;
        self.tell_all(&untold).await;
        ended
    }

    /// The same for one of many that follow each other at once: what is untold of the one before is told with the beginning of this one, in
    /// one go, and the end of this one is left untold.
    pub(crate) async fn step_after(
        &self,
        untold: &mut Vec<Record>,
        stack: &StackName,
        node: Option<NodeName>,
        action: Action,
        work: impl Future<Output = Stepped>,
    ) -> Result<(), Trouble> {
        if let Some(problem) = self.unlocked() {
            let reason = format!("the lock is lost, so '{}' was not begun: {problem}", action.doing());
            return Err(Trouble { reason, refused: false, interrupted: false });
        }
        let begun = self.now();
        untold.push(self.record(Event::StepStarted { stack: stack.clone(), node: node.clone(), action }));
        self.tell_all(&std::mem::take(untold)).await;
        let undoing = action >= Action::Revert;
        if let Some(problem) = self.unrecorded().filter(|_| !undoing) {
            let reason = format!("the run can no longer be recorded, so '{}' was not begun: {problem}", action.doing());
            return Err(Trouble { reason, refused: false, interrupted: false });
        }
        let done = work.await;
        let (stack, millis) = (stack.clone(), self.millis_since(begun));
        match done {
            Ok(Done { change, detail, states }) => {
                untold.push(self.record(Event::StepFinished { stack, node, action, change, millis, detail, states }));
                Ok(())
            }
            Err(Failed { error, states, interrupted }) => {
                let reason = format!("{error} (while {})", action.doing());
                untold.push(self.record(Event::StepFailed { stack, node, action, reason: reason.clone(), millis, states }));
                Err(Trouble { reason, refused: error.kind == PortErrorKind::Refused, interrupted })
            }
        }
    }

    /// Waits for something on a node that takes minutes and is not hurt by being left alone; no longer than until the operator
    /// asks to stop.
    pub(crate) async fn waited<T>(&self, node: &NodeName, wait: impl Future<Output = PortResult<T>>) -> Result<T, Failed> {
        let (asked, wait) = (pin!(self.operator.interruption()), pin!(wait));
        match select(asked, wait).await {
            Either::Right((done, _)) => Ok(done?),
            Either::Left(_) => {
                let error =
                    PortError::new(PortErrorKind::Refused, node.to_string(), "not waited for any longer: the operator asked to stop");
                Err(Failed { error, states: None, interrupted: true })
            }
        }
    }

    /// Does it again where nobody answered: a lost connection says nothing about what was done, and all of it may be done
    /// twice.
    pub(crate) async fn patiently<T>(&self, ask: impl AsyncFn() -> PortResult<T>) -> PortResult<T> {
        self.again_after(&[1, 4], ask).await
    }

    /// The same, after these pauses in seconds.
    pub(crate) async fn again_after<T>(&self, pauses: &[u64], ask: impl AsyncFn() -> PortResult<T>) -> PortResult<T> {
        for pause in pauses {
            match ask().await {
                Err(error) if error.kind == PortErrorKind::Unreachable => self.clock.sleep(Duration::from_secs(*pause)).await,
                answer => return answer,
            }
        }
        ask().await
    }

    /// Runs the highstate of a node, and shows each of its states as it begins.
    pub(crate) async fn shown(&self, minions: &dyn Minions, host: &Host, mode: HighstateMode) -> PortResult<Highstate> {
        let (begun, states) = mpsc::unbounded();
        let show = states.enumerate().for_each(async |(before, state)| {
            let event = Event::StateBegun { stack: host.node.stack().clone(), node: host.node.clone(), number: before + 1, state };
            self.operator.notify(&Record { at: self.clock.now(), event });
        });
        join!(minions.highstate(host, mode, begun), show).0
    }

    /// What a highstate comes to; what it printed is kept, and what failed is named.
    pub(crate) async fn highstate(&self, host: &Host, highstate: Highstate, change: Change, advice: &str) -> Stepped {
        let output = match highstate.output.is_empty() {
            true => None,
            false => match self.journal.keep_output(self.run, &host.node, &highstate.output).await {
                Ok(file) => Some(file),
                Err(error) => {
                    let message = format!("what the highstate of {} printed could not be kept: {error}", host.node);
                    self.tell(Event::Warning { message }).await;
                    None
                }
            },
        };
        let failed = if highstate.failed.is_empty() { String::new() } else { format!("; failed: {}", highstate.failed.join(", ")) };
        let states = Some(States { changed: highstate.changed, failed: highstate.failed, output });
        if highstate.succeeded {
            return Ok(Done { change, detail: Some(highstate.summary), states });
        }
        let problem = format!("the highstate did not succeed: {}{failed}", highstate.summary);
        let error = PortError::new(PortErrorKind::Refused, host.node.to_string(), problem).advise(advice);
        Err(Failed { states, ..error.into() })
    }
}
