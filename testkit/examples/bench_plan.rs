//! How long does planning take, and how much memory do the facts need? Prints a table with machine and date.
//!
//! ```console
//! $ cargo run --release -p bldr-testkit --example bench_plan
//! ```

use bldr_core::{
    address::HostAddress,
    fleet::{
        ContextFacts, Ec2Id, Evidence, Fleet, HeldKey, HeldKeys, Host, InstanceState, KeyState, Node, Outlook, PublicKey, Reading, Stack,
        Standing, Timestamp,
    },
    name::StackName,
    plan::{self, Patience, Request, Scope, Stopped, Unproven},
    ports::{HighstateMode, SharedAddress},
    salt_version::SaltVersion,
    soundness,
    survey::NewMaster,
};
use bldr_testkit::{figures, salt, spec::FleetSpec, stores::MemoryProjects};
use std::{error::Error, time::Instant};

/// A fleet of one-node stacks, all still on the old master, which holds their keys.
fn fleet(spec: &FleetSpec, key: &PublicKey) -> Result<Fleet, Box<dyn Error>> {
    let mut fleet = Fleet { region: spec.region.clone(), ..Fleet::default() };
    for (number, name) in spec.stacks.keys().enumerate() {
        let name: StackName = name.parse()?;
        let evidence = Evidence {
            build_vars: Ok(Some("10.0.0.10".parse()?)),
            configured: Some("10.0.0.10".into()),
            trusted: Some(key.fingerprint()),
            highstate_due: false,
            minion_id: Some(name.node(1).to_string().into()),
            minion_key: Some(key.fingerprint()),
            connected: ["10.0.0.10".into()].into(),
            unconfirmed: false,
        };
        let address = format!("10.{}.{}.{}", 1 + number / 65536, number / 256 % 256, number % 256).parse().ok();
        let node = Node {
            name: name.node(1),
            id: Ec2Id(format!("i-{number:017x}").into()),
            state: InstanceState::Running,
            private: address.clone(),
            public: None,
            reach: address,
            launched: Timestamp(0),
            evidence: Reading::Read(evidence),
            outlook: Some(Box::new(Outlook { version: SaltVersion::find("3008.3"), obstacles: Vec::new() })),
            woken: false,
        };
        let context = Reading::Read(ContextFacts::Mastered { masters: vec!["10.0.0.10".into()], alternate: None });
        fleet.stacks.insert(name.clone(), Stack { name, nodes: vec![node], tags: Default::default(), context });
    }
    let standing = Standing { key: key.clone(), version: None, silent: None, keys: keys(spec, key) };
    fleet.standings.insert("master-server--a".parse()?, Reading::Read(standing));
    Ok(fleet)
}

fn keys(spec: &FleetSpec, key: &PublicKey) -> HeldKeys {
    let held = |name: &String| HeldKey { id: format!("{name}--1").into(), state: KeyState::Accepted, key: key.fingerprint() };
    spec.stacks.keys().map(held).collect()
}

/// The new master. It holds everybody's key already, so that each has to be found among all.
fn new_master(keys: HeldKeys) -> Result<NewMaster, Box<dyn Error>> {
    let (stack, address): (StackName, HostAddress) = ("master-server--b".parse()?, "10.0.0.20".parse()?);
    let key = PublicKey::from_pem(&salt::made_up_key("b")).ok_or("a made-up key is one")?;
    let host = Host { node: stack.node(1), address: address.clone() };
    let standing = Standing { key, version: None, silent: None, keys };
    Ok(NewMaster { stack, host, peers: vec![address.clone()], address, standing })
}

/// Resident memory of this process, in bytes.
fn resident() -> Result<usize, Box<dyn Error>> {
    let pages: usize = std::fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", figures::machine_and_date());
    println!("{:>8}  {:>10}  {:>16}  {:>16}", "stacks", "plan", "fleet per stack", "with plan");
    let key = PublicKey::from_pem(&salt::made_up_key("a")).ok_or("a made-up key is one")?;
    for count in [10_000, 100_000] {
        let spec = FleetSpec::of_minions(count);
        let projects = MemoryProjects::new(&spec.project_json()).projects().await?;
        let request = Request {
            scope: Scope::Fleet,
            master: new_master(keys(&spec, &key))?,
            rehearse: false,
            unproven: Unproven::Revert,
            patience: Patience::default(),
            stopped: Stopped::default(),
            highstate: HighstateMode::Apply,
            ignored_projects: [].into(),
            ignored_stacks: [].into(),
        };
        let before = resident()?;
        let fleet = fleet(&spec, &key)?;
        let surveyed = resident()?;
        let begun = Instant::now();
        let plan = plan::plan(&fleet, &projects, &request);
        let took = begun.elapsed();
        let planned = resident()?;
        soundness::check(&plan, &fleet)?;
        let per_stack = |now: usize| format!("{} B", now.saturating_sub(before) / count);
        println!("{count:>8}  {:>7.1} ms  {:>16}  {:>16}", took.as_secs_f64() * 1e3, per_stack(surveyed), per_stack(planned));
    }
    Ok(())
}
