use crate::pool::Pool;
use async_trait::async_trait;
use bldr_core::{
    error::PortResult,
    fleet::{Host, PublicKey},
    ports::*,
    ssh_key::SshPublicKey,
};
use std::time::Duration;
/// Stub.
pub struct SshSetup(#[allow(dead_code)] Pool);
impl SshSetup {
    /// New.
    pub fn new(p: Pool) -> Self {
        Self(p)
    }
}
#[async_trait]
impl Setup for SshSetup {
    async fn first_start(&self, _: &Host, _: Duration) -> PortResult<()> {
        unimplemented!()
    }
    async fn install(&self, _: &Host, _: &Installation) -> PortResult<Change> {
        unimplemented!()
    }
    async fn identity(&self, _: &Host) -> PortResult<PublicKey> {
        unimplemented!()
    }
    async fn enlist(&self, _: &Host, _: &Enlistment) -> PortResult<Change> {
        unimplemented!()
    }
    async fn deploy_key(&self, _: &Host) -> PortResult<SshPublicKey> {
        unimplemented!()
    }
    async fn refresh(&self, _: &Host, _: &Library) -> PortResult<Refreshed> {
        unimplemented!()
    }
}
