//! What may be decided about connecting to nodes? Everything an operator or a test can set, in one plain struct.

use bldr_core::{
    error::PortResult,
    name::{NodeName, StackName},
    ports::Fence,
};
use futures::future::BoxFuture;
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Who speaks SSH.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// thrussh, inside this process: fast, and enough for stock Ubuntu and Debian servers.
    #[default]
    Thrussh,
    /// The machine's own `ssh`, multiplexed: for ECDSA and FIDO keys, certificates, ProxyCommand, hardened servers. It
    /// never asks for a passphrase: load encrypted keys into the agent.
    System,
}

/// Asks a person for the passphrase of a key file; `None` when they decline. Called off the async threads.
pub type PassphrasePrompt = Arc<dyn Fn(&Path) -> Option<String> + Send + Sync>;

/// Brings the key pair of a stack into the folder of [`SshSettings::keypairs`], where it is kept somewhere else. It is asked before every
/// connection to the stack; nothing happens where the stack has none.
pub type KeyCourier = Arc<dyn Fn(StackName) -> BoxFuture<'static, PortResult<()>> + Send + Sync>;

/// How nodes are connected to. [`Default`] takes what `ssh` takes: the keys, configuration and known hosts in `~/.ssh`.
#[derive(Clone)]
pub struct SshSettings {
    /// Who speaks SSH.
    pub transport: Transport,
    /// The user on the nodes, where `~/.ssh/config` names no other. Needs `sudo` without a password, unless it is root.
    pub user: String,
    /// The port, where `~/.ssh/config` names no other.
    pub port: u16,
    /// Nodes that are really somewhere else: connect there instead. For tests and tunnels; wins over everything.
    pub endpoints: HashMap<NodeName, SocketAddr>,
    /// What `~` stands for in `~/.ssh/config`.
    pub home: PathBuf,
    /// An OpenSSH client configuration whose host aliases are honoured; a missing file is an empty one.
    pub config: Option<PathBuf>,
    /// Private keys to try on every node, in order; missing files are passed over.
    pub key_files: Vec<PathBuf>,
    /// A folder with one key pair a stack, `STACK.pem`: tried first on that stack's nodes, where it exists.
    pub keypairs: Option<PathBuf>,
    /// Brings key pairs there; `None` where they are there already.
    pub courier: Option<KeyCourier>,
    /// Under which holding of the lock nodes are changed: it goes with every script that changes something, and hears where one came too
    /// late. `None` where there is no lock.
    pub fence: Option<Arc<dyn Fence>>,
    /// The socket of an ssh-agent (`SSH_AUTH_SOCK`).
    pub agent: Option<PathBuf>,
    /// The host keys that are trusted; new hosts are added to it.
    pub known_hosts: PathBuf,
    /// `user@host:port` (user and port may be left out) to go through, where `~/.ssh/config` names no other way.
    pub bastion: Option<String>,
    /// How long connecting may take, from the first packet to agreed keys.
    pub connect_timeout: Duration,
    /// How long logging in may take.
    pub auth_timeout: Duration,
    /// How long a command may take, other than a highstate.
    pub command_timeout: Duration,
    /// How long a highstate may take.
    pub highstate_timeout: Duration,
    /// How many connections are kept open while nobody uses them; the one unused for longest goes first.
    pub max_idle: usize,
    /// Asks for passphrases, once per key file. `None` off a terminal: encrypted keys are then passed over.
    pub passphrase: Option<PassphrasePrompt>,
}

impl Default for SshSettings {
    fn default() -> Self {
        let home = std::env::home_dir().unwrap_or_default();
        let ssh = home.join(".ssh");
        Self {
            transport: Transport::default(),
            user: "ubuntu".into(),
            port: 22,
            endpoints: HashMap::new(),
            config: Some(ssh.join("config")),
            key_files: vec![ssh.join("id_ed25519"), ssh.join("id_rsa")],
            keypairs: None,
            courier: None,
            fence: None,
            agent: None,
            known_hosts: ssh.join("known_hosts"),
            bastion: None,
            connect_timeout: Duration::from_secs(10),
            auth_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(60),
            highstate_timeout: Duration::from_secs(900),
            max_idle: 256,
            passphrase: None,
            home,
        }
    }
}

impl std::fmt::Debug for SshSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshSettings").field("transport", &self.transport).field("user", &self.user).finish_non_exhaustive()
    }
}
