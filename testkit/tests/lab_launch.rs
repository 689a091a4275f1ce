//! Are machines that EC2 launches what it says they are? Hosts that answer, do what they are told, and are gone in the end.
#![cfg(feature = "lab")]
// The helpers of tests fail as the tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

use bldr_core::{console::host_keys, fleet::Ec2Id};
use bldr_testkit::lab::{Host, HostFile, HostKind, HostSpec, InstanceSpec, Lab, Launching};
use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Output,
};
use tokio::process::Command;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The private half of a new key pair that EC2 has under the name `harbor--ci`.
async fn key_pair(lab: &Lab) -> PathBuf {
    let key = lab.dir().join("pair");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "harbor--ci", "-f"]).arg(&key).output().await.unwrap();
    assert!(made.status.success(), "{made:?}");
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let pair = json!({"KeyName": "harbor--ci", "PublicKeyMaterial": public});
    lab.ec2().await.unwrap().call("import_key_pair", pair).await.unwrap();
    key
}

/// What bldr orders, in short.
async fn order(lab: &Lab, node: &str, user_data: &str) -> Value {
    let tags = [("Name", node), ("Cluster", "harbor--ci")].map(|(key, value)| json!({"Key": key, "Value": value}));
    json!({
        "ImageId": lab.image().await.unwrap(), "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1, "ClientToken": node,
        "KeyName": "harbor--ci", "SubnetId": lab.ec2().await.unwrap().subnet(), "UserData": user_data,
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
    })
}

async fn run(lab: &Lab, order: &Value) -> (Ec2Id, Value) {
    let made = lab.ec2().await.unwrap().call("run_instances", order.clone()).await.unwrap()["Instances"][0].clone();
    (Ec2Id(made["InstanceId"].as_str().unwrap().into()), made)
}

async fn look(lab: &Lab, id: &Ec2Id) -> Value {
    let asked = json!({"InstanceIds": [id.0]});
    lab.ec2().await.unwrap().call("describe_instances", asked).await.unwrap()["Reservations"][0]["Instances"][0].clone()
}

async fn state(lab: &Lab, id: &Ec2Id) -> String {
    look(lab, id).await["State"]["Name"].as_str().unwrap().to_owned()
}

async fn switch(lab: &Lab, operation: &str, id: &Ec2Id) {
    lab.ec2().await.unwrap().call(operation, json!({"InstanceIds": [id.0]})).await.unwrap();
}

/// What its console shows, which bldr reads host keys from.
async fn console(lab: &Lab, id: &Ec2Id) -> String {
    let shown = lab.ec2().await.unwrap().call("get_console_output", json!({"InstanceId": id.0})).await.unwrap();
    shown["Output"].as_str().unwrap_or_default().to_owned()
}

/// Runs a line as `ubuntu` with the key pair; the host must have this host key.
async fn ssh(lab: &Lab, key: &Path, address: &str, host_key: &str, line: &str) -> Output {
    let known = lab.dir().join("known_hosts");
    std::fs::write(&known, format!("{address} {host_key}\n")).unwrap();
    let known = format!("-oUserKnownHostsFile={}", known.display());
    let (key, destination) = (key.display().to_string(), format!("ubuntu@{address}"));
    let args = ["-F/dev/null", "-i", &key, "-oIdentitiesOnly=yes", &known, "-oStrictHostKeyChecking=yes", "-oBatchMode=yes"];
    let more = ["-oConnectTimeout=5", "-oKexAlgorithms=curve25519-sha256", "-oLogLevel=ERROR", &destination, line];
    lab.run_in_hub("ssh", &[&args[..], &more[..]].concat(), &[]).await.unwrap()
}

const USER_DATA: &str = "#!/bin/sh\nset -eu\nid -un >/etc/told-by\necho said\n";

async fn from_launch_to_termination(kind: HostKind) {
    let lab = Lab::new().await.unwrap();
    let extra = HostFile::new("/etc/extra", "extra", 0o644);
    lab.launches(Launching { kind, without_salt: true, files: vec![extra], ..Launching::default() }).await.unwrap();
    let key = key_pair(&lab).await;
    let (id, made) = run(&lab, &order(&lab, "harbor--ci--1", USER_DATA).await).await;
    assert_eq!(made["State"]["Name"], "pending", "nothing is there at once");

    let seen = look(&lab, &id).await;
    let (private, public) = (seen["PrivateIpAddress"].as_str().unwrap(), seen["PublicIpAddress"].as_str().unwrap());
    assert_eq!((seen["State"]["Name"].as_str(), private), (Some("running"), "10.77.100.1"));
    let keys = host_keys(&console(&lab, &id).await);
    let host = lab.launched(&id).unwrap();
    let [shown] = &keys[..] else { panic!("{keys:?}") };
    assert!(shown.line().starts_with(&host.host_key().unwrap()));

    let line = "cat /etc/told-by /etc/extra; echo; sudo cloud-init status --wait; ls -d /opt/saltstack /etc/salt; command -v salt-call salt-minion";
    for address in [private, public] {
        let output = ssh(&lab, &key, address, shown.line(), line).await;
        assert_eq!(stdout(&output), "root\nextra\nstatus: done", "{output:?}");
    }
    assert_eq!(stdout(&lab.ssh(&host, "sudo cat /var/log/cloud-init-output.log").await.unwrap()), "said", "the lab's own key, too");
    assert_eq!(host.shell("stat -c '%a %U' /var/lib/cloud/instance/user-data.txt").await.unwrap(), "600 root\n");

    host.shell("rm /etc/told-by; echo kept >/srv/kept").await.unwrap();
    switch(&lab, "stop_instances", &id).await;
    assert_eq!(state(&lab, &id).await, "stopped");
    assert!(!lab.ssh(&host, "true").await.unwrap().status.success());
    switch(&lab, "start_instances", &id).await;
    let again = ssh(&lab, &key, private, shown.line(), "cat /srv/kept; ls /etc/told-by").await;
    assert_eq!(stdout(&again), "kept", "the disk it had, and no second first start: {again:?}");

    switch(&lab, "terminate_instances", &id).await;
    assert_eq!(state(&lab, &id).await, "terminated");
    assert!(lab.launched(&id).is_none() && host.shell("true").await.is_err());
    assert!(!Path::new(&format!("/proc/{}", host.pid())).exists());
    assert!(host.host_key().is_err(), "its disk is gone, too");
}

#[tokio::test]
async fn a_light_machine_lives_from_its_launch_to_its_termination() {
    from_launch_to_termination(HostKind::Light).await;
}

#[tokio::test]
async fn a_booted_machine_lives_from_its_launch_to_its_termination() {
    from_launch_to_termination(HostKind::Booted).await;
}

#[tokio::test]
async fn an_order_is_one_machine_however_often_it_is_given_and_another_launch_another_one() {
    let lab = Lab::new().await.unwrap();
    lab.launches(Launching::default()).await.unwrap();
    key_pair(&lab).await;
    let first = order(&lab, "harbor--ci--1", USER_DATA).await;
    let (id, _) = run(&lab, &first).await;
    assert_eq!(run(&lab, &first).await.0, id);
    let second = order(&lab, "harbor--ci--2", USER_DATA).await;
    let (other, _) = run(&lab, &second).await;
    let private = |host: Option<Host>| host.unwrap().private().to_string();
    assert_eq!((private(lab.launched(&id)), private(lab.launched(&other))), ("10.77.100.1".into(), "10.77.100.2".into()));

    let before = lab.launched(&id).unwrap().host_key().unwrap();
    switch(&lab, "terminate_instances", &id).await;
    assert_eq!(run(&lab, &first).await.0, id, "EC2 goes on answering that order with what it gave");
    let (third, _) = run(&lab, &order(&lab, "harbor--ci--3", USER_DATA).await).await;
    let third = lab.launched(&third).unwrap();
    assert_eq!(third.private(), Ipv4Addr::new(10, 77, 100, 1), "its address is free");
    assert_ne!(third.host_key().unwrap(), before, "and its machine another one");
    assert!(lab.ssh(&third, "true").await.unwrap().status.success());
}

#[tokio::test]
async fn many_that_are_launched_at_once_have_addresses_of_their_own_beside_other_hosts() {
    let lab = Lab::new().await.unwrap();
    lab.launches(Launching { public: false, console: false, ..Launching::default() }).await.unwrap();
    key_pair(&lab).await;
    let (_, own) = lab.instance(InstanceSpec::new("quay--ci")).await.unwrap();
    let free = lab.host(HostSpec::new("free", Ipv4Addr::new(10, 77, 1, 1))).await.unwrap();
    let orders: Vec<_> = futures::future::join_all((1..=8).map(|n| {
        let lab = &lab;
        // Without a subnet: the account's default network is the lab's.
        async move {
            let mut order = order(lab, &format!("harbor--ci--{n}"), "").await;
            order.as_object_mut().unwrap().remove("SubnetId");
            order
        }
    }))
    .await;
    let ids: Vec<_> = futures::future::join_all(orders.iter().map(|order| run(&lab, order))).await.into_iter().map(|(id, _)| id).collect();
    let mut addresses = Vec::new();
    for id in &ids {
        let host = lab.launched(id).unwrap();
        assert_eq!((host.public(), console(&lab, id).await), (None, String::new()));
        assert!(lab.ssh(&host, "true").await.unwrap().status.success());
        addresses.push(host.private());
    }
    addresses.sort_unstable();
    assert_eq!(addresses, (1..=8).map(|n| Ipv4Addr::new(10, 77, 100, n)).collect::<Vec<_>>());
    for host in [&own, &free] {
        assert!(lab.ssh(host, "true").await.unwrap().status.success());
    }
}

#[tokio::test]
async fn a_first_start_that_goes_wrong_is_told_and_lets_in_all_the_same() {
    let lab = Lab::new().await.unwrap();
    lab.launches(Launching::default()).await.unwrap();
    key_pair(&lab).await;
    for (node, user_data) in [("harbor--ci--1", "#!/bin/sh\nexit 3\n"), ("harbor--ci--2", "#cloud-config\nruncmd: [true]\n")] {
        let (id, _) = run(&lab, &order(&lab, node, user_data).await).await;
        let status = lab.ssh(&lab.launched(&id).unwrap(), "cloud-init status --wait").await.unwrap();
        assert_eq!((status.status.code(), stdout(&status).as_str()), (Some(1), "status: error"));
    }
}

#[tokio::test]
async fn a_machine_that_does_not_come_up_is_terminated_with_a_reason() {
    let lab = Lab::new().await.unwrap();
    // A file cannot be in a file.
    let files = ["/srv/a", "/srv/a/b"].map(|path| HostFile::new(path, "", 0o644)).into();
    lab.launches(Launching { files, ..Launching::default() }).await.unwrap();
    key_pair(&lab).await;
    let (id, _) = run(&lab, &order(&lab, "harbor--ci--1", "").await).await;
    let seen = look(&lab, &id).await;
    assert_eq!((seen["State"]["Name"].as_str(), seen["StateReason"]["Code"].as_str()), (Some("terminated"), Some("Server.InternalError")));
    assert!(lab.launched(&id).is_none());
}

#[tokio::test]
async fn the_lab_s_ec2_has_an_image_and_keeps_the_rules_that_bldr_s_other_tests_rely_on() {
    let lab = Lab::new().await.unwrap();
    lab.launches(Launching::default()).await.unwrap();
    let ec2 = lab.ec2().await.unwrap();
    let images = ec2.call("describe_images", json!({"ImageIds": [lab.image().await.unwrap()]})).await.unwrap();
    let image = &images["Images"][0];
    assert_eq!(image["RootDeviceName"], image["BlockDeviceMappings"][0]["DeviceName"]);
    assert_eq!(image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"], 8);

    let error = ec2.call("run_instances", order(&lab, "harbor--ci--1", "").await).await.unwrap_err().to_string();
    assert!(error.contains("InvalidKeyPair.NotFound"), "{error}");
    key_pair(&lab).await;
    let vpcs = ec2.call("describe_subnets", json!({"SubnetIds": [ec2.subnet()]})).await.unwrap();
    let group = json!({"GroupName": "harbor--ci", "Description": "x", "VpcId": vpcs["Subnets"][0]["VpcId"]});
    let group = ec2.call("create_security_group", group).await.unwrap()["GroupId"].clone();
    let mut order = order(&lab, "harbor--ci--1", "").await;
    order["SecurityGroupIds"] = json!([group]);
    let (id, _) = run(&lab, &order).await;
    let error = ec2.call("delete_security_group", json!({"GroupId": group})).await.unwrap_err().to_string();
    assert!(error.contains("DependencyViolation"), "{error}");
    switch(&lab, "terminate_instances", &id).await;
    ec2.call("delete_security_group", json!({"GroupId": group})).await.unwrap();
}
