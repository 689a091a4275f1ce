//! What does bldr need of the world? Every trait there is, in one file: the guide for whoever writes an adapter.
//!
//! The core calls these and nothing else. An adapter implements one or more of them for a medium (`SshMinions`,
//! `FileContexts`), keeps the medium's types to itself, and turns its errors into a [`PortError`](crate::error::PortError)
//! once. `bldr-testkit` has a contract suite for each: an adapter is right when it passes the suite its fake passes.
//!
//! All of them are object-safe, and shared by tasks that run at the same time.

use crate::{
    address::MasterAddress,
    doctor::Workplace,
    error::PortResult,
    event::{Event, RunId},
    fleet::{Ec2Id, Evidence, HeldKey, HeldKeys, Host, Instance, NodeFiles, Outlook, PublicKey, Standing, Timestamp},
    launch::{MachineSpec, OpenPort},
    name::{NodeName, StackName},
    pace::Strain,
    project::Projects,
    salt_version::SaltVersion,
    ssh_key::SshPublicKey,
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, pin::Pin, time::Duration};

/// The machines of a region.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Inventory: Send + Sync {
    /// The region that is asked, by name.
    fn region(&self) -> &str;

    /// Every instance that carries a stack's tag (`Cluster`, or CloudFormation's own), in any state but terminated and
    /// shutting down. One paginated question for the whole fleet, however large; all pages or an error, never a part.
    async fn instances(&self) -> PortResult<Vec<Instance>>;
}

/// The mains switch of a machine.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Power: Send + Sync {
    /// Starts it, waits until it is running, and returns it with the addresses it now has. A running one is left alone.
    async fn start(&self, id: &Ec2Id) -> PortResult<Instance>;
    /// Stops it, waits until it is stopped, and returns it. A stopped one is left alone.
    async fn stop(&self, id: &Ec2Id) -> PortResult<Instance>;
}

/// EC2's own name of a security group: `sg-0abc…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecurityGroupId(pub Box<str>);

impl fmt::Display for SecurityGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One machine to run. Its key pair is its stack's.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    /// The node it will be.
    pub node: NodeName,
    /// What kind of machine.
    pub machine: MachineSpec,
    /// Who may come to it.
    pub security_group: SecurityGroupId,
    /// What it is told at its first start: a script or cloud-init's YAML, at most 16 KiB. May hold secrets: never printed.
    pub user_data: String,
    /// Which launch this belongs to. A stack that is destroyed and launched again needs another one: EC2 answers the
    /// order of a launch once, and a repetition with the machine that it gave then, even if that is gone.
    pub launch: String,
}

/// What a stack has at EC2: all that carries its tag `Cluster` and is made by [`Provisioning`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Belongings {
    /// The name of its key pair, which is the stack's.
    pub key_pair: Option<String>,
    /// Its security groups, by id: one, and another where it was launched into another network before.
    pub security_groups: Vec<SecurityGroupId>,
    /// Its machines, by id, in any state but terminated.
    pub instances: Vec<Instance>,
}

impl Belongings {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a launch needs of EC2, and what a destroy removes again.
///
/// All that is made is tagged `Project`, `Environment` (the instance id) and `Cluster` (the stack), a machine and its disks
/// also `Name` (the node) and `Node` (its number). By these tags it is found again: every method may be called again after it
/// was interrupted at any point, and then makes what is missing and nothing twice. What carries another stack's tag or none
/// is never changed. `Refused` where EC2 has no room: no machine of that type, a quota, a subnet without addresses.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Provisioning: Send + Sync {
    /// What there is of a stack.
    async fn found(&self, stack: &StackName) -> PortResult<Belongings>;
    /// Makes this public key known under the stack's name. `NotNeeded` where it is, whoever did it; `Conflict`, and nothing
    /// changed, where another key has that name.
    async fn key_pair(&self, stack: &StackName, key: &SshPublicKey) -> PortResult<Change>;
    /// Makes a security group of the stack's name in the network of this subnet (`None`: the account's default network), and
    /// opens these ports in it. What else is open stays open: somebody may have had a reason. `Conflict`, and nothing changed,
    /// where a group of that name is not the stack's; `NotFound` where there is no such subnet.
    // The lifetime is named because mockall cannot take an elided one inside of an option.
    async fn security_group<'a>(
        &self,
        stack: &StackName,
        subnet: Option<&'a str>,
        open: &[OpenPort],
    ) -> PortResult<(SecurityGroupId, Change)>;
    /// Runs a node's machine, waits until it is running, and returns it with its addresses. `NotNeeded` where the stack has a
    /// machine of that number: that one is returned as it is, started or not, once it is not on its way up any more. `Conflict`
    /// where it has several. `NotFound` where image, subnet, key pair or security group do not exist.
    ///
    /// Metadata are to be had by a session token only (IMDSv2), the first disk is encrypted and goes when the machine goes.
    async fn run(&self, order: &Order) -> PortResult<(Instance, Change)>;
    /// What a machine has printed on its console; `None` while there is nothing, which may last minutes after the start.
    /// `NotFound` where there is no such machine.
    async fn console(&self, id: &Ec2Id) -> PortResult<Option<String>>;
    /// Terminates the stack's machines and waits until they are gone, then removes its security groups and its key pair.
    /// Returns what it found of them; nothing is fine. `Refused` where something else still uses a security group.
    async fn remove(&self, stack: &StackName) -> PortResult<Belongings>;
}

/// What identifies one state of a stored text. Opaque; two states with different texts have different revisions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revision(pub String);

/// A stored text with the revision it was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The text, byte for byte.
    pub text: String,
    /// What to hand to [`ContextStore::save`] to replace exactly this.
    pub revision: Revision,
}

/// What the writer believes to be stored at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is.
    Absent,
    /// This is.
    Revision(Revision),
}

/// One replaced text of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// Names it in [`ContextStore::replaced`]; unique within its stack.
    pub revision: Revision,
    /// When it was replaced.
    pub at: Timestamp,
}

/// The contexts of all stacks: opaque texts under names. The store is the truth; nothing caches it.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ContextStore: Send + Sync {
    /// The stacks that have a context, in text order.
    async fn list(&self) -> PortResult<Vec<StackName>>;
    /// A stack's context. `NotFound` where there is none; `Malformed` where it is no UTF-8.
    async fn load(&self, stack: &StackName) -> PortResult<Document>;
    /// Replaces a stack's context: old or new is stored at any instant, never a part. `Conflict`, and nothing changed,
    /// where something else is stored than expected. What is replaced becomes history.
    async fn save(&self, stack: &StackName, text: &str, expected: &Expected) -> PortResult<Revision>;
    /// Removes a stack's context, which becomes history. `Conflict`, and nothing changed, where something else is stored than this;
    /// `NotFound` where nothing is.
    async fn remove(&self, stack: &StackName, stored: &Revision) -> PortResult<()>;
    /// What was replaced, oldest first.
    async fn history(&self, stack: &StackName) -> PortResult<Vec<Replaced>>;
    /// A replaced text, byte for byte. `NotFound` where the history has no such revision.
    async fn replaced(&self, stack: &StackName, revision: &Revision) -> PortResult<String>;
}

/// Where a minion shall take its orders from, and what its node shall know.
#[derive(Clone, PartialEq, Eq)]
pub struct Repointing {
    /// What to write after `master:`.
    pub address: MasterAddress,
    /// What to place as `minion_master.pub`.
    pub key: PublicKey,
    /// The new content of `/etc/build-vars.json.b64`: base64, one line, no newline. `None` leaves the file alone.
    pub build_vars: Option<String>,
    /// How long the node waits for [`Minions::confirm`] before it puts itself back.
    pub patience: Duration,
}

/// What was found when a node was asked whether it takes orders from a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It does: connected to that master and to no other, trusting that key, with one daemon.
    Proven,
    /// It does not, within the time that was given; why, as half a sentence.
    Unproven(String),
}

/// Whether something had to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Something was written.
    Made,
    /// It was so already; nothing was touched.
    NotNeeded,
}

/// What to do about the highstate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HighstateMode {
    /// Run it.
    #[default]
    Apply,
    /// Run it with `test=True`: shows what would change, changes nothing.
    Test,
    /// Leave it out.
    None,
}

/// Who hears which states of a highstate begin: `file.managed /etc/motd`. Of one whose name may be a secret, such as a command line, only
/// the function is told. Nobody has to listen.
pub type States = futures::channel::mpsc::UnboundedSender<String>;

/// How a highstate ended. Only names of states, never their content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Highstate {
    /// Whether every state succeeded, and at least one ran.
    pub succeeded: bool,
    /// What to say about it, as half a sentence: `12 states, 3 changed`, `no answer from the master within 900 s`.
    pub summary: String,
    /// The states that failed, by name.
    pub failed: Vec<String>,
    /// The states that changed something, or would, by name.
    pub changed: Vec<String>,
    /// Everything `salt-call` printed. Holds secrets: for files of the operator alone.
    #[serde(skip)]
    pub output: String,
}

/// The minions, each asked on its own machine. A node that cannot be reached is `Unreachable`, one that does not let
/// us in is `Denied`.
///
/// Every method may be called again after it was interrupted at any point, and then completes what is missing.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Minions: Send + Sync {
    /// Reads, in one go, everything that says who the master is.
    async fn read(&self, host: &Host) -> PortResult<NodeFiles>;
    /// The same, and what the node says of the master at this address that it may be moved to. Changes nothing.
    async fn examine(&self, host: &Host, address: &MasterAddress) -> PortResult<(NodeFiles, Outlook)>;
    /// Replaces `/etc/build-vars.json.b64` by this content (base64, one line, no newline), mode 0644, owner root. The old
    /// file is kept in `/var/lib/bldr/` first, for root alone.
    async fn write_build_vars(&self, host: &Host, encoded: &str) -> PortResult<()>;
    /// Makes the minion take orders from another master, until further notice: leave a watchdog that puts everything back
    /// unless the switch is confirmed in time, mark the highstate as due, stop, back up, write the build vars and `master:`,
    /// place the key, start. Other lines of the configuration stay as they are, but for a `master_finger:`, which goes.
    /// Nothing is touched, and nothing restarted, where all of it is so already and the minion is connected there.
    ///
    /// A switch that waits to be confirmed gets new patience, and what it would put back stays what was there before it.
    async fn repoint(&self, host: &Host, to: &Repointing) -> PortResult<Change>;
    /// Waits, for as long as given, until the minion is connected to this master and no other, trusts this key, and has
    /// one daemon. That the master gets an answer is for [`Masters::ping`] to say.
    async fn prove(&self, host: &Host, address: &MasterAddress, key: &PublicKey, within: Duration) -> PortResult<Proof>;
    /// Ends the wait of a switch to this master: what is, stays. `Refused` where the minion does not name that address and
    /// trust that key any more: the node has put itself back, or has begun to, which is then completed. Where nothing waits and
    /// all is as switched, nothing happens.
    async fn confirm(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<()>;
    /// Ends the wait of a switch whatever came of it: what is, stays, for somebody to look at.
    async fn keep(&self, host: &Host) -> PortResult<()>;
    /// Puts back what was there before a switch that waits to be confirmed, and starts the minion. `NotNeeded` where no
    /// switch waits: it was confirmed, or never made, or has been put back already.
    async fn revert(&self, host: &Host) -> PortResult<Change>;
    /// Renders the highstate against another master, without a change on the node: from a configuration of its own, which
    /// is gone afterwards. That master must have accepted the minion's key.
    async fn rehearse(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<Highstate>;
    /// Runs the highstate and takes the mark "highstate due" away if it was applied and succeeded. A highstate that fails is an
    /// answer, not an error; an error means that it is not known how it ended. `begun` hears of each state as it begins.
    async fn highstate(&self, host: &Host, mode: HighstateMode, begun: States) -> PortResult<Highstate>;
    /// Says that this node will not be needed again soon: connections may be closed. Never fails.
    async fn release(&self, host: &Host);
}

/// Where Salt comes from, on a machine that lacks it.
#[derive(Clone, PartialEq, Eq)]
pub enum SaltSource {
    /// Debian packages.
    Apt {
        /// A line of `sources.list`, such as `deb https://packages.example.org/salt stable main`. Without options in brackets where
        /// there is a key: `signed-by` is put in.
        source: String,
        /// The public key that signs it, armoured; `None` where the line says itself whom it trusts.
        key: Option<String>,
    },
    /// Python packages, into a virtual environment of their own at `/opt/saltstack/salt`.
    Pip {
        /// A folder on the machine, or a page, that has them all; `None` for the index that pip is set up for.
        packages: Option<String>,
    },
    /// A program that is run as root with the version and `minion` or `master` as its arguments. Its text.
    Script(String),
}

/// What a machine is in Salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It has a minion.
    Minion,
    /// It has a master, and a minion of its own.
    Master,
}

/// The Salt that a machine shall have.
#[derive(Clone, PartialEq, Eq)]
pub struct Installation {
    /// Exactly this version.
    pub version: SaltVersion,
    /// With which programs.
    pub role: Role,
    /// From where.
    pub source: SaltSource,
}

/// Whose minion a machine shall be.
#[derive(Clone, PartialEq, Eq)]
pub struct Enlistment {
    /// What to show the master.
    pub id: String,
    /// What to write after `master:`.
    pub address: MasterAddress,
    /// What to place as `minion_master.pub`.
    pub key: PublicKey,
}

/// What a master takes its states and pillars from: addresses of git repositories, and whom to believe that it is their host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Library {
    /// Goes to `/opt/builder-private`: the configuration's template (`etc-salt-master`), `salt/` and `pillar/`.
    pub private: Option<String>,
    /// Goes to `/opt/builder-configuration`: `salt/` and `pillar/`.
    pub configuration: Option<String>,
    /// Go to `/opt/formulas/NAME`, where the name is the last part of the address without `.git` and `-formula`. In this order.
    pub formulas: Vec<String>,
    /// Lines of `known_hosts`: the hosts that are believed, and no other.
    pub known_hosts: Vec<String>,
}

/// A repository that a master could not bring up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Its address, as in [`Library`].
    pub url: String,
    /// Why, as half a sentence: git's own words, or that it is empty.
    pub why: String,
}

/// What came of bringing a master's library up to date.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// The repositories that have something new, by address, in the order of [`Library`].
    pub renewed: Vec<String>,
    /// Those that could not be read. What was there of them before is as it was.
    pub unread: Vec<Unread>,
    /// Why the configuration is as it was before, as half a sentence: a template without `file_roots`, a private repository that
    /// cannot be read.
    pub unconfigured: Option<String>,
    /// Whether the configuration had to be written anew.
    pub configured: bool,
    /// Whether the salt-master was started or restarted.
    pub restarted: bool,
    /// Why nothing will do this every hour, as half a sentence; `None` where cron will.
    pub unscheduled: Option<String>,
}

/// How a machine becomes a minion or a master: all there is to do before its first highstate.
///
/// Every method may be called again after it was interrupted at any point, and then completes what is missing.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Setup: Send + Sync {
    /// Waits until the machine lets us in and has done what it was told at its first start (cloud-init). `Unreachable` where it
    /// has not within that time, `Refused` where its first start went wrong, with what it says. Whoever waits may leave: the machine
    /// goes on by itself.
    async fn first_start(&self, host: &Host, within: Duration) -> PortResult<()>;
    /// Installs Salt; whether that is wise is for the caller to say. `NotNeeded` where this version is there with all programs of
    /// the role. Starts nothing: it has no configuration yet. `Refused` where the packages are not to be had, with what the installer says.
    async fn install(&self, host: &Host, wanted: &Installation) -> PortResult<Change>;
    /// The minion's public key, made where there is none. Starts nothing.
    async fn identity(&self, host: &Host) -> PortResult<PublicKey>;
    /// Makes the minion take orders from a master under this id: writes id and `master:`, places the key, and starts the minion with
    /// the machine from now on. Other lines of the configuration stay, but for a `master_finger:`, which goes. Restarts the minion only if
    /// something had to be changed, or it does not run. `Conflict`, and nothing changed, where a switch waits to be confirmed.
    async fn enlist(&self, host: &Host, to: &Enlistment) -> PortResult<Change>;
    /// The public half of the key that a master shows to git hosts (`/root/.ssh/id_rsa`), made where there is none.
    async fn deploy_key(&self, host: &Host) -> PortResult<SshPublicKey>;
    /// Brings a master's repositories up to date, side by side, then its configuration: the private repository's template with
    /// `file_roots`, `pillar_roots` and `interface` filled in, comments kept. Restarts the salt-master only if its configuration is another,
    /// or it does not run, and waits until it answers. Sees to it that cron does the same every hour, under a lock, with a log.
    ///
    /// A repository that cannot be read is in the answer; where that is the private one, the configuration stays as it is.
    async fn refresh(&self, host: &Host, library: &Library) -> PortResult<Refreshed>;
}

/// The key pairs of stacks, as operators keep them: their machines let in whoever has the private half.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait KeyPairs: Send + Sync {
    /// The public half, made with the private half where there is none. The private half is for the operator alone, and is never
    /// shown. `Malformed` where what is kept is no private key.
    async fn of(&self, stack: &StackName) -> PortResult<(SshPublicKey, Change)>;
    /// Removes both halves, and says where they were, as the operator would look it up; `None` where there is none.
    async fn remove(&self, stack: &StackName) -> PortResult<Option<String>>;
}

/// The private half of a key pair as it is kept: a text that is for the operator alone, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(pub String);

/// What makes key pairs and reads them, wherever they are kept.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait KeySmith: Send + Sync {
    /// A new pair of a stack. The public half says whose it is.
    fn pair(&self, stack: &StackName) -> PortResult<(PrivateKey, SshPublicKey)>;
    /// The public half of what is kept of a stack; `None` where that is no private key that can be read without a passphrase.
    fn public_half(&self, stack: &StackName, private: &[u8]) -> Option<SshPublicKey>;
}

/// Which machines are known by their host keys.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait HostKeys: Send + Sync {
    /// Takes these keys for this machine's from now on, in place of all that were known for its address.
    async fn learn(&self, host: &Host, keys: &[SshPublicKey]) -> PortResult<()>;
    /// Whether it is known by any key: it has been connected to, or its keys have been learnt.
    async fn known(&self, host: &Host) -> PortResult<bool>;
    /// Forgets what was known for its address: another machine may get it. Nothing is fine.
    async fn forget(&self, host: &Host) -> PortResult<()>;
}

/// The masters, each asked on its own machine.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Masters: Send + Sync {
    /// What it says of its salt-master: key, version, whether it answers, whose keys it holds. `NotFound` where there is no
    /// key: no salt-master has run there yet.
    async fn read(&self, host: &Host) -> PortResult<Standing>;
    /// Looks at what it has to work with: whether these git repositories can be read from there, its states, the pillar it renders
    /// for a minion of this id, its disks and its clock. Changes nothing.
    async fn inspect(&self, host: &Host, repositories: &[String], sample: Option<String>) -> PortResult<Workplace>;
    /// What burdens it at this moment; asked every few seconds while minions come to it, so it has to cost it little.
    async fn strain(&self, host: &Host) -> PortResult<Strain>;
    /// Accepts a minion by its id and its key. `Conflict`, and nothing changed, where it holds another key under that id, or
    /// has rejected this one.
    async fn accept(&self, host: &Host, id: &str, key: &PublicKey) -> PortResult<Change>;
    /// Asks minions by id whether they hear this master, and returns those that answered within the time.
    async fn ping(&self, host: &Host, ids: &[String], within: Duration) -> PortResult<BTreeSet<String>>;
    /// Removes these keys, those of them that it holds, all in one go. They are kept on its machine, for root alone, in
    /// `/var/lib/bldr/quarantine/`. A key that differs under the same id stays. Returns the ids that were removed.
    async fn forget(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>>;
    /// The keys that were removed by [`Masters::forget`] and are kept, each with what the master made of it then.
    async fn quarantined(&self, host: &Host) -> PortResult<HeldKeys>;
    /// Puts removed keys back, each as what it was: a key that waited to be accepted waits again. `Conflict`, and nothing
    /// changed, where the master holds another key under one of the ids by now. Returns the ids that were put back.
    async fn restore(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>>;
}

/// Some of a file's bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many the whole file has at the moment.
    pub size: u64,
    /// Which file that is: another one under the same path has another.
    pub identity: String,
}

/// What to do about a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it, and say so.
    Stays,
    /// Put the new one in its place, with its owner and mode.
    IsReplaced,
}

/// Something a command printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// On its standard output.
    Out(&'a [u8]),
    /// On its standard error.
    Err(&'a [u8]),
}

/// A node as an operator uses it: its files, as root, and its shell.
// No mock: mockall cannot take a borrowed listener.
#[async_trait]
pub trait Shell: Send + Sync {
    /// A file's bytes from this one on (0 is the first), as many as fit into an answer, at least one where there is one left.
    /// `NotFound` where there is no such file, `Refused` where it is a folder. Paths are absolute; links are followed.
    async fn read(&self, host: &Host, path: &str, from: u64) -> PortResult<Part>;
    /// Places a file in one step; a new one is root's, mode 0644. `Conflict`, and nothing changed, where one is there that
    /// shall stay; `Refused` where there is no such folder, or a folder is there.
    async fn place(&self, host: &Host, path: &str, content: &[u8], existing: Existing) -> PortResult<()>;
    /// Runs a command line in the login shell, for as long as it takes, and tells what it prints when it prints it. Returns
    /// its exit status: 128 and the signal's number where a signal ended it.
    async fn run(&self, host: &Host, command: &str, heard: &mut (dyn for<'a> FnMut(Heard<'a>) + Send)) -> PortResult<u32>;
    /// Hands this process's terminal over to a login shell on the node, until that ends. Returns its exit status.
    async fn attach(&self, host: &Host) -> PortResult<u32>;
}

/// A change of the project file that has not been written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The file, as the operator knows it.
    pub file: String,
    /// Its text before.
    pub before: String,
    /// Its text after: only the address differs.
    pub after: String,
    /// How the file stands with those who share it.
    pub history: Versioned,
}

/// How a file stands in the git repository it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioned {
    /// It is in none, or git does not keep it.
    No,
    /// As it was committed.
    Clean,
    /// It has changes that nobody has committed.
    Dirty,
}

/// What the team's project files say: which projects there are, and where the master is.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait SharedAddress: Send + Sync {
    /// All projects of all project files. `Malformed` names file, line and what is wrong.
    async fn projects(&self) -> PortResult<Projects>;
    /// What would have to be written so that the defaults of every project file name this address. Empty where all do.
    async fn propose(&self, address: &MasterAddress) -> PortResult<Vec<Proposal>>;
    /// Writes a proposal, in one piece. `Conflict` where the file is not what it was.
    async fn share(&self, proposal: &Proposal) -> PortResult<()>;
    /// Commits these files, and nothing else, each in the git repository it is in. `Refused` where git declines, with its words.
    async fn commit(&self, files: &[String], message: &str) -> PortResult<()>;
}

/// An event with the time it happened at: a line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// How far a record was read. Opaque: only the journal that gave it knows what it counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position(pub u64);

/// The record of every run: written to its end, never changed.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Journal: Send + Sync {
    /// Adds these records in their order, in one go; once this returns they survive a power cut. Where it fails, and after a crash in
    /// the middle of it, nobody knows how many there are: none, the first of them, or all.
    async fn append(&self, run: &RunId, records: &[Record]) -> PortResult<()>;
    /// A run's records in order. A last line that was cut off by a crash is left out; a damaged line before it is `Malformed`.
    async fn read(&self, run: &RunId) -> PortResult<Vec<Record>> {
        Ok(self.read_on(run, Position::default()).await?.0)
    }
    /// Those that came after this position, which is the beginning by default, and how far that is. Costs only what is new, however long
    /// the record: whoever watches a run asks every second.
    async fn read_on(&self, run: &RunId, from: Position) -> PortResult<(Vec<Record>, Position)>;
    /// All runs, oldest first.
    async fn runs(&self) -> PortResult<Vec<RunId>>;
    /// Keeps what a node's highstate printed, for the operator alone; says where, as they would look it up. Another
    /// output of the same run and node is kept beside it.
    async fn keep_output(&self, run: &RunId, node: &NodeName, output: &str) -> PortResult<String>;
}

/// What bldr knows of a node that it started or stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleeper {
    /// Whose memory this is.
    pub node: NodeName,
    /// The machine it was; another machine under the same name makes this worthless.
    pub id: Ec2Id,
    /// When that machine was last started, as EC2 says. Another time means that somebody has started it since, and
    /// makes this worthless.
    pub launched: Timestamp,
    /// What is known.
    pub state: SleeperState,
}

/// What is known of a [`Sleeper`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SleeperState {
    /// bldr is about to start it and means to stop it again. The launch time is the one before: that of the start is not
    /// known yet, so whoever finds it running takes it for [`SleeperState::Woken`].
    Waking,
    /// bldr started it and means to stop it again.
    Woken,
    /// bldr stopped it; this is what it said just before. Its disk says the same until somebody starts it.
    Asleep(Evidence),
}

/// What is remembered of stopped nodes, which cannot be asked. Without it every run would start them all again, and a
/// run that was killed would leave running what it started.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Sleepers: Send + Sync {
    /// Everything that is remembered.
    async fn all(&self) -> PortResult<Vec<Sleeper>>;
    /// Remembers this, in place of what was remembered of that node.
    async fn remember(&self, sleeper: &Sleeper) -> PortResult<()>;
    /// Forgets a node; nothing happens where nothing was remembered.
    async fn forget(&self, node: &NodeName) -> PortResult<()>;
}

/// A launch that has begun and not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Which stack.
    pub stack: StackName,
    /// The alternate that was asked for.
    pub alternate: Option<String>,
    /// When it began.
    pub at: Timestamp,
    /// Whether that is not its launch but its destruction, of something that may have been finished.
    #[serde(default)]
    pub going: bool,
}

/// What is remembered of launches that were cut short: the same command carries on, where it would refuse a stack that exists.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Launches: Send + Sync {
    /// The launch of this stack that has begun, if one has.
    async fn begun(&self, stack: &StackName) -> PortResult<Option<Begun>>;
    /// Remembers that it has begun.
    async fn begin(&self, launch: &Begun) -> PortResult<()>;
    /// Forgets it; nothing happens where nothing was remembered.
    async fn end(&self, stack: &StackName) -> PortResult<()>;
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The operator's user name.
    pub who: String,
    /// The machine they are on.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// What for: the command line.
    pub purpose: String,
    /// Since when.
    pub since: Timestamp,
}

/// Which holding of which lock something is done under. Whatever is changed hears of it, and does not listen any more to who held the
/// same lock before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenure {
    /// The lock, by what was drawn when it was first made: letters and digits. Another bucket's is another, and so is one that was
    /// removed and made anew.
    pub lock: String,
    /// The number of the holding.
    pub epoch: u64,
}

impl Tenure {
    /// Whether that one began after this one; of two locks nobody can tell.
    pub fn is_before(&self, other: &Self) -> bool {
        self.lock == other.lock && self.epoch < other.epoch
    }
}

/// Who holds a lock, and what is known of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Who.
    pub owner: Owner,
    /// How often the lock had been taken or broken when they took it; `None` where the lock goes with its holder's process.
    pub epoch: Option<u64>,
    /// When they last said that they are still there; `None` where that is known without their saying so.
    pub heard: Option<Timestamp>,
    /// Whether it is known that their process is no more. Not kept: it is seen from its own machine.
    #[serde(skip)]
    pub gone: bool,
}

impl Holding {
    /// A holder who has not got through to the lock for so long begins nothing more, whether they live or not.
    pub const SILENCE: Duration = Duration::from_secs(60);

    /// Whether anything may be begun under it at this time.
    pub fn lives(&self, now: Timestamp) -> bool {
        let silent =
            self.heard.is_some_and(|heard| u128::try_from(now.0 - heard.0).is_ok_and(|silence| silence > Self::SILENCE.as_millis()));
        !self.gone && !silent
    }
}

impl From<Owner> for Holding {
    fn from(owner: Owner) -> Self {
        Self { owner, epoch: None, heard: None, gone: false }
    }
}

/// That somebody has taken a lock from its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaking {
    /// Who has, and when: their `since`.
    pub by: Owner,
    /// Why, in their words.
    pub reason: String,
    /// From whom.
    pub held: Holding,
}

/// One writer for a fleet at a time.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Lock: Send + Sync {
    /// Takes the lock. `Conflict` where somebody else holds it, with who, where, since when and what for. Where a lock goes with its
    /// holder's process, a holder that has died does not hold it; where it does not, it is theirs until it is broken, however long nothing
    /// was heard of them: who is silent may be at work.
    async fn acquire(&self, owner: &Owner) -> PortResult<Box<dyn LockGuard>>;
    /// Who holds it now, if anybody does.
    async fn owner(&self) -> PortResult<Option<Holding>>;
    /// Takes it from its holder, who begins nothing more once they hear of it. Returns who that was; `None` where nobody held it. `Refused`
    /// where the lock goes with its holder's process: ending that is the way.
    async fn break_it(&self, by: &Owner, reason: &str) -> PortResult<Option<Holding>>;
    /// When it was last taken from a holder, if it ever was.
    async fn broken(&self) -> PortResult<Option<Breaking>>;
}

/// An answer that is waited for and borrows nothing of who was asked.
pub type Answered = Pin<Box<dyn Future<Output = PortResult<()>> + Send>>;

/// A lock that is held. Dropping it gives it back as well, without saying whether that worked.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait LockGuard: Send + Sync {
    /// Which holding this is; its number is greater than that of every one before it. `None` where the lock goes with its holder's process.
    fn tenure(&self) -> Option<Tenure>;
    /// Whether it is held still. Asks nobody, so it may be asked before every step. `Conflict` where somebody has taken it, or where
    /// it could not be kept up for so long that somebody may have.
    fn standing(&self) -> PortResult<()>;
    /// Says now that we are there, and hears whether it is held still: for when time has passed unnoticed, as while somebody was asked a
    /// question. As [`LockGuard::standing`], and `Unreachable` where nobody could be asked. What comes back borrows nothing.
    fn affirmed(&self) -> Answered;
    /// Gives it back. `Conflict` where it was not ours any more.
    async fn release(self: Box<Self>) -> PortResult<()>;
}

/// What keeps a run from going on once its lock is lost.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait Fence: Send + Sync {
    /// That the run may go on. Asks nobody. `Conflict` where its lock was lost.
    fn standing(&self) -> PortResult<()>;
    /// Which holding of the lock this is, where there are several: whoever changes a machine tells it. A machine does not listen to one
    /// that began before the latest it has heard of (`Conflict`, and nothing changed).
    fn tenure(&self) -> Option<Tenure>;
    /// Hears that somebody who took the lock later was met: from now on it does not stand.
    fn overtaken(&self, by: &str);
}

/// The person watching, or the program in their place.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Operator: Send + Sync {
    /// Something happened.
    fn notify(&self, record: &Record);
    /// Whether they asked to stop: no new stacks, finish those in flight.
    fn interrupted(&self) -> bool;
    /// Comes back once they have asked to stop, if they ever do.
    async fn interruption(&self);
}

/// Time.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Comes back after this long.
    async fn sleep(&self, duration: Duration);
}
