//! Is a stack made as it was asked for, once, and removed again? Against moto.

use super::{canned::Canned, connected};
use crate::{Ec2, Ec2Inventory, Ec2Power, Ec2Provisioning};
use async_trait::async_trait;
use aws_sdk_ec2::types::{InstanceAttributeName, SecurityGroupRule, Tag};
use bldr_core::{
    error::PortErrorKind,
    launch::{MachineSpec, OpenPort, Protocol},
    ports::{Change, Inventory, Order, Power, Provisioning, SecurityGroupId},
    ssh_key::SshPublicKey,
};
use bldr_testkit::{
    contract::provisioning::{Bench, key, prepared, stack, suite},
    moto::{Moto, element},
};
use std::collections::{BTreeMap, BTreeSet};

/// An account with an image and a subnet of its own. What the bench itself looks at goes through other hands than what is tested.
pub(super) struct MotoBench {
    pub(super) moto: Moto,
    pub(super) back_door: Ec2,
    provisioning: Ec2Provisioning,
    inventory: Ec2Inventory,
    power: Ec2Power,
    machine: MachineSpec,
    network: String,
}

pub(super) async fn bench(tested: impl AsyncFn(&str) -> Ec2) -> MotoBench {
    let moto = Moto::start().await.unwrap();
    let made = async |action: &str, form: &[(&str, &str)], name: &str| {
        let answer = moto.call(action, form).await.unwrap();
        element(&answer, name).unwrap().to_owned()
    };
    let network = made("CreateVpc", &[("CidrBlock", "10.77.0.0/16")], "vpcId").await;
    let subnet = made("CreateSubnet", &[("VpcId", &network), ("CidrBlock", "10.77.1.0/24")], "subnetId").await;
    let ami = made("RegisterImage", &[("Name", "debian"), ("RootDeviceName", "/dev/sda1")], "imageId").await;
    let machine = MachineSpec { ami, instance_type: "t3.small".into(), subnet: Some(subnet), root_volume_gib: Some(20) };
    let ec2 = tested(&moto.endpoint).await;
    let back_door = connected(&moto.endpoint).await;
    let (provisioning, inventory, power) = (ec2.provisioning(), ec2.inventory(), ec2.power());
    MotoBench { moto, back_door, provisioning, inventory, power, machine, network }
}

#[async_trait]
impl Bench for MotoBench {
    fn provisioning(&self) -> &dyn Provisioning {
        &self.provisioning
    }
    fn inventory(&self) -> &dyn Inventory {
        &self.inventory
    }
    fn power(&self) -> &dyn Power {
        &self.power
    }
    fn machine(&self) -> MachineSpec {
        self.machine.clone()
    }
    async fn add_key_pair(&self, name: &str, key: &SshPublicKey) {
        let material = aws_sdk_ec2::primitives::Blob::new(key.line());
        self.back_door.client.import_key_pair().key_name(name).public_key_material(material).send().await.unwrap();
    }
    async fn key(&self, name: &str) -> Option<SshPublicKey> {
        let all = self.back_door.client.describe_key_pairs().include_public_key(true).send().await.unwrap();
        let found = all.key_pairs().iter().find(|pair| pair.key_name() == Some(name))?;
        SshPublicKey::from_openssh(found.public_key().unwrap())
    }
    async fn add_group(&self, name: &str) -> SecurityGroupId {
        let ask = self.back_door.client.create_security_group().group_name(name).vpc_id(&self.network).description("theirs");
        SecurityGroupId(ask.send().await.unwrap().group_id().unwrap().into())
    }
    async fn open(&self, group: &SecurityGroupId, port: &OpenPort) {
        let ask = self.back_door.client.authorize_security_group_ingress().group_id(&*group.0).cidr_ip(&port.cidr);
        let ask = ask.ip_protocol(port.protocol.to_string()).from_port(port.from.into()).to_port(port.to.into());
        ask.send().await.unwrap();
    }
    async fn opened(&self, group: &SecurityGroupId) -> Option<BTreeSet<OpenPort>> {
        self.back_door.client.describe_security_groups().group_ids(&*group.0).send().await.ok()?;
        let of_group = crate::provisioning::filter("group-id", &*group.0);
        let rules = self.back_door.client.describe_security_group_rules().filters(of_group).send().await.unwrap();
        let port = |rule: &SecurityGroupRule| OpenPort {
            from: rule.from_port().unwrap().try_into().unwrap(),
            to: rule.to_port().unwrap().try_into().unwrap(),
            protocol: if rule.ip_protocol() == Some("udp") { Protocol::Udp } else { Protocol::Tcp },
            cidr: rule.cidr_ipv4().or(rule.cidr_ipv6()).unwrap().into(),
        };
        Some(rules.security_group_rules().iter().filter(|rule| rule.is_egress() == Some(false)).map(port).collect())
    }
}

fn tags(tags: &[Tag]) -> BTreeMap<&str, &str> {
    tags.iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect()
}

#[tokio::test]
async fn ec2_keeps_the_contract_of_provisioning() {
    suite(&bench(connected).await).await;
}

#[tokio::test]
async fn a_machine_that_is_gone_does_not_stand_in_the_way_of_the_same_order() {
    let bench = bench(connected).await;
    let order = prepared(&bench, &stack("harbor--again"), 1, "launch-1").await;
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let (instance, change) = bench.provisioning.run(&order).await.unwrap();
        assert_eq!(change, Change::Made);
        assert!(seen.insert(instance.id.clone()), "EC2 gave {} before", instance.id);
        assert_eq!(bench.provisioning.run(&order).await.unwrap(), (instance.clone(), Change::NotNeeded));
        bench.back_door.client.terminate_instances().instance_ids(&*instance.id.0).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_machine_and_its_disk_are_as_they_were_ordered() {
    let bench = bench(connected).await;
    let order = prepared(&bench, &stack("harbor--2012-12-12"), 3, "launch-1").await;
    let (instance, _) = bench.provisioning.run(&order).await.unwrap();
    let client = &bench.back_door.client;
    let seen = client.describe_instances().instance_ids(&*instance.id.0).send().await.unwrap();
    let seen = &seen.reservations()[0].instances()[0];
    let of_node = [
        ("Project", "harbor"),
        ("Environment", "2012-12-12"),
        ("Cluster", "harbor--2012-12-12"),
        ("Name", "harbor--2012-12-12--3"),
        ("Node", "3"),
    ];
    assert_eq!(tags(seen.tags()), of_node.into());
    assert_eq!((seen.image_id(), seen.subnet_id()), (Some(&*order.machine.ami), order.machine.subnet.as_deref()));
    assert_eq!((seen.instance_type().unwrap().as_str(), seen.key_name()), ("t3.small", Some("harbor--2012-12-12")));
    assert_eq!(seen.security_groups().iter().map(|g| g.group_id().unwrap()).collect::<Vec<_>>(), [&*order.security_group.0]);
    assert_eq!(seen.metadata_options().and_then(|options| options.http_tokens()).unwrap().as_str(), "required");

    let user_data = client.describe_instance_attribute().instance_id(&*instance.id.0).attribute(InstanceAttributeName::UserData);
    let user_data = user_data.send().await.unwrap().user_data.unwrap().value.unwrap();
    assert_eq!(aws_smithy_types::base64::decode(user_data).unwrap(), order.user_data.as_bytes());

    let disk = &seen.block_device_mappings()[0];
    assert_eq!((seen.block_device_mappings().len(), disk.device_name()), (1, seen.root_device_name()));
    assert_eq!(disk.ebs().unwrap().delete_on_termination(), Some(true));
    let volume = client.describe_volumes().volume_ids(disk.ebs().unwrap().volume_id().unwrap()).send().await.unwrap();
    let volume = &volume.volumes()[0];
    assert_eq!((volume.encrypted(), volume.size(), tags(volume.tags())), (Some(true), Some(20), of_node.into()));
}

#[tokio::test]
async fn a_disk_that_nobody_has_measured_is_as_large_as_the_images() {
    let bench = bench(connected).await;
    let mut order = prepared(&bench, &stack("harbor--ci"), 1, "launch-1").await;
    order.machine.root_volume_gib = None;
    bench.provisioning.run(&order).await.unwrap();
    let volumes = bench.back_door.client.describe_volumes().send().await.unwrap();
    assert!(volumes.volumes().iter().any(|volume| volume.encrypted() == Some(true) && volume.size() == Some(15)));
}

#[tokio::test]
async fn key_pair_and_group_carry_the_stacks_tags() {
    let bench = bench(connected).await;
    let order = prepared(&bench, &stack("harbor--ci"), 1, "launch-1").await;
    let of_stack: BTreeMap<_, _> = [("Project", "harbor"), ("Environment", "ci"), ("Cluster", "harbor--ci")].into();
    let pairs = bench.back_door.client.describe_key_pairs().key_names("harbor--ci").send().await.unwrap();
    assert_eq!(tags(pairs.key_pairs()[0].tags()), of_stack);
    let groups = bench.back_door.client.describe_security_groups().group_ids(&*order.security_group.0).send().await.unwrap();
    let group = &groups.security_groups()[0];
    assert_eq!((tags(group.tags()), group.vpc_id()), (of_stack, Some(&*bench.network)));
}

#[tokio::test]
async fn an_rsa_key_is_known_again() {
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDKUJJrVHR1Al0YPH7+mLiczEQOx/BIlBZU5AOm2q4MygfrUadqfMPJNcKlTH3MwwZVnrHBFKwzMa2YASYTe\
               9D5ov+75xyLKPUef7hx3z821NIiadBnIIq3buqxggcuZcYZj3bBb9ZbDFY8SErkk51+La8JnD/TlvNWOd9pudY32U5ONjx+uqfh+Dw0sJKj9CUoUFQu8p5lDp6q\
               PR7HI0Z8ZYQOl4nB7qNWMYtOikPv+omoZVYOIX2WhCFrPuEark4cA+zb8wP/yqAHz9iwDSVeHiq8na1/buYYtlPqEY9B20GyvylTDfyEqkSjqvf9doew0YTqKK7q\
               Rfgcsl371uKx ann";
    let (bench, rsa) = (bench(connected).await, SshPublicKey::from_openssh(rsa).unwrap());
    let stack = stack("harbor--ci");
    assert_eq!(bench.provisioning.key_pair(&stack, &rsa).await.unwrap(), Change::Made);
    assert_eq!(bench.provisioning.key_pair(&stack, &rsa).await.unwrap(), Change::NotNeeded);
    assert_eq!(bench.provisioning.key_pair(&stack, &key()).await.unwrap_err().kind, PortErrorKind::Conflict);
}

#[tokio::test]
async fn an_order_whose_machine_is_not_to_be_seen_yet_is_answered_with_that_machine() {
    let bench = bench(connected).await;
    let order = prepared(&bench, &stack("harbor--ci"), 1, "launch-1").await;
    let (first, _) = bench.provisioning.run(&order).await.unwrap();
    // Without this tag it is not found, as right after the order.
    bench.moto.call("DeleteTags", &[("ResourceId.1", &first.id.0), ("Tag.1.Key", "Node")]).await.unwrap();
    assert_eq!(bench.provisioning.run(&order).await.unwrap().0.id, first.id);
    let otherwise = Order { user_data: "#!/bin/true\n".into(), ..order.clone() };
    let error = bench.provisioning.run(&otherwise).await.map(drop).unwrap_err();
    assert_eq!((error.kind, error.subject.as_str()), (PortErrorKind::Conflict, "harbor--ci--1"), "{error}");
    assert_eq!(bench.provisioning.found(order.node.stack()).await.unwrap().instances.len(), 1);
}

#[tokio::test]
async fn two_machines_of_one_number_are_named() {
    let bench = bench(connected).await;
    let order = prepared(&bench, &stack("harbor--ci"), 1, "launch-1").await;
    let (first, _) = bench.provisioning.run(&order).await.unwrap();
    let (second, _) = bench.provisioning.run(&Order { node: stack("harbor--ci").node(2), ..order.clone() }).await.unwrap();
    let same = [("ResourceId.1", &*second.id.0), ("Tag.1.Key", "Node"), ("Tag.1.Value", "1")];
    bench.moto.call("CreateTags", &same).await.unwrap();
    let error = bench.provisioning.run(&order).await.map(drop).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    assert!([first, second].iter().all(|i| error.to_string().contains(&*i.id.0)), "{error}");
}

#[tokio::test]
async fn what_the_project_file_names_and_the_region_does_not_have_is_not_found() {
    let bench = bench(connected).await;
    let ci = stack("harbor--ci");
    let error = bench.provisioning.security_group(&ci, Some("subnet-0123456789abcdef0"), &[]).await.unwrap_err();
    assert!(error.kind == PortErrorKind::NotFound && error.to_string().contains("aws.subnet-id"), "{error}");
    let mut order = prepared(&bench, &ci, 1, "launch-1").await;
    order.machine.ami = "ami-0123456789abcdef0".into();
    let error = bench.provisioning.run(&order).await.map(drop).unwrap_err();
    assert!(error.kind == PortErrorKind::NotFound && error.to_string().contains("aws.ec2.ami"), "{error}");
    assert_eq!(bench.inventory.instances().await.unwrap(), []);
}

#[tokio::test]
async fn without_a_subnet_it_is_the_default_network() {
    let bench = bench(connected).await;
    let (id, _) = bench.provisioning.security_group(&stack("harbor--ci"), None, &[]).await.unwrap();
    let groups = bench.back_door.client.describe_security_groups().group_ids(&*id.0).send().await.unwrap();
    assert_ne!(groups.security_groups()[0].vpc_id(), Some(&*bench.network));

    let server = Canned::answering([(200, "<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>".to_owned())]).await;
    let error = connected(&server.endpoint).await.provisioning().security_group(&stack("harbor--ci"), None, &[]).await.unwrap_err();
    assert!(error.kind == PortErrorKind::NotFound && error.to_string().contains("aws.subnet-id"), "{error}");
}

#[tokio::test]
async fn a_group_in_every_network_of_the_stack_goes() {
    let bench = bench(connected).await;
    let ci = stack("harbor--ci");
    bench.provisioning.security_group(&ci, None, &[]).await.unwrap();
    bench.provisioning.security_group(&ci, bench.machine.subnet.as_deref(), &[]).await.unwrap();
    assert_eq!(bench.provisioning.remove(&ci).await.unwrap().security_groups.len(), 2);
    assert!(bench.provisioning.found(&ci).await.unwrap().is_empty());
}
