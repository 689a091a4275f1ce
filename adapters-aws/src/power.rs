//! How is a machine switched on and off, and when is it done? Ask, then look until it is so.

use crate::{connection::Ec2, failure::Failure, instance::ours};
use aws_sdk_ec2::types::Reservation;
use bldr_core::{
    error::PortResult,
    fleet::{Ec2Id, Instance, InstanceState},
    ports::Power,
};

/// The mains switch of EC2's machines.
#[derive(Debug, Clone)]
pub struct Ec2Power(pub(crate) Ec2);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Running,
    Stopped,
}

impl Goal {
    fn state(self) -> InstanceState {
        match self {
            Self::Running => InstanceState::Running,
            Self::Stopped => InstanceState::Stopped,
        }
    }
    /// Where EC2 accepts the request; from the states on the way it refuses it.
    fn from(self) -> InstanceState {
        match self {
            Self::Running => InstanceState::Stopped,
            Self::Stopped => InstanceState::Running,
        }
    }
}

/// An instance, and why it is in its state where EC2 says so.
pub(crate) struct Look {
    pub(crate) instance: Instance,
    pub(crate) reason: Option<String>,
}

#[async_trait::async_trait]
impl Power for Ec2Power {
    async fn start(&self, id: &Ec2Id) -> PortResult<Instance> {
        self.bring(id, Goal::Running).await.map_err(|failure| failure.about(format!("instance {id}")))
    }

    async fn stop(&self, id: &Ec2Id) -> PortResult<Instance> {
        self.bring(id, Goal::Stopped).await.map_err(|failure| failure.about(format!("instance {id}")))
    }
}

impl Ec2Power {
    async fn bring(&self, id: &Ec2Id, goal: Goal) -> Result<Instance, Failure> {
        let mut wait = self.0.patience.begin();
        let mut look = self.look(id).await?;
        // On its way means: seen on its way by a look after the request. Right after a request EC2 may still show the old state.
        let (mut asked, mut on_its_way) = (false, false);
        loop {
            let state = look.instance.state;
            match state {
                _ if state == goal.state() => return Ok(look.instance),
                InstanceState::ShuttingDown | InstanceState::Terminated => return Err(Failure::Gone { state }),
                _ if state == goal.from() && on_its_way => return Err(Failure::FellBack { state, reason: look.reason }),
                _ if state == goal.from() && !asked => {
                    match self.ask(id, goal).await {
                        Ok(()) => asked = true,
                        // Somebody else has switched it since the look: look again.
                        Err(Failure::Refused { code, .. }) if code == "IncorrectInstanceState" => {}
                        Err(failure) => return Err(failure),
                    }
                }
                _ => on_its_way = asked && state != goal.from(),
            }
            if !wait.goes_on().await {
                return Err(Failure::Stuck { state, goal: goal.state(), limit: self.0.patience.limit });
            }
            look = match self.look(id).await {
                Ok(seen) => seen,
                // The machine goes on while nobody can see it.
                Err(failure) if failure.is_transient() && !wait.is_over() => look,
                Err(failure) => return Err(failure),
            };
        }
    }

    async fn ask(&self, id: &Ec2Id, goal: Goal) -> Result<(), Failure> {
        let (client, id) = (&self.0.client, id.to_string());
        match goal {
            Goal::Running => {
                client.start_instances().instance_ids(id).send().await.map_err(|e| self.0.access.failure("ec2:StartInstances", &e))?;
            }
            Goal::Stopped => {
                client.stop_instances().instance_ids(id).send().await.map_err(|e| self.0.access.failure("ec2:StopInstances", &e))?;
            }
        }
        Ok(())
    }

    pub(crate) async fn look(&self, id: &Ec2Id) -> Result<Look, Failure> {
        let answer = self.0.client.describe_instances().instance_ids(id.to_string()).send().await;
        let answer = answer.map_err(|error| self.0.access.failure("ec2:DescribeInstances", &error))?;
        let mut all = answer.reservations().iter().flat_map(Reservation::instances);
        let theirs = all.find(|i| i.instance_id() == Some(&id.0)).ok_or(Failure::NoSuchInstance)?;
        let reason = theirs.state_reason().and_then(|r| r.message()).filter(|m| !m.is_empty()).map(str::to_owned);
        Ok(Look { instance: ours(theirs)?.ok_or(Failure::NotOurs)?, reason })
    }
}
