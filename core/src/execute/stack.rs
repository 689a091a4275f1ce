//! How is one stack moved? Its steps in order; and where it does not join, everything put back.

use super::{Execution, PoisonError};
use crate::{
    build_vars::BuildVars,
    context::{Context, Rewrite},
    error::{PortError, PortErrorKind, PortResult},
    event::{Action, Event, Outcome, States},
    fleet::{Host, Node, NodeFiles, PublicKey, Reading},
    minion_config,
    name::StackName,
    old_keys,
    plan::{Step, Unproven},
    ports::{Change, Expected, Highstate, HighstateMode, Proof, Repointing, Revision, Sleeper, SleeperState},
    readiness, survey,
};
use std::{collections::HashMap, time::Duration};

/// What came of a step that did not fail.
struct Done {
    change: Change,
    detail: Option<String>,
    states: Option<States>,
}

impl From<Change> for Done {
    fn from(change: Change) -> Self {
        Self { change, detail: None, states: None }
    }
}

/// Why a step failed.
struct Failed {
    error: PortError,
    states: Option<States>,
}

impl From<PortError> for Failed {
    fn from(error: PortError) -> Self {
        Self { error, states: None }
    }
}

type Stepped = Result<Done, Failed>;

/// How a stack was before its context was rewritten.
struct Rewritten {
    before: String,
    revision: Revision,
}

/// One stack on its way.
pub(super) struct StackRun<'a> {
    execution: &'a Execution<'a>,
    stack: &'a StackName,
    nodes: &'a [Node],
    /// A node that was started has a new address.
    hosts: HashMap<u64, Host>,
    /// What each node said just before anything was changed.
    before: HashMap<u64, NodeFiles>,
    rewritten: Option<Rewritten>,
    /// The nodes that were switched, or may have been.
    switched: Vec<u64>,
    /// Nodes that are to be stopped again however it ends.
    started: Vec<u64>,
    confirmed: bool,
    clean: bool,
}

impl<'a> StackRun<'a> {
    pub(super) fn new(execution: &'a Execution<'a>, stack: &'a StackName) -> Self {
        let nodes = execution.fleet.stacks.get(stack).map_or(&[][..], |s| &s.nodes);
        Self {
            execution,
            stack,
            nodes,
            hosts: nodes.iter().filter_map(|n| Some((n.name.number(), n.host()?))).collect(),
            before: HashMap::new(),
            rewritten: None,
            switched: Vec::new(),
            started: nodes.iter().filter(|n| n.woken).map(|n| n.name.number()).collect(),
            confirmed: false,
            clean: true,
        }
    }

    /// Takes the steps in order, up to the first that fails; what was switched and not confirmed is then put back, and
    /// nodes that were started are stopped again all the same.
    pub(super) async fn walk(mut self, steps: &[Step]) -> (Outcome, Option<String>) {
        let mut end: Option<(Outcome, String)> = None;
        for step in steps {
            let cleaning_up = step.action == Action::Stop && step.node.is_some_and(|node| self.started.contains(&node));
            if end.is_some() && !cleaning_up {
                continue;
            }
            if step.action == Action::Start {
                // A start that fails may have been heard all the same.
                self.started.extend(step.node);
            }
            let sleeps_again = steps.iter().any(|s| s.action == Action::Stop && s.node == step.node);
            if let Err(reason) = self.step(*step, sleeps_again).await {
                self.clean = false;
                if end.is_none() {
                    end = Some(self.ended(step.action, reason).await);
                }
            } else if step.action == Action::Confirm {
                self.confirmed = true;
                self.note_moved(step.node);
            }
        }
        for host in self.hosts.values() {
            self.execution.ports.minions.release(host).await;
        }
        end.map_or((Outcome::Remastered, None), |(outcome, reason)| (outcome, Some(reason)))
    }

    /// What a step that failed comes to for the stack.
    async fn ended(&mut self, at: Action, reason: String) -> (Outcome, String) {
        if self.confirmed || at == Action::Stop {
            return (Outcome::Failed, reason);
        }
        if at == Action::Confirm {
            return (Outcome::Failed, format!("{reason}; it puts itself back unless this is run again in time"));
        }
        if self.rewritten.is_none() && self.switched.is_empty() {
            return (Outcome::Failed, format!("{reason} (nothing was switched)"));
        }
        match self.execution.plan.unproven {
            Unproven::Revert => self.reverted(reason).await,
            Unproven::Leave => self.left(reason).await,
        }
    }

    /// Puts everything back, and asks whether the old master is obeyed again.
    async fn reverted(&mut self, reason: String) -> (Outcome, String) {
        let mut trouble = Vec::new();
        for number in self.switched.iter().rev().copied().collect::<Vec<_>>() {
            trouble.extend(self.step(Step { action: Action::Revert, node: Some(number) }, false).await.err());
        }
        let stuck = !trouble.is_empty();
        if self.rewritten.is_some() {
            trouble.extend(self.step(Step { action: Action::RestoreContext, node: None }, false).await.err());
        }
        if stuck {
            let patience = self.patience().as_secs();
            return (
                Outcome::Failed,
                format!("{reason}; and could not be put back: {}; the node puts itself back within {patience} s", trouble.join("; ")),
            );
        }
        for number in self.switched.clone() {
            trouble.extend(self.step(Step { action: Action::ProveOld, node: Some(number) }, false).await.err());
        }
        let how = match trouble.is_empty() {
            true if self.switched.is_empty() => "put back as it was".to_owned(),
            true => "put back as it was, and it answers its old master".to_owned(),
            false => format!("put back as it was, but {}", trouble.join("; ")),
        };
        (Outcome::RolledBack, format!("{reason}; {how}"))
    }

    /// Leaves everything for somebody to look at: the nodes must not put themselves back meanwhile.
    async fn left(&mut self, reason: String) -> (Outcome, String) {
        let mut trouble = Vec::new();
        for number in self.switched.clone() {
            trouble.extend(self.step(Step { action: Action::Confirm, node: Some(number) }, false).await.err());
        }
        let how = if trouble.is_empty() { String::new() } else { format!(", but {}", trouble.join("; ")) };
        (Outcome::Failed, format!("{reason}; left as it is (revert=no){how}; `bldr master.status:{}` shows how that is", self.stack))
    }

    fn note_moved(&self, node: Option<u64>) {
        let Some(files) = node.and_then(|number| self.before.get(&number)) else { return };
        let evidence = survey::evidence(files);
        let mut moved = self.execution.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.minions.extend(old_keys::identity(&evidence));
        moved.left.extend(evidence.configured.filter(|address| **address != *self.execution.plan.address.as_str()));
    }

    fn patience(&self) -> Duration {
        self.execution.plan.patience.watchdog_of(self.nodes.len())
    }

    /// Takes a step, and tells of it.
    async fn step(&mut self, step: Step, sleeps_again: bool) -> Result<(), String> {
        let execution = self.execution;
        let (action, name) = (step.action, step.node.map(|number| self.stack.node(number)));
        let begun = execution.ports.clock.now().0;
        execution.tell(Event::StepStarted { stack: self.stack.clone(), node: name.clone(), action }).await;
        let undoing = action >= Action::Revert;
        if let Some(problem) = execution.with_report(|report| report.unrecorded.clone()).filter(|_| !undoing) {
            return Err(format!("the run can no longer be recorded, so '{}' was not begun: {problem}", action.doing()));
        }
        let done = self.taken(step, sleeps_again).await;
        let (stack, node, millis) = (self.stack.clone(), name, execution.millis_since(begun));
        match done {
            Ok(Done { change, detail, states }) => {
                execution.tell(Event::StepFinished { stack, node, action, change, millis, detail, states }).await;
                Ok(())
            }
            Err(Failed { error, states }) => {
                let reason = format!("{error} (while {})", action.doing());
                execution.tell(Event::StepFailed { stack, node, action, reason: reason.clone(), millis, states }).await;
                Err(reason)
            }
        }
    }

    async fn taken(&mut self, step: Step, sleeps_again: bool) -> Stepped {
        let Some(number) = step.node else {
            return match step.action {
                Action::RewriteContext => Ok(self.rewrite_context().await?.into()),
                _ => Ok(self.restore_context().await?.into()),
            };
        };
        let no_such = || PortError::new(PortErrorKind::NotFound, self.stack.as_str(), "the plan names a node that was not surveyed");
        let node = self.nodes.iter().find(|n| n.name.number() == number).ok_or_else(no_such)?;
        match step.action {
            Action::Start => return self.start(node, sleeps_again).await,
            Action::Stop => return self.stop(node).await,
            _ => {}
        }
        let nowhere = || PortError::new(PortErrorKind::Unreachable, node.name.to_string(), "it has no address to connect to");
        let host = self.hosts.get(&number).cloned().ok_or_else(nowhere)?;
        match step.action {
            Action::Examine => self.examine(number, &host).await,
            Action::Introduce => self.introduce(number, &host).await,
            Action::Rehearse => self.rehearse(&host).await,
            Action::Repoint => self.repoint(number, &host).await,
            Action::Prove => self.prove(number, &host).await,
            Action::Confirm => self.confirm(&host).await,
            Action::Revert => self.revert(&host).await,
            Action::ProveOld => self.prove_old(number, &host).await,
            _ => self.highstate(&host).await,
        }
    }

    async fn start(&mut self, node: &Node, sleeps_again: bool) -> Stepped {
        let ports = self.execution.ports;
        let memory = |launched, state| Sleeper { node: node.name.clone(), id: node.id.clone(), launched, state };
        // Before and after: killed in between, the next run knows whose doing it is that the node runs.
        if sleeps_again {
            ports.sleepers.remember(&memory(node.launched, SleeperState::Waking)).await?;
        }
        let instance = ports.power.start(&node.id).await?;
        if sleeps_again {
            ports.sleepers.remember(&memory(instance.launched, SleeperState::Woken)).await?;
        }
        let address = self.execution.run.addresses.reach(self.stack, &instance);
        let address = address.ok_or_else(|| {
            PortError::new(PortErrorKind::Unreachable, node.name.to_string(), "it was started and has no address to connect to")
        })?;
        let detail = Some(format!("at {address}"));
        self.hosts.insert(node.name.number(), Host { node: node.name.clone(), address });
        Ok(Done { change: Change::Made, detail, states: None })
    }

    /// What a node says just before it sleeps is remembered, so that the next plan need not wake it to ask.
    async fn stop(&self, node: &Node) -> Stepped {
        let ports = self.execution.ports;
        let evidence = match self.hosts.get(&node.name.number()) {
            Some(host) if self.clean => Reading::of(ports.minions.read(host).await.map(|files| survey::evidence(&files))),
            _ => Reading::NotAsked,
        };
        let instance = ports.power.stop(&node.id).await?;
        match evidence {
            Reading::Read(evidence) => {
                let state = SleeperState::Asleep(evidence);
                let sleeper = Sleeper { node: node.name.clone(), id: instance.id, launched: instance.launched, state };
                ports.sleepers.remember(&sleeper).await?;
            }
            _ => ports.sleepers.forget(&node.name).await?,
        }
        Ok(Change::Made.into())
    }

    /// The survey may be hours old by now: the node is asked again, and judged by the same rules as in the plan.
    async fn examine(&mut self, number: u64, host: &Host) -> Stepped {
        let execution = self.execution;
        let master = &execution.run.master;
        let (files, outlook) = execution.patiently(async || execution.ports.minions.examine(host, &master.address).await).await?;
        let evidence = survey::evidence(&files);
        let subject = || host.node.to_string();
        if let Err(problem) = &evidence.build_vars {
            let fix = format!("'buildvars.fix:{}' regenerates them", self.stack);
            return Err(PortError::new(PortErrorKind::Malformed, subject(), problem.to_string()).advise(fix).into());
        }
        readiness::of(&host.node, &evidence, &outlook, master).map_err(|why| {
            let why = why.strip_prefix(&format!("{}: ", host.node)).map_or(why.clone(), Into::into);
            PortError::new(PortErrorKind::Refused, subject(), why)
        })?;
        self.before.insert(number, files);
        Ok(Change::NotNeeded.into())
    }

    fn identity(&self, number: u64, host: &Host) -> PortResult<(String, PublicKey)> {
        let files = self.before.get(&number);
        let found = files.and_then(|files| Some((files.minion_id.clone()?, PublicKey::from_pem(files.minion_key.as_deref()?)?)));
        found.ok_or_else(|| PortError::new(PortErrorKind::NotFound, host.node.to_string(), "there is no minion key on it"))
    }

    async fn introduce(&self, number: u64, host: &Host) -> Stepped {
        let (id, key) = self.identity(number, host)?;
        let (ports, master) = (self.execution.ports, &self.execution.run.master);
        Ok(self.execution.patiently(async || ports.masters.accept(&master.host, &id, &key).await).await?.into())
    }

    async fn rehearse(&self, host: &Host) -> Stepped {
        let master = &self.execution.run.master;
        let highstate = self.execution.ports.minions.rehearse(host, &master.address, &master.standing.key).await?;
        self.told(host, highstate, Change::NotNeeded, "nothing was switched").await
    }

    /// Writes the new master's address into the stack's context, if it is not there yet.
    async fn rewrite_context(&mut self) -> PortResult<Change> {
        let contexts = self.execution.ports.contexts;
        let document = contexts.load(self.stack).await?;
        let malformed = |error| PortError::new(PortErrorKind::Malformed, self.stack.as_str(), format!("{error}"));
        let context = Context::parse(&document.text).map_err(malformed)?;
        match context.repointed_to(&self.execution.plan.address).map_err(malformed)? {
            Rewrite::Context(rewritten) if rewritten != context => {
                let revision = contexts.save(self.stack, &rewritten.to_text(), &Expected::Revision(document.revision)).await?;
                self.rewritten = Some(Rewritten { before: document.text, revision });
                Ok(Change::Made)
            }
            _ => Ok(Change::NotNeeded),
        }
    }

    async fn restore_context(&mut self) -> PortResult<Change> {
        let Some(Rewritten { before, revision }) = self.rewritten.take() else { return Ok(Change::NotNeeded) };
        self.execution.ports.contexts.save(self.stack, &before, &Expected::Revision(revision)).await?;
        Ok(Change::Made)
    }

    async fn repoint(&mut self, number: u64, host: &Host) -> Stepped {
        let execution = self.execution;
        let document = execution.ports.contexts.load(self.stack).await?;
        let malformed = |problem: String| PortError::new(PortErrorKind::Malformed, host.node.to_string(), problem);
        let context = Context::parse(&document.text).map_err(|error| malformed(error.to_string()))?;
        let old = self.before.get(&number).and_then(|files| files.build_vars.as_deref());
        let build_vars = BuildVars::brought_up_to_date(old, &context, &host.node).map_err(|error| malformed(error.to_string()))?;
        let to = Repointing {
            address: execution.plan.address.clone(),
            key: execution.run.master.standing.key.clone(),
            build_vars,
            patience: self.patience(),
        };
        self.switched.push(number);
        Ok(execution.patiently(async || execution.ports.minions.repoint(host, &to).await).await?.into())
    }

    async fn prove(&self, number: u64, host: &Host) -> Stepped {
        let execution = self.execution;
        let (master, within) = (&execution.run.master, execution.plan.patience.join);
        let (id, _) = self.identity(number, host)?;
        let begun = execution.ports.clock.now().0;
        let proof = execution.patiently(async || execution.ports.minions.prove(host, &master.address, &master.standing.key, within).await);
        if let Proof::Unproven(why) = proof.await? {
            return Err(PortError::new(PortErrorKind::Refused, host.node.to_string(), why).into());
        }
        let bound = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        loop {
            let answered = execution.ports.masters.ping(&master.host, std::slice::from_ref(&id), within.min(PING)).await;
            if matches!(&answered, Ok(ids) if ids.contains(&id)) {
                return Ok(Change::NotNeeded.into());
            }
            if execution.millis_since(begun) >= bound {
                let why = answered.err().map_or_else(|| format!("{} gets no answer from it", master.stack), |error| error.to_string());
                return Err(PortError::new(PortErrorKind::Refused, host.node.to_string(), why).into());
            }
            execution.ports.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    async fn confirm(&self, host: &Host) -> Stepped {
        let execution = self.execution;
        execution.patiently(async || execution.ports.minions.confirm(host, &execution.plan.address).await).await?;
        Ok(Change::Made.into())
    }

    async fn revert(&self, host: &Host) -> Stepped {
        let execution = self.execution;
        Ok(execution.patiently(async || execution.ports.minions.revert(host).await).await?.into())
    }

    /// Whether a node that was put back takes orders from the master it had; where it had none, there is nothing to ask.
    async fn prove_old(&self, number: u64, host: &Host) -> Stepped {
        let execution = self.execution;
        let Some(files) = self.before.get(&number) else { return Ok(Change::NotNeeded.into()) };
        let address = files.minion_config.as_deref().and_then(minion_config::master_of).and_then(|address| address.parse().ok());
        let key = files.trusted_key.as_deref().and_then(PublicKey::from_pem);
        let (Some(address), Some(key)) = (address, key) else { return Ok(Change::NotNeeded.into()) };
        let within = execution.plan.patience.join;
        let proof = execution.patiently(async || execution.ports.minions.prove(host, &address, &key, within).await).await?;
        match proof {
            Proof::Proven => Ok(Done { change: Change::NotNeeded, detail: Some(format!("it takes orders from {address}")), states: None }),
            Proof::Unproven(why) => {
                Err(PortError::new(PortErrorKind::Refused, host.node.to_string(), format!("its old master has not got it back: {why}"))
                    .into())
            }
        }
    }

    async fn highstate(&self, host: &Host) -> Stepped {
        let mode = self.execution.plan.highstate;
        let highstate = self.execution.ports.minions.highstate(host, mode).await?;
        let change = if mode == HighstateMode::Apply { Change::Made } else { Change::NotNeeded };
        self.told(host, highstate, change, "the minion does answer its new master: run again when the cause is gone").await
    }

    /// What a highstate comes to; what it printed is kept, and what failed is named.
    async fn told(&self, host: &Host, highstate: Highstate, change: Change, advice: &str) -> Stepped {
        let execution = self.execution;
        let output = match highstate.output.is_empty() {
            true => None,
            false => Some(execution.ports.journal.keep_output(&execution.run.id, &host.node, &highstate.output).await?),
        };
        let failed = if highstate.failed.is_empty() { String::new() } else { format!("; failed: {}", highstate.failed.join(", ")) };
        let states = Some(States { changed: highstate.changed, failed: highstate.failed, output });
        if highstate.succeeded {
            return Ok(Done { change, detail: Some(highstate.summary), states });
        }
        let problem = format!("the highstate did not succeed: {}{failed}", highstate.summary);
        Err(Failed { error: PortError::new(PortErrorKind::Refused, host.node.to_string(), problem).advise(advice), states })
    }
}

/// How long a master waits for the answer to one question.
const PING: Duration = Duration::from_secs(3);
