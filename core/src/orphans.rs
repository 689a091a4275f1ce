//! Which keys does a master hold for minions that are no more? Better one too many kept than one removed that is needed.

use crate::{
    fleet::{Fleet, HeldKey, HeldKeys},
    name::{NodeName, StackName},
};
use std::collections::BTreeSet;

/// What a key that a master holds belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Belongs {
    /// To a stack that has an instance, in whatever state: a stopped one comes back.
    ToAStack,
    /// To a stack that has a context and no instance here: it may be in another region, or be launched at the moment.
    ToAContext,
    /// To a minion whose id is no node's name: somebody else's.
    ToAStranger,
    /// To a stack that is no more.
    ToNobody,
}

/// What a key belongs to. The fleet has to be listed after the keys were read: who came in between is in it then.
pub fn belongs(key: &HeldKey, fleet: &Fleet) -> Belongs {
    let Ok(node) = key.id.parse::<NodeName>() else { return Belongs::ToAStranger };
    // `harbor--ci--2` is a node, and could be a stack of an old fleet, whose minions had no number.
    let stacks = [Some(node.stack().clone()), key.id.parse::<StackName>().ok()];
    let found: Vec<_> = stacks.iter().flatten().filter_map(|stack| fleet.stacks.get(stack)).collect();
    match &found[..] {
        [] => Belongs::ToNobody,
        found if found.iter().any(|stack| !stack.nodes.is_empty()) => Belongs::ToAStack,
        _ => Belongs::ToAContext,
    }
}

/// Why no orphan is removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// No stack has an instance: what EC2 answered is about nothing, or about another account.
    #[error("{region} has no instance of any stack but masters: every key would be an orphan")]
    NoFleet {
        /// The region that was listed.
        region: String,
    },
    /// No stack has a context: it is the store of something else that was read.
    #[error("the context store has no context at all: every stack without an instance here would be taken for one that is no more")]
    NoContexts,
    /// There are suspiciously many.
    #[error("{orphans} of {held} minions would lose their key, more than {percent} %")]
    TooMany {
        /// The ids that would be removed.
        orphans: usize,
        /// The ids that are held.
        held: usize,
        /// The most that are removed without a question, of a hundred.
        percent: u32,
    },
}

/// The keys of minions that are no more.
pub fn orphans<'a>(keys: &'a HeldKeys, fleet: &'a Fleet) -> impl Iterator<Item = &'a HeldKey> {
    keys.iter().filter(|key| belongs(key, fleet) == Belongs::ToNobody)
}

/// Whether these orphans may be removed without a question: not where the fleet or the store looks empty, and not more than so
/// many of a hundred; one alone always may.
///
/// # Errors
/// Why not. [`Unsafe::TooMany`] is for the operator to decide; the others are not.
pub fn removable(keys: &HeldKeys, fleet: &Fleet, percent: u32) -> Result<(), Unsafe> {
    let ids = |keys: &mut dyn Iterator<Item = &HeldKey>| keys.map(|key| key.id.clone()).collect::<BTreeSet<_>>().len();
    let (orphans, held) = (ids(&mut orphans(keys, fleet)), ids(&mut keys.iter()));
    if orphans == 0 {
        return Ok(());
    }
    if !fleet.stacks.values().any(|stack| !stack.name.is_master() && !stack.nodes.is_empty()) {
        return Err(Unsafe::NoFleet { region: fleet.region.clone() });
    }
    if fleet.contexts == 0 {
        return Err(Unsafe::NoContexts);
    }
    let too_many = (orphans > 1 || percent == 0) && (orphans as u128) * 100 > (held as u128) * u128::from(percent);
    if too_many { Err(Unsafe::TooMany { orphans, held, percent }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{ContextFacts, Ec2Id, InstanceState, KeyFingerprint, KeyState, Node, Reading, Stack, Timestamp};
    use std::collections::BTreeMap;

    fn key(id: &str) -> HeldKey {
        HeldKey { id: id.into(), state: KeyState::Accepted, key: KeyFingerprint::of_body(id) }
    }

    fn fleet(stacks: &[(&str, Option<InstanceState>)]) -> Fleet {
        let stack = |(name, state): &(&str, Option<InstanceState>)| {
            let name: StackName = name.parse().unwrap();
            let node = |state| Node {
                name: name.node(1),
                id: Ec2Id("i-1".into()),
                state,
                private: None,
                public: None,
                reach: None,
                launched: Timestamp(0),
                evidence: Reading::NotAsked,
                outlook: None,
                woken: false,
            };
            let nodes = state.map(node).into_iter().collect();
            (name.clone(), Stack { name, nodes, tags: Default::default(), context: Reading::Read(ContextFacts::NoEc2) })
        };
        let stacks: BTreeMap<_, _> = stacks.iter().map(stack).collect();
        Fleet { region: "eu-west-3".into(), contexts: stacks.len(), stacks, ..Fleet::default() }
    }

    #[test]
    fn any_existing_stack_in_any_state_is_alive() {
        let states = [InstanceState::Pending, InstanceState::Running, InstanceState::Stopping, InstanceState::Stopped];
        for state in states {
            let fleet = fleet(&[("harbor--ci", Some(state))]);
            assert_eq!(belongs(&key("harbor--ci--1"), &fleet), Belongs::ToAStack, "{state}");
            assert_eq!(belongs(&key("harbor--ci--7"), &fleet), Belongs::ToAStack, "a node more or less is no reason");
            assert_eq!(belongs(&key("harbor--prod--1"), &fleet), Belongs::ToNobody);
        }
    }

    #[test]
    fn a_context_without_an_instance_and_an_id_that_is_no_name_keep_their_keys() {
        let fleet = fleet(&[("harbor--ci", None), ("harbor--2", Some(InstanceState::Running))]);
        assert_eq!(belongs(&key("harbor--ci--1"), &fleet), Belongs::ToAContext);
        for stranger in ["monitor", "harbor--ci", "web.example.org", "a b--c--1"] {
            assert_eq!(belongs(&key(stranger), &fleet), Belongs::ToAStranger, "{stranger}");
        }
        assert_eq!(belongs(&key("harbor--2--1"), &fleet), Belongs::ToAStack);
    }

    #[test]
    fn an_empty_answer_removes_nothing_and_a_big_share_needs_a_yes() {
        let ids = ["a--ci--1", "b--ci--1", "c--ci--1", "d--ci--1", "e--ci--1"];
        let keys: HeldKeys = ids.iter().map(|id| key(id)).collect();
        let stacks: Vec<_> =
            ["a--ci", "b--ci", "c--ci", "d--ci", "e--ci"].iter().map(|name| (*name, Some(InstanceState::Stopped))).collect();
        let left = |from: usize| removable(&keys, &fleet(&stacks[from..]), 20);
        assert_eq!(left(0), Ok(()));
        assert_eq!(left(1), Ok(()), "one of five");
        assert_eq!(left(2), Err(Unsafe::TooMany { orphans: 2, held: 5, percent: 20 }));
        assert_eq!(left(5), Err(Unsafe::NoFleet { region: "eu-west-3".into() }));
        let only_masters = fleet(&[("master-server--a", Some(InstanceState::Running))]);
        assert!(matches!(removable(&keys, &only_masters, 100), Err(Unsafe::NoFleet { .. })));
        assert_eq!(removable(&HeldKeys::default(), &fleet(&[]), 20), Ok(()), "nothing is to be removed");
        let elsewhere = Fleet { contexts: 0, ..fleet(&stacks[1..]) };
        assert_eq!(removable(&keys, &elsewhere, 100), Err(Unsafe::NoContexts), "the store of something else");
        let one: HeldKeys = [key("a--ci--1")].into_iter().collect();
        assert_eq!(removable(&one, &fleet(&stacks[1..]), 20), Ok(()), "one alone");
    }

    #[test]
    fn two_keys_under_one_id_are_one_minion() {
        let mut second = key("a--ci--1");
        second.key = KeyFingerprint::of_body("another");
        let keys: HeldKeys = [key("a--ci--1"), second].into_iter().collect();
        assert_eq!(orphans(&keys, &fleet(&[("b--ci", Some(InstanceState::Running))])).count(), 2);
        assert_eq!(removable(&keys, &fleet(&[("b--ci", Some(InstanceState::Running))]), 20), Ok(()));
    }
}
