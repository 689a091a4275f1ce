//! Does the program work where what a team shares is in S3? EC2 and S3 are moto's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod bldr;

use bldr::{Bldr, Ran};
use bldr_core::{
    event::{Event, RunId},
    fleet::Timestamp,
    ports::Record,
};
use bldr_testkit::{moto::Moto, spec::made_up_context};
use serde_json::json;

const BUCKET: &str = "our-fleet";
const PROJECT: &str = "defaults:\n    aws:\n        region: eu-west-1\n        ec2:\n            master_ip: 10.0.0.10\n\
                       master-server:\n    aws: {}\nharbor:\n    aws: {}\n";

/// An operator's machine, and the AWS that they work on.
struct Operator<'a> {
    bldr: Bldr,
    moto: &'a Moto,
}

impl<'a> Operator<'a> {
    fn of(moto: &'a Moto) -> Self {
        let bldr = Bldr::new();
        bldr.write("project.yaml", PROJECT);
        let operator = Self { bldr, moto };
        operator.keeps("s3://our-fleet/cfn/contexts");
        operator
    }

    fn keeps(&self, contexts: &str) {
        let settings = json!({"cloud": "aws", "region": Moto::REGION, "project-files": ["project.yaml"],
            "contexts": contexts, "keypairs": "s3://our-fleet/cfn/keypairs"});
        self.bldr.write("settings.yaml", &settings.to_string());
    }

    fn run(&self, line: &str) -> Ran {
        let keys = [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_EC2_METADATA_DISABLED", "true")];
        self.bldr.run_with(line, &[&keys[..], &[("AWS_ENDPOINT_URL", self.moto.endpoint.as_str())]].concat())
    }

    fn ask(&self, line: &str) -> serde_json::Value {
        let ran = self.run(&format!("--output json {line}"));
        assert_eq!(ran.code, 0, "{}", ran.told());
        ran.object()
    }
}

async fn aws() -> Moto {
    let moto = Moto::start().await.unwrap();
    moto.bucket(BUCKET).await.unwrap();
    for (stack, node) in [("master-server--a", "master-server--a--1"), ("harbor--ci", "harbor--ci--1")] {
        let tags = [("Cluster", stack), ("Name", node), ("Node", "1")];
        let mut order = vec![("ImageId".to_owned(), "ami-1".to_owned()), ("MinCount".into(), "1".into()), ("MaxCount".into(), "1".into())];
        order.push(("TagSpecification.1.ResourceType".into(), "instance".into()));
        for (at, (key, value)) in (1..).zip(tags) {
            order.push((format!("TagSpecification.1.Tag.{at}.Key"), key.into()));
            order.push((format!("TagSpecification.1.Tag.{at}.Value"), value.into()));
        }
        let order: Vec<_> = order.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        moto.call("RunInstances", &order).await.unwrap();
    }
    moto
}

fn context(master: &str) -> String {
    made_up_context(&"harbor--ci".parse().unwrap(), 1, master, Moto::REGION)
}

async fn put(moto: &Moto, text: &str) {
    moto.s3("PUT", "/our-fleet/cfn/contexts/harbor--ci.json", text).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_shown_as_it_is() {
    let moto = aws().await;
    put(&moto, &context("10.0.0.10")).await;
    let operator = Operator::of(&moto);
    let shown = operator.run("context.show:harbor--ci");
    assert_eq!((shown.code, shown.out), (0, format!("{}\n", context("10.0.0.10"))), "{}", shown.err);
    assert_eq!(operator.ask("master.list")["masters"][0]["name"], "master-server--a");
    let stacks = operator.ask("stacks");
    let harbor = stacks["stacks"].as_array().unwrap().iter().find(|stack| stack["name"] == "harbor--ci").unwrap().clone();
    assert_eq!((&harbor["context"], &harbor["master"]), (&json!("ok"), &json!("10.0.0.10")));
    let free = operator.ask("lock.status");
    assert_eq!((&free["holder"], &free["broken"]), (&json!(null), &json!(null)));
    assert!(!operator.bldr.path(".bldr").exists() && !operator.bldr.path(".cfn").exists(), "nothing is kept here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_is_restored_under_the_lock_and_the_lock_is_free_again() {
    let moto = aws().await;
    moto.versioning(BUCKET, "Enabled").await.unwrap();
    put(&moto, &context("10.0.0.10")).await;
    put(&moto, &context("10.0.0.20")).await;
    let operator = Operator::of(&moto);
    let history = operator.ask("context.history:harbor--ci");
    let first = history["history"][0]["revision"].as_str().unwrap().to_owned();
    assert_eq!(history["history"][0]["master_ip"], "10.0.0.10");
    assert_eq!(operator.ask(&format!("--yes context.restore:harbor--ci,{first}"))["changed"], true);
    assert_eq!(moto.s3("GET", "/our-fleet/cfn/contexts/harbor--ci.json", "").await.unwrap(), context("10.0.0.10"));
    let head = moto.head("/our-fleet/cfn/contexts/harbor--ci.json").await.unwrap().to_lowercase();
    assert!(head.contains("x-amz-meta-bldr-who: tester") && head.contains("x-amz-meta-bldr-epoch: 1"), "{head}");
    assert_eq!(operator.ask("lock.status")["holder"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_holder_that_is_gone_is_broken_for_a_reason_that_everybody_reads() {
    let moto = aws().await;
    put(&moto, &context("10.0.0.10")).await;
    let old = 1_700_000_000_000_i64;
    let state = json!({"epoch": 7, "broken": null, "holder": {"who": "ada", "host": "ops-7", "pid": 4711, "purpose": "update:harbor--ci",
        "since": old, "nonce": "n", "heard": old}});
    moto.s3("PUT", "/our-fleet/cfn/bldr/lock.json", &state.to_string()).await.unwrap();
    let operator = Operator::of(&moto);
    let refused = operator.run("--yes context.restore:harbor--ci,x");
    assert_eq!(refused.code, 3, "{}", refused.told());
    assert!(
        refused.err.contains("ada holds it on ops-7 (process 4711) since 2023-11-14") && refused.err.contains("lock.break"),
        "{}",
        refused.err
    );
    assert!(
        operator
            .run("lock.status")
            .out
            .starts_with("ada holds the lock on ops-7 (process 4711) since 2023-11-14T22:13:20Z, for: update:harbor--ci; last heard of ")
    );
    assert_eq!(operator.run("lock.break").code, 2);
    let unasked = operator.run("lock.break:gone");
    assert_eq!(unasked.code, 3, "{}", unasked.told());
    let broken = operator.ask("--yes lock.break:gone");
    assert_eq!((&broken["broken"]["who"], &broken["broken"]["epoch"], &broken["reason"]), (&json!("ada"), &json!(7), &json!("gone")));
    let status = operator.ask("lock.status");
    assert_eq!((&status["holder"], &status["broken"]["by"], &status["broken"]["reason"]), (&json!(null), &json!("tester"), &json!("gone")));
    assert!(operator.run("lock.status").out.starts_with("nobody holds the lock\ntester on "));
    assert_eq!(operator.ask("--yes lock.break:again")["broken"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_while_its_operator_is_heard_of_and_is_shown_as_cut_short_once_they_are_silent() {
    let moto = aws().await;
    put(&moto, &context("10.0.0.10")).await;
    let now = jiff::Timestamp::now().as_millisecond();
    let (run, began) = (RunId("20261122-124301-k3f9".into()), now - 600_000);
    let started = Event::RunStarted {
        run: run.clone(),
        cloud: "aws".into(),
        master: "master-server--a".parse().ok(),
        address: "10.0.0.10".parse().ok(),
        command: "bldr master.remaster:harbor--ci,master-server--a".into(),
        lanes: Vec::new(),
        allow_unshared: false,
        untouched: [].into(),
    };
    let record = serde_json::to_string(&Record { at: Timestamp(began), event: started }).unwrap();
    moto.s3("PUT", &format!("/our-fleet/cfn/bldr/runs/{run}/000001.jsonl"), &format!("{record}\n")).await.unwrap();
    let operator = Operator::of(&moto);
    for (silence, standing) in [(0, "going_on"), (90_000, "cut_short")] {
        let holder =
            json!({"who": "ada", "host": "ops-7", "pid": 4711, "purpose": "c", "since": began, "nonce": "n", "heard": now - silence});
        let state = json!({"epoch": 7, "broken": null, "holder": holder});
        moto.s3("PUT", "/our-fleet/cfn/bldr/lock.json", &state.to_string()).await.unwrap();
        assert_eq!(operator.ask("run.show:last")["standing"], standing);
    }
    let resumed = operator.run("--yes run.resume:last");
    assert!(resumed.code == 3 && resumed.err.contains("`bldr lock.break:REASON` frees the lock"), "{}", resumed.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_seen_ends_with_4_and_says_why() {
    let moto = aws().await;
    let operator = Operator::of(&moto);
    operator.keeps("s3://another-fleet/contexts");
    for line in ["context.show:harbor--ci", "lock.status", "stacks", "master.list"] {
        let blind = operator.run(line);
        assert_eq!(blind.code, 4, "{line}: {}", blind.told());
        assert!(blind.err.contains("there is no bucket 'another-fleet'") && blind.err.contains("settings.yaml"), "{line}: {}", blind.err);
    }
    let settings = operator.bldr.read("settings.yaml");
    operator.bldr.write("settings.yaml", &settings.replace("s3://another-fleet/contexts", "s3://another-fleet"));
    assert_eq!(operator.run("stacks").code, 2);
    operator.keeps("s3://our-fleet/cfn/contexts");
    let missing = operator.run("context.show:harbor--ci");
    assert_eq!(missing.code, 3, "{}", missing.told());
}
