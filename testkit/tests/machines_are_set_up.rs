//! Does a simulated machine become a minion or a master as a real one does, also when that is cut short anywhere?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use async_trait::async_trait;
use bldr_core::{
    error::PortResult,
    fleet::{Ec2Id, Host, InstanceState, Timestamp},
    launch::MachineSpec,
    ports::{Enlistment, Installation, Library, Masters, Minions, Order, Provisioning, Role, SaltSource, Setup},
    salt_version::SaltVersion,
    ssh_key::SshPublicKey,
};
use bldr_testkit::{
    clock::ManualClock,
    contract::{
        provisioning::{key, stack},
        setup::{Bench, Daemon, suite},
    },
    disk::MemoryDisk,
    machines::{Machine, Machines, path},
    salt,
    spec::FleetSpec,
    world::World,
};
use std::sync::Arc;

const NODE: &str = "harbor--new--1";
const MASTER: &str = "master-server--new--1";

fn machine(stack: &str, address: &str) -> Machine {
    Machine {
        id: Ec2Id(format!("i-{address}").into()),
        stack: stack.into(),
        node_tag: Some("1".into()),
        state: InstanceState::Running,
        private: address.parse().ok(),
        public: None,
        launched: Timestamp(0),
        master: None,
        minion: None,
        fault: None,
        stopped: None,
        tags: Default::default(),
    }
}

fn add_machines(machines: &Machines) {
    machines.put(NODE, machine("harbor--new", "10.77.0.1")).unwrap();
    machines.put(MASTER, machine("master-server--new", "10.77.0.2")).unwrap();
}

fn host(node: &str, address: &str) -> Host {
    Host { node: node.parse().unwrap(), address: address.parse().unwrap() }
}

fn version() -> SaltVersion {
    SaltVersion::find("3008.3").unwrap()
}

struct Simulated(World);

#[async_trait]
impl Bench for Simulated {
    fn setup(&self) -> &dyn Setup {
        &self.0.machines
    }
    fn minions(&self) -> &dyn Minions {
        &self.0.machines
    }
    fn masters(&self) -> &dyn Masters {
        &self.0.machines
    }
    fn node(&self) -> Host {
        host(NODE, "10.77.0.1")
    }
    fn master(&self) -> Host {
        host(MASTER, "10.77.0.2")
    }
    fn nobody(&self) -> Host {
        host("harbor--nobody--1", "10.77.0.9")
    }
    fn salt(&self) -> (SaltVersion, SaltSource) {
        (version(), SaltSource::Pip { packages: None })
    }
    fn nowhere(&self) -> SaltSource {
        SaltSource::Pip { packages: Some("/opt/missing".into()) }
    }
    fn url(&self, repository: &str) -> String {
        format!("git@git.example.org:{repository}.git")
    }
    fn known_hosts(&self) -> Vec<String> {
        vec!["git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIASEJpqU6Ff+wdoUT4FrvA5knw4sgEj1VN0hYymUXW+4".into()]
    }
    async fn commit(&self, repository: &str, files: &[(&str, &str)]) {
        self.0.machines.commit(&self.url(repository), files).unwrap();
    }
    async fn register(&self, key: &SshPublicKey, _: &[&str]) {
        self.0.machines.register_deploy_key(key).unwrap();
    }
    async fn put(&self, host: &Host, path: &str, content: Option<&str>) {
        self.0.machines.keep(&host.node.to_string(), path, content).unwrap();
    }
    async fn get(&self, host: &Host, path: &str) -> Option<String> {
        self.0.machines.file(&host.node.to_string(), path).unwrap()
    }
    async fn is_up(&self, host: &Host, daemon: Daemon) -> bool {
        let machine = self.0.machines.get(&host.node.to_string()).unwrap();
        match daemon {
            Daemon::Minion => machine.minion.is_some_and(|daemon| daemon.up),
            Daemon::Master => machine.master.is_some_and(|daemon| daemon.up),
        }
    }
    async fn stop_minion(&self, host: &Host) {
        salt::stop_minion(&self.0.machines, &host.node.to_string()).unwrap();
    }
}

#[tokio::test]
async fn a_simulated_machine_keeps_the_contract() {
    let world = World::new(&FleetSpec::of(&[])).unwrap();
    add_machines(&world.machines);
    suite(&Simulated(world)).await;
}

/// Everything from two machines without Salt to a minion that obeys its master.
async fn set_up(machines: &Machines) -> PortResult<()> {
    let (node, master) = (host(NODE, "10.77.0.1"), host(MASTER, "10.77.0.2"));
    for (host, role) in [(&node, Role::Minion), (&master, Role::Master)] {
        machines.install(host, &Installation { version: version(), role, source: SaltSource::Pip { packages: None } }).await?;
    }
    machines.register_deploy_key(&machines.deploy_key(&master).await?)?;
    let library = Library {
        private: Some("git@git.example.org:private.git".into()),
        formulas: vec!["https://git.example.org/harbor-formula".into()],
        known_hosts: vec!["git.example.org ssh-ed25519 AAAA".into()],
        ..Library::default()
    };
    let done = machines.refresh(&master, &library).await?;
    assert_eq!((done.unread, done.unconfigured), (vec![], None));
    let key = Masters::read(machines, &master).await?.key;
    machines.accept(&master, NODE, &machines.identity(&node).await?).await?;
    machines.enlist(&node, &Enlistment { id: NODE.into(), address: "10.77.0.2".parse().unwrap(), key }).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_cut_short_anywhere_is_completed_by_the_next() {
    for writes in 0.. {
        let (disk, clock) = (Arc::new(MemoryDisk::default()), Arc::new(ManualClock::default()));
        let opened = || Machines::open(disk.clone(), clock.clone(), "eu-west-1").unwrap();
        let killed = opened();
        add_machines(&killed);
        killed.blow_after(writes);
        let whole = set_up(&killed).await.is_ok();
        let after = opened();
        set_up(&after).await.unwrap_or_else(|error| panic!("cut after {writes} writes: {error}"));
        assert!(salt::answers(&after, MASTER, NODE), "cut after {writes} writes");
        for mark in [path::REPOINTING, path::RESTART] {
            assert_eq!((after.file(NODE, mark).unwrap(), after.file(MASTER, mark).unwrap()), (None, None), "cut after {writes} writes");
        }
        assert!(after.file(MASTER, path::MASTER).unwrap().unwrap().contains("/opt/formulas/harbor/salt/"));
        if whole {
            assert!(writes > 20, "{writes} writes are too few for all of it");
            return;
        }
    }
}

#[tokio::test]
async fn a_machine_has_its_build_vars_after_its_first_start() {
    let machines = Machines::open(Arc::new(MemoryDisk::default()), Arc::new(ManualClock::default()), "eu-west-1").unwrap();
    let user_data = "#!/bin/sh\nset -eu\numask 022\nprintf %s 'eyJhIjogMX0=' >/etc/build-vars.json.b64\n".into();
    let order = prepared(&machines, user_data).await;
    let (instance, _) = machines.run(&order).await.unwrap();
    let host = Host { node: order.node.clone(), address: instance.private.unwrap() };
    machines.first_start(&host, std::time::Duration::from_secs(1)).await.unwrap();
    assert_eq!(machines.file(&order.node.to_string(), path::BUILD_VARS).unwrap().as_deref(), Some("eyJhIjogMX0="));
}

async fn prepared(machines: &Machines, user_data: String) -> Order {
    let ship = stack("harbor--ship");
    machines.key_pair(&ship, &key()).await.unwrap();
    let (security_group, _) = machines.security_group(&ship, None, &[]).await.unwrap();
    let machine = MachineSpec { ami: "ami-1".into(), instance_type: "t3.small".into(), subnet: None, root_volume_gib: None };
    Order { node: ship.node(1), machine, security_group, user_data, launch: "launch-1".into() }
}
