//! Whom does a minion obey? Salt's trust rules, as they were measured with Salt 3008 on real machines.
//!
//! - A minion whose trusted key is not its master's never gets an answer, and its daemon stays up all the same.
//! - A minion without a trusted key trusts whoever answers first.
//! - A trusted key that is deleted while the daemon runs comes back: the daemon has it in memory.
//! - A second key under an id that has one is denied, and the daemon ends. So does one whose key was rejected.
//! - A key that nobody accepted waits.

use crate::machines::{Fault, MinionDaemon, path};
use crate::machines::{Machine, Machines};
use base64::prelude::{BASE64_STANDARD, Engine};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::{InstanceState, PublicKey},
    minion_config,
    ssh_key::SshPublicKey,
};
use sha2::{Digest, Sha256, Sha512};

/// A made-up public key: PEM to look at, different for every seed, and no key at all.
pub fn made_up_key(seed: &str) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let body = hex(&Sha512::digest(seed));
    format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &body[..64], &body[64..])
}

/// A made-up SSH public key of this kind (`ssh-ed25519`): it reads as one, is different for every seed, and nobody has its other half.
///
/// # Errors
/// An owner's name that would be no part of such a line.
pub fn made_up_ssh_key(kind: &str, seed: &str, owner: &str) -> PortResult<SshPublicKey> {
    // As it goes over the wire: each part behind its length.
    let length = u8::try_from(kind.len()).unwrap_or(u8::MAX);
    let blob = [&[0, 0, 0, length][..], kind.as_bytes(), &[0, 0, 0, 32], &Sha256::digest(seed)].concat();
    let line = format!("{kind} {} {owner}", BASE64_STANDARD.encode(blob));
    SshPublicKey::from_openssh(&line).ok_or_else(|| PortError::new(PortErrorKind::Malformed, owner, "no key can be called that"))
}

fn same(a: &str, b: &str) -> bool {
    PublicKey::from_pem(a).is_some_and(|a| PublicKey::from_pem(b).is_some_and(|b| a == b))
}

/// Whether a minion takes orders from a master now: its daemon is connected to it and both run.
pub fn answers(machines: &Machines, master: &str, minion: &str) -> bool {
    let running = |name: &str| machines.get(name).filter(|m| m.state == InstanceState::Running);
    let (Some(m), Some(n)) = (running(master), running(minion)) else { return false };
    m.master.is_some_and(|daemon| daemon.up) && n.minion.is_some_and(|daemon| daemon.up && daemon.connected.as_deref() == Some(master))
}

/// Starts the daemons of a machine that was started.
pub(crate) fn boot(machines: &Machines, name: &str) -> PortResult<()> {
    let machine = machines.change(name, |machine| {
        if let Some(master) = &mut machine.master {
            master.up = true;
        }
    })?;
    if machine.minion.is_some() { start_minion(machines, name) } else { Ok(()) }
}

/// Stops the daemons of a machine that is about to stop.
pub(crate) fn shut_down(machines: &Machines, name: &str) -> PortResult<()> {
    stop_minion(machines, name)?;
    machines.change(name, |machine| {
        if let Some(master) = &mut machine.master {
            master.up = false;
        }
    })?;
    Ok(())
}

/// Stops a minion. A trusted key that was deleted in the meantime is back when it has ended.
pub fn stop_minion(machines: &Machines, name: &str) -> PortResult<()> {
    let Some(Machine { minion: Some(daemon), .. }) = machines.get(name) else { return Ok(()) };
    if let (true, Some(key), None) = (daemon.up, &daemon.key, machines.file(name, path::TRUSTED)?) {
        machines.keep(name, path::TRUSTED, Some(key))?;
    }
    machines.change(name, |machine| machine.minion = Some(MinionDaemon::default()))?;
    Ok(())
}

/// Starts a minion and lets it look for its master.
pub fn start_minion(machines: &Machines, name: &str) -> PortResult<()> {
    let key = machines.file(name, path::TRUSTED)?;
    let mut daemon = MinionDaemon { up: true, key, connected: None };
    match introduced(machines, name, daemon.key.as_deref())? {
        Ok((master, key)) => {
            if daemon.key.is_none() {
                machines.keep(name, path::TRUSTED, Some(&key))?;
            }
            daemon.key = Some(key);
            match admitted(machines, &master, name)? {
                Admission::Accepted => daemon.connected = Some(master).filter(|_| !never_joins(machines, name)),
                Admission::Pending => {}
                Admission::Denied | Admission::Rejected => daemon = MinionDaemon::default(),
            }
        }
        Err(_silence) => {}
    }
    machines.change(name, |machine| machine.minion = Some(daemon))?;
    Ok(())
}

fn never_joins(machines: &Machines, name: &str) -> bool {
    let faulty = machines.get(name).is_some_and(|machine| machine.fault == Some(Fault::NeverJoins));
    faulty && machines.file(name, path::DEADLINE).is_ok_and(|deadline| deadline.is_some())
}

/// What `salt-call` on a minion comes to: it reads the files as they are now, whatever the daemon has in memory. The
/// inner error is what an operator would be told.
pub(crate) fn order_reaches(machines: &Machines, name: &str) -> PortResult<Result<(), String>> {
    let trusted = machines.file(name, path::TRUSTED)?;
    order(machines, name, introduced(machines, name, trusted.as_deref())?)
}

fn order(machines: &Machines, name: &str, master: Result<(String, String), String>) -> PortResult<Result<(), String>> {
    Ok(match master {
        Err(silence) => Err(silence),
        Ok((master, _)) => match admitted(machines, &master, name)? {
            Admission::Accepted => Ok(()),
            Admission::Pending => Err(format!("{master} has not accepted the minion's key")),
            Admission::Denied => Err(format!("{master} holds another key under the minion's id")),
            Admission::Rejected => Err(format!("{master} has rejected the minion's key")),
        },
    })
}

/// What an order from the master at this address would come to, for a minion that trusts this key.
pub(crate) fn order_would_reach(machines: &Machines, name: &str, address: &str, trusted: &str) -> PortResult<Result<(), String>> {
    order(machines, name, answering(machines, address, Some(trusted))?)
}

/// The master a minion's configuration leads to and that master's key, if the minion trusts it; else why nothing comes of it.
fn introduced(machines: &Machines, name: &str, trusted: Option<&str>) -> PortResult<Result<(String, String), String>> {
    let config = machines.file(name, path::MINION)?.unwrap_or_default();
    match minion_config::master_of(&config) {
        Some(address) => answering(machines, &address, trusted),
        None => Ok(Err("no answer from the master: none is configured".into())),
    }
}

/// The master at an address and its key, if it is up and that key is trusted.
fn answering(machines: &Machines, address: &str, trusted: Option<&str>) -> PortResult<Result<(String, String), String>> {
    let silence = |why: String| Ok(Err(format!("no answer from the master: {why}")));
    let up = |m: &String| machines.get(m).and_then(|machine| machine.master).is_some_and(|daemon| daemon.up);
    let Some(master) = machines.at(address).filter(up) else { return silence(format!("nobody listens at {address}")) };
    let Some(key) = machines.file(&master, path::MASTER_KEY)? else { return silence(format!("{master} has no key")) };
    match trusted {
        Some(trusted) if !same(trusted, &key) => silence(format!("the minion does not trust the key of {master}")),
        _ => Ok(Ok((master, key))),
    }
}

enum Admission {
    Accepted,
    Pending,
    Denied,
    Rejected,
}

/// What a master makes of a minion that shows its key.
fn admitted(machines: &Machines, master: &str, minion: &str) -> PortResult<Admission> {
    let shown = machines.file(minion, path::MINION_KEY)?.unwrap_or_default();
    let filed = |folder: &str| machines.file(master, &format!("{folder}/{minion}"));
    if filed(path::REJECTED)?.is_some() {
        return Ok(Admission::Rejected);
    }
    if let Some(accepted) = filed(path::ACCEPTED)? {
        if same(&accepted, &shown) {
            return Ok(Admission::Accepted);
        }
        machines.keep(master, &format!("{}/{minion}", path::DENIED), Some(&shown))?;
        return Ok(Admission::Denied);
    }
    let auto = machines.get(master).and_then(|machine| machine.master).is_some_and(|daemon| daemon.auto_accept);
    let folder = if auto { path::ACCEPTED } else { path::PENDING };
    machines.keep(master, &format!("{folder}/{minion}"), Some(&shown))?;
    Ok(if auto { Admission::Accepted } else { Admission::Pending })
}
