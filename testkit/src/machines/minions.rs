//! What does a login shell on a simulated node do? Everything a minion is asked or told, on its files and its daemon.

use super::{FAILING_STATE, Fault, Machines, path};
use crate::salt;
use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    error::{PortError, PortErrorKind, PortResult},
    fleet::{Host, Kept, NodeFiles, Outlook, PublicKey},
    minion_config,
    ports::{Change, Highstate, HighstateMode, Minions, Proof, Repointing, States},
};
use std::time::Duration;

impl Machines {
    fn files(&self, name: &str) -> PortResult<NodeFiles> {
        let unfinished = self.file(name, path::REPOINTING)?.is_some();
        let daemon = self.get(name).and_then(|machine| machine.minion);
        let peer = daemon.and_then(|daemon| self.get(&daemon.connected?)?.private);
        Ok(NodeFiles {
            build_vars: self.file(name, path::BUILD_VARS)?,
            minion_config: self.file(name, path::MINION)?,
            trusted_key: self.file(name, path::TRUSTED)?.filter(|_| !unfinished),
            highstate_due: self.file(name, path::DUE)?.is_some(),
            minion_id: Some(name.to_owned()),
            minion_key: self.file(name, path::MINION_KEY)?,
            connected: peer.iter().map(ToString::to_string).collect(),
            unconfirmed: match self.is_armed(name)? {
                true => {
                    Some(Kept { minion_config: self.file(name, path::KEPT_MINION)?, trusted_key: self.file(name, path::KEPT_TRUSTED)? })
                }
                false => None,
            },
        })
    }

    /// Whether a switch of this machine waits to be confirmed.
    fn is_armed(&self, name: &str) -> PortResult<bool> {
        Ok(self.file(name, path::DEADLINE)?.is_some())
    }

    /// Keeps what a switch would put back, and arms the watchdog: the deadline comes last.
    fn arm(&self, name: &str, patience: Duration) -> PortResult<()> {
        if !self.is_armed(name)? {
            for (of, kept) in path::SWITCHED {
                let content = self.file(name, of)?;
                self.keep(name, kept, content.as_deref())?;
            }
        }
        let deadline = self.seconds().saturating_add(i64::try_from(patience.as_secs()).unwrap_or(i64::MAX));
        self.keep(name, path::DEADLINE, Some(&deadline.to_string()))
    }

    /// Since 1970, as a node counts.
    fn seconds(&self) -> i64 {
        self.clock.now().0.div_euclid(1000)
    }

    /// Takes the watchdog away, and then what it would have put back.
    fn disarm(&self, name: &str) -> PortResult<()> {
        self.keep(name, path::DEADLINE, None)?;
        path::SWITCHED.iter().try_for_each(|(_, kept)| self.keep(name, kept, None))
    }

    /// What the watchdog of a node does once its time has come.
    pub(super) fn watchdog(&self, name: &str) -> PortResult<()> {
        let deadline = self.file(name, path::DEADLINE)?.and_then(|deadline| deadline.trim().parse::<i64>().ok());
        if deadline.is_some_and(|deadline| self.seconds() >= deadline) { self.put_back(name) } else { Ok(()) }
    }

    fn put_back(&self, name: &str) -> PortResult<()> {
        salt::stop_minion(self, name)?;
        for (of, kept) in path::SWITCHED {
            let content = self.file(name, kept)?;
            self.keep(name, of, content.as_deref())?;
        }
        self.keep(name, path::REPOINTING, None)?;
        self.disarm(name)?;
        salt::start_minion(self, name)
    }

    /// Why the minion of a machine does not take orders from a master; nothing where it does.
    fn doubt(&self, name: &str, address: &MasterAddress, key: &PublicKey) -> PortResult<Option<String>> {
        let files = self.files(name)?;
        let daemon = self.get(name).and_then(|machine| machine.minion).unwrap_or_default();
        let wanted = self.at(address.as_str());
        Ok(if !daemon.up {
            Some("salt-minion is down".into())
        } else if files.trusted_key.as_deref().and_then(PublicKey::from_pem).as_ref() != Some(key) {
            Some("it trusts another key than the master's".into())
        } else if daemon.connected.is_none() || daemon.connected != wanted {
            Some(format!("it is not connected to {address}"))
        } else {
            None
        })
    }

    fn failure(&self, name: &str) -> Option<Highstate> {
        let failed = |summary: &str, failed: &[&str]| {
            Some(Highstate {
                summary: summary.into(),
                failed: failed.iter().map(|state| (*state).into()).collect(),
                ..Highstate::default()
            })
        };
        match self.get(name).and_then(|machine| machine.fault) {
            Some(Fault::HighstateFails) => failed("3 states, 1 failed", &[FAILING_STATE]),
            Some(Fault::HighstateBroken) => failed("it could not be rendered", &[]),
            _ => None,
        }
    }
}

fn refused(reason: String) -> Highstate {
    Highstate { summary: reason, ..Highstate::default() }
}

fn went_well(summary: &str) -> Highstate {
    Highstate { succeeded: true, summary: summary.into(), ..Highstate::default() }
}

#[async_trait]
impl Minions for Machines {
    async fn read(&self, host: &Host) -> PortResult<NodeFiles> {
        let name = self.enter(host).await?;
        self.files(&name)
    }

    async fn examine(&self, host: &Host, address: &MasterAddress) -> PortResult<(NodeFiles, Outlook)> {
        let name = self.enter(host).await?;
        let listening = |m: &String| self.get(m).and_then(|machine| machine.master).is_some_and(|daemon| daemon.up);
        let blocked = self.get(&name).is_some_and(|machine| machine.fault == Some(Fault::PortBlocked));
        let mut outlook = Outlook { version: self.version(&name), obstacles: Vec::new() };
        if blocked || !self.at(address.as_str()).as_ref().is_some_and(listening) {
            outlook.obstacles.push(format!("{address} does not answer at port 4505"));
        }
        Ok((self.files(&name)?, outlook))
    }

    async fn write_build_vars(&self, host: &Host, encoded: &str) -> PortResult<()> {
        let name = self.enter(host).await?;
        self.back_up(&name, path::BUILD_VARS)?;
        self.keep(&name, path::BUILD_VARS, Some(encoded))
    }

    async fn repoint(&self, host: &Host, to: &Repointing) -> PortResult<Change> {
        let name = self.enter(host).await?;
        let config = self.file(&name, path::MINION)?.unwrap_or_default();
        let wanted = minion_config::repointed_to(&config, &to.address);
        let vars = to.build_vars.as_deref().filter(|vars| self.file(&name, path::BUILD_VARS).ok().flatten().as_deref() != Some(vars));
        let begun = self.file(&name, path::REPOINTING)?.is_some();
        if config == wanted && vars.is_none() && !begun && self.doubt(&name, &to.address, &to.key)?.is_none() {
            if self.is_armed(&name)? {
                self.arm(&name, to.patience)?;
            }
            return Ok(Change::NotNeeded);
        }
        self.arm(&name, to.patience)?;
        self.keep(&name, path::REPOINTING, Some(to.address.as_str()))?;
        self.keep(&name, path::DUE, Some(to.address.as_str()))?;
        salt::stop_minion(self, &name)?;
        self.back_up(&name, path::MINION)?;
        self.back_up(&name, path::TRUSTED)?;
        if let Some(vars) = vars {
            self.back_up(&name, path::BUILD_VARS)?;
            self.keep(&name, path::BUILD_VARS, Some(vars))?;
        }
        if config != wanted {
            self.keep(&name, path::MINION, Some(&wanted))?;
        }
        self.keep(&name, path::TRUSTED, Some(to.key.pem()))?;
        salt::start_minion(self, &name)?;
        self.keep(&name, path::REPOINTING, None)?;
        if self.get(&name).is_some_and(|machine| machine.fault == Some(Fault::LostDuringRepoint)) {
            self.change(&name, |machine| machine.fault = None)?;
            return Err(PortError::new(PortErrorKind::Unreachable, host.node.to_string(), "the connection was lost"));
        }
        Ok(Change::Made)
    }

    async fn prove(&self, host: &Host, address: &MasterAddress, key: &PublicKey, within: Duration) -> PortResult<Proof> {
        let name = self.enter(host).await?;
        let Some(doubt) = self.doubt(&name, address, key)? else { return Ok(Proof::Proven) };
        // Nothing here happens by waiting; the time passes all the same.
        self.clock.sleep(within).await;
        Ok(Proof::Unproven(format!("{doubt} after {} s", within.as_secs())))
    }

    async fn confirm(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<()> {
        let name = self.enter(host).await?;
        let files = self.files(&name)?;
        let named = files.minion_config.as_deref().and_then(minion_config::master_of);
        let trusts = files.trusted_key.as_deref().and_then(PublicKey::from_pem);
        if named.as_deref() == Some(address.as_str()) && trusts.as_ref() == Some(key) {
            return self.disarm(&name);
        }
        if files.unconfirmed.is_some() {
            self.put_back(&name)?;
        }
        Err(PortError::new(PortErrorKind::Refused, host.node.to_string(), "it was not confirmed in time and has put itself back"))
    }

    async fn keep(&self, host: &Host) -> PortResult<()> {
        let name = self.enter(host).await?;
        self.disarm(&name)
    }

    async fn revert(&self, host: &Host) -> PortResult<Change> {
        let name = self.enter(host).await?;
        if !self.is_armed(&name)? {
            return Ok(Change::NotNeeded);
        }
        self.put_back(&name)?;
        Ok(Change::Made)
    }

    async fn rehearse(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<Highstate> {
        let name = self.enter(host).await?;
        Ok(match salt::order_would_reach(self, &name, address.as_str(), key.pem())? {
            Err(reason) => refused(reason),
            Ok(()) => self.failure(&name).unwrap_or_else(|| went_well("3 states, 1 would change")),
        })
    }

    async fn highstate(&self, host: &Host, mode: HighstateMode, begun: States) -> PortResult<Highstate> {
        let name = self.enter(host).await?;
        if let Err(reason) = salt::order_reaches(self, &name)? {
            return Ok(refused(reason));
        }
        if mode != HighstateMode::None {
            for state in ["pkg.installed ntp", "file.managed /etc/motd", "cmd.run"] {
                // Nobody has to listen.
                let _ = begun.unbounded_send(state.into());
            }
        }
        if let Some(failure) = self.failure(&name) {
            return Ok(failure);
        }
        Ok(match mode {
            HighstateMode::Apply => {
                let log = self.file(&name, path::HIGHSTATES)?.unwrap_or_default();
                let master = minion_config::master_of(&self.file(&name, path::MINION)?.unwrap_or_default()).unwrap_or_default();
                self.keep(&name, path::HIGHSTATES, Some(&format!("{log}{} ordered by {master}\n", self.clock.now().0)))?;
                self.keep(&name, path::DUE, None)?;
                went_well("3 states, 1 changed")
            }
            HighstateMode::Test => went_well("3 states, 1 would change"),
            HighstateMode::None => went_well("not run"),
        })
    }

    async fn release(&self, _host: &Host) {}
}
