//! What fleet is to be made up? A specification, and the machines, contexts and project file it comes to.

use crate::{
    machines::{Fault, Machine, Machines, MasterDaemon, MinionDaemon, path},
    salt,
};
use bldr_core::{
    address::HostAddress,
    build_vars::BuildVars,
    context::Context,
    error::{PortError, PortErrorKind, PortResult},
    fleet::{ContextFacts, Ec2Id, InstanceState},
    json::{Object, Value},
    name::{MASTER_PROJECT, NodeName, StackName},
    ports::Clock,
    precedence,
};
use std::collections::{BTreeMap, BTreeSet};

/// A fleet to make up. Stacks and masters are named by their tag, which need not be a stack name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetSpec {
    /// The region it is in.
    pub region: String,
    /// Its masters.
    pub masters: BTreeMap<String, MasterSpec>,
    /// Its other stacks.
    pub stacks: BTreeMap<String, StackSpec>,
    /// The address its project file names as the master's; `None`: it names none.
    pub shared: Option<String>,
    /// The text of its project file; `None`: one is written that knows every project.
    pub project_file: Option<Vec<u8>>,
}

/// A master to make up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterSpec {
    /// Its private address; `None`: the next free one.
    pub private: Option<HostAddress>,
    /// What its machine does.
    pub state: InstanceState,
    /// Whether it accepts keys it has not seen.
    pub auto_accept: bool,
}

impl Default for MasterSpec {
    fn default() -> Self {
        Self { private: None, state: InstanceState::Running, auto_accept: true }
    }
}

/// A stack to make up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackSpec {
    /// How many nodes; `None`: one, or none where its context has no EC2.
    pub nodes: Option<u64>,
    /// What its machines do.
    pub state: InstanceState,
    /// The master it obeys; `None`: the one in charge.
    pub master: Option<String>,
    /// Its context, byte for byte; `None`: one is made up.
    pub context: Option<Vec<u8>>,
    /// The build vars of its nodes, byte for byte; `None`: derived from the context.
    pub build_vars: Option<Vec<u8>>,
    /// Tags of its machines, besides those that say whose they are.
    pub tags: BTreeMap<String, String>,
    /// What is wrong with its machines.
    pub fault: Option<Fault>,
}

impl Default for StackSpec {
    fn default() -> Self {
        Self {
            nodes: None,
            state: InstanceState::Running,
            master: None,
            context: None,
            build_vars: None,
            tags: BTreeMap::new(),
            fault: None,
        }
    }
}

impl FleetSpec {
    /// Masters `a` (in charge) and `b`, a project file that shares `b`'s address, and these stacks under `a`.
    pub fn of(stacks: &[&str]) -> Self {
        let masters = [("master-server--a", "10.0.0.10"), ("master-server--b", "10.0.0.20")];
        let spec = |ip: &str| MasterSpec { private: ip.parse().ok(), ..MasterSpec::default() };
        Self {
            region: "us-east-1".into(),
            masters: masters.into_iter().map(|(name, ip)| (name.into(), spec(ip))).collect(),
            stacks: stacks.iter().map(|name| ((*name).into(), StackSpec::default())).collect(),
            shared: Some("10.0.0.20".into()),
            project_file: None,
        }
    }

    /// This many one-node stacks over a tenth as many projects, under masters `a` and `b`.
    pub fn of_minions(count: usize) -> Self {
        const INSTANCES: [&str; 10] = ["ci", "end2end", "prod", "continuumtest", "demo", "pr-1", "pr-2", "pr-3", "temp", "2026-01-01"];
        let name = |n: usize| format!("project-{:05}--{}", n / INSTANCES.len() + 1, INSTANCES[n % INSTANCES.len()]);
        Self { stacks: (0..count).map(|n| (name(n), StackSpec::default())).collect(), ..Self::of(&[]) }
    }

    /// Changes a stack, which is made if it is not there.
    #[must_use]
    pub fn with(mut self, stack: &str, change: impl FnOnce(&mut StackSpec)) -> Self {
        change(self.stacks.entry(stack.into()).or_default());
        self
    }

    /// The projects of all stacks and masters whose tag is a stack name, in text order.
    fn projects(&self) -> BTreeSet<String> {
        let names = self.masters.keys().chain(self.stacks.keys()).filter_map(|name| name.parse::<StackName>().ok());
        names.map(|name| name.project().to_string()).chain([MASTER_PROJECT.to_owned()]).collect()
    }

    /// The project file that is written where none is given, as YAML.
    pub fn project_yaml(&self) -> String {
        let mut yaml = format!(
            "# The projects of the sandbox.\ndefaults:\n    salt: '3008.3'\n    formula-repo: null\n    formula-dependencies: []\n    aws:\n        region: {}\n        ec2:\n            ami: ami-0c0ffee0000000012\n            cluster-size: 1\n            type: t3.small\n",
            self.region
        );
        if let Some(shared) = &self.shared {
            yaml.push_str(&format!("            # where minions find their master\n            master_ip: {shared}\n"));
        }
        for project in self.projects() {
            yaml.push_str(&format!("\n{project}:\n    formula-repo: https://git.example.org/{project}-formula\n    aws: {{}}\n"));
            if project == MASTER_PROJECT {
                yaml.push_str("    private-repo: git@git.example.org:example/builder-private\n");
            }
        }
        yaml
    }

    /// The same as JSON, which needs no YAML reader.
    pub fn project_json(&self) -> String {
        let map = |pairs: Vec<(&str, Value)>| Value::Object(pairs.into_iter().map(|(k, v)| (k.into(), v)).collect());
        let mut ec2 = vec![("cluster-size", Value::from(1)), ("ami", "ami-0c0ffee0000000012".into()), ("type", "t3.small".into())];
        ec2.extend(self.shared.as_deref().map(|shared| ("master_ip", Value::from(shared))));
        let defaults = map(vec![("salt", "3008.3".into()), ("aws", map(vec![("region", self.region.as_str().into()), ("ec2", map(ec2))]))]);
        let mut root = Object::default();
        root.set("defaults", defaults);
        for project in self.projects() {
            let private = (project == MASTER_PROJECT).then(|| ("private-repo", Value::from("git@git.example.org:example/builder-private")));
            root.set(&project, map([("aws", Object::default().into())].into_iter().chain(private).collect()));
        }
        Value::Object(root).to_string()
    }

    fn in_charge(&self) -> Option<String> {
        let names: Vec<StackName> = self.masters.keys().filter_map(|name| name.parse().ok()).collect();
        precedence::ordered(&names).first().map(ToString::to_string)
    }
}

/// A context such as a stack of the fleet would have.
pub fn made_up_context(stack: &StackName, nodes: u64, master: &str, region: &str) -> String {
    let project = stack.project();
    let formula = format!("https://git.example.org/{project}-formula");
    let ec2 = format!("{{\"cluster-size\": {nodes}, \"masterless\": false, \"master_ip\": \"{master}\", \"type\": \"t3.small\"}}");
    let instance = stack.instance_str();
    format!(
        "{{\"project_name\": \"{project}\", \"project\": {{\"salt\": \"3008.3\", \"formula-repo\": \"{formula}\", \"formula-dependencies\": [], \
         \"aws\": {{\"region\": \"{region}\", \"ec2\": {ec2}}}}}, \"stackname\": \"{stack}\", \"instance_id\": \"{instance}\", \"branch\": \"main\", \
         \"revision\": null, \"ec2\": {ec2}, \"domain\": \"example.org\", \"hostname\": \"{instance}--{project}\"}}"
    )
}

/// Stores the context of a stack.
pub type PutContext<'a> = &'a mut dyn FnMut(&StackName, &[u8]) -> PortResult<()>;

/// Makes the machines and contexts of a specification.
///
/// # Errors
/// A specification that contradicts itself, and those of the disk.
pub fn populate(spec: &FleetSpec, machines: &Machines, clock: &dyn Clock, contexts: PutContext<'_>) -> PortResult<()> {
    let mut fleet = Populating { spec, machines, clock, taken: BTreeSet::new(), next: 0 };
    for (name, master) in &spec.masters {
        if let Some(address) = master.private.as_ref().filter(|address| !fleet.taken.insert((*address).clone())) {
            return Err(PortError::new(PortErrorKind::Malformed, name, format!("another master has its address, {address}")));
        }
    }
    let mut addresses = BTreeMap::new();
    for (name, master) in &spec.masters {
        addresses.insert(name.as_str(), fleet.master(name, master, contexts)?);
    }
    for (tag, stack) in &spec.stacks {
        let wrong = |problem: String| PortError::new(PortErrorKind::Malformed, tag.as_str(), problem);
        let master =
            stack.master.clone().or_else(|| spec.in_charge()).ok_or_else(|| wrong("it needs a master, and there is none".into()))?;
        let address = addresses.get(master.as_str()).ok_or_else(|| wrong(format!("its master '{master}' is not among the masters")))?;
        fleet.stack(tag, stack, &master, address, contexts)?;
    }
    Ok(())
}

struct Populating<'a> {
    spec: &'a FleetSpec,
    machines: &'a Machines,
    clock: &'a dyn Clock,
    taken: BTreeSet<HostAddress>,
    next: u32,
}

impl Populating<'_> {
    fn free_address(&mut self) -> PortResult<HostAddress> {
        loop {
            self.next += 1;
            let [_, a, b, c] = self.next.to_be_bytes();
            let address = format!("10.{}.{b}.{c}", 1 + u32::from(a));
            let address: HostAddress =
                address.parse().map_err(|_| PortError::new(PortErrorKind::Malformed, address, "no address is left"))?;
            if self.taken.insert(address.clone()) {
                return Ok(address);
            }
        }
    }

    fn machine(&self, tag: &str, number: u64, state: InstanceState, private: HostAddress) -> Machine {
        let digest = salt::made_up_key(&format!("{tag}/{number}"));
        let id: String = digest.chars().filter(char::is_ascii_hexdigit).skip(10).take(17).collect();
        Machine {
            id: Ec2Id(format!("i-{}", id.to_lowercase()).into()),
            stack: tag.into(),
            node_tag: Some(number.to_string()),
            state,
            private: Some(private),
            public: None,
            launched: self.clock.now(),
            master: None,
            minion: None,
            fault: None,
            stopped: None,
            tags: BTreeMap::new(),
        }
    }

    fn master(&mut self, tag: &str, spec: &MasterSpec, contexts: PutContext<'_>) -> PortResult<HostAddress> {
        let stack: StackName = tag.parse().map_err(|e| PortError::new(PortErrorKind::Malformed, tag, format!("{e}")))?;
        if !stack.is_master() {
            return Err(PortError::new(PortErrorKind::Malformed, tag, "a master's name begins with 'master-server--'"));
        }
        let address = match &spec.private {
            Some(address) => address.clone(),
            None => self.free_address()?,
        };
        let name = stack.node(1).to_string();
        self.machines.keep(&name, path::MASTER_KEY, Some(&salt::made_up_key(&name)))?;
        self.machines.keep(&name, &format!("{}/top.sls", path::STATES), Some("base:\n  '*': [web-server]\n"))?;
        self.machines.keep(&name, path::MASTER, Some("interface: 0.0.0.0\nfile_roots:\n  base:\n    - /opt/formulas\n"))?;
        let context = made_up_context(&stack, 1, address.as_str(), &self.spec.region);
        let vars = Context::parse(&context).map(|context| BuildVars::derived(&context, &stack.node(1)).encode()).ok();
        self.machines.keep(&name, path::BUILD_VARS, vars.as_deref())?;
        // It has read its private repository before.
        let deploy_key = salt::made_up_ssh_key("ssh-rsa", &format!("deploy {name}"), &format!("root@{name}"))?;
        self.machines.keep(&name, path::DEPLOY_KEY, Some(&format!("{deploy_key}\n")))?;
        self.machines.register_deploy_key(&deploy_key)?;
        let mut machine = self.machine(tag, 1, spec.state, address.clone());
        machine.master = Some(MasterDaemon { up: spec.state == InstanceState::Running, auto_accept: spec.auto_accept });
        self.machines.put(&name, machine)?;
        contexts(&stack, context.as_bytes())?;
        Ok(address)
    }

    fn stack(&mut self, tag: &str, spec: &StackSpec, master: &str, address: &HostAddress, contexts: PutContext<'_>) -> PortResult<()> {
        let Ok(stack) = tag.parse::<StackName>() else {
            // Anybody may write a tag: machines whose tag is no stack name exist, and have nothing to do with us.
            let private = self.free_address()?;
            let machine = self.machine(tag, 1, spec.state, private);
            return self.machines.put(&machine.id.to_string(), machine);
        };
        if stack.is_master() {
            return Err(PortError::new(PortErrorKind::Malformed, tag, "it is a master: it belongs under 'masters'"));
        }
        let made_up = made_up_context(&stack, spec.nodes.unwrap_or(1), address.as_str(), &self.spec.region);
        let text = spec.context.clone().unwrap_or_else(|| made_up.clone().into_bytes());
        contexts(&stack, &text)?;
        let context = Context::parse(&String::from_utf8_lossy(&text)).ok();
        let facts = context.as_ref().and_then(|context| context.facts().ok());
        let nodes = spec.nodes.unwrap_or(u64::from(facts != Some(ContextFacts::NoEc2)));
        let source = context.or_else(|| Context::parse(&made_up).ok());
        for number in 1..=nodes {
            let node = stack.node(number);
            let private = self.free_address()?;
            let mut machine = self.machine(tag, number, spec.state, private);
            (machine.fault, machine.tags) = (spec.fault.clone(), spec.tags.clone());
            let name = node.to_string();
            let derived = source.as_ref().map(|context| BuildVars::derived(context, &node).encode().into_bytes());
            if let Some(vars) = spec.build_vars.clone().or(derived) {
                self.machines
                    .disk
                    .write(&name, path::BUILD_VARS, Some(&vars))
                    .map_err(|e| PortError::new(PortErrorKind::Refused, &name, e.to_string()))?;
            }
            self.salt(&node, machine, master, address, facts == Some(ContextFacts::Masterless))?;
        }
        Ok(())
    }

    /// Salt on a minion: its configuration and keys, as they are some time after it has joined its master.
    fn salt(&self, node: &NodeName, mut machine: Machine, master: &str, address: &HostAddress, masterless: bool) -> PortResult<()> {
        let name = node.to_string();
        if masterless {
            self.machines.keep(&name, path::MINION, Some(&format!("id: {name}\nfile_client: local\n")))?;
            return self.machines.put(&name, machine);
        }
        let (master, key) = (format!("{master}--1"), salt::made_up_key(&name));
        self.machines.keep(&name, path::MINION, Some(&format!("master: {address}\nid: {name}\nlog_level: info\n")))?;
        self.machines.keep(&name, path::MINION_KEY, Some(&key))?;
        self.machines.keep(&name, path::TRUSTED, self.machines.file(&master, path::MASTER_KEY)?.as_deref())?;
        self.machines.keep(&master, &format!("{}/{name}", path::ACCEPTED), Some(&key))?;
        machine.minion = Some(MinionDaemon::default());
        let running = machine.state == InstanceState::Running;
        self.machines.put(&name, machine)?;
        if running { salt::start_minion(self.machines, &name) } else { Ok(()) }
    }
}
