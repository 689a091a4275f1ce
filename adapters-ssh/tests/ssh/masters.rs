//! Do the scripts do to a master's keys what the port promises?

use crate::{
    nodes::{KEY, Node},
    server::{host, over_both},
};
use async_trait::async_trait;
use bldr_adapters_ssh::{SshMasters, Transport};
use bldr_core::{
    fleet::{HeldKey, Host},
    ports::Masters,
};
use bldr_testkit::contract::{self, minions::Bench as _};

struct Master(Node, SshMasters);

impl Master {
    async fn new(transport: Transport, user: &str) -> Self {
        let node = Node::new(transport, user);
        node.put("/etc/salt/pki/master/master.pub", Some(KEY)).await;
        let masters = SshMasters::new(node.pool.clone());
        Self(node, masters)
    }
}

#[async_trait]
impl contract::masters::Bench for Master {
    fn masters(&self) -> &dyn Masters {
        &self.1
    }
    fn host(&self) -> Host {
        host(1)
    }
    async fn put(&self, path: &str, content: Option<&str>) {
        self.0.put(path, content).await;
    }
    async fn get(&self, path: &str) -> Option<String> {
        self.0.get(path).await
    }
}

over_both! {
    async fn masters_keep_their_contract(transport) {
        for user in ["root", "deploy"] {
            contract::masters::suite(&Master::new(transport, user).await).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_forgotten_in_one_go_and_kept_for_root_alone() {
    let Master(node, masters) = Master::new(Transport::Thrussh, "root").await;
    for stack in ["harbor", "quill"] {
        node.put(&format!("/etc/salt/pki/master/minions/{stack}--ci--1"), Some(KEY)).await;
    }
    let held: Vec<HeldKey> = masters.read(&host(1)).await.unwrap().keys.iter().cloned().collect();
    assert_eq!(masters.forget(&host(1), &held).await.unwrap().len(), 2);
    assert_eq!(node.server.calls("salt-key"), ["--yes --delete=harbor--ci--1,quill--ci--1"], "one go, one rotation");
    assert_eq!(node.get("/var/lib/bldr/quarantine/minions/harbor--ci--1").await.as_deref(), Some(KEY));
    assert_eq!((node.mode("/var/lib/bldr/quarantine"), node.mode("/var/lib/bldr/quarantine/minions")), (0o700, 0o700));
    masters.forget(&host(1), &held).await.unwrap();
    assert_eq!(node.server.calls("salt-key").len(), 1, "nothing to remove, nothing to rotate");
}
