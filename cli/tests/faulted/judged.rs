//! What must be so after a fault, and what after the run that comes next?

use super::{Faulted, address};
use crate::salted::{A, B, BUILD_VARS, CONFIG, SOON, TRUSTED};
use bldr_core::{build_vars::BuildVars, context::Context, fleet::ContextFacts, fleet::PublicKey, minion_config};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

impl Faulted {
    /// No context is lost or half written, and every minion that runs answers exactly one master.
    pub async fn judge(&self) {
        for stack in &self.stacks {
            let text = self.context(stack.name).await;
            let context =
                Context::parse(&text).unwrap_or_else(|error| panic!("the context of {} is half written: {error}\n{text}", stack.name));
            let ContextFacts::Mastered { masters, .. } = context.facts().unwrap() else { panic!("{} names no master: {text}", stack.name) };
            let known = [address(A), address(B)];
            assert!(matches!(&masters[..], [one] if known.contains(&&**one)), "{} names {masters:?}", stack.name);
        }
        let (running, begun) = (self.running().await, Instant::now());
        let wanted: BTreeSet<_> = running.iter().cloned().collect();
        loop {
            let (a, b) = futures::join!(self.fleet.answering(A, &running), self.fleet.answering(B, &running));
            assert!(a.is_disjoint(&b), "{:?} answer both masters", a.intersection(&b).collect::<Vec<_>>());
            let answer: BTreeSet<_> = a.union(&b).cloned().collect();
            if answer == wanted {
                return;
            }
            assert!(begun.elapsed() < SOON, "orphans: {:?}", wanted.difference(&answer).collect::<Vec<_>>());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What an operator's last run is recorded to have done is so, and all that it told is recorded. The steps of which nobody knows the end.
    pub async fn is_recorded(&self, home: &Path, stack: &str, to: &str, told: &[Value]) -> Vec<String> {
        let (code, shown, _) = self.fleet.bldr_at(home, &[&format!("run.show:last,{stack}")]).await;
        assert_eq!(code, Some(0), "{shown:?}");
        // Where a stack has none, there is no list of them.
        let (run, steps) = (&shown[0], shown[0]["steps"].as_array().cloned().unwrap_or_default());
        let ended = told.last().is_some_and(|event| event["event"] == "run_finished");
        assert_eq!(run["standing"], if ended { "ended" } else { "cut_short" }, "{stack}: {run}");
        let said = |kinds: &[&str]| -> Vec<(Value, Value)> {
            let of_it = told.iter().filter(|event| kinds.contains(&event["event"].as_str().unwrap()) && event["stack"] == stack);
            of_it.map(|event| (event["action"].clone(), number(&event["node"]))).collect()
        };
        let recorded: Vec<_> = steps.iter().map(|step| (step["action"].clone(), step["node"].clone())).collect();
        assert!(recorded.starts_with(&said(&["step_started"])), "{stack}: {recorded:?}");
        let over = steps.iter().filter(|step| !step["millis"].is_null()).count();
        assert!(over >= said(&["step_finished", "step_failed"]).len(), "{stack}: {run}");
        let open: Vec<_> = steps.iter().filter(|step| step["millis"].is_null()).collect();
        let doubtful: Vec<_> = run["doubtful"].as_array().unwrap().iter().filter(|step| step["stack"] == stack).collect();
        assert_eq!(doubtful, open, "{stack}: {run}");
        assert!(!ended || open.is_empty(), "{stack}: {run}");
        let other = if to == A { B } else { A };
        match run["outcomes"][stack].as_str() {
            Some("remastered" | "already_there") => self.is_at(stack, to).await,
            Some("rolled_back") => self.is_at(stack, other).await,
            _ => {}
        }
        doubtful.iter().map(|step| step["action"].as_str().unwrap().to_owned()).collect()
    }

    /// The files of all nodes of a stack, and its context, name this master.
    pub async fn is_at(&self, stack: &str, master: &str) {
        let (nodes, address) = (self.nodes(), address(master));
        for node in nodes.iter().filter(|node| node.rsplit_once("--").unwrap().0 == stack) {
            let (config, key, vars) =
                futures::join!(self.fleet.file(node, CONFIG), self.fleet.file(node, TRUSTED), self.fleet.file(node, BUILD_VARS));
            assert_eq!(minion_config::master_of(&config.unwrap()).as_deref(), Some(address), "{node}");
            assert_eq!(PublicKey::from_pem(&key.unwrap()), PublicKey::from_pem(&self.fleet.keys[master].public_pem), "{node}");
            assert_eq!(BuildVars::decode(&vars.unwrap()).unwrap().master().unwrap().as_str(), address, "{node}");
        }
        let (context, other) = (self.context(stack).await, if master == A { super::address(B) } else { super::address(A) });
        assert!(context.contains(address) && !context.contains(other), "{stack}: {context}");
    }

    /// Everything about every node names this master, which alone commands it; who slept sleeps again, and nobody else holds a key.
    pub async fn arrived(&self, to: &str) {
        let (running, asleep) = (self.running().await, self.asleep());
        assert_eq!(running.len() + asleep.len(), self.nodes().len(), "{:?}", self.states().await);
        self.fleet.assert_on(to, &running).await;
        for stack in &self.stacks {
            self.is_at(stack.name, to).await;
        }
        assert_eq!(self.fleet.accepted(if to == A { B } else { A }).await, Vec::<String>::new());
    }
}

/// The number of a node, by its name; of no node none.
fn number(node: &Value) -> Value {
    node.as_str().and_then(|name| name.rsplit_once("--")?.1.parse::<u64>().ok()).into()
}
