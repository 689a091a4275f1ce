//! What does a login shell on a simulated master do? Everything a salt-master is asked or told, on its folders of keys.

use super::{Fault, Machines, path};
use crate::salt;
use async_trait::async_trait;
use bldr_core::{
    doctor::{Content, Disk, Pillar, Root, Workplace},
    error::{PortError, PortErrorKind, PortResult},
    fleet::{HeldKey, HeldKeys, Host, KeyState, PublicKey, Standing},
    pace::Strain,
    ports::{Change, Masters},
};
use std::{collections::BTreeSet, time::Duration};

const FOLDERS: [(&str, KeyState); 4] = [
    ("minions", KeyState::Accepted),
    ("minions_pre", KeyState::Pending),
    ("minions_rejected", KeyState::Rejected),
    ("minions_denied", KeyState::Denied),
];

impl Machines {
    fn held(&self, master: &str) -> PortResult<HeldKeys> {
        self.keys_below(master, path::MASTER_PKI)
    }

    /// The keys it holds under this id: as many as it may, of which there are few, and not all of a fleet's.
    fn held_under(&self, master: &str, id: &str) -> PortResult<Vec<HeldKey>> {
        let mut held = Vec::new();
        for (folder, state) in FOLDERS {
            let file = self.file(master, &format!("{}/{folder}/{id}", path::MASTER_PKI))?;
            held.extend(file.as_deref().and_then(PublicKey::from_pem).map(|key| HeldKey { id: id.into(), state, key: key.fingerprint() }));
        }
        Ok(held)
    }

    fn keys_below(&self, master: &str, place: &str) -> PortResult<HeldKeys> {
        let mut held = Vec::new();
        for (folder, state) in FOLDERS {
            for id in self.list(master, &format!("{place}/{folder}"))? {
                if let Some(key) = self.file(master, &format!("{place}/{folder}/{id}"))?.as_deref().and_then(PublicKey::from_pem) {
                    held.push(HeldKey { id: id.into(), state, key: key.fingerprint() });
                }
            }
        }
        Ok(held.into_iter().collect())
    }
}

impl Machines {
    fn move_keys<'k>(&self, name: &str, keys: impl Iterator<Item = &'k HeldKey>, from: &str, to: &str) -> PortResult<BTreeSet<String>> {
        let mut moved = BTreeSet::new();
        for key in keys {
            for (folder, _) in FOLDERS.iter().filter(|(_, state)| *state == key.state) {
                let file = |place| format!("{place}/{folder}/{}", key.id);
                let content = self.file(name, &file(from))?;
                self.keep(name, &file(to), content.as_deref())?;
                self.keep(name, &file(from), None)?;
                moved.insert(key.id.to_string());
            }
        }
        Ok(moved)
    }
}

#[async_trait]
impl Masters for Machines {
    async fn read(&self, host: &Host) -> PortResult<Standing> {
        let name = self.enter(host).await?;
        let key = self.file(&name, path::MASTER_KEY)?.as_deref().and_then(PublicKey::from_pem);
        let key = key.ok_or_else(|| {
            PortError::new(PortErrorKind::NotFound, host.node.to_string(), format!("it has no master key ({})", path::MASTER_KEY))
        })?;
        let up = self.get(&name).and_then(|machine| machine.master).is_some_and(|daemon| daemon.up);
        let silent = (!up).then(|| "its salt-master does not run".to_owned());
        Ok(Standing { key, version: self.version(&name), silent, keys: self.held(&name)? })
    }

    async fn inspect(&self, host: &Host, repositories: &[String], sample: Option<String>) -> PortResult<Workplace> {
        let name = self.enter(host).await?;
        let config = self.file(&name, path::MASTER)?.unwrap_or_default();
        let told = |key: &str| config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok());
        // It can read every repository that there is, and its one folder of states is as full as it looks.
        let states = self.list(&name, path::STATES)?;
        Ok(Workplace {
            now: self.clock.now(),
            threads: told("worker_threads").unwrap_or(5),
            processors: 2,
            disks: vec![Disk { mount: "/".into(), free_kib: 20 << 20, used_percent: 20 }],
            roots: vec![Root { path: path::STATES.into(), content: if states.is_empty() { Content::Nothing } else { Content::Files } }],
            repositories: repositories.iter().map(|url| url.contains("/missing").then(|| "Repository not found".into())).collect(),
            pillar: if sample.is_some() { Pillar::Rendered } else { Pillar::Unasked },
        })
    }

    async fn strain(&self, host: &Host) -> PortResult<Strain> {
        let name = self.enter(host).await?;
        let overloaded = self.get(&name).is_some_and(|machine| machine.fault == Some(Fault::Overloaded));
        let pending = self.list(&name, path::PENDING)?.len();
        Ok(Strain { load: if overloaded { 400 } else { 20 }, pending: u32::try_from(pending).unwrap_or(u32::MAX) })
    }

    async fn accept(&self, host: &Host, id: &str, key: &PublicKey) -> PortResult<Change> {
        let name = self.enter(host).await?;
        let conflict = |problem: String| Err(PortError::new(PortErrorKind::Conflict, host.node.to_string(), problem));
        let of_id = self.held_under(&name, id)?;
        if of_id.iter().any(|held| held.key != key.fingerprint()) {
            return conflict(format!("it holds another key under the id '{id}'"));
        }
        if of_id.iter().any(|held| held.state == KeyState::Rejected) {
            return conflict(format!("it has rejected the key of '{id}'"));
        }
        let accepted = of_id.iter().any(|held| held.state == KeyState::Accepted);
        if !accepted {
            self.keep(&name, &format!("{}/{id}", path::ACCEPTED), Some(key.pem()))?;
        }
        for folder in [path::PENDING, path::DENIED] {
            self.keep(&name, &format!("{folder}/{id}"), None)?;
        }
        Ok(if accepted { Change::NotNeeded } else { Change::Made })
    }

    async fn ping(&self, host: &Host, ids: &[String], _: Duration) -> PortResult<BTreeSet<String>> {
        let name = self.enter(host).await?;
        for id in ids {
            self.watchdog(id)?;
        }
        Ok(ids.iter().filter(|id| salt::answers(self, &name, id)).cloned().collect())
    }

    async fn forget(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>> {
        let name = self.enter(host).await?;
        let held = self.held(&name)?;
        let meant = |held: &HeldKey| keys.iter().any(|key| key.id == held.id && key.key == held.key);
        // Salt removes by id: where another key is held under it too, neither is touched.
        let whole = |held_key: &HeldKey| held.under(&held_key.id).iter().all(meant);
        self.move_keys(&name, held.iter().filter(|key| whole(key)), path::MASTER_PKI, path::QUARANTINE)
    }

    async fn quarantined(&self, host: &Host) -> PortResult<HeldKeys> {
        let name = self.enter(host).await?;
        self.keys_below(&name, path::QUARANTINE)
    }

    async fn restore(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>> {
        let name = self.enter(host).await?;
        let held = self.held(&name)?;
        let kept = self.keys_below(&name, path::QUARANTINE)?;
        let meant = |kept: &&HeldKey| keys.iter().any(|key| key.id == kept.id && key.key == kept.key);
        let conflict = |problem: String| Err(PortError::new(PortErrorKind::Conflict, host.node.to_string(), problem));
        for key in kept.iter().filter(meant) {
            if held.under(&key.id).iter().any(|held| held != key) {
                return conflict(format!("it holds a key under the id '{}' by now", key.id));
            }
            if kept.under(&key.id).iter().filter(meant).count() > 1 {
                return conflict(format!("of '{}' several keys were removed; put the right one back by hand", key.id));
            }
        }
        self.move_keys(&name, kept.iter().filter(meant), path::QUARANTINE, path::MASTER_PKI)
    }
}
