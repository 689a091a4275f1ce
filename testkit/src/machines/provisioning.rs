//! How do simulated machines come and go? Key pairs and security groups are files as well: those of a machine that is none.

use super::{Machine, Machines, path, trouble};
use crate::salt;
use async_trait::async_trait;
use bldr_core::{
    address::HostAddress,
    error::{PortError, PortErrorKind, PortResult},
    fleet::{Ec2Id, Instance, InstanceState},
    launch::OpenPort,
    name::StackName,
    ports::{Belongings, Change, Order, Provisioning, SecurityGroupId},
    ssh_key::SshPublicKey,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, time::Duration};

/// Whose files the key pairs and security groups are. It has no record, and so is no machine.
pub(super) const ACCOUNT: &str = ".ec2";
const KEY_PAIRS: &str = "/key-pairs";
const GROUPS: &str = "/security-groups";

/// A key pair of a simulated account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// The public key, as OpenSSH writes it.
    pub key: String,
    /// The tag that names its stack.
    pub stack: Option<String>,
}

/// A security group of a simulated account, which has one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// EC2's id.
    pub id: SecurityGroupId,
    /// The tag that names its stack.
    pub stack: Option<String>,
    /// What is open in it.
    pub open: BTreeSet<OpenPort>,
}

impl Machines {
    /// A key pair by name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn key_pair_named(&self, name: &str) -> PortResult<Option<KeyPair>> {
        self.of_account(KEY_PAIRS, name)
    }

    /// Adds a key pair, or replaces the one of that name.
    ///
    /// # Errors
    /// Those of the disk, and the blown fuse.
    pub fn put_key_pair(&self, name: &str, pair: &KeyPair) -> PortResult<()> {
        self.keep_of_account(KEY_PAIRS, name, pair)
    }

    /// A security group by name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn group_named(&self, name: &str) -> PortResult<Option<SecurityGroup>> {
        self.of_account(GROUPS, name)
    }

    /// A security group by id, with its name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn group_with(&self, id: &SecurityGroupId) -> PortResult<Option<(String, SecurityGroup)>> {
        for name in self.list(ACCOUNT, GROUPS)? {
            if let Some(group) = self.group_named(&name)?.filter(|group| group.id == *id) {
                return Ok(Some((name, group)));
            }
        }
        Ok(None)
    }

    /// Adds a security group, or replaces the one of that name.
    ///
    /// # Errors
    /// Those of the disk, and the blown fuse.
    pub fn put_group(&self, name: &str, group: &SecurityGroup) -> PortResult<()> {
        self.keep_of_account(GROUPS, name, group)
    }

    pub(super) fn of_account<T: DeserializeOwned>(&self, folder: &str, name: &str) -> PortResult<Option<T>> {
        let text = self.file(ACCOUNT, &format!("{folder}/{name}"))?;
        text.map(|text| serde_json::from_str(&text).map_err(|e| trouble(name, e))).transpose()
    }

    pub(super) fn keep_of_account(&self, folder: &str, name: &str, value: &impl Serialize) -> PortResult<()> {
        let text = serde_json::to_string_pretty(value).map_err(|e| trouble(name, e))?;
        self.keep(ACCOUNT, &format!("{folder}/{name}"), Some(&text))
    }

    /// An id that nothing has: of this name, at this time.
    fn fresh(&self, prefix: &str, name: &str) -> Box<str> {
        let digest = Sha256::digest(format!("{name} {}", self.clock.now().0));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).take(9).collect();
        format!("{prefix}-{}", &hex[..17]).into()
    }

    fn free_address(&self) -> PortResult<HostAddress> {
        let known = self.known();
        let all = (1..=u16::MAX).map(u16::to_be_bytes).filter_map(|[a, b]| format!("10.200.{a}.{b}").parse().ok());
        let mut free = all.filter(|address| !known.at.contains_key(address));
        free.next().ok_or_else(|| PortError::new(PortErrorKind::Refused, "the simulated subnet", "no address is left in it"))
    }

    /// The names of a stack's machines, in text order.
    fn of_stack(&self, stack: &StackName) -> Vec<(String, Machine)> {
        let known = self.known();
        let own = known.machines.iter().filter(|(_, m)| m.stack == stack.as_str() && m.state != InstanceState::Terminated);
        own.map(|(name, machine)| (name.clone(), machine.clone())).collect()
    }

    /// Nothing is made in no time, and what is made is told from what was there before by its time.
    async fn take_time(&self) {
        self.clock.sleep(self.pace.max(Duration::from_millis(1))).await;
    }
}

#[async_trait]
impl Provisioning for Machines {
    async fn found(&self, stack: &StackName) -> PortResult<Belongings> {
        let own = |tag: &Option<String>| tag.as_deref() == Some(stack.as_str());
        let mut instances: Vec<_> = self.of_stack(stack).iter().map(|(_, machine)| machine.instance()).collect();
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Belongings {
            key_pair: self.key_pair_named(stack.as_str())?.filter(|pair| own(&pair.stack)).map(|_| stack.to_string()),
            security_groups: self
                .group_named(stack.as_str())?
                .filter(|group| own(&group.stack))
                .map(|group| group.id)
                .into_iter()
                .collect(),
            instances,
        })
    }

    async fn key_pair(&self, stack: &StackName, key: &SshPublicKey) -> PortResult<Change> {
        self.take_time().await;
        match self.key_pair_named(stack.as_str())? {
            Some(there) if SshPublicKey::from_openssh(&there.key).as_ref() == Some(key) => Ok(Change::NotNeeded),
            Some(_) => Err(PortError::new(PortErrorKind::Conflict, format!("key pair {stack}"), "another key has that name")),
            None => {
                self.put_key_pair(stack.as_str(), &KeyPair { key: key.to_string(), stack: Some(stack.to_string()) })?;
                Ok(Change::Made)
            }
        }
    }

    async fn security_group<'a>(&self, stack: &StackName, _: Option<&'a str>, open: &[OpenPort]) -> PortResult<(SecurityGroupId, Change)> {
        self.take_time().await;
        let there = self.group_named(stack.as_str())?;
        if there.as_ref().is_some_and(|group| group.stack.as_deref() != Some(stack.as_str())) {
            let problem = "there is one of that name, and it does not carry the stack's tag";
            return Err(PortError::new(PortErrorKind::Conflict, format!("security group {stack}"), problem));
        }
        let made = if there.is_none() { Change::Made } else { Change::NotNeeded };
        let mut group = match there {
            Some(group) => group,
            None => {
                let id = SecurityGroupId(self.fresh("sg", stack.as_str()));
                let group = SecurityGroup { id, stack: Some(stack.to_string()), open: BTreeSet::new() };
                // As on EC2, where it is made with nothing open, and may stay so.
                self.put_group(stack.as_str(), &group)?;
                group
            }
        };
        let before = group.open.len();
        group.open.extend(open.iter().map(OpenPort::canonical));
        if group.open.len() == before {
            return Ok((group.id, made));
        }
        self.put_group(stack.as_str(), &group)?;
        Ok((group.id, Change::Made))
    }

    async fn run(&self, order: &Order) -> PortResult<(Instance, Change)> {
        let (name, number) = (order.node.to_string(), order.node.number().to_string());
        let about = |kind, problem: &str| PortError::new(kind, name.as_str(), problem);
        self.take_time().await;
        let mut there = self.of_stack(order.node.stack());
        there.retain(|(_, m)| m.state != InstanceState::ShuttingDown && m.node_tag.as_deref() == Some(&number));
        match there.as_slice() {
            [] => {}
            [(_, one)] => return Ok((one.instance(), Change::NotNeeded)),
            _ => return Err(about(PortErrorKind::Conflict, "several instances say that they are this node")),
        }
        if self.key_pair_named(order.node.stack().as_str())?.is_none() {
            return Err(about(PortErrorKind::NotFound, "there is no such key pair"));
        }
        if self.group_with(&order.security_group)?.is_none() {
            return Err(about(PortErrorKind::NotFound, "there is no such security group"));
        }
        // A new machine has new disks, whatever was left of one that had its name.
        self.wipe(&name)?;
        self.keep(&name, path::USER_DATA, Some(&order.user_data))?;
        // As cloud-init does at its first start.
        if let Some(vars) = build_vars_in(&order.user_data) {
            self.keep(&name, path::BUILD_VARS, Some(vars))?;
        }
        let machine = Machine {
            id: Ec2Id(self.fresh("i", &name)),
            stack: order.node.stack().to_string(),
            node_tag: Some(number),
            state: InstanceState::Running,
            private: Some(self.free_address()?),
            public: None,
            launched: self.clock.now(),
            master: None,
            minion: None,
            fault: None,
            stopped: None,
            tags: Default::default(),
        };
        // As cloud-init prints it.
        let key = salt::made_up_ssh_key("ssh-ed25519", &machine.id.to_string(), &format!("root@{name}"))?;
        let printed = format!("-----BEGIN SSH HOST KEY KEYS-----\n{key}\n-----END SSH HOST KEY KEYS-----\n");
        self.keep(&name, path::CONSOLE, Some(&printed))?;
        self.put(&name, machine.clone())?;
        Ok((machine.instance(), Change::Made))
    }

    async fn console(&self, id: &Ec2Id) -> PortResult<Option<String>> {
        self.file(&self.by_id(id)?, path::CONSOLE)
    }

    async fn remove(&self, stack: &StackName) -> PortResult<Belongings> {
        let found = self.found(stack).await?;
        for (name, _) in self.of_stack(stack) {
            self.take_time().await;
            salt::shut_down(self, &name)?;
            self.wipe(&name)?;
        }
        if !found.security_groups.is_empty() {
            self.keep(ACCOUNT, &format!("{GROUPS}/{stack}"), None)?;
        }
        if found.key_pair.is_some() {
            self.keep(ACCOUNT, &format!("{KEY_PAIRS}/{stack}"), None)?;
        }
        Ok(found)
    }
}

/// The build vars that a machine is told to write at its first start, in the line `printf %s 'BASE64' >FILE`.
fn build_vars_in(user_data: &str) -> Option<&str> {
    let line = user_data.lines().find(|line| line.trim_end().ends_with(path::BUILD_VARS))?;
    line.split('\'').nth(1)
}
