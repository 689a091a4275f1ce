//! Which keys does a master lose after its update? Those of minions whose stack is no more; better none than one too many. A dry run
//! says which.

use super::{End, Mode, Ports};
use crate::{
    counted::counted,
    error::{PortError, PortErrorKind, PortResult},
    event::Action,
    execute::telling::{Done, Stepped, Telling},
    fleet::{HeldKey, Host, Node},
    name::StackName,
    orphans::{Unsafe, orphans, removable},
    ports::{Change, Masters},
    survey::{self, Depth, Sources},
};
use std::collections::BTreeSet;

/// How the orphans are looked for, and how many of them may go.
pub struct Sweep<'a> {
    /// Where to look for stacks that are alive.
    pub sources: &'a Sources<'a>,
    /// The most that are removed, of a hundred keys that are held.
    pub percent: u32,
}

/// The orphans of a master, and whether they may go.
struct Found {
    keys: Vec<HeldKey>,
    removable: Result<(), Unsafe>,
}

impl Sweep<'_> {
    async fn found(&self, host: &Host, masters: &dyn Masters, telling: &Telling<'_>) -> PortResult<Found> {
        let keys = telling.patiently(async || masters.read(host).await).await?.keys;
        // Listed after the keys were read: whoever came in between is in it.
        let fleet = survey::survey(self.sources, |_| Depth::Listed).await?;
        Ok(Found { keys: orphans(&keys, &fleet).cloned().collect(), removable: removable(&keys, &fleet, self.percent) })
    }

    /// Removes them, all in one go.
    async fn swept(&self, master: &StackName, host: &Host, masters: &dyn Masters, telling: &Telling<'_>) -> Stepped {
        let Found { keys, removable } = self.found(host, masters, telling).await?;
        if let Err(why) = removable {
            let refused = PortError::new(PortErrorKind::Refused, master.as_str(), format!("{why} (no key was removed)"));
            return Err(match why {
                Unsafe::TooMany { .. } => {
                    refused.advise(format!("`bldr keys.orphans:{master}` lists them; the same again with --yes removes them"))
                }
                Unsafe::NoContexts => refused.advise("is it the right --home, and `contexts` in settings.yaml the right folder?"),
                Unsafe::NoFleet { .. } => refused,
            }
            .into());
        }
        if keys.is_empty() {
            return Ok(Done::from(Change::NotNeeded).saying("no orphaned key"));
        }
        let removed = telling.patiently(async || masters.forget(host, &keys).await).await?;
        Ok(Done::from(Change::Made).saying(told(&removed, master)))
    }

    /// Which ones a sweep would remove; `None` where there is none.
    async fn due(&self, master: &StackName, host: &Host, masters: &dyn Masters, telling: &Telling<'_>) -> PortResult<Option<String>> {
        let Found { keys, removable } = self.found(host, masters, telling).await?;
        let ids: BTreeSet<String> = keys.iter().map(|key| key.id.to_string()).collect();
        let what = match removable {
            Ok(()) => format!("`bldr master.update:{master}` removes {}", if ids.len() == 1 { "it" } else { "them" }),
            Err(why @ Unsafe::TooMany { .. }) => format!("{why}: `bldr master.update:{master}` removes them with --yes only"),
            Err(why @ (Unsafe::NoFleet { .. } | Unsafe::NoContexts)) => format!("{why}, so none is removed"),
        };
        Ok((!ids.is_empty()).then(|| format!("orphaned: {}; {what}", listed(&ids))))
    }
}

/// Sweeps a master at the end of its update, or says what a dry run has to say of its keys.
pub(super) async fn swept(
    sweep: &Sweep<'_>,
    mode: Mode,
    node: &Node,
    telling: &Telling<'_>,
    ports: &Ports<'_>,
) -> Result<Option<String>, End> {
    if telling.interrupted() {
        return Err(End::Interrupted);
    }
    let Some(host) = node.host() else { return Ok(None) };
    let master = node.name.stack();
    let mut due = None;
    let taken = async {
        match mode {
            Mode::Apply => sweep.swept(master, &host, ports.masters, telling).await,
            Mode::DryRun => {
                due = sweep.due(master, &host, ports.masters, telling).await?;
                Ok(Done::from(Change::NotNeeded).saying(due.as_deref().unwrap_or("no orphaned key")))
            }
        }
    };
    let ended = telling.step(master, Some(node.name.clone()), Action::Sweep, taken).await;
    ports.minions.release(&host).await;
    ended.map_err(|trouble| End::Failed(trouble.reason))?;
    Ok(due)
}

fn told(removed: &BTreeSet<String>, master: &StackName) -> String {
    format!("{}; `bldr keys.restore:ID,{master}` puts one back", listed(removed))
}

fn listed(ids: &BTreeSet<String>) -> String {
    format!("{}: {}", counted(ids.len(), "key"), ids.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
}
