//! Which adapter stands behind which port? This file and `stores.rs` below it are the only ones that name adapters.

mod stores;

use crate::{
    exit::Exit,
    request::User,
    settings::{self, Cloud, Settings},
    terminal,
};
use async_trait::async_trait;
use bldr_adapters_aws::Ec2;
use bldr_adapters_fs::FileLock;
use bldr_adapters_ssh::{Pool, SshHostKeys, SshMasters, SshMinions, SshSettings, SshSetup, SshShell, Transport};
use bldr_core::{
    execute,
    fleet::Timestamp,
    launch,
    ports::{Clock, HostKeys, Inventory, Lock, Masters, Minions, Operator, Power, Provisioning, SaltSource, Setup, Shell},
    survey::{AddressPolicy, Sources},
    update,
};
use bldr_testkit::sandbox::Sandbox;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
pub use stores::Stores;

/// The git host of the sandbox's project files.
const MADE_UP_GIT_HOST: &str = "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIASEJpqU6Ff+wdoUT4FrvA5knw4sgEj1VN0hYymUXW+4";
/// GitHub's host keys, as it publishes them.
const GITHUB: &str = include_str!("github_known_hosts");

/// The home folder and what its settings say.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where settings.yaml, `.cfn/` and `.bldr/` are.
    pub home: PathBuf,
    /// The settings.
    pub settings: Settings,
    /// Which address of a node to connect to.
    pub addresses: AddressPolicy,
}

impl Place {
    /// A home folder with these settings.
    pub fn new(home: impl Into<PathBuf>, settings: Settings) -> Self {
        Self { home: home.into(), addresses: settings.addresses(), settings }
    }
    /// A path as settings.yaml has it: relative to the home folder of bldr, or with `~/` to that of the operator.
    pub fn path(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), std::env::home_dir()) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => self.home.join(path),
        }
    }
    /// Where Salt comes from, on a machine that lacks it; `None` where nobody has said. In the sandbox it comes from nowhere.
    ///
    /// # Errors
    /// A file that settings.yaml names and that cannot be read.
    pub fn salt_source(&self) -> Result<Option<SaltSource>, Exit> {
        let read = |what: &str, file: &Path| {
            let path = self.path(file);
            std::fs::read_to_string(&path).map_err(|error| Exit::usage(format!("settings.yaml: {what}: {}: {error}", path.display())))
        };
        Ok(match &self.settings.salt {
            Some(settings::Salt::Apt { source, key }) => {
                let key = key.as_ref().map(|file| read("salt.key", file)).transpose()?;
                Some(SaltSource::Apt { source: source.clone(), key })
            }
            Some(settings::Salt::Pip { packages }) => Some(SaltSource::Pip { packages: packages.clone() }),
            Some(settings::Salt::Script { script }) => Some(SaltSource::Script(read("salt.script", script)?)),
            None if self.settings.cloud == Cloud::Sandbox => Some(SaltSource::Pip { packages: None }),
            None => None,
        })
    }
    /// The git hosts that masters believe, as lines of `known_hosts`.
    ///
    /// # Errors
    /// A file that settings.yaml names and that cannot be read.
    pub fn git_hosts(&self) -> Result<Vec<String>, Exit> {
        let text = match &self.settings.git_hosts {
            None if self.settings.cloud == Cloud::Sandbox => MADE_UP_GIT_HOST.to_owned(),
            None => GITHUB.to_owned(),
            Some(file) => {
                let path = self.path(file);
                std::fs::read_to_string(&path)
                    .map_err(|error| Exit::usage(format!("settings.yaml: git-hosts: {}: {error}", path.display())))?
            }
        };
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(Into::into).collect())
    }
    /// The sandbox of this home folder.
    pub fn sandbox(&self) -> Sandbox {
        Sandbox::at(&self.home)
    }
}

/// Everything bldr needs of the world.
pub struct Ports {
    /// What is kept.
    pub stores: Stores,
    /// The machines.
    pub inventory: Arc<dyn Inventory>,
    /// Their mains switches.
    pub power: Arc<dyn Power>,
    /// The minions.
    pub minions: Arc<dyn Minions>,
    /// The masters.
    pub masters: Arc<dyn Masters>,
    /// The nodes, as an operator uses them.
    pub shell: Arc<dyn Shell>,
    /// What a machine needs before its first highstate.
    pub setup: Arc<dyn Setup>,
    /// What makes machines, and removes them.
    pub provisioning: Arc<dyn Provisioning>,
    /// Which machines are known.
    pub host_keys: Arc<dyn HostKeys>,
    connections: Option<Pool>,
}

impl Ports {
    /// The world of this place, with nodes that are logged in to as this user.
    ///
    /// # Errors
    /// A sandbox that cannot be made or read, and settings that name no region.
    pub async fn open(place: &Place, user: User) -> Result<Self, Exit> {
        let stores = Stores::open(place).await?;
        match place.settings.cloud {
            Cloud::Sandbox => {
                let machines = Arc::new(place.sandbox().open(&stores.clock, pace())?);
                Ok(Self {
                    stores,
                    inventory: machines.clone(),
                    power: machines.clone(),
                    minions: machines.clone(),
                    masters: machines.clone(),
                    shell: machines.clone(),
                    setup: machines.clone(),
                    provisioning: machines.clone(),
                    host_keys: machines,
                    connections: None,
                })
            }
            Cloud::Aws => {
                let ec2 = Ec2::connect(place.settings.region.clone()).await.map_err(Exit::blind)?;
                let pool = Pool::new(ssh(place, user, &stores));
                let (minions, masters) = (Arc::new(SshMinions::new(pool.clone())), Arc::new(SshMasters::new(pool.clone())));
                Ok(Self {
                    stores,
                    inventory: Arc::new(ec2.inventory()),
                    power: Arc::new(ec2.power()),
                    minions,
                    masters,
                    shell: Arc::new(SshShell::new(pool.clone())),
                    setup: Arc::new(SshSetup::new(pool.clone())),
                    provisioning: Arc::new(ec2.provisioning()),
                    host_keys: Arc::new(SshHostKeys::new(pool.clone())),
                    connections: Some(pool),
                })
            }
        }
    }

    /// Closes what is still open: the system's `ssh` would keep its connections for a while after us.
    pub async fn close(&self) {
        if let Some(pool) = &self.connections {
            pool.close().await;
        }
    }

    /// Where a survey looks.
    pub fn sources<'a>(&'a self, place: &'a Place) -> Sources<'a> {
        Sources {
            inventory: &*self.inventory,
            contexts: &*self.stores.contexts,
            minions: &*self.minions,
            masters: &*self.masters,
            sleepers: &*self.stores.sleepers,
            addresses: &place.addresses,
            // Looking is light, and most of it is waiting.
            jobs: (place.settings.jobs as usize).max(32),
        }
    }

    /// What a run acts through, with this operator watching.
    pub fn of_a_run<'a>(&'a self, operator: &'a dyn Operator) -> execute::Ports<'a> {
        execute::Ports {
            contexts: &*self.stores.contexts,
            minions: &*self.minions,
            masters: &*self.masters,
            power: &*self.power,
            sleepers: &*self.stores.sleepers,
            fence: &*self.stores.gate,
            journal: &*self.stores.journal,
            operator,
            clock: &*self.stores.clock,
        }
    }
}

impl Ports {
    /// What an update acts through, with this operator watching.
    pub fn of_an_update<'a>(&'a self, operator: &'a dyn Operator) -> update::Ports<'a> {
        update::Ports {
            setup: &*self.setup,
            minions: &*self.minions,
            masters: &*self.masters,
            power: &*self.power,
            sleepers: &*self.stores.sleepers,
            contexts: &*self.stores.contexts,
            fence: &*self.stores.gate,
            journal: &*self.stores.journal,
            operator,
            clock: &*self.stores.clock,
        }
    }

    /// What a launch or a destruction acts through, with this operator watching.
    pub fn of_a_launch<'a>(&'a self, operator: &'a dyn Operator) -> launch::Ports<'a> {
        launch::Ports {
            update: self.of_an_update(operator),
            provisioning: &*self.provisioning,
            key_pairs: &*self.stores.key_pairs,
            host_keys: &*self.host_keys,
            launches: &*self.stores.launches,
        }
    }
}

/// How nodes are connected to: what the settings say, and where they say nothing, what `ssh` does.
fn ssh(place: &Place, user: User, stores: &Stores) -> SshSettings {
    let users = &place.settings.users;
    let (ssh, usual) = (&place.settings.ssh, SshSettings::default());
    let path = |path: &Option<PathBuf>| path.as_deref().map(|path| place.path(path));
    SshSettings {
        transport: match ssh.transport {
            settings::Transport::Thrussh => Transport::Thrussh,
            settings::Transport::System => Transport::System,
        },
        user: match user {
            User::Bootstrap => users.bootstrap.clone(),
            User::Deploy => users.deploy.clone(),
        },
        port: ssh.port.unwrap_or(usual.port),
        config: path(&ssh.config).or(usual.config),
        key_files: if ssh.identities.is_empty() { usual.key_files } else { ssh.identities.iter().map(|key| place.path(key)).collect() },
        keypairs: Some(stores.keys.folder()),
        courier: stores.keys.courier(),
        fence: Some(stores.gate.clone()),
        agent: std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from),
        known_hosts: path(&ssh.known_hosts).unwrap_or(usual.known_hosts),
        bastion: ssh.bastion.clone(),
        passphrase: terminal::passphrases(),
        highstate_timeout: Duration::from_secs(60 * u64::from(place.settings.highstate_timeout)),
        ..usual
    }
}

/// The lock of a home folder.
pub fn lock(place: &Place) -> Arc<dyn Lock> {
    Arc::new(FileLock::new(place.home.join(".bldr/lock")))
}

/// The time of this machine.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// How long each answer of the sandbox takes, in milliseconds: as `BLDR_SANDBOX_PACE` says; else long enough for a run to be
/// watched where somebody watches, and no time at all elsewhere.
fn pace() -> Duration {
    let told = std::env::var("BLDR_SANDBOX_PACE").ok().and_then(|millis| millis.parse().ok());
    Duration::from_millis(told.unwrap_or(if std::io::stderr().is_terminal() { 150 } else { 0 }))
}

struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
