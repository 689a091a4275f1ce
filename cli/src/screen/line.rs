//! What does an event look like as a line?

pub use bldr_core::counted::counted;
use bldr_core::{
    event::{Action, Event},
    fleet::Timestamp,
    name::{NodeName, StackName},
    ports::Change,
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// The lines of one run: a long reason is said in full where a step fails, and shortened where it comes again. The table at the end
/// has all of it.
#[derive(Default)]
pub struct Lines {
    said: Mutex<HashMap<StackName, Vec<String>>>,
}

impl Lines {
    /// As [`of_event`].
    pub fn of_event(&self, event: &Event) -> Option<String> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::StepFailed { stack, reason, .. } => said.entry(stack.clone()).or_default().push(reason.clone()),
            Event::StackFinished { stack, outcome, reason: Some(reason), millis } => {
                let known = said.remove(stack).unwrap_or_default();
                let reason = known.iter().fold(reason.clone(), |reason, known| reason.replacen(known, &shortened(known), 1));
                return of_event(&Event::StackFinished { stack: stack.clone(), outcome: *outcome, reason: Some(reason), millis: *millis });
            }
            _ => {}
        }
        of_event(event)
    }
}

/// So much of it as one glance takes in, in whole words.
fn shortened(text: &str) -> String {
    const GLANCE: usize = 80;
    let Some((end, _)) = text.char_indices().nth(GLANCE) else { return text.into() };
    let cut = text[..end].rfind(' ').unwrap_or(end);
    format!("{} …", text[..cut].trim_end_matches([',', ';', ':']))
}

/// The event in one line; `None` for those that say nothing a later one will not say better.
pub fn of_event(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunStarted { run, master, address, lanes, allow_unshared, .. } => {
            let stacks = lanes.iter().map(|lane| lane.stacks.len()).sum::<usize>();
            let unshared = if *allow_unshared { ", although that address is not shared" } else { "" };
            match (master, address) {
                (Some(master), Some(address)) => {
                    let (stacks, projects) = (counted(stacks, "stack"), counted(lanes.len(), "project"));
                    format!("run {run}: {stacks} of {projects} to {master} at {address}{unshared}")
                }
                _ => format!(
                    "run {run}: {}",
                    lanes.iter().flat_map(|lane| &lane.stacks).map(StackName::as_str).collect::<Vec<_>>().join(", ")
                ),
            }
        }
        Event::StateBegun { node, number, state, .. } => format!("{node}: state {number}: {state}"),
        Event::StackStarted { .. } | Event::StepStarted { .. } | Event::RunStopped { .. } | Event::RunFinished { .. } => return None,
        // What looks and changes nothing is worth a line where it fails.
        Event::StepFinished { action: Action::Examine, detail: None, .. } => return None,
        Event::StepFinished { stack, node, action, change, millis, detail, states } => {
            // What has something to say for itself says whether anything changed.
            let looked = matches!(action, Action::Prove | Action::ProveOld);
            let change = if *change == Change::NotNeeded && detail.is_none() && !looked { ": was so already" } else { "" };
            let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            let changed = states.as_ref().map(|states| states.changed.join(", ")).filter(|changed| !changed.is_empty());
            let detail = detail + &changed.map(|changed| format!(" ({changed})")).unwrap_or_default();
            format!("{}: {}{change}{detail} ({})", place(stack, node.as_ref()), done(*action), duration(*millis))
        }
        Event::StepFailed { stack, node, action, reason, millis, states } => {
            let output = states.as_ref().and_then(|states| states.output.as_ref());
            let output = output.map(|file| format!("; all of it is in {file}")).unwrap_or_default();
            format!("{}: {} failed: {reason}{output} ({})", place(stack, node.as_ref()), action.doing(), duration(*millis))
        }
        Event::OldKeysRemoved { master, ids, millis } => {
            format!("{master}: {} of minions that left it removed ({})", counted(ids.len(), "key"), duration(*millis))
        }
        Event::StackFinished { stack, outcome, reason, millis } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let took = if *millis == 0 { String::new() } else { format!(" ({})", duration(*millis)) };
            format!("{stack}: {outcome}{reason}{took}")
        }
        Event::Paced { limit, why } => pace(*limit, why.as_deref()),
        Event::Warning { message } => format!("warning: {message}"),
    })
}

/// How many stacks may be in work at once, or why no more.
pub fn pace(limit: usize, why: Option<&str>) -> String {
    why.map_or_else(|| "the new master keeps up again".into(), |why| format!("at most {} at once for now: {why}", counted(limit, "stack")))
}

fn place(stack: &StackName, node: Option<&NodeName>) -> String {
    node.map_or_else(|| stack.to_string(), ToString::to_string)
}

fn done(action: Action) -> &'static str {
    match action {
        Action::SaveContext => "context saved",
        Action::KeyPair => "key pair",
        Action::SecurityGroup => "security group",
        Action::Run => "machine",
        Action::Start => "started",
        Action::FirstStart => "lets us in",
        Action::Install => "installed",
        Action::Refresh => "repositories and configuration",
        Action::Enlist => "minion configured",
        Action::RewriteContext => "context rewritten",
        Action::Examine => "examined",
        Action::Introduce => "introduced",
        Action::Rehearse => "highstate rehearsed",
        Action::Repoint => "repointed",
        Action::Prove => "answers its master",
        Action::Confirm => "confirmed",
        Action::Keep => "left as it is",
        Action::Highstate => "highstate",
        Action::Sweep => "orphaned keys",
        Action::Remove => "removed",
        Action::RemoveContext => "context removed",
        Action::Revert => "put back",
        Action::RestoreContext => "context restored",
        Action::ProveOld => "back",
        Action::Stop => "stopped again",
    }
}

/// How long that is: `0.4 s`, `12 s`, `3 min 02 s`, `1 h 05 min`.
pub fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, millis % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time as RFC 3339 in UTC. One that no calendar has is given as its milliseconds.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// The time of day, in UTC.
pub fn clock_time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.strftime("%H:%M:%S").to_string())
}

/// How long ago something was, in the one unit that says enough.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = (now.0 - since.0).max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => counted(usize::try_from(seconds / 86_400).unwrap_or_default(), "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_said_once_in_full() {
        let stack: StackName = "harbor--ci".parse().unwrap();
        let step = |reason: &str| Event::StepFailed {
            stack: stack.clone(),
            node: None,
            action: Action::KeyPair,
            reason: reason.into(),
            millis: 0,
            states: None,
        };
        let end = |reason: &str| Event::StackFinished {
            stack: stack.clone(),
            outcome: bldr_core::event::Outcome::Failed,
            reason: Some(reason.into()),
            millis: 0,
        };
        let long = format!("key pair harbor--ci: another key has that name; {}", "its private key is not here ".repeat(4));
        let lines = Lines::default();
        assert!(lines.of_event(&step(&long)).unwrap().contains(&long));
        let again = lines.of_event(&end(&format!("{long}; the same again goes on from here"))).unwrap();
        insta::assert_snapshot!(again, @"harbor--ci: failed: key pair harbor--ci: another key has that name; its private key is not here its …; the same again goes on from here");
        assert_eq!(lines.of_event(&end(&long)).unwrap(), format!("harbor--ci: failed: {long}"), "it was said by no step");
        lines.of_event(&step("short"));
        assert_eq!(lines.of_event(&end("short; and more")).unwrap(), "harbor--ci: failed: short; and more");
    }

    #[test]
    fn durations_are_as_exact_as_they_are_short() {
        let texts = [0, 412, 9_999, 12_300, 61_000, 3_599_000, 3_900_000].map(duration);
        assert_eq!(texts, ["0.0 s", "0.4 s", "9.9 s", "12 s", "1 min 01 s", "59 min 59 s", "1 h 05 min"]);
    }

    #[test]
    fn ages_have_one_unit() {
        let texts = [5, 300, 7_200, 172_800, 8_640_000].map(|s| age(Timestamp(0), Timestamp(s * 1000)));
        assert_eq!(texts, ["5 s", "5 min", "2 h", "2 days", "100 days"]);
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(Timestamp(1_795_352_581_120)), "2026-11-22T13:03:01.120Z");
        assert_eq!(clock_time(Timestamp(1_795_352_581_120)), "13:03:01");
    }
}
