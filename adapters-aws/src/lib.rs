//! How does bldr see and switch a fleet on EC2? The adapter behind [`Inventory`](bldr_core::ports::Inventory) and
//! [`Power`](bldr_core::ports::Power).
//!
//! [`Ec2::connect`] follows AWS's own conventions for credentials, profile, region and endpoint, so whatever works for
//! the `aws` command works here. Nothing of the AWS SDK is visible from outside of this crate.

mod connection;
mod failure;
mod instance;
mod inventory;
mod power;
#[cfg(test)]
mod tests;

pub use connection::Ec2;
pub use inventory::Ec2Inventory;
pub use power::Ec2Power;
