//! Which nodes of a stack are meant, and where can they be asked?

use super::{Session, named};
use crate::{
    exit::{Code, Exit},
    request::{User, Which},
    wiring::Ports,
};
use bldr_core::{
    error::{PortError, PortErrorKind},
    fleet::{Host, InstanceState, Node},
    survey::{Depth, survey},
};

impl Which {
    /// These nodes, in order of their numbers; one at least.
    ///
    /// # Errors
    /// Refused where there is no such stack, or no such node in it. A fleet that cannot be seen.
    pub async fn listed(&self, ports: &Ports, session: &Session) -> Result<Vec<Node>, Exit> {
        let fleet = survey(&ports.sources(&session.place), |_| Depth::Listed).await.map_err(Exit::blind)?;
        let nodes = named::stack(&fleet, &self.stack)?.nodes.clone();
        if nodes.is_empty() {
            return Err(Exit::refused(format!("{} has no instance in {}", self.stack, fleet.region)));
        }
        let Some(number) = self.number else { return Ok(nodes) };
        match nodes.iter().find(|node| node.name.number() == number) {
            Some(node) => Ok(vec![node.clone()]),
            None => Err(Exit::refused(format!("{} has no node {number}: it has {}", self.stack, names(&nodes)))),
        }
    }

    /// The one node, for what can be done with one only.
    ///
    /// # Errors
    /// As [`Which::listed`]; and refused where there are several and none was named, or where it cannot be asked.
    pub async fn one(&self, ports: &Ports, session: &Session) -> Result<Host, Exit> {
        let nodes = self.listed(ports, session).await?;
        match &nodes[..] {
            [node] => host(node).map_err(|problem| Exit::refused(format!("{}: {problem}", node.name))),
            several => Err(Exit::refused(format!("{} has {} nodes: {}", self.stack, several.len(), names(several)))
                .line(format!("say which with node=N, as in node={}", several.first().map_or(1, |node| node.name.number())))),
        }
    }
}

/// Where a node can be asked; why not, where it cannot.
///
/// # Errors
/// Half a sentence.
pub fn host(node: &Node) -> Result<Host, String> {
    if node.state != InstanceState::Running {
        return Err(format!("it is {} and cannot be asked", node.state));
    }
    node.host().ok_or_else(|| "it has no address to connect to".into())
}

/// The error of a login as this user, with what else there is to try: a machine that no highstate has run on has no deploy user.
pub fn advised(error: PortError, user: User) -> PortError {
    if error.kind != PortErrorKind::Denied || user != User::Deploy {
        return error;
    }
    let other = "use_bootstrap_user=yes logs in as `users.bootstrap`, whom every machine has".to_owned();
    let advice = error.advice.as_ref().map_or(other.clone(), |advice| format!("{other}; or {advice}"));
    error.advise(advice)
}

/// What failed while something was to be changed on a machine. That nothing was is said where it is known: a connection that was
/// lost says neither.
pub fn unchanged(error: PortError) -> Exit {
    match error.kind {
        PortErrorKind::Refused | PortErrorKind::Conflict | PortErrorKind::NotFound => Exit::from(error).line("nothing was changed"),
        PortErrorKind::Denied => error.into(),
        PortErrorKind::Unreachable | PortErrorKind::Malformed => Exit { code: Code::Failed, ..error.into() },
    }
}

fn names(nodes: &[Node]) -> String {
    nodes.iter().map(|node| node.name.to_string()).collect::<Vec<_>>().join(", ")
}
