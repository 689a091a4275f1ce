//! Does a node keep who comes too late from changing it?

use crate::{
    nodes::Node,
    server::{host, over_both},
};
use async_trait::async_trait;
use bldr_adapters_ssh::{Pool, SshMasters, SshMinions, SshSettings, SshSetup, Transport};
use bldr_core::{
    address::MasterAddress,
    error::PortErrorKind,
    fleet::{Host, PublicKey},
    ports::{Fence, HighstateMode, Minions, Tenure},
};
use bldr_testkit::contract::{
    fence::{Believing, Bench, View, suite},
    minions::{self, Bench as _, HighstateEnd},
};
use futures::channel::mpsc::unbounded;
use std::{sync::Arc, time::Duration};

struct Fenced {
    node: Node,
    settings: SshSettings,
}

impl Fenced {
    fn new(transport: Transport, user: &str) -> Self {
        let node = Node::new(transport, user);
        let settings = SshSettings { user: user.into(), ..node.server.settings(transport) };
        Self { node, settings }
    }

    fn pool(&self, fence: Arc<dyn Fence>) -> Pool {
        Pool::new(SshSettings { fence: Some(fence), ..self.settings.clone() })
    }
}

#[async_trait]
impl Bench for Fenced {
    fn view(&self, fence: &Arc<Believing>) -> View<'_> {
        let pool = self.pool(fence.clone());
        View {
            minions: Box::new(SshMinions::new(pool.clone())),
            masters: Box::new(SshMasters::new(pool.clone())),
            setup: Box::new(SshSetup::new(pool)),
        }
    }
    fn host(&self) -> Host {
        host(1)
    }
    fn address(&self) -> MasterAddress {
        minions::Bench::address(&self.node)
    }
    fn master_key(&self) -> PublicKey {
        minions::Bench::master_key(&self.node)
    }
    async fn put(&self, path: &str, content: Option<&str>) {
        self.node.put(path, content).await;
    }
    async fn get(&self, path: &str) -> Option<String> {
        self.node.get(path).await
    }
    async fn has_put_itself_back(&self, _: Duration) {
        let back = async {
            while self.node.get("/var/lib/bldr/switch/deadline").await.is_some() {
                // A file tells nobody when it goes.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), back).await.expect("its watchdog comes");
    }
}

over_both! {
    async fn a_node_does_not_listen_to_who_comes_too_late(transport) {
        for user in ["root", "deploy"] {
            let fenced = Fenced::new(transport, user);
            suite(&fenced).await;
            assert_eq!(fenced.node.mode("/var/lib/bldr/tenure"), 0o600, "for root alone");
        }
    }
}

/// An id that somebody has written into the lock by hand is a word, and nothing that a shell would do.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lock_calls_itself_is_no_command() {
    let fenced = Fenced::new(Transport::Thrussh, "root");
    let lock = "$(touch /etc/owned);'`touch /etc/owned`".to_owned();
    let fence = Arc::new(Believing::in_a(Some(Tenure { lock: lock.clone(), epoch: 1 })));
    SshMinions::new(fenced.pool(fence)).write_build_vars(&host(1), "b2xk").await.unwrap();
    assert_eq!(fenced.node.get("/etc/owned").await, None);
    assert_eq!(fenced.node.get("/var/lib/bldr/tenure").await, Some(format!("{lock} 1\n")));
}

/// It ran for minutes, and meanwhile a colleague has moved the node: the mark is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_highstate_that_ends_too_late_leaves_the_mark_of_who_came_after() {
    let fenced = Fenced::new(Transport::Thrussh, "root");
    fenced.node.put(minions::DUE, Some("10.0.0.9\n")).await;
    fenced.node.set_highstate(HighstateEnd::Succeeds).await;
    let answer = fenced.node.server.dir.path().join("highstate.json").display().to_string();
    let salt_call = format!("#!/bin/sh\necho '4f 8' >/var/lib/bldr/tenure\ncat {answer}\n");
    std::fs::write(fenced.node.server.dir.path().join("bin/salt-call"), salt_call).unwrap();
    let fence = Arc::new(Believing::in_a(Some(Tenure { lock: "4f".into(), epoch: 7 })));
    let minions = SshMinions::new(fenced.pool(fence.clone()));
    let error = minions.highstate(&host(1), HighstateMode::Apply, unbounded().0).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    assert!(error.to_string().contains("(epoch 8, this run has 7): the highstate has run, and is due still"), "{error}");
    assert!(fenced.node.get(minions::DUE).await.is_some() && fence.heard().is_some());
}

/// Killed at any step, the node knows of it before anything else is changed, or of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_node_knows_who_was_there_before_anything_else_is_changed() {
    let fenced = Fenced::new(Transport::Thrussh, "root");
    let trap = fenced.node.server.dir.path().join("kill-at-change");
    let mut known_and_unchanged = 0;
    for step in 0..40 {
        fenced.node.put("/var/lib/bldr/tenure", None).await;
        fenced.node.put(minions::BUILD_VARS, Some("b2xk")).await;
        std::fs::write(&trap, step.to_string()).unwrap();
        let fence = Arc::new(Believing::in_a(Some(Tenure { lock: "4f".into(), epoch: 1 })));
        let killed = SshMinions::new(fenced.pool(fence)).write_build_vars(&host(1), "bmV3").await.is_err();
        std::fs::remove_file(&trap).unwrap();
        let (vars, tenure) = (fenced.node.get(minions::BUILD_VARS).await.unwrap(), fenced.node.get("/var/lib/bldr/tenure").await);
        assert!(tenure.as_deref().is_none_or(|tenure| tenure == "4f 1\n"), "killed at step {step}: {tenure:?}");
        assert!(vars == "b2xk" || tenure.is_some(), "killed at step {step}: {vars}");
        known_and_unchanged += usize::from(vars == "b2xk" && tenure.is_some());
        if !killed {
            assert!(known_and_unchanged > 2 && vars == "bmV3", "{known_and_unchanged} of {step} steps");
            return;
        }
    }
    panic!("it was killed at every one of 40 steps");
}
