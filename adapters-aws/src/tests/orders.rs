//! What if EC2 is slow, or says no, while a machine is ordered or removed?

use super::{
    canned::{self, Canned, done, one},
    connected,
};
use bldr_core::{
    error::PortErrorKind,
    fleet::{Ec2Id, InstanceState},
    launch::MachineSpec,
    ports::{Change, Order, Provisioning, SecurityGroupId},
};
use bldr_testkit::contract::provisioning::{key, other_key, stack};
use std::time::Duration;

fn ordered() -> Order {
    let machine = MachineSpec { ami: "ami-1".into(), instance_type: "t3.small".into(), subnet: None, root_volume_gib: None };
    let security_group = SecurityGroupId("sg-1".into());
    Order { node: stack("harbor--ci").node(1), machine, security_group, user_data: "secret".into(), launch: "l".into() }
}

fn nothing() -> (u16, String) {
    canned::page([], "")
}

fn image() -> (u16, String) {
    let image = "<item><imageId>ami-1</imageId><rootDeviceName>/dev/xvda</rootDeviceName></item>";
    (200, format!("<DescribeImagesResponse><imagesSet>{image}</imagesSet></DescribeImagesResponse>"))
}

fn ran() -> (u16, String) {
    let made = "<item><instanceId>i-1</instanceId></item>";
    (200, format!("<RunInstancesResponse><instancesSet>{made}</instancesSet></RunInstancesResponse>"))
}

#[tokio::test]
async fn a_new_machine_is_awaited_even_while_nobody_has_heard_of_it() {
    let unknown = canned::error(400, "InvalidInstanceID.NotFound", "no");
    let server = Canned::answering([nothing(), image(), ran(), nothing(), unknown, one("pending"), one("running")]).await;
    let (instance, change) = connected(&server.endpoint).await.provisioning().run(&ordered()).await.unwrap();
    assert_eq!((instance.state, change), (InstanceState::Running, Change::Made));
    let asked = &server.asked()[2];
    assert!(asked.contains("MinCount=1") && asked.contains("MaxCount=1"), "{asked}");
    let token = asked.split('&').find_map(|pair| pair.strip_prefix("ClientToken=")).unwrap();
    assert!(token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");
}

#[tokio::test]
async fn a_machine_that_never_comes_up_says_why() {
    let reason = "<stateReason><code>c</code><message>Client.VolumeLimitExceeded: Volume limit exceeded</message></stateReason>";
    let gone = canned::page([("i-1", "terminated", reason)], "");
    let server = Canned::answering([nothing(), image(), ran(), nothing(), one("pending"), gone]).await;
    let error = connected(&server.endpoint).await.provisioning().run(&ordered()).await.map(drop).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused);
    assert!(error.to_string().contains("terminated and was never running (Client.VolumeLimitExceeded"), "{error}");
}

#[tokio::test]
async fn one_that_is_on_its_way_up_is_awaited_and_not_ordered_again() {
    let node = "<tagSet><item><key>Cluster</key><value>harbor--ci</value></item><item><key>Node</key><value>1</value></item></tagSet>";
    let (_, page) = canned::page([("i-1", "pending", "")], "");
    let own = page.replace("<tagSet><item><key>Cluster</key><value>harbor--ci</value></item></tagSet>", node);
    let server = Canned::answering([(200, own), one("pending"), one("running")]).await;
    let (instance, change) = connected(&server.endpoint).await.provisioning().run(&ordered()).await.unwrap();
    assert_eq!((instance.state, change), (InstanceState::Running, Change::NotNeeded));
    assert_eq!(server.actions(), ["DescribeInstances"; 3]);
}

#[tokio::test]
async fn each_refusal_of_ec2_has_its_kind_its_words_and_its_advice() {
    use PortErrorKind::{Conflict, Denied, NotFound, Refused};
    let cases = [
        (500, "InsufficientInstanceCapacity", Refused, "no machine of that type", "availability zone"),
        (400, "VcpuLimitExceeded", Refused, "quota", "Service Quotas"),
        (400, "InstanceLimitExceeded", Refused, "quota", "Service Quotas"),
        (400, "InvalidAMIID.NotFound", NotFound, "no such image", "aws.ec2.ami"),
        (400, "InsufficientFreeAddressesInSubnet", Refused, "no address is left", "aws.subnet-id"),
        (400, "InvalidSubnetID.NotFound", NotFound, "no such subnet", "aws.subnet-id"),
        (400, "InvalidKeyPair.NotFound", NotFound, "no such key pair", "again"),
        (400, "InvalidGroup.NotFound", NotFound, "no such security group", "network"),
        (400, "IdempotentParameterMismatch", Conflict, "another machine", "again"),
        (403, "UnauthorizedOperation", Denied, "may not ec2:RunInstances", "permission"),
    ];
    for (status, code, kind, words, advice) in cases {
        let server = Canned::answering([nothing(), image(), canned::error(status, code, "as AWS says it")]).await;
        let error = connected(&server.endpoint).await.provisioning().run(&ordered()).await.map(drop).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind, kind, "{text}");
        assert!(text.starts_with("harbor--ci--1: ") && text.contains(words) && text.contains(advice), "{text}");
        assert!(text.contains(code) && text.contains("as AWS says it") && !text.contains("secret"), "{text}");
    }
}

fn keys(inside: &str) -> (u16, String) {
    (200, format!("<DescribeKeyPairsResponse><keySet>{inside}</keySet></DescribeKeyPairsResponse>"))
}

fn groups(inside: &str) -> (u16, String) {
    (200, format!("<DescribeSecurityGroupsResponse><securityGroupInfo>{inside}</securityGroupInfo></DescribeSecurityGroupsResponse>"))
}

#[tokio::test]
async fn somebody_who_imports_a_key_at_the_same_time_is_no_trouble_if_it_is_the_same() {
    for (theirs, expected) in [(key(), Ok(Change::NotNeeded)), (other_key(), Err(PortErrorKind::Conflict))] {
        let taken = canned::error(400, "InvalidKeyPair.Duplicate", "The keypair already exists");
        let there = keys(&format!("<item><keyName>harbor--ci</keyName><publicKey>{theirs}</publicKey></item>"));
        let server = Canned::answering([keys(""), taken, there]).await;
        let imported = connected(&server.endpoint).await.provisioning().key_pair(&stack("harbor--ci"), &key()).await;
        assert_eq!(imported.map_err(|error| error.kind), expected);
    }
}

#[tokio::test]
async fn a_group_is_let_go_of_some_time_after_the_last_machine() {
    let in_use = canned::error(400, "DependencyViolation", "resource sg-1 has a dependent object");
    let group = groups("<item><groupId>sg-1</groupId></item>");
    let machine = || canned::page([("i-1", "running", "")], "");
    let going = canned::page([("i-1", "shutting-down", "")], "");
    let before = [keys(""), group, machine(), done("TerminateInstances"), machine(), going, nothing()];
    let server = Canned::answering(before.clone().into_iter().chain([in_use.clone(), in_use.clone(), done("DeleteSecurityGroup")])).await;
    let removed = connected(&server.endpoint).await.provisioning().remove(&stack("harbor--ci")).await.unwrap();
    assert_eq!((removed.instances[0].id.clone(), removed.key_pair), (Ec2Id("i-1".into()), None));
    assert_eq!(server.actions().iter().filter(|action| *action == "TerminateInstances").count(), 1);

    let server = Canned::answering(before.into_iter().chain([in_use])).await;
    let mut ec2 = connected(&server.endpoint).await;
    ec2.patience.limit = Duration::from_millis(300);
    let error = ec2.provisioning().remove(&stack("harbor--ci")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused);
    assert!(error.to_string().contains("group sg-1 of harbor--ci: something else uses it (DependencyViolation"), "{error}");
}

#[tokio::test]
async fn a_machine_that_is_gone_by_the_time_it_is_terminated_is_no_trouble() {
    let gone = canned::error(400, "InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist");
    let server = Canned::answering([keys(""), groups(""), one("stopped"), gone, nothing()]).await;
    assert_eq!(connected(&server.endpoint).await.provisioning().remove(&stack("harbor--ci")).await.unwrap().instances.len(), 1);
}

#[tokio::test]
async fn one_that_is_protected_stays_and_so_does_what_it_needs() {
    let protected = canned::error(400, "OperationNotPermitted", "The instance 'i-1' may not be terminated");
    let server = Canned::answering([keys(""), groups("<item><groupId>sg-1</groupId></item>"), one("running"), protected]).await;
    let error = connected(&server.endpoint).await.provisioning().remove(&stack("harbor--ci")).await.unwrap_err();
    assert!(error.kind == PortErrorKind::Refused && error.to_string().contains("--no-disable-api-termination"), "{error}");
    assert_eq!(server.actions().last().map(String::as_str), Some("TerminateInstances"));
}

#[tokio::test]
async fn a_console_that_cannot_be_read_live_is_read_as_it_was_kept() {
    let old = canned::error(400, "UnsupportedOperation", "not for this instance type");
    let kept = |text: &str| (200, format!("<GetConsoleOutputResponse><output>{text}</output></GetConsoleOutputResponse>"));
    let server = Canned::answering([old, kept("c3NoLWVkMjU1MTkK"), kept("")]).await;
    let provisioning = connected(&server.endpoint).await.provisioning();
    let id = Ec2Id("i-1".into());
    assert_eq!(provisioning.console(&id).await.unwrap().as_deref(), Some("ssh-ed25519\n"));
    assert_eq!(provisioning.console(&id).await.unwrap(), None);
}
