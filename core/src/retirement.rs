//! May a master go? Not while anything still points to it, or nobody knows whether it does.

use crate::{
    fleet::{ContextFacts, Evidence, Fleet, InstanceState, KeyFingerprint, Node, Reading, Stack},
    name::StackName,
    project::Projects,
    status::Answers,
};
use serde::Serialize;
use std::{collections::BTreeSet, fmt};

/// Where a master is still pointed to from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// settings.yaml pins it.
    Settings,
    /// A project file names its address.
    ProjectFile,
    /// A context names its address.
    Context,
    /// A node's build vars do.
    BuildVars,
    /// A minion's configuration does.
    Configuration,
    /// A minion trusts its key.
    TrustedKey,
    /// A minion is connected to it.
    Connection,
    /// A minion answers it.
    Answer,
    /// Nobody could say.
    Unknown,
}

/// Something that still points to a master, or may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pointer {
    /// Where from.
    pub place: Place,
    /// Of which stack, node or file.
    pub of: String,
    /// Why it is not known, where it is not.
    pub why: Option<String>,
}

/// Everything that still points to a master, in a fleet that was asked in full. Empty where it may go.
pub fn pointers(fleet: &Fleet, projects: &Projects, pin: Option<&StackName>, old: &StackName, answers: &Answers) -> Vec<Pointer> {
    let mut found = Pointers { old: Old::of(fleet, old), all: Vec::new() };
    if pin == Some(old) {
        found.add(Place::Settings, old);
    }
    for address in &found.old.addresses.clone() {
        for of in projects.naming(address) {
            found.add(Place::ProjectFile, &of);
        }
    }
    for stack in fleet.stacks.values().filter(|stack| stack.name != *old) {
        found.look_at(stack, answers.get(old));
    }
    found.all.sort();
    found.all.dedup();
    found.all
}

/// What a master is known by.
struct Old {
    addresses: Vec<String>,
    key: Option<KeyFingerprint>,
}

impl Old {
    fn of(fleet: &Fleet, old: &StackName) -> Self {
        let nodes = fleet.stacks.get(old).into_iter().flat_map(|stack| &stack.nodes);
        let addresses = nodes.flat_map(|node| [&node.private, &node.reach]).flatten().map(ToString::to_string).collect();
        let key = fleet.standings.get(old).and_then(Reading::ok).map(|standing| standing.key.fingerprint());
        Self { addresses, key }
    }
    fn has(&self, address: &str) -> bool {
        self.addresses.iter().any(|own| own == address)
    }
}

struct Pointers {
    old: Old,
    all: Vec<Pointer>,
}

impl Pointers {
    fn add(&mut self, place: Place, of: &dyn fmt::Display) {
        self.all.push(Pointer { place, of: of.to_string(), why: None });
    }

    fn unknown(&mut self, of: &dyn fmt::Display, why: impl Into<String>) {
        self.all.push(Pointer { place: Place::Unknown, of: of.to_string(), why: Some(why.into()) });
    }

    fn look_at(&mut self, stack: &Stack, answering: Option<&BTreeSet<String>>) {
        match &stack.context {
            Reading::Read(ContextFacts::Mastered { masters, .. }) if masters.iter().any(|master| self.old.has(master)) => {
                self.add(Place::Context, &stack.name);
            }
            Reading::Read(ContextFacts::Masterless | ContextFacts::NoEc2) => return,
            Reading::Unreadable(problem) => self.unknown(&stack.name, problem.to_string()),
            _ => {}
        }
        // Another master's own minion is looked after by whoever made it.
        for node in stack.nodes.iter().filter(|_| !stack.name.is_master()) {
            self.look_at_node(node, answering);
        }
    }

    fn look_at_node(&mut self, node: &Node, answering: Option<&BTreeSet<String>>) {
        let evidence = match &node.evidence {
            Reading::Read(evidence) => evidence,
            Reading::Unreadable(problem) => return self.unknown(&node.name, problem.to_string()),
            _ if node.state == InstanceState::Running => {
                return self.unknown(&node.name, "it was not asked: it has no context that says how");
            }
            _ => return self.unknown(&node.name, format!("it is {} and has never been asked; start it, or re-master it", node.state)),
        };
        let Evidence { build_vars, configured, trusted, connected, minion_id, .. } = evidence;
        match build_vars {
            Ok(Some(master)) if self.old.has(master.as_str()) => self.add(Place::BuildVars, &node.name),
            Ok(_) => {}
            Err(problem) => self.unknown(&node.name, problem.to_string()),
        }
        if configured.as_deref().is_some_and(|address| self.old.has(address)) {
            self.add(Place::Configuration, &node.name);
        }
        if trusted.is_some() && *trusted == self.old.key {
            self.add(Place::TrustedKey, &node.name);
        }
        if connected.iter().any(|peer| self.old.has(peer)) {
            self.add(Place::Connection, &node.name);
        }
        if minion_id.as_deref().is_some_and(|id| answering.is_some_and(|answering| answering.contains(id))) {
            self.add(Place::Answer, &node.name);
        }
    }
}
