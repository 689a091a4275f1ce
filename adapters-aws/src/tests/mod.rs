//! Does the adapter do on an EC2 what the contract says, and does it explain itself when it cannot?

mod calls;
mod canned;
mod complaints;
mod environment;
mod fleet;
mod lossy;
mod orders;
mod policy;
mod policy_s3;
mod provisioning;
mod shared;
mod state;
mod switching;

use crate::{Ec2, patience::Patience};
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_ec2::config::retry::RetryConfig;
use std::time::Duration;

/// Everything a test decides itself, so that the AWS settings of whoever runs it do not matter.
#[allow(deprecated, reason = "the SDK has no other name for it yet")]
fn settings(endpoint: &str) -> ConfigLoader {
    use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
    let no_files = ProfileFiles::builder().with_contents(ProfileFileKind::Config, "").build();
    aws_config::defaults(BehaviorVersion::latest())
        .profile_files(no_files)
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::standard().with_max_attempts(2).with_max_backoff(Duration::from_millis(100)))
}

/// A connection that has credentials, and little patience.
async fn connected(endpoint: &str) -> Ec2 {
    let mut ec2 = Ec2::load(settings(endpoint).test_credentials(), Some("eu-west-1".into())).await.unwrap();
    ec2.access.profile = Some("ops".into());
    let soon = Duration::from_millis(10);
    ec2.patience = Patience { first: soon, longest: soon, limit: Duration::from_secs(5) };
    ec2
}
