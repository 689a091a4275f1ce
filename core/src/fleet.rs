//! What is out there? The facts a survey gathers: stacks, their nodes, and what each node says of its master.

use crate::{
    address::{HostAddress, MasterAddress},
    error::{PortError, PortErrorKind},
    name::{NodeName, StackName},
    originals::Originals,
    salt_version::SaltVersion,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// EC2's own name of a machine: `i-0abc…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ec2Id(pub Box<str>);

impl fmt::Display for Ec2Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// To the second, in UTC: `2026-11-22T12:43:01Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        f.pad(&time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }
}

/// What EC2 says an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Starting.
    Pending,
    /// Up.
    Running,
    /// On its way to stopped.
    Stopping,
    /// Off; its disk waits.
    Stopped,
    /// On its way to terminated.
    ShuttingDown,
    /// Gone for good.
    Terminated,
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        })
    }
}

/// One EC2 instance that carries a stack's tag, as the inventory returns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// EC2's id.
    pub id: Ec2Id,
    /// The value of the tag `Cluster`, else of `aws:cloudformation:stack-name`. Not checked yet: anybody may write a tag.
    pub stack: String,
    /// The value of the tag `Node`, as written.
    pub node_tag: Option<String>,
    /// All its tags, those two included.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What it is doing.
    pub state: InstanceState,
    /// Its address inside the VPC.
    pub private: Option<HostAddress>,
    /// Its address on the internet, where it has one.
    pub public: Option<HostAddress>,
    /// When it was last started. EC2 sets it anew at every start, which is how a stop in between is noticed.
    pub launched: Timestamp,
    /// When somebody stopped it, where EC2 says so.
    #[serde(default)]
    pub stopped: Option<Timestamp>,
}

/// What came of reading one part of the world. A part that could not be read is a fact, not the end of a survey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// Nobody asked: a stopped node, or a stack that is out of scope.
    NotAsked,
    /// It is not there.
    Absent,
    /// It is there or ought to be, and could not be read.
    Unreadable(Problem),
    /// This is what it said.
    Read(T),
}

impl<T> Reading<T> {
    /// What was read, if it was.
    pub fn ok(&self) -> Option<&T> {
        match self {
            Self::Read(value) => Some(value),
            _ => None,
        }
    }
    /// Folds a port's answer into a fact: "not found" is an absence, every other error a problem.
    pub fn of(answer: Result<T, PortError>) -> Self {
        match answer {
            Ok(value) => Self::Read(value),
            Err(error) if error.kind == PortErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Unreadable(error.into()),
        }
    }
}

/// A [`PortError`] as a fact: comparable, printable, without its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Decides what to do about it.
    pub kind: PortErrorKind,
    /// The whole message.
    pub text: Box<str>,
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        Self { kind: error.kind, text: error.to_string().into() }
    }
}
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The public key of a salt-master or a salt-minion, as the PEM text of `master.pub`, `minion_master.pub`, `minion.pub`.
///
/// Two keys are equal when their bodies are: line ends and blank space around the PEM do not count.
#[derive(Debug, Clone)]
pub struct PublicKey {
    pem: String,
    fingerprint: KeyFingerprint,
}

impl PublicKey {
    /// A key from the text of its file.
    ///
    /// # Errors
    /// `None` when the text is no PEM public key.
    pub fn from_pem(text: &str) -> Option<Self> {
        let text = text.trim();
        let framed = text.starts_with("-----BEGIN ") && text.contains("-----END ") && text.ends_with("-----");
        if !framed || text.contains("PRIVATE") {
            return None;
        }
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let body: String = lines.iter().copied().filter(|line| !line.starts_with("-----")).collect();
        Some(Self { pem: lines.join("\n") + "\n", fingerprint: KeyFingerprint::of_body(&body) })
    }
    /// The text to place on a minion: PEM, `\n` line ends, a newline at the end.
    pub fn pem(&self) -> &str {
        &self.pem
    }
    /// The key's fingerprint.
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }
}
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}
impl Eq for PublicKey {}

/// SHA-256 of the body of a public key. Shows its first eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyFingerprint([u8; 32]);

impl KeyFingerprint {
    /// The fingerprint of a key's body: the lines between the PEM marks, joined.
    pub fn of_body(body: &str) -> Self {
        Self(Sha256::digest(body).into())
    }
    /// All of it, in hexadecimal.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<_> = self.0[..8].iter().map(|b| format!("{b:02x}")).collect();
        f.pad(&bytes.join(":"))
    }
}
impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFingerprint({self})")
    }
}

/// A node that can be connected to: its name for people, its address for the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// Who it is.
    pub node: NodeName,
    /// Where to connect to.
    pub address: HostAddress,
}

/// The files of a node that say who its master is, as they are. Holds secrets: never printed, never recorded.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NodeFiles {
    /// The content of `/etc/build-vars.json.b64`; `None` where there is no such file.
    pub build_vars: Option<String>,
    /// The content of `/etc/salt/minion`; `None` where there is no such file.
    pub minion_config: Option<String>,
    /// The content of `minion_master.pub` in the minion's `pki_dir`; `None` where there is no such file, and where a
    /// repointing was cut short (the mark `/var/lib/bldr/repointing`): all may look right while the minion is down, so the node
    /// counts as trusting nobody and is repointed.
    pub trusted_key: Option<String>,
    /// Whether a re-mastering has pointed this node elsewhere and no highstate has succeeded since
    /// (the mark `/var/lib/bldr/highstate-due`).
    pub highstate_due: bool,
    /// The id the minion shows its master: `id:`, else what Salt keeps in `/etc/salt/minion_id`, else the host's name.
    pub minion_id: Option<String>,
    /// The content of `minion.pub` in the minion's `pki_dir`; `None` where no minion has run there yet.
    pub minion_key: Option<String>,
    /// The addresses the minion is connected to at a master's publishing port (4505), each once.
    pub connected: Vec<String>,
    /// A switch that waits to be confirmed: the node puts itself back to this unless it is (the folder `/var/lib/bldr/switch`).
    pub unconfirmed: Option<Kept>,
}

/// What a node would put back: who its master was before a switch.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The content of `/etc/salt/minion`; `None` where there was no such file.
    pub minion_config: Option<String>,
    /// The content of `minion_master.pub`; `None` where there was no such file.
    pub trusted_key: Option<String>,
}

/// What a node says of the master it may be moved to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The version of its Salt; `None` where it has none.
    pub version: Option<SaltVersion>,
    /// What would keep it from taking orders from there, as sentences: a port that does not answer, a setting that wins
    /// over those bldr writes. Empty where nothing does.
    pub obstacles: Vec<String>,
}

impl fmt::Debug for NodeFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeFiles").field("highstate_due", &self.highstate_due).finish_non_exhaustive()
    }
}

/// What a node's files say, boiled down to what a plan needs: who the master is, in three places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The master of the build vars, or why they cannot be refreshed.
    pub build_vars: Result<Option<MasterAddress>, Box<str>>,
    /// The value of `master:` in the minion's configuration, as written; `None` where there is no configuration or
    /// no such line.
    pub configured: Option<Box<str>>,
    /// The key the minion trusts; `None` where it would trust whoever answers first.
    pub trusted: Option<KeyFingerprint>,
    /// See [`NodeFiles::highstate_due`].
    pub highstate_due: bool,
    /// See [`NodeFiles::minion_id`].
    #[serde(default)]
    pub minion_id: Option<Box<str>>,
    /// The minion's own key.
    #[serde(default)]
    pub minion_key: Option<KeyFingerprint>,
    /// See [`NodeFiles::connected`].
    #[serde(default)]
    pub connected: Box<[Box<str>]>,
    /// See [`NodeFiles::unconfirmed`].
    #[serde(default)]
    pub unconfirmed: bool,
}

/// What a master makes of a minion's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// The minion is let in.
    Accepted,
    /// It waits for somebody to accept it.
    Pending,
    /// Somebody refused it.
    Rejected,
    /// It came second under an id that has another key.
    Denied,
}

/// A minion's key, as a master holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldKey {
    /// The minion's id.
    pub id: Box<str>,
    /// What the master makes of it.
    pub state: KeyState,
    /// The key.
    pub key: KeyFingerprint,
}

/// Every key that a master holds. One id may have several: one that it accepted, and others that it denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldKeys(Vec<HeldKey>);

impl HeldKeys {
    /// Those under an id.
    pub fn under(&self, id: &str) -> &[HeldKey] {
        let from = self.0.partition_point(|held| *held.id < *id);
        let count = self.0[from..].iter().take_while(|held| *held.id == *id).count();
        &self.0[from..from + count]
    }
    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &HeldKey> {
        self.0.iter()
    }
}

impl FromIterator<HeldKey> for HeldKeys {
    fn from_iter<I: IntoIterator<Item = HeldKey>>(held: I) -> Self {
        let mut held: Vec<HeldKey> = held.into_iter().collect();
        held.sort();
        held.shrink_to_fit();
        Self(held)
    }
}

/// What a master's machine says of its salt-master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The key it shows its minions.
    pub key: PublicKey,
    /// The version of its Salt; `None` where that could not be told.
    pub version: Option<SaltVersion>,
    /// Why nobody would get an answer from it, as half a sentence; `None` where it answers.
    pub silent: Option<String>,
    /// The keys it holds.
    pub keys: HeldKeys,
}

/// One machine of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `STACK--N`.
    pub name: NodeName,
    /// EC2's id.
    pub id: Ec2Id,
    /// What it is doing.
    pub state: InstanceState,
    /// Its address inside the VPC; a master's minions know it by this one.
    pub private: Option<HostAddress>,
    /// Its address on the internet, where it has one at the moment.
    pub public: Option<HostAddress>,
    /// Where to connect to: see [`crate::survey::AddressPolicy`].
    pub reach: Option<HostAddress>,
    /// When it was last started.
    pub launched: Timestamp,
    /// What it says of its master. A stopped node cannot be asked: this is then what was remembered when it went to
    /// sleep, if nobody has started it since.
    pub evidence: Reading<Evidence>,
    /// What it says of the master it may be moved to, where that was asked.
    pub outlook: Option<Box<Outlook>>,
    /// Started by an earlier run that did not get round to stopping it again.
    pub woken: bool,
}

impl Node {
    /// Name and address to connect to; `None` where it has no address (it is stopped).
    pub fn host(&self) -> Option<Host> {
        self.reach.clone().map(|address| Host { node: self.name.clone(), address })
    }
    /// Every address it is known by.
    pub fn addresses(&self) -> impl Iterator<Item = &HostAddress> {
        [&self.private, &self.public, &self.reach].into_iter().flatten()
    }
    /// Whether this is one of its addresses.
    pub fn is_at(&self, address: &str) -> bool {
        self.addresses().any(|own| own.as_str() == address)
    }
}

/// What a context says that a plan needs. Of the context itself only those are kept that are to be rewritten ([`Originals`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextFacts {
    /// It has EC2 and takes orders from a master.
    Mastered {
        /// Every address written in it, each once; empty where it names none.
        masters: Vec<Box<str>>,
        /// The alternate it was made from, where it says so.
        alternate: Option<Box<str>>,
    },
    /// It is masterless.
    Masterless,
    /// It has no EC2.
    NoEc2,
}

/// One stack: its nodes by number, and its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its name.
    pub name: StackName,
    /// Its machines, by number. Empty where the region has none.
    pub nodes: Vec<Node>,
    /// The tags that any of its machines carries: key and value.
    pub tags: BTreeSet<(Box<str>, Box<str>)>,
    /// What its context says.
    pub context: Reading<ContextFacts>,
}

impl Stack {
    /// The alternate it was made from, where its context was read and says so.
    pub fn alternate(&self) -> Option<&str> {
        match &self.context {
            Reading::Read(ContextFacts::Mastered { alternate, .. }) => alternate.as_deref(),
            _ => None,
        }
    }
    /// Its first node that runs.
    pub fn running(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.state == InstanceState::Running)
    }
    /// Running if any node is, else whatever the first node does; `None` without nodes.
    pub fn state(&self) -> Option<InstanceState> {
        self.running().or(self.nodes.first()).map(|n| n.state)
    }
}

/// Everything a plan is made from.
#[derive(Debug, Default)]
pub struct Fleet {
    /// The region that was surveyed.
    pub region: String,
    /// Every stack that has an instance there or a context, masters included.
    pub stacks: BTreeMap<StackName, Stack>,
    /// How many contexts the store has: none at all is a wrong store rather than a fleet without.
    pub contexts: usize,
    /// Instances whose tag is no stack name: the tag, and why not.
    pub unnamed: Vec<(String, String)>,
    /// What the running masters that were asked say of themselves.
    pub standings: BTreeMap<StackName, Reading<Standing>>,
    /// The contexts that name another master than the one the fleet was surveyed for.
    pub originals: Originals,
}

impl Fleet {
    /// The masters that have a machine here, in order of precedence. A context alone may be what is left of one.
    pub fn masters(&self) -> Vec<&Stack> {
        let stacks = crate::precedence::ordered(self.stacks.keys()).into_iter().filter_map(|name| self.stacks.get(name));
        stacks.filter(|stack| !stack.nodes.is_empty()).collect()
    }
    /// The master in charge: the pinned one where it is there, else the first.
    pub fn preferred_master(&self, pin: Option<&StackName>) -> Option<&Stack> {
        let masters = self.masters();
        let pinned = masters.iter().copied().find(|master| Some(&master.name) == pin);
        pinned.or(masters.first().copied())
    }
    /// The master that has this address, among others.
    pub fn master_at(&self, address: &str) -> Option<&Stack> {
        self.masters().into_iter().find(|master| master.nodes.iter().any(|node| node.is_at(address)))
    }
}
