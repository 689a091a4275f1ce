//! Could what a launch makes be brought up to date? What its first update would refuse is refused before anything is made.

use super::plan::{LaunchPlan, Refusal};
use crate::{
    fleet::{ContextFacts, Fleet, Host, Node, Standing},
    name::StackName,
    salt_version::SaltVersion,
    update::{Salt, salt},
};
use std::net::IpAddr;

/// The master that a new stack takes its orders from, and where it can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItsMaster {
    /// Its stack.
    pub name: StackName,
    /// Where it is.
    pub host: Host,
}

impl LaunchPlan {
    /// Whose minion the stack will be. `None` where it takes its orders from itself or from nobody, and where its context has a
    /// name for its master: where that leads is for its machines to find out.
    ///
    /// # Errors
    /// A context that names another number of masters than one; a master that is not there or does not run.
    pub fn master(&self, fleet: &Fleet) -> Result<Option<ItsMaster>, Refusal> {
        let ContextFacts::Mastered { masters, .. } = self.facts()? else { return Ok(None) };
        if self.stack.is_master() {
            return Ok(None);
        }
        let [address] = &masters[..] else { return Err(Refusal::Masters { stack: self.stack.clone(), masters: masters.len() }) };
        if address.parse::<IpAddr>().is_err() {
            return Ok(None);
        }
        let none = || Refusal::NoMaster { address: address.to_string(), region: fleet.region.clone() };
        let master = fleet.master_at(address).ok_or_else(none)?;
        let host = master.running().and_then(Node::host).ok_or_else(|| Refusal::MasterDown(master.name.clone()))?;
        Ok(Some(ItsMaster { name: master.name.clone(), host }))
    }

    /// The version of Salt that its machines get where their image has none; `None` where it takes its orders from nobody. What
    /// its master says of itself decides with, where it could be asked.
    ///
    /// # Errors
    /// A master that answers nobody; a context that asks for no Salt, or for one that is newer than its master's.
    pub fn salt(&self, master: Option<(&StackName, &Standing)>) -> Result<Option<SaltVersion>, Refusal> {
        if self.facts()? == ContextFacts::Masterless {
            return Ok(None);
        }
        if let Some((master, Some(why))) = master.map(|(name, standing)| (name, &standing.silent)) {
            return Err(Refusal::MasterSilent { master: master.clone(), why: why.clone() });
        }
        let its = master.and_then(|(_, standing)| standing.version.as_ref());
        match salt(None, self.context.salt().as_deref(), its) {
            Ok(Salt::Install(version)) => Ok(Some(version)),
            Ok(Salt::Right | Salt::Newer) => Ok(None),
            Err(why) => Err(Refusal::Salt { stack: self.stack.clone(), why }),
        }
    }

    fn facts(&self) -> Result<ContextFacts, Refusal> {
        self.context.facts().map_err(|problem| Refusal::Context { stack: self.stack.clone(), problem })
    }
}
