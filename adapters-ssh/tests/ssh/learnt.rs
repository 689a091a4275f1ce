//! Is a machine known by the keys that were learnt for it, and by no other, until it is forgotten?

use crate::server::{Server, host, keygen, over_both, public, run};
use async_trait::async_trait;
use bldr_adapters_ssh::{Pool, SshHostKeys, SshSettings, Transport};
use bldr_core::{
    error::{PortErrorKind, PortResult},
    fleet::Host,
    ports::HostKeys,
    ssh_key::SshPublicKey,
};
use bldr_testkit::contract;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

const LONG: Duration = Duration::from_secs(20);

fn key(path: &Path) -> SshPublicKey {
    SshPublicKey::from_openssh(&public(path)).unwrap()
}

/// A key that nobody has shown, and its line under a name.
fn stranger(server: &Server, name: &str) -> (SshPublicKey, String) {
    let file = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let key = key(&keygen(server.dir.path(), &file, &["-t", "ed25519"]));
    let line = format!("{} {}\n", name, key.line().trim_end_matches(" test"));
    (key, line)
}

/// What the server is called in known_hosts.
fn place(server: &Server) -> String {
    format!("[127.0.0.1]:{}", server.port)
}

fn own_key(server: &Server) -> SshPublicKey {
    key(&server.dir.path().join("host_ed25519"))
}

struct Face {
    server: Server,
    pool: Pool,
    keys: SshHostKeys,
}

#[async_trait]
impl contract::host_keys::Bench for Face {
    fn host_keys(&self) -> &dyn HostKeys {
        &self.keys
    }
    fn host(&self) -> Host {
        host(1)
    }
    fn shown(&self) -> SshPublicKey {
        own_key(&self.server)
    }
    async fn enters(&self) -> PortResult<()> {
        // Over a connection of its own: one that is open has been looked at.
        self.pool.close().await;
        self.pool.exec(&host(1), "true", b"", LONG).await.map(drop)
    }
}

over_both! {
    async fn keeps_the_contract(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        let keys = SshHostKeys::new(pool.clone());
        contract::host_keys::suite(&Face { server, pool, keys }).await;
    }

    async fn of_learnt_keys_of_several_kinds_the_one_that_is_shown_lets_in(transport) {
        let server = Server::start();
        let others = [["-t", "ecdsa"], ["-t", "rsa"]].map(|kind| key(&keygen(server.dir.path(), kind[1], &kind)));
        let pool = server.pool(transport);
        SshHostKeys::new(pool.clone()).learn(&host(1), &[&others[..], &[own_key(&server)]].concat()).await.unwrap();
        pool.exec(&host(1), "true", b"", LONG).await.unwrap();
    }

    async fn a_learnt_machine_is_a_line_of_known_hosts_and_a_forgotten_one_is_none(transport) {
        let server = Server::start();
        let (_, old) = stranger(&server, &place(&server));
        server.learn(&old);
        let keys = SshHostKeys::new(server.pool(transport));
        keys.learn(&host(1), &[own_key(&server)]).await.unwrap();
        assert_eq!(server.known_hosts(), server.host_line());
        keys.forget(&host(1)).await.unwrap();
        assert_eq!(server.known_hosts(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_not_about_the_machine_stays_as_it_is() {
    let server = Server::start();
    let book = server.dir.path().join("known_hosts");
    let place = place(&server);
    let (_, revoked) = stranger(&server, "@revoked *");
    let others = format!("# my hosts\n\n{}{revoked}gate ssh-rsa ???  \n{}", stranger(&server, "gate").1, stranger(&server, "10.0.0.9").1);
    let (_, hashed) = stranger(&server, &place);
    server.learn(&hashed);
    run("ssh-keygen", &["-q", "-H", "-f", &book.to_string_lossy()]);
    let (_, pattern) = stranger(&server, "[127.0.0.*]:*");
    let (_, several) = stranger(&server, &format!("one,{place},other"));
    let (_, last) = stranger(&server, "last");
    server.learn(&format!("{others}{}{pattern}{several}{}", server.known_hosts(), last.trim_end()));
    fs::set_permissions(&book, fs::Permissions::from_mode(0o640)).unwrap();

    let keys = SshHostKeys::new(server.pool(Transport::Thrussh));
    keys.forget(&host(1)).await.unwrap();
    let pattern = pattern.replacen(" ", &format!(",!{place} "), 1);
    let several = several.replacen(&format!("{place},"), "", 1);
    let rest = format!("{others}{pattern}{several}{}", last.trim_end());
    assert_eq!(server.known_hosts(), rest);
    assert_eq!(fs::metadata(&book).unwrap().permissions().mode() & 0o777, 0o640);

    keys.learn(&host(1), &[own_key(&server)]).await.unwrap();
    assert_eq!(server.known_hosts(), format!("{rest}\n{}", server.host_line()));
    keys.learn(&host(1), &[own_key(&server)]).await.unwrap();
    keys.forget(&host(1)).await.unwrap();
    assert_eq!(server.known_hosts(), format!("{rest}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_not_learnt() {
    let server = Server::start();
    server.learn(&format!("@revoked * {}", server.host_line().split_once(' ').unwrap().1));
    let before = server.known_hosts();
    let keys = SshHostKeys::new(server.pool(Transport::Thrussh));
    assert_eq!(keys.learn(&host(1), &[own_key(&server)]).await.unwrap_err().kind, PortErrorKind::Denied);
    assert_eq!(server.known_hosts(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_known_by_what_the_configuration_makes_of_it() {
    let server = Server::start();
    let config = server.dir.path().join("config");
    fs::write(&config, "Host harbor--ci--1\nHostName gate.example.org\nPort 2022\n").unwrap();
    let settings = SshSettings { config: Some(config), endpoints: [].into(), ..server.settings(Transport::Thrussh) };
    let (known, line) = stranger(&server, "[gate.example.org]:2022");
    SshHostKeys::new(Pool::new(settings)).learn(&host(1), &[known]).await.unwrap();
    assert_eq!(server.known_hosts(), line);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_stays_a_link_and_nothing_to_forget_makes_no_file() {
    let server = Server::start();
    let (book, real) = (server.dir.path().join("known_hosts"), server.dir.path().join("dotfiles"));
    let keys = SshHostKeys::new(server.pool(Transport::Thrussh));
    keys.forget(&host(1)).await.unwrap();
    assert!(!book.exists());
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &book).unwrap();
    keys.learn(&host(1), &[own_key(&server)]).await.unwrap();
    assert_eq!(fs::read_to_string(real).unwrap(), server.host_line());
    assert!(fs::symlink_metadata(book).unwrap().is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_learn_forget_and_connect_at_the_same_time_lose_nothing() {
    let server = Server::start();
    let endpoints = (1..=20).map(|n| (host(n).node, ([127, 0, 0, n as u8], server.port).into()));
    let settings = SshSettings { endpoints: endpoints.collect(), ..server.settings(Transport::Thrussh) };
    let keys = SshHostKeys::new(Pool::new(settings));
    let hosts: Vec<_> = (1..=20).map(host).collect();
    let own = [own_key(&server)];
    let pool = server.pool(Transport::Thrussh);
    let connecting = async { pool.exec(&host(30), "true", b"", LONG).await.map(drop) };
    let learning = futures::future::try_join_all(hosts.iter().map(|host| keys.learn(host, &own)));
    let (learnt, connected) = tokio::join!(learning, connecting);
    learnt.unwrap();
    connected.unwrap();
    assert_eq!(server.known_hosts().lines().count(), 20, "{}", server.known_hosts());
    futures::future::try_join_all(hosts.iter().map(|host| keys.forget(host))).await.unwrap();
    assert_eq!(server.known_hosts(), "");
}
