//! What a Salt fleet is and what re-mastering it takes.
//!
//! Facts, plan, execution: [`survey`] reads the world through [`ports`] into a [`fleet::Fleet`]; [`plan`] is a pure
//! function from that and a request to a plan that leaves no choice open; [`execute`] walks the plan through ports and
//! tells what it does as [`event`]s. Nothing in this crate touches a disk, a network, a clock or a terminal.

pub mod address;
pub mod build_vars;
pub mod console;
pub mod context;
pub mod counted;
pub mod difference;
pub mod doctor;
pub mod error;
pub mod event;
pub mod execute;
pub mod fleet;
pub mod json;
pub mod launch;
pub mod library;
pub mod limit;
pub mod minion_config;
pub mod name;
pub mod old_keys;
pub mod originals;
pub mod orphans;
mod overtaken;
pub mod pace;
pub mod plan;
pub mod ports;
pub mod precedence;
pub mod project;
pub mod readiness;
pub mod record;
pub mod retirement;
pub mod salt_version;
pub mod soundness;
pub mod ssh_key;
pub mod stage;
pub mod status;
pub mod survey;
pub mod update;
