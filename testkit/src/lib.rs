//! A fleet to try things on: what tests, the sandbox and adapter writers need.

// The contract suites are assertions; a panic is how they fail.
#[allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]
pub mod contract;
#[cfg(feature = "lab")]
pub mod lab;
