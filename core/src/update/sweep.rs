//! Which keys does a master lose after its update? Those of minions whose stack is no more; better none than one too many.

use crate::{
    counted::counted,
    error::{PortError, PortErrorKind},
    execute::telling::{Done, Stepped, Telling},
    fleet::{HeldKey, Host},
    name::StackName,
    orphans::{Unsafe, orphans, removable},
    ports::{Change, Masters},
    survey::{self, Depth, Sources},
};
use std::collections::BTreeSet;

/// How the orphans are looked for, and how many may go.
pub struct Sweep<'a> {
    /// Where to look for stacks that are alive.
    pub sources: &'a Sources<'a>,
    /// The most that are removed without a question, of a hundred keys that are held.
    pub percent: u32,
    /// Whether the operator has said that more may go.
    pub more: bool,
}

impl Sweep<'_> {
    /// Removes them, all in one go.
    pub(crate) async fn swept(&self, master: &StackName, host: &Host, masters: &dyn Masters, telling: &Telling<'_>) -> Stepped {
        let keys = telling.patiently(async || masters.read(host).await).await?.keys;
        // Listed after the keys were read: whoever came in between is in it.
        let fleet = survey::survey(self.sources, |_| Depth::Listed).await?;
        let found: Vec<HeldKey> = orphans(&keys, &fleet).cloned().collect();
        let refused = |why: &Unsafe| PortError::new(PortErrorKind::Refused, master.as_str(), format!("{why} (no key was removed)"));
        match removable(&keys, &fleet, self.percent) {
            Err(why @ Unsafe::TooMany { .. }) if !self.more => {
                let advice = format!("`bldr keys.orphans:{master}` lists them; the same again with --yes removes them");
                return Err(refused(&why).advise(advice).into());
            }
            Err(why @ Unsafe::NoFleet { .. }) => return Err(refused(&why).into()),
            Err(why @ Unsafe::NoContexts) => {
                let advice = "is it the right --home, and `contexts` in settings.yaml the right folder?";
                return Err(refused(&why).advise(advice).into());
            }
            _ => {}
        }
        if found.is_empty() {
            return Ok(Done::from(Change::NotNeeded).saying("no orphaned key"));
        }
        let removed = telling.patiently(async || masters.forget(host, &found).await).await?;
        Ok(Done::from(Change::Made).saying(told(&removed, master)))
    }
}

fn told(removed: &BTreeSet<String>, master: &StackName) -> String {
    let ids = removed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("{}: {ids}; `bldr keys.restore:ID,{master}` puts one back", counted(removed.len(), "key"))
}
