//! How are minions and masters reached? Over SSH: a pool of connections, two ways of speaking SSH, and the scripts that
//! run on a node.
//!
//! ```no_run
//! use bldr_adapters_ssh::{Pool, SshMasters, SshMinions, SshSettings};
//!
//! let pool = Pool::new(SshSettings { bastion: Some("ops@gate.example.org".into()), ..SshSettings::default() });
//! let (minions, masters) = (SshMinions::new(pool.clone()), SshMasters::new(pool));
//! ```

mod agent;
mod crowd;
mod error;
mod handshake;
mod highstate;
mod host_key;
mod host_keys;
mod keys;
mod known_hosts;
mod masters;
mod minions;
mod offer;
mod parse;
mod pool;
mod route;
mod script;
mod session;
mod settings;
mod setup;
mod shell;
mod ssh_config;
mod system_session;
mod system_words;
mod thrussh_connector;
mod thrussh_session;
mod thrussh_shell;
mod tunnel;
mod typed;
mod wire;

pub use error::SshError;
pub use host_keys::SshHostKeys;
pub use masters::SshMasters;
pub use minions::SshMinions;
pub use pool::{Pool, Traffic};
pub use route::Route;
pub use session::{Connector, Ear, Output, Program, Root, Session};
pub use settings::{KeyCourier, PassphrasePrompt, SshSettings, Transport};
pub use setup::SshSetup;
pub use shell::SshShell;
pub use system_session::SystemConnector;
pub use thrussh_connector::ThrusshConnector;
