//! Who may come to a stack's machines? Its security group, and the ports that are open in it.

use super::{Ec2Provisioning, filter, of_stack, tagged};
use crate::{
    failure::Failure,
    instance::CLUSTER,
    refusal::{Refusal, Why},
};
use aws_sdk_ec2::types::{Filter, IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup};
use bldr_core::{
    launch::{OpenPort, Protocol},
    name::StackName,
    ports::{Change, SecurityGroupId},
};
use std::collections::BTreeSet;

impl Ec2Provisioning {
    pub(super) async fn group(
        &self,
        stack: &StackName,
        subnet: Option<&str>,
        open: &[OpenPort],
    ) -> Result<(SecurityGroupId, Change), Failure> {
        let network = self.network(subnet).await?;
        let (group, made) = match self.group_there(stack, &network).await? {
            Some(there) => (there, Change::NotNeeded),
            None => (self.create_group(stack, &network).await?, Change::Made),
        };
        if !group.tags().iter().any(|tag| tag.key() == Some(CLUSTER) && tag.value() == Some(stack.as_str())) {
            return Err(Failure::Provisioning(Refusal::new(Why::ForeignGroup, group.group_id().unwrap_or_default())));
        }
        let id = group.group_id().ok_or_else(|| Failure::Malformed("a security group without an id".to_owned()))?;
        let there = opened(&group);
        let missing: BTreeSet<_> = open.iter().map(OpenPort::canonical).filter(|port| !there.contains(port)).collect();
        let id = SecurityGroupId(id.into());
        if missing.is_empty() {
            return Ok((id, made));
        }
        let permissions = missing.iter().map(permission).collect();
        let ask = self.0.client.authorize_security_group_ingress().group_id(&*id.0).set_ip_permissions(Some(permissions));
        ask.send().await.map_err(|error| self.0.access.failure("ec2:AuthorizeSecurityGroupIngress", &error))?;
        Ok((id, Change::Made))
    }

    /// The network of a subnet; the account's default network where none is named.
    async fn network(&self, subnet: Option<&str>) -> Result<String, Failure> {
        let client = &self.0.client;
        let (found, why) = if let Some(subnet) = subnet {
            let answer = client.describe_subnets().subnet_ids(subnet).send().await;
            let answer = answer.map_err(|error| self.0.access.failure("ec2:DescribeSubnets", &error))?;
            (answer.subnets().first().and_then(|s| s.vpc_id()).map(str::to_owned), Why::NoSubnet)
        } else {
            let answer = client.describe_vpcs().filters(filter("is-default", "true")).send().await;
            let answer = answer.map_err(|error| self.0.access.failure("ec2:DescribeVpcs", &error))?;
            (answer.vpcs().first().and_then(|v| v.vpc_id()).map(str::to_owned), Why::NoDefaultNetwork)
        };
        found.ok_or_else(|| Failure::Provisioning(Refusal::new(why, subnet.unwrap_or_default())))
    }

    async fn group_there(&self, stack: &StackName, network: &str) -> Result<Option<SecurityGroup>, Failure> {
        let named = filter("group-name", stack.as_str());
        Ok(self.groups([filter("vpc-id", network), named]).await?.into_iter().next())
    }

    /// Makes it and waits until it is to be seen: EC2 is not done with it when it says so, and whoever uses it at once may
    /// hear that there is no such group.
    async fn create_group(&self, stack: &StackName, network: &str) -> Result<SecurityGroup, Failure> {
        let ask = self.0.client.create_security_group().group_name(stack.as_str()).vpc_id(network);
        let ask = ask.description(format!("Who may come to {stack}")).tag_specifications(of_stack(stack, ResourceType::SecurityGroup));
        let made = ask.send().await.map_err(|error| self.0.access.failure("ec2:CreateSecurityGroup", &error))?;
        let mut wait = self.0.patience.begin();
        loop {
            if let Some(seen) = self.group_there(stack, network).await? {
                return Ok(seen);
            }
            if !wait.goes_on().await {
                return Err(Failure::Provisioning(Refusal::new(Why::NoGroup, made.group_id().unwrap_or_default())));
            }
        }
    }

    /// The groups that were made for the stack, in whichever network.
    pub(super) async fn own_groups(&self, stack: &StackName) -> Result<Vec<SecurityGroupId>, Failure> {
        let groups = self.groups([filter("group-name", stack.as_str()), tagged(stack)]).await?;
        let ids: BTreeSet<_> = groups.iter().filter_map(|group| Some(SecurityGroupId(group.group_id()?.into()))).collect();
        Ok(ids.into_iter().collect())
    }

    async fn groups(&self, filters: [Filter; 2]) -> Result<Vec<SecurityGroup>, Failure> {
        let answer = self.0.client.describe_security_groups().set_filters(Some(filters.into())).send().await;
        let answer = answer.map_err(|error| self.0.access.failure("ec2:DescribeSecurityGroups", &error))?;
        Ok(answer.security_groups.unwrap_or_default())
    }
}

fn permission(port: &OpenPort) -> IpPermission {
    let rule = IpPermission::builder().ip_protocol(port.protocol.to_string()).from_port(port.from.into()).to_port(port.to.into());
    if port.cidr.contains(':') {
        rule.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(&port.cidr).build()).build()
    } else {
        rule.ip_ranges(IpRange::builder().cidr_ip(&port.cidr).build()).build()
    }
}

/// What is open in a group, as far as a launch could have asked for it.
fn opened(group: &SecurityGroup) -> BTreeSet<OpenPort> {
    let of_rule = |rule: &IpPermission| {
        let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|protocol| rule.ip_protocol() == Some(&*protocol.to_string()))?;
        let port = |number: Option<i32>| u16::try_from(number?).ok();
        let (from, to) = (port(rule.from_port())?, port(rule.to_port())?);
        let v4 = rule.ip_ranges().iter().filter_map(|range| range.cidr_ip());
        let v6 = rule.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6());
        let open = v4.chain(v6).map(|cidr| OpenPort { from, to, protocol, cidr: cidr.into() }.canonical());
        Some(open.collect::<Vec<_>>())
    };
    group.ip_permissions().iter().filter_map(of_rule).flatten().collect()
}
