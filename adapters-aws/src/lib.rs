//! How does bldr see, switch, make and remove machines on EC2, and keep a team's state in S3? The adapter behind
//! [`Inventory`](bldr_core::ports::Inventory), [`Power`](bldr_core::ports::Power) and
//! [`Provisioning`](bldr_core::ports::Provisioning), and behind the stores where they are in a bucket.
//!
//! [`Ec2::connect`] and [`S3::connect`] follow AWS's own conventions for credentials, profile, region and endpoint, so whatever works for
//! the `aws` command works here. Nothing of the AWS SDK is visible from outside of this crate.

mod account;
mod bucket;
mod connection;
mod contexts;
mod copies;
mod failure;
mod instance;
mod inventory;
mod journal;
mod key_pairs;
mod launches;
mod lock;
mod objection;
mod patience;
mod place;
mod power;
mod provisioning;
mod refusal;
mod s3;
mod shelf;
mod sleepers;
#[cfg(test)]
mod tests;
mod versions;
mod writer;

pub use connection::Ec2;
pub use contexts::S3Contexts;
pub use inventory::Ec2Inventory;
pub use journal::S3Journal;
pub use key_pairs::S3KeyPairs;
pub use launches::S3Launches;
pub use lock::S3Lock;
pub use place::BucketPlace;
pub use power::Ec2Power;
pub use provisioning::Ec2Provisioning;
pub use s3::S3;
pub use sleepers::S3Sleepers;
