//! How are masters asked over SSH?

use crate::{minions::run, parse, pool::Pool, script};
use async_trait::async_trait;
use bldr_core::{
    error::PortResult,
    fleet::{Host, PublicKey},
    ports::Masters,
};

/// [`Masters`] over SSH.
#[derive(Clone)]
pub struct SshMasters {
    pool: Pool,
}

impl SshMasters {
    /// Masters that are reached over this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Masters for SshMasters {
    async fn public_key(&self, host: &Host) -> PortResult<PublicKey> {
        let limit = self.pool.settings().command_timeout;
        let answer = run(&self.pool, host, script::PUBLIC_KEY, &[], b"", limit).await;
        answer.and_then(|answer| parse::master_key(&answer)).map_err(|error| error.about(host.node.to_string()))
    }
}
