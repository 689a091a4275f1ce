//! How are simulated machines known? By what they have printed on their consoles, once that was learnt; those that have printed
//! nothing, and those of which nothing was learnt, are believed.

use super::{Machines, path, provisioning::ACCOUNT};
use async_trait::async_trait;
use bldr_core::{
    console,
    error::{PortError, PortErrorKind, PortResult},
    fleet::Host,
    ports::HostKeys,
    ssh_key::SshPublicKey,
};

/// A file for each address, with a key a line.
fn known_by(host: &Host) -> String {
    format!("/known-hosts/{}", host.address)
}

impl Machines {
    /// That the machine of this name, which is at that address, is the one that was learnt.
    pub(super) fn recognised(&self, host: &Host, name: &str) -> PortResult<()> {
        let Some(known) = self.file(ACCOUNT, &known_by(host))? else { return Ok(()) };
        let shown = console::host_keys(&self.file(name, path::CONSOLE)?.unwrap_or_default());
        let learnt = |key: &SshPublicKey| known.lines().any(|line| SshPublicKey::from_openssh(line).as_ref() == Some(key));
        if shown.is_empty() || shown.iter().any(learnt) {
            return Ok(());
        }
        let problem = format!("{} shows another host key than the one that is known", host.address);
        Err(PortError::new(PortErrorKind::Denied, host.node.to_string(), problem))
    }
}

#[async_trait]
impl HostKeys for Machines {
    async fn learn(&self, host: &Host, keys: &[SshPublicKey]) -> PortResult<()> {
        let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
        self.keep(ACCOUNT, &known_by(host), Some(&lines))
    }
    async fn known(&self, host: &Host) -> PortResult<bool> {
        Ok(self.file(ACCOUNT, &known_by(host))?.is_some())
    }
    async fn forget(&self, host: &Host) -> PortResult<()> {
        self.keep(ACCOUNT, &known_by(host), None)
    }
}
