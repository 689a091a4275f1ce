//! `destroy`: is a stack to go? Its name is typed, and all that a launch made is removed, and only that.

use super::{
    Session,
    fleet_lock::Held,
    named, retire, update,
    watched::{Work, ended, run_of, watched},
};
use crate::{
    exit::{Code, Exit},
    screen::line::counted,
    wiring::Ports,
};
use bldr_core::{
    error::PortErrorKind,
    fleet::{Fleet, Node},
    launch::{self, Destruction},
    name::StackName,
    ports::{Begun, Belongings, Operator},
};

/// Destroys a stack.
///
/// # Errors
/// A stack that is not there or has what bldr did not make, a master that something points to, a name that nobody typed. How it
/// ended is in the events and the code.
pub async fn destroy(stack: &StackName, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let (held, screen) = (Held::take(&ports.stores, session).await?, session.screen.clone());
    let ended = async {
        let machine = ports.provisioning.found(stack).await.map_err(Exit::blind)?.instances.len();
        // Nobody takes orders from what has no machine.
        if stack.is_master() && machine > 0 {
            let begun = ports.stores.launches.begun(stack).await?;
            retire::unneeded(stack, begun.as_ref(), ports, session).await?;
        }
        gone(stack, ports, session).await
    };
    held.during(screen, ended).await
}

/// Destroys a stack that may go, under the lock.
pub(super) async fn gone(stack: &StackName, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let fleet = update::listed(ports, session).await?;
    let found = ports.provisioning.found(stack).await.map_err(Exit::blind)?;
    let context = match ports.stores.contexts.load(stack).await {
        Err(error) if error.kind == PortErrorKind::NotFound => None,
        answer => Some(answer.map_err(Exit::blind)?.revision),
    };
    let begun = ports.stores.launches.begun(stack).await?;
    if found.is_empty() && begun.is_none() {
        named::stack(&fleet, stack)?;
        let problem = format!("there is nothing of {stack} in {} but its context, and bldr has not begun to make it here", fleet.region);
        return Err(Exit::refused(problem).line("nothing was changed; it may be in another region, or have no machines at all"));
    }
    let nodes = own(stack, &fleet, &found)?;
    // Killed after this, the same goes on, whatever is left by then.
    let mark = begun.unwrap_or_else(|| Begun { stack: stack.clone(), alternate: None, at: ports.stores.clock.now(), going: true });
    session.terminal.type_out(stack.as_str(), &question(stack, &found, context.is_some())).await?;
    ports.stores.gate.affirmed().await?;
    ports.stores.launches.begin(&mark).await?;
    let run = run_of(session, ports.stores.clock.now());
    let destruction = Destruction { stack, nodes: &nodes, context: context.as_ref() };
    let work = async |operator: &dyn Operator| launch::destroy(&destruction, &run, &ports.of_a_launch(operator)).await;
    let report = watched(Work::Destruction(&run.id), &ports.stores, session, work).await?;
    ended(&report, session)
}

/// Its nodes, all of which bldr made.
fn own(stack: &StackName, fleet: &Fleet, found: &Belongings) -> Result<Vec<Node>, Exit> {
    let nodes: Vec<Node> = fleet.stacks.get(stack).map(|stack| stack.nodes.clone()).unwrap_or_default();
    let made = |node: &&Node| !found.instances.iter().any(|instance| instance.id == node.id);
    let foreign: Vec<String> = nodes.iter().filter(made).map(|node| node.id.to_string()).collect();
    if foreign.is_empty() {
        return Ok(nodes);
    }
    Err(Exit::refused(format!("{stack} has machines that bldr did not make: {}", foreign.join(", ")))
        .line("nothing was changed; what CloudFormation or Terraform made goes the way it came"))
}

/// What there is of it, and so would go.
fn question(stack: &StackName, found: &Belongings, context: bool) -> String {
    let some = |count: usize, thing: &str| match count {
        0 => None,
        1 => Some(format!("the {thing}")),
        _ => Some(format!("the {}", counted(count, thing))),
    };
    let parts = [
        some(found.instances.len(), "machine"),
        some(found.security_groups.len(), "security group"),
        some(usize::from(found.key_pair.is_some()), "key pair"),
        some(usize::from(context), "context"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.split_last() {
        None => format!("Nothing is left of {stack} but that its launch has begun. This forgets it."),
        Some((last, [])) => format!("This removes {last} of {stack}."),
        Some((last, others)) => format!("This removes {} and {last} of {stack}.", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bldr_core::ports::SecurityGroupId;

    #[test]
    fn only_what_there_is_would_go() {
        let stack: StackName = "harbor--ci".parse().unwrap();
        let group = |id: &str| SecurityGroupId(id.into());
        let mut found = Belongings::default();
        assert_eq!(question(&stack, &found, false), "Nothing is left of harbor--ci but that its launch has begun. This forgets it.");
        assert_eq!(question(&stack, &found, true), "This removes the context of harbor--ci.");
        found.security_groups = vec![group("sg-1"), group("sg-2")];
        assert_eq!(question(&stack, &found, true), "This removes the 2 security groups and the context of harbor--ci.");
        found.security_groups.pop();
        found.key_pair = Some(stack.to_string());
        assert_eq!(question(&stack, &found, true), "This removes the security group, the key pair and the context of harbor--ci.");
    }
}
