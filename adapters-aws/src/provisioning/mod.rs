//! How does a stack get its machines on EC2, and how do they go? What is made carries the stack's tags; by them it is
//! found again, and nothing else is ever changed.

mod group;
mod key_pair;
mod machine;
mod removal;

use crate::{
    connection::Ec2,
    failure::Failure,
    instance::{CLOUDFORMATION, CLUSTER, NODE},
    inventory::{ALIVE, listed},
};
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use bldr_core::{
    error::PortResult,
    fleet::{Ec2Id, Instance, InstanceState},
    launch::OpenPort,
    name::{NodeName, StackName},
    ports::{Belongings, Change, Order, Provisioning, SecurityGroupId},
    ssh_key::SshPublicKey,
};

/// Key pairs, security groups and machines of stacks, in a region of EC2.
#[derive(Debug, Clone)]
pub struct Ec2Provisioning(pub(crate) Ec2);

#[async_trait::async_trait]
impl Provisioning for Ec2Provisioning {
    async fn found(&self, stack: &StackName) -> PortResult<Belongings> {
        self.belongings(stack).await.map_err(|failure| failure.about(stack.as_str()))
    }

    async fn key_pair(&self, stack: &StackName, key: &SshPublicKey) -> PortResult<Change> {
        self.import(stack, key).await.map_err(|failure| failure.about(format!("key pair {stack}")))
    }

    async fn security_group<'a>(
        &self,
        stack: &StackName,
        subnet: Option<&'a str>,
        open: &[OpenPort],
    ) -> PortResult<(SecurityGroupId, Change)> {
        self.group(stack, subnet, open).await.map_err(|failure| failure.about(format!("security group {stack}")))
    }

    async fn run(&self, order: &Order) -> PortResult<(Instance, Change)> {
        self.machine(order).await.map_err(|failure| failure.about(order.node.to_string()))
    }

    async fn console(&self, id: &Ec2Id) -> PortResult<Option<String>> {
        self.printed(id).await.map_err(|failure| failure.about(format!("instance {id}")))
    }

    async fn remove(&self, stack: &StackName) -> PortResult<Belongings> {
        let found = self.found(stack).await?;
        self.terminate(stack, &found.instances).await?;
        for group in &found.security_groups {
            self.delete_group(group).await.map_err(|failure| failure.about(format!("security group {group} of {stack}")))?;
        }
        if let Some(name) = &found.key_pair {
            self.delete_key(name).await.map_err(|failure| failure.about(format!("key pair {name}")))?;
        }
        Ok(found)
    }
}

impl Ec2Provisioning {
    async fn belongings(&self, stack: &StackName) -> Result<Belongings, Failure> {
        Ok(Belongings {
            key_pair: self.own_key(stack).await?,
            security_groups: self.own_groups(stack).await?,
            instances: self.instances(stack).await?,
        })
    }

    /// The stack's machines, those that are about to go included: they hold on to the security group until they are gone. What
    /// CloudFormation has made is CloudFormation's, whatever other tags it carries.
    async fn instances(&self, stack: &StackName) -> Result<Vec<Instance>, Failure> {
        let states: Vec<_> = ALIVE.into_iter().chain([InstanceState::ShuttingDown]).collect();
        listed(&self.0, tagged(stack), &states, |theirs| !theirs.tags().iter().any(|tag| tag.key() == Some(CLOUDFORMATION))).await
    }
}

/// Only one value passes.
pub(crate) fn filter(name: impl Into<String>, value: impl Into<String>) -> Filter {
    // EC2 takes '*' and '?' in a filter's value for wildcards; neither can be in a name of bldr's, nor in an id.
    Filter::builder().name(name).values(value).build()
}

/// What carries the stack's tag.
fn tagged(stack: &StackName) -> Filter {
    filter(format!("tag:{CLUSTER}"), stack.as_str())
}

/// The tags of what is made for a stack.
fn of_stack(stack: &StackName, made: ResourceType) -> TagSpecification {
    let tags = [("Project", stack.project().to_string()), ("Environment", stack.instance_str().to_owned()), (CLUSTER, stack.to_string())];
    let tag = |(key, value): (&str, String)| Tag::builder().key(key).value(value).build();
    TagSpecification::builder().resource_type(made).set_tags(Some(tags.map(tag).into())).build()
}

/// The tags of what is made for one of its nodes.
fn of_node(node: &NodeName, made: ResourceType) -> TagSpecification {
    let tag = |key: &str, value: String| Tag::builder().key(key).value(value).build();
    let mut specification = of_stack(node.stack(), made);
    let own = [tag("Name", node.to_string()), tag(NODE, node.number().to_string())];
    specification.tags.get_or_insert_default().extend(own);
    specification
}
