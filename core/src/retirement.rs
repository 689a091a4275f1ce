//! May a master go? Not while anything still points to it, or nobody knows whether it does.

#[cfg(test)]
mod tests;

use crate::{
    address::{HostAddress, MasterAddress},
    fleet::{ContextFacts, Evidence, Fleet, InstanceState, KeyFingerprint, KeyState, Node, Reading, Stack},
    name::StackName,
    ports::Begun,
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
    let mut found = Pointers { fleet, old: Old::of(fleet, old), all: Vec::new() };
    if pin == Some(old) {
        found.add(Place::Settings, old);
    }
    for address in &found.old.addresses() {
        for of in projects.naming(address.as_str()) {
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

/// What of all this keeps a master from being destroyed. What names it in settings and project files is for people to mend. What
/// is not known counts for nothing where its launch has never come to its end and nothing at all names it: it has been nobody's
/// master yet.
pub fn holding(mut found: Vec<Pointer>, begun: Option<&Begun>) -> Vec<Pointer> {
    let unfinished = begun.is_some_and(|begun| !begun.going);
    if unfinished && found.iter().all(|pointer| pointer.place == Place::Unknown) {
        return Vec::new();
    }
    found.retain(|pointer| !matches!(pointer.place, Place::Settings | Place::ProjectFile));
    found
}

/// What a master is known by.
struct Old<'a> {
    name: &'a StackName,
    nodes: &'a [Node],
    key: Option<KeyFingerprint>,
}

impl<'a> Old<'a> {
    fn of(fleet: &'a Fleet, name: &'a StackName) -> Self {
        let nodes = fleet.stacks.get(name).map(|stack| &*stack.nodes).unwrap_or_default();
        let key = fleet.standings.get(name).and_then(Reading::ok).map(|standing| standing.key.fingerprint());
        Self { name, nodes, key }
    }
    fn addresses(&self) -> BTreeSet<HostAddress> {
        self.nodes.iter().flat_map(Node::addresses).cloned().collect()
    }
    fn has(&self, address: &str) -> bool {
        self.nodes.iter().any(|node| node.is_at(address))
    }
    /// What would make its key known.
    fn awakening(&self) -> String {
        let running = self.nodes.iter().any(|node| node.state == InstanceState::Running);
        let Self { name, .. } = self;
        if running { format!("see to it that {name} can be asked") } else { format!("start {name}") }
    }
}

struct Pointers<'a> {
    fleet: &'a Fleet,
    old: Old<'a>,
    all: Vec<Pointer>,
}

impl Pointers<'_> {
    fn add(&mut self, place: Place, of: &dyn fmt::Display) {
        self.all.push(Pointer { place, of: of.to_string(), why: None });
    }

    fn unknown(&mut self, of: &dyn fmt::Display, why: impl Into<String>) {
        self.all.push(Pointer { place: Place::Unknown, of: of.to_string(), why: Some(why.into()) });
    }

    fn look_at(&mut self, stack: &Stack, answering: Option<&BTreeSet<String>>) {
        let mut named: &[Box<str>] = &[];
        match &stack.context {
            Reading::Read(ContextFacts::Mastered { masters, .. }) => named = masters,
            Reading::Read(ContextFacts::Masterless | ContextFacts::NoEc2) => return self.look_for_its_keys(stack),
            Reading::Unreadable(problem) => self.unknown(&stack.name, problem.to_string()),
            Reading::NotAsked | Reading::Absent => {}
        }
        if named.iter().any(|master| self.old.has(master)) {
            self.add(Place::Context, &stack.name);
        }
        // Another master's own minion is looked after by whoever made it.
        for node in stack.nodes.iter().filter(|_| !stack.name.is_master()) {
            self.look_at_node(node, named, answering);
        }
    }

    /// A stack whose context says that it has no master: the old one knows better where it lets its minions in.
    fn look_for_its_keys(&mut self, stack: &Stack) {
        let Some(standing) = self.fleet.standings.get(self.old.name).and_then(Reading::ok) else { return };
        for node in stack.nodes.iter().filter(|_| !stack.name.is_master()) {
            let held = standing.keys.under(&node.name.to_string());
            if held.iter().any(|held| held.state == KeyState::Accepted) {
                let (name, old) = (&node.name, self.old.name);
                self.unknown(
                    name,
                    format!(
                        "its context says that it has no master, and {old} lets it in; mend the context, or `salt-key -d {name}` on {old}"
                    ),
                );
            }
        }
    }

    fn look_at_node(&mut self, node: &Node, context: &[Box<str>], answering: Option<&BTreeSet<String>>) {
        let evidence = match &node.evidence {
            Reading::Read(evidence) => evidence,
            Reading::Unreadable(problem) => return self.unknown(&node.name, problem.to_string()),
            _ if node.state == InstanceState::Running => {
                return self.unknown(&node.name, "it was not asked: it has no context that says how");
            }
            _ => return self.unknown(&node.name, format!("it is {} and has never been asked; start it, or re-master it", node.state)),
        };
        let Evidence { build_vars, configured, trusted, connected, minion_id, .. } = evidence;
        let mut named: BTreeSet<&str> = context.iter().chain(connected).map(|address| &**address).collect();
        match build_vars {
            Ok(Some(master)) if self.old.has(master.as_str()) => self.add(Place::BuildVars, &node.name),
            Ok(master) => named.extend(master.iter().map(MasterAddress::as_str)),
            Err(problem) => self.unknown(&node.name, problem.to_string()),
        }
        let configured: Vec<&str> = configured.as_deref().map(each).unwrap_or_default();
        if configured.iter().any(|address| self.old.has(address)) {
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
        named.extend(configured);
        if let Some(why) = self.unclear(&named, *trusted) {
            self.unknown(&node.name, why);
        }
    }

    /// Why nobody can say whether a minion means the old master, where it names what no machine here has: a name, an address that
    /// its machine had before it was stopped. The key that it trusts says so where it is known whose that is.
    fn unclear(&self, named: &BTreeSet<&str>, trusted: Option<KeyFingerprint>) -> Option<String> {
        let master = self.old.name;
        let way = match (trusted, self.old.key) {
            (Some(_), Some(_)) => return None,
            (Some(key), None) if self.is_of_another(key) => return None,
            (_, None) => format!("{} or re-master it", self.old.awakening()),
            (None, Some(_)) => "it trusts no key yet; re-master it".into(),
        };
        let nodes = || self.fleet.stacks.values().flat_map(|stack| &stack.nodes);
        let strange: Vec<&str> = named.iter().copied().filter(|address| !nodes().any(|node| node.is_at(address))).collect();
        let said = format!("it names {}, and nobody can say whether that is {master}; {way}", strange.join(" and "));
        (!strange.is_empty()).then_some(said)
    }

    /// Whether a master that could be asked shows this key; the old one could not.
    fn is_of_another(&self, key: KeyFingerprint) -> bool {
        self.fleet.standings.values().filter_map(Reading::ok).any(|standing| standing.key.fingerprint() == key)
    }
}

/// Each address of a `master:`, which may be a list.
fn each(configured: &str) -> Vec<&str> {
    configured.split([',', ' ', '[', ']', '\'', '"']).filter(|address| !address.is_empty()).collect()
}
