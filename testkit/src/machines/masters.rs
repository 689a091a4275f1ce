//! What does a login shell on a simulated master do? Everything a salt-master is asked or told, on its folders of keys.

use super::{Machines, path};
use crate::salt;
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::{HeldKey, HeldKeys, Host, KeyState, PublicKey, Standing},
    ports::{Change, Masters},
};
use std::{collections::BTreeSet, time::Duration};

const FOLDERS: [(&str, KeyState); 4] = [
    (path::ACCEPTED, KeyState::Accepted),
    (path::PENDING, KeyState::Pending),
    (path::REJECTED, KeyState::Rejected),
    (path::DENIED, KeyState::Denied),
];

impl Machines {
    fn held(&self, master: &str) -> PortResult<HeldKeys> {
        let mut held = Vec::new();
        for (folder, state) in FOLDERS {
            for id in self.list(master, folder)? {
                if let Some(key) = self.file(master, &format!("{folder}/{id}"))?.as_deref().and_then(PublicKey::from_pem) {
                    held.push(HeldKey { id: id.into(), state, key: key.fingerprint() });
                }
            }
        }
        Ok(held.into_iter().collect())
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

    async fn accept(&self, host: &Host, id: &str, key: &PublicKey) -> PortResult<Change> {
        let name = self.enter(host).await?;
        let conflict = |problem: String| Err(PortError::new(PortErrorKind::Conflict, host.node.to_string(), problem));
        let held = self.held(&name)?;
        let of_id = held.under(id);
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
        let mut removed = BTreeSet::new();
        for (folder, state) in FOLDERS {
            for key in held.iter().filter(|held| held.state == state && keys.iter().any(|key| key.id == held.id && key.key == held.key)) {
                let file = format!("{folder}/{}", key.id);
                let content = self.file(&name, &file)?;
                self.keep(&name, &format!("{}/{}", path::QUARANTINE, key.id), content.as_deref())?;
                self.keep(&name, &file, None)?;
                removed.insert(key.id.to_string());
            }
        }
        Ok(removed)
    }
}
