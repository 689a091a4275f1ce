//! `lock.status`, `lock.break`: who is changing the fleet, and what if they are gone?

use super::{Session, fleet_lock::owner};
use crate::{
    exit::{Code, Exit},
    request::LockTask,
    screen::line::{age, rfc3339},
    wiring::Stores,
};
use bldr_core::{
    fleet::Timestamp,
    ports::{Breaking, Holding, Owner},
};
use serde::Serialize;

#[derive(Serialize)]
struct StatusView {
    holder: Option<HolderView>,
    broken: Option<BrokenView>,
}

#[derive(Serialize)]
struct HolderView {
    who: String,
    host: String,
    pid: u32,
    purpose: String,
    since: String,
    epoch: Option<u64>,
    heard: Option<String>,
}

#[derive(Serialize)]
struct BrokenView {
    by: String,
    host: String,
    at: String,
    reason: String,
    held: HolderView,
}

#[derive(Serialize)]
struct BreakView {
    broken: Option<HolderView>,
    reason: String,
}

impl From<&Holding> for HolderView {
    fn from(holding: &Holding) -> Self {
        let Owner { who, host, pid, purpose, since } = holding.owner.clone();
        Self { who, host, pid, purpose, since: rfc3339(since), epoch: holding.epoch, heard: holding.heard.map(rfc3339) }
    }
}

impl From<&Breaking> for BrokenView {
    fn from(breaking: &Breaking) -> Self {
        let Owner { who, host, since, .. } = breaking.by.clone();
        Self { by: who, host, at: rfc3339(since), reason: breaking.reason.clone(), held: (&breaking.held).into() }
    }
}

/// Does it.
///
/// # Errors
/// A lock that cannot be asked, one that goes with its holder's process, and a declined confirmation.
pub async fn run(task: &LockTask, stores: &Stores, session: &mut Session) -> Result<Code, Exit> {
    match task {
        LockTask::Status => status(stores, session).await,
        LockTask::Break(reason) => broken(reason, stores, session).await,
    }
}

async fn status(stores: &Stores, session: &Session) -> Result<Code, Exit> {
    let (holding, breaking) = futures::join!(stores.lock.owner(), stores.lock.broken());
    let (holding, breaking) = (holding?, breaking?);
    let view = StatusView { holder: holding.as_ref().map(Into::into), broken: breaking.as_ref().map(Into::into) };
    let now = stores.clock.now();
    let text = || {
        let mut text = match &holding {
            Some(holding) => format!("{}\n", told(holding, now)),
            None => "nobody holds the lock\n".to_owned(),
        };
        if let Some(Breaking { by, reason, held }) = &breaking {
            text.push_str(&format!(
                "{} on {} broke it {} ago, which {} held: {reason}\n",
                by.who,
                by.host,
                age(by.since, now),
                held.owner.who
            ));
        }
        text
    };
    session.screen.result(text, &view);
    Ok(Code::Done)
}

/// Who, where, since when, what for; and whether anything is heard of them.
fn told(holding: &Holding, now: Timestamp) -> String {
    let Owner { who, host, pid, purpose, since } = &holding.owner;
    let heard = holding.heard.map(|heard| format!("; last heard of {} ago", age(heard, now))).unwrap_or_default();
    format!("{who} holds the lock on {host} (process {pid}) since {since}, for: {purpose}{heard}")
}

async fn broken(reason: &str, stores: &Stores, session: &mut Session) -> Result<Code, Exit> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Exit::usage(
            "lock.break needs a reason: it is recorded, and the holder is told\nas in `bldr lock.break:'ada left, her laptop is gone'`",
        ));
    }
    let Some(holding) = stores.lock.owner().await? else {
        session.screen.result(|| "nobody holds the lock\n".into(), &BreakView { broken: None, reason: reason.into() });
        return Ok(Code::Done);
    };
    // A lock that cannot be broken is said to be so before anything is typed.
    if holding.epoch.is_some() {
        let what = format!(
            "{}. If that process still works, it hears of this and begins nothing more within a minute, which may be in the middle of a stack. \
             Machines that you change from now on do not listen to it any more.",
            told(&holding, stores.clock.now())
        );
        session.terminal.type_out(&holding.owner.who, &what).await?;
    }
    let unchanged = |error| Exit::from(error).line("nothing was changed");
    let by = owner(&*stores.clock, session);
    let held = stores.lock.break_it(&by, reason).await.map_err(unchanged)?;
    let view = BreakView { broken: held.as_ref().map(Into::into), reason: reason.into() };
    let text = || match &held {
        Some(Holding { owner, .. }) => format!("the lock is free; {} on {} held it\n", owner.who, owner.host),
        None => "nobody holds the lock any more\n".into(),
    };
    session.screen.result(text, &view);
    Ok(Code::Done)
}
