//! `sandbox.create`, `.show`, `.reset`: what is the made-up fleet made of, and what does it really do?

use super::{Session, fleet_lock::Held};
use crate::{
    exit::{Code, Exit},
    request::{Fleet, SandboxTask},
    screen::{line::counted, table::Table},
    settings::Cloud,
    wiring,
};
use bldr_core::{
    error::PortResult,
    fleet::{InstanceState, PublicKey},
    minion_config,
    ports::Change,
    ssh_key::SshPublicKey,
};
use bldr_testkit::{
    machines::{Machines, path},
    salt,
    spec::FleetSpec,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the sandbox was made from; kept beside it, for `sandbox.reset`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    Small,
    Minions(usize),
    File(PathBuf),
}

#[derive(Serialize)]
struct MadeView {
    home: String,
    machines: usize,
    stacks: usize,
}

#[derive(Serialize)]
struct ShowView {
    nodes: Vec<NodeView>,
}

#[derive(Serialize)]
struct NodeView {
    name: String,
    state: InstanceState,
    address: Option<String>,
    master: Option<String>,
    configured: Option<String>,
    trusts: Option<String>,
    obeys: Option<String>,
    highstate_due: bool,
}

/// Does it.
///
/// # Errors
/// A place that is no sandbox, a description that is none, and the disk's.
pub async fn run(task: &SandboxTask, session: &Session) -> Result<Code, Exit> {
    if session.place.settings.cloud != Cloud::Sandbox {
        return Err(Exit::refused("settings.yaml says `cloud: aws`: there is no sandbox here").line("give another folder: --home DIR"));
    }
    let origin = match task {
        SandboxTask::Create(fleet) => origin(fleet)?,
        SandboxTask::Reset => remembered(session)?,
        SandboxTask::Show => return show(session),
        SandboxTask::DeployKey(file) => return register(file, session),
    };
    // Not under the feet of a run that goes on.
    let held = Held::of(&*wiring::lock(&session.place), &*wiring::clock(), session).await?;
    held.during(session.screen.clone(), async { make(&origin, session) }).await
}

#[derive(Serialize)]
struct RegisteredView {
    fingerprint: String,
    changed: bool,
}

/// What one does on the page of a git host.
fn register(file: &Path, session: &Session) -> Result<Code, Exit> {
    let text = fs::read_to_string(file).map_err(|error| Exit::refused(format!("{}: {error}", file.display())))?;
    let no_key = || Exit::refused(format!("{}: it is no public key", file.display()));
    let key = SshPublicKey::from_openssh(&text).ok_or_else(no_key)?;
    let machines = session.place.sandbox().open(&wiring::clock(), Duration::ZERO)?;
    let view = RegisteredView { fingerprint: key.fingerprint(), changed: machines.register_deploy_key(&key)? == Change::Made };
    let was = if view.changed { "is registered now" } else { "was registered already" };
    session.screen.result(|| format!("{} {was}: the git hosts of the sandbox let it read\n", view.fingerprint), &view);
    Ok(Code::Done)
}

fn origin(fleet: &Fleet) -> Result<Origin, Exit> {
    let absolute = |file: &PathBuf| std::path::absolute(file).map_err(|error| Exit::usage(format!("{}: {error}", file.display())));
    Ok(match fleet {
        Fleet::Small => Origin::Small,
        Fleet::Minions(count) => Origin::Minions(usize::try_from(*count).unwrap_or(usize::MAX)),
        Fleet::File(file) => Origin::File(absolute(file)?),
    })
}

fn origin_file(session: &Session) -> PathBuf {
    session.place.home.join(".bldr/sandbox/made-from.json")
}

/// What the sandbox was made from; the small fleet where it made itself.
fn remembered(session: &Session) -> Result<Origin, Exit> {
    let path = origin_file(session);
    let wrong = |problem: &dyn std::fmt::Display| {
        Exit::refused(format!("{}: {problem}", path.display())).line("`bldr sandbox.create` makes a new sandbox")
    };
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| wrong(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Origin::Small),
        Err(error) => Err(wrong(&error)),
    }
}

/// Makes the fleet, and says how many stacks and machines it has.
fn made(origin: &Origin, session: &Session) -> Result<(usize, usize), Exit> {
    let spec = match origin {
        Origin::Small => FleetSpec::built_in(),
        Origin::Minions(count) => Ok(FleetSpec::of_minions(*count)),
        Origin::File(file) => FleetSpec::from_yaml(file),
    }
    .map_err(|error| Exit::usage(error.to_string()))?;
    let (sandbox, clock) = (session.place.sandbox(), wiring::clock());
    sandbox.create(&spec, &clock)?;
    let path = origin_file(session);
    let text = serde_json::to_string(origin).map_err(|error| Exit::refused(error.to_string()))?;
    fs::write(&path, text).map_err(|error| Exit::refused(format!("{}: {error}", path.display())))?;
    Ok((spec.stacks.len() + spec.masters.len(), sandbox.open(&clock, Duration::ZERO)?.names().len()))
}

fn make(origin: &Origin, session: &Session) -> Result<Code, Exit> {
    let (stacks, machines) = made(origin, session)?;
    let home = session.place.home.display().to_string();
    let text = || format!("a fleet of {} on {} is in .bldr/sandbox\n", counted(stacks, "stack"), counted(machines, "machine"));
    session.screen.result(text, &MadeView { home, machines, stacks });
    Ok(Code::Done)
}

fn show(session: &Session) -> Result<Code, Exit> {
    let sandbox = session.place.sandbox();
    let clock = wiring::clock();
    sandbox.ensure(&clock)?;
    let machines = sandbox.open(&clock, Duration::ZERO)?;
    let keys = master_keys(&machines)?;
    let nodes = machines.names().iter().map(|name| node(&machines, &keys, name)).collect::<PortResult<Vec<_>>>()?;
    let view = ShowView { nodes: nodes.into_iter().flatten().collect() };
    let text = || {
        let mut table = Table::new(["NODE", "STATE", "ADDRESS", "CONFIGURED", "TRUSTS", "OBEYS", "HIGHSTATE"]);
        for node in &view.nodes {
            let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
            let due = if node.highstate_due { "due" } else { "" };
            let [address, configured, trusts, obeys] = [&node.address, &node.configured, &node.trusts, &node.obeys].map(or_none);
            table.row([node.name.clone(), node.state.to_string(), address, configured, trusts, obeys, due.into()]);
        }
        table.to_string()
    };
    session.screen.result(text, &view);
    Ok(Code::Done)
}

/// The masters' names with their keys.
fn master_keys(machines: &Machines) -> PortResult<Vec<(String, PublicKey)>> {
    let mut keys = Vec::new();
    for name in machines.names() {
        if let Some(key) = machines.file(&name, path::MASTER_KEY)?.as_deref().and_then(PublicKey::from_pem) {
            keys.push((name, key));
        }
    }
    Ok(keys)
}

fn node(machines: &Machines, masters: &[(String, PublicKey)], name: &str) -> PortResult<Option<NodeView>> {
    let Some(machine) = machines.get(name) else { return Ok(None) };
    let configured = machines.file(name, path::MINION)?.as_deref().and_then(minion_config::master_of).map(String::from);
    let trusted = machines.file(name, path::TRUSTED)?.as_deref().and_then(PublicKey::from_pem);
    let owner = trusted.map(|trusted| {
        let owner = masters.iter().find(|(_, key)| *key == trusted).map(|(owner, _)| owner.clone());
        owner.unwrap_or_else(|| format!("unknown ({})", trusted.fingerprint()))
    });
    Ok(Some(NodeView {
        name: name.into(),
        state: machine.state,
        address: machine.private.as_ref().map(ToString::to_string),
        master: configured.as_deref().and_then(|address| machines.at(address)),
        configured,
        trusts: owner,
        obeys: masters.iter().map(|(master, _)| master).find(|master| salt::answers(machines, master, name)).cloned(),
        highstate_due: machines.file(name, path::DUE)?.is_some(),
    }))
}
