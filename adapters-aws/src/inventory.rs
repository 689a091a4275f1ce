//! Which machines are there? The whole region by one paginated DescribeInstances.

use crate::{
    connection::Ec2,
    failure::Failure,
    instance::{CLOUDFORMATION, CLUSTER, ours},
};
use aws_sdk_ec2::types::{Filter, Instance as Theirs, Reservation};
use bldr_core::{
    error::PortResult,
    fleet::{Instance, InstanceState},
    ports::Inventory,
};
use std::collections::BTreeMap;

/// The instances of a region that carry a stack's tag.
#[derive(Debug, Clone)]
pub struct Ec2Inventory(pub(crate) Ec2);

/// The largest page EC2 gives.
const PAGE: i32 = 1000;

#[async_trait::async_trait]
impl Inventory for Ec2Inventory {
    fn region(&self) -> &str {
        &self.0.region
    }

    async fn instances(&self) -> PortResult<Vec<Instance>> {
        self.all().await.map_err(|failure| failure.about(format!("EC2 in {}", self.0.region)))
    }
}

impl Ec2Inventory {
    async fn all(&self) -> Result<Vec<Instance>, Failure> {
        // The values of one filter are alternatives: either tag will do.
        listed(&self.0, Filter::builder().name("tag-key").values(CLUSTER).values(CLOUDFORMATION).build(), &ALIVE, |_| true).await
    }
}

/// The states of a machine that is there and stays there.
pub(crate) const ALIVE: [InstanceState; 4] =
    [InstanceState::Pending, InstanceState::Running, InstanceState::Stopping, InstanceState::Stopped];

/// Every instance that has these tags, is in one of these states and is meant, by id; all pages or an error.
pub(crate) async fn listed(
    ec2: &Ec2,
    tagged: Filter,
    states: &[InstanceState],
    meant: impl Fn(&Theirs) -> bool,
) -> Result<Vec<Instance>, Failure> {
    let in_state = states.iter().fold(Filter::builder().name("instance-state-name"), |f, s| f.values(s.to_string())).build();
    let mut pages = ec2.client.describe_instances().filters(tagged).filters(in_state).into_paginator().page_size(PAGE).send();

    // By id: an instance that moves between two pages while they are read must not count twice.
    let mut found = BTreeMap::new();
    let mut more = false;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| ec2.access.failure("ec2:DescribeInstances", &error))?;
        for theirs in page.reservations().iter().flat_map(Reservation::instances).filter(|theirs| meant(theirs)) {
            if let Some(instance) = ours(theirs)? {
                found.insert(instance.id.clone(), instance);
            }
        }
        more = page.next_token().is_some_and(|t| !t.is_empty());
    }
    // The SDK stops without a word when a page points to itself; a part of the fleet must not pass for all of it.
    if more {
        return Err(Failure::Malformed("the same page again and again".to_owned()));
    }
    Ok(found.into_values().filter(|i| states.contains(&i.state)).collect())
}
