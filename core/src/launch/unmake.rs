//! How does a stack go? All that a launch made, in the order in which an interruption leaves something to go on from: the context
//! goes last.

use super::make::Ports;
use crate::{
    counted::counted,
    error::PortResult,
    event::{Action, Event, Outcome},
    execute::{
        RunReport,
        telling::{Done, Stepped, Trouble},
    },
    fleet::{Host, Node},
    name::StackName,
    ports::{Change, Revision},
    update::Run,
};

/// What is to go.
pub struct Destruction<'a> {
    /// The stack.
    pub stack: &'a StackName,
    /// Its machines, as they were listed.
    pub nodes: &'a [Node],
    /// The revision of its context, where it has one.
    pub context: Option<&'a Revision>,
}

/// Destroys a stack. What has other tags than its own is never touched.
pub async fn destroy(what: &Destruction<'_>, run: &Run, ports: &Ports<'_>) -> RunReport {
    let telling = ports.update.telling(run);
    let begun = telling.now();
    telling.tell(run.started(what.stack)).await;
    telling.tell(Event::StackStarted { stack: what.stack.clone(), was: None }).await;
    let ended = async {
        telling.step(what.stack, None, Action::Remove, removed(what, ports)).await?;
        telling.step(what.stack, None, Action::RemoveContext, without_context(what, ports)).await
    };
    let (outcome, reason) = match ended.await {
        Ok(()) => (Outcome::Destroyed, None),
        Err(Trouble { reason, .. }) => (Outcome::Failed, Some(format!("{reason}; the same again goes on from here"))),
    };
    telling.finish(what.stack, outcome, reason, telling.millis_since(begun)).await;
    telling.close(begun).await
}

async fn removed(what: &Destruction<'_>, ports: &Ports<'_>) -> Stepped {
    // Before the machines: who comes after a kill does not know their addresses any more.
    forgotten(what, ports).await?;
    let found = ports.provisioning.remove(what.stack).await?;
    // That took minutes. Whoever has the lock by now may have made the stack anew, and its key pair.
    ports.update.fence.standing()?;
    let own = ports.key_pairs.remove(what.stack).await?;
    let some = |count: usize, thing| (count > 0).then(|| counted(count, thing));
    let gone = [
        some(found.instances.len(), "machine"),
        some(found.security_groups.len(), "security group"),
        found.key_pair.map(|_| "its key pair".into()),
        // Nothing can be logged in to with it any more.
        own.map(|place| format!("its private key {place}")),
    ];
    let gone: Vec<String> = gone.into_iter().flatten().collect();
    Ok(if gone.is_empty() { Change::NotNeeded.into() } else { Done::from(Change::Made).saying(gone.join(", ")) })
}

/// What this operator's machine remembers of them.
async fn forgotten(what: &Destruction<'_>, ports: &Ports<'_>) -> PortResult<()> {
    for node in what.nodes {
        if let Some(address) = node.reach.clone() {
            ports.host_keys.forget(&Host { node: node.name.clone(), address }).await?;
        }
        ports.update.sleepers.forget(&node.name).await?;
    }
    Ok(())
}

async fn without_context(what: &Destruction<'_>, ports: &Ports<'_>) -> Stepped {
    let change = match what.context {
        None => Change::NotNeeded,
        Some(revision) => {
            ports.update.contexts.remove(what.stack, revision).await?;
            Change::Made
        }
    };
    ports.launches.end(what.stack).await?;
    Ok(change.into())
}
