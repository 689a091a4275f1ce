//! What did a script find out? Its frames, made into what the core asks for.

use crate::{error::SshError, script::Answer};
use bldr_core::{
    fleet::{NodeFiles, PublicKey},
    ports::Change,
};

/// What `read.sh` says.
///
/// A re-pointing that was killed before it had started the minion again leaves everything looking right and the minion
/// down. The trusted key is then given as absent: the node takes orders from nobody, and is to be re-pointed.
pub(crate) fn node_files(answer: &Answer) -> Result<NodeFiles, SshError> {
    let unfinished = answer.bytes("repointing")?.is_some();
    Ok(NodeFiles {
        build_vars: answer.text("build-vars")?,
        minion_config: answer.text("minion-config")?,
        trusted_key: answer.text("trusted-key")?.filter(|_| !unfinished),
        highstate_due: answer.bytes("highstate-due")?.is_some(),
    })
}

/// What `repoint.sh` says.
pub(crate) fn change(answer: &Answer) -> Result<Change, SshError> {
    match answer.required("change")? {
        "made" => Ok(Change::Made),
        "none" => Ok(Change::NotNeeded),
        _ => Err(answer.garbled("it says neither that something changed nor that nothing did")),
    }
}

/// What `public-key.sh` says.
pub(crate) fn master_key(answer: &Answer) -> Result<PublicKey, SshError> {
    let text = answer.text("public-key")?.ok_or(SshError::Absent("there is no master.pub: no salt-master has run there yet"))?;
    PublicKey::from_pem(&text).ok_or_else(|| answer.garbled("master.pub is no public key"))
}
