//! How does a stack come into being? What the plan has, made or found again; then its first update.
//!
//! Nothing is made twice: what is there is found by its name or its tags, and the order for a machine carries a token that the
//! stack's key pair gives, which lives from the first launch to the destruction of the stack.

use super::plan::{LaunchPlan, its_own_master, user_data};
use crate::{
    address::MasterAddress,
    build_vars::BuildVars,
    console,
    context::Context,
    error::{PortError, PortErrorKind, PortResult},
    event::{Action, Event, Outcome},
    execute::telling::{Done, Stepped, Telling, Trouble},
    fleet::{Fleet, Host, Instance, InstanceState, Node, Reading},
    name::NodeName,
    overtaken,
    ports::{Begun, Change, Expected, HostKeys, KeyPairs, Launches, Order, Provisioning, SecurityGroupId},
    ssh_key::SshPublicKey,
    survey::FIRST_START,
    update::{self, End, Run, Update, Updated, Work, advised},
};
use futures::{StreamExt, stream};
use std::time::Duration;

/// What a launch acts through.
pub struct Ports<'a> {
    /// What its update does.
    pub update: update::Ports<'a>,
    /// EC2.
    pub provisioning: &'a dyn Provisioning,
    /// The operators' key pairs.
    pub key_pairs: &'a dyn KeyPairs,
    /// Which machines are known.
    pub host_keys: &'a dyn HostKeys,
    /// Which launches were cut short.
    pub launches: &'a dyn Launches,
}

/// How many machines are made at once.
const AT_ONCE: usize = 8;
/// How long EC2 may take to show what a new machine has printed; many kinds of machines take minutes, and are not waited for.
const CONSOLE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// Makes what the plan has and is not there, and updates the stack. The fleet is what was listed before.
pub async fn launch(plan: &LaunchPlan, update: &Update, fleet: &Fleet, run: &Run, ports: &Ports<'_>) -> Updated {
    let telling = ports.update.telling(run);
    let begun = telling.now();
    telling.tell(run.started(&plan.stack)).await;
    telling.tell(Event::StackStarted { stack: plan.stack.clone(), was: None }).await;
    let making = Making { plan, run, ports, telling: &telling, context: plan.context.clone() };
    let mut locked_out = None;
    let end = match making.made().await {
        Err(end) => end,
        Ok(nodes) => {
            let work = Work::new(update, fleet, &run.addresses, &ports.update, &telling);
            let nodes: Vec<_> = nodes.iter().map(|(node, host)| (node, Some(host.clone()))).collect();
            let end = work.done(&nodes).await;
            locked_out = work.locked_out();
            end
        }
    };
    let end = match end {
        end @ (End::Done(_) | End::Masterless) => match finished(plan, ports).await {
            Ok(()) => end,
            Err(error) => End::Failed(error.to_string()),
        },
        end => end,
    };
    let (outcome, reason) = end.told(Outcome::Launched);
    telling.finish(&plan.stack, outcome, reason, telling.millis_since(begun)).await;
    Updated { report: telling.close(begun).await, locked_out }
}

/// Forgets that it has begun; if it is not somebody else's by now.
async fn finished(plan: &LaunchPlan, ports: &Ports<'_>) -> PortResult<()> {
    ports.update.fence.standing()?;
    ports.launches.end(&plan.stack).await
}

struct Making<'a> {
    plan: &'a LaunchPlan,
    run: &'a Run,
    ports: &'a Ports<'a>,
    telling: &'a Telling<'a>,
    context: Context,
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        if trouble.interrupted { Self::Interrupted } else { Self::Failed(format!("{}; the same again goes on from here", trouble.reason)) }
    }
}

impl Making<'_> {
    /// Its nodes, let in to.
    async fn made(mut self) -> Result<Vec<(Node, Host)>, End> {
        let plan = self.plan;
        if self.telling.interrupted() {
            return Err(End::Interrupted);
        }
        // Before anything is made: what there is from now on is known to be unfinished.
        self.begin().await.map_err(|error| End::Failed(format!("{error} (nothing was made)")))?;
        self.step(None, Action::SaveContext, self.save_context()).await?;
        let mut key = None;
        self.step(None, Action::KeyPair, self.key_pair(&mut key)).await?;
        let mut group = None;
        self.step(None, Action::SecurityGroup, self.security_group(&mut group)).await?;
        let (Some(key), Some(group)) = (key, group) else { return Err(End::Failed("EC2 gave no security group".into())) };

        let running = stream::iter(plan.machines.keys()).map(|number| self.running(*number, &key, &group)).buffered(AT_ONCE);
        let nodes = all(running.collect().await)?;
        if plan.stack.is_master()
            && let Some(own) = nodes.first().and_then(|node| node.private.as_ref()?.as_str().parse().ok())
        {
            let mut rewritten = None;
            self.step(None, Action::RewriteContext, self.own_master(&own, &mut rewritten)).await?;
            self.context = rewritten.unwrap_or(self.context);
        }
        let started = stream::iter(nodes).map(|node| self.started(node)).buffered(AT_ONCE);
        all(started.collect().await)
    }

    async fn begin(&self) -> PortResult<()> {
        let (plan, launches) = (self.plan, self.ports.launches);
        self.ports.update.fence.standing()?;
        // What was to be destroyed may have been finished once, and some of it may still be there.
        let going = launches.begun(&plan.stack).await?.is_some_and(|before| before.going);
        let at = self.ports.update.clock.now();
        launches.begin(&Begun { stack: plan.stack.clone(), alternate: plan.alternate.clone(), at, going }).await
    }

    async fn step(&self, node: Option<NodeName>, action: Action, work: impl Future<Output = Stepped>) -> Result<(), End> {
        if self.telling.interrupted() {
            return Err(End::Interrupted);
        }
        Ok(self.telling.step(&self.plan.stack, node, action, work).await?)
    }

    async fn save_context(&self) -> Stepped {
        let Some(expected) = &self.plan.save else { return Ok(Change::NotNeeded.into()) };
        let saved = self.ports.update.contexts.save(&self.plan.stack, &self.context.to_text(), expected).await;
        saved.map_err(|error| advised(&self.plan.stack, error))?;
        let done = Done::from(Change::Made);
        Ok(if *expected == Expected::Absent { done } else { done.saying("in place of one that no machine was made from") })
    }

    async fn key_pair(&self, made: &mut Option<SshPublicKey>) -> Stepped {
        let (key, own) = self.ports.key_pairs.of(&self.plan.stack).await?;
        let known = match self.ports.provisioning.key_pair(&self.plan.stack, &key).await {
            Err(error) if error.kind == PortErrorKind::Conflict => return Err(self.other_key(own, error).await?.into()),
            answer => answer?,
        };
        let change = if [own, known].contains(&Change::Made) { Change::Made } else { Change::NotNeeded };
        let done = Done::from(change).saying(key.fingerprint());
        *made = Some(key);
        Ok(done)
    }

    /// EC2 has the key pair, and its private half is not here. One that was made just now would let in to nothing.
    async fn other_key(&self, own: Change, conflict: PortError) -> PortResult<PortError> {
        let stack = &self.plan.stack;
        let here = if own == Change::Made {
            self.ports.key_pairs.remove(stack).await?;
            format!("its private key is not here: put it into `keypairs` as {stack}.pem, and type the same again")
        } else {
            format!("{stack}.pem in `keypairs` is that of another: put the right one there, and type the same again")
        };
        let lost = if self.plan.found.key_pair.is_some() {
            format!("where nobody has it, `bldr destroy:{stack}` removes what was made with it")
        } else {
            format!("it was not made for this stack; `aws ec2 describe-key-pairs --key-names {stack}` shows whose it is")
        };
        Ok(conflict.advise(format!("{here}; {lost}")))
    }

    async fn security_group(&self, made: &mut Option<SecurityGroupId>) -> Stepped {
        let subnet = self.plan.machines.values().next().and_then(|machine| machine.subnet.as_deref());
        let (group, change) = self.ports.provisioning.security_group(&self.plan.stack, subnet, &self.plan.open).await?;
        let done = Done::from(change).saying(group.to_string());
        *made = Some(group);
        Ok(done)
    }

    async fn running(&self, number: u64, key: &SshPublicKey, group: &SecurityGroupId) -> Result<Node, End> {
        let name = self.plan.stack.node(number);
        let mut made = None;
        self.step(Some(name.clone()), Action::Run, self.run(&name, key, group, &mut made)).await?;
        made.ok_or_else(|| End::Failed(format!("{name}: EC2 gave no machine")))
    }

    async fn run(&self, name: &NodeName, key: &SshPublicKey, group: &SecurityGroupId, made: &mut Option<Node>) -> Stepped {
        let machine = self.plan.machines.get(&name.number()).cloned();
        let machine = machine.ok_or_else(|| PortError::new(PortErrorKind::NotFound, name.to_string(), "it is not in the plan"))?;
        let order = Order {
            node: name.clone(),
            machine,
            security_group: group.clone(),
            user_data: user_data(&self.context, name),
            launch: key.fingerprint(),
        };
        let (mut instance, change) = self.ports.provisioning.run(&order).await?;
        if instance.state != InstanceState::Running {
            // It was made before, and somebody has stopped it.
            instance = self.ports.update.power.start(&instance.id).await?;
        }
        let node = node(name, &instance, self.run.addresses.reach(&self.plan.stack, &instance));
        if let (Change::Made, Some(host)) = (change, node.host()) {
            // Whoever had its address before had other keys.
            self.ports.host_keys.forget(&host).await?;
        }
        let at = node.reach.as_ref().map_or_else(|| "no address".into(), ToString::to_string);
        let detail = format!("{} at {at}", instance.id);
        *made = Some(node);
        Ok(Done::from(change).saying(detail))
    }

    /// A master's address is known only now.
    async fn own_master(&self, own: &MasterAddress, made: &mut Option<Context>) -> Stepped {
        let stack = &self.plan.stack;
        let malformed = |error| advised(stack, PortError::new(PortErrorKind::Malformed, stack.as_str(), format!("{error}")));
        let contexts = self.ports.update.contexts;
        let document = contexts.load(stack).await.map_err(|error| advised(stack, error))?;
        let stored = Context::parse(&document.text).map_err(malformed)?;
        match its_own_master(&stored, own).map_err(malformed)? {
            None => {
                *made = Some(stored);
                Ok(Change::NotNeeded.into())
            }
            Some(rewritten) => {
                overtaken::save(contexts, &self.plan.stack, &rewritten.to_text(), &document.text, document.revision).await?;
                *made = Some(rewritten);
                Ok(Done::from(Change::Made).saying(format!("it takes its orders from itself, at {own}")))
            }
        }
    }

    async fn started(&self, node: Node) -> Result<(Node, Host), End> {
        let host = node.host().ok_or_else(|| End::Failed(format!("{}: it has no address to connect to", node.name)))?;
        self.step(Some(node.name.clone()), Action::FirstStart, self.first_start(&node, &host)).await?;
        Ok((node, host))
    }

    async fn first_start(&self, node: &Node, host: &Host) -> Stepped {
        let setup = self.ports.update.setup;
        // Whom we have been let in by before has nothing new to say.
        let known = self.ports.host_keys.known(host).await?;
        let printed = self.telling.waited(&node.name, self.printed_keys(node)).await?;
        if !printed.is_empty() {
            self.ports.host_keys.learn(host, &printed).await?;
        }
        self.telling.waited(&node.name, setup.first_start(host, FIRST_START)).await?;
        let written = self.build_vars(host).await?;
        let done = Done::from(if known { written } else { Change::Made });
        Ok(match (known, printed.is_empty()) {
            (true, _) => done,
            (false, true) => done.saying("its host key was learnt on first connect"),
            (false, false) => done.saying("its host key is the one on its console"),
        })
    }

    /// The host keys on the machine's console, where EC2 shows it in time.
    async fn printed_keys(&self, node: &Node) -> PortResult<Vec<SshPublicKey>> {
        let begun = self.telling.now();
        loop {
            let console = self.telling.patiently(async || self.ports.provisioning.console(&node.id).await).await;
            let keys = match console {
                // Whoever may not look at consoles learns the key as with any other machine.
                Err(error) if error.kind != PortErrorKind::Denied => return Err(error),
                Err(_) => return Ok(Vec::new()),
                Ok(console) => console.map(|console| console::host_keys(&console)).unwrap_or_default(),
            };
            if !keys.is_empty() || u128::from(self.telling.millis_since(begun)) >= CONSOLE.as_millis() {
                return Ok(keys);
            }
            self.telling.pause(LOOK_AGAIN).await;
        }
    }

    /// What the user data could not bring, or brought before the address of a master was known.
    async fn build_vars(&self, host: &Host) -> PortResult<Change> {
        let minions = self.ports.update.minions;
        let there = self.telling.patiently(async || minions.read(host).await).await?.build_vars;
        let wanted = match BuildVars::brought_up_to_date(there.as_deref(), &self.context, &host.node) {
            Ok(wanted) => wanted,
            Err(_) => Some(BuildVars::derived(&self.context, &host.node).encode()),
        };
        let Some(wanted) = wanted else { return Ok(Change::NotNeeded) };
        self.telling.patiently(async || minions.write_build_vars(host, &wanted).await).await?;
        Ok(Change::Made)
    }
}

/// All of them, or what kept one of them.
fn all<T>(made: Vec<Result<T, End>>) -> Result<Vec<T>, End> {
    made.into_iter().collect()
}

fn node(name: &NodeName, instance: &Instance, reach: Option<crate::address::HostAddress>) -> Node {
    Node {
        name: name.clone(),
        id: instance.id.clone(),
        state: instance.state,
        private: instance.private.clone(),
        public: instance.public.clone(),
        reach,
        launched: instance.launched,
        evidence: Reading::NotAsked,
        outlook: None,
        woken: false,
    }
}
