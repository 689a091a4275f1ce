//! How does a machine become known before anybody speaks to it, and unknown when it is gone? By its lines in known_hosts.

use crate::{host_key, known_hosts::KnownHosts, pool::Pool};
use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::Host,
    ports::HostKeys,
    ssh_key::SshPublicKey,
};

/// The host keys of nodes, under the names that connections of this pool look them up by.
#[derive(Clone)]
pub struct SshHostKeys(Pool);

impl SshHostKeys {
    /// The host keys in the known_hosts file of this pool's settings.
    pub fn new(pool: Pool) -> Self {
        Self(pool)
    }

    async fn replace(&self, host: &Host, keys: &[SshPublicKey]) -> PortResult<()> {
        let about = |error: crate::SshError| error.about(host.node.to_string());
        let route = self.0.route(host).map_err(about)?;
        let blobs = keys.iter().map(|key| blob_of(host, key)).collect::<PortResult<_>>()?;
        let book = KnownHosts(self.0.settings().known_hosts.clone());
        book.replace(host_key::host_field(&route.host, route.port), blobs).await.map_err(about)
    }
}

fn blob_of(host: &Host, key: &SshPublicKey) -> PortResult<Vec<u8>> {
    let body = key.line().split_whitespace().nth(1).unwrap_or_default();
    let garbled =
        |error| PortError::new(PortErrorKind::Malformed, host.node.to_string(), format!("'{key}' is no host key")).caused_by(error);
    BASE64_STANDARD.decode(body).map_err(garbled)
}

#[async_trait]
impl HostKeys for SshHostKeys {
    async fn learn(&self, host: &Host, keys: &[SshPublicKey]) -> PortResult<()> {
        self.replace(host, keys).await
    }

    async fn known(&self, host: &Host) -> PortResult<bool> {
        let about = |error: crate::SshError| error.about(host.node.to_string());
        let route = self.0.route(host).map_err(about)?;
        let book = KnownHosts(self.0.settings().known_hosts.clone());
        let entries = book.entries(host_key::host_field(&route.host, route.port)).await.map_err(about)?;
        Ok(entries.iter().any(|entry| !entry.revoked))
    }

    async fn forget(&self, host: &Host) -> PortResult<()> {
        self.replace(host, &[]).await
    }
}
