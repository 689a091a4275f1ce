//! `launch`: is there to be a new stack? What it takes is shown, made, and brought up to date.

use super::{
    Session,
    fleet_lock::Held,
    named, update,
    watched::{run_of, watched},
};
use crate::{
    exit::{Code, Exit},
    interrupt::Work,
    nearest::did_you_mean,
    operator, request,
    screen::table::Table,
    wiring::Ports,
};
use bldr_core::{
    address::MasterAddress,
    context::Context,
    error::PortErrorKind,
    fleet::{ContextFacts, Fleet, Node},
    launch::{self, Launch, LaunchError, LaunchPlan, Refusal, There},
    name::{ProjectName, StackName},
    ports::{ContextStore, Operator},
    project::Projects,
    status,
    update::Update,
};
use serde::Serialize;

/// Launches a stack, or goes on with a launch that was cut short.
///
/// # Errors
/// Whatever keeps it from being begun; nothing has been made then. How it ended is in the events and the code.
pub async fn launch(wanted: &request::Launch, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    if wanted.plan_only {
        let (_, plan) = planned(wanted, ports, session).await?;
        let view = PlanView::of(&plan);
        session.screen.result(|| view.text(), &view);
        return Ok(Code::Done);
    }
    let held = Held::take(&ports.stores, session).await?;
    let ended = made(wanted, ports, session).await;
    held.release(session, ended).await
}

async fn made(wanted: &request::Launch, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let (fleet, plan) = planned(wanted, ports, session).await?;
    let update = Update { new: true, ..update::of(&plan.stack, ports, session).await? };
    let run = run_of(session, ports.stores.clock.now());
    let work = async |operator: &dyn Operator| launch::launch(&plan, &update, &fleet, &run, &ports.of_a_launch(operator)).await;
    update::told(&watched(Work::Steps, session, work).await, session)
}

async fn planned(wanted: &request::Launch, ports: &Ports, session: &Session) -> Result<(Fleet, LaunchPlan), Exit> {
    let (fleet, projects) = futures::join!(update::listed(ports, session), ports.stores.shared.projects());
    let (fleet, projects) = (fleet?, projects?);
    named::some_project(&projects)?;
    let stack = &wanted.stack;
    let master = master(stack, &fleet, &projects, session)?;
    let author = operator::user();
    let launch = Launch {
        projects: &projects,
        stack,
        alternate: wanted.alternate.as_deref(),
        master: master.as_ref(),
        author: &author,
        now: ports.stores.clock.now(),
    };
    let contexts = &*ports.stores.contexts;
    let unique = launch.is_unique().map_err(|error| refused(error.into(), &projects))?;
    let there = There {
        context: match contexts.load(stack).await {
            Err(error) if error.kind == PortErrorKind::NotFound => None,
            answer => Some(answer.map_err(Exit::blind)?),
        },
        begun: ports.stores.launches.begun(stack).await?,
        belongings: ports.provisioning.found(stack).await.map_err(Exit::blind)?,
        siblings: if unique { siblings(stack, &fleet, contexts).await? } else { Vec::new() },
    };
    let plan = launch::plan(&launch, &fleet, there).map_err(|error| refused(error, &projects))?;
    reachable_master(&plan, &fleet)?;
    Ok((fleet, plan))
}

/// The master whose minion it will be: the one the project files name, else the one in charge.
fn master(stack: &StackName, fleet: &Fleet, projects: &Projects, session: &Session) -> Result<Option<MasterAddress>, Exit> {
    let meant = status::meant(fleet, projects, stack, session.place.settings.master.as_ref());
    let node = meant.and_then(|meant| fleet.stacks.get(meant)).and_then(|master| master.running().or(master.nodes.first()));
    let address = node.and_then(|node| node.private.as_ref()).and_then(|address| address.as_str().parse().ok());
    // An address that no master here has is the team's word all the same; where it leads nowhere, that is said below.
    if projects.shared_master(stack).is_some_and(|shared| fleet.master_at(&shared).is_none()) { Ok(None) } else { Ok(address) }
}

/// The contexts of the other stacks of its project.
///
/// # Errors
/// One that cannot be read may have the alternate.
async fn siblings(stack: &StackName, fleet: &Fleet, contexts: &dyn ContextStore) -> Result<Vec<(StackName, Context)>, Exit> {
    let mut found = Vec::new();
    for name in fleet.stacks.keys().filter(|name| *name != stack && name.project() == stack.project()) {
        match contexts.load(name).await {
            Err(error) if error.kind == PortErrorKind::NotFound => {}
            answer => {
                let text = answer.map_err(Exit::blind)?.text;
                let unread = |error| Exit::refused(format!("{name}: its context cannot be read, and it may have that alternate: {error}"));
                found.push((name.clone(), Context::parse(&text).map_err(unread)?));
            }
        }
    }
    Ok(found)
}

/// Nothing is made for a minion that would find no master.
fn reachable_master(plan: &LaunchPlan, fleet: &Fleet) -> Result<(), Exit> {
    let facts = plan.context.facts().map_err(|error| Exit::refused(format!("{}: {error}", plan.stack)).line("nothing was made"))?;
    let ContextFacts::Mastered { masters } = facts else { return Ok(()) };
    let refuse = |problem: String| Exit::refused(problem).line("nothing was made; `bldr master.list` lists the masters");
    if plan.stack.is_master() {
        return Ok(());
    }
    let [address] = &masters[..] else {
        return Err(refuse(format!("{}: its context names {} masters, and has to name one", plan.stack, masters.len())));
    };
    if address.parse::<std::net::IpAddr>().is_err() {
        return Ok(());
    }
    match fleet.master_at(address) {
        None => Err(refuse(format!("the project files name {address} as the master's address, and no master of {} has it", fleet.region))),
        Some(master) if master.running().and_then(Node::host).is_none() => {
            Err(refuse(format!("its master {} does not run", master.name)).line(format!("`bldr start:{}` starts it", master.name)))
        }
        Some(_) => Ok(()),
    }
}

fn refused(refusal: Refusal, projects: &Projects) -> Exit {
    let exit = Exit::refused(refusal.to_string());
    match refusal {
        Refusal::Exists(stack) => exit.line(format!("nothing was changed; `bldr update:{stack}` brings it up to date")),
        Refusal::Elsewhere { stack, .. } => exit.line(format!(
            "nothing was made; AWS_REGION or `region` names another region? `bldr context.show:{stack}` shows what is stored"
        )),
        Refusal::OtherAlternate { .. } => {
            exit.line("nothing more was made; the same as before goes on with it, `bldr destroy:STACK` removes what there is")
        }
        Refusal::Foreign(stack, _) => exit.line(format!("nothing was made; `bldr stacks` shows {stack}")),
        Refusal::Project(LaunchError::NoProject(project)) => {
            let guess = did_you_mean(project.as_str(), projects.ec2_projects().into_iter().map(ProjectName::as_str));
            Exit::refused(format!("{}{guess}", exit.message)).line("nothing was made")
        }
        _ => exit.line("nothing was made"),
    }
}

#[derive(Serialize)]
struct PlanView<'a> {
    stack: &'a StackName,
    master: Option<String>,
    context: &'static str,
    key_pair: &'static str,
    security_group: &'static str,
    open: Vec<String>,
    machines: Vec<MachineView<'a>>,
}

#[derive(Serialize)]
struct MachineView<'a> {
    node: String,
    made: bool,
    ami: &'a str,
    instance_type: &'a str,
    subnet: Option<&'a str>,
    root_volume_gib: Option<u64>,
}

impl<'a> PlanView<'a> {
    fn of(plan: &'a LaunchPlan) -> Self {
        let there = |there: bool| if there { "there" } else { "new" };
        let master = match plan.context.facts() {
            Ok(ContextFacts::Mastered { .. }) if plan.stack.is_master() => Some("itself".into()),
            Ok(ContextFacts::Mastered { masters }) => masters.first().map(ToString::to_string),
            _ => None,
        };
        let port = |port: &launch::OpenPort| {
            let range = if port.from == port.to { port.from.to_string() } else { format!("{}-{}", port.from, port.to) };
            format!("{range}/{} for {}", port.protocol, port.cidr)
        };
        let machines = plan.machines.iter().map(|(number, machine)| MachineView {
            node: plan.stack.node(*number).to_string(),
            made: plan.has(*number),
            ami: &machine.ami,
            instance_type: &machine.instance_type,
            subnet: machine.subnet.as_deref(),
            root_volume_gib: machine.root_volume_gib,
        });
        Self {
            stack: &plan.stack,
            master,
            context: there(plan.stored.is_some()),
            key_pair: there(plan.found.key_pair.is_some()),
            security_group: there(!plan.found.security_groups.is_empty()),
            open: plan.open.iter().map(port).collect(),
            machines: machines.collect(),
        }
    }

    fn text(&self) -> String {
        let mut table = Table::new(["WHAT", "NAME", "STATE", "HOW"]);
        let stack = self.stack.as_str();
        let master = self.master.as_ref().map_or("no master".into(), |master| format!("master {master}"));
        table.row(["context".into(), stack.into(), self.context.to_owned(), master]);
        table.row(["key pair".into(), stack.into(), self.key_pair.to_owned(), String::new()]);
        let open = if self.open.is_empty() { "nothing is open".into() } else { self.open.join(", ") };
        table.row(["security group".into(), stack.into(), self.security_group.to_owned(), open]);
        for machine in &self.machines {
            let subnet = machine.subnet.map_or("the default network".into(), |subnet| format!("in {subnet}"));
            let root = machine.root_volume_gib.map(|gib| format!(", {gib} GiB")).unwrap_or_default();
            let how = format!("{} from {} {subnet}{root}", machine.instance_type, machine.ami);
            let there = if machine.made { "there" } else { "new" };
            table.row(["machine".into(), machine.node.clone(), there.to_owned(), how]);
        }
        table.to_string()
    }
}
