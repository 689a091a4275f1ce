//! Is a launch or a destroy that was killed between any two writes completed by the next one? In a new process, from the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{
    error::PortResult,
    launch::{MachineSpec, OpenPort, Protocol},
    ports::{Belongings, Order, Provisioning},
};
use bldr_testkit::{
    clock::ManualClock,
    contract::provisioning::{key, stack},
    disk::{Disk, MemoryDisk},
    machines::{Machines, path},
};
use std::sync::Arc;

const USER_DATA: &str = "#!/bin/sh\n";

async fn launch(machines: &Machines) -> PortResult<Belongings> {
    let ship = stack("harbor--ship");
    machines.key_pair(&ship, &key()).await?;
    let ssh = OpenPort { from: 22, to: 22, protocol: Protocol::Tcp, cidr: "0.0.0.0/0".into() };
    let (security_group, _) = machines.security_group(&ship, None, &[ssh]).await?;
    for node in [1, 2] {
        let machine = MachineSpec { ami: "ami-1".into(), instance_type: "t3.small".into(), subnet: None, root_volume_gib: None };
        let (security_group, user_data, launch) = (security_group.clone(), USER_DATA.into(), "launch-1".into());
        machines.run(&Order { node: ship.node(node), machine, security_group, user_data, launch }).await?;
    }
    machines.found(&ship).await
}

#[tokio::test]
async fn a_launch_and_a_destroy_that_are_cut_short_anywhere_are_completed_by_the_next() {
    let (disk, clock, ship) = (Arc::new(MemoryDisk::default()), Arc::new(ManualClock::default()), stack("harbor--ship"));
    let opened = || Machines::open(disk.clone(), clock.clone(), "eu-west-1").unwrap();
    for writes in 0.. {
        let killed = opened();
        killed.blow_after(writes);
        let whole = launch(&killed).await.is_ok() && killed.remove(&ship).await.is_ok();

        let there = launch(&opened()).await.unwrap();
        let counts = (there.key_pair.is_some(), there.security_groups.len(), there.instances.len());
        assert_eq!(counts, (true, 1, 2), "cut after {writes} writes");
        for node in ["harbor--ship--1", "harbor--ship--2"] {
            assert_eq!(opened().file(node, path::USER_DATA).unwrap().as_deref(), Some(USER_DATA), "cut after {writes} writes");
        }
        assert_eq!(opened().found(&ship).await.unwrap(), there);
        opened().remove(&ship).await.unwrap();
        assert!(opened().found(&ship).await.unwrap().is_empty(), "cut after {writes} writes");
        assert_eq!(disk.read("harbor--ship--1", path::USER_DATA).unwrap(), None);
        if whole {
            assert!(writes > 12, "{writes} writes are too few for all of it");
            return;
        }
    }
}
