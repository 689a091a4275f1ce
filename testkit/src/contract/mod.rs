//! What must hold of every implementation of a port, fake or real? One suite a port; each is run against the World and
//! against the adapters, so that neither can lie about the other.

pub mod context_store;
pub mod fence;
pub mod host_keys;
pub mod inventory;
pub mod journal;
pub mod key_pairs;
pub mod launches;
pub mod lock;
pub mod masters;
pub mod minions;
pub mod provisioning;
pub mod setup;
pub mod shared_address;
pub mod shell;
pub mod sleepers;
pub mod trust;
