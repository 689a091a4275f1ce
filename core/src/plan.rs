//! What has to be done, and what not, and why? A pure function from facts and a request to a plan that leaves no choice open.

use crate::{
    address::MasterAddress,
    difference::{self, Difference},
    event::{Action, LaneNames, Outcome},
    fleet::{ContextFacts, Fleet, HeldKey, InstanceState, Reading, Stack},
    name::{ProjectName, StackName},
    old_keys,
    ports::HighstateMode,
    project::Projects,
    stage::Stage,
    survey::NewMaster,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What to do about stopped nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// Leave their stack out.
    Skip,
    /// Start them, and leave them running.
    Start,
    /// Start them, and stop them again afterwards.
    #[default]
    StartAndStop,
}

/// What to do about a stack that does not answer the new master in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unproven {
    /// Put it back as it was.
    #[default]
    Revert,
    /// Leave it as it is, for somebody to look at.
    Leave,
}

/// How long to wait for a minion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long a minion may take, once it was started, to connect to its master and answer it.
    pub join: Duration,
    /// How long a node waits to be confirmed before it puts itself back; `None` where that follows from the number of
    /// nodes of its stack, which are all confirmed together.
    pub watchdog: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { join: Duration::from_secs(60), watchdog: None }
    }
}

impl Patience {
    /// The longest a minion takes to stop and start, and what a slow network adds.
    const RESTART: Duration = Duration::from_secs(90);

    /// How long a node of a stack waits to be confirmed, where this many nodes are switched one after the other.
    pub fn watchdog_of(&self, nodes: usize) -> Duration {
        let each = (self.join * 2 + Self::RESTART).saturating_mul(u32::try_from(nodes).unwrap_or(u32::MAX));
        self.watchdog.unwrap_or(each)
    }

    /// What is to be said of it: a node would put itself back before it has had its time to join.
    pub fn contradiction(&self) -> Option<String> {
        let (watchdog, join) = (self.watchdog.filter(|watchdog| *watchdog <= self.join)?.as_secs(), self.join.as_secs());
        Some(format!("a node puts itself back after {watchdog} s, before it had its {join} s to join (join-timeout)"))
    }
}

/// Which stacks are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every stack of every EC2 project.
    Fleet,
    /// This one.
    One(StackName),
    /// These.
    These(BTreeSet<StackName>),
}

impl Scope {
    /// Whether that stack is meant.
    pub fn holds(&self, stack: &StackName) -> bool {
        match self {
            Self::Fleet => true,
            Self::One(only) => stack == only,
            Self::These(stacks) => stacks.contains(stack),
        }
    }
}

/// What the operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which stacks.
    pub scope: Scope,
    /// The new master.
    pub master: NewMaster,
    /// Stopped nodes.
    pub stopped: Stopped,
    /// The highstate.
    pub highstate: HighstateMode,
    /// Whether to render it against the new master before anything is switched.
    pub rehearse: bool,
    /// What to do about a stack that does not answer the new master.
    pub unproven: Unproven,
    /// How long to wait.
    pub patience: Patience,
    /// Projects to leave out.
    pub ignored_projects: BTreeSet<ProjectName>,
    /// Stacks to leave out.
    pub ignored_stacks: BTreeSet<StackName>,
}

/// One step, on one node or on the whole stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// The number of the node to do it on; `None` for the stack as a whole.
    pub node: Option<u64>,
}

/// What is to be done about a stack that is not as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Todo {
    /// These steps, in this order.
    Steps {
        /// Why.
        because: Box<[Difference]>,
        /// What.
        steps: Box<[Step]>,
    },
    /// It cannot be done, for this reason; what comes after it in its project is held.
    Blocked(Box<str>),
}

/// A stack in its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub stack: StackName,
    /// What to do.
    pub todo: Todo,
}

impl Entry {
    /// Whether it is known that nothing can be done.
    pub fn is_blocked(&self) -> bool {
        matches!(self.todo, Todo::Blocked(_))
    }
}

/// The stacks of one project, in the order in which they are done. Lanes go side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The project.
    pub project: ProjectName,
    /// Its stacks; prod last.
    pub entries: Vec<Entry>,
}

/// Why a stack is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untouched {
    /// It is as asked for.
    #[error("already on {0}")]
    AlreadyThere(StackName),
    /// Its context or its project has no EC2.
    #[error("no EC2")]
    NoEc2,
    /// It takes orders from nobody.
    #[error("masterless")]
    Masterless,
    /// It has no instance in the region.
    #[error("no instance in {0}")]
    NoInstance(String),
    /// It is a master itself.
    #[error("a master, not a minion")]
    Master,
    /// No project file knows its project.
    #[error("no project file has a project '{0}'")]
    UnknownProject(ProjectName),
    /// The operator or the settings leave it out.
    #[error("ignored by the settings or the command line")]
    Ignored,
    /// It is stopped, and stopped stacks are to be left out.
    #[error("stopped, and stopped=skip")]
    Stopped,
}

impl Untouched {
    /// How that ends for the stack.
    pub fn outcome(&self) -> Outcome {
        if matches!(self, Self::AlreadyThere(_)) { Outcome::AlreadyThere } else { Outcome::Skipped }
    }
    /// Whether there is nothing to do, as opposed to something that is left undone.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::AlreadyThere(_) | Self::NoEc2 | Self::Masterless)
    }
}

/// The whole plan: what is done, in which order, and what is not, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemasterPlan {
    /// The new master.
    pub master: StackName,
    /// Its address.
    pub address: MasterAddress,
    /// What to do about the highstate.
    pub highstate: HighstateMode,
    /// What to do about a stack that does not answer the new master.
    pub unproven: Unproven,
    /// How long to wait.
    pub patience: Patience,
    /// Work, a lane a project, in text order of the projects. No lane is empty.
    pub lanes: Vec<Lane>,
    /// Stacks that are not touched.
    pub untouched: BTreeMap<StackName, Untouched>,
    /// Stacks to be changed whose project file does not name the new address: the team has not been told.
    pub unshared: Vec<StackName>,
    /// Keys that other masters still hold of minions that are on the new one already.
    pub old_keys: BTreeMap<StackName, Vec<HeldKey>>,
}

impl RemasterPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.old_keys.is_empty()
    }
    /// Stacks with steps, in order, a lane a project; lanes without any left out.
    pub fn work(&self) -> Vec<LaneNames> {
        let stacks = |lane: &Lane| lane.entries.iter().filter(|e| matches!(e.todo, Todo::Steps { .. })).map(|e| e.stack.clone()).collect();
        let lanes = self.lanes.iter().map(|lane| LaneNames { project: lane.project.clone(), stacks: stacks(lane) });
        lanes.filter(|lane| !lane.stacks.is_empty()).collect()
    }
    /// Stacks that cannot be done, with the reason.
    pub fn blocked(&self) -> impl Iterator<Item = (&StackName, &str)> {
        self.lanes.iter().flat_map(|lane| &lane.entries).filter_map(|entry| match &entry.todo {
            Todo::Blocked(reason) => Some((&entry.stack, &**reason)),
            Todo::Steps { .. } => None,
        })
    }
}

/// Plans the re-mastering of a surveyed fleet.
///
/// Every stack in scope is in the plan exactly once: in a lane, or untouched with a reason. Planning a finished fleet gives
/// an empty plan.
pub fn plan(fleet: &Fleet, projects: &Projects, request: &Request) -> RemasterPlan {
    let mut plan = RemasterPlan {
        master: request.master.stack.clone(),
        address: request.master.address.clone(),
        highstate: request.highstate,
        unproven: request.unproven,
        patience: request.patience,
        lanes: Vec::new(),
        untouched: BTreeMap::new(),
        unshared: Vec::new(),
        old_keys: BTreeMap::new(),
    };
    let mut settled = Vec::new();
    let mut lanes: BTreeMap<ProjectName, Vec<Entry>> = BTreeMap::new();
    for (name, stack) in fleet.stacks.iter().filter(|(name, _)| request.scope.holds(name)) {
        let judged = judged_by_name(name, projects, request).and_then(|()| judged_by_facts(fleet, stack, request));
        match judged {
            Err(reason) => {
                if matches!(reason, Untouched::AlreadyThere(_)) {
                    settled.extend(settled_of(stack, request));
                }
                plan.untouched.insert(name.clone(), reason);
            }
            Ok(todo) => {
                settled.extend(settled_of(stack, request));
                let shared =
                    projects.shared_master(name, stack.alternate()).is_some_and(|shared| shared == request.master.address.as_str());
                if matches!(todo, Todo::Steps { .. }) && !shared {
                    plan.unshared.push(name.clone());
                }
                lanes.entry(name.project()).or_default().push(Entry { stack: name.clone(), todo });
            }
        }
    }
    plan.old_keys = old_keys::held_elsewhere(fleet, &request.master.stack, &settled);
    plan.lanes = lanes.into_iter().map(|(project, entries)| Lane { project, entries }).collect();
    for lane in &mut plan.lanes {
        lane.entries.sort_by_key(|entry| Stage::of(&entry.stack));
    }
    plan
}

/// The minions of a stack that are on the new master already.
fn settled_of<'a>(stack: &'a Stack, request: &'a Request) -> impl Iterator<Item = old_keys::Identity> + 'a {
    let there = stack
        .nodes
        .iter()
        .filter_map(|node| node.evidence.ok())
        .filter(|evidence| difference::by_evidence(evidence, &request.master, request.highstate).is_empty());
    there.filter_map(old_keys::identity)
}

/// What can be told without looking at the stack. Also decides which stacks a survey need not look at.
///
/// # Errors
/// The reason why it is not touched.
pub fn judged_by_name(name: &StackName, projects: &Projects, request: &Request) -> Result<(), Untouched> {
    let project = name.project();
    if name.is_master() {
        Err(Untouched::Master)
    } else if request.ignored_projects.contains(&project) || request.ignored_stacks.contains(name) {
        Err(Untouched::Ignored)
    } else if projects.get(&project).is_none() {
        Err(Untouched::UnknownProject(project))
    } else if !projects.is_ec2(&project) {
        Err(Untouched::NoEc2)
    } else {
        Ok(())
    }
}

fn judged_by_facts(fleet: &Fleet, stack: &Stack, request: &Request) -> Result<Todo, Untouched> {
    let blocked = |reason: String| Ok(Todo::Blocked(reason.into()));
    let context_right = match &stack.context {
        Reading::Read(ContextFacts::NoEc2) => return Err(Untouched::NoEc2),
        _ if stack.nodes.is_empty() => return Err(Untouched::NoInstance(fleet.region.clone())),
        Reading::Read(ContextFacts::Masterless) => return Err(Untouched::Masterless),
        Reading::Read(facts) => facts.names_only(&request.master.address),
        Reading::Absent => return blocked(format!("no context is stored for it; 'context.history:{}' shows what there was", stack.name)),
        Reading::Unreadable(problem) => {
            return blocked(format!(
                "{problem}; 'context.history:{0}' and 'context.restore:{0},REVISION' bring back an earlier one",
                stack.name
            ));
        }
        Reading::NotAsked => return blocked("its context was not read".into()),
    };
    let mut because = BTreeSet::new();
    let mut switched = Vec::new();
    let (mut starts, mut stops, mut left_out) = (Vec::new(), Vec::new(), false);
    for node in &stack.nodes {
        let number = Some(node.name.number());
        let asleep = node.state != InstanceState::Running;
        let differences = match difference::of(node, &request.master, request.highstate) {
            Ok(differences) => differences,
            Err(reason) => return blocked(reason),
        };
        if asleep && !differences.is_empty() {
            if request.stopped == Stopped::Skip {
                left_out = true;
                continue;
            }
            starts.push(Step { action: Action::Start, node: number });
        }
        if !differences.is_empty() {
            switched.push(number);
        }
        let stop_again = asleep && !differences.is_empty() && node.state != InstanceState::Pending;
        let woken = node.woken && request.stopped != Stopped::Start;
        if woken {
            because.insert(Difference::LeftRunning);
        }
        if (stop_again && request.stopped == Stopped::StartAndStop) || woken {
            stops.push(Step { action: Action::Stop, node: number });
        }
        because.extend(differences);
    }
    if left_out && !stack.nodes.iter().any(|node| node.state == InstanceState::Running) {
        return Err(Untouched::Stopped);
    }
    if !context_right {
        because.insert(Difference::Context);
    }
    if because.is_empty() && left_out {
        return Err(Untouched::Stopped);
    }
    if because.is_empty() {
        return Err(Untouched::AlreadyThere(request.master.stack.clone()));
    }
    let steps = [starts, steps(context_right, &switched, request), stops].concat();
    Ok(Todo::Steps { because: because.into_iter().collect(), steps: steps.into() })
}

/// What moves these nodes of a stack: everything that changes nothing on them comes first; then each is switched and proven,
/// one after the other; only when all of them are is any of them confirmed, so that a stack joins or reverts as a whole.
fn steps(context_right: bool, nodes: &[Option<u64>], request: &Request) -> Vec<Step> {
    let on_each =
        |actions: &'static [Action]| nodes.iter().flat_map(move |node| actions.iter().map(|action| Step { action: *action, node: *node }));
    let mut steps: Vec<Step> = on_each(&[Action::Examine]).collect();
    steps.extend(on_each(&[Action::Introduce]));
    if request.rehearse {
        steps.extend(on_each(&[Action::Rehearse]));
    }
    if !context_right {
        steps.push(Step { action: Action::RewriteContext, node: None });
    }
    steps.extend(on_each(&[Action::Repoint, Action::Prove]));
    steps.extend(on_each(&[Action::Confirm]));
    if request.highstate != HighstateMode::None {
        steps.extend(on_each(&[Action::Highstate]));
    }
    steps
}
