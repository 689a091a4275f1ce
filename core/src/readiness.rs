//! What would keep a minion from joining a master? Decided before anything is changed.

use crate::{
    fleet::{Evidence, KeyState, Outlook},
    name::NodeName,
    survey::NewMaster,
};
use std::cmp::Ordering;

/// Whether a node could be switched to a master now. The outlook is what it said of that master, where it was asked.
///
/// # Errors
/// Why not, and what to do about it: something on the node stands in the way, it has no Salt, its Salt is newer than the master's, its id is
/// none, the master holds another key under its id or has rejected its own.
pub fn of(node: &NodeName, evidence: &Evidence, outlook: Option<&Outlook>, master: &NewMaster) -> Result<(), String> {
    if let Some(outlook) = outlook {
        if let Some(obstacle) = outlook.obstacles.first() {
            return Err(format!("{node}: {}", outlook.obstacles[1..].iter().fold(obstacle.clone(), |all, next| format!("{all}; {next}"))));
        }
        if outlook.version.is_none() {
            return Err(format!("{node}: there is no salt-minion on it; `bldr update:{}` installs it", node.stack()));
        }
        if let (Some(minion), Some(its)) = (&outlook.version, &master.standing.version)
            && minion.compared(its) == Ordering::Greater
        {
            return Err(format!(
                "{node}: its Salt ({minion}) is newer than that of {} ({its}), and a master must not be older than its minions; update the master first",
                master.stack
            ));
        }
    }
    let (Some(id), Some(key)) = (&evidence.minion_id, evidence.minion_key) else {
        return Err(format!("{node}: there is no minion key on it: salt-minion has never run there; start it once"));
    };
    // It becomes a file name on the master, and part of a list there.
    if !is_plain(id) {
        let shown: String = id.chars().filter(|c| !c.is_control()).take(60).collect();
        return Err(format!(
            "{node}: its minion id '{shown}' has characters other than letters, digits, '-', '_' and '.'; give it another `id:`"
        ));
    }
    let held = master.standing.keys.under(id);
    if held.iter().any(|held| held.key != key) {
        return Err(format!(
            "{node}: {0} holds another key under its id '{id}'; if that is an old one, `salt-key -d {id}` on {0} removes it",
            master.stack
        ));
    }
    if held.iter().any(|held| held.state == KeyState::Rejected) {
        return Err(format!("{node}: {0} has rejected its key; `salt-key -d {id}` on {0} forgets that", master.stack));
    }
    Ok(())
}

/// Whether a minion's id is a plain name: nothing else is made a path or an argument on a master.
pub(crate) fn is_plain(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !id.is_empty() && !id.starts_with('.') && id.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fleet::{HeldKeys, Host, NodeFiles, PublicKey, Standing},
        survey,
    };

    #[test]
    fn an_id_that_is_no_name_goes_nowhere_near_the_master() {
        let key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let standing = Standing { key: PublicKey::from_pem(key).unwrap(), version: None, silent: None, keys: HeldKeys::default() };
        let host = Host { node: "master-server--b--1".parse().unwrap(), address: "10.0.0.2".parse().unwrap() };
        let (stack, address) = ("master-server--b".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let master = NewMaster { stack, host, address, peers: Vec::new(), standing };
        let judged = |id: &str| {
            let files = NodeFiles { minion_id: Some(id.into()), minion_key: Some(key.into()), ..NodeFiles::default() };
            of(&"harbor--ci--1".parse().unwrap(), &survey::evidence(&files), None, &master)
        };
        for id in ["../../etc/cron.d/x", ".hidden", "", "a,b", "a b", "a*", "a\nb"] {
            assert!(judged(id).unwrap_err().contains("its minion id"), "{id:?}");
        }
        for id in ["harbor--ci--1", "host.example.org"] {
            assert_eq!(judged(id), Ok(()), "{id}");
        }
    }
}
