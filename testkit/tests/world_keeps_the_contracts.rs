//! Does the simulated fleet keep the contracts that the real adapters keep?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    error::PortResult,
    fleet::{Ec2Id, Host, InstanceState, PublicKey},
    launch::{MachineSpec, OpenPort},
    ports::{Clock, HostKeys, Inventory, Masters, Minions, Power, Provisioning, SecurityGroupId},
    ssh_key::SshPublicKey,
};
use bldr_testkit::{
    between::Interposed,
    clock::ManualClock,
    contract::{
        self,
        fence::{Believing, View},
        inventory::Tag,
        minions::HighstateEnd,
        trust::{Folder, Side},
    },
    journal::MemoryJournal,
    lock::MemoryLock,
    machines::{FAILING_STATE, Fault, KeyPair, Machine, SecurityGroup, path},
    salt,
    spec::FleetSpec,
    stores::{MemoryContexts, MemoryKeyPairs, MemoryLaunches, MemoryProjects, MemorySleepers},
    under::Under,
    world::World,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

#[tokio::test]
async fn contexts() {
    contract::context_store::suite(|| Arc::new(MemoryContexts::new(Arc::new(ManualClock::default())))).await;
}

#[tokio::test]
async fn journal() {
    contract::journal::suite(|| Arc::new(MemoryJournal::default())).await;
}

#[tokio::test]
async fn key_pairs() {
    contract::key_pairs::suite(|| Arc::new(MemoryKeyPairs::default())).await;
}

#[tokio::test]
async fn lock() {
    contract::lock::suite(|| Arc::new(MemoryLock::default())).await;
}

#[tokio::test]
async fn launches() {
    contract::launches::suite(&MemoryLaunches::default()).await;
}

#[tokio::test]
async fn sleepers() {
    contract::sleepers::suite(|| Arc::new(MemorySleepers::default())).await;
}

#[tokio::test]
async fn shared_address() {
    contract::shared_address::suite(|address: &MasterAddress| {
        let spec = FleetSpec { shared: Some(address.to_string()), ..FleetSpec::of(&["harbor--ci"]) };
        Arc::new(MemoryProjects::new(&spec.project_json()))
    })
    .await;
}

struct SimulatedAccount {
    world: World,
    next: AtomicU8,
}

#[async_trait]
impl contract::inventory::Bench for SimulatedAccount {
    fn inventory(&self) -> &dyn Inventory {
        &self.world.machines
    }
    fn power(&self) -> &dyn Power {
        &self.world.machines
    }
    async fn add(&self, stack: &str, node_tag: Option<&str>, _: Tag) -> Ec2Id {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let id = Ec2Id(format!("i-{number}").into());
        let machine = Machine {
            id: id.clone(),
            stack: stack.into(),
            node_tag: node_tag.map(Into::into),
            state: InstanceState::Running,
            private: format!("10.9.0.{number}").parse().ok(),
            public: None,
            launched: self.world.clock.now(),
            master: None,
            minion: None,
            fault: None,
            stopped: None,
            tags: Default::default(),
        };
        self.world.machines.put(&id.to_string(), machine).unwrap();
        id
    }
    async fn terminate(&self, id: &Ec2Id) {
        let machine = self.world.machines.get(&id.to_string()).unwrap();
        self.world.machines.put(&id.to_string(), Machine { state: InstanceState::Terminated, ..machine }).unwrap();
    }
}

#[tokio::test]
async fn inventory_and_power() {
    let world = World::new(&FleetSpec::of(&[])).unwrap();
    contract::inventory::suite(&SimulatedAccount { world, next: AtomicU8::new(1) }).await;
}

#[async_trait]
impl contract::provisioning::Bench for SimulatedAccount {
    fn provisioning(&self) -> &dyn Provisioning {
        &self.world.machines
    }
    fn inventory(&self) -> &dyn Inventory {
        &self.world.machines
    }
    fn power(&self) -> &dyn Power {
        &self.world.machines
    }
    fn machine(&self) -> MachineSpec {
        MachineSpec { ami: "ami-1".into(), instance_type: "t3.small".into(), subnet: None, root_volume_gib: None }
    }
    async fn add_key_pair(&self, name: &str, key: &SshPublicKey) {
        self.world.machines.put_key_pair(name, &KeyPair { key: key.to_string(), stack: None }).unwrap();
    }
    async fn key(&self, name: &str) -> Option<SshPublicKey> {
        SshPublicKey::from_openssh(&self.world.machines.key_pair_named(name).unwrap()?.key)
    }
    async fn add_group(&self, name: &str) -> SecurityGroupId {
        let id = SecurityGroupId(format!("sg-{name}").into());
        self.world.machines.put_group(name, &SecurityGroup { id: id.clone(), stack: None, open: BTreeSet::new() }).unwrap();
        id
    }
    async fn open(&self, group: &SecurityGroupId, port: &OpenPort) {
        let (name, mut group) = self.world.machines.group_with(group).unwrap().unwrap();
        group.open.insert(port.clone());
        self.world.machines.put_group(&name, &group).unwrap();
    }
    async fn opened(&self, group: &SecurityGroupId) -> Option<BTreeSet<OpenPort>> {
        self.world.machines.group_with(group).unwrap().map(|(_, group)| group.open)
    }
}

#[tokio::test]
async fn provisioning() {
    let world = World::new(&FleetSpec::of(&["harbor--ci"])).unwrap();
    contract::provisioning::suite(&SimulatedAccount { world, next: AtomicU8::new(1) }).await;
}

const NODE: &str = "harbor--ci--1";

struct SimulatedNode(World);

#[async_trait]
impl contract::minions::Bench for SimulatedNode {
    fn minions(&self) -> &dyn Minions {
        &self.0.machines
    }
    fn host(&self) -> Host {
        Host { node: NODE.parse().unwrap(), address: self.0.machines.get(NODE).unwrap().private.unwrap() }
    }
    fn address(&self) -> MasterAddress {
        "10.0.0.20".parse().unwrap()
    }
    fn master_key(&self) -> PublicKey {
        PublicKey::from_pem(&self.0.machines.file("master-server--b--1", path::MASTER_KEY).unwrap().unwrap()).unwrap()
    }
    async fn put(&self, path: &str, content: Option<&str>) {
        self.0.clock.advance(Duration::from_secs(1));
        self.0.machines.keep(NODE, path, content).unwrap();
    }
    async fn get(&self, path: &str) -> Option<String> {
        self.0.machines.file(NODE, path).unwrap()
    }
    async fn backups(&self, name: &str) -> Vec<String> {
        self.0.machines.backups(NODE, name).unwrap()
    }
    async fn set_highstate(&self, end: HighstateEnd) {
        let fault = match end {
            HighstateEnd::Succeeds => None,
            HighstateEnd::Fails { state } => {
                assert_eq!(state, FAILING_STATE);
                Some(Fault::HighstateFails)
            }
            HighstateEnd::RendersError => Some(Fault::HighstateBroken),
        };
        let machine = self.0.machines.get(NODE).unwrap();
        self.0.machines.put(NODE, Machine { fault, ..machine }).unwrap();
    }
}

#[tokio::test]
async fn minions() {
    contract::minions::suite(&SimulatedNode(World::new(&FleetSpec::of(&["harbor--ci"])).unwrap())).await;
}

#[async_trait]
impl contract::fence::Bench for SimulatedNode {
    fn view(&self, fence: &Arc<Believing>) -> View<'_> {
        let view = || Interposed { world: &self.0, between: Under { world: &self.0, fence: fence.clone() } };
        View { minions: Box::new(view()), masters: Box::new(view()), setup: Box::new(view()) }
    }
    fn host(&self) -> Host {
        contract::minions::Bench::host(self)
    }
    fn address(&self) -> MasterAddress {
        contract::minions::Bench::address(self)
    }
    fn master_key(&self) -> PublicKey {
        contract::minions::Bench::master_key(self)
    }
    async fn put(&self, path: &str, content: Option<&str>) {
        contract::minions::Bench::put(self, path, content).await;
    }
    async fn get(&self, path: &str) -> Option<String> {
        contract::minions::Bench::get(self, path).await
    }
    async fn has_put_itself_back(&self, patience: Duration) {
        self.0.clock.advance(patience);
        // Whoever gets at a machine finds that its watchdog has been there.
        Minions::read(&self.0.machines, &contract::minions::Bench::host(self)).await.unwrap();
    }
}

#[tokio::test]
async fn fence() {
    contract::fence::suite(&SimulatedNode(World::new(&FleetSpec::of(&["harbor--ci"])).unwrap())).await;
}

struct SimulatedMaster(World);

const MASTER: &str = "master-server--b--1";

#[async_trait]
impl contract::masters::Bench for SimulatedMaster {
    fn masters(&self) -> &dyn Masters {
        &self.0.machines
    }
    fn host(&self) -> Host {
        Host { node: MASTER.parse().unwrap(), address: self.0.machines.get(MASTER).unwrap().private.unwrap() }
    }
    async fn put(&self, path: &str, content: Option<&str>) {
        self.0.machines.keep(MASTER, path, content).unwrap();
    }
    async fn get(&self, path: &str) -> Option<String> {
        self.0.machines.file(MASTER, path).unwrap()
    }
}

#[tokio::test]
async fn masters() {
    contract::masters::suite(&SimulatedMaster(World::new(&FleetSpec::of(&["harbor--ci"])).unwrap())).await;
}

#[tokio::test]
async fn files() {
    let node = SimulatedNode(World::new(&FleetSpec::of(&["harbor--ci"])).unwrap());
    contract::shell::suite(&node.0.machines, &contract::minions::Bench::host(&node)).await;
}

struct SimulatedFace {
    node: SimulatedNode,
    shown: SshPublicKey,
}

#[async_trait]
impl contract::host_keys::Bench for SimulatedFace {
    fn host_keys(&self) -> &dyn HostKeys {
        &self.node.0.machines
    }
    fn host(&self) -> Host {
        contract::minions::Bench::host(&self.node)
    }
    fn shown(&self) -> SshPublicKey {
        self.shown.clone()
    }
    async fn enters(&self) -> PortResult<()> {
        Minions::read(&self.node.0.machines, &self.host()).await.map(drop)
    }
}

#[tokio::test]
async fn host_keys() {
    let node = SimulatedNode(World::new(&FleetSpec::of(&["harbor--ci"])).unwrap());
    let shown = salt::made_up_ssh_key("ssh-ed25519", "its own", NODE).unwrap();
    let printed = format!("-----BEGIN SSH HOST KEY KEYS-----\n{shown}\n-----END SSH HOST KEY KEYS-----\n");
    node.0.machines.keep(NODE, path::CONSOLE, Some(&printed)).unwrap();
    contract::host_keys::suite(&SimulatedFace { node, shown }).await;
}

struct SimulatedTrust(World);

impl SimulatedTrust {
    fn master(side: Side) -> &'static str {
        if side == Side::Old { "master-server--a--1" } else { "master-server--b--1" }
    }
    fn file(&self, machine: &str, path: &str) -> Option<String> {
        self.0.machines.file(machine, path).unwrap()
    }
}

#[async_trait]
impl contract::trust::Bench for SimulatedTrust {
    fn master_key(&self, side: Side) -> String {
        self.file(Self::master(side), path::MASTER_KEY).unwrap()
    }
    fn minion_key(&self) -> String {
        self.file(NODE, path::MINION_KEY).unwrap()
    }
    fn foreign_key(&self) -> String {
        salt::made_up_key("somebody else")
    }
    async fn stop(&self) {
        salt::stop_minion(&self.0.machines, NODE).unwrap();
    }
    async fn start(&self, master: Side, trusted: Option<&str>) {
        let address = self.0.machines.get(Self::master(master)).unwrap().private.unwrap();
        self.0.machines.keep(NODE, path::MINION, Some(&format!("master: {address}\n"))).unwrap();
        self.0.machines.keep(NODE, path::TRUSTED, trusted).unwrap();
        salt::start_minion(&self.0.machines, NODE).unwrap();
    }
    async fn hold(&self, master: Side, held: Option<(Folder, &str)>) {
        for folder in [Folder::Accepted, Folder::Pending, Folder::Denied, Folder::Rejected] {
            let key = held.filter(|(wanted, _)| *wanted == folder).map(|(_, key)| key);
            self.0.machines.keep(Self::master(master), &format!("/etc/salt/pki/master/{}/{NODE}", folder.name()), key).unwrap();
        }
    }
    async fn holds(&self, master: Side, folder: Folder) -> bool {
        self.file(Self::master(master), &format!("/etc/salt/pki/master/{}/{NODE}", folder.name())).is_some()
    }
    async fn trusted(&self) -> Option<String> {
        self.file(NODE, path::TRUSTED)
    }
    async fn remove_trusted(&self) {
        self.0.machines.keep(NODE, path::TRUSTED, None).unwrap();
    }
    async fn answers(&self, master: Side) -> bool {
        salt::answers(&self.0.machines, Self::master(master), NODE)
    }
    async fn is_up(&self) -> bool {
        self.0.machines.get(NODE).unwrap().minion.unwrap().up
    }
}

#[tokio::test]
async fn trust() {
    let mut spec = FleetSpec::of(&["harbor--ci"]);
    spec.masters.values_mut().for_each(|master| master.auto_accept = false);
    contract::trust::suite(&SimulatedTrust(World::new(&spec).unwrap())).await;
}
