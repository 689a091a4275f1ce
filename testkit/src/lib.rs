//! A fleet to try things on: what tests, the sandbox and adapter writers need.

pub mod between;
pub mod clock;
// The contract suites are assertions; a panic is how they fail.
#[allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]
pub mod contract;
pub mod disk;
pub mod disturbance;
pub mod figures;
pub mod journal;
#[cfg(feature = "lab")]
pub mod lab;
pub mod lock;
pub mod machines;
pub mod moto;
pub mod salt;
pub mod sandbox;
pub mod spec;
pub mod stores;
pub mod under;
pub mod world;
