//! What does each step do? One effect through the ports, and what came of it.

use super::{Before, Rewritten, StackRun};
use crate::execute::{
    joining::{Asked, Joining},
    telling::{Done, Stepped},
};
use crate::{
    address::MasterAddress,
    build_vars::BuildVars,
    context::{Context, Rewrite},
    error::{PortError, PortErrorKind, PortResult},
    fleet::{Host, Node, PublicKey, Reading},
    name::StackName,
    overtaken,
    ports::{Change, Document, Expected, HighstateMode, Repointing, Sleeper, SleeperState},
    readiness, survey,
};
use std::sync::atomic::{AtomicBool, Ordering};

impl StackRun<'_> {
    pub(super) async fn start(&mut self, node: &Node, sleeps_again: bool) -> Stepped {
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
    pub(super) async fn stop(&self, node: &Node) -> Stepped {
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
    pub(super) async fn examine(&mut self, number: u64, host: &Host) -> Stepped {
        let execution = self.execution;
        let master = &execution.run.master;
        // A machine that has just been started says so to EC2 long before anybody can log in.
        let ask = async || execution.ports.minions.examine(host, &master.address).await;
        let (files, outlook) = match self.started.contains(&number) {
            true => execution.telling.again_after(&[5; 60], ask).await?,
            false => execution.telling.patiently(ask).await?,
        };
        let evidence = survey::evidence(&files);
        let subject = || host.node.to_string();
        if let Err(problem) = &evidence.build_vars {
            let fix = format!("'buildvars.fix:{}' regenerates them", self.stack);
            return Err(PortError::new(PortErrorKind::Malformed, subject(), problem.to_string()).advise(fix).into());
        }
        readiness::of(&host.node, &evidence, Some(&outlook), master).map_err(|why| {
            let why = why.strip_prefix(&format!("{}: ", host.node)).map_or(why.clone(), Into::into);
            PortError::new(PortErrorKind::Refused, subject(), why)
        })?;
        self.before.insert(number, Before { files, evidence });
        Ok(Change::NotNeeded.into())
    }

    fn identity(&self, number: u64, host: &Host) -> PortResult<(String, PublicKey)> {
        let files = self.before.get(&number).map(|before| &before.files);
        let found = files.and_then(|files| Some((files.minion_id.clone()?, PublicKey::from_pem(files.minion_key.as_deref()?)?)));
        found.ok_or_else(|| PortError::new(PortErrorKind::NotFound, host.node.to_string(), "there is no minion key on it"))
    }

    pub(super) async fn introduce(&self, number: u64, host: &Host) -> Stepped {
        let (id, key) = self.identity(number, host)?;
        let (ports, master) = (self.execution.ports, &self.execution.run.master);
        let telling = &self.execution.telling;
        let accept = async || {
            let begun = telling.now();
            let accepted = ports.masters.accept(&master.host, &id, &key).await;
            self.execution.gate.let_in_within(telling.millis_since(begun));
            accepted
        };
        Ok(telling.patiently(accept).await?.into())
    }

    pub(super) async fn rehearse(&self, host: &Host) -> Stepped {
        let master = &self.execution.run.master;
        let highstate = self.execution.ports.minions.rehearse(host, &master.address, &master.standing.key).await?;
        self.execution.telling.highstate(host, highstate, Change::NotNeeded, "nothing was switched").await
    }

    /// Writes the new master's address into the stack's context, if it is not there yet. What the survey read may be hours old by now:
    /// where somebody has written since, what they wrote is rewritten.
    pub(super) async fn rewrite_context(&mut self) -> Stepped {
        let execution = self.execution;
        let (contexts, address) = (execution.ports.contexts, &execution.plan.address);
        let Some(original) = execution.fleet.originals.take(self.stack) else {
            return Ok(self.rewrite(contexts.load(self.stack).await?, address).await?.into());
        };
        if let Some(written) = self.repointed(&original.text, address)? {
            match contexts.save(self.stack, &written, &Expected::Revision(original.revision)).await {
                Ok(revision) => {
                    self.rewritten = Some(Rewritten { before: original.text, revision });
                    self.context = Some(written);
                    return Ok(Change::Made.into());
                }
                Err(error) if error.kind == PortErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        let change = self.rewrite(contexts.load(self.stack).await?, address).await?;
        Ok(Done::from(change).saying("somebody has written it since the survey, and what they wrote is kept"))
    }

    /// Writes an address into the stack's context as it is stored, if it is not there yet.
    async fn rewrite(&mut self, stored: Document, address: &MasterAddress) -> PortResult<Change> {
        let Some(written) = self.repointed(&stored.text, address)? else {
            self.context = Some(stored.text);
            return Ok(Change::NotNeeded);
        };
        let revision = overtaken::save(self.execution.ports.contexts, self.stack, &written, &stored.text, stored.revision).await?;
        self.rewritten = Some(Rewritten { before: stored.text, revision });
        self.context = Some(written);
        Ok(Change::Made)
    }

    /// A context's text with this address in it; `None` where it is there already, or has no place in it.
    fn repointed(&self, text: &str, address: &MasterAddress) -> PortResult<Option<String>> {
        let malformed = |error| PortError::new(PortErrorKind::Malformed, self.stack.as_str(), format!("{error}"));
        let context = Context::parse(text).map_err(malformed)?;
        match context.repointed_to(address).map_err(malformed)? {
            Rewrite::Context(rewritten) if rewritten != context => Ok(Some(rewritten.to_text())),
            _ => Ok(None),
        }
    }

    /// The context as it was before this run; where a run before this one has rewritten it, with the address that it named
    /// then.
    pub(super) async fn restore_context(&mut self) -> PortResult<Change> {
        let contexts = self.execution.ports.contexts;
        let written = self.context.take();
        if let Some(Rewritten { before, revision }) = self.rewritten.take() {
            overtaken::save(contexts, self.stack, &before, &written.unwrap_or_default(), revision).await?;
            return Ok(Change::Made);
        }
        let Some(address) = self.old_address() else { return Ok(Change::NotNeeded) };
        self.rewrite(contexts.load(self.stack).await?, &address).await
    }

    pub(super) async fn repoint(&mut self, number: u64, host: &Host) -> Stepped {
        let execution = self.execution;
        let text = match &self.context {
            Some(text) => text,
            None => self.context.insert(execution.ports.contexts.load(self.stack).await?.text),
        };
        let malformed = |problem: String| PortError::new(PortErrorKind::Malformed, host.node.to_string(), problem);
        let context = Context::parse(text).map_err(|error| malformed(error.to_string()))?;
        let old = self.before.get(&number).and_then(|before| before.files.build_vars.as_deref());
        let build_vars = BuildVars::brought_up_to_date(old, &context, &host.node).map_err(|error| malformed(error.to_string()))?;
        let to = Repointing {
            address: execution.plan.address.clone(),
            key: execution.run.master.standing.key.clone(),
            build_vars,
            patience: self.patience(),
        };
        self.switched.push(number);
        let heard = AtomicBool::new(false);
        let ask = async || {
            let answer = execution.ports.minions.repoint(host, &to).await;
            heard.fetch_or(answer.is_err(), Ordering::Relaxed);
            answer
        };
        let change = execution.telling.patiently(ask).await?;
        let pending = heard.into_inner() || self.before.get(&number).is_none_or(|before| before.evidence.unconfirmed);
        if change == Change::NotNeeded && !pending {
            // It was there before: nothing of it is this run's to put back.
            self.switched.retain(|switched| *switched != number);
        }
        Ok(change.into())
    }

    pub(super) async fn prove(&self, number: u64, host: &Host) -> Stepped {
        let execution = self.execution;
        let master = &execution.run.master;
        match self.proven(number, host, &master.address, &master.standing.key, Some((&master.stack, &master.host))).await? {
            None => Ok(Change::NotNeeded.into()),
            Some(why) => Err(PortError::new(PortErrorKind::Refused, host.node.to_string(), why).into()),
        }
    }

    /// Waits until a node takes orders from a master and from nobody else; or why it does not.
    async fn proven(
        &self,
        number: u64,
        host: &Host,
        address: &MasterAddress,
        key: &PublicKey,
        master: Option<(&StackName, &Host)>,
    ) -> PortResult<Option<String>> {
        let master = match master {
            None => None,
            Some((name, at)) => Some(Asked { id: self.identity(number, host)?.0, name, at }),
        };
        let execution = self.execution;
        let joining = Joining {
            telling: &execution.telling,
            minions: execution.ports.minions,
            masters: execution.ports.masters,
            address,
            key,
            master,
        };
        joining.awaited(host, execution.plan.patience.join).await
    }

    pub(super) async fn confirm(&self, host: &Host) -> Stepped {
        let (execution, key) = (self.execution, &self.execution.run.master.standing.key);
        execution.telling.patiently(async || execution.ports.minions.confirm(host, &execution.plan.address, key).await).await?;
        Ok(Change::Made.into())
    }

    pub(super) async fn keep(&self, host: &Host) -> Stepped {
        let execution = self.execution;
        execution.telling.patiently(async || execution.ports.minions.keep(host).await).await?;
        Ok(Change::Made.into())
    }

    pub(super) async fn revert(&self, host: &Host) -> Stepped {
        let execution = self.execution;
        Ok(execution.telling.patiently(async || execution.ports.minions.revert(host).await).await?.into())
    }

    /// Whether a node that was put back takes orders from the master it had; where that cannot be told, there is nothing to
    /// ask.
    pub(super) async fn prove_old(&self, number: u64, host: &Host) -> Stepped {
        let Some((address, key)) = self.old_master(number) else { return Ok(Change::NotNeeded.into()) };
        let master = self.execution.fleet.master_at(address.as_str());
        let master = master.and_then(|master| Some((&master.name, master.running()?.host()?)));
        match self.proven(number, host, &address, &key, master.as_ref().map(|(name, host)| (*name, host))).await? {
            None => Ok(Done { change: Change::NotNeeded, detail: Some(format!("it takes orders from {address}")), states: None }),
            Some(why) => {
                let problem = format!("its old master has not got it back: {why}");
                Err(PortError::new(PortErrorKind::Refused, host.node.to_string(), problem).into())
            }
        }
    }

    pub(super) async fn highstate(&self, host: &Host) -> Stepped {
        let mode = self.execution.plan.highstate;
        let highstate = self.execution.telling.shown(self.execution.ports.minions, host, mode).await?;
        let change = if mode == HighstateMode::Apply { Change::Made } else { Change::NotNeeded };
        self.execution
            .telling
            .highstate(host, highstate, change, "the minion does answer its new master: run again when the cause is gone")
            .await
    }
}
