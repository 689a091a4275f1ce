//! Do the scripts do to a master's keys what the port promises?

use crate::{
    nodes::{KEY, Node},
    server::{host, over_both, run},
};
use async_trait::async_trait;
use bldr_adapters_ssh::{SshMasters, Transport};
use bldr_core::{
    doctor::{Content, Pillar},
    fleet::{HeldKey, Host},
    ports::Masters,
};
use bldr_testkit::contract::{self, minions::Bench as _};
use std::time::{SystemTime, UNIX_EPOCH};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_master_has_to_work_with_is_told_and_its_secrets_are_not() {
    let Master(node, masters) = Master::new(Transport::Thrussh, "deploy").await;
    let path = |name: &str| node.server.dir.path().join(name).display().to_string();
    for repository in ["full", "empty"] {
        run("git", &["init", "--quiet", "--bare", &path(repository)]);
    }
    run("git", &["clone", "--quiet", &path("full"), &path("work")]);
    let commit = ["-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "--quiet", "--allow-empty", "-m", "one"];
    run("git", &[&["-C", &path("work")], &commit[..]].concat());
    run("git", &["-C", &path("work"), "push", "--quiet", "origin", "HEAD"]);
    // It is root who reads them, and git trusts no folder of somebody else's.
    node.put("/etc/gitconfig", Some("[safe]\n\tdirectory = *\n")).await;
    node.put("/etc/salt/master", Some("worker_threads: 12\n")).await;
    node.put("/etc/states/top.sls", Some("base: {}\n")).await;
    node.put("/etc/bare/.git/HEAD", Some("no state\n")).await;
    let answers = |name: &str, text: &str| std::fs::write(path(&format!("{name}.json")), text).unwrap();
    answers("config.get", "{\n    \"base\": [\n        \"/etc/states\",\n        \"/etc/bare\",\n        \"/none\"\n    ]\n}\n");
    answers("pillar.show_pillar", "{\n    \"password\": \"s3cret\"\n}\n");
    let urls = [path("full"), path("empty"), path("none"), "ssh://git@127.0.0.1:1/x".into()];
    let inspect = async || masters.inspect(&host(1), &urls, Some("harbor--ci--1".into())).await.unwrap();

    let found = inspect().await;
    let why: Vec<_> = found.repositories.iter().map(|why| why.as_deref().unwrap_or("fine")).collect();
    assert_eq!(why[..2], ["fine", "it is empty"]);
    assert!(why[2].contains("does not appear to be a git repository") && why[3].contains("Connection refused"), "{why:?}");
    let roots: Vec<_> = found.roots.iter().map(|root| (root.path.as_str(), root.content)).collect();
    assert_eq!(roots, [("/etc/bare", Content::Nothing), ("/etc/states", Content::Files), ("/none", Content::Missing)]);
    assert_eq!((found.threads, found.pillar, found.processors > 0), (12, Pillar::Rendered, true));
    assert!(found.disks.iter().any(|disk| disk.mount == "/" && disk.free_kib > 0), "{:?}", found.disks);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(u64::try_from(found.now.0 / 1000).unwrap()) < 60);

    answers("pillar.show_pillar", "{\n    \"_errors\": [\n        \"Rendering SLS 'a' failed.\"\n    ]\n}\n");
    assert_eq!(inspect().await.pillar, Pillar::Errors);
    // Salt says so with a sentence, and with 0.
    answers("pillar.show_pillar", "\"Exception occurred in runner pillar.show_pillar: \\\"/opt/x\\\"\"\n");
    answers("config.get", "\"'config.get' is not available.\"\n");
    let found = inspect().await;
    assert_eq!((found.pillar, found.roots.len()), (Pillar::Failed, 0));
}
