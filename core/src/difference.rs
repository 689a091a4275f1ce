//! What differs on a node from being on its new master? By what it says of itself; nothing where it is there.

use crate::{
    fleet::{Evidence, InstanceState, KeyState, Node, Reading},
    ports::HighstateMode,
    readiness,
    survey::NewMaster,
};
use serde::{Deserialize, Serialize};

/// One thing that differs from what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The context names another master.
    Context,
    /// Build vars name another master.
    BuildVars,
    /// The minion's configuration names another master.
    Configuration,
    /// The minion trusts another key, or none.
    TrustedKey,
    /// The new master has not accepted the minion's key: it would never answer.
    Introduction,
    /// The minion is not connected to the new master, or to another one as well.
    Connection,
    /// The minion was switched, and that was not confirmed: it would put itself back.
    Unconfirmed,
    /// The minion was repointed and no highstate has succeeded since.
    HighstateDue,
    /// A node is stopped and cannot be asked.
    Asleep,
    /// A node was started by an earlier run and not stopped again.
    LeftRunning,
}

/// What differs on a node; an error where that cannot be told, or nothing could be done about it.
///
/// # Errors
/// A sentence that begins with the node's name, and says what would help.
pub fn of(node: &Node, master: &NewMaster, highstate: HighstateMode) -> Result<Vec<Difference>, String> {
    match &node.evidence {
        Reading::Read(evidence) => {
            if let Err(problem) = &evidence.build_vars {
                return Err(format!("{}: {problem}; 'buildvars.fix:{}' regenerates them", node.name, node.name.stack()));
            }
            let differences = by_evidence(evidence, master, highstate);
            let asleep = node.state != InstanceState::Running;
            match differences.is_empty() || asleep {
                true => Ok(differences),
                false => ready(node, evidence, master).map(|()| differences),
            }
        }
        _ if node.state != InstanceState::Running => Ok(vec![Difference::Asleep]),
        Reading::Unreadable(problem) => Err(problem.to_string()),
        Reading::Absent => Err(format!("{}: it says nothing of its master", node.name)),
        Reading::NotAsked if node.reach.is_none() => Err(format!("{}: it has no address to connect to", node.name)),
        Reading::NotAsked => Err(format!("{}: it was not asked", node.name)),
    }
}

fn ready(node: &Node, evidence: &Evidence, master: &NewMaster) -> Result<(), String> {
    readiness::of(&node.name, evidence, node.outlook.as_deref(), master)
}

/// What differs from what was asked for, by what the node says of itself.
pub fn by_evidence(evidence: &Evidence, master: &NewMaster, highstate: HighstateMode) -> Vec<Difference> {
    let build_vars = evidence.build_vars.as_ref().is_ok_and(|named| named.as_ref() == Some(&master.address));
    let is_it = |peer: &str| master.peers.iter().any(|address| address.as_str() == peer);
    let held = evidence.minion_id.as_deref().map_or(&[][..], |id| master.standing.keys.under(id));
    let introduced = held.iter().any(|held| held.state == KeyState::Accepted && Some(held.key) == evidence.minion_key);
    let connected = !evidence.connected.is_empty() && evidence.connected.iter().all(|peer| is_it(peer));
    let configured = evidence.configured.as_deref() == Some(master.address.as_str());
    let trusts = evidence.trusted == Some(master.standing.key.fingerprint());
    let facts = [
        (Difference::BuildVars, !build_vars),
        (Difference::Configuration, !configured),
        (Difference::TrustedKey, !trusts),
        // Of a node that is on its way to a master, that goes without saying.
        (Difference::Introduction, configured && trusts && !introduced),
        (Difference::Connection, !connected),
        (Difference::Unconfirmed, evidence.unconfirmed),
        (Difference::HighstateDue, evidence.highstate_due && highstate == HighstateMode::Apply),
    ];
    facts.into_iter().filter(|(_, differs)| *differs).map(|(difference, _)| difference).collect()
}
