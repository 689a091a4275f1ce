//! What did a script find out? Its frames, made into what the core asks for.

use crate::{error::SshError, script::Answer};
use bldr_core::{
    fleet::{HeldKey, HeldKeys, Kept, KeyFingerprint, KeyState, NodeFiles, Outlook, PublicKey, Standing},
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
    let mut obstacles = lines(answer, "obstacles")?;
    if version.is_none() {
        obstacles.insert(0, "there is no salt-minion on it".into());
    }
    Ok(Outlook { version, obstacles })
}

fn lines(answer: &Answer, name: &str) -> Result<Vec<String>, SshError> {
    Ok(answer.text(name)?.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty()).map(Into::into).collect())
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

/// What `standing.sh` says.
pub(crate) fn standing(answer: &Answer) -> Result<Standing, SshError> {
    let text = answer.text("public-key")?.ok_or(SshError::Absent("there is no master.pub: no salt-master has run there yet"))?;
    let key = PublicKey::from_pem(&text).ok_or_else(|| answer.garbled("master.pub is no public key"))?;
    let silent = lines(answer, "silent")?.into_iter().next();
    Ok(Standing { key, version: answer.text("version")?.as_deref().and_then(SaltVersion::find), silent, keys: held_keys(answer)? })
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
