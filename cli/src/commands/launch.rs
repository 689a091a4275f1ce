//! `launch`: is there to be a new stack? What it takes is shown, made, and brought up to date.

use super::{
    Session,
    fleet_lock::Held,
    named, update,
    watched::{Work, run_of, watched},
};
use crate::{
    exit::{Code, Exit},
    nearest::did_you_mean,
    operator, request,
    screen::table::Table,
    wiring::Ports,
};
use bldr_core::{
    address::MasterAddress,
    context::Context,
    error::PortErrorKind,
    fleet::{ContextFacts, Fleet},
    json::Object,
    launch::{self, ItsMaster, Launch, LaunchError, LaunchPlan, Refusal, There},
    name::{ProjectName, StackName},
    ports::{ContextStore, Expected, Operator},
    project::Projects,
    salt_version::SaltVersion,
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
        let planned = planned(wanted, ports, session).await?;
        let view = PlanView::of(&planned);
        session.screen.result(|| view.text(), &view);
        return Ok(Code::Done);
    }
    let held = Held::take(&ports.stores, session).await?;
    held.during(session.screen.clone(), made(wanted, ports, session)).await
}

async fn made(wanted: &request::Launch, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let Planned { fleet, plan, update, .. } = planned(wanted, ports, session).await?;
    let run = run_of(session, ports.stores.clock.now());
    let work = async |operator: &dyn Operator| launch::launch(&plan, &update, &fleet, &run, &ports.of_a_launch(operator)).await;
    update::told(&watched(Work::Steps(&run.id), &ports.stores, session, work).await?, session)
}

/// What there is, what will be made, and what will be done with it.
struct Planned {
    fleet: Fleet,
    plan: LaunchPlan,
    update: Update,
    /// The Salt of its machines, where their image has none.
    salt: Option<SaltVersion>,
}

async fn planned(wanted: &request::Launch, ports: &Ports, session: &Session) -> Result<Planned, Exit> {
    let (fleet, projects) = futures::join!(update::listed(ports, session), ports.stores.shared.projects());
    let (fleet, projects) = (fleet?, projects?);
    named::some_project(&projects)?;
    let stack = &wanted.stack;
    let master = master(wanted, &fleet, &projects, session)?;
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
    let master = plan.master(&fleet).map_err(|error| refused(error, &projects))?;
    let salt = if plan.has_all() { None } else { salt(&plan, master.as_ref(), ports, &projects).await? };
    let update = Update { new: true, ..update::of(stack, ports, session).await? };
    Ok(Planned { fleet, plan, update, salt })
}

/// The Salt of its machines, with regard to that of their master.
async fn salt(plan: &LaunchPlan, master: Option<&ItsMaster>, ports: &Ports, projects: &Projects) -> Result<Option<SaltVersion>, Exit> {
    let asked = match master {
        None => None,
        Some(master) => {
            Some((&master.name, ports.masters.read(&master.host).await.map_err(|error| Exit::from(error).line("nothing was made"))?))
        }
    };
    let asked = asked.as_ref().map(|(name, standing)| (*name, standing));
    plan.salt(asked).map_err(|error| refused(error, projects))
}

/// The master whose minion it will be: the one the project files name, else the one in charge.
fn master(wanted: &request::Launch, fleet: &Fleet, projects: &Projects, session: &Session) -> Result<Option<MasterAddress>, Exit> {
    let (stack, alternate) = (&wanted.stack, wanted.alternate.as_deref());
    let meant = status::meant(fleet, projects, stack, alternate, session.place.settings.master.as_ref());
    let node = meant.and_then(|meant| fleet.stacks.get(meant)).and_then(|master| master.running().or(master.nodes.first()));
    let address = node.and_then(|node| node.private.as_ref()).and_then(|address| address.as_str().parse().ok());
    // An address that no master here has is the team's word all the same; where it leads nowhere, that is said below.
    if projects.shared_master(stack, alternate).is_some_and(|shared| fleet.master_at(&shared).is_none()) { Ok(None) } else { Ok(address) }
}

/// The contexts of the other stacks of its project.
///
/// # Errors
/// One that cannot be read may have the alternate.
async fn siblings(stack: &StackName, fleet: &Fleet, contexts: &dyn ContextStore) -> Result<Vec<(StackName, Context)>, Exit> {
    let mut found = Vec::new();
    for name in fleet.stacks.keys().filter(|name| *name != stack && name.project() == stack.project()) {
        match contexts.load(name).await {
            // What says nothing has the alternate that it is named after.
            Err(error) if error.kind == PortErrorKind::NotFound => found.push((name.clone(), Object::default().into())),
            answer => {
                let text = answer.map_err(Exit::blind)?.text;
                let unread = |error| Exit::refused(format!("{name}: its context cannot be read, and it may have that alternate: {error}"));
                found.push((name.clone(), Context::parse(&text).map_err(unread)?));
            }
        }
    }
    Ok(found)
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
        Refusal::Context { stack, .. } => exit.line(format!(
            "nothing was made; `bldr context.history:{stack}` lists earlier ones, `bldr context.restore:{stack},REVISION` brings one back"
        )),
        Refusal::Masters { .. } | Refusal::NoMaster { .. } => exit.line("nothing was made; `bldr master.list` lists the masters"),
        Refusal::MasterDown(master) => exit.line(format!("nothing was made; `bldr start:{master}` starts it")),
        Refusal::MasterSilent { master, .. } => exit.line(format!("nothing was made; `bldr master.doctor:{master}` looks at it")),
        Refusal::Salt { .. } => exit.line("nothing was made; `salt` in the project file says which it shall have"),
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
    salt: Option<String>,
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
    fn of(planned: &'a Planned) -> Self {
        let plan = &planned.plan;
        let there = |there: bool| if there { "there" } else { "new" };
        let master = match plan.context.facts() {
            Ok(ContextFacts::Mastered { .. }) if plan.stack.is_master() => Some("itself".into()),
            Ok(ContextFacts::Mastered { masters, .. }) => masters.first().map(ToString::to_string),
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
            salt: planned.salt.as_ref().map(ToString::to_string),
            context: match plan.save {
                None => "there",
                Some(Expected::Absent) => "new",
                Some(Expected::Revision(_)) => "rewritten",
            },
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
        let salt = self.salt.as_ref().map(|salt| format!(", Salt {salt}")).unwrap_or_default();
        table.row(["context".into(), stack.into(), self.context.to_owned(), master + &salt]);
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
