//! What is re-mastered? Light hosts under one master, and all that anybody needs to bring them under another one.

use super::{Outcome, programs};
use bldr_core::{build_vars::BuildVars, context::Context, fleet::PublicKey, name::StackName};
use bldr_testkit::{
    lab::{Host, InstanceSpec, Lab, REGION},
    salt,
    spec::{FleetSpec, made_up_context},
};
use futures::future::try_join_all;
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
    /// Their stacks, one each.
    names: Vec<StackName>,
    /// The masters' hosts, the old one first.
    pub masters: Vec<Host>,
    /// settings.yaml and contexts for bldr; for the others `ci`, `prod`, `old` and `new` with the addresses of these hosts, an `inventory` of
    /// them, `programs` to be sent, and a folder for what hosts say; `key` and `known_hosts` for all.
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
        for folder in [".cfn/contexts", "programs/switch", "said"] {
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
        acquaint(&lab, &hosts, &minions).await?;
        for_the_others(&home, &hosts, &minions, &names)?;
        let stacks: Vec<&str> = names.iter().map(StackName::as_str).collect();
        let shared = FleetSpec { shared: Some(NEW.1.to_string()), ..FleetSpec::of(&stacks) };
        fs::write(home.join("project.yaml"), shared.project_yaml())?;
        fs::write(home.join("settings.yaml"), settings(&home))?;
        Ok(Self { lab, minions, names, masters: hosts, home, up })
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
        for (host, name) in self.minions.iter().zip(&self.names) {
            const FACTS: &str = "set +e; cat /etc/build-vars.json.b64; echo; grep '^master:' /etc/salt/minion
                cat /etc/salt/pki/minion/minion_master.pub; grep -sc state.highstate /var/log/salt/stub.log
                ss -Htn state established '( dport = :4505 )' | awk '{ print $NF }'; true";
            let said = host.shell(FACTS).await?;
            let build_vars = wanted_build_vars(name)?;
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

/// Tells all who will talk with each other where the other is. The kernel of this machine remembers a thousand such answers for all its
/// hosts together, and forgets the rest: then a master seems to be silent.
async fn acquaint(lab: &Lab, masters: &[Host], minions: &[Host]) -> Outcome<()> {
    let known = |host: &Host, address: Ipv4Addr, device: &str| {
        let [.., c, d] = host.private().octets();
        format!("neigh replace {address} lladdr 02:4d:0a:4d:{c:02x}:{d:02x} nud permanent dev {device}\n")
    };
    let inside = |hosts: &[Host]| hosts.iter().map(|host| known(host, host.private(), "eth0")).collect::<String>();
    let (of_masters, of_minions) = (inside(masters), inside(minions));
    let told = async |host: &Host, text: &str| host.shell(&format!("ip -batch - <<IP\n{text}IP")).await.map(drop);
    try_join_all(masters.iter().map(|host| told(host, &of_minions))).await?;
    try_join_all(minions.iter().map(|host| told(host, &of_masters))).await?;
    let from_outside = |host: &Host| host.public().map(|address| known(host, address, "br0"));
    let text: String = masters.iter().chain(minions).filter_map(from_outside).collect();
    let output = lab.run_in_hub("sh", &["-c", &format!("ip -batch - <<IP\n{text}IP")], &[]).await?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}

/// Where a host is reached.
fn address(host: &Host) -> String {
    host.public().unwrap_or(host.private()).to_string()
}

fn master((name, private): (&str, Ipv4Addr)) -> InstanceSpec {
    let (settings, key) = ("interface: 0.0.0.0\n", salt::made_up_key(name));
    let host = InstanceSpec { private: Some(private), ..InstanceSpec::new(name) };
    host.file("/etc/salt/master", settings, 0o644).file("/etc/salt/pki/master/master.pub", key, 0o644)
}

fn minion(name: &StackName, context: &str) -> Outcome<InstanceSpec> {
    let build_vars = BuildVars::derived(&Context::parse(context)?, &name.node(1));
    Ok(InstanceSpec::new(name.as_str())
        .file("/etc/build-vars.json.b64", build_vars.encode(), 0o644)
        .file("/etc/salt/minion", format!("master: {}\nid: {name}--1\n", OLD.1), 0o644)
        .file("/etc/salt/pki/minion/minion.pub", salt::made_up_key(name.as_str()), 0o644)
        .file("/etc/salt/pki/minion/minion_master.pub", salt::made_up_key(OLD.0), 0o644))
}

/// What those need that bldr is measured beside: who there is, and what to send them. bldr works that out when it runs.
fn for_the_others(home: &Path, masters: &[Host], minions: &[Host], names: &[StackName]) -> Outcome<()> {
    let master = NEW.1.to_string();
    let key = key_of(NEW.0)?;
    let mut inventory = String::new();
    let mut group = |name: &str, hosts: &[&Host]| {
        let addresses: String = hosts.iter().map(|host| format!("{}\n", address(host))).collect();
        inventory.push_str(&format!("[{name}]\n{addresses}"));
        fs::write(home.join(name), addresses)
    };
    let programs = home.join("programs");
    for stage in ["ci", "prod"] {
        let of: Vec<(&Host, &StackName)> = minions.iter().zip(names).filter(|(_, name)| name.as_str().ends_with(stage)).collect();
        group(stage, &of.iter().map(|(host, _)| *host).collect::<Vec<_>>())?;
        let ids: Vec<programs::Minion> = of.iter().map(|(_, name)| introduced(name)).collect::<Outcome<_>>()?;
        fs::write(programs.join(format!("ping-{stage}")), programs::ping(&ids)?)?;
    }
    for (name, host) in ["old", "new"].into_iter().zip(masters) {
        group(name, &[host])?;
    }
    fs::write(home.join("inventory"), inventory)?;
    for (host, name) in minions.iter().zip(names) {
        fs::write(programs.join("switch").join(address(host)), programs::switch(&master, &key, &wanted_build_vars(name)?)?)?;
    }
    let all: Vec<programs::Minion> = names.iter().map(introduced).collect::<Outcome<_>>()?;
    fs::write(programs.join("read"), programs::read(&master)?)?;
    fs::write(programs.join("highstate"), programs::highstate(&master, &key)?)?;
    fs::write(programs.join("accept"), programs::accept(&all)?)?;
    fs::write(programs.join("forget"), programs::forget(&all)?)?;
    Ok(())
}

/// A minion's id, and its key.
fn introduced(name: &StackName) -> Outcome<programs::Minion> {
    Ok((name.node(1).to_string(), key_of(name.as_str())?))
}

fn key_of(name: &str) -> Outcome<PublicKey> {
    PublicKey::from_pem(&salt::made_up_key(name)).ok_or_else(|| format!("the key of {name} is none").into())
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
