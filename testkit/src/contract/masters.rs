//! What must hold of every `Masters` about the keys it holds? One suite for the simulated fleet and for real ones over SSH.

use async_trait::async_trait;
use bldr_core::{
    error::PortErrorKind,
    fleet::{HeldKey, HeldKeys, Host, KeyState, PublicKey},
    ports::{Change, Masters},
};

/// One master to try things on that holds no key yet, with a back door to its files.
#[async_trait]
pub trait Bench: Send + Sync {
    /// What is tested.
    fn masters(&self) -> &dyn Masters;
    /// The master.
    fn host(&self) -> Host;
    /// Makes a file of the master have this content; `None` removes it.
    async fn put(&self, path: &str, content: Option<&str>);
    /// A file of the master; `None` where there is none.
    async fn get(&self, path: &str) -> Option<String>;
}

const HARBOR: &str = "harbor--ci--1";
const QUILL: &str = "quill--ci--1";
const FERRY: &str = "ferry--ci--1";

fn key(body: &str) -> PublicKey {
    PublicKey::from_pem(&format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")).expect("a key")
}

fn held(id: &str, state: KeyState, body: &str) -> HeldKey {
    HeldKey { id: id.into(), state, key: key(body).fingerprint() }
}

fn file(folder: &str, id: &str) -> String {
    format!("/etc/salt/pki/master/{folder}/{id}")
}

/// Every rule, one after the other, on one master.
pub async fn suite(bench: &dyn Bench) {
    keys_that_wait_are_a_strain(bench).await;
    a_minion_is_let_in_by_id_and_key(bench).await;
    keys_are_forgotten_by_id_and_body(bench).await;
    what_was_forgotten_comes_back_as_what_it_was(bench).await;
}

async fn keys_that_wait_are_a_strain(bench: &dyn Bench) {
    let pending = async || bench.masters().strain(&bench.host()).await.expect("strain").pending;
    assert_eq!(pending().await, 0);
    bench.put(&file("minions_pre", HARBOR), Some(key("bWlu").pem())).await;
    bench.put(&file("minions", QUILL), Some(key("b3Ro").pem())).await;
    assert_eq!(pending().await, 1);
    bench.put(&file("minions_pre", HARBOR), None).await;
    bench.put(&file("minions", QUILL), None).await;
    assert_eq!(pending().await, 0);
}

async fn a_minion_is_let_in_by_id_and_key(bench: &dyn Bench) {
    let (masters, host) = (bench.masters(), bench.host());
    bench.put(&file("minions_pre", HARBOR), Some(key("bWlu").pem())).await;
    assert_eq!(masters.accept(&host, HARBOR, &key("bWlu")).await.expect("accept"), Change::Made);
    assert_eq!(masters.accept(&host, HARBOR, &key("bWlu")).await.expect("accept"), Change::NotNeeded);
    assert_eq!(bench.get(&file("minions_pre", HARBOR)).await, None);
    let refused = async |id, body| masters.accept(&host, id, &key(body)).await.expect_err("a conflict").kind;
    assert_eq!(refused(HARBOR, "b3Ro").await, PortErrorKind::Conflict, "another key under the id");
    bench.put(&file("minions_rejected", QUILL), Some(key("bWlu").pem())).await;
    assert_eq!(refused(QUILL, "bWlu").await, PortErrorKind::Conflict, "somebody has refused it");
    bench.put(&file("minions", FERRY), Some(key("b3Ro").pem())).await;
    let keys = masters.read(&host).await.expect("read").keys;
    let expected =
        [held(FERRY, KeyState::Accepted, "b3Ro"), held(HARBOR, KeyState::Accepted, "bWlu"), held(QUILL, KeyState::Rejected, "bWlu")];
    assert_eq!(keys, expected.into_iter().collect::<HeldKeys>());
}

async fn keys_are_forgotten_by_id_and_body(bench: &dyn Bench) {
    let (masters, host) = (bench.masters(), bench.host());
    // Told of all that are held under an id, it forgets them all.
    bench.put(&file("minions", "gone--ci--1"), Some(key("bWlu").pem())).await;
    bench.put(&file("minions_denied", "gone--ci--1"), Some(key("c2Vj").pem())).await;
    let both = [held("gone--ci--1", KeyState::Accepted, "bWlu"), held("gone--ci--1", KeyState::Denied, "c2Vj")];
    assert_eq!(masters.forget(&host, &both).await.expect("forget").iter().collect::<Vec<_>>(), ["gone--ci--1"]);
    let several = masters.restore(&host, &both).await.expect_err("which of them?").kind;
    assert_eq!(several, PortErrorKind::Conflict);
    for folder in ["minions", "minions_denied"] {
        assert_eq!(bench.get(&file(folder, "gone--ci--1")).await, None);
        bench.put(&format!("/var/lib/bldr/quarantine/{folder}/gone--ci--1"), None).await;
    }
    // Of ferry it holds another key than the one that is to be forgotten; of harbor a second one, which Salt would remove too.
    bench.put(&file("minions_denied", HARBOR), Some(key("c2Vj").pem())).await;
    let told = [HARBOR, QUILL, FERRY].map(|id| held(id, KeyState::Accepted, "bWlu"));
    let removed = masters.forget(&host, &told).await.expect("forget");
    assert_eq!(removed.iter().collect::<Vec<_>>(), [QUILL]);
    assert!(bench.get(&file("minions", FERRY)).await.is_some() && bench.get(&file("minions", HARBOR)).await.is_some());
    bench.put(&file("minions_denied", HARBOR), None).await;
    let removed = masters.forget(&host, &told).await.expect("forget");
    assert_eq!(removed.iter().collect::<Vec<_>>(), [HARBOR]);
    assert_eq!(masters.forget(&host, &told).await.expect("nothing is left").len(), 0);
    assert_eq!(bench.get(&file("minions", HARBOR)).await, None);
}

async fn what_was_forgotten_comes_back_as_what_it_was(bench: &dyn Bench) {
    let (masters, host) = (bench.masters(), bench.host());
    let kept = masters.quarantined(&host).await.expect("quarantined");
    let expected = [held(HARBOR, KeyState::Accepted, "bWlu"), held(QUILL, KeyState::Rejected, "bWlu")];
    assert_eq!(kept, expected.iter().cloned().collect::<HeldKeys>());
    // All or nothing, where another has come in the place of one of them, or the same in another's folder.
    bench.put(&file("minions", QUILL), Some(key("bWlu").pem())).await;
    assert_eq!(masters.restore(&host, &expected).await.expect_err("a conflict").kind, PortErrorKind::Conflict);
    bench.put(&file("minions", QUILL), None).await;
    bench.put(&file("minions_pre", QUILL), Some(key("b3Ro").pem())).await;
    let refused = masters.restore(&host, &expected).await.expect_err("a conflict").kind;
    assert_eq!((refused, bench.get(&file("minions", HARBOR)).await), (PortErrorKind::Conflict, None));
    bench.put(&file("minions_pre", QUILL), None).await;
    let restored = masters.restore(&host, &expected).await.expect("restore");
    assert_eq!(restored.iter().collect::<Vec<_>>(), [HARBOR, QUILL]);
    assert_eq!(bench.get(&file("minions", HARBOR)).await.as_deref(), Some(key("bWlu").pem()));
    assert_eq!(bench.get(&file("minions_rejected", QUILL)).await.as_deref(), Some(key("bWlu").pem()));
    assert_eq!(masters.quarantined(&host).await.expect("quarantined"), HeldKeys::default());
    assert_eq!(masters.restore(&host, &expected).await.expect("once is enough").len(), 0);
}
