//! A fleet to throw faults at. Each stack has an operator of its own, who shares everything with the others but the lock and the record:
//! they do not wait for each other.

mod aws;
mod booted;
mod clock;
mod counted;
mod disk;
mod edited;
mod judged;
mod killed;
mod masters;
mod network;
mod operators;
mod s3;
mod torn;

use crate::salted::{A, Fleet, Going, NEW, OLD, Stack, fleet_of, outcomes};
use bldr_testkit::lab::{Begins, HUB, Host, HostKind, REGION};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

pub struct Faulted {
    pub fleet: Fleet,
    kind: HostKind,
    stacks: Vec<Stack>,
    in_s3: bool,
}

/// What happens, and at which step.
pub type Fault = (&'static str, &'static str);

/// Enough names for the stacks of a test.
pub const NAMES: [&str; 16] = [
    "k--ci", "l--ci", "m--ci", "n--ci", "o--ci", "p--ci", "q--ci", "r--ci", "s--ci", "t--ci", "u--ci", "v--ci", "w--ci", "x--ci", "y--ci",
    "z--ci",
];

/// The address of a master.
pub fn address(master: &str) -> &'static str {
    if master == A { OLD } else { NEW }
}

/// The first node of a stack.
pub fn node(stack: &str) -> String {
    format!("{stack}--1")
}

impl Faulted {
    /// All of them are on `a`, on hosts of this kind; the project file names `b`.
    pub async fn of(kind: HostKind, stacks: Vec<Stack>) -> Self {
        let fleet = fleet_of(kind, &stacks).await;
        fs::create_dir_all(fleet.home.join(".bldr/sleepers")).unwrap();
        Self { fleet, kind, stacks, in_s3: false }
    }

    /// The same on light hosts.
    pub async fn light(stacks: Vec<Stack>) -> Self {
        Self::of(HostKind::Light, stacks).await
    }

    /// The bucket of [`Faulted::in_s3`].
    pub const BUCKET: &str = "our-fleet";

    /// The same fleet, whose contexts, locks and records are in a bucket: those of each stack in a folder of its own.
    pub async fn in_s3(mut self) -> Self {
        self.s3("create_bucket", json!({"Bucket": Self::BUCKET})).await;
        for stack in &self.stacks {
            let key = format!("{0}/contexts/{0}.json", stack.name);
            self.s3("put_object", json!({"Bucket": Self::BUCKET, "Key": key, "Body": self.fleet.context(stack.name)})).await;
        }
        fs::remove_dir_all(self.fleet.home.join(".cfn")).unwrap();
        self.in_s3 = true;
        self
    }

    async fn s3(&self, operation: &str, arguments: Value) -> Value {
        self.fleet.lab.ec2().await.unwrap().call_service("s3", operation, arguments).await.unwrap()
    }

    /// The context of a stack, as it is stored.
    pub async fn context(&self, stack: &str) -> String {
        if !self.in_s3 {
            return fs::read_to_string(self.seen(&self.fleet.home.join(format!(".cfn/contexts/{stack}.json")))).unwrap();
        }
        let key = format!("{stack}/contexts/{stack}.json");
        text(&self.s3("get_object", json!({"Bucket": Self::BUCKET, "Key": key})).await)
    }

    /// The project file names this address from now on.
    pub fn shares(&self, address: &str) {
        let file = self.fleet.home.join("project.yaml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replace(OLD, address).replace(NEW, address)).unwrap();
    }

    /// The home folder of the operator of a stack.
    pub fn operator(&self, stack: &str) -> PathBuf {
        let all = &self.fleet.home;
        let home = all.join("operators").join(stack);
        if !home.exists() {
            fs::create_dir_all(home.join(".bldr")).unwrap();
            symlink(all.join(".bldr/sleepers"), home.join(".bldr/sleepers")).unwrap();
            let settings = json!({
                "cloud": "aws",
                "region": REGION,
                "project-files": [all.join("project.yaml")],
                "contexts": if self.in_s3 { format!("s3://{}/{stack}/contexts", Self::BUCKET).into() } else { all.join(".cfn/contexts") },
                "ssh": {"known-hosts": "known_hosts", "identities": [self.fleet.lab.key()], "config": "/dev/null"},
            });
            fs::write(home.join("settings.yaml"), settings.to_string()).unwrap();
        }
        home
    }

    /// A stack's operator begins to move it to a master.
    pub async fn begin(&self, stack: &str, to: &str, more: &str) -> Going {
        self.fleet.start_at(&self.operator(stack), &[&format!("master.remaster:{stack},{to}{more}")]).await
    }

    /// The same to its end, where AWS is asked three times at most: its exit code, and what it told.
    pub async fn ran(&self, stack: &str, to: &str, more: &str) -> (Option<i32>, Vec<Value>) {
        let line = format!("master.remaster:{stack},{to}{more}");
        let impatient = [("AWS_MAX_ATTEMPTS".to_owned(), "3".to_owned())];
        self.fleet.start_with(&self.operator(stack), &[&line], &impatient).await.end().await
    }

    /// From now on a highstate takes so many seconds on these nodes: long enough for something to happen meanwhile, or no time at all.
    pub async fn highstates_take(&self, seconds: u32, nodes: impl IntoIterator<Item = impl AsRef<str>>) {
        let stub = format!("sleep={seconds}\n");
        let written = nodes.into_iter().map(|node| {
            let (host, stub) = (self.fleet.host(node.as_ref()).clone(), stub.clone());
            async move { host.write("/etc/salt/stub", stub.as_bytes(), 0o644).await.unwrap() }
        });
        join_all(written).await;
    }

    /// A minion that is switched finds no way to its new master, until [`Faulted::let_join`]: to be said once it was examined.
    pub async fn keep_from_joining(&self, stack: &str, to: &str) {
        self.fleet.host(&node(stack)).drop_traffic_to(address(to).parse().unwrap()).await.unwrap();
    }

    pub async fn let_join(&self, stack: &str, to: &str) {
        self.fleet.host(&node(stack)).shell(&format!("ip route del {}/32", address(to))).await.unwrap();
    }

    /// A minion takes a while to stop, as Salt's own do, the next time: long enough to be met in the middle of being switched.
    pub async fn slow_to_stop(&self, stack: &str) {
        self.fleet.host(&node(stack)).write("/etc/salt/stub-stop", b"3\n", 0o644).await.unwrap();
    }

    /// Waits until a minion that is slow to stop is in the very middle of being switched.
    pub async fn in_the_middle(&self, stack: &str) {
        let begun = "timeout 60 sh -c 'until [ -e /var/lib/bldr/repointing ]; do sleep 0.01; done'";
        self.fleet.host(&node(stack)).shell(begun).await.unwrap();
    }

    /// There is no way between a node and where bldr runs any more, or there is one again. Its own way to its masters is another.
    pub async fn reachable(&self, host: &Host, reachable: bool) {
        if reachable {
            host.restore_traffic().await.unwrap();
        } else {
            host.drop_traffic_to(HUB).await.unwrap();
        }
        for address in [Some(host.private()), host.public()].into_iter().flatten() {
            let (verb, address) = (if reachable { "del" } else { "replace" }, format!("{address}/32"));
            let done = self.fleet.lab.run_in_hub("ip", &["route", verb, "unreachable", &address], &[]).await.unwrap();
            assert!(done.status.success(), "{done:?}");
        }
    }

    /// The lock of an operator whose program is gone keeps out whoever comes, until it is broken.
    pub async fn lock_of_the_dead(&self, stack: &str, to: &str) {
        let home = self.operator(stack);
        let line = format!("master.remaster:{stack},{to}");
        let (code, told, errors) = self.fleet.bldr_at(&home, &[&line]).await;
        assert!(code == Some(3) && errors.contains("`bldr lock.break:REASON` frees the lock"), "{told:?}");
        assert_eq!(self.fleet.bldr_at(&home, &["lock.break:its program is gone", "--yes"]).await.0, Some(0));
    }

    /// The nodes of all stacks.
    pub fn nodes(&self) -> Vec<String> {
        self.stacks.iter().flat_map(|stack| (1..=stack.nodes).map(move |node| format!("{}--{node}", stack.name))).collect()
    }

    /// What EC2 says of each node.
    pub async fn states(&self) -> BTreeMap<String, String> {
        let said = self.fleet.lab.ec2().await.unwrap().call("describe_instances", json!({})).await.unwrap();
        let instances =
            said["Reservations"].as_array().unwrap().iter().flat_map(|reservation| reservation["Instances"].as_array().unwrap());
        let by_id: BTreeMap<_, _> =
            instances.map(|i| (i["InstanceId"].as_str().unwrap().to_owned(), i["State"]["Name"].as_str().unwrap().to_owned())).collect();
        self.nodes().into_iter().map(|node| (node.clone(), by_id[&self.fleet.ids[&node]].clone())).collect()
    }

    /// The nodes that run.
    pub async fn running(&self) -> Vec<String> {
        self.states().await.into_iter().filter(|(_, state)| state == "running").map(|(node, _)| node).collect()
    }

    /// The nodes that are to sleep after each run.
    pub fn asleep(&self) -> Vec<String> {
        let asleep = self.stacks.iter().filter(|stack| stack.begins == Begins::Stopped);
        asleep.flat_map(|stack| (1..=stack.nodes).map(move |node| format!("{}--{node}", stack.name))).collect()
    }

    /// The file that records an operator's last run, as this process sees it.
    pub fn record(&self, home: &Path) -> PathBuf {
        let runs = fs::read_dir(self.seen(&home.join(".bldr/runs"))).unwrap().map(|entry| entry.unwrap().path());
        runs.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).max().unwrap()
    }

    /// A path of the lab's hub, as this process sees it: other disks may be mounted there.
    pub fn seen(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.fleet.lab.pid(), path.display()))
    }

    /// The next run: everything gets to this master.
    pub async fn converge(&self, to: &str) {
        self.shares(address(to));
        // Where nobody can see all of them; and where a run of all of them would go as slowly as a small machine bears it.
        if self.in_s3 || self.kind == HostKind::Booted {
            let runs = self.stacks.iter().map(async |stack| (stack.name, self.ran(stack.name, to, "").await));
            for (stack, (code, told)) in join_all(runs).await {
                assert_eq!(code, Some(0), "{stack}: {told:?}");
            }
            return self.arrived(to).await;
        }
        let (code, events, _) = self.fleet.bldr(&[&format!("master.remaster_all:{to}"), "--yes"]).await;
        assert_eq!(code, Some(0), "{:?}", outcomes(&events));
        self.arrived(to).await;
    }
}

/// What an object holds.
fn text(object: &Value) -> String {
    object["Body"].as_str().unwrap().to_owned()
}

/// Whether an event is the end of a step.
pub fn ends(event: &Value, action: &str) -> bool {
    event["event"] == "step_finished" && event["action"] == action
}
