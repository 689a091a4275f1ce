//! What is a simulated fleet made of? Machines with files, salt daemons and faults, behind the infrastructure ports.
//!
//! What the daemons do about keys is in [`crate::salt`]; this file is the machines themselves, the ones below it are what
//! EC2, a login shell on a node and one on a master make of them.

mod ec2;
mod fence;
mod host_keys;
mod masters;
mod minions;
mod provisioning;
mod repositories;
mod setup;
mod shell;

pub use provisioning::{KeyPair, SecurityGroup};

use crate::disk::Disk;
use bldr_core::{
    address::HostAddress,
    error::{PortError, PortErrorKind, PortResult},
    fleet::{Ec2Id, Host, Instance, InstanceState, Timestamp},
    name::StackName,
    ports::Clock,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Where things are on a machine.
pub mod path {
    /// Build vars.
    pub const BUILD_VARS: &str = "/etc/build-vars.json.b64";
    /// The minion's configuration.
    pub const MINION: &str = "/etc/salt/minion";
    /// The key a minion trusts.
    pub const TRUSTED: &str = "/etc/salt/pki/minion/minion_master.pub";
    /// A minion's own public key.
    pub const MINION_KEY: &str = "/etc/salt/pki/minion/minion.pub";
    /// A minion's own private key.
    pub const MINION_PRIVATE: &str = "/etc/salt/pki/minion/minion.pem";
    /// A minion's id, where its configuration has none.
    pub const MINION_ID: &str = "/etc/salt/minion_id";
    /// The public key that a master shows to git hosts.
    pub const DEPLOY_KEY: &str = "/root/.ssh/id_rsa.pub";
    /// Its private half.
    pub const DEPLOY_KEY_PRIVATE: &str = "/root/.ssh/id_rsa";
    /// What makes a master bring its repositories up to date every hour.
    pub const CRON: &str = "/etc/cron.d/bldr-refresh";
    /// The mark that a master has another configuration than the one it started with.
    pub const RESTART: &str = "/var/lib/bldr/master-restart";
    /// A master's public key.
    pub const MASTER_KEY: &str = "/etc/salt/pki/master/master.pub";
    /// A master's configuration.
    pub const MASTER: &str = "/etc/salt/master";
    /// Where a master has its states.
    pub const STATES: &str = "/opt/formulas";
    /// The folder of a master's folders of keys.
    pub const MASTER_PKI: &str = "/etc/salt/pki/master";
    /// The folder of the keys a master has accepted, one file a minion.
    pub const ACCEPTED: &str = "/etc/salt/pki/master/minions";
    /// Keys that wait for somebody to accept them.
    pub const PENDING: &str = "/etc/salt/pki/master/minions_pre";
    /// Keys somebody refused.
    pub const REJECTED: &str = "/etc/salt/pki/master/minions_rejected";
    /// Second keys under an id that has one.
    pub const DENIED: &str = "/etc/salt/pki/master/minions_denied";
    /// The mark that a highstate is due.
    pub const DUE: &str = "/var/lib/bldr/highstate-due";
    /// The mark that a repointing has begun and the minion may be down.
    pub const REPOINTING: &str = "/var/lib/bldr/repointing";
    /// The minion's configuration as a switch would put it back.
    pub const KEPT_MINION: &str = "/var/lib/bldr/switch/minion";
    /// The trusted key as a switch would put it back.
    pub const KEPT_TRUSTED: &str = "/var/lib/bldr/switch/minion_master.pub";
    /// What a switch that waits to be confirmed would put back: the file, and where its old content is kept.
    pub const SWITCHED: [(&str, &str); 4] = [
        (MINION, KEPT_MINION),
        (TRUSTED, KEPT_TRUSTED),
        (BUILD_VARS, "/var/lib/bldr/switch/build-vars.json.b64"),
        (DUE, "/var/lib/bldr/switch/highstate-due"),
    ];
    /// When such a switch puts itself back, in seconds since 1970; there only while it waits.
    pub const DEADLINE: &str = "/var/lib/bldr/switch/deadline";
    /// The keys a master was told to forget, for root alone.
    pub const QUARANTINE: &str = "/var/lib/bldr/quarantine";
    /// The version of a machine's Salt. Without it a machine that has a daemon has the version of all, and any other has none.
    pub const VERSION: &str = "/opt/saltstack/salt/version";
    /// Under which holding of which lock it was changed last.
    pub const TENURE: &str = "/var/lib/bldr/tenure";
    /// Backups, for root alone.
    pub const BACKUP: &str = "/var/lib/bldr/backup";
    /// A line for every highstate that was applied.
    pub const HIGHSTATES: &str = "/var/log/salt/highstates";
    /// What a machine is told at its first start.
    pub const USER_DATA: &str = "/var/lib/cloud/instance/user-data.txt";
    /// What a machine has printed on its console: EC2 has it, no real machine does.
    pub const CONSOLE: &str = "/.console";
    /// The machine's own record, which no real machine has.
    pub const RECORD: &str = "/.machine.json";
}

/// What is wrong with a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nobody answers at its address.
    Unreachable,
    /// It answers and lets nobody in.
    Denied,
    /// A state of its highstate fails.
    HighstateFails,
    /// Its highstate cannot be rendered.
    HighstateBroken,
    /// It cannot reach any master but the one it has.
    PortBlocked,
    /// Its minion connects to nobody while a switch waits to be confirmed.
    NeverJoins,
    /// The connection is lost after the minion was repointed and before anybody heard of it.
    LostDuringRepoint,
    /// It has four times as much to do as it can, which only a master is asked about.
    Overloaded,
}

/// The state that fails on a machine with [`Fault::HighstateFails`].
pub const FAILING_STATE: &str = "web-server";

/// A salt-master on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterDaemon {
    /// Whether it runs.
    pub up: bool,
    /// Whether it accepts keys it has not seen.
    pub auto_accept: bool,
}

/// A salt-minion on a machine: what it has in memory, which may differ from its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinionDaemon {
    /// Whether it runs.
    pub up: bool,
    /// The master's key it trusts since it started.
    pub key: Option<String>,
    /// The machine it takes orders from.
    pub connected: Option<String>,
}

/// One machine, without its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// EC2's id.
    pub id: Ec2Id,
    /// The tag that names its stack.
    pub stack: String,
    /// The tag `Node`.
    pub node_tag: Option<String>,
    /// Tags that somebody else has given it.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What it does.
    pub state: InstanceState,
    /// Its private address.
    pub private: Option<HostAddress>,
    /// Its public address.
    pub public: Option<HostAddress>,
    /// When it was last started.
    pub launched: Timestamp,
    /// When it was stopped, where it was.
    #[serde(default)]
    pub stopped: Option<Timestamp>,
    /// Its salt-master, if it is one.
    #[serde(default)]
    pub master: Option<MasterDaemon>,
    /// Its salt-minion, if it has one.
    #[serde(default)]
    pub minion: Option<MinionDaemon>,
    /// What is wrong with it.
    #[serde(default)]
    pub fault: Option<Fault>,
}

impl Machine {
    /// Those that bldr and builder give what they make, and the others.
    fn all_tags(&self) -> BTreeMap<String, String> {
        let (stack, number) = (self.stack.parse::<StackName>().ok(), self.node_tag.as_ref());
        let own = [
            ("Cluster", Some(self.stack.clone())),
            ("Project", stack.as_ref().map(|stack| stack.project().to_string())),
            ("Environment", stack.as_ref().map(|stack| stack.instance_str().to_owned())),
            ("Node", number.cloned()),
            ("Name", number.map(|number| format!("{}--{number}", self.stack))),
        ];
        let own = own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        self.tags.clone().into_iter().chain(own).collect()
    }

    fn instance(&self) -> Instance {
        Instance {
            id: self.id.clone(),
            stack: self.stack.clone(),
            node_tag: self.node_tag.clone(),
            tags: self.all_tags(),
            state: self.state,
            private: self.private.clone(),
            public: self.public.clone(),
            launched: self.launched,
            stopped: self.stopped,
        }
    }
}

/// The machines of a simulated fleet, by name: `STACK--N` where their tag is a stack name.
pub struct Machines {
    pub(crate) disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    region: String,
    pace: Duration,
    all: Mutex<Known>,
    fuse: AtomicI64,
    asked: Mutex<HashMap<String, u64>>,
}

#[derive(Default)]
struct Known {
    machines: BTreeMap<String, Machine>,
    at: HashMap<HostAddress, String>,
}

/// Why something could not be done to a simulated machine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(String);

impl Machines {
    /// The machines that are on a disk.
    ///
    /// # Errors
    /// A disk that cannot be read, or a record on it that is none.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, region: &str) -> PortResult<Self> {
        let machines = Self {
            disk,
            clock,
            region: region.into(),
            pace: Duration::ZERO,
            all: Mutex::default(),
            fuse: AtomicI64::new(i64::MAX),
            asked: Mutex::default(),
        };
        for name in machines.disk.machines().map_err(|e| trouble("the simulated fleet", e))? {
            if let Some(record) = machines.file(&name, path::RECORD)? {
                let machine = serde_json::from_str(&record).map_err(|e| {
                    let problem = format!("its record ({}) is damaged: {e}", path::RECORD.trim_start_matches('/'));
                    PortError::new(PortErrorKind::Malformed, name.as_str(), problem).advise("mend it, or 'sandbox.reset' makes a new fleet")
                })?;
                machines.known().add(&name, machine);
            }
        }
        Ok(machines)
    }

    /// Makes every answer take this long, so that a person can watch.
    #[must_use]
    pub fn paced(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Adds a machine, or replaces the one of that name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn put(&self, name: &str, machine: Machine) -> PortResult<()> {
        let record = serde_json::to_string_pretty(&machine).map_err(|e| trouble(name, e))?;
        self.keep(name, path::RECORD, Some(&record))?;
        self.known().add(name, machine);
        Ok(())
    }

    /// Takes a machine away, and all that was on its disks.
    ///
    /// # Errors
    /// Those of the disk, and the blown fuse.
    pub fn wipe(&self, name: &str) -> PortResult<()> {
        self.burn(name)?;
        self.disk.wipe(name).map_err(|e| trouble(name, e))?;
        self.known().take(name);
        Ok(())
    }

    /// Makes a machine be in this state, as if somebody had done so at EC2.
    pub fn change_state(&self, name: &str, state: InstanceState) {
        if let Some(machine) = self.known().machines.get_mut(name) {
            machine.state = state;
        }
    }

    /// A machine by name.
    pub fn get(&self, name: &str) -> Option<Machine> {
        self.known().machines.get(name).cloned()
    }

    /// The names of all machines, in text order.
    pub fn names(&self) -> Vec<String> {
        self.known().machines.keys().cloned().collect()
    }

    /// The name of the machine that answers at an address, if one does.
    pub fn at(&self, address: &str) -> Option<String> {
        let known = self.known();
        let name = known.at.get(&address.parse::<HostAddress>().ok()?)?;
        known.machines.get(name).filter(|m| m.state == InstanceState::Running).map(|_| name.clone())
    }

    /// A file of a machine, as text.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn file(&self, name: &str, path: &str) -> PortResult<Option<String>> {
        let content = self.disk.read(name, path).map_err(|e| trouble(name, e))?;
        Ok(content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Writes or removes a file of a machine.
    ///
    /// # Errors
    /// Those of the disk, and the blown fuse.
    pub fn keep(&self, name: &str, path: &str, content: Option<&str>) -> PortResult<()> {
        self.burn(name)?;
        self.disk.write(name, path, content.map(str::as_bytes)).map_err(|e| trouble(name, e))
    }

    /// Lets this many more writes happen, and none after them: as if the program were killed there.
    pub fn blow_after(&self, writes: i64) {
        self.fuse.store(writes, Ordering::SeqCst);
    }

    /// Undoes [`Machines::blow_after`].
    pub fn mend_fuse(&self) {
        self.blow_after(i64::MAX);
    }

    /// How many commands this machine was given: what a real connection to it would have carried.
    pub fn commands(&self, name: &str) -> u64 {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or(0)
    }

    pub(crate) fn burn(&self, name: &str) -> PortResult<()> {
        if self.fuse.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(PortError::new(PortErrorKind::Unreachable, name, "the simulated power cut"));
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a machine's record.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Machine)) -> PortResult<Machine> {
        let mut machine = self.get(name).ok_or_else(|| PortError::new(PortErrorKind::NotFound, name, "there is no such machine"))?;
        change(&mut machine);
        self.put(name, machine.clone())?;
        Ok(machine)
    }

    fn by_id(&self, id: &Ec2Id) -> PortResult<String> {
        let known = self.known();
        let gone = |machine: &Machine| matches!(machine.state, InstanceState::Terminated | InstanceState::ShuttingDown);
        let found = known.machines.iter().find(|(_, machine)| machine.id == *id && !gone(machine));
        found
            .map(|(name, _)| name.clone())
            .ok_or_else(|| PortError::new(PortErrorKind::NotFound, id.to_string(), "there is no such instance"))
    }

    /// Logs in: the name of the machine at that address.
    async fn enter(&self, host: &Host) -> PortResult<String> {
        if !self.pace.is_zero() {
            self.clock.sleep(self.pace).await;
        }
        let unreachable =
            || PortError::new(PortErrorKind::Unreachable, host.node.to_string(), format!("nobody answers at {}", host.address));
        let name = self.at(host.address.as_str()).ok_or_else(unreachable)?;
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default() += 1;
        match self.get(&name).and_then(|machine| machine.fault) {
            Some(Fault::Unreachable) => Err(unreachable()),
            Some(Fault::Denied) => Err(PortError::new(PortErrorKind::Denied, host.node.to_string(), "permission denied")),
            _ => {
                self.recognised(host, &name)?;
                self.watchdog(&name)?;
                Ok(name)
            }
        }
    }

    fn list(&self, name: &str, folder: &str) -> PortResult<Vec<String>> {
        self.disk.list(name, folder).map_err(|e| trouble(name, e))
    }

    /// What was kept of a machine's file of this name before it was replaced, oldest first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn backups(&self, name: &str, file: &str) -> PortResult<Vec<String>> {
        let kept = self.list(name, path::BACKUP)?;
        let of_file = kept.iter().filter(|kept| kept.rsplit_once('.').is_some_and(|(of, _)| of == file));
        of_file.filter_map(|kept| self.file(name, &format!("{}/{kept}", path::BACKUP)).transpose()).collect()
    }

    /// Keeps a copy of a file before it is replaced.
    fn back_up(&self, name: &str, path: &str) -> PortResult<()> {
        let Some(content) = self.file(name, path)? else { return Ok(()) };
        let base = path.rsplit('/').next().unwrap_or_default();
        self.keep(name, &format!("{}/{base}.{}", path::BACKUP, self.clock.now().0), Some(&content))
    }
}

impl Known {
    fn take(&mut self, name: &str) {
        let Some(machine) = self.machines.remove(name) else { return };
        for address in [&machine.private, &machine.public].into_iter().flatten() {
            // Another machine may have got it since.
            if self.at.get(address).is_some_and(|known| known == name) {
                self.at.remove(address);
            }
        }
    }
    fn add(&mut self, name: &str, machine: Machine) {
        self.take(name);
        for address in [&machine.private, &machine.public].into_iter().flatten() {
            self.at.insert(address.clone(), name.into());
        }
        self.machines.insert(name.into(), machine);
    }
}

fn trouble(name: &str, error: impl std::fmt::Display) -> PortError {
    PortError::new(PortErrorKind::Refused, name, format!("a file of this simulated machine cannot be read or written: {error}"))
        .caused_by(Broken(error.to_string()))
}
