//! Do EC2's books and the lab's hosts say the same? Addresses, power, tags.
#![cfg(feature = "lab")]
// The helpers of tests fail as the tests do.
#![allow(clippy::unwrap_used)]

use bldr_testkit::lab::{Begins, Convention, Host, InstanceSpec, Lab};
use futures::future::join_all;
use serde_json::json;
use std::process::Output;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn answers(lab: &Lab, host: &Host) -> bool {
    lab.ssh(host, "true").await.unwrap().status.success()
}

const DESCRIBE: &str = r#"
import boto3
for page in boto3.client("ec2").get_paginator("describe_instances").paginate(MaxResults=20):
    for reservation in page["Reservations"]:
        for i in reservation["Instances"]:
            tags = {t["Key"]: t["Value"] for t in i["Tags"]}
            stack = tags.get("Cluster") or tags["aws:cloudformation:stack-name"]
            print(stack, tags["Node"], i["State"]["Name"], i["PrivateIpAddress"], i.get("PublicIpAddress"))
"#;

async fn described(lab: &Lab) -> Vec<String> {
    let venv = std::env::var("BLDR_VENV").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../.build/venv").into());
    let env = lab.ec2().await.unwrap().env();
    let output = lab.run_in_hub(format!("{venv}/bin/python3"), &["-c", DESCRIBE], &env).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn thirty_instances_are_in_ec2_s_books_with_addresses_that_answer() {
    let lab = Lab::new().await.unwrap();
    let specs = (0..30).map(|n| {
        let convention = if n % 3 == 0 { Convention::CloudFormation } else { Convention::Cluster };
        InstanceSpec { convention, node: n % 2 + 1, has_public: n % 5 != 0, ..InstanceSpec::new(format!("p{:02}--ci", n / 2)) }
    });
    let all = lab.instances(specs.collect()).await.unwrap();
    let mut expected: Vec<String> = all
        .iter()
        .map(|(_, host)| {
            let (stack, node) = host.name().rsplit_once("--").unwrap();
            format!("{stack} {node} running {} {}", host.private(), host.public().map_or("None".into(), |a| a.to_string()))
        })
        .collect();
    expected.sort();
    assert_eq!(described(&lab).await, expected);
    let hostnames = join_all(all.iter().map(|(_, host)| lab.ssh(host, "hostname"))).await;
    for ((_, host), hostname) in all.iter().zip(hostnames) {
        assert_eq!(stdout(&hostname.unwrap()), host.name());
    }
}

#[tokio::test]
async fn an_instance_answers_only_while_ec2_says_that_it_runs() {
    let lab = Lab::new().await.unwrap();
    let ec2 = lab.ec2().await.unwrap();
    let (id, host) = lab.instance(InstanceSpec { begins: Begins::Stopped, ..InstanceSpec::new("harbor--ci") }).await.unwrap();
    let private = host.private();
    assert_eq!(described(&lab).await, [format!("harbor--ci 1 stopped {private} None")]);
    assert_eq!((host.public(), answers(&lab, &host).await), (None, false));

    ec2.call("start_instances", json!({"InstanceIds": [id.0]})).await.unwrap();
    let public = host.public().unwrap();
    assert_eq!(described(&lab).await, [format!("harbor--ci 1 running {private} {public}")]);
    assert!(answers(&lab, &host).await);

    ec2.call("stop_instances", json!({"InstanceIds": [id.0]})).await.unwrap();
    assert!(!answers(&lab, &host).await);
    ec2.call("start_instances", json!({"InstanceIds": [id.0]})).await.unwrap();
    assert_ne!(host.public(), Some(public));
    assert!(answers(&lab, &host).await);

    ec2.call("terminate_instances", json!({"InstanceIds": [id.0]})).await.unwrap();
    assert!(host.shell("true").await.is_err());
}

#[tokio::test]
async fn a_booted_instance_is_off_while_it_is_stopped_and_comes_back_with_its_disk() {
    let lab = Lab::new().await.unwrap();
    let ec2 = lab.ec2().await.unwrap();
    let specs = ["harbor--ci", "ferry--ci"].map(|stack| InstanceSpec::new(stack).booted());
    let all = lab.instances(specs.into()).await.unwrap();
    let ids: Vec<_> = all.iter().map(|(id, _)| &id.0).collect();
    for (_, host) in &all {
        host.write("/srv/kept", host.name().as_bytes(), 0o600).await.unwrap();
    }
    ec2.call("stop_instances", json!({"InstanceIds": ids})).await.unwrap();
    for (_, host) in &all {
        assert_eq!(host.public(), None);
        assert!(host.shell("true").await.is_err());
        assert!(!answers(&lab, host).await);
    }
    ec2.call("start_instances", json!({"InstanceIds": ids})).await.unwrap();
    for (_, host) in &all {
        assert!(host.public().is_some());
        assert!(answers(&lab, host).await);
        assert_eq!(host.read("/srv/kept").await.unwrap().as_deref(), Some(host.name().as_bytes()));
    }
}
