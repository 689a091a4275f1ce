//! Does a minion take orders from a master? It says so itself, and the master gets an answer from it.

use super::telling::Telling;
use crate::{
    address::MasterAddress,
    error::{PortErrorKind, PortResult},
    fleet::{Host, PublicKey},
    name::StackName,
    ports::{Masters, Minions, Proof},
};
use std::time::Duration;

/// How long a master waits for the answer to one question.
const PING: Duration = Duration::from_secs(3);

/// What is waited for.
pub(crate) struct Joining<'a> {
    pub(crate) telling: &'a Telling<'a>,
    pub(crate) minions: &'a dyn Minions,
    pub(crate) masters: &'a dyn Masters,
    /// What the minion has to name.
    pub(crate) address: &'a MasterAddress,
    /// What it has to trust.
    pub(crate) key: &'a PublicKey,
    /// The master to ask for it, where that can be asked.
    pub(crate) master: Option<Asked<'a>>,
}

/// A master that is asked for a minion.
pub(crate) struct Asked<'a> {
    /// What the minion shows it.
    pub(crate) id: String,
    pub(crate) name: &'a StackName,
    pub(crate) at: &'a Host,
}

impl Joining<'_> {
    /// Waits until a node takes orders from the master and from nobody else; or why it does not.
    pub(crate) async fn awaited(&self, host: &Host, within: Duration) -> PortResult<Option<String>> {
        let begun = self.telling.now();
        let proof = self.telling.patiently(async || self.minions.prove(host, self.address, self.key, within).await).await?;
        let Asked { id, name, at } = match (proof, &self.master) {
            (Proof::Unproven(why), _) => return Ok(Some(why)),
            (Proof::Proven, None) => return Ok(None),
            (Proof::Proven, Some(master)) => master,
        };
        let bound = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        loop {
            let answered = self.masters.ping(at, std::slice::from_ref(id), within.min(PING)).await;
            match answered {
                Ok(ids) if ids.contains(id) => return Ok(None),
                Ok(_) if self.telling.millis_since(begun) >= bound => return Ok(Some(format!("{name} gets no answer from it"))),
                Err(error) if error.kind != PortErrorKind::Unreachable || self.telling.millis_since(begun) >= bound => {
                    return Ok(Some(error.to_string()));
                }
                _ => self.telling.pause(Duration::from_secs(1)).await,
            }
        }
    }
}
