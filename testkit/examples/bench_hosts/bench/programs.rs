//! What runs on the hosts, whoever sends it? bldr's own programs, for those it is measured beside to send.
//!
//! So all of them do the same: a minion is read, introduced to the new master, read again right before it is switched with all that is
//! needed to put it back, proven from both ends, left as it is, and has its highstate; the old master forgets it. Each program is what
//! a shell as root reads.

use super::Outcome;
use bldr_core::fleet::PublicKey;
use std::{fs, path::Path};

/// How long a switch waits before it puts itself back, how long a proof may take, and a highstate: in seconds.
const PATIENCE: &str = "300";
const PROOF: &str = "120";
const HIGHSTATE: &str = "1800";

/// A minion's id, and its public key.
pub type Minion = (String, PublicKey);

/// What a node says of itself, and of its way to that master.
pub fn read(master: &str) -> Outcome<String> {
    call("read.sh", &[master], "", "bldr-end")
}

/// A minion that says the same still is switched to this master, and has proven it.
pub fn switch(master: &str, key: &PublicKey, build_vars: &str) -> Outcome<String> {
    let size = build_vars.len().to_string();
    let arguments = [master, PATIENCE, key.pem(), &text("revert.sh")?, &size];
    let switched = call("repoint.sh", &arguments, &format!("{build_vars}\n"), "change made")?;
    Ok(read(master)? + &switched + &call("prove.sh", &[master, PROOF, key.pem()], "", "proven yes")?)
}

/// It stays so, and has its highstate.
pub fn highstate(master: &str, key: &PublicKey) -> Outcome<String> {
    let confirmed = call("confirm.sh", &[master, key.pem()], "", "bldr-end")?;
    Ok(confirmed + &call("highstate.sh", &["apply", HIGHSTATE], "", "exit 0")?)
}

/// A master lets all of these in.
pub fn accept(minions: &[Minion]) -> Outcome<String> {
    let of = |(id, key): &Minion| format!("{id}\n{}\n{}", key.pem().lines().count(), key.pem());
    let lines: String = minions.iter().map(of).collect();
    call("accept.sh", &[&lines.len().to_string()], &lines, &format!("{} made", minions.len()))
}

/// All of these answer a master.
pub fn ping(minions: &[Minion]) -> Outcome<String> {
    let ids: Vec<&str> = minions.iter().map(|(id, _)| id.as_str()).collect();
    let asked = call("ping.sh", &["60", &ids.join(",")], "", "exit 0")?;
    let count = r#"printf '%s\n' "$said" | sed -n 's/^stdout is //p' | base64 -d | grep -o true | wc -l"#;
    Ok(format!("{asked}[ \"$({count})\" -eq {} ] || exit 1\n", minions.len()))
}

/// A master forgets these.
pub fn forget(minions: &[Minion]) -> Outcome<String> {
    let lines: String = minions.iter().map(|(id, key)| format!("{id} {}\n", key.fingerprint().hex())).collect();
    call("forget.sh", &[&lines.len().to_string()], &lines, "removed is")
}

/// Runs one with these arguments and this input, tells what it says, and goes on only where that is in it.
fn call(name: &str, arguments: &[&str], stdin: &str, wanted: &str) -> Outcome<String> {
    let arguments: Vec<String> = arguments.iter().map(|argument| format!("'{}'", argument.replace('\'', r"'\''"))).collect();
    let body = format!("set -- {}\n{}", arguments.join(" "), text(name)?);
    let input = if stdin.is_empty() { "</dev/null\n".to_owned() } else { format!("<<'END OF INPUT'\n{stdin}END OF INPUT\n") };
    let check = format!("printf '%s\\n' \"$said\"\ncase $said in *'{wanted}'*) ;; *) exit 1 ;; esac\n");
    Ok(format!("said=$( (\n{body}\n) {input}) || exit\n{check}"))
}

/// A program with what it says that it needs in front.
fn text(name: &str) -> Outcome<String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters-ssh/scripts");
    let read = |name: &str| fs::read_to_string(scripts.join(name)).map_err(|error| format!("{name}: {error}"));
    let own = read(name)?;
    let needs = own.lines().find_map(|line| line.strip_prefix("# Needs:")).unwrap_or_default();
    let mut all = needs.split_whitespace().map(read).collect::<Result<String, _>>()?;
    all.push_str(&own);
    Ok(all)
}
