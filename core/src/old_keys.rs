//! Which masters still hold the keys of minions that have left them?

use crate::{
    fleet::{Evidence, Fleet, HeldKey, KeyFingerprint},
    name::StackName,
    readiness,
};
use std::collections::BTreeMap;

/// What a minion shows its master: its id and its key.
pub type Identity = (Box<str>, KeyFingerprint);

/// What the minion of a node shows its master; `None` where no minion has run there yet, or its id is
/// no plain name.
pub fn identity(evidence: &Evidence) -> Option<Identity> {
    let id = evidence.minion_id.as_ref().filter(|id| readiness::is_plain(id))?;
    Some((id.clone(), evidence.minion_key?))
}

/// The keys of these minions that the masters of a fleet hold, by master; the one they are on is left out. A key that
/// differs under the same id is another minion's.
pub fn held_elsewhere(fleet: &Fleet, new: &StackName, minions: &[Identity]) -> BTreeMap<StackName, Vec<HeldKey>> {
    let known: BTreeMap<_, _> = minions.iter().map(|(id, key)| (id, key)).collect();
    let masters = fleet.standings.iter().filter(|(master, _)| *master != new);
    let held = masters.filter_map(|(master, standing)| {
        let keys: Vec<HeldKey> = standing.ok()?.keys.iter().filter(|held| known.get(&held.id) == Some(&&held.key)).cloned().collect();
        (!keys.is_empty()).then(|| (master.clone(), keys))
    });
    held.collect()
}
