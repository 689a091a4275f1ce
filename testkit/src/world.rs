//! What does a whole simulated fleet consist of? One world behind every port, so that no two fakes can contradict each other.

use crate::{
    clock::ManualClock,
    disk::MemoryDisk,
    journal::MemoryJournal,
    lock::{FallingFence, MemoryLock},
    machines::{Machines, path},
    salt,
    spec::{self, FleetSpec},
    stores::{MemoryContexts, MemoryProjects, MemorySleepers},
};
use async_trait::async_trait;
use bldr_core::{
    build_vars::BuildVars,
    context::Context,
    error::PortResult,
    event::RunId,
    execute::{self, Ports, Run, RunReport},
    fleet::{Fleet, InstanceState, PublicKey},
    minion_config,
    name::{NameError, NodeName, StackName},
    pace::Pacing,
    plan::{self, RemasterPlan, Request, Scope},
    ports::{Operator, Record, SharedAddress},
    soundness,
    survey::{self, AddressPolicy, Depth, MasterRefusal, NewMaster, Sources},
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::watch;

/// A fleet in memory.
pub struct World {
    /// EC2, the nodes and the masters.
    pub machines: Machines,
    /// The contexts.
    pub contexts: MemoryContexts,
    /// The record of runs.
    pub journal: MemoryJournal,
    /// The fleet's lock.
    pub lock: MemoryLock,
    /// What keeps a run from going on.
    pub fence: FallingFence,
    /// What is remembered of stopped nodes.
    pub sleepers: MemorySleepers,
    /// The project file.
    pub projects: MemoryProjects,
    /// The time.
    pub clock: Arc<ManualClock>,
    /// Who watches.
    pub operator: WatchingOperator,
    addresses: AddressPolicy,
    runs: AtomicUsize,
}

/// An operator who remembers everything they were told, and asks to stop when told to.
#[derive(Default)]
pub struct WatchingOperator {
    told: Mutex<Vec<Record>>,
    stop: watch::Sender<bool>,
    stop_after: Mutex<Option<usize>>,
}

impl WatchingOperator {
    /// Everything they were told.
    pub fn told(&self) -> Vec<Record> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Makes them ask to stop once they were told this many things more.
    pub fn stops_after(&self, records: usize) {
        *self.stop_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(records);
    }
    /// Makes them want to go on.
    pub fn goes_on(&self) {
        *self.stop_after.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.stop.send_replace(false);
    }
}

#[async_trait]
impl Operator for WatchingOperator {
    fn notify(&self, record: &Record) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        if let Some(left) = &mut *self.stop_after.lock().unwrap_or_else(PoisonError::into_inner) {
            *left = left.saturating_sub(1);
            let enough = *left == 0;
            self.stop.send_modify(|stop| *stop |= enough);
        }
    }
    fn interrupted(&self) -> bool {
        *self.stop.borrow()
    }
    async fn interruption(&self) {
        // It cannot end without: the sender is this one's.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }
}

/// Whether the facts of a node agree, and on whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allegiance {
    /// What every place of its context names, if they agree.
    pub context: Option<String>,
    /// What its build vars name.
    pub build_vars: Option<String>,
    /// What its configuration names.
    pub configured: Option<String>,
    /// The machine whose key it trusts.
    pub trusts: Option<String>,
    /// The machine it takes orders from at this moment.
    pub obeys: Option<String>,
}

impl World {
    /// A fleet as specified.
    ///
    /// # Errors
    /// A specification that contradicts itself.
    pub fn new(spec: &FleetSpec) -> PortResult<Self> {
        let clock = Arc::new(ManualClock::default());
        let machines = Machines::open(Arc::new(MemoryDisk::default()), clock.clone(), &spec.region)?;
        let contexts = MemoryContexts::new(clock.clone());
        spec::populate(spec, &machines, clock.as_ref(), &mut |stack, text| {
            contexts.put(stack, &String::from_utf8_lossy(text));
            Ok(())
        })?;
        Ok(Self {
            machines,
            contexts,
            journal: MemoryJournal::default(),
            lock: MemoryLock::default(),
            fence: FallingFence::default(),
            sleepers: MemorySleepers::default(),
            projects: MemoryProjects::new(&spec.project_json()),
            clock,
            operator: WatchingOperator::default(),
            addresses: AddressPolicy::default(),
            runs: AtomicUsize::new(0),
        })
    }

    /// Where a survey of it looks.
    pub fn sources(&self) -> Sources<'_> {
        Sources {
            inventory: &self.machines,
            contexts: &self.contexts,
            minions: &self.machines,
            masters: &self.machines,
            sleepers: &self.sleepers,
            addresses: &self.addresses,
            jobs: 8,
        }
    }

    /// Surveys all of it.
    ///
    /// # Errors
    /// Those of the survey.
    pub async fn survey(&self) -> PortResult<Fleet> {
        survey::survey(&self.sources(), |_| Depth::Nodes).await
    }

    /// Asks a master to take over.
    ///
    /// # Errors
    /// What keeps it from that.
    pub async fn new_master(&self, fleet: &Fleet, master: &StackName) -> Result<NewMaster, MasterRefusal> {
        survey::new_master(fleet, master, None, &self.machines).await
    }

    /// A request for this scope with everything else as by default.
    pub fn request(master: &NewMaster, scope: Scope) -> Request {
        Request {
            scope,
            master: master.clone(),
            stopped: plan::Stopped::default(),
            highstate: bldr_core::ports::HighstateMode::default(),
            rehearse: false,
            unproven: plan::Unproven::default(),
            patience: plan::Patience::default(),
            ignored_projects: std::collections::BTreeSet::default(),
            ignored_stacks: std::collections::BTreeSet::default(),
        }
    }

    /// Plans the move of all of it to a master, with every default.
    ///
    /// # Errors
    /// Those of the survey, the master and the project file, in words.
    pub async fn plan(&self, master: &str) -> Result<(Fleet, NewMaster, RemasterPlan), String> {
        let mut fleet = survey::list(&self.sources()).await.map_err(|e| e.to_string())?;
        let master = self.new_master(&fleet, &master.parse().map_err(|e: NameError| e.to_string())?).await.map_err(|e| e.to_string())?;
        survey::deepen(&mut fleet, &self.sources(), Some(&master.address), |_| Depth::Nodes).await;
        let projects = self.projects.projects().await.map_err(|e| e.to_string())?;
        let plan = plan::plan(&fleet, &projects, &Self::request(&master, Scope::Fleet));
        soundness::check(&plan, &fleet).map_err(|e| e.to_string())?;
        Ok((fleet, master, plan))
    }

    /// Moves all of it to a master, with every default.
    ///
    /// # Errors
    /// As [`World::plan`].
    pub async fn remaster_all(&self, master: &str) -> Result<RunReport, String> {
        let (fleet, master, plan) = self.plan(master).await?;
        Ok(self.execute(&plan, &fleet, &master, Pacing::jobs(4)).await)
    }

    /// Carries out a plan.
    pub async fn execute(&self, plan: &RemasterPlan, fleet: &Fleet, master: &NewMaster, pacing: Pacing) -> RunReport {
        let run = Run {
            id: RunId(format!("run-{:03}", self.runs.fetch_add(1, Ordering::SeqCst))),
            cloud: "world".into(),
            command: "a test".into(),
            allow_unshared: false,
            master: master.clone(),
            pacing,
            addresses: self.addresses.clone(),
        };
        let ports = Ports {
            contexts: &self.contexts,
            minions: &self.machines,
            masters: &self.machines,
            power: &self.machines,
            sleepers: &self.sleepers,
            fence: &self.fence,
            journal: &self.journal,
            operator: &self.operator,
            clock: self.clock.as_ref(),
        };
        execute::execute(plan, fleet, &run, &ports).await
    }

    /// Whom each part of a node says it obeys.
    ///
    /// # Errors
    /// Those of the simulated disk.
    pub fn allegiance(&self, node: &NodeName) -> PortResult<Allegiance> {
        let name = node.to_string();
        let file = |path| self.machines.file(&name, path);
        let context = self.contexts.text(node.stack()).and_then(|text| Context::parse(&text).ok());
        let named = context.and_then(|context| match context.facts() {
            Ok(bldr_core::fleet::ContextFacts::Mastered { masters, .. }) => <[_; 1]>::try_from(masters).ok().map(|[master]| master.into()),
            _ => None,
        });
        let trusted = file(path::TRUSTED)?.as_deref().and_then(PublicKey::from_pem);
        let is_trusted = |master: &String| {
            let key = self.machines.file(master, path::MASTER_KEY).ok().flatten().as_deref().and_then(PublicKey::from_pem);
            key.is_some() && key == trusted
        };
        let names = self.machines.names();
        Ok(Allegiance {
            context: named,
            build_vars: file(path::BUILD_VARS)?.and_then(|b| BuildVars::decode(&b).ok()?.master()).map(|m| m.to_string()),
            configured: file(path::MINION)?.as_deref().and_then(minion_config::master_of).map(Into::into),
            trusts: names.iter().find(|master| is_trusted(master)).cloned(),
            obeys: names.iter().find(|master| salt::answers(&self.machines, master, &name)).cloned(),
        })
    }

    /// The state of a node's machine.
    pub fn state(&self, node: &str) -> Option<InstanceState> {
        self.machines.get(node).map(|machine| machine.state)
    }
}
