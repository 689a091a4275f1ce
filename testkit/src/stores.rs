//! Where do contexts, key pairs, memories and project files live in a test? In memory, under the rules of the real ones.

use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    error::{PortError, PortErrorKind, PortResult},
    json,
    name::{NodeName, StackName},
    ports::{
        Begun, Change, Clock, ContextStore, Document, Expected, KeyPairs, KeySmith, Launches, PrivateKey, Proposal, Replaced, Revision,
        SharedAddress, Sleeper, Sleepers, Tenure, Versioned,
    },
    project::Projects,
    ssh_key::SshPublicKey,
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text, and when it was replaced if it was.
struct Stored {
    revision: Revision,
    text: String,
    replaced: Option<Replaced>,
}

impl Stored {
    fn new(text: &str) -> Self {
        let digest = Sha256::digest(text)[..8].iter().map(|b| format!("{b:02x}")).collect();
        Self { revision: Revision(digest), text: text.into(), replaced: None }
    }
}

/// Contexts in memory.
pub struct MemoryContexts {
    clock: Arc<dyn Clock>,
    all: Mutex<BTreeMap<StackName, Vec<Stored>>>,
    /// Under which holding of a lock each was written last, where it was under one.
    under: Mutex<BTreeMap<StackName, Tenure>>,
}

impl MemoryContexts {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, all: Mutex::default(), under: Mutex::default() }
    }
    /// Lets somebody write a context who holds the lock so.
    ///
    /// # Errors
    /// `Conflict` where it was written under a later holding of the same lock.
    pub fn let_in(&self, stack: &StackName, tenure: &Tenure) -> PortResult<()> {
        let mut under = locked(&self.under);
        if under.get(stack).is_some_and(|seen| tenure.is_before(seen)) {
            let problem = "somebody has taken the lock since this run did, and has written it";
            return Err(PortError::new(PortErrorKind::Conflict, stack.as_str(), problem).advise("nothing was written"));
        }
        under.insert(stack.clone(), tenure.clone());
        Ok(())
    }
    /// Stores a text without asking what was there.
    pub fn put(&self, stack: &StackName, text: &str) {
        locked(&self.all).insert(stack.clone(), vec![Stored::new(text)]);
    }
    /// What is stored becomes history.
    fn replace(&self, texts: &mut [Stored]) {
        let number = texts.len();
        if let Some(stored) = texts.last_mut().filter(|last| last.replaced.is_none()) {
            let name = Revision(format!("{number:06}-{}", stored.revision.0));
            stored.replaced = Some(Replaced { revision: name, at: self.clock.now() });
        }
    }
    /// The text that is stored.
    pub fn text(&self, stack: &StackName) -> Option<String> {
        locked(&self.all).get(stack).and_then(|texts| current(texts)).map(|stored| stored.text.clone())
    }
}

/// What is stored: the last, unless it was removed.
fn current(texts: &[Stored]) -> Option<&Stored> {
    texts.last().filter(|last| last.replaced.is_none())
}

fn no_context(stack: &StackName) -> PortError {
    PortError::new(PortErrorKind::NotFound, stack.as_str(), "there is no such context")
}

#[async_trait]
impl ContextStore for MemoryContexts {
    async fn list(&self) -> PortResult<Vec<StackName>> {
        Ok(locked(&self.all).iter().filter(|(_, texts)| current(texts).is_some()).map(|(stack, _)| stack.clone()).collect())
    }
    async fn load(&self, stack: &StackName) -> PortResult<Document> {
        let all = locked(&self.all);
        let stored = all.get(stack).and_then(|texts| current(texts));
        stored.map(|s| Document { text: s.text.clone(), revision: s.revision.clone() }).ok_or_else(|| no_context(stack))
    }
    async fn save(&self, stack: &StackName, text: &str, expected: &Expected) -> PortResult<Revision> {
        let mut all = locked(&self.all);
        let texts = all.entry(stack.clone()).or_default();
        let stored = current(texts).map_or(Expected::Absent, |s| Expected::Revision(s.revision.clone()));
        if stored != *expected {
            if texts.is_empty() {
                all.remove(stack);
            }
            return Err(PortError::new(PortErrorKind::Conflict, stack.as_str(), "somebody else has written its context since it was read"));
        }
        self.replace(texts);
        let stored = Stored::new(text);
        let revision = stored.revision.clone();
        texts.push(stored);
        Ok(revision)
    }
    async fn remove(&self, stack: &StackName, stored: &Revision) -> PortResult<()> {
        let mut all = locked(&self.all);
        let texts = all.get_mut(stack).filter(|texts| current(texts).is_some()).ok_or_else(|| no_context(stack))?;
        if current(texts).is_some_and(|current| current.revision != *stored) {
            return Err(PortError::new(PortErrorKind::Conflict, stack.as_str(), "somebody else has written its context since it was read"));
        }
        self.replace(texts);
        Ok(())
    }
    async fn history(&self, stack: &StackName) -> PortResult<Vec<Replaced>> {
        Ok(locked(&self.all).get(stack).into_iter().flatten().filter_map(|s| s.replaced.clone()).collect())
    }
    async fn replaced(&self, stack: &StackName, revision: &Revision) -> PortResult<String> {
        let all = locked(&self.all);
        let found =
            all.get(stack).into_iter().flatten().find(|s| s.replaced.as_ref().is_some_and(|replaced| replaced.revision == *revision));
        found
            .map(|s| s.text.clone())
            .ok_or_else(|| PortError::new(PortErrorKind::NotFound, stack.as_str(), format!("its history has no revision {}", revision.0)))
    }
}

/// Memories of sleeping nodes, in memory.
#[derive(Default)]
pub struct MemorySleepers(Mutex<BTreeMap<NodeName, Sleeper>>);

#[async_trait]
impl Sleepers for MemorySleepers {
    async fn all(&self) -> PortResult<Vec<Sleeper>> {
        Ok(locked(&self.0).values().cloned().collect())
    }
    async fn remember(&self, sleeper: &Sleeper) -> PortResult<()> {
        locked(&self.0).insert(sleeper.node.clone(), sleeper.clone());
        Ok(())
    }
    async fn forget(&self, node: &NodeName) -> PortResult<()> {
        locked(&self.0).remove(node);
        Ok(())
    }
}

/// Launches that have begun, in memory.
#[derive(Default)]
pub struct MemoryLaunches(Mutex<BTreeMap<StackName, Begun>>);

#[async_trait]
impl Launches for MemoryLaunches {
    async fn begun(&self, stack: &StackName) -> PortResult<Option<Begun>> {
        Ok(locked(&self.0).get(stack).cloned())
    }
    async fn begin(&self, launch: &Begun) -> PortResult<()> {
        locked(&self.0).insert(launch.stack.clone(), launch.clone());
        Ok(())
    }
    async fn end(&self, stack: &StackName) -> PortResult<()> {
        locked(&self.0).remove(stack);
        Ok(())
    }
}

/// Key pairs in memory. They are made up: nobody has their private halves. A stack has the same one each time that a world is
/// made, and another one after it was removed.
#[derive(Default)]
pub struct MemoryKeyPairs(Mutex<BTreeMap<StackName, Made>>);

/// How many pairs a stack has had, and whether it has the last of them.
#[derive(Default)]
struct Made {
    times: u32,
    kept: bool,
}

#[async_trait]
impl KeyPairs for MemoryKeyPairs {
    async fn of(&self, stack: &StackName) -> PortResult<(SshPublicKey, Change)> {
        let mut all = locked(&self.0);
        let made = all.entry(stack.clone()).or_default();
        let change = if made.kept { Change::NotNeeded } else { Change::Made };
        if !made.kept {
            *made = Made { times: made.times + 1, kept: true };
        }
        Ok((crate::salt::made_up_ssh_key("ssh-ed25519", &format!("{stack} {}", made.times), stack.as_str())?, change))
    }
    async fn remove(&self, stack: &StackName) -> PortResult<Option<String>> {
        let mut all = locked(&self.0);
        let kept = all.get_mut(stack).is_some_and(|made| std::mem::take(&mut made.kept));
        Ok(kept.then(|| format!("{stack}.pem")))
    }
}

/// Makes key pairs that are made up: their private halves are their numbers, and open nothing.
#[derive(Default)]
pub struct MadeUpKeys(AtomicU64);

impl KeySmith for MadeUpKeys {
    fn pair(&self, stack: &StackName) -> PortResult<(PrivateKey, SshPublicKey)> {
        let private = format!("made up, number {}", self.0.fetch_add(1, Ordering::SeqCst));
        let public = crate::salt::made_up_ssh_key("ssh-ed25519", &private, stack.as_str())?;
        Ok((PrivateKey(private), public))
    }
    fn public_half(&self, stack: &StackName, private: &[u8]) -> Option<SshPublicKey> {
        let private = std::str::from_utf8(private).ok()?.strip_prefix("made up, ").map(|number| format!("made up, {number}"))?;
        crate::salt::made_up_ssh_key("ssh-ed25519", &private, stack.as_str()).ok()
    }
}

/// One project file in memory, as JSON, which is YAML too.
pub struct MemoryProjects(Mutex<String>);

/// What the one file is called.
const FILE: &str = "project.json";

impl MemoryProjects {
    /// A project file of this text.
    pub fn new(text: &str) -> Self {
        Self(Mutex::new(text.into()))
    }
}

fn malformed(error: impl std::fmt::Display) -> PortError {
    PortError::new(PortErrorKind::Malformed, FILE, error.to_string())
}

#[async_trait]
impl SharedAddress for MemoryProjects {
    async fn projects(&self) -> PortResult<Projects> {
        let text = locked(&self.0).clone();
        Projects::from_file(FILE, json::parse(&text).map_err(malformed)?).map_err(malformed)
    }
    async fn propose(&self, address: &MasterAddress) -> PortResult<Vec<Proposal>> {
        let before = locked(&self.0).clone();
        let mut root = json::parse(&before).map_err(malformed)?;
        let ec2 = root.at_mut(&["defaults", "aws", "ec2"]).and_then(json::Value::as_object_mut);
        let ec2 = ec2.ok_or_else(|| malformed("its defaults have no aws.ec2"))?;
        if ec2.get("master_ip").and_then(json::Value::as_string).as_deref() == Some(address.as_str()) {
            return Ok(Vec::new());
        }
        ec2.set("master_ip", address.as_str());
        Ok(vec![Proposal { file: FILE.into(), before, after: root.to_string(), history: Versioned::No }])
    }
    async fn share(&self, proposal: &Proposal) -> PortResult<()> {
        let mut text = locked(&self.0);
        if *text != proposal.before {
            return Err(PortError::new(PortErrorKind::Conflict, FILE, "somebody else has written it since it was read"));
        }
        *text = proposal.after.clone();
        Ok(())
    }
    async fn commit(&self, _: &[String], _: &str) -> PortResult<()> {
        Err(PortError::new(PortErrorKind::Refused, FILE, "it is in no git repository"))
    }
}
