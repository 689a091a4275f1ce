//! Where does each node stand between its masters? Everything that names a master side by side, and what that comes to.

use crate::{
    error::PortErrorKind,
    fleet::{ContextFacts, Evidence, Fleet, InstanceState, KeyFingerprint, Node, Reading, Stack},
    name::{NodeName, StackName},
    project::Projects,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What the facts about a node come to, with regard to the master it should be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything names the master, and the node answers it.
    OnIt,
    /// Everything names another master, and the node answers that.
    Elsewhere,
    /// It answers a master, and not everything is as it should be: something names another one, a highstate is due, a
    /// switch waits to be confirmed.
    HalfWay,
    /// It is up and answers no master.
    Lost,
    /// It is stopped; what is shown is what it said before.
    Asleep,
    /// It could not be asked, or the master it is connected to could not.
    Unreachable,
    /// It takes orders from nobody, on purpose.
    Masterless,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OnIt => "on it",
            Self::Elsewhere => "elsewhere",
            Self::HalfWay => "half way",
            Self::Lost => "lost",
            Self::Asleep => "asleep",
            Self::Unreachable => "unreachable",
            Self::Masterless => "masterless",
        })
    }
}

/// One node. Masters are given by the name of their stack where they have one, else as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Which.
    pub node: NodeName,
    /// What its machine is doing.
    pub state: InstanceState,
    /// The master it should be on.
    pub master: Option<StackName>,
    /// What its stack's context names; more than one where places differ.
    pub context: Vec<String>,
    /// What its build vars name.
    pub build_vars: Option<String>,
    /// What its configuration names.
    pub configuration: Option<String>,
    /// Whose key it trusts: a master's, else the key's fingerprint.
    pub trusted_key: Option<String>,
    /// What it is connected to.
    pub connection: Vec<String>,
    /// The masters that get an answer from it.
    pub answers: Vec<StackName>,
    /// A highstate is due.
    pub highstate_due: bool,
    /// A switch waits to be confirmed.
    pub unconfirmed: bool,
    /// What that comes to.
    pub verdict: Verdict,
    /// Why, where that needs saying; what to type next.
    pub note: Option<String>,
}

/// The minions that answered, by the master that asked.
pub type Answers = BTreeMap<StackName, BTreeSet<String>>;

/// The master a stack should be on: the one whose address its project file names, for its alternate where that is known, else the
/// pinned one, else the first.
pub fn meant<'a>(
    fleet: &'a Fleet,
    projects: &Projects,
    stack: &StackName,
    alternate: Option<&str>,
    pin: Option<&StackName>,
) -> Option<&'a StackName> {
    let named = projects.shared_master(stack, alternate).and_then(|address| fleet.master_at(&address));
    named.or_else(|| fleet.preferred_master(pin)).map(|master| &master.name)
}

/// The masters that project files name by one of their addresses, in order of precedence.
pub fn named_in_files<'a>(fleet: &'a Fleet, projects: &Projects) -> Vec<&'a StackName> {
    let named = |master: &&Stack| {
        let mut addresses = master.nodes.iter().flat_map(Node::addresses);
        addresses.any(|address| !projects.naming(address.as_str()).is_empty())
    };
    fleet.masters().into_iter().filter(named).map(|master| &master.name).collect()
}

/// A row for each node of a stack, with regard to the master it should be on.
pub fn of_stack(fleet: &Fleet, stack: &Stack, master: Option<&StackName>, answers: &Answers) -> Vec<NodeStatus> {
    if matches!(stack.context, Reading::Read(ContextFacts::NoEc2)) {
        return Vec::new();
    }
    stack.nodes.iter().map(|node| of_node(fleet, stack, node, master, answers)).collect()
}

fn of_node(fleet: &Fleet, stack: &Stack, node: &Node, master: Option<&StackName>, answers: &Answers) -> NodeStatus {
    let context = match &stack.context {
        Reading::Read(ContextFacts::Mastered { masters, .. }) => masters.iter().map(|address| named(fleet, address)).collect(),
        _ => Vec::new(),
    };
    let evidence = node.evidence.ok();
    let id = evidence.and_then(|evidence| evidence.minion_id.as_deref());
    let mut status = NodeStatus {
        node: node.name.clone(),
        state: node.state,
        master: master.cloned(),
        context,
        build_vars: evidence.and_then(|e| e.build_vars.as_ref().ok()?.as_ref()).map(|address| named(fleet, address.as_str())),
        configuration: evidence.and_then(|e| e.configured.as_deref()).map(|address| named(fleet, address)),
        trusted_key: evidence.and_then(|e| e.trusted).map(|key| owner(fleet, key)),
        connection: evidence.map(|e| e.connected.iter().map(|peer| named(fleet, peer)).collect()).unwrap_or_default(),
        answers: answers.iter().filter(|(_, ids)| id.is_some_and(|id| ids.contains(id))).map(|(master, _)| master.clone()).collect(),
        highstate_due: evidence.is_some_and(|e| e.highstate_due),
        unconfirmed: evidence.is_some_and(|e| e.unconfirmed),
        verdict: Verdict::HalfWay,
        note: None,
    };
    let masters = fleet.masters();
    let unasked =
        status.connection.iter().find(|name| masters.iter().any(|m| m.name.as_str() == name.as_str() && !answers.contains_key(&m.name)));
    let unasked = unasked.map(|master| format!("it is connected to {master}, which could not be asked"));
    (status.verdict, status.note) = judged(stack, node, evidence, &status, unasked);
    status
}

fn judged(
    stack: &Stack,
    node: &Node,
    evidence: Option<&Evidence>,
    status: &NodeStatus,
    unasked: Option<String>,
) -> (Verdict, Option<String>) {
    if matches!(stack.context, Reading::Read(ContextFacts::Masterless)) {
        return (Verdict::Masterless, None);
    }
    if node.state != InstanceState::Running {
        let unasked = evidence.is_none().then(|| format!("{}; what it says is not known", node.state));
        return (Verdict::Asleep, unasked.or_else(|| Some(node.state.to_string())));
    }
    let Some(evidence) = evidence else {
        return match &node.evidence {
            Reading::Unreadable(problem) if problem.kind != PortErrorKind::Malformed => (Verdict::Unreachable, Some(problem.to_string())),
            Reading::Unreadable(problem) => (Verdict::HalfWay, Some(problem.to_string())),
            _ if node.reach.is_none() => (Verdict::Unreachable, Some("it has no address to connect to".into())),
            _ => (Verdict::Unreachable, Some(format!("it was not asked: {}", no_context(stack)))),
        };
    };
    if let Some(why) = unasked.filter(|_| status.answers.is_empty()) {
        return (Verdict::Unreachable, Some(why));
    }
    if status.answers.is_empty() {
        let why = match (&evidence.trusted, &*status.connection) {
            (_, []) => "it is connected to no master",
            (None, _) => "it trusts no key yet, or a switch of it was cut short",
            _ => "it is connected, and no master that could be asked gets an answer",
        };
        return (Verdict::Lost, Some(why.into()));
    }
    if let Err(problem) = &evidence.build_vars {
        return (Verdict::HalfWay, Some(format!("{problem}; 'buildvars.fix:{}' regenerates them", stack.name)));
    }
    if status.context.is_empty() {
        return (Verdict::HalfWay, Some(no_context(stack)));
    }
    let mut named: BTreeSet<&str> = status.context.iter().map(String::as_str).collect();
    named.extend(status.connection.iter().map(String::as_str));
    named.extend(status.answers.iter().map(StackName::as_str));
    for place in [&status.build_vars, &status.configuration, &status.trusted_key] {
        named.insert(place.as_deref().unwrap_or("nobody"));
    }
    if named.len() > 1 {
        return (Verdict::HalfWay, Some(format!("it names {}", named.into_iter().collect::<Vec<_>>().join(" and "))));
    }
    if evidence.unconfirmed {
        return (Verdict::HalfWay, Some("its switch was not confirmed: it puts itself back".into()));
    }
    if evidence.highstate_due {
        return (Verdict::HalfWay, Some("its highstate is due".into()));
    }
    let there = status.master.as_ref().is_some_and(|master| status.answers.contains(master));
    (if there { Verdict::OnIt } else { Verdict::Elsewhere }, None)
}

fn no_context(stack: &Stack) -> String {
    match &stack.context {
        Reading::Unreadable(problem) => problem.to_string(),
        Reading::Absent => format!("no context is stored for it; 'context.history:{}' shows what there was", stack.name),
        _ => "its context names no master".into(),
    }
}

/// The master that has this address, by name; else the address.
fn named(fleet: &Fleet, address: &str) -> String {
    match fleet.master_at(address) {
        Some(master) => master.name.to_string(),
        None if address.is_empty() => "nobody".into(),
        None => address.into(),
    }
}

/// The master that shows this key, by name; else the key.
fn owner(fleet: &Fleet, key: KeyFingerprint) -> String {
    let shows = |standing: &Reading<crate::fleet::Standing>| standing.ok().is_some_and(|standing| standing.key.fingerprint() == key);
    let found = fleet.standings.iter().find(|(_, standing)| shows(standing));
    found.map_or_else(|| key.to_string(), |(master, _)| master.to_string())
}
