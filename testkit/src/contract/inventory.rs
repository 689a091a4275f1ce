//! What must hold of every `Inventory`, and of the `Power` that switches the same machines?

use async_trait::async_trait;
use bldr_core::{
    error::PortErrorKind,
    fleet::{Ec2Id, Instance, InstanceState},
    ports::{Inventory, Power},
};
use std::collections::BTreeSet;

/// How a machine says which stack it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// By the tag `Cluster`.
    Cluster,
    /// By the tag `aws:cloudformation:stack-name`.
    CloudFormation,
    /// By `Cluster`, while CloudFormation's tag says `somebody--else`. A bench without tags takes it for [`Tag::Cluster`].
    ClusterOverCloudFormation,
}

/// An account to try it on. Machines the suite has not added are left alone, and may be there.
#[async_trait]
pub trait Bench: Send + Sync {
    /// What is tested.
    fn inventory(&self) -> &dyn Inventory;
    /// What is tested.
    fn power(&self) -> &dyn Power;
    /// Adds a machine and waits until it runs.
    async fn add(&self, stack: &str, node_tag: Option<&str>, convention: Tag) -> Ec2Id;
    /// Ends one for good.
    async fn terminate(&self, id: &Ec2Id);
}

/// Every rule of both ports, one after the other.
pub async fn suite(bench: &dyn Bench) {
    everything_is_found_once(bench).await;
    what_is_terminated_is_gone(bench).await;
    a_stopped_one_is_still_there_and_starts_again(bench).await;
    what_is_so_already_is_left_alone(bench).await;
    what_does_not_exist_cannot_be_switched(bench).await;
}

async fn seen(bench: &dyn Bench, id: &Ec2Id) -> Option<Instance> {
    let all = bench.inventory().instances().await.unwrap();
    let mut those = all.into_iter().filter(|i| i.id == *id);
    let one = those.next();
    assert_eq!(those.next(), None, "{id} is listed twice");
    one
}

/// All that was added is found, each once, with its stack, node tag, state and address.
pub async fn everything_is_found_once(bench: &dyn Bench) {
    assert!(!bench.inventory().region().is_empty());
    let added = [
        ("harbor--ci", Some("1"), Tag::Cluster),
        ("harbor--ci", Some("2"), Tag::Cluster),
        ("master-server--a", None, Tag::Cluster),
        ("lighthouse--prod", None, Tag::CloudFormation),
        ("lighthouse--end2end--2", Some("10"), Tag::CloudFormation),
        ("both--ci", Some("1"), Tag::ClusterOverCloudFormation),
    ];
    let mut ids = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for (stack, node, convention) in added {
        let id = bench.add(stack, node, convention).await;
        let instance = seen(bench, &id).await.unwrap_or_else(|| panic!("{stack} by {convention:?} is not found"));
        assert_eq!((instance.stack.as_str(), instance.node_tag.as_deref()), (stack, node), "{convention:?}");
        assert_eq!(instance.tags.get("Node").map(String::as_str), node, "{convention:?}");
        assert_eq!(instance.state, InstanceState::Running, "{stack}");
        addresses.insert(instance.private.unwrap_or_else(|| panic!("{stack} has no private address")));
        ids.insert(id);
    }
    assert_eq!((ids.len(), addresses.len()), (added.len(), added.len()), "ids and addresses are their own");
    assert!(bench.inventory().instances().await.unwrap().iter().all(|i| i.stack != "somebody--else"));
}

/// A terminated machine is not listed, and cannot be started.
pub async fn what_is_terminated_is_gone(bench: &dyn Bench) {
    let id = bench.add("harbor--gone", Some("1"), Tag::Cluster).await;
    let stays = bench.add("harbor--gone", Some("2"), Tag::Cluster).await;
    bench.terminate(&id).await;
    assert_eq!(seen(bench, &id).await, None);
    assert!(seen(bench, &stays).await.is_some(), "only the terminated one is gone");
    assert!(bench.power().start(&id).await.is_err());
}

/// Stop returns a stopped machine, which is still listed; start returns it running, with an address, launched anew.
pub async fn a_stopped_one_is_still_there_and_starts_again(bench: &dyn Bench) {
    let id = bench.add("harbor--sleeper", Some("1"), Tag::Cluster).await;
    let before = seen(bench, &id).await.unwrap();

    let stopped = bench.power().stop(&id).await.unwrap();
    assert_eq!((&stopped.id, stopped.state), (&id, InstanceState::Stopped));
    assert_eq!(seen(bench, &id).await, Some(stopped));

    let started = bench.power().start(&id).await.unwrap();
    assert_eq!((&started.id, started.state), (&id, InstanceState::Running));
    assert_eq!((&started.stack, &started.node_tag), (&before.stack, &before.node_tag));
    assert!(started.private.is_some(), "a running machine has an address");
    assert!(started.launched > before.launched, "a stop in between shows in the launch time");
    assert_eq!(seen(bench, &id).await, Some(started));
}

/// Starting a running machine, and stopping a stopped one, changes nothing about it.
pub async fn what_is_so_already_is_left_alone(bench: &dyn Bench) {
    let id = bench.add("harbor--still", Some("1"), Tag::CloudFormation).await;
    let before = seen(bench, &id).await.unwrap();
    assert_eq!(bench.power().start(&id).await.unwrap(), before);

    let stopped = bench.power().stop(&id).await.unwrap();
    assert_eq!(bench.power().stop(&id).await.unwrap(), stopped);
}

/// A machine nobody has heard of is `NotFound`.
pub async fn what_does_not_exist_cannot_be_switched(bench: &dyn Bench) {
    let nobody = Ec2Id("i-0123456789abcdef0".into());
    assert_eq!(bench.power().start(&nobody).await.unwrap_err().kind, PortErrorKind::NotFound);
    assert_eq!(bench.power().stop(&nobody).await.unwrap_err().kind, PortErrorKind::NotFound);
}
