//! What does the world look like? Reads the inventory, the contexts and the nodes into a [`Fleet`].
//!
//! A part that cannot be read becomes a fact in the fleet. Only where the fleet itself cannot be seen (no inventory, no
//! store) is there an error, and then nothing else happens either.

use crate::{
    address::{HostAddress, MasterAddress},
    build_vars::{BuildVars, BuildVarsError},
    context::Context,
    error::{PortError, PortErrorKind, PortResult},
    fleet::{
        ContextFacts, Evidence, Fleet, Host, Instance, InstanceState, KeyState, Node, NodeFiles, Problem, PublicKey, Reading, Stack,
        Standing,
    },
    minion_config,
    name::{ProjectName, StackName},
    ports::{ContextStore, Document, Inventory, Masters, Minions, Sleeper, SleeperState, Sleepers},
};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// How long a machine that has just been started may take to let anybody in.
pub const FIRST_START: Duration = Duration::from_secs(600);

/// Which of its addresses a node is connected to by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// The public one where there is one, else the private one.
    #[default]
    Auto,
    /// The public one.
    Public,
    /// The private one: from inside the VPC, or through a bastion.
    Private,
}

/// [`Prefer`] for the fleet, and for projects that differ.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// For every project not named below.
    pub default: Prefer,
    /// For these.
    pub projects: BTreeMap<ProjectName, Prefer>,
}

impl AddressPolicy {
    /// The address to connect to an instance by.
    pub fn reach(&self, stack: &StackName, instance: &Instance) -> Option<HostAddress> {
        match self.projects.get(&stack.project()).copied().unwrap_or(self.default) {
            Prefer::Auto => instance.public.clone().or_else(|| instance.private.clone()),
            Prefer::Public => instance.public.clone(),
            Prefer::Private => instance.private.clone(),
        }
    }
}

/// Where a survey looks, and how.
pub struct Sources<'a> {
    /// The machines.
    pub inventory: &'a dyn Inventory,
    /// The contexts.
    pub contexts: &'a dyn ContextStore,
    /// The nodes.
    pub minions: &'a dyn Minions,
    /// The masters.
    pub masters: &'a dyn Masters,
    /// What is remembered of those that sleep.
    pub sleepers: &'a dyn Sleepers,
    /// Which address to use.
    pub addresses: &'a AddressPolicy,
    /// How many contexts or nodes are read at once; at least 1.
    pub jobs: usize,
}

/// How deep a survey goes, for one stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// That it exists, and its machines.
    Listed,
    /// And its context.
    Context,
    /// And what its running nodes say, where its context has a master at all; of a master, what its salt-master says.
    Nodes,
}

/// Surveys the fleet, each stack as deep as asked.
///
/// # Errors
/// Where the inventory or the list of contexts cannot be read: then nothing is known.
pub async fn survey(sources: &Sources<'_>, depth: impl Fn(&StackName) -> Depth) -> PortResult<Fleet> {
    let mut fleet = list(sources).await?;
    deepen(&mut fleet, sources, None, depth).await;
    Ok(fleet)
}

/// The fleet as far as one question to the inventory and one to the store go.
///
/// # Errors
/// As [`survey`].
pub async fn list(sources: &Sources<'_>) -> PortResult<Fleet> {
    let (instances, contexts, sleepers) =
        futures::try_join!(sources.inventory.instances(), sources.contexts.list(), sources.sleepers.all())?;
    Ok(assembled(sources, instances, contexts, sleepers))
}

/// Reads contexts, nodes and masters of a listed fleet, as deep as asked; the nodes with regard to the master at this
/// address, where there is one they may be moved to. What cannot be read becomes a fact in the fleet; the contexts that would be rewritten
/// for that master stay with it ([`Fleet::originals`]).
pub async fn deepen(fleet: &mut Fleet, sources: &Sources<'_>, toward: Option<&MasterAddress>, depth: impl Fn(&StackName) -> Depth) {
    let wanted: Vec<StackName> = fleet.stacks.keys().filter(|name| depth(name) >= Depth::Context).cloned().collect();
    let mut read = stream::iter(wanted)
        .map(|name| async move {
            let read = sources.contexts.load(&name).await;
            (name, read)
        })
        .buffer_unordered(sources.jobs.max(1));
    while let Some((name, read)) = read.next().await {
        let Some(stack) = fleet.stacks.get_mut(&name) else { continue };
        let (facts, document) = match read {
            Ok(document) => (context_facts(&document), Some(document)),
            Err(error) => (Reading::of(Err(error)), None),
        };
        let is_rewritten =
            |facts: &ContextFacts| matches!(facts, ContextFacts::Mastered { .. }) && toward.is_some_and(|master| !facts.names_only(master));
        if let Some(document) = document.filter(|_| !stack.nodes.is_empty() && facts.ok().is_some_and(is_rewritten)) {
            fleet.originals.keep(&name, document);
        }
        stack.context = facts;
    }

    read_masters(fleet, sources, &depth).await;
    let hosts = fleet
        .stacks
        .values()
        .filter(|stack| depth(&stack.name) >= Depth::Nodes && matches!(stack.context, Reading::Read(ContextFacts::Mastered { .. })));
    let running = |node: &&Node| node.state == InstanceState::Running;
    let hosts = hosts.filter(|stack| !stack.name.is_master());
    let hosts: Vec<Host> = hosts.flat_map(|s| s.nodes.iter().filter(running).filter_map(Node::host)).collect();
    let mut read = stream::iter(hosts)
        .map(|host| async move {
            let said = match toward {
                Some(address) => sources.minions.examine(&host, address).await.map(|(files, outlook)| (files, Some(outlook))),
                None => sources.minions.read(&host).await.map(|files| (files, None)),
            };
            (host.node, said)
        })
        .buffer_unordered(sources.jobs.max(1));
    while let Some((name, said)) = read.next().await {
        let node = fleet.stacks.get_mut(name.stack()).and_then(|stack| stack.nodes.iter_mut().find(|n| n.name == name));
        if let Some(node) = node {
            let (said, outlook) = match said {
                Ok((files, outlook)) => (Ok(evidence(&files)), outlook),
                Err(error) => (Err(error), None),
            };
            node.evidence = Reading::of(said);
            node.outlook = outlook.map(Box::new);
        }
    }
}

/// Asks the running masters what they say of themselves.
async fn read_masters(fleet: &mut Fleet, sources: &Sources<'_>, depth: &impl Fn(&StackName) -> Depth) {
    let asked = fleet.masters().into_iter().filter(|stack| depth(&stack.name) >= Depth::Nodes);
    let hosts: Vec<_> = asked.filter_map(|stack| Some((stack.name.clone(), stack.running()?.host()?))).collect();
    let mut read = stream::iter(hosts)
        .map(|(name, host)| async move { (name, Reading::of(sources.masters.read(&host).await)) })
        .buffer_unordered(sources.jobs.max(1));
    while let Some((name, standing)) = read.next().await {
        fleet.standings.insert(name, standing);
    }
}

/// Asks every master that was read which of the fleet's minions answer it; those it has let in are asked. A master that
/// cannot be asked is left out.
pub async fn answers(fleet: &Fleet, masters: &dyn Masters, within: Duration) -> BTreeMap<StackName, BTreeSet<String>> {
    let nodes = fleet.stacks.values().flat_map(|stack| &stack.nodes).filter(|node| node.state == InstanceState::Running);
    let known: BTreeSet<&str> = nodes.filter_map(|node| node.evidence.ok()?.minion_id.as_deref()).collect();
    let asked = fleet.standings.iter().filter_map(|(master, standing)| {
        let accepted = standing.ok()?.keys.iter().filter(|held| held.state == KeyState::Accepted && known.contains(&*held.id));
        let ids: Vec<String> = accepted.map(|held| held.id.to_string()).collect();
        Some((master.clone(), fleet.stacks.get(master)?.running()?.host()?, ids))
    });
    let asked = asked.map(|(master, host, ids)| async move {
        let answered = if ids.is_empty() { Ok(BTreeSet::new()) } else { masters.ping(&host, &ids, within).await };
        Some((master, answered.ok()?))
    });
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}

/// The fleet as far as lists go: stacks with their nodes in order.
fn assembled(sources: &Sources<'_>, instances: Vec<Instance>, contexts: Vec<StackName>, sleepers: Vec<Sleeper>) -> Fleet {
    let remembered: HashMap<_, _> = sleepers.into_iter().map(|s| (s.id, (s.launched, s.state))).collect();
    let mut fleet = Fleet { region: sources.inventory.region().into(), contexts: contexts.len(), ..Fleet::default() };
    let mut unnamed = BTreeMap::new();
    let mut grouped: BTreeMap<StackName, Vec<Instance>> = contexts.into_iter().map(|name| (name, Vec::new())).collect();
    for instance in instances {
        match instance.stack.parse() {
            Ok(name) => grouped.entry(name).or_default().push(instance),
            Err(error) => drop(unnamed.insert(instance.stack, error.to_string())),
        }
    }
    fleet.unnamed = unnamed.into_iter().collect();
    for (name, instances) in grouped {
        let tags = instances.iter().flat_map(|instance| &instance.tags).map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        let tags = tags.collect();
        let nodes = numbered(instances)
            .into_iter()
            .map(|(number, instance)| {
                let memory = remembered.get(&instance.id);
                let up = !matches!(instance.state, InstanceState::Stopped | InstanceState::Stopping);
                Node {
                    name: name.node(number),
                    reach: sources.addresses.reach(&name, &instance),
                    evidence: match memory {
                        Some((launched, SleeperState::Asleep(evidence))) if !up && *launched == instance.launched => {
                            Reading::Read(evidence.clone())
                        }
                        _ => Reading::NotAsked,
                    },
                    woken: up
                        && memory.is_some_and(|(launched, state)| match state {
                            SleeperState::Waking => true,
                            SleeperState::Woken => *launched == instance.launched,
                            SleeperState::Asleep(_) => false,
                        }),
                    id: instance.id,
                    state: instance.state,
                    private: instance.private,
                    public: instance.public,
                    launched: instance.launched,
                    outlook: None,
                }
            })
            .collect();
        fleet.stacks.insert(name.clone(), Stack { name, nodes, tags, context: Reading::NotAsked });
    }
    fleet
}

/// Gives every instance of a stack its number: the `Node` tag where it is one and not taken, else the lowest free one.
/// In order of number; ties go to the older instance.
fn numbered(mut instances: Vec<Instance>) -> Vec<(u64, Instance)> {
    instances.sort_by(|a, b| (a.launched, &a.id).cmp(&(b.launched, &b.id)));
    let tag = |i: &Instance| i.node_tag.as_deref().filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok());
    let mut taken = BTreeSet::new();
    let mut numbered = Vec::with_capacity(instances.len());
    let (tagged, untagged): (Vec<_>, Vec<_>) = instances.into_iter().partition(|i| tag(i).is_some_and(|n: u64| taken.insert(n)));
    numbered.extend(tagged.into_iter().filter_map(|i| Some((tag(&i)?, i))));
    let mut free = (1..).filter(|n| !taken.contains(n));
    numbered.extend(untagged.into_iter().filter_map(|i| Some((free.next()?, i))));
    numbered.sort_by_key(|(number, _)| *number);
    numbered
}

fn context_facts(document: &Document) -> Reading<ContextFacts> {
    match Context::parse(&document.text).and_then(|context| context.facts()) {
        Ok(facts) => Reading::Read(facts),
        Err(error) => Reading::Unreadable(Problem { kind: PortErrorKind::Malformed, text: error.to_string().into() }),
    }
}

/// What a node's files say, boiled down.
pub fn evidence(files: &NodeFiles) -> Evidence {
    let build_vars = files.build_vars.as_deref().ok_or(BuildVarsError::Missing).and_then(BuildVars::decode);
    let build_vars = build_vars.and_then(|vars| vars.check().map(|()| vars.master()));
    Evidence {
        build_vars: build_vars.map_err(|error| error.to_string().into()),
        configured: files.minion_config.as_deref().and_then(minion_config::master_of),
        trusted: files.trusted_key.as_deref().and_then(PublicKey::from_pem).map(|key| key.fingerprint()),
        highstate_due: files.highstate_due,
        minion_id: files.minion_id.as_deref().map(Into::into),
        minion_key: files.minion_key.as_deref().and_then(PublicKey::from_pem).map(|key| key.fingerprint()),
        connected: files.connected.iter().map(|peer| peer.as_str().into()).collect(),
        unconfirmed: files.unconfirmed.is_some(),
    }
}

/// The master a fleet is to be moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMaster {
    /// Its stack.
    pub stack: StackName,
    /// Where to reach it.
    pub host: Host,
    /// What minions will know it by.
    pub address: MasterAddress,
    /// Every address it has: a minion that is connected to one of them is connected to it.
    pub peers: Vec<HostAddress>,
    /// What it says of itself.
    pub standing: Standing,
}

/// Why a stack cannot be the new master.
#[derive(Debug, thiserror::Error)]
pub enum MasterRefusal {
    /// Its project is not `master-server`.
    #[error("{0} is not a master: masters are the stacks of the project 'master-server'")]
    NotAMaster(StackName),
    /// No such stack.
    #[error("there is no {0} in {1}")]
    Unknown(StackName, String),
    /// There is, but nothing of it runs.
    #[error("{stack} cannot take over: it is {state} and has to be running")]
    NotRunning {
        /// The master.
        stack: StackName,
        /// What its instance does, or that it has none.
        state: String,
    },
    /// It runs, and its salt-master does not answer.
    #[error("{stack} cannot take over: {why}")]
    Silent {
        /// The master.
        stack: StackName,
        /// Why, as half a sentence.
        why: String,
    },
    /// It runs and could not be asked for its key.
    #[error("{stack} cannot take over: {problem}")]
    NoKey {
        /// The master.
        stack: StackName,
        /// What happened.
        problem: PortError,
    },
}

/// Looks up the new master and asks it what it says of itself. Its address is its private one, unless the operator gives a name.
///
/// # Errors
/// Whatever keeps it from taking over; nothing has been changed then.
pub async fn new_master(
    fleet: &Fleet,
    name: &StackName,
    address: Option<&MasterAddress>,
    masters: &dyn Masters,
) -> Result<NewMaster, MasterRefusal> {
    if !name.is_master() {
        return Err(MasterRefusal::NotAMaster(name.clone()));
    }
    let stack = fleet.stacks.get(name).filter(|stack| !stack.nodes.is_empty());
    let stack = stack.ok_or_else(|| MasterRefusal::Unknown(name.clone(), fleet.region.clone()))?;
    let not_running = |state: &str| MasterRefusal::NotRunning { stack: name.clone(), state: state.into() };
    let node = stack.running();
    let node = node.ok_or_else(|| not_running(&stack.state().map_or_else(|| "without an instance".into(), |s| s.to_string())))?;
    let host = node.host().ok_or_else(|| not_running("without an address to reach it by"))?;
    let address = address.or(node.private.as_ref()).ok_or_else(|| not_running("without a private address"))?.clone();
    let standing = masters.read(&host).await.map_err(|problem| MasterRefusal::NoKey { stack: name.clone(), problem })?;
    if let Some(why) = &standing.silent {
        return Err(MasterRefusal::Silent { stack: name.clone(), why: why.clone() });
    }
    let peers = [&address].into_iter().chain(node.addresses()).cloned().collect();
    Ok(NewMaster { stack: name.clone(), host, address, peers, standing })
}
