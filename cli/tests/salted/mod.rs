//! A fleet of real Salt to re-master: two masters and their minions on booted hosts, EC2, and a home folder for bldr. Or of the stand-in
//! for Salt, on light hosts, which are ten times as fast.

mod going;

pub use going::{Going, outcomes};

use bldr_core::{build_vars::BuildVars, context::Context, name::StackName};
use bldr_testkit::{
    lab::{
        Begins, Host, HostKind, InstanceSpec, Lab, REGION,
        salt::{KeyPair, Master, Minion, answering, until_answer, until_greets},
    },
    salt::made_up_key,
    spec::made_up_context,
};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub const A: &str = "master-server--a";
pub const B: &str = "master-server--b";
pub const OLD: &str = "10.77.0.10";
pub const NEW: &str = "10.77.0.20";
pub const CONFIG: &str = "/etc/salt/minion";
pub const TRUSTED: &str = "/etc/salt/pki/minion/minion_master.pub";
pub const BUILD_VARS: &str = "/etc/build-vars.json.b64";
pub const DUE: &str = "/var/lib/bldr/highstate-due";
pub const SWITCH: &str = "/var/lib/bldr/switch";
/// Salt on a busy machine: this is for what hangs.
pub const SOON: Duration = Duration::from_secs(300);

/// A stack of a fleet, on master `a`.
#[derive(Clone)]
pub struct Stack {
    pub name: &'static str,
    pub nodes: u64,
    pub begins: Begins,
    /// More lines of the minion's configuration.
    pub config: &'static str,
}

impl Stack {
    pub const fn new(name: &'static str) -> Self {
        Self { name, nodes: 1, begins: Begins::Running, config: "" }
    }
}

/// The fleet, and what is needed to tell who commands whom.
pub struct Fleet {
    pub lab: Lab,
    pub home: PathBuf,
    pub hosts: BTreeMap<String, Host>,
    pub keys: BTreeMap<String, KeyPair>,
    pub ids: BTreeMap<String, String>,
    kind: HostKind,
    _folder: tempfile::TempDir,
}

/// Masters `a`, which all minions are on, and `b`, which lets nobody in who was not introduced.
pub async fn fleet(stacks: &[Stack]) -> Fleet {
    fleet_of(HostKind::Booted, stacks).await
}

/// The same, of hosts of this kind.
pub async fn fleet_of(kind: HostKind, stacks: &[Stack]) -> Fleet {
    Lab::available().unwrap();
    let lab = Lab::new().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_path_buf();
    let contexts = home.join(".cfn/contexts");
    fs::create_dir_all(&contexts).unwrap();

    let nodes: Vec<(&Stack, u64)> = stacks.iter().flat_map(|stack| (1..=stack.nodes).map(move |node| (stack, node))).collect();
    let name = |stack: &Stack, node: u64| format!("{}--{node}", stack.name);
    let mut names: Vec<String> = nodes.iter().map(|(stack, node)| name(stack, *node)).collect();
    names.extend([A, B].map(Into::into));
    let pair = async |name: &String| match kind {
        // The stand-in computes nothing with a key.
        HostKind::Light => KeyPair { private_pem: String::new(), public_pem: made_up_key(name) },
        _ => KeyPair::new().await.unwrap(),
    };
    let made = join_all(names.iter().map(pair)).await;
    let keys: BTreeMap<String, KeyPair> = names.into_iter().zip(made).collect();

    let mut specs = Vec::new();
    for (master, address) in [(A, OLD), (B, NEW)] {
        let mut salt = Master::new(master, &keys[master]);
        if master == A {
            salt = nodes.iter().fold(salt, |salt, (stack, node)| salt.accepts(name(stack, *node), &keys[&name(stack, *node)]));
        }
        let mut spec = InstanceSpec::new(master).files(salt.files());
        (spec.kind, spec.private) = (kind, Some(address.parse().unwrap()));
        specs.push(spec);
    }
    for (stack, node) in nodes {
        let id: StackName = stack.name.parse().unwrap();
        let text = made_up_context(&id, stack.nodes, OLD, REGION);
        fs::write(contexts.join(format!("{}.json", stack.name)), &text).unwrap();
        let vars = BuildVars::derived(&Context::parse(&text).unwrap(), &id.node(node)).encode();
        let mut minion = Minion::new(name(stack, node), &keys[&name(stack, node)], OLD).trusts(&keys[A]);
        minion.config = stack.config.into();
        let mut spec = InstanceSpec::new(stack.name).files(minion.files()).file(BUILD_VARS, vars, 0o644);
        (spec.kind, spec.node, spec.begins) = (kind, node, stack.begins);
        specs.push(spec);
    }
    let all = lab.instances(specs).await.unwrap();
    let ids = all.iter().map(|(id, host)| (host.name().to_owned(), id.0.to_string())).collect();
    let hosts: BTreeMap<String, Host> = all.into_iter().map(|(_, host)| (host.name().to_owned(), host)).collect();

    let mut projects: Vec<&str> = stacks.iter().map(|stack| stack.name.split("--").next().unwrap()).collect();
    projects.dedup();
    let projects: String = projects.iter().map(|project| format!("{project}:\n    aws: {{}}\n")).collect();
    let defaults = format!("defaults:\n    aws:\n        region: {REGION}\n        ec2:\n            master_ip: {NEW} # shared\n");
    fs::write(home.join("project.yaml"), format!("{defaults}master-server:\n    aws: {{}}\n{projects}")).unwrap();
    let settings = json!({
        "cloud": "aws",
        "region": REGION,
        "project-files": ["project.yaml"],
        "ssh": {"known-hosts": "known_hosts", "identities": [lab.key()], "config": "ssh_config"},
    });
    fs::write(home.join("settings.yaml"), settings.to_string()).unwrap();
    let fleet = Fleet { lab, home, hosts, keys, ids, kind, _folder: folder };
    let running = stacks.iter().filter(|stack| stack.begins == Begins::Running);
    let joined: Vec<String> = running.flat_map(|stack| (1..=stack.nodes).map(move |node| name(stack, node))).collect();
    let masters = [A, B].map(async |master| {
        fleet.master(master).shell("systemctl start salt-master").await.unwrap();
        until_greets(fleet.master(master), SOON).await.unwrap();
    });
    join_all(masters).await;
    fleet.answer(A, &joined).await;
    fleet
}

impl Fleet {
    pub fn host(&self, name: &str) -> &Host {
        &self.hosts[name]
    }

    pub fn master(&self, master: &str) -> &Host {
        &self.hosts[&format!("{master}--1")]
    }

    /// Starts a node as anybody may, through EC2.
    pub async fn switch_on(&self, node: &str) {
        let ec2 = self.lab.ec2().await.unwrap();
        ec2.call("start_instances", json!({"InstanceIds": [self.ids[node]]})).await.unwrap();
    }

    /// Waits until EC2 says this of a node.
    pub async fn until_state(&self, node: &str, state: &str) {
        let ec2 = self.lab.ec2().await.unwrap();
        let says = async || {
            let said = ec2.call("describe_instances", json!({"InstanceIds": [self.ids[node]]})).await.unwrap();
            said["Reservations"][0]["Instances"][0]["State"]["Name"] == state
        };
        while !says().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nodes answer a master.
    pub async fn answer(&self, master: &str, nodes: &[impl AsRef<str>]) {
        if self.kind == HostKind::Booted {
            return until_answer(self.master(master), nodes, SOON).await.unwrap();
        }
        let (wanted, begun) = (nodes.iter().map(|node| node.as_ref().to_owned()).collect::<BTreeSet<_>>(), Instant::now());
        while self.answering(master, nodes).await != wanted {
            assert!(begun.elapsed() < SOON, "{wanted:?} do not answer {master}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Those of these nodes that answer a master when it asks once.
    pub async fn answering(&self, master: &str, nodes: &[impl AsRef<str>]) -> BTreeSet<String> {
        if self.kind == HostKind::Booted {
            return answering(self.master(master), nodes).await.unwrap();
        }
        let ids: Vec<&str> = nodes.iter().map(AsRef::as_ref).collect();
        let asked = ["salt", "-L", &ids.join(","), "--out=json", "--static", "-t", "2", "test.ping"];
        let said = self.master(master).exec(&asked).await.unwrap().stdout;
        // Where it knows none of them, it says so in words.
        let said: BTreeMap<String, bool> = serde_json::from_slice(&said).unwrap_or_default();
        said.into_iter().filter_map(|(node, answered)| answered.then_some(node)).collect()
    }

    async fn env(&self) -> Vec<(String, String)> {
        let mut env = self.lab.ec2().await.unwrap().env();
        env.push(("HOME".into(), self.home.display().to_string()));
        env
    }

    /// Runs the program to its end.
    pub async fn bldr(&self, args: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        self.bldr_at(&self.home, args).await
    }

    /// The same for an operator with a home folder of their own.
    pub async fn bldr_at(&self, home: &Path, args: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let all = [&["--home", home.to_str().unwrap(), "--output", "json"], args].concat();
        let output = self.lab.run_in_hub(env!("CARGO_BIN_EXE_bldr"), &all, &self.env().await).await.unwrap();
        going::read(args, &output)
    }

    /// The program on its way: what it tells can be awaited, and it can be killed.
    pub async fn start_at(&self, home: &Path, args: &[&str]) -> Going {
        self.start_with(home, args, &[]).await
    }

    /// The same with more in its environment.
    pub async fn start_with(&self, home: &Path, args: &[&str], more: &[(String, String)]) -> Going {
        let all = [&["--home", home.to_str().unwrap(), "--output", "json"], args].concat();
        let env = [self.env().await, more.to_vec()].concat();
        Going::new(self.lab.spawn_in_hub(env!("CARGO_BIN_EXE_bldr"), &all, &env).unwrap())
    }

    /// A home folder that knows of one stack only: operators with such homes do not wait for each other.
    pub fn home_of(&self, stack: &str) -> PathBuf {
        let home = self.home.join("homes").join(stack);
        fs::create_dir_all(home.join(".cfn/contexts")).unwrap();
        for file in ["settings.yaml".to_owned(), "project.yaml".into(), "ssh_config".into(), format!(".cfn/contexts/{stack}.json")] {
            if let Ok(content) = fs::read(self.home.join(&file)) {
                fs::write(home.join(file), content).unwrap();
            }
        }
        home
    }

    pub async fn file(&self, node: &str, path: &str) -> Option<String> {
        let content = self.host(node).read(path).await.unwrap();
        content.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    pub fn context(&self, stack: &str) -> String {
        fs::read_to_string(self.home.join(format!(".cfn/contexts/{stack}.json"))).unwrap()
    }

    /// Whether nodes are commanded by this master and by no other, by everything there is to look at.
    pub async fn assert_on(&self, master: &str, nodes: impl IntoIterator<Item = impl AsRef<str>>) {
        let nodes: Vec<_> = nodes.into_iter().collect();
        let other = if master == B { A } else { B };
        self.answer(master, &nodes).await;
        // A master whose machine is off commands nobody.
        if self.master(other).shell("true").await.is_ok() {
            let too = self.answering(other, &nodes).await;
            assert!(too.is_empty(), "{too:?} answer {other} too");
        }
        join_all(nodes.iter().map(|node| self.assert_looks(node.as_ref(), master))).await;
    }

    async fn assert_looks(&self, node: &str, master: &str) {
        let address = if master == B { NEW } else { OLD };
        let config = self.file(node, CONFIG).await.unwrap();
        assert!(config.starts_with(&format!("master: {address}\nid: {node}\n")), "{node}: {config}");
        let bodies = |text: &str| bldr_core::fleet::PublicKey::from_pem(text);
        assert_eq!(bodies(&self.file(node, TRUSTED).await.unwrap()), bodies(&self.keys[master].public_pem), "{node}");
        let vars = BuildVars::decode(&self.file(node, BUILD_VARS).await.unwrap()).unwrap();
        assert_eq!(vars.master().unwrap().as_str(), address, "{node}");
        // One daemon, one connection, and nothing of a switch is left.
        let line = format!(
            "ss -Htn state established '( dport = :4505 )' | awk '{{print $4}}' | sort -u; \
             systemctl show -p ActiveState --value salt-minion; \
             ls -d {SWITCH} /etc/systemd/system/bldr-* /etc/systemd/system/*.wants/bldr-* 2>/dev/null || true"
        );
        let looks = self.host(node).shell(&line).await.unwrap();
        assert_eq!(looks, format!("{address}:4505\nactive\n"), "{node}");
    }

    pub fn assert_context(&self, stack: &str, address: &str) {
        let (named, other) = if address == NEW { (NEW, OLD) } else { (OLD, NEW) };
        assert!(self.context(stack).contains(named) && !self.context(stack).contains(other), "{stack}: {}", self.context(stack));
    }

    /// The ids of the keys a master has accepted.
    pub async fn accepted(&self, master: &str) -> Vec<String> {
        let names = self.master(master).shell("ls /etc/salt/pki/master/minions").await.unwrap();
        names.lines().map(Into::into).collect()
    }
}
