//! How does one get to EC2?

use crate::{
    account::Account, failure::Access, inventory::Ec2Inventory, patience::Patience, power::Ec2Power, provisioning::Ec2Provisioning,
};
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_ec2::Client;
use bldr_core::error::PortResult;
use std::{sync::Arc, time::Duration};

/// A region of EC2, ready to be asked. Cheap to clone; all clones share connections and the pace of retries.
#[derive(Debug, Clone)]
pub struct Ec2 {
    pub(crate) client: Client,
    pub(crate) region: Arc<str>,
    pub(crate) access: Access,
    pub(crate) patience: Patience,
}

/// A page of a thousand instances takes EC2 a few seconds; an answer that takes a minute does not come.
const ATTEMPT: Duration = Duration::from_secs(60);

impl Ec2 {
    /// Prepares to ask a region; the default is the one of `AWS_REGION`, the profile, or the machine bldr runs on.
    ///
    /// Asks nobody, except the machine's own metadata service where neither argument, environment nor profile names a region.
    ///
    /// # Errors
    /// No region is set anywhere, or its name cannot be one. Credentials are first looked at when something is asked.
    pub async fn connect(region: Option<String>) -> PortResult<Self> {
        Self::load(aws_config::defaults(BehaviorVersion::latest()), region).await
    }

    /// [`Self::connect`], from settings that a test has made.
    pub(crate) async fn load(loader: ConfigLoader, region: Option<String>) -> PortResult<Self> {
        let account = Account::load(loader, region).await?;
        let (access, asked) = account.access("EC2");
        let config = aws_sdk_ec2::config::Builder::from(&account.shared)
            .retry_config(account.retries.clone())
            .timeout_config(account.times(ATTEMPT))
            .interceptor(asked)
            .build();
        Ok(Self { client: Client::from_conf(config), region: account.region, access, patience: Patience::default() })
    }

    /// Who is there?
    #[must_use]
    pub fn inventory(&self) -> Ec2Inventory {
        Ec2Inventory(self.clone())
    }

    /// On and off.
    #[must_use]
    pub fn power(&self) -> Ec2Power {
        Ec2Power(self.clone())
    }

    /// What a launch makes and a destroy removes.
    #[must_use]
    pub fn provisioning(&self) -> Ec2Provisioning {
        Ec2Provisioning(self.clone())
    }
}
