//! What would keep a minion from joining a master? Decided before anything is changed.

use crate::{
    fleet::{Evidence, KeyState, Outlook},
    name::NodeName,
    survey::NewMaster,
};
use std::cmp::Ordering;

/// Whether a node could be switched to a master now.
///
/// # Errors
/// Why not, and what to do about it: something on the node stands in the way, its Salt is newer than the master's, the
/// master holds another key under its id or has rejected its own.
pub fn of(node: &NodeName, evidence: &Evidence, outlook: &Outlook, master: &NewMaster) -> Result<(), String> {
    if let Some(obstacle) = outlook.obstacles.first() {
        return Err(format!("{node}: {}", outlook.obstacles[1..].iter().fold(obstacle.clone(), |all, next| format!("{all}; {next}"))));
    }
    if let (Some(minion), Some(its)) = (&outlook.version, &master.standing.version)
        && minion.compared(its) == Ordering::Greater
    {
        return Err(format!(
            "{node}: its Salt ({minion}) is newer than that of {} ({its}), and a master must not be older than its minions; update the master first",
            master.stack
        ));
    }
    let (Some(id), Some(key)) = (&evidence.minion_id, evidence.minion_key) else {
        return Err(format!("{node}: there is no minion key on it: salt-minion has never run there; start it once"));
    };
    let held = || master.standing.keys.iter().filter(|held| held.id == *id);
    if held().any(|held| held.key != key) {
        return Err(format!(
            "{node}: {0} holds another key under its id '{id}'; if that is an old one, `salt-key -d {id}` on {0} removes it",
            master.stack
        ));
    }
    if held().any(|held| held.state == KeyState::Rejected) {
        return Err(format!("{node}: {0} has rejected its key; `salt-key -d {id}` on {0} forgets that", master.stack));
    }
    Ok(())
}
