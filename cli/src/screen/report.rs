//! What does a run look like on a page that can be sent to the team? One file, without anything from the network.

use super::{
    line::{self, counted, duration, rfc3339},
    summary::totals,
};
use bldr_core::{
    event::{Action, Outcome},
    fleet::Timestamp,
    name::{ProjectName, StackName},
    record::{RunRecord, RunStanding, StackRecord, StepEnd, StepRecord},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::BTreeMap;

const STYLE: &str = include_str!("report.css");

/// How every page begins.
pub const PAGE: &str = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>bldr run ";

/// The page of a run.
pub fn page(run: &RunRecord, standing: RunStanding) -> String {
    let time = Time::of(run);
    let title = format!("bldr run {}", run.id);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (heading(run, standing))
                (attention(run, standing))
                (timeline(run, standing, &time))
                (paces(run))
                (table(run, standing))
            }
        }
    }
    .into_string()
}

/// The span that is drawn, in milliseconds.
struct Time {
    from: i64,
    length: i64,
}

impl Time {
    fn of(run: &RunRecord) -> Self {
        Self { from: run.began.0, length: (run.last.0 - run.began.0).max(1) }
    }
    /// How far along that is, in percent.
    #[expect(clippy::cast_precision_loss, reason = "it is a place on a page")]
    fn at(&self, time: Timestamp) -> f64 {
        ((time.0 - self.from) as f64 * 100.0 / self.length as f64).clamp(0.0, 100.0)
    }
    fn place(&self, from: Timestamp, to: Timestamp) -> String {
        let (left, right) = (self.at(from), self.at(to));
        // What takes no time is still to be seen.
        format!("left:{left:.3}%;width:max({:.3}%,2px)", right - left)
    }
    /// A mark at every round time, six of them or so.
    fn marks(&self) -> Vec<(f64, String)> {
        const ROUND: [i64; 16] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200];
        let wanted = self.length / 1000 / 6;
        let step = 1000 * ROUND.into_iter().find(|step| *step >= wanted).unwrap_or(86_400);
        let marks = (0..=self.length / step).map(|number| number * step);
        marks.map(|millis| (self.at(Timestamp(self.from + millis)), round(millis))).collect()
    }
}

fn round(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 if seconds % 60 == 0 => format!("{} min", seconds / 60),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
    }
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.0 - from.0).unwrap_or(0)
}

fn heading(run: &RunRecord, standing: RunStanding) -> Markup {
    let stands = match standing {
        RunStanding::Ended => "ended",
        RunStanding::GoingOn => "goes on",
        RunStanding::CutShort => "was cut short",
    };
    let outcomes: Vec<_> = run.stacks.values().filter_map(|stack| stack.outcome).collect();
    let left = run.stacks.len() - outcomes.len();
    html! {
        header {
            h1 { "Run " (run.id) }
            p.command { code { (run.command) } }
            dl {
                @if let (Some(master), Some(address)) = (&run.master, &run.address) {
                    div { dt { "New master" } dd { (master) " at " (address) @if run.allow_unshared { " (not shared)" } } }
                }
                div { dt { "Began" } dd { (rfc3339(run.began)) } }
                div { dt { "Took" } dd { (duration(millis(run.began, run.last))) ", " (stands) } }
                div { dt { "Stacks" } dd { (totals(&outcomes)) @if left > 0 { ", " (left) (if standing == RunStanding::GoingOn { " left" } else { " without an end" }) } } }
            }
        }
    }
}

/// What somebody has to look at: what failed, what was put back, what was not done, what nobody knows.
fn attention(run: &RunRecord, standing: RunStanding) -> Markup {
    let wrong: Vec<_> = run.stacks.iter().filter(|(_, stack)| stack.outcome.is_some_and(|outcome| !outcome.is_success())).collect();
    let is_left = |stack: &StackRecord| standing != RunStanding::GoingOn && stack.outcome.is_none() && stack.began.is_none();
    let unbegun: Vec<_> = run.stacks.iter().filter(|(_, stack)| is_left(stack)).collect();
    let open: Vec<_> = if standing == RunStanding::CutShort { run.open_steps().collect() } else { Vec::new() };
    if wrong.is_empty() && open.is_empty() && unbegun.is_empty() && run.warnings.is_empty() {
        let so_far = if standing == RunStanding::GoingOn {
            "So far nothing failed, and nothing was put back."
        } else {
            "Nothing failed, nothing was put back, and nothing was left undone."
        };
        return html! { p.well { (so_far) } };
    }
    html! {
        section {
            h2 { "To be looked at" }
            ul.attention {
                @for (name, stack) in wrong {
                    li {
                        b { (name) } " "
                        @if let Some(outcome) = stack.outcome { span class={ "mark " (mark(outcome)) } { (outcome) } }
                        @if let Some(reason) = &stack.reason { ": " (reason) }
                    }
                }
                @for (name, step) in open {
                    li { b { (place(name, step)) } " " span.mark.doubtful { "doubtful" } ": " (step.action.doing()) " began at "
                        (rfc3339(step.began)) ", and nobody knows how it ended" }
                }
                @if !unbegun.is_empty() {
                    li { span.mark.held { "not begun" } ": " (unbegun.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")) }
                }
                @for warning in &run.warnings { li { span.mark.warned { "warning" } ": " (warning) } }
            }
        }
    }
}

fn place(stack: &StackName, step: &StepRecord) -> String {
    step.node.as_ref().map_or_else(|| stack.to_string(), ToString::to_string)
}

/// A bar a stack, in lanes by project, in the order in which they were to be done.
fn timeline(run: &RunRecord, standing: RunStanding, time: &Time) -> Markup {
    let mut lanes: BTreeMap<ProjectName, Vec<&StackName>> = BTreeMap::new();
    for lane in &run.lanes {
        lanes.entry(lane.project.clone()).or_default().extend(&lane.stacks);
    }
    // What could not even be planned stands before what it holds.
    let planned = |name: &&StackName| run.lanes.iter().any(|lane| lane.stacks.contains(name));
    let wrong = run.stacks.iter().filter(|(_, stack)| stack.outcome.is_some_and(|outcome| !outcome.is_success()));
    for name in wrong.map(|(name, _)| name).filter(|name| !planned(name)) {
        lanes.entry(name.project().clone()).or_default().insert(0, name);
    }
    if lanes.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Time line" }
            p.legend { @for (class, what) in LEGEND { span { i class=(class) {} (what) } } }
            div.chart {
                div.row.axis {
                    span {}
                    div.track { @for (at, label) in time.marks() { span.tick style=(format!("left:{at:.3}%")) { (label) } } }
                }
                @for (project, stacks) in lanes {
                    h3 { (project) " " small { (counted(stacks.len(), "stack")) } }
                    @for (name, stack) in stacks.into_iter().filter_map(|name| Some((name, run.stacks.get(name)?))) {
                        (bar(name, stack, standing, run.last, time))
                    }
                }
            }
        }
    }
}

/// Why it was no faster.
fn paces(run: &RunRecord) -> Markup {
    if run.paces.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Pace" }
            ul.paces { @for pace in &run.paces { li { (rfc3339(pace.at)) ": " (line::pace(pace.limit, pace.why.as_deref())) } } }
        }
    }
}

/// The classes of steps, and what each is called.
const LEGEND: [(&str, &str); 7] = [
    ("look", "looking, introducing"),
    ("context", "context"),
    ("machine", "machine"),
    ("switch", "switching"),
    ("prove", "proving"),
    ("highstate", "highstate"),
    ("back", "putting back"),
];

fn class(action: Action) -> &'static str {
    match action {
        Action::Examine | Action::Introduce | Action::Rehearse => "look",
        Action::SaveContext | Action::RewriteContext | Action::RemoveContext => "context",
        Action::KeyPair
        | Action::SecurityGroup
        | Action::Run
        | Action::Start
        | Action::FirstStart
        | Action::Install
        | Action::Remove
        | Action::Stop => "machine",
        Action::Enlist | Action::Repoint | Action::Refresh | Action::Sweep => "switch",
        Action::Prove | Action::Confirm => "prove",
        Action::Highstate => "highstate",
        Action::Revert | Action::RestoreContext | Action::ProveOld | Action::Keep => "back",
    }
}

fn bar(name: &StackName, stack: &StackRecord, standing: RunStanding, last: Timestamp, time: &Time) -> Markup {
    html! {
        div.row {
            span.name title=(name) { (name) }
            div.track {
                @if let Some(began) = stack.began {
                    span.whole style=(time.place(began, stack.ended.unwrap_or(last))) {}
                } @else {
                    span.none { (stack.outcome.map_or_else(|| without_end(standing, stack).to_owned(), |outcome| outcome.to_string())) }
                }
                @for step in &stack.steps { (drawn(step, last, time)) }
            }
            @if let Some(outcome) = stack.outcome { span class={ "mark " (mark(outcome)) } { (outcome) } }
            @else { span class={ "mark " (if standing == RunStanding::GoingOn { "there" } else { "doubtful" }) } { (without_end(standing, stack)) } }
        }
    }
}

fn drawn(step: &StepRecord, last: Timestamp, time: &Time) -> Markup {
    let (ended, how) = match &step.ended {
        None => (last, "open"),
        Some((at, StepEnd::Failed { .. })) => (*at, "failed"),
        Some((at, StepEnd::Well { .. })) => (*at, ""),
    };
    let node = step.node.as_ref().map(|node| format!("node {}: ", node.number())).unwrap_or_default();
    let told = format!("{node}{}, {}{}", step.action.doing(), duration(millis(step.began, ended)), outcome_of(step));
    html! { span class={ "step " (class(step.action)) " " (how) } style=(time.place(step.began, ended)) title=(told) {} }
}

fn outcome_of(step: &StepRecord) -> String {
    match &step.ended {
        None => ", without an end".into(),
        Some((_, StepEnd::Failed { reason, .. })) => format!(", failed: {reason}"),
        Some((_, StepEnd::Well { detail, .. })) => detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default(),
    }
}

fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Remastered | Outcome::Launched | Outcome::Updated | Outcome::Destroyed => "done",
        Outcome::AlreadyThere | Outcome::Skipped => "there",
        Outcome::Failed => "failed",
        Outcome::RolledBack => "reverted",
        Outcome::Held | Outcome::Interrupted => "held",
    }
}

/// What is told of a stack of which no end is recorded.
fn without_end(standing: RunStanding, stack: &StackRecord) -> &'static str {
    match (standing, stack.began) {
        (RunStanding::GoingOn, Some(_)) => "in work",
        (RunStanding::GoingOn, None) => "waits",
        (_, Some(_)) => "cut short",
        (_, None) => "not begun",
    }
}

fn table(run: &RunRecord, standing: RunStanding) -> Markup {
    html! {
        section {
            h2 { "Every stack" }
            table {
                thead { tr { th { "Stack" } th { "Outcome" } th { "Was on" } th { "Took" } th { "Steps" } th { "Why" } } }
                tbody {
                    @for (name, stack) in &run.stacks {
                        tr {
                            td { (name) }
                            td {
                                @match stack.outcome {
                                    Some(outcome) => span class={ "mark " (mark(outcome)) } { (outcome) },
                                    None => span class={ "mark " (if standing == RunStanding::GoingOn { "there" } else { "doubtful" }) } { (without_end(standing, stack)) },
                                }
                            }
                            td { (stack.was.as_ref().map(ToString::to_string).unwrap_or_default()) }
                            td.number { (stack.began.zip(stack.ended).map(|(from, to)| duration(millis(from, to))).unwrap_or_default()) }
                            td.number { @if !stack.steps.is_empty() { (stack.steps.len()) } }
                            td { (stack.reason.as_deref().unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}
