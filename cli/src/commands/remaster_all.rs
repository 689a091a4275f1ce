//! `master.remaster`, `master.remaster_all`: survey, plan, show, confirm, execute.

use super::{
    Session,
    fleet_lock::Held,
    named,
    plan_view::PlanView,
    watched::{Work, code_of, ended, run_id, watched},
};
use crate::{
    exit::{Code, Exit},
    request::{How, Remaster, Stops},
    screen::{Format, line::counted},
    settings::Settings,
    wiring::Ports,
};
use bldr_core::{
    event::Outcome,
    execute::{self, Run, RunReport},
    fleet::{Fleet, Stack, Timestamp},
    limit::{Chosen, Limit},
    name::{ProjectName, StackName},
    pace::Pacing,
    plan::{self, RemasterPlan, Request, Scope, Untouched, judged_by_name},
    ports::Operator,
    project::Projects,
    soundness,
    stage::Stage,
    survey::{self, Depth, MasterRefusal, NewMaster, new_master},
};
use std::collections::BTreeSet;

/// What a run is made from.
struct Prepared {
    fleet: Fleet,
    projects: Projects,
    master: NewMaster,
    plan: RemasterPlan,
    view: PlanView,
}

/// Does it. The lock is held from before the world is looked at: what was planned is what is there.
///
/// # Errors
/// Whatever keeps it from being begun. How it ended for each stack is in the events and the code.
pub async fn remaster(request: &Remaster, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    if request.how.plan_only {
        let prepared = prepared(request, ports, session).await?;
        session.screen.result(|| prepared.view.text(), &prepared.view);
        let nothing_to_do = prepared.plan.is_empty();
        let refusal = unshared(request, &prepared).or_else(|| pacing(request, &prepared, session).err().filter(|_| !nothing_to_do));
        if let Some(exit) = refusal {
            session.screen.note(&format!("this would be refused: {exit}"));
        }
        return Ok(Code::Done);
    }
    let held = Held::take(&ports.stores, session).await?;
    held.during(session.screen.clone(), under_the_lock(request, ports, session)).await
}

/// The same, for who holds the lock.
pub(super) async fn under_the_lock(request: &Remaster, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let prepared = prepared(request, ports, session).await?;
    let stage = pause_before(request, &session.place.settings);
    let beyond = |stops: Stops| {
        let stops = Stops { pause_before: Some(None), ..stops };
        Remaster { how: How { stops, ..request.how.clone() }, ..request.clone() }
    };
    let mut stacks = prepared.plan.lanes.iter().flat_map(|lane| &lane.entries).map(|entry| Stage::of(&entry.stack)).peekable();
    if let Some(stage) = stage
        && session.terminal.has_somebody()
        && stacks.peek().is_some()
        && stacks.all(|of| of >= stage)
    {
        session.screen.note(&format!("nothing is left to be done before {stage}"));
        let rest = beyond(request.how.stops.clone());
        return ended(&run(&rest, &prepared, "nothing was changed", ports, session).await?, session);
    }
    let report = run(request, &prepared, "nothing was changed", ports, session).await?;
    let Some(stage) = stage else { return ended(&report, session) };
    let waits = |(stack, outcome): (&StackName, &Outcome)| *outcome == Outcome::Held && Stage::of(stack) >= stage;
    let waiting = report.outcomes.iter().filter(|stack| waits(*stack)).count();
    let code = code_of(&report)?;
    if waiting == 0 || code == Code::Interrupted {
        return ended(&report, session);
    }
    if !session.terminal.has_somebody() {
        let all_else_went_well = report.outcomes.iter().all(|stack| stack.1.is_success() || waits(stack));
        let code = if all_else_went_well { code } else { ended(&report, session)? };
        let (waiting, wait) = (counted(waiting, "stack"), if waiting == 1 { "waits" } else { "wait" });
        session.screen.note(&format!("paused before {stage}: {waiting} {wait}; the same with pause_before=none goes on"));
        return Ok(code);
    }
    session.screen.note(&format!("paused before {stage}: the fleet is looked at again"));
    // With the contexts of all that waits; they are read anew.
    drop(prepared);
    let rest = beyond(Stops { canary: Some(None), ..request.how.stops.clone() });
    let prepared = self::prepared(&rest, ports, session).await?;
    ended(&run(&rest, &prepared, "what was moved before stays", ports, session).await?, session)
}

async fn prepared(request: &Remaster, ports: &Ports, session: &Session) -> Result<Prepared, Exit> {
    let settings = &session.place.settings;
    let sources = ports.sources(&session.place);
    let (listed, projects) = futures::join!(survey::list(&sources), ports.stores.shared.projects());
    let (mut fleet, projects) = (listed.map_err(Exit::blind)?, projects?);
    named::some_project(&projects)?;
    if let Scope::One(stack) = &request.scope {
        named::stack(&fleet, stack)?;
    }
    for name in named_in_vain(settings, &fleet, &projects) {
        session.screen.note(&format!("warning: settings.yaml ignores '{name}', and there is no such thing"));
    }
    if let Some(contradiction) = request.how.patience.contradiction() {
        session.screen.note(&format!("warning: {contradiction}"));
    }
    let master = master(&fleet, request, ports).await?;
    let wanted = Request {
        scope: request.limit.as_ref().map_or_else(|| Ok(request.scope.clone()), |limit| limited(limit, &fleet, session))?,
        master: master.clone(),
        stopped: request.how.stopped.unwrap_or(settings.stopped),
        highstate: request.how.highstate.unwrap_or(settings.highstate),
        rehearse: request.how.rehearse,
        unproven: request.how.unproven,
        patience: request.how.patience,
        ignored_projects: settings.ignore.projects.clone(),
        ignored_stacks: settings.ignore.stacks.clone(),
    };
    survey::deepen(&mut fleet, &sources, Some(&master.address), |stack| {
        // The other masters may hold keys of minions that have left them.
        if stack.is_master() && *stack != master.stack {
            return Depth::Nodes;
        }
        if wanted.scope.holds(stack) && judged_by_name(stack, &projects, &wanted).is_ok() { Depth::Nodes } else { Depth::Listed }
    })
    .await;
    let plan = plan::plan(&fleet, &projects, &wanted);
    soundness::check(&plan, &fleet)
        .map_err(|unsound| Exit::refused(format!("the plan is unsound, which is a fault of bldr: {unsound}")))?;
    let view = PlanView::of(&plan, &fleet, request.limit.as_ref());
    Ok(Prepared { fleet, projects, master, plan, view })
}

/// The stacks that answer to a limit.
fn limited(limit: &Limit, fleet: &Fleet, session: &Session) -> Result<Scope, Exit> {
    let Chosen { stacks, in_vain } = limit.chosen(fleet);
    // A slip that would let through what was to be kept out, or keep out what was meant.
    let of_an_instance = |term: &&String| fleet.stacks.keys().any(|stack| stack.instance_str() == term.trim_start_matches("not:"));
    if let Some(term) = in_vain.iter().find(of_an_instance) {
        let (not, instance) = term.strip_prefix("not:").map_or(("", term.as_str()), |instance| ("not:", instance));
        return Err(Exit::refused(format!("limit: there is no project '{instance}', and '{not}instance:{instance}' is another choice"))
            .line("nothing was changed; `bldr help master.remaster_all` says what a limit may be"));
    }
    if stacks.is_empty() {
        return Err(Exit::refused(format!("limit={limit}: there is no such stack with a master in {}", fleet.region))
            .line("nothing was changed; `bldr stacks` lists them, `bldr help master.remaster_all` says what a limit may be"));
    }
    for term in in_vain {
        session.screen.note(&format!("warning: limit: no stack answers to '{term}'"));
    }
    Ok(Scope::These(stacks))
}

/// What the settings would leave out and nobody has: probably a slip of the pen, and then something is not left out.
fn named_in_vain<'a>(settings: &'a Settings, fleet: &Fleet, projects: &Projects) -> Vec<&'a str> {
    let stacks = settings.ignore.stacks.iter().filter(|stack| !fleet.stacks.contains_key(stack)).map(StackName::as_str);
    let projects = settings.ignore.projects.iter().filter(|project| projects.get(project).is_none()).map(ProjectName::as_str);
    projects.chain(stacks).collect()
}

/// The new master, looked up and asked for its key.
pub(super) async fn master(fleet: &Fleet, request: &Remaster, ports: &Ports) -> Result<NewMaster, Exit> {
    refused_or(new_master(fleet, &request.master, request.address.as_ref(), &*ports.masters).await, fleet)
}

/// A refusal of the new master as an ending; an unknown one with the nearest that is known.
pub(super) fn refused_or<T>(answer: Result<T, MasterRefusal>, fleet: &Fleet) -> Result<T, Exit> {
    answer.map_err(|refusal| match refusal {
        MasterRefusal::NoKey { problem, .. } => Exit::from(problem).line("it cannot take over; nothing was changed"),
        MasterRefusal::Unknown(name, region) => {
            let masters = fleet.masters();
            let guess = crate::nearest::did_you_mean(name.as_str(), masters.iter().map(|master| master.name.as_str()));
            Exit::refused(format!("there is no {name} in {region}{guess}"))
                .line("nothing was changed; `bldr master.list` lists the masters")
        }
        other => Exit::refused(other.to_string()).line("nothing was changed; `bldr master.list` lists the masters"),
    })
}

/// Why it is refused, where the team has not been told of the new address.
fn unshared(request: &Remaster, prepared: &Prepared) -> Option<Exit> {
    let Prepared { fleet, projects, plan, .. } = prepared;
    let first = plan.unshared.first().filter(|_| !request.how.allow_unshared)?;
    let more = plan.unshared.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" (nor for {more} more)") };
    let address = request.address.as_ref().map(|address| format!(",address={address}")).unwrap_or_default();
    let problem =
        format!("the project files do not name {} as the master's address for {first}{more}: the team has not been told", plan.address);
    let mut exit = Exit::refused(problem).line("nothing was changed");
    let has_its_own = |stack: &&StackName| projects.names_its_own_master(stack, fleet.stacks.get(*stack).and_then(Stack::alternate));
    if !plan.unshared.iter().all(|stack| has_its_own(&stack)) {
        exit = exit.line(format!("`bldr master.share:{}{address}` shares it in the defaults of the project files", plan.master));
    }
    let own: BTreeSet<_> = plan.unshared.iter().filter(has_its_own).map(StackName::project).collect();
    if !own.is_empty() {
        let own: Vec<_> = own.iter().map(ProjectName::as_str).collect();
        let have = if own.len() == 1 { "has" } else { "have" };
        exit = exit.line(format!(
            "{} {have} an `aws.ec2.master_ip` of their own, or an alternate of theirs has: change it there by hand",
            own.join(", ")
        ));
    }
    Some(exit.line("allow_unshared=yes goes on without"))
}

/// Why there is nothing to run, although not everything is as asked for.
fn nothing_to_run(request: &Remaster, prepared: &Prepared) -> Option<Exit> {
    if prepared.view.stacks() == 0 && prepared.view.blocked().next().is_some() {
        let reasons: Vec<_> = prepared.view.blocked().collect();
        return Some(Exit::refused(reasons.join("\n")).line("nothing was changed"));
    }
    let Scope::One(stack) = &request.scope else { return None };
    let why = prepared.plan.untouched.get(stack).filter(|why| !why.is_done())?;
    Some(Exit::refused(format!("{stack} is not re-mastered: {why}")).line("nothing was changed"))
}

/// Where a run is to stop by itself: as was typed; else, where everything is re-mastered, as the team has settled it.
fn settled<T: Clone>(request: &Remaster, typed: Option<&Option<T>>, settled: Option<&T>) -> Option<T> {
    let settled = settled.filter(|_| request.scope == Scope::Fleet);
    typed.map_or(settled, Option::as_ref).cloned()
}

fn pause_before(request: &Remaster, settings: &Settings) -> Option<Stage> {
    settled(request, request.how.stops.pause_before.as_ref(), settings.pause_before.as_ref())
}

/// How fast, and where it is to stop, as far as that can be: the canary has to be in the plan or done, the window open.
fn pacing(request: &Remaster, prepared: &Prepared, session: &Session) -> Result<Pacing, Exit> {
    let (stops, settings) = (&request.how.stops, &session.place.settings);
    let until = match settled(request, stops.window.as_ref(), settings.window.as_ref()) {
        None => None,
        Some(window) => {
            let now = jiff::Zoned::now();
            let over = window.over(&now).ok_or_else(|| {
                let problem = format!("it is {}, and the window is {window}", now.strftime("%H:%M (%Z)"));
                Exit::refused(problem).line("nothing was changed; window=none goes on at any time")
            })?;
            Some(Timestamp(over.timestamp().as_millisecond()))
        }
    };
    Ok(Pacing {
        jobs: request.how.jobs.unwrap_or(settings.jobs as usize),
        canary: canary(request, prepared, session)?,
        max_failures: settled(request, stops.max_failures.as_ref(), settings.max_failures.as_ref()),
        pause_before: pause_before(request, settings),
        until,
    })
}

/// The stack that goes first, where it can.
fn canary(request: &Remaster, prepared: &Prepared, session: &Session) -> Result<Option<StackName>, Exit> {
    let typed = request.how.stops.canary.as_ref();
    let Some(canary) = settled(request, typed, session.place.settings.canary.as_ref()) else { return Ok(None) };
    named::stack(&prepared.fleet, &canary)?;
    let entries = prepared.plan.lanes.iter().flat_map(|lane| &lane.entries);
    let why = match prepared.plan.untouched.get(&canary) {
        // One that nothing is done about says nothing of the new master, unless it is there already.
        Some(Untouched::AlreadyThere(_)) => return Ok(Some(canary)),
        Some(why) => why.to_string(),
        None if entries.map(|entry| &entry.stack).any(|stack| *stack == canary) => return Ok(Some(canary)),
        // One that the settings name is for runs that have it.
        None if typed.is_none() => {
            session.screen.note(&format!("{canary}, the canary of settings.yaml, is not among these stacks: no other one goes first"));
            return Ok(None);
        }
        None => "it is not among the stacks that are meant".into(),
    };
    Err(Exit::refused(format!("{canary} cannot be the canary: {why}")).line("nothing was changed; canary=none goes on without"))
}

/// `left` is what is so where the operator declines.
async fn run(request: &Remaster, prepared: &Prepared, left: &str, ports: &Ports, session: &mut Session) -> Result<RunReport, Exit> {
    if let Some(exit) = nothing_to_run(request, prepared) {
        return Err(exit);
    }
    if let Some(exit) = unshared(request, prepared) {
        return Err(exit);
    }
    let pacing = pacing(request, prepared, session)?;
    if !matches!(request.scope, Scope::One(_)) && !prepared.plan.is_empty() {
        if session.screen.format() == Format::Text {
            session.screen.note(&prepared.view.text());
        }
        let question = match prepared.view.stacks() {
            0 => "Remove these old keys?".to_owned(),
            stacks => format!("Re-master {} to {}?", counted(stacks, "stack"), prepared.plan.master),
        };
        session.terminal.confirm_or_leave(&question, left).await?;
    }
    let run = Run {
        id: run_id(ports.stores.clock.now()),
        cloud: session.place.settings.cloud.name().into(),
        command: session.typed.clone(),
        allow_unshared: request.how.allow_unshared && !prepared.plan.unshared.is_empty(),
        master: prepared.master.clone(),
        pacing,
        addresses: session.place.settings.addresses(),
    };
    let execute = async |operator: &dyn Operator| execute::execute(&prepared.plan, &prepared.fleet, &run, &ports.of_a_run(operator)).await;
    watched(Work::Stacks(&run.id), &ports.stores, session, execute).await
}
