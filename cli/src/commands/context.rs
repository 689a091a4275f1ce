//! `context.show`, `.history`, `.diff`, `.restore`: what does the store hold for a stack, and what did it hold before?

use super::{Session, fleet_lock::Held, named};
use crate::{
    exit::{Code, Exit},
    request::ContextTask,
    screen::{embedded::embedded, line::rfc3339, table::Table},
    wiring::Stores,
};
use bldr_core::{
    context::Context,
    error::PortErrorKind,
    fleet::{ContextFacts, Timestamp},
    json::{self, Value},
    name::StackName,
    ports::{Expected, Replaced, Revision},
};
use serde::Serialize;
use serde_json::value::RawValue;
use similar::TextDiff;

#[derive(Serialize)]
struct ShowView<'a> {
    stack: &'a StackName,
    revision: &'a Revision,
    context: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct HistoryView<'a> {
    stack: &'a StackName,
    current: Option<StateView>,
    history: Vec<StateView>,
}

#[derive(Serialize)]
struct StateView {
    revision: Revision,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    master_ip: Option<String>,
    #[serde(skip)]
    replaced: Option<Timestamp>,
}

#[derive(Serialize)]
struct DiffView<'a> {
    stack: &'a StackName,
    from: &'a Revision,
    to: &'a Revision,
    diff: &'a str,
}

#[derive(Serialize)]
struct RestoreView<'a> {
    stack: &'a StackName,
    restored: &'a Revision,
    revision: &'a Revision,
    changed: bool,
}

/// Does it.
///
/// # Errors
/// Unknown stacks and revisions, those of the store, and a declined confirmation.
pub async fn run(stack: &StackName, task: &ContextTask, stores: &Stores, session: &mut Session) -> Result<Code, Exit> {
    match task {
        ContextTask::Show => show(stack, stores, session).await,
        ContextTask::History => history(stack, stores, session).await,
        ContextTask::Diff(revision) => diff(stack, revision.as_deref(), stores, session).await,
        ContextTask::Restore(revision) => {
            let held = Held::take(stores, session).await?;
            held.during(session.screen.clone(), restore(stack, revision, stores, session)).await
        }
    }
}

async fn show(stack: &StackName, stores: &Stores, session: &Session) -> Result<Code, Exit> {
    let document = named::context(&*stores.contexts, stack).await?;
    let parsed = json::parse(&document.text);
    let view = ShowView {
        stack,
        revision: &document.revision,
        problem: parsed.as_ref().err().map(ToString::to_string),
        context: parsed.ok().as_ref().map(embedded),
    };
    session.screen.result(|| format!("{}\n", document.text), &view);
    Ok(Code::Done)
}

async fn history(stack: &StackName, stores: &Stores, session: &Session) -> Result<Code, Exit> {
    let replaced = stores.contexts.history(stack).await?;
    // Where the history is all there is, a context that is gone can be seen and restored; else the name is wrong.
    let current = match named::context(&*stores.contexts, stack).await {
        Err(_) if !replaced.is_empty() => None,
        document => Some(document?).map(|d| StateView { master_ip: master_of(&d.text), revision: d.revision, at: None, replaced: None }),
    };
    let mut history = Vec::with_capacity(replaced.len());
    for Replaced { revision, at } in replaced {
        let text = stores.contexts.replaced(stack, &revision).await?;
        history.push(StateView { revision, at: Some(rfc3339(at)), master_ip: master_of(&text), replaced: Some(at) });
    }
    let view = HistoryView { stack, current, history };
    let text = || {
        let mut table = Table::new(["REVISION", "REPLACED", "MASTER"]);
        for state in view.history.iter().chain(&view.current) {
            let at = state.replaced.map_or_else(|| "(current)".into(), |at| at.to_string());
            table.row([state.revision.0.clone(), at, state.master_ip.clone().unwrap_or_default()]);
        }
        table.to_string()
    };
    session.screen.result(text, &view);
    Ok(Code::Done)
}

async fn diff(stack: &StackName, revision: Option<&str>, stores: &Stores, session: &Session) -> Result<Code, Exit> {
    let current = named::context(&*stores.contexts, stack).await?;
    let history = stores.contexts.history(stack).await?;
    let from = match revision {
        Some(wanted) => found(stack, wanted, &history)?,
        None => {
            let none = || Exit::refused(format!("the context of {stack} has never been replaced: there is nothing to compare it with"));
            history.last().map(|last| last.revision.clone()).ok_or_else(none)?
        }
    };
    let before = stores.contexts.replaced(stack, &from).await?;
    let diff = unified(stack, &before, &from.0, &current.text, "current");
    let text = || if diff.is_empty() { format!("{} and the current context are the same\n", from.0) } else { diff.clone() };
    session.screen.result(text, &DiffView { stack, from: &from, to: &current.revision, diff: &diff });
    Ok(Code::Done)
}

async fn restore(stack: &StackName, wanted: &str, stores: &Stores, session: &mut Session) -> Result<Code, Exit> {
    let history = stores.contexts.history(stack).await?;
    let current = match stores.contexts.load(stack).await {
        Ok(document) => Some(document),
        Err(error) if error.kind == PortErrorKind::NotFound && !history.is_empty() => None,
        Err(error) if error.kind == PortErrorKind::NotFound => Some(named::context(&*stores.contexts, stack).await?),
        Err(error) => return Err(error.into()),
    };
    let restored = found(stack, wanted, &history)?;
    let text = stores.contexts.replaced(stack, &restored).await?;
    let (expected, before) = match &current {
        Some(document) => (Expected::Revision(document.revision.clone()), document.text.as_str()),
        None => (Expected::Absent, ""),
    };
    if let Some(document) = current.as_ref().filter(|document| document.text == text) {
        let view = RestoreView { stack, restored: &restored, revision: &document.revision, changed: false };
        session.screen.result(|| format!("{stack}: the context is that of {} already\n", restored.0), &view);
        return Ok(Code::Done);
    }
    session.screen.note(unified(stack, before, "current", &text, &restored.0).trim_end());
    session.terminal.confirm(&format!("Restore the context of {stack} as it was in {}?", restored.0)).await?;
    stores.gate.affirmed().await?;
    let saved = match stores.contexts.save(stack, &text, &expected).await {
        Ok(saved) => saved,
        Err(error) => {
            let overtaken = error.kind == PortErrorKind::Conflict;
            if let Some(now) = stores.contexts.load(stack).await.ok().filter(|_| overtaken) {
                session.screen.note(unified(stack, before, "as it was shown", &now.text, "as it is by now").trim_end());
            }
            return Err(Exit::from(error).line("nothing was changed"));
        }
    };
    let view = RestoreView { stack, restored: &restored, revision: &saved, changed: true };
    session.screen.result(|| format!("{stack}: the context is that of {} again, byte for byte\n", restored.0), &view);
    Ok(Code::Done)
}

/// The revision that is meant: exactly this one, or the only one that begins so.
fn found(stack: &StackName, wanted: &str, history: &[Replaced]) -> Result<Revision, Exit> {
    let revisions = || history.iter().map(|replaced| &replaced.revision);
    if let Some(exact) = revisions().find(|revision| revision.0 == wanted) {
        return Ok(exact.clone());
    }
    let mut begun: Vec<_> = revisions().filter(|revision| revision.0.starts_with(wanted)).collect();
    begun.dedup();
    match begun.as_slice() {
        [only] => Ok((*only).clone()),
        [] => {
            let known = if history.is_empty() { "it has never been replaced".into() } else { listed(revisions()) };
            Err(Exit::refused(format!("the context of {stack} has no revision '{wanted}'")).line(known).line("nothing was changed"))
        }
        several => Err(Exit::refused(format!("'{wanted}' is the beginning of several revisions")).line(listed(several.iter().copied()))),
    }
}

fn listed<'a>(revisions: impl Iterator<Item = &'a Revision>) -> String {
    let names: Vec<_> = revisions.map(|revision| revision.0.as_str()).collect();
    format!("there are: {}", names.join(", "))
}

/// What differs, line by line, between two contexts made readable.
fn unified(stack: &StackName, before: &str, from: &str, after: &str, to: &str) -> String {
    let readable = |text: &str| match json::parse(text) {
        Ok(value) => Value::pretty(&value) + "\n",
        Err(_) if text.is_empty() => String::new(),
        Err(_) => format!("{text}\n"),
    };
    let (before, after) = (readable(before), readable(after));
    TextDiff::from_lines(&before, &after).unified_diff().header(&format!("{stack} {from}"), &format!("{stack} {to}")).to_string()
}

/// The master a context's text names, where it names any.
fn master_of(text: &str) -> Option<String> {
    match Context::parse(text).and_then(|context| context.facts()) {
        Ok(ContextFacts::Mastered { masters, .. }) => Some(masters.join(", ")).filter(|masters| !masters.is_empty()),
        _ => None,
    }
}
