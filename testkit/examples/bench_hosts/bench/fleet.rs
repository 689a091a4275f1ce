//! What is re-mastered? Light hosts under one master, and all that anybody needs to bring them under another one.

use super::Outcome;
use bldr_core::{build_vars::BuildVars, context::Context, name::StackName};
use bldr_testkit::{
    lab::{Host, InstanceSpec, Lab, REGION},
    salt,
    spec::{FleetSpec, made_up_context},
};
use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The master they have.
const OLD: (&str, Ipv4Addr) = ("master-server--a", Ipv4Addr::new(10, 77, 0, 10));
/// The one they are to have.
pub const NEW: (&str, Ipv4Addr) = ("master-server--b", Ipv4Addr::new(10, 77, 0, 20));

/// Hosts that have not been re-mastered yet.
pub struct Fleet {
    /// What holds them.
    pub lab: Lab,
    /// The minions' hosts.
    pub minions: Vec<Host>,
    /// The masters' hosts.
    pub masters: Vec<Host>,
    /// settings.yaml and contexts for bldr; for the others `addresses`, `inventory`, `build-vars/ADDRESS`, `master.pub`, and a folder
    /// for what hosts say; `key` and `known_hosts` for all.
    pub home: PathBuf,
    /// How long the hosts took to come up.
    pub up: Duration,
}

impl Fleet {
    /// So many hosts, a stack each. Two stacks are a project: `ci`, and `prod`, which bldr leaves for last.
    pub async fn new(count: usize) -> Outcome<Self> {
        let names: Vec<StackName> = (0..count)
            .map(|n| format!("project-{:03}--{}", n / 2 + 1, if n % 2 == 0 { "ci" } else { "prod" }).parse())
            .collect::<Result<_, _>>()?;
        let lab = Lab::new().await?;
        let home = lab.dir().join("home");
        for folder in [".cfn/contexts", "build-vars", "said"] {
            fs::create_dir_all(home.join(folder))?;
        }
        let mut specs: Vec<InstanceSpec> = [OLD, NEW].map(master).to_vec();
        for name in &names {
            let context = made_up_context(name, 1, &OLD.1.to_string(), REGION);
            specs.push(minion(name, &context)?);
            fs::write(home.join(format!(".cfn/contexts/{name}.json")), context)?;
        }
        lab.ec2().await?;
        let began = Instant::now();
        let mut hosts: Vec<Host> = lab.instances(specs).await?.into_iter().map(|(_, host)| host).collect();
        let up = began.elapsed();

        let known: Result<String, _> = hosts.iter().map(Host::known_hosts).collect();
        fs::write(home.join("known_hosts"), known?)?;
        symlink(lab.key(), home.join("key"))?;
        let minions = hosts.split_off(2);
        let mut addresses = String::new();
        for (host, name) in minions.iter().zip(&names) {
            addresses.push_str(&format!("{}\n", address(host)));
            fs::write(home.join("build-vars").join(address(host)), wanted_build_vars(name)?)?;
        }
        fs::write(home.join("inventory"), &addresses)?;
        fs::write(home.join("addresses"), addresses)?;
        fs::write(home.join("master.pub"), salt::made_up_key(NEW.0))?;
        let stacks: Vec<&str> = names.iter().map(StackName::as_str).collect();
        let shared = FleetSpec { shared: Some(NEW.1.to_string()), ..FleetSpec::of(&stacks) };
        fs::write(home.join("project.yaml"), shared.project_yaml())?;
        fs::write(home.join("settings.yaml"), settings(&home))?;
        Ok(Self { lab, minions, masters: hosts, home, up })
    }

    /// What all hosts have computed so far, in seconds of a processor.
    pub fn processor_time(&self) -> f64 {
        // What is counted in is always a hundredth of a second to those who ask.
        self.masters.iter().chain(&self.minions).map(|host| ticks(host.pid())).sum::<u64>() as f64 / 100.0
    }

    /// How many of the minions are where they should be, by what is on them and by the kernel's word on connections: not by what
    /// anybody says who moved them.
    pub async fn done(&self) -> Outcome<usize> {
        let mut done = 0;
        for host in &self.minions {
            let facts = "cat /etc/build-vars.json.b64; echo; grep '^master:' /etc/salt/minion; cat /etc/salt/pki/minion/minion_master.pub
                grep -c state.highstate /var/log/salt/stub.log; ss -Htn state established '( dport = :4505 )' | grep -o '[0-9.]*:4505'";
            let said = host.shell(&format!("{facts} || :")).await?;
            let build_vars = fs::read_to_string(self.home.join("build-vars").join(address(host)))?;
            let wanted = format!("{build_vars}\nmaster: {}\n{}1\n{}:4505\n", NEW.1, salt::made_up_key(NEW.0), NEW.1);
            done += usize::from(said == wanted);
            if said != wanted {
                eprintln!("{} is not where it should be:\n{said}instead of\n{wanted}", host.name());
            }
        }
        Ok(done)
    }
}

/// The processor time of a process, of its children, and of those that have ended; nothing where it has ended itself.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let own: u64 = fields.skip(11).take(4).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = children.flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
    own + children.into_iter().map(ticks).sum::<u64>()
}

/// Where a host is reached.
fn address(host: &Host) -> String {
    host.public().unwrap_or(host.private()).to_string()
}

fn master((name, private): (&str, Ipv4Addr)) -> InstanceSpec {
    // Whom nobody introduces is let in all the same: only bldr does that.
    InstanceSpec { private: Some(private), ..InstanceSpec::new(name) }
        .file("/etc/salt/master", "interface: 0.0.0.0\nauto_accept: True\n", 0o644)
        .file("/etc/salt/pki/master/master.pub", salt::made_up_key(name), 0o644)
}

fn minion(name: &StackName, context: &str) -> Outcome<InstanceSpec> {
    let build_vars = BuildVars::derived(&Context::parse(context)?, &name.node(1));
    Ok(InstanceSpec::new(name.as_str())
        .file("/etc/build-vars.json.b64", build_vars.encode(), 0o644)
        .file("/etc/salt/minion", format!("master: {}\nid: {name}--1\n", OLD.1), 0o644)
        .file("/etc/salt/pki/minion/minion_master.pub", salt::made_up_key(OLD.0), 0o644))
}

/// Worked out beforehand for those that cannot do it themselves.
fn wanted_build_vars(name: &StackName) -> Outcome<String> {
    let context = Context::parse(&made_up_context(name, 1, &NEW.1.to_string(), REGION))?;
    Ok(BuildVars::derived(&context, &name.node(1)).encode())
}

fn settings(home: &Path) -> String {
    let home = home.display();
    format!(
        "cloud: aws\nregion: {REGION}\nproject-files: [project.yaml]\nusers:\n  deploy: ubuntu\n\
         ssh:\n  known-hosts: {home}/known_hosts\n  identities: [{home}/key]\n  config: /dev/null\n"
    )
}
