//! How is a plan carried out? Lane by lane through ports, without choices of its own, telling everything as events.
//!
//! Every step may be interrupted at any instruction and done again: the next run surveys, plans and does what is missing.

use crate::{
    address::MasterAddress,
    build_vars::{BuildVars, BuildVarsError},
    context::{Context, Rewrite},
    error::{PortError, PortErrorKind, PortResult},
    event::{Action, Event, Outcome, RunId},
    fleet::{Fleet, Host, MasterKey, Node, Reading},
    name::{NodeName, StackName},
    plan::{Entry, Lane, RemasterPlan, Step, Todo},
    ports::{
        Change, Clock, ContextStore, Expected, HighstateMode, Journal, Minions, Operator, Power, Record, Repointing, Sleeper, SleeperState,
        Sleepers,
    },
    survey::{self, AddressPolicy},
};
use futures::{StreamExt, stream};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

/// What a run acts through.
pub struct Ports<'a> {
    /// The contexts.
    pub contexts: &'a dyn ContextStore,
    /// The nodes.
    pub minions: &'a dyn Minions,
    /// Their mains switches.
    pub power: &'a dyn Power,
    /// What is remembered of stopped ones.
    pub sleepers: &'a dyn Sleepers,
    /// The record.
    pub journal: &'a dyn Journal,
    /// The person watching.
    pub operator: &'a dyn Operator,
    /// Time.
    pub clock: &'a dyn Clock,
}

/// What is to be known of a run beside its plan.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// `sandbox` or `aws`.
    pub cloud: String,
    /// The command line, as typed.
    pub command: String,
    /// Whether it runs although the address is not shared.
    pub allow_unshared: bool,
    /// The key minions are to trust.
    pub key: MasterKey,
    /// How many lanes go side by side; at least 1.
    pub jobs: usize,
    /// Which address a started node is connected to by.
    pub addresses: AddressPolicy,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Every stack of the plan, touched or not.
    pub outcomes: BTreeMap<StackName, Outcome>,
    /// Why, where that needs saying.
    pub reasons: BTreeMap<StackName, String>,
    /// Set where the journal could not be written. Nothing was begun after that.
    pub unrecorded: Option<String>,
    /// Whether the operator asked to stop.
    pub interrupted: bool,
}

/// Carries out a plan that was made from this fleet.
pub async fn execute(plan: &RemasterPlan, fleet: &Fleet, run: &Run, ports: &Ports<'_>) -> RunReport {
    let execution = Execution { plan, fleet, run, ports, report: Mutex::default() };
    let begun = ports.clock.now().0;
    execution
        .tell(Event::RunStarted {
            run: run.id.clone(),
            cloud: run.cloud.clone(),
            master: plan.master.clone(),
            address: plan.address.clone(),
            command: run.command.clone(),
            lanes: plan.work(),
            allow_unshared: run.allow_unshared,
        })
        .await;
    for (stack, reason) in &plan.untouched {
        execution.note(stack, reason.outcome(), Some(reason.to_string()));
    }
    stream::iter(&plan.lanes).for_each_concurrent(run.jobs.max(1), |lane| execution.lane(lane)).await;
    let (outcomes, reasons) = execution.with_report(|report| {
        report.interrupted = ports.operator.interrupted();
        (report.outcomes.clone(), report.reasons.clone())
    });
    let millis = execution.millis_since(begun);
    execution.tell(Event::RunFinished { run: run.id.clone(), cloud: run.cloud.clone(), outcomes, reasons, millis }).await;
    execution.report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

struct Execution<'a> {
    plan: &'a RemasterPlan,
    fleet: &'a Fleet,
    run: &'a Run,
    ports: &'a Ports<'a>,
    report: Mutex<RunReport>,
}

/// What came of a step that did not fail.
struct Done {
    change: Change,
    detail: Option<String>,
}

impl From<Change> for Done {
    fn from(change: Change) -> Self {
        Self { change, detail: None }
    }
}

/// What a step that starts or stops a node has to know of the others.
#[derive(Clone, Copy)]
struct End {
    /// Whether every step before it went well.
    clean: bool,
    /// Whether the node is stopped again in the end.
    sleeps_again: bool,
}

/// The hosts of a stack as they are during the run: a node that was started has a new address.
type Hosts = HashMap<u64, Host>;

impl Execution<'_> {
    fn with_report<T>(&self, change: impl FnOnce(&mut RunReport) -> T) -> T {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn millis_since(&self, begun: i64) -> u64 {
        u64::try_from(self.ports.clock.now().0 - begun).unwrap_or(0)
    }

    /// Records first, then shows: what an operator has seen is in the journal.
    async fn tell(&self, event: Event) {
        let record = Record { at: self.ports.clock.now(), event };
        if let Err(error) = self.ports.journal.append(&self.run.id, &record).await {
            self.with_report(|report| report.unrecorded.get_or_insert(error.to_string()).clone());
        }
        self.ports.operator.notify(&record);
    }

    fn note(&self, stack: &StackName, outcome: Outcome, reason: Option<String>) {
        self.with_report(|report| {
            report.outcomes.insert(stack.clone(), outcome);
            if let Some(reason) = reason {
                report.reasons.insert(stack.clone(), reason);
            }
        });
    }

    async fn finish(&self, stack: &StackName, outcome: Outcome, reason: Option<String>, millis: u64) {
        self.note(stack, outcome, reason.clone());
        self.tell(Event::StackFinished { stack: stack.clone(), outcome, reason, millis }).await;
    }

    async fn lane(&self, lane: &Lane) {
        let mut failed: Option<&StackName> = None;
        for entry in &lane.entries {
            let stack = &entry.stack;
            if let Some(culprit) = failed {
                self.finish(stack, Outcome::Held, Some(format!("{culprit} failed, and it comes earlier in its project")), 0).await;
            } else if let Some(problem) = self.with_report(|report| report.unrecorded.clone()) {
                self.finish(stack, Outcome::Held, Some(format!("the run can no longer be recorded: {problem}")), 0).await;
            } else if self.ports.operator.interrupted() {
                self.finish(stack, Outcome::Interrupted, Some("not begun: the operator asked to stop".into()), 0).await;
            } else if !self.entry(entry).await {
                failed = Some(stack);
            }
        }
    }

    /// Whether it went well.
    async fn entry(&self, entry: &Entry) -> bool {
        let stack = &entry.stack;
        match &entry.todo {
            Todo::Blocked(reason) => {
                self.finish(stack, Outcome::Failed, Some(format!("{reason} (nothing was changed)")), 0).await;
                false
            }
            Todo::Steps { steps, .. } => {
                let begun = self.ports.clock.now().0;
                self.tell(Event::StackStarted { stack: stack.clone() }).await;
                let problem = self.steps(stack, steps).await;
                let (outcome, well) = if problem.is_none() { (Outcome::Remastered, true) } else { (Outcome::Failed, false) };
                self.finish(stack, outcome, problem, self.millis_since(begun)).await;
                well
            }
        }
    }

    /// Takes the steps of a stack in order, up to the first that fails; nodes that were started are stopped again all
    /// the same. Returns what went wrong.
    async fn steps(&self, stack: &StackName, steps: &[Step]) -> Option<String> {
        let nodes = self.fleet.stacks.get(stack).map_or(&[][..], |s| &s.nodes);
        let mut hosts: Hosts = nodes.iter().filter_map(|n| Some((n.name.number(), n.host()?))).collect();
        let mut problem: Option<String> = None;
        let mut started: Vec<Option<u64>> = nodes.iter().filter(|n| n.woken).map(|n| Some(n.name.number())).collect();
        for step in steps {
            let cleaning_up = step.action == Action::Stop && started.contains(&step.node);
            if problem.is_some() && !cleaning_up {
                continue;
            }
            let clean = problem.is_none();
            let sleeps_again = steps.iter().any(|other| other.action == Action::Stop && other.node == step.node);
            if step.action == Action::Start {
                // A start that fails may have been heard all the same.
                started.push(step.node);
            }
            if let Err(reason) = self.step(stack, nodes, *step, &mut hosts, End { clean, sleeps_again }).await {
                problem.get_or_insert(reason);
            }
        }
        for host in hosts.values() {
            self.ports.minions.release(host).await;
        }
        problem
    }

    async fn step(&self, stack: &StackName, nodes: &[Node], step: Step, hosts: &mut Hosts, end: End) -> Result<(), String> {
        let (action, name) = (step.action, step.node.map(|number| stack.node(number)));
        let begun = self.ports.clock.now().0;
        self.tell(Event::StepStarted { stack: stack.clone(), node: name.clone(), action }).await;
        if let Some(problem) = self.with_report(|report| report.unrecorded.clone()) {
            return Err(format!("the run can no longer be recorded, so '{}' was not begun: {problem}", action.doing()));
        }
        let node = nodes.iter().find(|n| Some(n.name.number()) == step.node);
        let done = match (action, node) {
            (Action::RewriteContext, _) => self.rewrite_context(stack).await,
            (_, None) => Err(PortError::new(PortErrorKind::NotFound, stack.as_str(), "the plan names a node that was not surveyed")),
            (Action::Start, Some(node)) => self.start(stack, node, hosts, end.sleeps_again).await,
            (Action::Stop, Some(node)) => self.stop(node, hosts, end.clean).await,
            (_, Some(node)) => match hosts.get(&node.name.number()) {
                None => Err(PortError::new(PortErrorKind::Unreachable, node.name.to_string(), "it has no address to connect to")),
                Some(host) => match action {
                    Action::RefreshBuildVars => self.refresh_build_vars(host).await,
                    Action::Repoint => self.repoint(host).await,
                    _ => self.highstate(host).await,
                },
            },
        };
        let (stack, node, millis) = (stack.clone(), name, self.millis_since(begun));
        match done {
            Ok(Done { change, detail }) => {
                self.tell(Event::StepFinished { stack, node, action, change, millis, detail }).await;
                Ok(())
            }
            Err(error) => {
                let reason = format!("{error} (while {})", action.doing());
                self.tell(Event::StepFailed { stack, node, action, reason: reason.clone(), millis }).await;
                Err(reason)
            }
        }
    }

    async fn rewrite_context(&self, stack: &StackName) -> PortResult<Done> {
        rewrite_context(self.ports.contexts, stack, &self.plan.address).await.map(Done::from)
    }

    async fn start(&self, stack: &StackName, node: &Node, hosts: &mut Hosts, sleeps_again: bool) -> PortResult<Done> {
        let memory = |launched, state| Sleeper { node: node.name.clone(), id: node.id.clone(), launched, state };
        // Before and after: killed in between, the next run knows whose doing it is that the node runs.
        if sleeps_again {
            self.ports.sleepers.remember(&memory(node.launched, SleeperState::Waking)).await?;
        }
        let instance = self.ports.power.start(&node.id).await?;
        if sleeps_again {
            self.ports.sleepers.remember(&memory(instance.launched, SleeperState::Woken)).await?;
        }
        let address = self.run.addresses.reach(stack, &instance);
        let address = address.ok_or_else(|| {
            PortError::new(PortErrorKind::Unreachable, node.name.to_string(), "it was started and has no address to connect to")
        })?;
        let detail = Some(format!("at {address}"));
        hosts.insert(node.name.number(), Host { node: node.name.clone(), address });
        Ok(Done { change: Change::Made, detail })
    }

    /// What a node says just before it sleeps is remembered, so that the next plan need not wake it to ask.
    async fn stop(&self, node: &Node, hosts: &Hosts, clean: bool) -> PortResult<Done> {
        let evidence = match hosts.get(&node.name.number()) {
            Some(host) if clean => Reading::of(self.ports.minions.read(host).await.map(|files| survey::evidence(&files))),
            _ => Reading::NotAsked,
        };
        let instance = self.ports.power.stop(&node.id).await?;
        match evidence {
            Reading::Read(evidence) => {
                let state = SleeperState::Asleep(evidence);
                let sleeper = Sleeper { node: node.name.clone(), id: instance.id, launched: instance.launched, state };
                self.ports.sleepers.remember(&sleeper).await?;
            }
            _ => self.ports.sleepers.forget(&node.name).await?,
        }
        Ok(Change::Made.into())
    }

    async fn refresh_build_vars(&self, host: &Host) -> PortResult<Done> {
        refresh_build_vars(self.ports.contexts, self.ports.minions, host).await.map(Done::from)
    }

    async fn repoint(&self, host: &Host) -> PortResult<Done> {
        let to = Repointing { address: self.plan.address.clone(), key: self.run.key.clone() };
        self.ports.minions.repoint(host, &to).await.map(Done::from)
    }

    async fn highstate(&self, host: &Host) -> PortResult<Done> {
        let highstate = self.ports.minions.highstate(host, self.plan.highstate).await?;
        if highstate.succeeded {
            let change = if self.plan.highstate == HighstateMode::Apply { Change::Made } else { Change::NotNeeded };
            return Ok(Done { change, detail: Some(highstate.summary) });
        }
        let failed = if highstate.failed.is_empty() { String::new() } else { format!("; failed: {}", highstate.failed.join(", ")) };
        let problem = format!("the highstate did not succeed: {}{failed}", highstate.summary);
        Err(PortError::new(PortErrorKind::Refused, host.node.to_string(), problem)
            .advise("the minion does name its new master: run again when the cause is gone"))
    }
}

/// Writes the new master's address into a stack's context, if it is not there yet.
///
/// # Errors
/// `Malformed` where the context cannot be rewritten, `Conflict` where somebody else wrote it in the meantime. Nothing
/// was changed then.
async fn rewrite_context(contexts: &dyn ContextStore, stack: &StackName, address: &MasterAddress) -> PortResult<Change> {
    let document = contexts.load(stack).await?;
    let malformed = |error| PortError::new(PortErrorKind::Malformed, stack.as_str(), format!("{error}"));
    let context = Context::parse(&document.text).map_err(malformed)?;
    match context.repointed_to(address).map_err(malformed)? {
        Rewrite::Context(rewritten) if rewritten != context => {
            contexts.save(stack, &rewritten.to_text(), &Expected::Revision(document.revision)).await?;
            Ok(Change::Made)
        }
        _ => Ok(Change::NotNeeded),
    }
}

/// Derives a node's build vars from its stack's context anew and writes them, if they are not so already.
///
/// # Errors
/// `Malformed` where the old ones are missing or broken, or the context is. Nothing was changed then.
async fn refresh_build_vars(contexts: &dyn ContextStore, minions: &dyn Minions, host: &Host) -> PortResult<Change> {
    let files = minions.read(host).await?;
    let old = files.build_vars.as_deref().ok_or(BuildVarsError::Missing);
    let old = old.and_then(|encoded| BuildVars::decode(encoded).map(|vars| (encoded, vars)));
    let (encoded, old) = old.map_err(|error| broken_build_vars(&host.node, &error))?;
    let context = stored_context(contexts, host.node.stack()).await?;
    let fresh =
        old.refreshed(&context, host.node.stack(), host.node.number()).map_err(|error| broken_build_vars(&host.node, &error))?.encode();
    if fresh == encoded {
        return Ok(Change::NotNeeded);
    }
    minions.write_build_vars(host, &fresh).await?;
    Ok(Change::Made)
}

/// A stack's context out of its store.
///
/// # Errors
/// Those of the store, and `Malformed`.
async fn stored_context(contexts: &dyn ContextStore, stack: &StackName) -> PortResult<Context> {
    let document = contexts.load(stack).await?;
    Context::parse(&document.text).map_err(|error| PortError::new(PortErrorKind::Malformed, stack.as_str(), error.to_string()))
}

fn broken_build_vars(node: &NodeName, error: &BuildVarsError) -> PortError {
    PortError::new(PortErrorKind::Malformed, node.to_string(), error.to_string())
        .advise(format!("'buildvars.fix:{}' regenerates them", node.stack()))
}
