//! Do machines without Salt become a master and its minion over SSH, with real Salt, real systemd and a real git host?
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bare;

use async_trait::async_trait;
use bare::{Bare, GIT, MASTER, NODE, host_of, wheels};
use bldr_core::{
    fleet::Host,
    ports::{Masters, Minions, Setup},
    salt_version::SaltVersion,
    ssh_key::SshPublicKey,
};
use bldr_testkit::contract::setup::{Bench, Daemon, suite};
use std::time::Duration;

#[async_trait]
impl Bench for Bare {
    fn setup(&self) -> &dyn Setup {
        &self.setup
    }
    fn minions(&self) -> &dyn Minions {
        &self.minions
    }
    fn masters(&self) -> &dyn Masters {
        &self.masters
    }
    fn node(&self) -> Host {
        host_of(NODE)
    }
    fn master(&self) -> Host {
        host_of(MASTER)
    }
    fn nobody(&self) -> Host {
        host_of(("harbor--nobody--1", "127.0.0.1"))
    }
    fn salt(&self) -> (SaltVersion, bldr_core::ports::SaltSource) {
        (SaltVersion::find("3008.3").unwrap(), wheels())
    }
    fn nowhere(&self) -> bldr_core::ports::SaltSource {
        bldr_core::ports::SaltSource::Pip { packages: Some("/srv".into()) }
    }
    fn url(&self, repository: &str) -> String {
        self.git.url(repository)
    }
    fn known_hosts(&self) -> Vec<String> {
        self.git.known_hosts_lines().unwrap()
    }
    async fn commit(&self, repository: &str, files: &[(&str, &str)]) {
        self.git.commit(repository, files).await.unwrap();
    }
    async fn register(&self, key: &SshPublicKey, repositories: &[&str]) {
        self.git.register(key.line(), repositories).await.unwrap();
    }
    async fn put(&self, host: &Host, path: &str, content: Option<&str>) {
        match content {
            Some(content) => self.machine(host).write(path, content.as_bytes(), 0o644).await.unwrap(),
            None => drop(self.machine(host).shell(&format!("rm -f '{path}'")).await.unwrap()),
        }
    }
    async fn get(&self, host: &Host, path: &str) -> Option<String> {
        self.machine(host).read(path).await.unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }
    async fn is_up(&self, host: &Host, daemon: Daemon) -> bool {
        let unit = if daemon == Daemon::Minion { "salt-minion" } else { "salt-master" };
        self.machine(host).shell(&format!("systemctl is-active --quiet {unit}")).await.is_ok()
    }
    async fn stop_minion(&self, host: &Host) {
        self.machine(host).shell("systemctl stop salt-minion").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_over_ssh_keep_the_contract() {
    let bare = Bare::new(GIT).await;
    tokio::time::timeout(Duration::from_secs(1200), suite(&bare)).await.unwrap();
}
