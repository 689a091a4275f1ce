//! What becomes of a fleet of real parts, and of the record, when things go wrong under a run? Faults of every kind, at every step at which
//! they can strike; after each of them
//!
//! - no context is lost or half written, and each names one of the two masters,
//! - every minion that runs answers exactly one master,
//! - the record is true,
//! - the next run gets every node to the new master.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod faulted;
#[allow(dead_code)]
mod salted;
