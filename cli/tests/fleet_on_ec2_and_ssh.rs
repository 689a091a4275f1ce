//! Does the program re-master a fleet of real parts: EC2's API, stock OpenSSH servers, files on disk?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "lab")]

use bldr_core::{build_vars::BuildVars, context::Context, name::StackName};
use bldr_testkit::{
    lab::{Begins, Convention, Host, InstanceSpec, Lab, REGION},
    salt,
    spec::made_up_context,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Output, Stdio},
    time::Instant,
};
use tokio::io::AsyncWriteExt;

const BUCKET: &str = "our-fleet";
const OLD: &str = "10.77.0.10";
const NEW: &str = "10.77.0.20";
const CONFIG: &str = "/etc/salt/minion";
const TRUSTED: &str = "/etc/salt/pki/minion/minion_master.pub";
const BUILD_VARS: &str = "/etc/build-vars.json.b64";

/// What stands in a stack's place: its nodes, how they are tagged, and whether they run.
const STACKS: [(&str, u64, Convention, Begins); 11] = [
    ("beacon--ci", 1, Convention::CloudFormation, Begins::Running),
    ("beacon--prod", 1, Convention::Cluster, Begins::Running),
    ("ferry--demo", 1, Convention::Cluster, Begins::Running),
    ("ferry--end2end", 1, Convention::CloudFormation, Begins::Running),
    ("ferry--prod", 1, Convention::Cluster, Begins::Running),
    ("harbor--ci", 1, Convention::Cluster, Begins::Running),
    ("harbor--prod", 2, Convention::Cluster, Begins::Running),
    ("lantern--demo", 1, Convention::Cluster, Begins::Stopped),
    ("lantern--prod", 1, Convention::Cluster, Begins::Running),
    ("quill--ci", 1, Convention::CloudFormation, Begins::Running),
    ("quill--prod", 1, Convention::Cluster, Begins::Running),
];

struct Fleet {
    lab: Lab,
    home: PathBuf,
    hosts: BTreeMap<String, Host>,
    _folder: tempfile::TempDir,
}

fn key(master: &str) -> String {
    salt::made_up_key(master)
}

/// Masters `a` and `b` and every stack of [`STACKS`] under `a`, on hosts; contexts, project file and settings in a home.
async fn fleet(transport: &str) -> Fleet {
    Lab::available().unwrap();
    let lab = Lab::new().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_path_buf();
    fs::create_dir_all(home.join(".cfn/contexts")).unwrap();
    let mut specs = Vec::new();
    for (master, address) in [("master-server--a", OLD), ("master-server--b", NEW)] {
        let mut spec = InstanceSpec::new(master)
            .file("/etc/salt/pki/master/master.pub", key(master), 0o644)
            // The new one lets nobody in who was not introduced.
            .file(
                "/etc/salt/master",
                format!("interface: 0.0.0.0\nauto_accept: {}\n", if address == OLD { "True" } else { "False" }),
                0o644,
            );
        spec.private = Some(address.parse().unwrap());
        specs.push(spec);
    }
    for (name, nodes, convention, begins) in STACKS {
        let stack: StackName = name.parse().unwrap();
        let text = made_up_context(&stack, nodes, OLD, REGION);
        fs::write(home.join(format!(".cfn/contexts/{name}.json")), &text).unwrap();
        let context = Context::parse(&text).unwrap();
        for node in 1..=nodes {
            let config = format!("# of {name}\nmaster: {OLD}\nid: {name}--{node}\n");
            let vars = BuildVars::derived(&context, &stack.node(node)).encode();
            let mut spec = InstanceSpec::new(name)
                .file(CONFIG, config, 0o644)
                .file(TRUSTED, key("master-server--a"), 0o644)
                .file(BUILD_VARS, vars, 0o644);
            (spec.node, spec.convention, spec.begins) = (node, convention, begins);
            specs.push(spec);
        }
    }
    let all = lab.instances(specs).await.unwrap();
    let hosts = all.into_iter().map(|(_, host)| (host.name().to_owned(), host)).collect();
    let projects: Vec<_> = ["beacon", "ferry", "harbor", "lantern", "quill"].iter().map(|p| format!("{p}:\n    aws: {{}}\n")).collect();
    let defaults = format!("defaults:\n    aws:\n        region: {REGION}\n        ec2:\n            master_ip: {NEW} # shared\n");
    fs::write(home.join("project.yaml"), format!("{defaults}master-server:\n    aws: {{}}\n{}", projects.concat())).unwrap();
    let settings = json!({
        "cloud": "aws",
        "region": REGION,
        "project-files": ["project.yaml"],
        "ssh": {"transport": transport, "known-hosts": "known_hosts", "identities": [lab.key()], "config": "ssh_config"},
    });
    fs::write(home.join("settings.yaml"), settings.to_string()).unwrap();
    fs::write(
        home.join("ssh_config"),
        format!(
            "Host *\n  IdentitiesOnly yes\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
            lab.key().display(),
            home.join("known_hosts").display()
        ),
    )
    .unwrap();
    Fleet { lab, home, hosts, _folder: folder }
}

/// The same fleet, whose contexts and key pairs are in a bucket, and nowhere else.
async fn fleet_in_s3() -> Fleet {
    let fleet = fleet("thrussh").await;
    let s3 =
        async |operation: &str, arguments: Value| fleet.lab.ec2().await.unwrap().call_service("s3", operation, arguments).await.unwrap();
    s3("create_bucket", json!({"Bucket": BUCKET})).await;
    let put = async |key: String, body: String| s3("put_object", json!({"Bucket": BUCKET, "Key": key, "Body": body})).await;
    for (stack, ..) in STACKS {
        let text = fs::read_to_string(fleet.home.join(format!(".cfn/contexts/{stack}.json"))).unwrap();
        put(format!("contexts/{stack}.json"), text).await;
    }
    let stacks = STACKS.iter().map(|(stack, ..)| *stack).chain(["master-server--a", "master-server--b"]);
    let key = fs::read_to_string(fleet.lab.key()).unwrap();
    for stack in stacks {
        put(format!("keypairs/{stack}.pem"), key.clone()).await;
    }
    fs::remove_dir_all(fleet.home.join(".cfn")).unwrap();
    let settings = json!({
        "cloud": "aws",
        "region": REGION,
        "project-files": ["project.yaml"],
        "contexts": format!("s3://{BUCKET}/contexts"),
        "keypairs": format!("s3://{BUCKET}/keypairs"),
        "ssh": {"known-hosts": "known_hosts", "config": "/dev/null"},
    });
    fs::write(fleet.home.join("settings.yaml"), settings.to_string()).unwrap();
    fleet
}

impl Fleet {
    async fn bldr(&self, args: &[&str]) -> Output {
        let mut env = self.lab.ec2().await.unwrap().env();
        env.push(("HOME".into(), self.home.display().to_string()));
        let home = self.home.display().to_string();
        let args = [&["--home", home.as_str()], args].concat();
        self.lab.run_in_hub(env!("CARGO_BIN_EXE_bldr"), &args, &env).await.unwrap()
    }

    async fn json(&self, args: &[&str]) -> (Option<i32>, Vec<Value>) {
        let output = self.bldr(&[args, &["--output", "json"]].concat()).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let values = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        eprintln!("{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), values)
    }

    async fn file(&self, node: &str, path: &str) -> Option<String> {
        let content = self.hosts[node].read(path).await.unwrap();
        content.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    async fn context(&self, stack: &str) -> String {
        String::from_utf8(self.bldr(&[&format!("context.show:{stack}")]).await.stdout).unwrap()
    }

    /// Whether everything about a node, and nothing else about it, is as its master wants it.
    async fn assert_on(&self, node: &str, master: &str, address: &str) {
        let stack = node.rsplit_once("--").unwrap().0;
        assert_eq!(self.file(node, CONFIG).await.unwrap(), format!("# of {stack}\nmaster: {address}\nid: {node}\n"), "{node}");
        assert_eq!(self.file(node, TRUSTED).await.unwrap(), key(master), "{node}");
        let vars = BuildVars::decode(&self.file(node, BUILD_VARS).await.unwrap()).unwrap();
        assert_eq!(vars.master().unwrap().as_str(), address, "{node}");
        assert!(self.context(stack).await.contains(&format!("\"master_ip\": \"{address}\"")), "{node}");
    }

    /// The stub's log: one line for every salt-call.
    async fn highstates(&self, node: &str) -> usize {
        let log = self.file(node, "/var/log/salt/stub.log").await.unwrap_or_default();
        log.lines().filter(|line| line.contains("state.highstate")).count()
    }
}

fn outcomes(events: &[Value]) -> BTreeMap<String, String> {
    let last = events.last().unwrap();
    assert_eq!(last["event"], "run_finished", "{last}");
    serde_json::from_value(last["outcomes"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_changes_masters_over_thrussh() {
    a_fleet_changes_masters(&fleet("thrussh").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_changes_masters_over_the_systems_ssh() {
    a_fleet_changes_masters(&fleet("system").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_whose_state_is_in_s3_changes_masters() {
    let fleet = fleet_in_s3().await;
    a_fleet_changes_masters(&fleet).await;
    let (code, status) = fleet.json(&["lock.status"]).await;
    assert_eq!((code, &status[0]["holder"]), (Some(0), &Value::Null));
    let runs = json!({"Bucket": BUCKET, "Prefix": "bldr/runs/", "MaxKeys": 1000});
    let runs = fleet.lab.ec2().await.unwrap().call_service("s3", "list_objects_v2", runs).await.unwrap();
    let objects: Vec<_> = runs["Contents"].as_array().unwrap().iter().map(|object| object["Key"].as_str().unwrap()).collect();
    let firsts = objects.iter().filter(|key| key.ends_with("/000001.jsonl")).count();
    eprintln!("{} objects record {firsts} runs", objects.len());
    assert_eq!(firsts, 3, "every run is recorded there");
    a_node_does_not_listen_to_an_older_run(&fleet).await;
    assert!(!fleet.home.join(".bldr").exists() && !fleet.home.join(".cfn").exists(), "nothing of it is kept on the operator's machine");
}

/// Every node that was moved knows under which holding of which lock; one that knows of a later one is changed by nobody before that.
async fn a_node_does_not_listen_to_an_older_run(fleet: &Fleet) {
    const TENURE: &str = "/var/lib/bldr/tenure";
    let seen =
        |text: Option<String>| text.unwrap().trim().split_once(' ').map(|(lock, epoch)| (lock.to_owned(), epoch.to_owned())).unwrap();
    let (lock, epoch) = seen(fleet.file("harbor--ci--1", TENURE).await);
    assert_eq!(seen(fleet.file("harbor--prod--2", TENURE).await), (lock.clone(), epoch.clone()), "the same run was on both");
    assert_eq!(fleet.file("ferry--demo--1", TENURE).await, Some(format!("{lock} 1\n")), "an earlier one on this");
    let node = &fleet.hosts["harbor--ci--1"];
    fs::write(fleet.home.join("motd"), "x").unwrap();
    let upload = format!("upload_file:harbor--ci,{},/etc/motd-of-bldr,use_bootstrap_user=yes", fleet.home.join("motd").display());
    node.write(TENURE, format!("{lock} 99\n").as_bytes(), 0o600).await.unwrap();
    let (code, said) = fleet.json(&[&upload]).await;
    let message = said[0]["error"]["message"].as_str().unwrap();
    assert!(
        code == Some(3) && message.contains("a run that took the lock later has worked on it since (epoch 99, this run has"),
        "{message}"
    );
    assert_eq!(fleet.file("harbor--ci--1", "/etc/motd-of-bldr").await, None);
    node.write(TENURE, b"another 99\n", 0o600).await.unwrap();
    assert_eq!(fleet.json(&[&upload]).await.0, Some(0));
    assert!(fleet.file("harbor--ci--1", TENURE).await.unwrap().starts_with(&format!("{lock} ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_asks_aws_once_for_what_it_needs_and_writes_each_context_once() {
    let fleet = fleet_in_s3().await;
    let ec2 = fleet.lab.ec2().await.unwrap();
    let s3 = async |operation: &str, arguments: Value| ec2.call_service("s3", operation, arguments).await.unwrap();
    s3("put_bucket_versioning", json!({"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Enabled"}})).await;
    let (before, began) = (ec2.asked().await.unwrap(), Instant::now());
    let (code, events) = fleet.json(&["master.remaster_all:master-server--b", "--yes", "--stopped=skip"]).await;
    let elapsed = began.elapsed().as_secs();
    let mut asked = ec2.asked().await.unwrap();
    asked.iter_mut().for_each(|(action, n)| *n -= before.get(action).copied().unwrap_or(0));
    asked.retain(|_, n| *n > 0);
    eprintln!("{elapsed} s: {asked:#?}");
    let moved = outcomes(&events).values().filter(|outcome| *outcome == "remastered").count();
    assert_eq!((code, moved), (Some(0), 10), "all but the one that sleeps");
    let run = events.last().unwrap()["run"].as_str().unwrap().to_owned();
    let mut took = |action: &str| asked.remove(action).unwrap_or(0);

    assert_eq!(took("DescribeInstances"), 1, "of 14 instances");
    assert_eq!(took("s3:LIST:contexts"), STACKS.len().div_ceil(5), "moto has five to a page where S3 has a thousand");
    assert_eq!(took("s3:GET:contexts"), STACKS.len() + 1, "one a stack; the old master is a stack, too");
    assert_eq!(took("s3:PUT:contexts"), moved);
    assert_eq!(took("s3:GET:"), 1, "whether the bucket keeps versions");
    assert_eq!(took("s3:GET:bldr"), 1, "to see the lock");
    let beats = took("s3:PUT:bldr") - 3;
    assert!(beats as u64 <= elapsed / 15, "{beats} beats in {elapsed} s, beside taking the lock, affirming it and giving it back");
    assert_eq!(took("s3:LIST:bldr/sleepers"), 1);
    let records = took(&format!("s3:PUT:bldr/runs/{run}"));
    let listed = s3("list_objects_v2", json!({"Bucket": BUCKET, "Prefix": format!("bldr/runs/{run}/"), "MaxKeys": 1000})).await;
    assert_eq!(records, listed["Contents"].as_array().unwrap().len(), "nothing of the record is read, or written twice");
    assert!(records <= events.len(), "{records} objects for {} records", events.len());
    assert_eq!(took(&format!("s3:PUT:bldr/outputs/{run}")), 11, "one a highstate");
    assert_eq!(took("s3:GET:keypairs"), 10 + 2, "one a stack that is connected to");
    assert_eq!(asked, BTreeMap::new(), "and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gets_at_nodes_by_hand_over_thrussh() {
    by_hand(&fleet("thrussh").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gets_at_nodes_by_hand_over_the_systems_ssh() {
    by_hand(&fleet("system").await).await;
}

async fn by_hand(fleet: &Fleet) {
    // Each node's lines are told apart, and a node where it failed is in the code.
    let line = "cmd:harbor--prod,hostname; [ $(hostname) \\= harbor--prod--1 ],use_bootstrap_user=True,concurrency=parallel";
    let ran = fleet.bldr(&[line]).await;
    let mut out: Vec<_> = std::str::from_utf8(&ran.stdout).unwrap().lines().collect();
    out.sort_unstable();
    assert_eq!(out, ["harbor--prod--1: harbor--prod--1", "harbor--prod--2: harbor--prod--2"]);
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(1) && err.contains("harbor--prod--2: it ended with 1"), "{err}");
    // One node's bytes are handed on as they are.
    let ran = fleet.bldr(&["cmd:harbor--prod,node=2,printf 'a\\0b'; echo c >&2,use_bootstrap_user=yes"]).await;
    assert_eq!((ran.status.code(), ran.stdout.as_slice(), ran.stderr.as_slice()), (Some(0), &b"a\0b"[..], &b"c\n"[..]));
    let (code, said) = fleet.json(&["cmd:beacon--ci,echo said; exit 4,use_bootstrap_user=yes"]).await;
    assert_eq!((code, said.len()), (Some(1), 2));
    assert_eq!(said[0], json!({"cloud": "aws", "event": "output", "node": "beacon--ci--1", "stream": "stdout", "line": "said"}));
    assert_eq!(said[1]["nodes"], json!([{"node": "beacon--ci--1", "exit": 4, "problem": null}]));
    // Who has no account on a machine is told whom to be.
    let (code, said) = fleet.json(&["download_file:beacon--ci,/etc/hostname"]).await;
    let message = said[0]["error"]["message"].as_str().unwrap();
    assert!(code == Some(4) && message.contains("'elife'") && message.contains("use_bootstrap_user=yes"), "{message}");

    // Bigger than one answer.
    let node = &fleet.hosts["beacon--ci--1"];
    let sum = node.shell("head -c 20000000 /dev/urandom >/root/big && chmod 600 /root/big && sha256sum </root/big").await.unwrap();
    let to = fleet.home.join("big");
    let line = format!("download_file:beacon--ci,/root/big,{},use_bootstrap_user=True", to.display());
    let (code, said) = fleet.json(&[&line]).await;
    assert_eq!((code, &said[0]["bytes"]), (Some(0), &json!(20_000_000)));
    let line = format!("upload_file:beacon--prod,{},/etc/,use_bootstrap_user=True", to.display());
    assert_eq!(fleet.json(&[&line]).await.0, Some(0));
    assert_eq!(fleet.hosts["beacon--prod--1"].shell("sha256sum </etc/big").await.unwrap(), sum);
    assert_eq!(fleet.json(&[&line]).await.0, Some(3), "never over a file that is there");

    // The terminal is the node's.
    let mut env = fleet.lab.ec2().await.unwrap().env();
    env.push(("HOME".into(), fleet.home.display().to_string()));
    let args = ["--home", fleet.home.to_str().unwrap(), "ssh:harbor--prod,2,use_bootstrap_user=yes"];
    let mut ssh = fleet.lab.in_hub(&fleet.home, env!("CARGO_BIN_EXE_bldr"), &args, &env);
    let mut ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ssh.stdin.take().unwrap().write_all(b"hostname; whoami\n").await.unwrap();
    let ran = ssh.wait_with_output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.code() == Some(0) && out.ends_with("harbor--prod--2\nubuntu\n"), "{out} {err}");

    // A stopped node is off, and started again it answers.
    let (code, said) = fleet.json(&["stop:quill--ci"]).await;
    assert_eq!((code, &said[0]["nodes"][0]["state"], &said[0]["nodes"][0]["changed"]), (Some(0), &json!("stopped"), &json!(true)));
    let (code, said) = fleet.json(&["cmd:quill--ci,true,use_bootstrap_user=yes"]).await;
    assert_eq!((code, &said[0]["nodes"][0]["problem"]), (Some(1), &json!("it is stopped and cannot be asked")));
    let (code, said) = fleet.json(&["start:quill--ci"]).await;
    assert_eq!((code, &said[0]["nodes"][0]["state"]), (Some(0), &json!("running")));
    assert_eq!(fleet.json(&["cmd:quill--ci,true,use_bootstrap_user=yes"]).await.0, Some(0));
}

async fn a_fleet_changes_masters(fleet: &Fleet) {
    let (code, listed) = fleet.json(&["master.list"]).await;
    assert_eq!(code, Some(0));
    let masters: Vec<_> =
        listed[0]["masters"].as_array().unwrap().iter().map(|m| json!([m["name"], m["address"], m["state"], m["preferred"]])).collect();
    assert_eq!(masters, [json!(["master-server--a", OLD, "running", true]), json!(["master-server--b", NEW, "running", false])]);

    let (code, events) = fleet.json(&["master.remaster:ferry--demo,master-server--b"]).await;
    assert_eq!((code, outcomes(&events)), (Some(0), [("ferry--demo".to_owned(), "remastered".to_owned())].into()));
    fleet.assert_on("ferry--demo--1", "master-server--b", NEW).await;
    fleet.assert_on("ferry--prod--1", "master-server--a", OLD).await;

    let before = fleet.context("harbor--prod").await;
    let (code, events) = fleet.json(&["master.remaster_all:master-server--b", "--yes"]).await;
    let ended = outcomes(&events);
    assert_eq!(code, Some(0), "{ended:?}");
    for (stack, nodes, _, begins) in STACKS {
        assert_eq!(ended[stack], if stack == "ferry--demo" { "already_there" } else { "remastered" });
        for node in 1..=nodes {
            let node = format!("{stack}--{node}");
            if begins == Begins::Running {
                fleet.assert_on(&node, "master-server--b", NEW).await;
                assert_eq!(fleet.highstates(&node).await, 1, "{node}");
            }
        }
    }
    assert_eq!(fleet.context("harbor--prod").await, before.replace(OLD, NEW), "nothing but the address has changed");
    let state =
        fleet.hosts["lantern--prod--1"].shell("stat -c '%a %U' /var/lib/bldr/backup /var/lib/bldr/backup/* | sort -u").await.unwrap();
    assert_eq!(state.trim(), "600 root\n700 root");

    // A second run finds nothing to do, and leaves the sleeping stack asleep.
    let (code, events) = fleet.json(&["master.remaster_all:master-server--b", "--yes"]).await;
    assert_eq!(code, Some(0));
    assert!(outcomes(&events).values().all(|outcome| outcome == "already_there" || outcome == "skipped"), "{events:?}");
    let (_, plan) = fleet.json(&["master.remaster_all:master-server--b,plan=yes"]).await;
    assert_eq!(plan[0]["lanes"], json!([]));
    assert_eq!(fleet.highstates("harbor--prod--2").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_day_costs_only_what_it_must() {
    let fleet = fleet("thrussh").await;
    // A dead host, a failing highstate, a changed host key, a context that is none.
    fleet.hosts["ferry--end2end--1"].kill().await.unwrap();
    fleet.hosts["harbor--ci--1"].write("/etc/salt/stub", b"rc=2\n", 0o644).await.unwrap();
    fs::write(fleet.home.join(".cfn/contexts/beacon--ci.json"), "{\"ec2\": ").unwrap();
    let public = fleet.hosts["quill--ci--1"].public().unwrap();
    fs::write(
        fleet.home.join("known_hosts"),
        format!("{public} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"),
    )
    .unwrap();

    let (code, events) = fleet.json(&["master.remaster_all:master-server--b", "--yes"]).await;
    let (ended, reasons) = (outcomes(&events), &events.last().unwrap()["reasons"]);
    assert_eq!(code, Some(1), "{ended:?}");
    for (stack, outcome, reason) in [
        ("beacon--ci", "failed", "not JSON"),
        ("beacon--prod", "held", "beacon--ci"),
        ("ferry--demo", "remastered", ""),
        ("ferry--end2end", "failed", "ferry--end2end--1"),
        ("ferry--prod", "held", "ferry--end2end"),
        ("harbor--ci", "failed", "motd"),
        ("harbor--prod", "held", "harbor--ci"),
        ("lantern--demo", "remastered", ""),
        ("lantern--prod", "remastered", ""),
        ("quill--ci", "failed", "ssh-keygen -R"),
        ("quill--prod", "held", "quill--ci"),
    ] {
        assert_eq!(ended[stack], outcome, "{stack}: {reasons}");
        assert!(reasons[stack].as_str().unwrap_or_default().contains(reason), "{stack}: {}", reasons[stack]);
    }
    for held in ["beacon--prod--1", "ferry--prod--1", "harbor--prod--1", "quill--prod--1", "quill--ci--1"] {
        fleet.assert_on(held, "master-server--a", OLD).await;
    }
    fleet.assert_on("harbor--ci--1", "master-server--b", NEW).await;

    // What can be mended is mended, and running again finishes it.
    fleet.hosts["harbor--ci--1"].write("/etc/salt/stub", b"rc=0\n", 0o644).await.unwrap();
    fs::remove_file(fleet.home.join("known_hosts")).unwrap();
    let (_, events) = fleet.json(&["master.remaster_all:master-server--b", "--yes"]).await;
    let ended = outcomes(&events);
    assert_eq!(
        (ended["harbor--ci"].as_str(), ended["harbor--prod"].as_str(), ended["quill--prod"].as_str()),
        ("remastered", "remastered", "remastered")
    );
    fleet.assert_on("harbor--prod--2", "master-server--b", NEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_aws_nothing_is_touched_and_the_code_is_4() {
    let fleet = fleet("thrussh").await;
    let home = fleet.home.display().to_string();
    let env = |region: &str, endpoint: &str| -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_REGION", region),
            ("HOME", &home),
        ];
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    };
    let args = ["--home", &home, "master.remaster_all:master-server--b", "--yes"];
    let output = fleet.lab.run_in_hub(env!("CARGO_BIN_EXE_bldr"), &args, &env(REGION, "http://127.0.0.1:9")).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("127.0.0.1:9"), "{said}");
    fleet.assert_on("harbor--ci--1", "master-server--a", OLD).await;
}
