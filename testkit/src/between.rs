//! Somebody between bldr and a world, who sees every call on every port: to count it, to delay it, to have something happen at it.

use crate::world::World;
use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    doctor::Workplace,
    error::PortResult,
    event::RunId,
    execute::{self, Ports, Run, RunReport},
    fleet::{Ec2Id, HeldKey, HeldKeys, Host, Instance, NodeFiles, Outlook, PublicKey, Standing},
    name::{NameError, NodeName, StackName},
    pace::{Pacing, Strain},
    plan::{self, Scope},
    ports::{
        Change, ContextStore, Document, Enlistment, Expected, Fence, Highstate, HighstateMode, Installation, Inventory, Journal, Library,
        Masters, Minions, Position, Power, Proof, Record, Refreshed, Replaced, Repointing, Revision, Setup, SharedAddress, Sleeper,
        Sleepers, States, Tenure,
    },
    soundness,
    ssh_key::SshPublicKey,
    survey::{self, AddressPolicy, Depth, Sources},
};
use std::{collections::BTreeSet, time::Duration};

/// Which call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'a> {
    /// To a machine, by the name of the method.
    Machine(&'a Host, &'static str),
    /// To EC2.
    Ec2,
    /// To the contexts, to read.
    Contexts,
    /// To write this stack's context.
    Save(&'a StackName),
    /// To the record.
    Journal,
    /// To what is remembered of stopped nodes.
    Sleepers,
}

/// Who is between.
pub trait Between: Send + Sync {
    /// A call, and what it comes to.
    fn through<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = PortResult<T>> + Send,
    ) -> impl Future<Output = PortResult<T>> + Send;

    /// What of EC2's list of machines is to be seen: all of it, where nothing else is said.
    fn seen(&self, instances: Vec<Instance>) -> Vec<Instance> {
        instances
    }

    /// What stands for whoever acts; the world's own, where nothing else does.
    fn fence(&self) -> Option<&dyn Fence> {
        None
    }
}

/// Whether a run is refused where the team has not been told of the new address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unshared {
    /// It is.
    Refused,
    /// It is not.
    Allowed,
}

/// A world with somebody in front of it.
pub struct Interposed<'a, I> {
    /// The world.
    pub world: &'a World,
    /// Who is in front of it.
    pub between: I,
}

impl<I: Between> Interposed<'_, I> {
    /// One whole run through these ports that moves all of it to a master, from looking at the world to its end.
    ///
    /// # Errors
    /// What keeps it from being begun, in words.
    pub async fn remaster_all(&self, master: &str, id: &RunId, unshared: Unshared) -> Result<RunReport, String> {
        let addresses = AddressPolicy::default();
        let sources =
            Sources { inventory: self, contexts: self, minions: self, masters: self, sleepers: self, addresses: &addresses, jobs: 8 };
        let mut fleet = survey::list(&sources).await.map_err(|error| error.to_string())?;
        let master = master.parse().map_err(|error: NameError| error.to_string())?;
        let master = survey::new_master(&fleet, &master, None, self).await.map_err(|error| error.to_string())?;
        survey::deepen(&mut fleet, &sources, Some(&master.address), |_| Depth::Nodes).await;
        let projects = self.world.projects.projects().await.map_err(|error| error.to_string())?;
        let plan = plan::plan(&fleet, &projects, &World::request(&master, Scope::Fleet));
        soundness::check(&plan, &fleet).map_err(|error| error.to_string())?;
        if let Some(stack) = plan.unshared.first().filter(|_| unshared == Unshared::Refused) {
            return Err(format!("the team has not been told of the new address for {stack}"));
        }
        let run = Run {
            id: id.clone(),
            cloud: "world".into(),
            command: "a test".into(),
            allow_unshared: unshared == Unshared::Allowed,
            master,
            pacing: Pacing::jobs(4),
            addresses,
        };
        let ports = Ports {
            contexts: self,
            minions: self,
            masters: self,
            power: self,
            sleepers: self,
            fence: self,
            journal: self,
            operator: &self.world.operator,
            clock: self.world.clock.as_ref(),
        };
        Ok(execute::execute(&plan, &fleet, &run, &ports).await)
    }
}

#[async_trait]
impl<I: Between> Inventory for Interposed<'_, I> {
    fn region(&self) -> &str {
        Inventory::region(&self.world.machines)
    }
    async fn instances(&self) -> PortResult<Vec<Instance>> {
        Ok(self.between.seen(self.between.through(Call::Ec2, self.world.machines.instances()).await?))
    }
}

#[async_trait]
impl<I: Between> Power for Interposed<'_, I> {
    async fn start(&self, id: &Ec2Id) -> PortResult<Instance> {
        self.between.through(Call::Ec2, self.world.machines.start(id)).await
    }
    async fn stop(&self, id: &Ec2Id) -> PortResult<Instance> {
        self.between.through(Call::Ec2, self.world.machines.stop(id)).await
    }
}

#[async_trait]
impl<I: Between> ContextStore for Interposed<'_, I> {
    async fn list(&self) -> PortResult<Vec<StackName>> {
        self.between.through(Call::Contexts, self.world.contexts.list()).await
    }
    async fn load(&self, stack: &StackName) -> PortResult<Document> {
        self.between.through(Call::Contexts, self.world.contexts.load(stack)).await
    }
    async fn save(&self, stack: &StackName, text: &str, expected: &Expected) -> PortResult<Revision> {
        self.between.through(Call::Save(stack), self.world.contexts.save(stack, text, expected)).await
    }
    async fn remove(&self, stack: &StackName, stored: &Revision) -> PortResult<()> {
        self.between.through(Call::Save(stack), self.world.contexts.remove(stack, stored)).await
    }
    async fn history(&self, stack: &StackName) -> PortResult<Vec<Replaced>> {
        self.between.through(Call::Contexts, self.world.contexts.history(stack)).await
    }
    async fn replaced(&self, stack: &StackName, revision: &Revision) -> PortResult<String> {
        self.between.through(Call::Contexts, self.world.contexts.replaced(stack, revision)).await
    }
}

#[async_trait]
impl<I: Between> Minions for Interposed<'_, I> {
    async fn read(&self, host: &Host) -> PortResult<NodeFiles> {
        self.between.through(Call::Machine(host, "read"), Minions::read(&self.world.machines, host)).await
    }
    async fn examine(&self, host: &Host, address: &MasterAddress) -> PortResult<(NodeFiles, Outlook)> {
        self.between.through(Call::Machine(host, "examine"), self.world.machines.examine(host, address)).await
    }
    async fn write_build_vars(&self, host: &Host, encoded: &str) -> PortResult<()> {
        self.between.through(Call::Machine(host, "write_build_vars"), self.world.machines.write_build_vars(host, encoded)).await
    }
    async fn repoint(&self, host: &Host, to: &Repointing) -> PortResult<Change> {
        self.between.through(Call::Machine(host, "repoint"), self.world.machines.repoint(host, to)).await
    }
    async fn prove(&self, host: &Host, address: &MasterAddress, key: &PublicKey, within: Duration) -> PortResult<Proof> {
        self.between.through(Call::Machine(host, "prove"), self.world.machines.prove(host, address, key, within)).await
    }
    async fn confirm(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<()> {
        self.between.through(Call::Machine(host, "confirm"), self.world.machines.confirm(host, address, key)).await
    }
    async fn keep(&self, host: &Host) -> PortResult<()> {
        self.between.through(Call::Machine(host, "keep"), Minions::keep(&self.world.machines, host)).await
    }
    async fn revert(&self, host: &Host) -> PortResult<Change> {
        self.between.through(Call::Machine(host, "revert"), self.world.machines.revert(host)).await
    }
    async fn rehearse(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<Highstate> {
        self.between.through(Call::Machine(host, "rehearse"), self.world.machines.rehearse(host, address, key)).await
    }
    async fn highstate(&self, host: &Host, mode: HighstateMode, begun: States) -> PortResult<Highstate> {
        self.between.through(Call::Machine(host, "highstate"), self.world.machines.highstate(host, mode, begun)).await
    }
    async fn release(&self, host: &Host) {
        self.world.machines.release(host).await;
    }
}

#[async_trait]
impl<I: Between> Masters for Interposed<'_, I> {
    async fn read(&self, host: &Host) -> PortResult<Standing> {
        self.between.through(Call::Machine(host, "read"), Masters::read(&self.world.machines, host)).await
    }
    async fn inspect(&self, host: &Host, repositories: &[String], sample: Option<String>) -> PortResult<Workplace> {
        self.between.through(Call::Machine(host, "inspect"), self.world.machines.inspect(host, repositories, sample)).await
    }
    async fn strain(&self, host: &Host) -> PortResult<Strain> {
        self.between.through(Call::Machine(host, "strain"), self.world.machines.strain(host)).await
    }
    async fn accept(&self, host: &Host, id: &str, key: &PublicKey) -> PortResult<Change> {
        self.between.through(Call::Machine(host, "accept"), self.world.machines.accept(host, id, key)).await
    }
    async fn ping(&self, host: &Host, ids: &[String], within: Duration) -> PortResult<BTreeSet<String>> {
        self.between.through(Call::Machine(host, "ping"), self.world.machines.ping(host, ids, within)).await
    }
    async fn forget(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>> {
        self.between.through(Call::Machine(host, "forget"), Masters::forget(&self.world.machines, host, keys)).await
    }
    async fn quarantined(&self, host: &Host) -> PortResult<HeldKeys> {
        self.between.through(Call::Machine(host, "quarantined"), self.world.machines.quarantined(host)).await
    }
    async fn restore(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>> {
        self.between.through(Call::Machine(host, "restore"), self.world.machines.restore(host, keys)).await
    }
}

#[async_trait]
impl<I: Between> Journal for Interposed<'_, I> {
    async fn append(&self, run: &RunId, records: &[Record]) -> PortResult<()> {
        self.between.through(Call::Journal, self.world.journal.append(run, records)).await
    }
    async fn read_on(&self, run: &RunId, from: Position) -> PortResult<(Vec<Record>, Position)> {
        self.world.journal.read_on(run, from).await
    }
    async fn runs(&self) -> PortResult<Vec<RunId>> {
        self.world.journal.runs().await
    }
    async fn keep_output(&self, run: &RunId, node: &NodeName, output: &str) -> PortResult<String> {
        self.between.through(Call::Journal, self.world.journal.keep_output(run, node, output)).await
    }
}

#[async_trait]
impl<I: Between> Sleepers for Interposed<'_, I> {
    async fn all(&self) -> PortResult<Vec<Sleeper>> {
        self.between.through(Call::Sleepers, self.world.sleepers.all()).await
    }
    async fn remember(&self, sleeper: &Sleeper) -> PortResult<()> {
        self.between.through(Call::Sleepers, self.world.sleepers.remember(sleeper)).await
    }
    async fn forget(&self, node: &NodeName) -> PortResult<()> {
        self.between.through(Call::Sleepers, Sleepers::forget(&self.world.sleepers, node)).await
    }
}

#[async_trait]
impl<I: Between> Setup for Interposed<'_, I> {
    async fn first_start(&self, host: &Host, within: Duration) -> PortResult<()> {
        self.between.through(Call::Machine(host, "first_start"), self.world.machines.first_start(host, within)).await
    }
    async fn install(&self, host: &Host, wanted: &Installation) -> PortResult<Change> {
        self.between.through(Call::Machine(host, "install"), self.world.machines.install(host, wanted)).await
    }
    async fn identity(&self, host: &Host) -> PortResult<PublicKey> {
        self.between.through(Call::Machine(host, "identity"), self.world.machines.identity(host)).await
    }
    async fn enlist(&self, host: &Host, to: &Enlistment) -> PortResult<Change> {
        self.between.through(Call::Machine(host, "enlist"), self.world.machines.enlist(host, to)).await
    }
    async fn deploy_key(&self, host: &Host) -> PortResult<SshPublicKey> {
        self.between.through(Call::Machine(host, "deploy_key"), self.world.machines.deploy_key(host)).await
    }
    async fn refresh(&self, host: &Host, library: &Library) -> PortResult<Refreshed> {
        self.between.through(Call::Machine(host, "refresh"), self.world.machines.refresh(host, library)).await
    }
}

impl<I: Between> Fence for Interposed<'_, I> {
    fn standing(&self) -> PortResult<()> {
        self.between.fence().unwrap_or(&self.world.fence).standing()
    }
    fn tenure(&self) -> Option<Tenure> {
        self.between.fence().unwrap_or(&self.world.fence).tenure()
    }
    fn overtaken(&self, by: &str) {
        self.between.fence().unwrap_or(&self.world.fence).overtaken(by);
    }
}
