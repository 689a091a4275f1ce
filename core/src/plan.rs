//! What has to be done, and what not, and why? A pure function from facts and a request to a plan that leaves no choice open.

use crate::{
    address::MasterAddress,
    event::{Action, LaneNames, Outcome},
    fleet::{ContextFacts, Evidence, Fleet, InstanceState, KeyFingerprint, Node, Reading, Stack},
    name::{ProjectName, StackName},
    ports::HighstateMode,
    project::Projects,
    stage::Stage,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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

/// Which stacks are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every stack of every EC2 project.
    Fleet,
    /// This one.
    One(StackName),
}

/// What the operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which stacks.
    pub scope: Scope,
    /// The new master.
    pub master: StackName,
    /// What minions are to know it by.
    pub address: MasterAddress,
    /// The key they are to trust.
    pub key: KeyFingerprint,
    /// Stopped nodes.
    pub stopped: Stopped,
    /// The highstate.
    pub highstate: HighstateMode,
    /// Projects to leave out.
    pub ignored_projects: BTreeSet<ProjectName>,
    /// Stacks to leave out.
    pub ignored_stacks: BTreeSet<StackName>,
}

/// One thing that differs from what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The context names another master.
    Context,
    /// Build vars name another master.
    BuildVars,
    /// The minion's configuration names another master.
    Configuration,
    /// The minion trusts another key, or none.
    TrustedKey,
    /// The minion was repointed and no highstate has succeeded since.
    HighstateDue,
    /// A node is stopped and cannot be asked.
    Asleep,
    /// A node was started by an earlier run and not stopped again.
    LeftRunning,
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
    /// Work, a lane a project, in text order of the projects. No lane is empty.
    pub lanes: Vec<Lane>,
    /// Stacks that are not touched.
    pub untouched: BTreeMap<StackName, Untouched>,
    /// Stacks to be changed whose project file does not name the new address: the team has not been told.
    pub unshared: Vec<StackName>,
}

impl RemasterPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
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
        master: request.master.clone(),
        address: request.address.clone(),
        highstate: request.highstate,
        lanes: Vec::new(),
        untouched: BTreeMap::new(),
        unshared: Vec::new(),
    };
    let mut lanes: BTreeMap<ProjectName, Vec<Entry>> = BTreeMap::new();
    let in_scope = |name: &&StackName| match &request.scope {
        Scope::Fleet => true,
        Scope::One(only) => *name == only,
    };
    for (name, stack) in fleet.stacks.iter().filter(|(name, _)| in_scope(name)) {
        let judged = judged_by_name(name, projects, request).and_then(|()| judged_by_facts(fleet, stack, request));
        match judged {
            Err(reason) => drop(plan.untouched.insert(name.clone(), reason)),
            Ok(todo) => {
                let shared = projects.shared_master(name).is_some_and(|shared| shared == request.address.as_str());
                if matches!(todo, Todo::Steps { .. }) && !shared {
                    plan.unshared.push(name.clone());
                }
                lanes.entry(name.project()).or_default().push(Entry { stack: name.clone(), todo });
            }
        }
    }
    plan.lanes = lanes.into_iter().map(|(project, entries)| Lane { project, entries }).collect();
    for lane in &mut plan.lanes {
        lane.entries.sort_by_key(|entry| Stage::of(&entry.stack));
    }
    plan
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
        Reading::Read(facts) => facts.names_only(&request.address),
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
    let mut steps = Vec::new();
    if !context_right {
        because.insert(Difference::Context);
        steps.push(Step { action: Action::RewriteContext, node: None });
    }
    let (mut starts, mut left_out) = (Vec::new(), false);
    for node in &stack.nodes {
        let number = Some(node.name.number());
        let asleep = node.state != InstanceState::Running;
        let differences = match differences(node, request) {
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
            let actions = [Action::RefreshBuildVars, Action::Repoint, Action::Highstate];
            let actions = actions.into_iter().filter(|a| *a != Action::Highstate || request.highstate != HighstateMode::None);
            steps.extend(actions.map(|action| Step { action, node: number }));
        }
        let stop_again = asleep && !differences.is_empty() && node.state != InstanceState::Pending;
        let woken = node.woken && request.stopped != Stopped::Start;
        if woken {
            because.insert(Difference::LeftRunning);
        }
        if (stop_again && request.stopped == Stopped::StartAndStop) || woken {
            steps.push(Step { action: Action::Stop, node: number });
        }
        because.extend(differences);
    }
    if left_out && !stack.nodes.iter().any(|node| node.state == InstanceState::Running) {
        return Err(Untouched::Stopped);
    }
    if steps.is_empty() {
        return Err(Untouched::AlreadyThere(request.master.clone()));
    }
    // What cannot be started is left as it was: its context is rewritten only once its nodes are up.
    starts.extend(steps);
    Ok(Todo::Steps { because: because.into_iter().collect(), steps: starts.into() })
}

/// What differs on a node; an error where that cannot be told.
fn differences(node: &Node, request: &Request) -> Result<Vec<Difference>, String> {
    match &node.evidence {
        Reading::Read(evidence) => match &evidence.build_vars {
            Ok(_) => Ok(differing(evidence, request)),
            Err(problem) => Err(format!("{}: {problem}; 'buildvars.fix:{}' regenerates them", node.name, node.name.stack())),
        },
        _ if node.state != InstanceState::Running => Ok(vec![Difference::Asleep]),
        Reading::Unreadable(problem) => Err(problem.to_string()),
        Reading::Absent => Err(format!("{}: it says nothing of its master", node.name)),
        Reading::NotAsked if node.reach.is_none() => Err(format!("{}: it has no address to connect to", node.name)),
        Reading::NotAsked => Err(format!("{}: it was not asked", node.name)),
    }
}

/// What differs from what was asked for, by what the node says of itself.
fn differing(evidence: &Evidence, request: &Request) -> Vec<Difference> {
    let build_vars = evidence.build_vars.as_ref().is_ok_and(|master| master.as_ref() == Some(&request.address));
    let facts = [
        (Difference::BuildVars, !build_vars),
        (Difference::Configuration, evidence.configured.as_deref() != Some(request.address.as_str())),
        (Difference::TrustedKey, evidence.trusted != Some(request.key)),
        (Difference::HighstateDue, evidence.highstate_due && request.highstate == HighstateMode::Apply),
    ];
    facts.into_iter().filter(|(_, differs)| *differs).map(|(difference, _)| difference).collect()
}
