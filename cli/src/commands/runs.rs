//! `runs`, `run.show`, `run.watch`, `run.report`, `run.resume`: what was done, how far did it get, and how does it go on?

use super::{
    Session,
    watched::{Work, code_of, watched},
};
use crate::{
    args::{self, Invocation},
    exit::{Code, Exit},
    meant,
    request::{Request, RunTask},
    screen::{
        line::{self, counted, duration, rfc3339},
        report::{PAGE, page},
        summary::totals,
        table::Table,
    },
    wiring::Stores,
};
use bldr_core::{
    address::MasterAddress,
    event::{Outcome, RunId},
    execute::RunReport,
    fleet::Timestamp,
    name::StackName,
    ports::{Holding, Operator, Position, Record},
    record::{RunRecord, RunStanding, StackRecord, StepEnd, StepRecord},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    path::Path,
    time::Duration,
};
use tempfile::NamedTempFile;

/// How many runs are listed where not all of them are asked for.
const NEWEST: usize = 20;
/// How often a run that goes on is looked at.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct RunsView<'a> {
    runs: Vec<RunView<'a>>,
}

/// One run, as `runs` and `run.show` tell of it.
#[derive(Serialize)]
struct RunView<'a> {
    run: &'a RunId,
    standing: RunStanding,
    /// Whether it was cut short by its operator.
    stopped: bool,
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    master: Option<&'a StackName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a MasterAddress>,
    began: String,
    last: String,
    millis: u64,
    outcomes: BTreeMap<&'a StackName, Option<Outcome>>,
    doubtful: Vec<StepView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepView<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reasons: BTreeMap<&'a StackName, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    was: BTreeMap<&'a StackName, &'a MasterAddress>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paces: Vec<PaceView<'a>>,
}

#[derive(Serialize)]
struct PaceView<'a> {
    at: String,
    limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

#[derive(Serialize)]
struct StepView<'a> {
    stack: &'a StackName,
    node: Option<u64>,
    action: bldr_core::event::Action,
    began: String,
    millis: Option<u64>,
    failed: Option<&'a str>,
}

/// Does it.
///
/// # Errors
/// A run that is not recorded, or whose record cannot be read.
pub async fn run(task: &RunTask, stores: &Stores, session: &Session) -> Result<Code, Exit> {
    match task {
        RunTask::List { all } => list(*all, stores, session).await,
        RunTask::Show { run, stack } => show(&read(run, stores).await?, stack.as_ref(), session),
        RunTask::Watch(run) => watch(run, stores, session).await,
        RunTask::Report { run, to } => report(&read(run, stores).await?, to, session),
    }
}

/// A run that was read, and how it stands.
pub(super) struct Read {
    pub(super) record: RunRecord,
    pub(super) standing: RunStanding,
}

async fn list(all: bool, stores: &Stores, session: &Session) -> Result<Code, Exit> {
    let runs = stores.journal.runs().await?;
    let older = if all { 0 } else { runs.len().saturating_sub(NEWEST) };
    let mut read_runs = Vec::new();
    let holder = holder(stores).await?;
    for run in &runs[older..] {
        match one(run, &runs, holder.as_ref(), stores).await {
            Ok(run) => read_runs.push(run),
            Err(exit) => session.screen.note(&format!("warning: {}", exit.message)),
        }
    }
    let view = RunsView { runs: read_runs.iter().map(|run| RunView::of(run, |_| false)).collect() };
    let text = || {
        let mut table = Table::new(["RUN", "BEGAN", "TOOK", "HOW", "WHAT"]);
        for run in &read_runs {
            let (record, took) = (&run.record, duration(millis(run.record.began, run.record.last)));
            table.row([record.id.to_string(), record.began.to_string(), took, standing(run), record.command.clone()]);
        }
        table.to_string()
    };
    session.screen.result(text, &view);
    if older > 0 {
        session.screen.note(&format!("{older} older ones are left out; `bldr runs:all=yes` lists them too"));
    }
    Ok(Code::Done)
}

/// The run of this name, of this beginning or end of a name, or the `last`.
///
/// # Errors
/// None or several that could be meant.
async fn found(wanted: &str, stores: &Stores) -> Result<(RunId, Vec<RunId>), Exit> {
    let runs = stores.journal.runs().await?;
    let refuse = |problem: String| Exit::refused(problem).line("`bldr runs` lists them");
    if wanted == "last" {
        let last = runs.last().cloned().ok_or_else(|| refuse("nothing has been run yet".into()))?;
        return Ok((last, runs));
    }
    let meant: Vec<_> = runs.iter().filter(|run| run.0 == wanted).collect();
    let like = || runs.iter().filter(|run| run.0.starts_with(wanted) || run.0.ends_with(wanted)).collect();
    let meant: Vec<_> = if meant.is_empty() { like() } else { meant };
    match meant[..] {
        [only] => Ok((only.clone(), runs)),
        [] => Err(refuse(format!("there is no run '{wanted}'"))),
        _ => Err(refuse(format!("'{wanted}' is part of the names of {}", counted(meant.len(), "run")))),
    }
}

/// Reads the run that is meant.
pub(super) async fn read(wanted: &str, stores: &Stores) -> Result<Read, Exit> {
    let (run, runs) = found(wanted, stores).await?;
    one(&run, &runs, holder(stores).await?.as_ref(), stores).await
}

/// Runs before this one that moved other stacks to the same master, the newest first, and how many each: what was paused, cut short
/// or had failures is several runs. What was moved before a run to another master is another story.
pub(super) async fn others_of(run: &RunRecord, stores: &Stores) -> Result<Vec<(RunId, usize)>, Exit> {
    let runs = stores.journal.runs().await?;
    let mut known: BTreeSet<StackName> = run.moved().into_values().flatten().collect();
    let mut others = Vec::new();
    for id in runs.iter().rev().skip_while(|id| **id != run.id).skip(1).take(NEWEST) {
        // A record that cannot be read is told by `runs`.
        let Some(record) = stores.journal.read(id).await.ok().and_then(|records| RunRecord::of(id, &records)) else { continue };
        let moved: Vec<StackName> = record.moved().into_values().flatten().collect();
        if !moved.is_empty() && record.master != run.master {
            break;
        }
        let more = moved.into_iter().filter(|stack| known.insert(stack.clone())).count();
        if more > 0 {
            others.push((id.clone(), more));
        }
    }
    Ok(others)
}

/// Who holds the lock. Asked before a run is read: whoever gives it back has recorded the end of theirs.
async fn holder(stores: &Stores) -> Result<Option<Holding>, Exit> {
    Ok(stores.lock.owner().await?)
}

async fn one(run: &RunId, runs: &[RunId], holder: Option<&Holding>, stores: &Stores) -> Result<Read, Exit> {
    let record = begun(run, &stores.journal.read(run).await?)?;
    let standing = record.standing(holder, runs.last() == Some(run), stores.clock.now());
    Ok(Read { record, standing })
}

fn begun(run: &RunId, records: &[Record]) -> Result<RunRecord, Exit> {
    RunRecord::of(run, records).ok_or_else(|| {
        Exit::refused(format!("run {run}: its record has no beginning: it was cut off before it began anything; type it again"))
    })
}

fn show(run: &Read, stack: Option<&StackName>, session: &Session) -> Result<Code, Exit> {
    let record = &run.record;
    if let Some(stack) = stack.filter(|stack| !record.stacks.contains_key(stack)) {
        return Err(Exit::refused(format!("run {} had nothing to do with {stack}", record.id)).line("`bldr run.show:RUN` lists its stacks"));
    }
    let of_it = |name: &StackName| stack.is_none_or(|stack| stack == name);
    let text = || {
        let mut text = heading(run);
        let mut table = Table::new(["STACK", "OUTCOME", "TOOK", "WAS ON", "REASON"]);
        for (name, stack) in record.stacks.iter().filter(|(name, _)| of_it(name)) {
            let was = stack.was.as_ref().map(ToString::to_string).unwrap_or_default();
            table.row([name.to_string(), outcome(run, stack), took(stack), was, stack.reason.clone().unwrap_or_default()]);
        }
        text.push_str(&table.to_string());
        text.push_str(&steps(run, stack));
        if !record.paces.is_empty() && stack.is_none() {
            text.push('\n');
        }
        for pace in record.paces.iter().filter(|_| stack.is_none()) {
            let _ = writeln!(text, "{} {}", pace.at, line::pace(pace.limit, pace.why.as_deref()));
        }
        text
    };
    session.screen.result(text, &RunView::of(run, |name| stack == Some(name)));
    for line in next(run) {
        session.screen.note(&line);
    }
    Ok(Code::Done)
}

fn heading(run: &Read) -> String {
    let record = &run.record;
    let to = match (&record.master, &record.address) {
        (Some(master), Some(address)) => format!(", to {master} at {address}"),
        _ => String::new(),
    };
    let unshared = if record.allow_unshared { ", although that address was not shared" } else { "" };
    let took = duration(millis(record.began, record.last));
    format!("{}: {}{to}{unshared}\nbegan {}, {took}: {}\n", record.id, record.command, record.began, standing(run))
}

/// The steps of one stack; of all of them, those of which nobody knows the end, and those that failed.
fn steps(run: &Read, stack: Option<&StackName>) -> String {
    let mut table = Table::new(["STACK", "NODE", "STEP", "BEGAN", "TOOK", "HOW"]);
    for (name, record) in run.record.stacks.iter().filter(|(name, _)| stack.is_none_or(|stack| stack == *name)) {
        let telling = |step: &&StepRecord| stack.is_some() || !matches!(step.ended, Some((_, StepEnd::Well { .. })));
        for step in record.steps.iter().filter(telling) {
            let node = step.node.as_ref().map(|node| node.number().to_string()).unwrap_or_default();
            let took = step.ended.as_ref().map(|(at, _)| duration(millis(step.began, *at))).unwrap_or_default();
            let how = how(run.standing, step);
            table.row([name.to_string(), node, step.action.doing().into(), step.began.to_string(), took, how]);
        }
    }
    if table.is_empty() { String::new() } else { format!("\n{table}") }
}

fn how(standing: RunStanding, step: &StepRecord) -> String {
    use bldr_core::ports::Change;
    match &step.ended {
        None if standing == RunStanding::GoingOn => "in work".into(),
        None => "doubtful: it began, and nobody knows how it ended".into(),
        Some((_, StepEnd::Failed { reason, .. })) => format!("failed: {reason}"),
        Some((_, StepEnd::Well { detail: Some(detail), .. })) => detail.clone(),
        Some((_, StepEnd::Well { change: Change::NotNeeded, .. })) => "was so already".into(),
        Some((_, StepEnd::Well { .. })) => "done".into(),
    }
}

fn outcome(run: &Read, stack: &StackRecord) -> String {
    match (stack.outcome, stack.began, run.standing) {
        (Some(outcome), ..) => outcome.to_string(),
        (None, Some(_), RunStanding::GoingOn) => "in work".into(),
        (None, None, RunStanding::GoingOn) => "waits".into(),
        (None, Some(_), _) => "cut short".into(),
        (None, None, _) => "not begun".into(),
    }
}

fn took(stack: &StackRecord) -> String {
    stack.began.zip(stack.ended).map(|(began, ended)| duration(millis(began, ended))).unwrap_or_default()
}

/// `14 re-mastered`, or how far it got.
fn standing(run: &Read) -> String {
    let mut outcomes: Vec<_> = run.record.stacks.values().filter_map(|stack| stack.outcome).collect();
    let left = run.record.stacks.len() - outcomes.len();
    if run.standing != RunStanding::Ended {
        // How far it got is a matter of what there was to do.
        let untouched = |stack: &&StackRecord| stack.began.is_none() && stack.outcome.is_some_and(Outcome::is_success);
        outcomes = run.record.stacks.values().filter(|stack| !untouched(stack)).filter_map(|stack| stack.outcome).collect();
    }
    match run.standing {
        RunStanding::Ended => totals(&outcomes),
        RunStanding::GoingOn if outcomes.is_empty() => format!("goes on: {left} left"),
        RunStanding::GoingOn => format!("goes on: {}, {left} left", totals(&outcomes)),
        RunStanding::CutShort => {
            let done = if outcomes.is_empty() { String::new() } else { format!("{}, ", totals(&outcomes)) };
            let doubtful = run.record.open_steps().count();
            let doubtful = if doubtful == 0 { String::new() } else { format!(", {} doubtful", counted(doubtful, "step")) };
            let how = if run.record.stopped { "stopped at once" } else { "cut short" };
            format!("{how}: {done}{left} unfinished{doubtful}")
        }
    }
}

/// What to type next.
fn next(run: &Read) -> Vec<String> {
    let id = &run.record.id;
    let mut lines = Vec::new();
    if run.standing == RunStanding::GoingOn {
        lines.push(format!("`bldr run.watch:{id}` shows it while it goes on"));
    }
    let all_well = || run.record.stacks.values().all(|stack| stack.outcome.is_some_and(Outcome::is_success));
    match run.standing {
        RunStanding::CutShort => {
            lines.push(format!("`bldr run.resume:{id}` finishes it: what is done is left alone, what is doubtful is looked at"));
        }
        RunStanding::Ended if !all_well() => {
            lines.push(format!("`bldr run.resume:{id}` does the same again: what is done is left alone"));
        }
        RunStanding::Ended | RunStanding::GoingOn => {}
    }
    if run.standing != RunStanding::GoingOn && !run.record.moved().is_empty() {
        lines.push(format!("`bldr master.rollback:{id}` moves back what it moved"));
    }
    lines
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.0 - from.0).unwrap_or(0)
}

impl<'a> RunView<'a> {
    fn of(run: &'a Read, with_steps: impl Fn(&StackName) -> bool) -> Self {
        let record = &run.record;
        let step = |(stack, step): (&'a StackName, &'a StepRecord)| StepView {
            stack,
            node: step.node.as_ref().map(bldr_core::name::NodeName::number),
            action: step.action,
            began: rfc3339(step.began),
            millis: step.ended.as_ref().map(|(at, _)| millis(step.began, *at)),
            failed: match &step.ended {
                Some((_, StepEnd::Failed { reason, .. })) => Some(reason),
                _ => None,
            },
        };
        let steps = record.stacks.iter().filter(|(name, _)| with_steps(name));
        Self {
            run: &record.id,
            standing: run.standing,
            stopped: record.stopped,
            command: &record.command,
            master: record.master.as_ref(),
            address: record.address.as_ref(),
            began: rfc3339(record.began),
            last: rfc3339(record.last),
            millis: millis(record.began, record.last),
            outcomes: record.stacks.iter().map(|(name, stack)| (name, stack.outcome)).collect(),
            doubtful: if run.standing == RunStanding::CutShort { record.open_steps().map(step).collect() } else { Vec::new() },
            steps: steps.flat_map(|(name, stack)| stack.steps.iter().map(move |step| (name, step))).map(step).collect(),
            reasons: record.stacks.iter().filter_map(|(name, stack)| Some((name, stack.reason.as_deref()?))).collect(),
            was: record.stacks.iter().filter_map(|(name, stack)| Some((name, stack.was.as_ref()?))).collect(),
            warnings: &record.warnings,
            paces: record.paces.iter().map(|pace| PaceView { at: rfc3339(pace.at), limit: pace.limit, why: pace.why.as_deref() }).collect(),
        }
    }
}

#[derive(Serialize)]
struct ReportView<'a> {
    file: String,
    #[serde(flatten)]
    run: RunView<'a>,
}

/// Writes its page, whole or not at all.
fn report(run: &Read, to: &Path, session: &Session) -> Result<Code, Exit> {
    let file = if to.is_dir() { to.join(format!("{}.html", run.record.id)) } else { to.to_owned() };
    if fs::symlink_metadata(&file).is_ok() && !is_a_page(&file) {
        let problem = format!("{} is there, and is no page of a run", file.display());
        return Err(Exit::refused(problem).line("it was left as it is; name another file"));
    }
    let cannot = |error: std::io::Error| Exit::new(Code::Failed, format!("{} cannot be written: {error}", file.display()));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = NamedTempFile::with_prefix_in(".bldr-", folder).map_err(cannot)?;
    new.write_all(page(&run.record, run.standing).as_bytes()).and_then(|()| new.as_file().sync_all()).map_err(cannot)?;
    new.persist(&file).map_err(|error| cannot(error.error))?;
    let shown = file.display().to_string();
    session.screen.result(|| format!("{shown}\n"), &ReportView { file: shown.clone(), run: RunView::of(run, |_| true) });
    Ok(Code::Done)
}

/// Whether that is a page of some run, which another one may take the place of.
fn is_a_page(file: &Path) -> bool {
    let mut begin = vec![0; PAGE.len()];
    // What is no file may have no end, or no beginning.
    fs::metadata(file).is_ok_and(|about| about.is_file())
        && fs::File::open(file).and_then(|mut file| file.read_exact(&mut begin)).is_ok()
        && begin == PAGE.as_bytes()
}

/// Shows a run as who began it sees it, until it ends. Each look asks for who holds the lock, and for what is new.
async fn watch(wanted: &str, stores: &Stores, session: &Session) -> Result<Code, Exit> {
    let (id, runs) = found(wanted, stores).await?;
    let newest = runs.last() == Some(&id);
    let followed = async |operator: &dyn Operator| {
        let (mut position, mut seen) = (Position::default(), None);
        loop {
            let holder = holder(stores).await?;
            let (new, next) = stores.journal.read_on(&id, position).await?;
            position = next;
            new.iter().for_each(|record| operator.notify(record));
            let record = match seen.take() {
                None => begun(&id, &new)?,
                Some(seen) => new.iter().fold(seen, RunRecord::heard),
            };
            let standing = record.standing(holder.as_ref(), newest, stores.clock.now());
            if standing != RunStanding::GoingOn || operator.interrupted() {
                return Ok::<_, Exit>(Read { record, standing });
            }
            seen = Some(record);
            stores.clock.sleep(LOOK).await;
        }
    };
    let run: Read = watched(Work::Another, stores, session, followed).await??;
    match run.standing {
        RunStanding::Ended => {
            let outcomes = run.record.stacks.iter().filter_map(|(name, stack)| Some((name.clone(), stack.outcome?))).collect();
            code_of(&RunReport { outcomes, ..RunReport::default() })
        }
        RunStanding::GoingOn => Ok(Code::Interrupted),
        RunStanding::CutShort => {
            session.screen.note(&format!("run {id} was {}", standing(&run)));
            next(&run).iter().for_each(|line| session.screen.note(line));
            Ok(Code::Failed)
        }
    }
}

/// What to carry out so that a run that was cut short is finished: the same as was typed then.
///
/// # Errors
/// A run that goes on, that has nothing left to do, or that cannot be understood any more.
pub async fn resumed(wanted: &str, stores: &Stores, session: &mut Session) -> Result<Request, Exit> {
    let run = read(wanted, stores).await?;
    let (id, command) = (&run.record.id, &run.record.command);
    let all_well = || run.record.stacks.values().all(|stack| stack.outcome.is_some_and(Outcome::is_success));
    match run.standing {
        RunStanding::GoingOn => return Err(Exit::refused(format!("run {id} goes on")).line(format!("`bldr run.watch:{id}` shows it"))),
        RunStanding::Ended if all_well() => {
            return Err(Exit::refused(format!("run {id} has nothing left to do: {}", standing(&run))).line("nothing was changed"));
        }
        RunStanding::Ended | RunStanding::CutShort => {}
    }
    let again = || Exit::refused(format!("run {id} was `{command}`, which cannot be taken up by its record")).line("type it again");
    let words = shell_words::split(command).map_err(|_| again())?.into_iter().skip(1).map(Into::into);
    let Ok(Invocation::Task(given)) = args::parse(words) else { return Err(again()) };
    let request = meant::meant(&given, &mut session.terminal).map_err(|_| again())?;
    session
        .screen
        .note(&format!("run {id} was `{command}`: the same again, which leaves alone what is done; with other options it has to be typed"));
    session.typed.clone_from(command);
    Ok(request)
}
