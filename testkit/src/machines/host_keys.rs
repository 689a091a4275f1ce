//! How are simulated machines known? By their addresses: there is nobody who could pretend to be one. Whose keys were learnt is
//! remembered all the same.

use super::{Machines, provisioning::ACCOUNT};
use async_trait::async_trait;
use bldr_core::{error::PortResult, fleet::Host, ports::HostKeys, ssh_key::SshPublicKey};

fn known(host: &Host) -> String {
    format!("/known/{}", host.node)
}

#[async_trait]
impl HostKeys for Machines {
    async fn learn(&self, host: &Host, _: &[SshPublicKey]) -> PortResult<()> {
        self.keep(ACCOUNT, &known(host), Some(""))
    }
    async fn known(&self, host: &Host) -> PortResult<bool> {
        Ok(self.file(ACCOUNT, &known(host))?.is_some())
    }
    async fn forget(&self, host: &Host) -> PortResult<()> {
        self.keep(ACCOUNT, &known(host), None)
    }
}
