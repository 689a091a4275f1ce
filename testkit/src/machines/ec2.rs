//! What does EC2 say of simulated machines, and what do its switches do?

use super::{Machine, Machines};
use crate::salt;
use async_trait::async_trait;
use bldr_core::{
    error::PortResult,
    fleet::{Ec2Id, Instance, InstanceState},
    ports::{Inventory, Power},
};
use std::time::Duration;

#[async_trait]
impl Inventory for Machines {
    fn region(&self) -> &str {
        &self.region
    }
    async fn instances(&self) -> PortResult<Vec<Instance>> {
        let known = self.known();
        let gone = |m: &&Machine| !matches!(m.state, InstanceState::Terminated | InstanceState::ShuttingDown);
        Ok(known.machines.values().filter(gone).map(Machine::instance).collect())
    }
}

#[async_trait]
impl Power for Machines {
    async fn start(&self, id: &Ec2Id) -> PortResult<Instance> {
        let name = self.by_id(id)?;
        if self.get(&name).is_some_and(|machine| machine.state == InstanceState::Running) {
            return self.change(&name, |_| {}).map(|machine| machine.instance());
        }
        // Nothing starts in no time, and a machine's start is told from the one before by its time.
        self.clock.sleep(self.pace.max(Duration::from_millis(1))).await;
        let now = self.clock.now();
        self.change(&name, |machine| (machine.state, machine.launched, machine.stopped) = (InstanceState::Running, now, None))?;
        salt::boot(self, &name)?;
        self.change(&name, |_| {}).map(|machine| machine.instance())
    }
    async fn stop(&self, id: &Ec2Id) -> PortResult<Instance> {
        let name = self.by_id(id)?;
        self.clock.sleep(self.pace).await;
        salt::shut_down(self, &name)?;
        let now = self.clock.now();
        self.change(&name, |machine| (machine.state, machine.stopped) = (InstanceState::Stopped, Some(now)))
            .map(|machine| machine.instance())
    }
}
