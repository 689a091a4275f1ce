//! How did a highstate end? salt-call's exit code, its JSON and the signs in its messages, boiled down to a summary that
//! names states and never quotes them: rendered states hold passwords.

use crate::{error::SshError, script::Answer};
use bldr_core::ports::{Highstate, HighstateMode, States};
use serde_json::{Map, Value};
use std::time::Duration;

/// What `highstate.sh` says, about a highstate that was given this long.
pub(crate) fn ended(answer: &Answer, mode: HighstateMode, limit: Duration) -> Result<Highstate, SshError> {
    let exit: u32 = answer.required("exit")?.parse().map_err(|_| answer.garbled("it has no exit code"))?;
    let stdout = answer.bytes("stdout")?.unwrap_or_default();
    let stderr = answer.bytes("stderr")?.unwrap_or_default();
    if answer.word("cut").is_some() {
        return Ok(not(format!("salt-call printed more than can be read, and ended with {exit}")));
    }
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let output = stdout.clone().into_owned();
    Ok(Highstate { output, ..of(exit, &stdout, &stderr, mode, limit) })
}

/// Hears a highstate while it runs, and tells which states begin.
pub(crate) struct Progress {
    begun: States,
    line: Vec<u8>,
}

/// What salt-call logs when a state begins, in front of `module.function for [name]`. Older ones leave the brackets out.
const BEGINS: &str = "Executing state ";
/// A line that is longer is none of those.
const LONGEST: usize = 8 << 10;

impl Progress {
    /// Tells it there.
    pub(crate) fn telling(begun: States) -> Self {
        Self { begun, line: Vec::new() }
    }

    /// Some more of what `highstate.sh` prints.
    pub(crate) fn hear(&mut self, said: &[u8]) {
        for piece in said.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() <= LONGEST {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                if let Some(state) = begins(&String::from_utf8_lossy(&self.line)) {
                    // Nobody has to listen.
                    let _ = self.begun.unbounded_send(state);
                }
                self.line.clear();
            }
        }
    }
}

/// Which state begins, where the line says that one does. Its name is told where it is a path or a word, as that of a file or a
/// package is; a command line or an address may hold a password.
fn begins(line: &str) -> Option<String> {
    let (function, name) = line.trim_end().strip_prefix("[INFO").and_then(|rest| rest.split_once(BEGINS))?.1.split_once(" for ")?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let plain = |text: &str, more: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    if !plain(function, "_.") || function.len() > 100 {
        return None;
    }
    let harmless = !function.starts_with("cmd.") && plain(name, "_./+-") && name.len() <= 200;
    Some(if harmless { format!("{function} {name}") } else { function.to_owned() })
}

fn of(exit: u32, stdout: &str, stderr: &str, mode: HighstateMode, limit: Duration) -> Highstate {
    // 124: it was ended in time; 137: it had to be killed.
    if exit == 124 || exit == 137 {
        return not(format!("no answer from the master within {} s, or a state that takes longer", limit.as_secs()));
    }
    match local(stdout) {
        Some(Value::Object(states)) => ran(exit, &states, mode),
        Some(Value::Array(errors)) => not(did_not_run(&errors)),
        // With --retcode-passthrough, 0 means that states ran and none failed; a wrapper or a configured outputter that
        // prints no JSON hides which.
        None if exit == 0 && !stdout.trim().is_empty() && !stdout.lines().any(|line| line.trim_start().starts_with('{')) => Highstate {
            succeeded: true,
            summary: "salt-call ended well, but printed no JSON that says which states ran".into(),
            ..Highstate::default()
        },
        _ => not(no_answer(exit, stdout, stderr)),
    }
}

/// A highstate that did not succeed, and of which no states are known.
fn not(summary: impl Into<String>) -> Highstate {
    Highstate { summary: summary.into(), ..Highstate::default() }
}

/// The minion's part of the JSON. Warnings may be printed in front of it.
fn local(stdout: &str) -> Option<Value> {
    let start = stdout.lines().scan(0, |at, line| Some(std::mem::replace(at, *at + line.len() + 1).min(stdout.len()))).zip(stdout.lines());
    let parsed = start.filter(|(_, line)| line.starts_with('{')).find_map(|(at, _)| serde_json::from_str::<Value>(stdout.get(at..)?).ok());
    parsed?.get_mut("local").map(Value::take)
}

fn ran(exit: u32, states: &Map<String, Value>, mode: HighstateMode) -> Highstate {
    // Salt's way to say that top.sls has nothing for this minion is a state that fails.
    if states.is_empty() || states.keys().any(|key| key.starts_with("no_|-")) {
        return not("no state ran: top.sls assigns none to this minion");
    }
    let failed: Vec<String> =
        states.iter().filter(|(_, state)| state["result"] == Value::Bool(false)).map(|(key, state)| name(key, state)).collect();
    let changed: Vec<String> = states.iter().filter(|(_, state)| changes(state)).map(|(key, state)| name(key, state)).collect();
    let all_known = states.values().all(|state| matches!(state["result"], Value::Bool(_) | Value::Null) && state.is_object());
    let changes = if mode == HighstateMode::Test { "would change" } else { "changed" };
    let mut summary = format!("{} {}, {} {changes}", states.len(), if states.len() == 1 { "state" } else { "states" }, changed.len());
    if !failed.is_empty() {
        summary += &format!(", {} failed", failed.len());
    }
    let succeeded = exit == 0 && failed.is_empty() && all_known;
    if !succeeded && failed.is_empty() {
        summary += &format!(", but salt-call ended with {exit}");
    }
    Highstate { succeeded, summary, failed, changed, output: String::new() }
}

fn changes(state: &Value) -> bool {
    let listed = match &state["changes"] {
        Value::Object(changes) => !changes.is_empty(),
        Value::Array(changes) => !changes.is_empty(),
        _ => false,
    };
    listed || (state["result"].is_null() && state.get("result").is_some())
}

/// `ID (module.function)`, from the state itself or from its key `module_|-ID_|-name_|-function`. Never the name: that of
/// a `cmd.run` is its command line.
fn name(key: &str, state: &Value) -> String {
    let parts: Vec<&str> = key.split("_|-").collect();
    let id = state["__id__"].as_str().or(parts.get(1).copied()).unwrap_or(key);
    let id: String = id.chars().filter(|c| !c.is_control()).take(100).collect();
    match (parts.first(), parts.get(3)) {
        (Some(module), Some(function)) => format!("{id} ({module}.{function})"),
        _ => id,
    }
}

/// Errors in place of states. Their texts quote templates, and with them pillar: only known, harmless parts are told.
fn did_not_run(errors: &[Value]) -> String {
    let texts: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
    let between = |before: &str, after: &[char]| {
        let found = texts.iter().find_map(|text| text.split_once(before))?.1.split(after).next()?;
        (!found.is_empty() && found.len() < 200 && !found.contains(char::is_whitespace)).then(|| found.to_owned())
    };
    if texts.iter().any(|text| text.contains("is running as PID")) {
        return match between("is running as PID ", &[' ', '\n', '.']) {
            Some(pid) => format!("another state run is active on the node (PID {pid}); wait for it and run it again"),
            None => "another state run is active on the node; wait for it and run it again".into(),
        };
    }
    if let Some(sls) = between("No matching sls found for '", &['\'']) {
        return format!("no state ran: top.sls names '{sls}', and there is no such sls");
    }
    if let Some(sls) = between("Rendering SLS '", &['\'']).or_else(|| between("Rendering SLS \"", &['"'])) {
        return format!("no state ran: '{sls}' cannot be rendered (`salt-call state.highstate` on the node says why)");
    }
    if texts.iter().any(|text| text.contains("Pillar failed to render")) {
        return "no state ran: the pillar cannot be rendered (`salt-call pillar.items` on the node says why)".into();
    }
    let count = texts.len();
    let errors = if count == 1 { "error" } else { "errors" };
    format!("no state ran, {count} {errors} (`salt-call state.highstate` on the node shows them)")
}

fn no_answer(exit: u32, stdout: &str, stderr: &str) -> String {
    let says = |sign: &str| stdout.contains(sign) || stderr.contains(sign);
    if exit == 127 {
        return "there is no salt-call on the node".into();
    }
    if exit == 42 || says("master_finger") {
        return "the master shows another key than the one the minion's configuration pins".into();
    }
    if exit == 77 || says("has rejected this minion's public key") {
        return "the master refuses the minion's key: it was rejected, or it holds another one under that id".into();
    }
    if says("has cached the public key for this node")
        || says("waiting for its public key")
        || says("Waiting for minion key to be accepted")
    {
        return "the master has not accepted the minion's key yet (`salt-key -a` on the master)".into();
    }
    if says("Invalid master key") || says("master key has changed") {
        return "the master shows another key than the one the minion trusts".into();
    }
    if says("Attempt to authenticate with the salt master failed") || says("Unable to sign_in to master") {
        return "the master did not answer".into();
    }
    if says("DNS lookup") || says("failed to resolve") {
        return "the master's name cannot be resolved on the node".into();
    }
    format!("salt-call ended with {exit}, and without an answer")
}

#[cfg(test)]
#[path = "highstate_tests.rs"]
mod tests;
