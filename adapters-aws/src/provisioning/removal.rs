//! How does what a stack has go? Its machines first, and what they hold on to after them.

use super::Ec2Provisioning;
use crate::{failure::Failure, refusal::Why};
use bldr_core::{
    error::PortResult,
    fleet::{Instance, InstanceState},
    name::StackName,
    ports::SecurityGroupId,
};
use std::collections::BTreeSet;

impl Ec2Provisioning {
    /// Terminates machines of the stack and waits until none is left.
    pub(super) async fn terminate(&self, stack: &StackName, instances: &[Instance]) -> PortResult<()> {
        let mut left = instances.to_vec();
        let mut asked = BTreeSet::new();
        let mut wait = self.0.patience.begin();
        while !left.is_empty() {
            let ask: Vec<_> = left.iter().filter(|i| i.state != InstanceState::ShuttingDown && !asked.contains(&i.id)).collect();
            let ids: Vec<_> = ask.iter().map(|i| i.id.to_string()).collect();
            if !ids.is_empty() {
                match self.0.client.terminate_instances().set_instance_ids(Some(ids)).send().await {
                    Ok(_) => asked.extend(ask.iter().map(|i| i.id.clone())),
                    Err(error) => match self.0.access.failure("ec2:TerminateInstances", &error) {
                        // One of them is gone by now, and so EC2 has touched none: the next look shows which are left.
                        Failure::NoSuchInstance => {}
                        failure => return Err(failure.about(stack.as_str())),
                    },
                }
            }
            left = match self.instances(stack).await {
                Ok(seen) => seen,
                Err(failure) if failure.is_transient() && !wait.is_over() => left,
                Err(failure) => return Err(failure.about(stack.as_str())),
            };
            if let Some(Instance { id, state, .. }) = left.first()
                && !wait.goes_on().await
            {
                let stuck = Failure::Stuck { state: *state, goal: InstanceState::Terminated, limit: self.0.patience.limit };
                return Err(stuck.about(format!("instance {id}")));
            }
        }
        Ok(())
    }

    /// EC2 lets go of a group some time after the last machine in it is gone.
    pub(super) async fn delete_group(&self, group: &SecurityGroupId) -> Result<(), Failure> {
        let mut wait = self.0.patience.begin();
        loop {
            let done = self.0.client.delete_security_group().group_id(&*group.0).send().await;
            match done.map_err(|error| self.0.access.failure("ec2:DeleteSecurityGroup", &error)) {
                Err(Failure::Provisioning(refusal)) if refusal.why == Why::NoGroup => return Ok(()),
                Err(Failure::Provisioning(refusal)) if refusal.why == Why::InUse && wait.goes_on().await => {}
                done => return done.map(drop),
            }
        }
    }
}
