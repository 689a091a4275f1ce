//! What must hold of every `Provisioning`? Whatever is made is made once, and what is removed is the stack's own.

use async_trait::async_trait;
use bldr_core::{
    error::{PortErrorKind, PortResult},
    fleet::{Ec2Id, Instance, InstanceState},
    launch::{MachineSpec, OpenPort, Protocol},
    name::StackName,
    ports::{Belongings, Change, Inventory, Order, Power, Provisioning, SecurityGroupId},
    ssh_key::SshPublicKey,
};
use std::collections::BTreeSet;

/// An account to try it on. What the suite has not made is left alone, and may be there.
#[async_trait]
pub trait Bench: Send + Sync {
    /// What is tested.
    fn provisioning(&self) -> &dyn Provisioning;
    /// The same machines, as the fleet is seen.
    fn inventory(&self) -> &dyn Inventory;
    /// The same machines, to be stopped.
    fn power(&self) -> &dyn Power;
    /// A machine that can be had: of an image and in a subnet that exist.
    fn machine(&self) -> MachineSpec;
    /// Somebody else makes a key pair, without a tag.
    async fn add_key_pair(&self, name: &str, key: &SshPublicKey);
    /// The key of that name.
    async fn key(&self, name: &str) -> Option<SshPublicKey>;
    /// Somebody else makes a security group in the network of [`Bench::machine`], without a tag.
    async fn add_group(&self, name: &str) -> SecurityGroupId;
    /// An operator opens a port by hand.
    async fn open(&self, group: &SecurityGroupId, port: &OpenPort);
    /// What is open in a group; `None` where there is no such group.
    async fn opened(&self, group: &SecurityGroupId) -> Option<BTreeSet<OpenPort>>;
}

/// Every rule, one after the other.
pub async fn suite(bench: &dyn Bench) {
    a_stack_that_has_nothing_has_nothing(bench).await;
    a_key_pair_is_made_once(bench).await;
    another_key_of_that_name_is_a_conflict(bench).await;
    ports_are_opened_as_they_were_asked_for(bench).await;
    a_port_more_is_opened_and_what_is_open_stays(bench).await;
    a_group_that_is_not_the_stacks_is_a_conflict(bench).await;
    nothing_runs_without_a_key_pair_and_a_group(bench).await;
    a_node_has_one_machine_however_often_it_is_ordered(bench).await;
    a_machine_is_returned_as_it_is_found(bench).await;
    a_console_is_a_machines(bench).await;
    everything_of_the_stack_goes_and_nothing_else(bench).await;
    a_stack_that_was_removed_comes_back_as_another(bench).await;
}

/// An operator's key.
pub fn key() -> SshPublicKey {
    parsed("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOSKizCg79xSWTefOknosqhlonaLDOlsfGGAEqEluUF+ ann@example.org")
}

/// Another one.
pub fn other_key() -> SshPublicKey {
    parsed("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIASEJpqU6Ff+wdoUT4FrvA5knw4sgEj1VN0hYymUXW+4 ben@example.org")
}

fn parsed(line: &str) -> SshPublicKey {
    SshPublicKey::from_openssh(line).expect("a public key")
}

/// A stack of that name.
pub fn stack(name: &str) -> StackName {
    name.parse().expect("a stack's name")
}

fn port(protocol: Protocol, from: u16, to: u16, cidr: &str) -> OpenPort {
    OpenPort { from, to, protocol, cidr: cidr.into() }
}

fn ssh_from_anywhere() -> OpenPort {
    port(Protocol::Tcp, 22, 22, "0.0.0.0/0")
}

async fn group(bench: &dyn Bench, stack: &StackName, open: &[OpenPort]) -> PortResult<(SecurityGroupId, Change)> {
    bench.provisioning().security_group(stack, bench.machine().subnet.as_deref(), open).await
}

/// Makes what a machine of this stack needs, and returns the order for it.
pub async fn prepared(bench: &dyn Bench, stack: &StackName, node: u64, launch: &str) -> Order {
    bench.provisioning().key_pair(stack, &key()).await.unwrap();
    let (security_group, _) = group(bench, stack, &[ssh_from_anywhere()]).await.unwrap();
    let user_data = "#!/bin/sh\necho 'it is up' > /etc/motd\n".into();
    Order { node: stack.node(node), machine: bench.machine(), security_group, user_data, launch: launch.into() }
}

async fn ids(bench: &dyn Bench, stack: &StackName) -> Vec<Ec2Id> {
    let all = bench.inventory().instances().await.unwrap();
    all.into_iter().filter(|i| i.stack == stack.as_str()).map(|i| i.id).collect()
}

/// Nothing is found of it, and nothing removed.
pub async fn a_stack_that_has_nothing_has_nothing(bench: &dyn Bench) {
    let nobody = stack("harbor--nobody");
    assert_eq!(bench.provisioning().found(&nobody).await.unwrap(), Belongings::default());
    assert_eq!(bench.provisioning().remove(&nobody).await.unwrap(), Belongings::default());
}

/// The second time nothing is needed, whatever remark is behind the key.
pub async fn a_key_pair_is_made_once(bench: &dyn Bench) {
    let stack = stack("harbor--key");
    assert_eq!(bench.provisioning().key_pair(&stack, &key()).await.unwrap(), Change::Made);
    assert_eq!(bench.key("harbor--key").await, Some(key()));
    let remarked = parsed(&(key().line().replace("ann@", "somebody@") + " at work"));
    assert_eq!(bench.provisioning().key_pair(&stack, &remarked).await.unwrap(), Change::NotNeeded);
    assert_eq!(bench.provisioning().found(&stack).await.unwrap().key_pair.as_deref(), Some("harbor--key"));
}

/// Nothing is changed then. The same key from somebody else will do, but it is theirs.
pub async fn another_key_of_that_name_is_a_conflict(bench: &dyn Bench) {
    let theirs = stack("harbor--theirs");
    bench.add_key_pair("harbor--theirs", &other_key()).await;
    assert_eq!(bench.provisioning().key_pair(&theirs, &key()).await.unwrap_err().kind, PortErrorKind::Conflict);
    assert_eq!(bench.provisioning().key_pair(&theirs, &other_key()).await.unwrap(), Change::NotNeeded);
    assert!(bench.provisioning().remove(&theirs).await.unwrap().is_empty());
    assert_eq!(bench.key("harbor--theirs").await, Some(other_key()));
}

/// Single ports and ranges, of both protocols, to IPv4 and IPv6; each once, and the second time nothing is needed.
pub async fn ports_are_opened_as_they_were_asked_for(bench: &dyn Bench) {
    let stack = stack("harbor--ports");
    let asked = [
        ssh_from_anywhere(),
        port(Protocol::Tcp, 4505, 4506, "10.0.0.5/16"),
        port(Protocol::Udp, 53, 53, "10.1.0.0/16"),
        port(Protocol::Tcp, 443, 443, "::/0"),
        port(Protocol::Udp, 60000, 60010, "2001:DB8::1/32"),
        ssh_from_anywhere(),
    ];
    let (id, change) = group(bench, &stack, &asked).await.unwrap();
    let expected: BTreeSet<_> = asked.iter().map(OpenPort::canonical).collect();
    assert_eq!((change, bench.opened(&id).await), (Change::Made, Some(expected.clone())));
    assert_eq!(group(bench, &stack, &asked).await.unwrap(), (id.clone(), Change::NotNeeded));
    assert_eq!(bench.opened(&id).await, Some(expected));
    assert_eq!(bench.provisioning().found(&stack).await.unwrap().security_groups, [id]);
}

/// What somebody has opened by hand, and what was asked for before, stays open. A group without ports is one.
pub async fn a_port_more_is_opened_and_what_is_open_stays(bench: &dyn Bench) {
    let stack = stack("harbor--more");
    let (id, change) = group(bench, &stack, &[]).await.unwrap();
    assert_eq!((change, bench.opened(&id).await), (Change::Made, Some(BTreeSet::new())));
    let by_hand = port(Protocol::Tcp, 5432, 5432, "192.0.2.7/32");
    bench.open(&id, &by_hand).await;
    assert_eq!(group(bench, &stack, &[ssh_from_anywhere()]).await.unwrap(), (id.clone(), Change::Made));
    let https = port(Protocol::Tcp, 443, 443, "0.0.0.0/0");
    assert_eq!(group(bench, &stack, std::slice::from_ref(&https)).await.unwrap(), (id.clone(), Change::Made));
    assert_eq!(bench.opened(&id).await, Some(BTreeSet::from([by_hand, ssh_from_anywhere(), https])));
}

/// It may be what lets somebody in elsewhere.
pub async fn a_group_that_is_not_the_stacks_is_a_conflict(bench: &dyn Bench) {
    let stack = stack("harbor--foreign");
    let foreign = bench.add_group("harbor--foreign").await;
    assert_eq!(group(bench, &stack, &[ssh_from_anywhere()]).await.unwrap_err().kind, PortErrorKind::Conflict);
    assert!(bench.provisioning().found(&stack).await.unwrap().is_empty());
    assert!(bench.provisioning().remove(&stack).await.unwrap().is_empty());
    assert_eq!(bench.opened(&foreign).await, Some(BTreeSet::new()));
}

/// And no machine is made.
pub async fn nothing_runs_without_a_key_pair_and_a_group(bench: &dyn Bench) {
    let stack = stack("harbor--bare");
    let (id, _) = group(bench, &stack, &[]).await.unwrap();
    let order =
        Order { node: stack.node(1), machine: bench.machine(), security_group: id, user_data: String::new(), launch: "launch-1".into() };
    assert_eq!(bench.provisioning().run(&order).await.map(drop).unwrap_err().kind, PortErrorKind::NotFound, "no key pair");
    bench.provisioning().key_pair(&stack, &key()).await.unwrap();
    let nowhere = Order { security_group: SecurityGroupId("sg-0123456789abcdef0".into()), ..order };
    assert_eq!(bench.provisioning().run(&nowhere).await.map(drop).unwrap_err().kind, PortErrorKind::NotFound, "no group");
    assert_eq!(ids(bench, &stack).await, []);
}

/// Ordered again by the same launch, whose first answer may have been lost, or by another one: it is the same machine.
pub async fn a_node_has_one_machine_however_often_it_is_ordered(bench: &dyn Bench) {
    let stack = stack("harbor--run");
    let mut made = Vec::new();
    for node in [1, 2, 10] {
        let order = prepared(bench, &stack, node, "launch-1").await;
        let (instance, change) = bench.provisioning().run(&order).await.unwrap();
        assert_eq!((change, instance.state), (Change::Made, InstanceState::Running));
        assert_eq!((instance.stack.as_str(), instance.node_tag), (stack.as_str(), Some(node.to_string())));
        let name = stack.node(node).to_string();
        for (key, value) in [("Cluster", stack.as_str()), ("Project", "harbor"), ("Environment", "run"), ("Name", &name)] {
            assert_eq!(instance.tags.get(key).map(String::as_str), Some(value), "{key}");
        }
        made.push((instance.private.expect("an address"), instance.id.clone()));
        for launch in ["launch-1", "launch-2"] {
            let again = bench.provisioning().run(&Order { launch: launch.into(), ..order.clone() }).await.unwrap();
            assert_eq!((again.0.id, again.1), (instance.id.clone(), Change::NotNeeded));
        }
    }
    let addresses: BTreeSet<_> = made.iter().map(|(address, _)| address).collect();
    let of_made: BTreeSet<_> = made.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!((addresses.len(), of_made.len()), (3, 3), "ids and addresses are their own");
    let listed: BTreeSet<_> = ids(bench, &stack).await.into_iter().collect();
    let found: BTreeSet<_> = bench.provisioning().found(&stack).await.unwrap().instances.into_iter().map(|i| i.id).collect();
    assert_eq!((listed, found), (of_made.clone(), of_made));
}

/// A stopped one is not started: that it is there is what a launch needs to know.
pub async fn a_machine_is_returned_as_it_is_found(bench: &dyn Bench) {
    let order = prepared(bench, &stack("harbor--slept"), 1, "launch-1").await;
    let (instance, _) = bench.provisioning().run(&order).await.unwrap();
    let stopped = bench.power().stop(&instance.id).await.unwrap();
    assert_eq!(bench.provisioning().run(&order).await.unwrap(), (stopped, Change::NotNeeded));
}

/// It may be empty; a machine nobody has heard of has none.
pub async fn a_console_is_a_machines(bench: &dyn Bench) {
    let order = prepared(bench, &stack("harbor--console"), 1, "launch-1").await;
    let (instance, _) = bench.provisioning().run(&order).await.unwrap();
    assert_ne!(bench.provisioning().console(&instance.id).await.unwrap().as_deref(), Some(""));
    let nobody = Ec2Id("i-0123456789abcdef0".into());
    assert_eq!(bench.provisioning().console(&nobody).await.unwrap_err().kind, PortErrorKind::NotFound);
}

/// A stopped machine goes as well. Stacks whose names begin with the same letters are other stacks.
pub async fn everything_of_the_stack_goes_and_nothing_else(bench: &dyn Bench) {
    let (doomed, other) = (stack("harbor--gone"), stack("harbor--gone-2"));
    for node in [1, 2] {
        for stack in [&doomed, &other] {
            let order = prepared(bench, stack, node, "launch-1").await;
            bench.provisioning().run(&order).await.unwrap();
        }
    }
    let of_other = bench.provisioning().found(&other).await.unwrap();
    bench.power().stop(&ids(bench, &doomed).await[0]).await.unwrap();
    let there = bench.provisioning().found(&doomed).await.unwrap();
    assert_eq!((there.key_pair.as_deref(), there.security_groups.len(), there.instances.len()), (Some("harbor--gone"), 1, 2));

    assert_eq!(bench.provisioning().remove(&doomed).await.unwrap(), there);
    assert!(bench.provisioning().found(&doomed).await.unwrap().is_empty());
    assert_eq!((ids(bench, &doomed).await, bench.key("harbor--gone").await), (vec![], None));
    assert_eq!(bench.opened(&there.security_groups[0]).await, None);
    assert_eq!(bench.provisioning().remove(&doomed).await.unwrap(), Belongings::default(), "once more is fine");

    assert_eq!(bench.provisioning().found(&other).await.unwrap(), of_other);
    assert_eq!(bench.key("harbor--gone-2").await, Some(key()));
    assert_eq!(bench.opened(&of_other.security_groups[0]).await, Some(BTreeSet::from([ssh_from_anywhere()])));
}

/// A launch of its own brings machines of its own.
pub async fn a_stack_that_was_removed_comes_back_as_another(bench: &dyn Bench) {
    let stack = stack("harbor--again");
    let mut lives: Vec<Instance> = Vec::new();
    for launch in ["launch-1", "launch-2"] {
        let order = prepared(bench, &stack, 1, launch).await;
        let (instance, change) = bench.provisioning().run(&order).await.unwrap();
        assert_eq!((change, instance.state), (Change::Made, InstanceState::Running));
        assert!(lives.iter().all(|life| life.id != instance.id), "{launch} has the machine of another life");
        lives.push(instance);
        bench.provisioning().remove(&stack).await.unwrap();
    }
}
