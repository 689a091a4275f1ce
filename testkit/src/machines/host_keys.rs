//! How are simulated machines known? By their addresses: there is nobody who could pretend to be one.

use super::Machines;
use async_trait::async_trait;
use bldr_core::{error::PortResult, fleet::Host, ports::HostKeys, ssh_key::SshPublicKey};

#[async_trait]
impl HostKeys for Machines {
    async fn learn(&self, _: &Host, _: &[SshPublicKey]) -> PortResult<()> {
        Ok(())
    }
    async fn forget(&self, _: &Host) -> PortResult<()> {
        Ok(())
    }
}
