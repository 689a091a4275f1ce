//! Do real Salt and its stand-in keep the trust rules that the simulated fleet keeps?
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use async_trait::async_trait;
use bldr_testkit::{
    contract::trust::{Bench, Folder, Side, suite},
    lab::{
        Host, HostKind, HostSpec, Lab,
        salt::{KeyPair, Master, Minion},
    },
};
use std::{net::Ipv4Addr, time::Duration};

const ID: &str = "harbor--ci--1";
const OLD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const NEW: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
const NODE: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
const TRUSTED: &str = "/etc/salt/pki/minion/minion_master.pub";

struct Three {
    kind: HostKind,
    hosts: Vec<Host>,
    keys: Vec<KeyPair>,
    _lab: Lab,
}

/// Masters `old` and `new`, and a minion of `old`.
async fn three(kind: HostKind) -> Three {
    let lab = Lab::new().await.unwrap();
    let keys = futures::future::try_join_all((0..4).map(|_| KeyPair::new())).await.unwrap();
    let masters = [("old", OLD, Master::new("old", &keys[0]).accepts(ID, &keys[2])), ("new", NEW, Master::new("new", &keys[1]))];
    let mut specs: Vec<_> = masters.iter().map(|(name, address, salt)| HostSpec::new(*name, *address).files(salt.files())).collect();
    specs.push(HostSpec::new("node", NODE).files(Minion::new(ID, &keys[2], OLD).trusts(&keys[0]).files()));
    specs.iter_mut().for_each(|spec| spec.kind = kind);
    Three { kind, hosts: lab.hosts(specs).await.unwrap(), keys, _lab: lab }
}

impl Three {
    fn master(&self, side: Side) -> &Host {
        &self.hosts[if side == Side::Old { 0 } else { 1 }]
    }
    fn node(&self) -> &Host {
        &self.hosts[2]
    }
    /// Whether it comes to be true on a host within so many seconds of real Salt; its stand-in takes no time.
    async fn comes_true(&self, host: &Host, test: &str, seconds: u32) -> bool {
        let tries = if self.kind == HostKind::Light { 20 } else { seconds * 8 };
        host.shell(&format!("for _ in $(seq {tries}); do ! {{ {test}; }} || exit 0; sleep 0.1; done; exit 1")).await.is_ok()
    }
}

#[async_trait]
impl Bench for Three {
    fn master_key(&self, side: Side) -> String {
        self.keys[if side == Side::Old { 0 } else { 1 }].public_pem.clone()
    }
    fn minion_key(&self) -> String {
        self.keys[2].public_pem.clone()
    }
    fn foreign_key(&self) -> String {
        self.keys[3].public_pem.clone()
    }
    async fn stop(&self) {
        self.node().shell("systemctl stop salt-minion").await.unwrap();
    }
    async fn start(&self, master: Side, trusted: Option<&str>) {
        let address = if master == Side::Old { OLD } else { NEW };
        self.node().write("/etc/salt/minion", format!("master: {address}\nid: {ID}\n").as_bytes(), 0o644).await.unwrap();
        match trusted {
            Some(key) => self.node().write(TRUSTED, key.as_bytes(), 0o644).await.unwrap(),
            None => drop(self.node().shell(&format!("rm -f {TRUSTED}")).await.unwrap()),
        }
        // The unit of a minion that ends at once fails to start, which is for the suite to judge.
        let _ = self.node().shell("systemctl reset-failed salt-minion; systemctl --no-block start salt-minion").await;
    }
    async fn hold(&self, master: Side, held: Option<(Folder, &str)>) {
        let pki = "/etc/salt/pki/master";
        self.master(master).shell(&format!("rm -f {pki}/minions*/{ID}")).await.unwrap();
        if let Some((folder, key)) = held {
            self.master(master).write(&format!("{pki}/{}/{ID}", folder.name()), key.as_bytes(), 0o644).await.unwrap();
        }
    }
    async fn holds(&self, master: Side, folder: Folder) -> bool {
        self.comes_true(self.master(master), &format!("[ -e /etc/salt/pki/master/{}/{ID} ]", folder.name()), 15).await
    }
    async fn trusted(&self) -> Option<String> {
        self.node().read(TRUSTED).await.unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }
    async fn remove_trusted(&self) {
        self.node().shell(&format!("rm {TRUSTED}")).await.unwrap();
    }
    async fn answers(&self, master: Side) -> bool {
        // Connected first: who is not connected is not heard either, and that is quickly told.
        let peers = "ss -Htn state established '( dport = :4505 )'";
        let address = if master == Side::Old { OLD } else { NEW };
        if !self.comes_true(self.node(), &format!("{peers} | grep -q :4505"), 10).await {
            return false;
        }
        if !self.node().shell(peers).await.unwrap().contains(&format!("{address}:4505")) {
            return false;
        }
        let asked = format!("timeout 30 salt {ID} test.ping --static --out=json -t 5 2>/dev/null | grep -q true");
        self.comes_true(self.master(master), &asked, 15).await
    }
    async fn is_up(&self) -> bool {
        // Salt takes a while to give up; one that goes on is up.
        !self
            .comes_true(
                self.node(),
                "! systemctl is-active --quiet salt-minion && ! systemctl show -p ActiveState --value salt-minion | grep -q activating",
                30,
            )
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_keeps_the_trust_rules() {
    let three = three(HostKind::Light).await;
    tokio::time::timeout(Duration::from_secs(200), suite(&three)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_salt_keeps_the_trust_rules() {
    let three = three(HostKind::Booted).await;
    tokio::time::timeout(Duration::from_secs(500), suite(&three)).await.unwrap();
}
