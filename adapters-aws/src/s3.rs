//! How does one get to what a team shares in S3?

use crate::{
    account::Account, bucket::Bucket, contexts::S3Contexts, failure::Access, journal::S3Journal, key_pairs::S3KeyPairs,
    launches::S3Launches, lock::S3Lock, place::BucketPlace, shelf::Shelf, sleepers::S3Sleepers, writer::Writer,
};
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_s3::Client;
use bldr_core::{
    error::PortResult,
    ports::{Clock, KeySmith},
};
use std::{sync::Arc, time::Duration};

/// S3, ready to be asked, by one operator. Cheap to clone; all clones write under the same epoch of the lock.
#[derive(Clone)]
pub struct S3 {
    pub(crate) client: Client,
    pub(crate) access: Access,
    pub(crate) writer: Writer,
}

/// Contexts are a few kilobytes; only what highstates print is more.
const ATTEMPT: Duration = Duration::from_secs(20);

impl S3 {
    /// Prepares to ask a region; the default is that of AWS's conventions. Asks nobody. Everything that is written says who wrote it,
    /// and on which machine.
    ///
    /// # Errors
    /// No region is set anywhere, or its name cannot be one. Credentials are first looked at when something is asked.
    pub async fn connect(region: Option<String>, who: &str, host: &str, clock: Arc<dyn Clock>) -> PortResult<Self> {
        Self::load(aws_config::defaults(BehaviorVersion::latest()), region, Writer::new(who, host, clock)).await
    }

    /// [`Self::connect`], from settings that a test has made.
    pub(crate) async fn load(loader: ConfigLoader, region: Option<String>, writer: Writer) -> PortResult<Self> {
        let account = Account::load(loader, region).await?;
        let (access, asked) = account.access("S3");
        let for_s3 = std::env::var_os("AWS_ENDPOINT_URL_S3").is_some_and(|url| !url.is_empty());
        let config = aws_sdk_s3::config::Builder::from(&account.shared)
            .retry_config(account.retries.clone())
            .timeout_config(account.times(ATTEMPT))
            // Elsewhere than at AWS no bucket has a host name of its own.
            .force_path_style(for_s3 || account.shared.endpoint_url().is_some())
            .interceptor(asked)
            .build();
        Ok(Self { client: Client::from_conf(config), access, writer })
    }

    pub(crate) fn shelf(&self, place: &BucketPlace) -> Shelf {
        let bucket = Bucket { client: self.client.clone(), name: place.bucket.as_str().into(), access: self.access.clone() };
        Shelf { bucket, place: place.clone(), writer: self.writer.clone() }
    }

    /// The contexts in this folder.
    #[must_use]
    pub fn contexts(&self, place: &BucketPlace) -> S3Contexts {
        S3Contexts::new(self.shelf(place))
    }

    /// The key pairs in this folder, made and read by this smith.
    #[must_use]
    pub fn key_pairs(&self, place: &BucketPlace, smith: Arc<dyn KeySmith>) -> S3KeyPairs {
        S3KeyPairs::new(self.shelf(place), smith)
    }

    /// The lock of the fleet whose other state is in this folder.
    #[must_use]
    pub fn lock(&self, place: &BucketPlace) -> S3Lock {
        S3Lock::new(self.shelf(place))
    }

    /// The record of its runs.
    #[must_use]
    pub fn journal(&self, place: &BucketPlace) -> S3Journal {
        S3Journal::new(&self.shelf(place))
    }

    /// What is remembered of its stopped nodes.
    #[must_use]
    pub fn sleepers(&self, place: &BucketPlace) -> S3Sleepers {
        S3Sleepers(self.shelf(place).folder("sleepers"))
    }

    /// Which of its launches were cut short.
    #[must_use]
    pub fn launches(&self, place: &BucketPlace) -> S3Launches {
        S3Launches(self.shelf(place).folder("launches"))
    }
}
