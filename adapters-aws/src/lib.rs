//! How does bldr see, switch, make and remove machines on EC2? The adapter behind
//! [`Inventory`](bldr_core::ports::Inventory), [`Power`](bldr_core::ports::Power) and
//! [`Provisioning`](bldr_core::ports::Provisioning).
//!
//! [`Ec2::connect`] follows AWS's own conventions for credentials, profile, region and endpoint, so whatever works for
//! the `aws` command works here. Nothing of the AWS SDK is visible from outside of this crate.

mod connection;
mod failure;
mod instance;
mod inventory;
mod patience;
mod power;
mod provisioning;
mod refusal;
#[cfg(test)]
mod tests;

pub use connection::Ec2;
pub use inventory::Ec2Inventory;
pub use power::Ec2Power;
pub use provisioning::Ec2Provisioning;
