//! What did a script find out? Its frames, made into what the core asks for.

use crate::{error::SshError, script::Answer};
use bldr_core::{
    doctor::{Content, Disk, Pillar, Root, Workplace},
    fleet::{HeldKey, HeldKeys, Kept, KeyFingerprint, KeyState, NodeFiles, Outlook, PublicKey, Standing, Timestamp},
    pace::Strain,
    ports::{Change, Proof},
    salt_version::SaltVersion,
};
use std::collections::BTreeSet;

/// What `read.sh` says.
///
/// A re-pointing that was killed before it had started the minion again leaves everything looking right and the minion
/// down. The trusted key is then given as absent: the node takes orders from nobody, and is to be re-pointed.
pub(crate) fn node_files(answer: &Answer) -> Result<NodeFiles, SshError> {
    let unfinished = answer.bytes("repointing")?.is_some();
    let kept = Kept { minion_config: answer.text("kept-config")?, trusted_key: answer.text("kept-key")? };
    Ok(NodeFiles {
        build_vars: answer.text("build-vars")?,
        minion_config: answer.text("minion-config")?,
        trusted_key: answer.text("trusted-key")?.filter(|_| !unfinished),
        highstate_due: answer.bytes("highstate-due")?.is_some(),
        minion_id: lines(answer, "minion-id")?.into_iter().next(),
        minion_key: answer.text("minion-key")?,
        connected: lines(answer, "connected")?,
        unconfirmed: answer.bytes("unconfirmed")?.map(|_| kept),
    })
}

/// What `read.sh` says of the master it was asked about.
pub(crate) fn outlook(answer: &Answer) -> Result<Outlook, SshError> {
    let version = answer.text("version")?.as_deref().and_then(SaltVersion::find);
    Ok(Outlook { version, obstacles: lines(answer, "obstacles")? })
}

fn lines(answer: &Answer, name: &str) -> Result<Vec<String>, SshError> {
    Ok(answer.text(name)?.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty()).map(Into::into).collect())
}

/// The same of what other programs said, which may have been cut within a letter.
pub(crate) fn lossy_lines(answer: &Answer, name: &str) -> Result<Vec<String>, SshError> {
    let bytes = answer.bytes(name)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Into::into).collect())
}

/// What `prove.sh` says.
pub(crate) fn proof(answer: &Answer) -> Result<Proof, SshError> {
    match answer.required("proven")? {
        "yes" => Ok(Proof::Proven),
        "no" => Ok(Proof::Unproven(answer.text("why")?.unwrap_or_default())),
        _ => Err(answer.garbled("it says neither that it is proven nor that it is not")),
    }
}

/// What `repoint.sh` says.
pub(crate) fn change(answer: &Answer) -> Result<Change, SshError> {
    match answer.required("change")? {
        "made" => Ok(Change::Made),
        "none" => Ok(Change::NotNeeded),
        _ => Err(answer.garbled("it says neither that something changed nor that nothing did")),
    }
}

/// What `accept.sh` says of so many minions, in their order.
pub(crate) fn let_in(answer: &Answer, minions: usize) -> Result<Vec<Result<Change, SshError>>, SshError> {
    let of = |place: usize| {
        let said = answer.required(&place.to_string())?;
        Ok(match said.split_once(' ').unwrap_or((said, "")) {
            ("made", _) => Ok(Change::Made),
            ("none", _) => Ok(Change::NotNeeded),
            ("taken", why) => Err(SshError::Taken(why.into())),
            ("strange", why) => Err(SshError::Declined(why.into())),
            _ => return Err(answer.garbled("it does not say what became of a minion")),
        })
    };
    (1..=minions).map(of).collect()
}

/// What `standing.sh` says.
pub(crate) fn standing(answer: &Answer) -> Result<Standing, SshError> {
    let text = answer.text("public-key")?.ok_or(SshError::Absent("there is no master.pub: no salt-master has run there yet"))?;
    let key = PublicKey::from_pem(&text).ok_or_else(|| answer.garbled("master.pub is no public key"))?;
    let silent = lines(answer, "silent")?.into_iter().next();
    Ok(Standing { key, version: answer.text("version")?.as_deref().and_then(SaltVersion::find), silent, keys: held_keys(answer)? })
}

/// What `strain.sh` says.
pub(crate) fn strain(answer: &Answer) -> Result<Strain, SshError> {
    let number = |name| answer.required(name)?.parse().map_err(|_| answer.garbled("a number of it is none"));
    Ok(Strain { load: number("load")?, pending: number("pending")? })
}

/// What `quarantined.sh` says, and a part of what `standing.sh` does.
pub(crate) fn held_keys(answer: &Answer) -> Result<HeldKeys, SshError> {
    lines(answer, "keys")?.iter().map(|line| held(line).ok_or_else(|| answer.garbled("a line of it is no key"))).collect()
}

/// `STATE ID BODY`
fn held(line: &str) -> Option<HeldKey> {
    let (state, rest) = line.split_once(' ')?;
    let (id, body) = rest.rsplit_once(' ')?;
    let state = match state {
        "accepted" => KeyState::Accepted,
        "pending" => KeyState::Pending,
        "rejected" => KeyState::Rejected,
        "denied" => KeyState::Denied,
        _ => return None,
    };
    Some(HeldKey { id: id.into(), state, key: KeyFingerprint::of_body(body) })
}

/// What `ping.sh` says: the minions that answered.
pub(crate) fn answered(answer: &Answer) -> Result<BTreeSet<String>, SshError> {
    let stdout = answer.bytes("stdout")?.unwrap_or_default();
    let text = String::from_utf8_lossy(&stdout);
    // Nothing at all, or a sentence, where none of them is known there.
    let Some(start) = text.find('{') else { return Ok(BTreeSet::new()) };
    let said: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text[start..]).map_err(|_| answer.garbled("salt printed no JSON"))?;
    Ok(said.into_iter().filter(|(_, answer)| *answer == serde_json::Value::Bool(true)).map(|(id, _)| id).collect())
}

/// What `forget.sh` says: the ids that were removed.
pub(crate) fn removed(answer: &Answer) -> Result<BTreeSet<String>, SshError> {
    Ok(lines(answer, "removed")?.into_iter().collect())
}

/// What `restore.sh` says: the ids that were put back.
pub(crate) fn restored(answer: &Answer) -> Result<BTreeSet<String>, SshError> {
    Ok(lines(answer, "restored")?.into_iter().collect())
}

/// What `inspect.sh` says, of so many repositories.
pub(crate) fn workplace(answer: &Answer, repositories: usize) -> Result<Workplace, SshError> {
    let number = |name| answer.required(name)?.parse::<u64>().map_err(|_| answer.garbled("a number of it is none"));
    let disks = lines(answer, "disks")?
        .iter()
        .map(|line| disk(line).ok_or_else(|| answer.garbled("a line of it is no disk")))
        .collect::<Result<_, _>>()?;
    let roots = lines(answer, "roots")?
        .iter()
        .map(|line| root(line).ok_or_else(|| answer.garbled("a line of it is no folder")))
        .collect::<Result<_, _>>()?;
    let mut readable = vec![Some("it was not asked".to_owned()); repositories];
    // What git says may have been cut within a letter.
    let said = answer.bytes("repositories")?.unwrap_or_default();
    for line in String::from_utf8_lossy(&said).lines() {
        let (at, why) = repository(line).ok_or_else(|| answer.garbled("a line of it is no repository"))?;
        *readable.get_mut(at).ok_or_else(|| answer.garbled("it tells of a repository that nobody asked about"))? = why;
    }
    Ok(Workplace {
        now: Timestamp(i64::try_from(number("now")?.saturating_mul(1000)).unwrap_or(i64::MAX)),
        // Salt takes what is no number for its default.
        threads: number("threads").unwrap_or(5),
        processors: number("processors")?,
        disks,
        roots,
        repositories: readable,
        pillar: match answer.required("pillar")? {
            "rendered" => Pillar::Rendered,
            "errors" => Pillar::Errors,
            "failed" => Pillar::Failed,
            _ => Pillar::Unasked,
        },
    })
}

/// `MOUNT FREE-KIB USED-PERCENT`
fn disk(line: &str) -> Option<Disk> {
    let (rest, used) = line.rsplit_once(' ')?;
    let (mount, free) = rest.rsplit_once(' ')?;
    Some(Disk { mount: mount.into(), free_kib: free.parse().ok()?, used_percent: used.parse().ok()? })
}

/// `PATH CONTENT`
fn root(line: &str) -> Option<Root> {
    let (path, content) = line.rsplit_once(' ')?;
    let content = match content {
        "files" => Content::Files,
        "empty" => Content::Nothing,
        "missing" => Content::Missing,
        _ => return None,
    };
    Some(Root { path: path.into(), content })
}

/// `NUMBER yes`, `NUMBER no WHY`: where it stands in the list, and why it cannot be read.
fn repository(line: &str) -> Option<(usize, Option<String>)> {
    let (number, said) = line.split_once(' ')?;
    let at = number.parse::<usize>().ok()?.checked_sub(1)?;
    match said.split_once(' ').unwrap_or((said, "")) {
        ("yes", _) => Some((at, None)),
        ("no", "") => Some((at, Some("git does not say why".into()))),
        ("no", why) => Some((at, Some(why.into()))),
        _ => None,
    }
}
