//! Is the whole fleet seen? Against moto.

use super::{canned, canned::Canned, connected};
use crate::{Ec2, Ec2Inventory, Ec2Power};
use async_trait::async_trait;
use bldr_core::{
    error::PortErrorKind,
    fleet::Ec2Id,
    ports::{Inventory, Power},
};
use bldr_testkit::{
    contract::inventory::{Bench, Tag, suite},
    moto::{Moto, element},
};

pub(super) struct MotoBench {
    moto: Moto,
    inventory: Ec2Inventory,
    power: Ec2Power,
}

pub(super) async fn bench(tested: impl AsyncFn(&str) -> Ec2) -> MotoBench {
    let moto = Moto::start().await.unwrap();
    let ec2 = tested(&moto.endpoint).await;
    MotoBench { inventory: ec2.inventory(), power: ec2.power(), moto }
}

impl MotoBench {
    async fn run(&self, count: usize, tags: &[(&str, &str)]) -> String {
        let count = count.to_string();
        let mut form = vec![("ImageId", "ami-12345678"), ("MinCount", &count), ("MaxCount", &count)];
        form.push(("TagSpecification.1.ResourceType", "instance"));
        let keys: Vec<_> =
            (1..=tags.len()).map(|n| (format!("TagSpecification.1.Tag.{n}.Key"), format!("TagSpecification.1.Tag.{n}.Value"))).collect();
        for ((key, value), tag) in keys.iter().zip(tags) {
            form.extend([(key.as_str(), tag.0), (value.as_str(), tag.1)]);
        }
        self.moto.call("RunInstances", &form).await.unwrap()
    }
}

#[async_trait]
impl Bench for MotoBench {
    fn inventory(&self) -> &dyn Inventory {
        &self.inventory
    }
    fn power(&self) -> &dyn Power {
        &self.power
    }
    async fn add(&self, stack: &str, node_tag: Option<&str>, convention: Tag) -> Ec2Id {
        const CLOUDFORMATION: &str = "aws:cloudformation:stack-name";
        let mut tags = match convention {
            Tag::Cluster => vec![("Cluster", stack)],
            Tag::CloudFormation => vec![(CLOUDFORMATION, stack)],
            Tag::ClusterOverCloudFormation => vec![(CLOUDFORMATION, "somebody--else"), ("Cluster", stack)],
        };
        tags.extend(node_tag.map(|node| ("Node", node)));
        let answer = self.run(1, &tags).await;
        Ec2Id(element(&answer, "instanceId").unwrap().into())
    }
    async fn terminate(&self, id: &Ec2Id) {
        self.moto.call("TerminateInstances", &[("InstanceId.1", &id.0)]).await.unwrap();
    }
}

#[tokio::test]
async fn ec2_keeps_the_contract_of_inventory_and_power() {
    suite(&bench(connected).await).await;
}

#[tokio::test]
async fn other_peoples_machines_are_not_listed() {
    let bench = bench(connected).await;
    bench.run(3, &[("Name", "harbor--ci")]).await;
    let ours = bench.add("harbor--ci", None, Tag::Cluster).await;
    let found = bench.inventory.instances().await.unwrap();
    assert_eq!(found.iter().map(|i| &i.id).collect::<Vec<_>>(), [&ours]);
    assert!(found[0].public.is_some());
}

#[tokio::test]
async fn pages_are_followed_however_short_they_are() {
    let bench = bench(connected).await;
    for batch in ["harbor--a", "harbor--b"] {
        bench.run(120, &[("Cluster", batch)]).await;
    }
    let before = bench.moto.asked("DescribeInstances").await.unwrap();
    let found = bench.inventory.instances().await.unwrap();
    assert_eq!((found.len(), found.iter().filter(|i| i.stack == "harbor--b").count()), (240, 120));
    assert_eq!(bench.moto.asked("DescribeInstances").await.unwrap() - before, 3, "moto gives a hundred at a time");
}

#[tokio::test]
async fn a_fleet_of_2300_is_three_questions() {
    let ids: Vec<_> = (0..2300).map(|n| format!("i-{n:04}")).collect();
    let page = |n: usize, next: &str| canned::page(ids[n..ids.len().min(n + 1000)].iter().map(|id| (id.as_str(), "running", "")), next);
    let server = Canned::answering([page(0, "second"), page(1000, "third"), page(2000, "")]).await;
    let found = connected(&server.endpoint).await.inventory().instances().await.unwrap();
    assert_eq!(found.iter().map(|i| &*i.id.0).collect::<Vec<_>>(), ids);

    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    for (form, token) in asked.iter().zip(["", "&NextToken=second", "&NextToken=third"]) {
        assert!(form.contains("MaxResults=1000") && form.contains(token), "{form}");
        assert!(form.contains("Value.1=Cluster") && form.contains("Value.2=aws%3Acloudformation%3Astack-name"), "{form}");
    }
}

#[tokio::test]
async fn an_instance_on_two_pages_is_one_instance() {
    let pages = [canned::page([("i-1", "running", ""), ("i-2", "running", "")], "more"), canned::page([("i-2", "stopped", "")], "")];
    let server = Canned::answering(pages).await;
    let found = connected(&server.endpoint).await.inventory().instances().await.unwrap();
    assert_eq!(found.iter().map(|i| &*i.id.0).collect::<Vec<_>>(), ["i-1", "i-2"]);
}

#[tokio::test]
async fn a_page_that_cannot_be_had_is_an_error_and_never_a_part() {
    let second = [canned::page([("i-1", "running", "")], "more"), canned::error(403, "UnauthorizedOperation", "no")];
    let server = Canned::answering(second).await;
    assert_eq!(connected(&server.endpoint).await.inventory().instances().await.unwrap_err().kind, PortErrorKind::Denied);

    let circle = Canned::answering([canned::page([("i-1", "running", "")], "again")]).await;
    let error = connected(&circle.endpoint).await.inventory().instances().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Malformed, "{error}");
}

#[tokio::test]
async fn a_machine_that_goes_away_while_it_is_listed_is_not_listed() {
    let server =
        Canned::answering([canned::page([("i-1", "shutting-down", ""), ("i-2", "terminated", ""), ("i-3", "pending", "")], "")]).await;
    let found = connected(&server.endpoint).await.inventory().instances().await.unwrap();
    assert_eq!(found.iter().map(|i| &*i.id.0).collect::<Vec<_>>(), ["i-3"]);
}
