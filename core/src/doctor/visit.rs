//! Who is asked whether a master is fit? Its own machine, and a minion of each network.

use super::{Check, without_secrets};
use crate::{
    fleet::{ContextFacts, Fleet, InstanceState, KeyState, Node, Reading, Stack, Timestamp},
    name::StackName,
    ports::{Masters, Minions},
    readiness, survey,
    survey::NewMaster,
};
use futures::{StreamExt, stream};
use std::collections::BTreeMap;

/// How many minions are asked at once.
const AT_ONCE: usize = 8;

/// Asks everybody, and says what came of it: a line a check. Of the fleet the contexts have to be read; `now` is our own clock.
pub async fn visit(
    fleet: &Fleet,
    master: &StackName,
    repositories: &[String],
    masters: &dyn Masters,
    minions: &dyn Minions,
    now: impl Fn() -> Timestamp,
) -> Vec<Check> {
    let stack = fleet.stacks.get(master);
    let mut checks = vec![Check::machine(stack.and_then(Stack::state), master.as_str())];
    let node = stack.and_then(Stack::running);
    let Some((node, host)) = node.and_then(|node| Some((node, node.host()?))) else { return checks };
    let has_master = |stack: &&Stack| matches!(stack.context, Reading::Read(ContextFacts::Mastered { .. }));
    let others = || fleet.stacks.values().filter(|stack| !stack.name.is_master()).filter(has_master).flat_map(|stack| &stack.nodes);
    let standing = match masters.read(&host).await {
        Ok(standing) => standing,
        Err(error) => {
            let advice = error.advice.clone().unwrap_or_else(|| format!("`bldr update:{master}` sets it up"));
            checks.push(Check::no("salt-master", without_secrets(&error.problem), advice));
            return checks;
        }
    };
    let version = standing.version.as_ref().map_or_else(|| "an unknown version".into(), ToString::to_string);
    checks.push(match &standing.silent {
        None => Check::ok("salt-master", format!("it answers, Salt {version}")),
        Some(why) => Check::no("salt-master", why.clone(), "`systemctl status salt-master` on it says more"),
    });
    // Of a minion that has never come here the master knows no grains, and many a pillar cannot be rendered without.
    let accepted = |node: &&Node| standing.keys.under(&node.name.to_string()).iter().any(|held| held.state == KeyState::Accepted);
    let sample = others().find(accepted).map(|node| node.name.to_string());
    match masters.inspect(&host, repositories, sample.clone()).await {
        Ok(workplace) => checks.extend(workplace.checks(repositories, others().count() as u64, now(), sample.as_deref())),
        Err(error) => checks.push(Check::no("its machine", without_secrets(&error.problem), "run this again")),
    }
    let Some(address) = node.private.clone() else { return checks };
    let peers = [Some(&address), node.reach.as_ref()].into_iter().flatten().cloned().collect();
    let master = NewMaster { stack: master.clone(), host, address, peers, standing };
    let asking = stream::iter(one_a_network(others())).map(|(network, node)| asked(network, node, &master, minions));
    checks.extend(asking.buffered(AT_ONCE).collect::<Vec<_>>().await);
    checks
}

/// A running node of each network, by the first three numbers of its private address: what keeps one of them from a master
/// (a security group, a route) keeps its neighbours from it, too.
fn one_a_network<'n>(nodes: impl Iterator<Item = &'n Node>) -> BTreeMap<String, &'n Node> {
    let mut found = BTreeMap::new();
    for node in nodes.filter(|node| node.state == InstanceState::Running && node.reach.is_some()) {
        let network = node.private.as_ref().and_then(|address| Some(address.as_str().rsplit_once('.')?.0.to_owned()));
        found.entry(network.unwrap_or_default()).or_insert(node);
    }
    found
}

async fn asked(network: String, node: &Node, master: &NewMaster, minions: &dyn Minions) -> Check {
    let about = if network.is_empty() { format!("minion {}", node.name) } else { format!("minions of {network}.*") };
    let Some(host) = node.host() else { return Check::warning(about, "none of them has an address", "`bldr stacks` shows them") };
    let said = minions.examine(&host, &master.address).await;
    minions.release(&host).await;
    match said {
        Err(error) => {
            let advice = error.advice.clone().unwrap_or_else(|| "run this again".into());
            Check::warning(about, format!("{} could not be asked: {}", node.name, error.problem), advice)
        }
        Ok((files, outlook)) => match readiness::of(&node.name, &survey::evidence(&files), &outlook, master) {
            Ok(()) => Check::ok(about, format!("{} reaches it, and could join", node.name)),
            Err(why) => {
                Check::no(about, why, "its security group and routes have to let minions in at 4505 and 4506, unless that says other")
            }
        },
    }
}
