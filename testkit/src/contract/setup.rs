//! What must hold of every `Setup`? One suite for the simulated fleet and for real machines over SSH: two that were just made
//! become a master and its minion.

use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    error::PortErrorKind,
    fleet::{Host, PublicKey},
    ports::{Change, Enlistment, Installation, Library, Masters, Minions, Proof, Refreshed, Repointing, Role, SaltSource, Setup, Unread},
    salt_version::SaltVersion,
    ssh_key::SshPublicKey,
};
use std::time::Duration;

/// A daemon of Salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// salt-minion.
    Minion,
    /// salt-master.
    Master,
}

/// Two machines without Salt, and a host of git repositories that both can reach.
#[async_trait]
pub trait Bench: Send + Sync {
    /// What is tested.
    fn setup(&self) -> &dyn Setup;
    /// The same machines, as minions.
    fn minions(&self) -> &dyn Minions;
    /// The same machines, as masters.
    fn masters(&self) -> &dyn Masters;
    /// The machine that is to be a minion.
    fn node(&self) -> Host;
    /// The machine that is to be a master.
    fn master(&self) -> Host;
    /// A machine that does not exist.
    fn nobody(&self) -> Host;
    /// A version of Salt that is to be had, and from where.
    fn salt(&self) -> (SaltVersion, SaltSource);
    /// A place that has no Salt.
    fn nowhere(&self) -> SaltSource;
    /// The address of a private repository of the git host. One under `team/missing` is never made.
    fn url(&self, repository: &str) -> String;
    /// Lines of `known_hosts` for the git host.
    fn known_hosts(&self) -> Vec<String>;
    /// Puts files into a repository, and makes it where there is none: without files it stays empty.
    async fn commit(&self, repository: &str, files: &[(&str, &str)]);
    /// Lets whoever has this key read these repositories.
    async fn register(&self, key: &SshPublicKey, repositories: &[&str]);
    /// Makes a file of a machine have this content; `None` removes it.
    async fn put(&self, host: &Host, path: &str, content: Option<&str>);
    /// A file of a machine; `None` where there is none.
    async fn get(&self, host: &Host, path: &str) -> Option<String>;
    /// Whether a daemon runs on a machine.
    async fn is_up(&self, host: &Host, daemon: Daemon) -> bool;
    /// Stops the minion of a machine.
    async fn stop_minion(&self, host: &Host);
}

/// The minion's configuration.
pub const MINION: &str = "/etc/salt/minion";
/// The master's configuration.
pub const MASTER: &str = "/etc/salt/master";
/// The minion's own key.
pub const MINION_KEY: &str = "/etc/salt/pki/minion/minion.pub";
/// The key the minion trusts.
pub const TRUSTED: &str = "/etc/salt/pki/minion/minion_master.pub";
/// The key a master shows to git hosts.
pub const DEPLOY_KEY: &str = "/root/.ssh/id_rsa.pub";
/// What keeps a master's repositories up to date.
pub const CRON: &str = "/etc/cron.d/bldr-refresh";
/// The private repository.
pub const PRIVATE: &str = "team/private";
/// A formula.
pub const FORMULA: &str = "team/harbor-formula";
/// One that nobody has put anything into.
pub const EMPTY: &str = "team/empty-formula";
/// One that is not there.
pub const MISSING: &str = "team/missing";

const ELSEWHERE: &str = "10.77.9.9";
const PATIENCE: Duration = Duration::from_secs(3600);

/// A template as private repositories have it.
pub const TEMPLATE: &str = "# what this master is\nworker_threads: 2 # few\nauto_accept: False\n\n# filled in\nfile_roots:\n  base:\n    - /srv/salt\n  \
                            dev:\n    - /srv/dev\npillar_roots:\n  base:\n    - /srv/pillar\ntimeout: 15\n";

/// Every rule, one after the other.
pub async fn suite(bench: &dyn Bench) {
    a_machine_that_answers_has_started(bench).await;
    without_salt_nothing_is_begun(bench).await;
    salt_is_installed_once_and_starts_nothing(bench).await;
    a_deploy_key_is_made_once(bench).await;
    nobody_is_believed_who_is_not_vouched_for(bench).await;
    a_key_that_is_not_registered_opens_nothing(bench).await;
    a_master_gets_its_library_and_its_configuration(bench).await;
    what_is_up_to_date_is_left_alone(bench).await;
    what_is_new_is_brought_and_what_was_changed_by_hand_is_not_kept(bench).await;
    what_cannot_be_read_is_told_and_the_rest_is_read(bench).await;
    another_template_is_another_configuration(bench).await;
    a_template_without_file_roots_changes_nothing(bench).await;
    a_minion_has_one_identity(bench).await;
    a_minion_joins_its_master(bench).await;
    a_minion_that_is_enlisted_is_left_alone(bench).await;
    only_master_and_id_are_changed(bench).await;
    what_would_win_over_the_configuration_is_refused(bench).await;
    a_switch_that_waits_is_in_the_way(bench).await;
}

async fn a_machine_that_answers_has_started(bench: &dyn Bench) {
    for host in [bench.node(), bench.master()] {
        bench.setup().first_start(&host, Duration::from_secs(60)).await.expect("it has started");
    }
    let nobody = bench.setup().first_start(&bench.nobody(), Duration::from_secs(1)).await;
    assert_eq!(nobody.map_err(|error| error.kind), Err(PortErrorKind::Unreachable));
}

async fn without_salt_nothing_is_begun(bench: &dyn Bench) {
    let key = bench.setup().identity(&bench.node()).await.expect("a key needs no Salt");
    let to = Enlistment { id: "harbor--ci--1".into(), address: ELSEWHERE.parse().expect("an address"), key };
    let enlisted = bench.setup().enlist(&bench.node(), &to).await;
    assert_eq!(enlisted.map_err(|error| error.kind), Err(PortErrorKind::Refused));
    let refreshed = bench.setup().refresh(&bench.master(), &library(bench)).await;
    assert_eq!(refreshed.map_err(|error| error.kind).map(drop), Err(PortErrorKind::Refused));
    let nowhere = Installation { version: bench.salt().0, role: Role::Minion, source: bench.nowhere() };
    let installed = bench.setup().install(&bench.node(), &nowhere).await;
    assert_eq!(installed.map_err(|error| error.kind), Err(PortErrorKind::Refused));
    assert_eq!((bench.get(&bench.node(), MINION).await, bench.get(&bench.master(), CRON).await), (None, None));
}

async fn salt_is_installed_once_and_starts_nothing(bench: &dyn Bench) {
    let (version, source) = bench.salt();
    for (host, role) in [(bench.node(), Role::Minion), (bench.master(), Role::Master)] {
        let wanted = Installation { version: version.clone(), role, source: source.clone() };
        assert_eq!(bench.setup().install(&host, &wanted).await.expect("install"), Change::Made);
        assert_eq!(bench.setup().install(&host, &wanted).await.expect("install"), Change::NotNeeded);
        assert!(!bench.is_up(&host, Daemon::Minion).await && !bench.is_up(&host, Daemon::Master).await, "{host:?}");
    }
}

async fn a_deploy_key_is_made_once(bench: &dyn Bench) {
    let host = bench.master();
    let key = bench.setup().deploy_key(&host).await.expect("a key");
    let file = bench.get(&host, DEPLOY_KEY).await.expect("a file");
    assert_eq!(SshPublicKey::from_openssh(&file).as_ref(), Some(&key));
    assert!(key.line().starts_with("ssh-rsa "), "{key}");
    bench.put(&host, DEPLOY_KEY, None).await;
    assert_eq!(bench.setup().deploy_key(&host).await.expect("it is derived"), key);
    assert_eq!(bench.setup().deploy_key(&host).await.expect("it is read"), key);
}

/// What the master of the suite works from.
pub fn library(bench: &dyn Bench) -> Library {
    Library { private: Some(bench.url(PRIVATE)), configuration: None, formulas: vec![bench.url(FORMULA)], known_hosts: bench.known_hosts() }
}

async fn refresh(bench: &dyn Bench, library: &Library) -> Refreshed {
    bench.setup().refresh(&bench.master(), library).await.expect("refresh")
}

fn why<'r>(refreshed: &'r Refreshed, url: &str) -> &'r str {
    refreshed.unread.iter().find(|unread| unread.url == url).map_or("", |unread| &unread.why)
}

async fn nobody_is_believed_who_is_not_vouched_for(bench: &dyn Bench) {
    let done = refresh(bench, &Library { known_hosts: Vec::new(), ..library(bench) }).await;
    assert!(why(&done, &bench.url(PRIVATE)).contains("Host key verification failed"), "{:?}", done.unread);
}

async fn a_key_that_is_not_registered_opens_nothing(bench: &dyn Bench) {
    bench.commit(PRIVATE, &[("etc-salt-master", TEMPLATE), ("salt/top.sls", "base: {}\n"), ("pillar/top.sls", "base: {}\n")]).await;
    bench.commit(FORMULA, &[("salt/harbor/init.sls", "first: test.nop\n")]).await;
    let done = refresh(bench, &library(bench)).await;
    for url in [bench.url(PRIVATE), bench.url(FORMULA)] {
        assert!(why(&done, &url).contains("Permission denied (publickey)"), "{:?}", done.unread);
    }
    assert!((done.renewed.is_empty(), done.configured) == (true, false) && done.unconfigured.is_some(), "{done:?}");
    assert_eq!(bench.get(&bench.master(), MASTER).await, None);
}

async fn a_master_gets_its_library_and_its_configuration(bench: &dyn Bench) {
    let host = bench.master();
    let key = bench.setup().deploy_key(&host).await.expect("a key");
    bench.register(&key, &[PRIVATE, FORMULA, EMPTY]).await;
    let done = refresh(bench, &library(bench)).await;
    let renewed = vec![bench.url(PRIVATE), bench.url(FORMULA)];
    assert_eq!(done, Refreshed { renewed, configured: true, restarted: true, ..Refreshed::default() });
    assert_eq!(bench.get(&host, "/opt/formulas/harbor/salt/harbor/init.sls").await.as_deref(), Some("first: test.nop\n"));
    assert_eq!(bench.get(&host, "/opt/builder-private/pillar/top.sls").await.as_deref(), Some("base: {}\n"));

    let config = bench.get(&host, MASTER).await.expect("a configuration");
    let lines: Vec<&str> = config.lines().map(str::trim).collect();
    for line in
        ["# what this master is", "worker_threads: 2 # few", "# filled in", "dev:", "- /srv/dev", "timeout: 15", "auto_accept: False"]
    {
        assert!(lines.contains(&line), "'{line}' is gone: {config}");
    }
    let at = |line: &str| lines.iter().position(|found| *found == line).unwrap_or_else(|| panic!("no '{line}': {config}"));
    assert!(at("- /opt/builder-private/salt/") + 1 == at("- /opt/formulas/harbor/salt/"), "{config}");
    assert!(at("pillar_roots:") < at("- /opt/builder-private/pillar"), "{config}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("interface:")).collect::<Vec<_>>(), [&"interface: 0.0.0.0"]);
    assert!(!lines.contains(&"- /srv/salt") && !lines.contains(&"- /srv/pillar"), "{config}");

    assert!(bench.is_up(&host, Daemon::Master).await);
    let standing = bench.masters().read(&host).await.expect("it has a key");
    assert_eq!(standing.silent, None);
    assert!(bench.get(&host, CRON).await.is_some_and(|cron| cron.contains("flock -n") && cron.contains("* * * *")));
}

async fn what_is_up_to_date_is_left_alone(bench: &dyn Bench) {
    let (config, cron) = (bench.get(&bench.master(), MASTER).await, bench.get(&bench.master(), CRON).await);
    assert_eq!(refresh(bench, &library(bench)).await, Refreshed::default());
    assert_eq!((bench.get(&bench.master(), MASTER).await, bench.get(&bench.master(), CRON).await), (config, cron));
}

async fn what_is_new_is_brought_and_what_was_changed_by_hand_is_not_kept(bench: &dyn Bench) {
    let (host, file) = (bench.master(), "/opt/formulas/harbor/salt/harbor/init.sls");
    bench.commit(FORMULA, &[("salt/harbor/init.sls", "second: test.nop\n"), ("salt/harbor/more.sls", "more: test.nop\n")]).await;
    bench.put(&host, file, Some("by hand\n")).await;
    let done = refresh(bench, &library(bench)).await;
    assert_eq!(done, Refreshed { renewed: vec![bench.url(FORMULA)], ..Refreshed::default() });
    assert_eq!(bench.get(&host, file).await.as_deref(), Some("second: test.nop\n"));
    bench.put(&host, file, Some("by hand\n")).await;
    assert_eq!(refresh(bench, &library(bench)).await, Refreshed::default());
    assert_eq!(bench.get(&host, file).await.as_deref(), Some("second: test.nop\n"));
}

async fn what_cannot_be_read_is_told_and_the_rest_is_read(bench: &dyn Bench) {
    bench.commit(EMPTY, &[]).await;
    bench.commit(FORMULA, &[("salt/harbor/init.sls", "third: test.nop\n")]).await;
    let formulas = vec![bench.url(MISSING), bench.url(EMPTY), bench.url(FORMULA)];
    let done = refresh(bench, &Library { formulas: formulas.clone(), ..library(bench) }).await;
    assert_eq!(done.renewed, [bench.url(FORMULA)]);
    assert_eq!(done.unread.iter().map(|unread| &unread.url).collect::<Vec<_>>(), [&formulas[0], &formulas[1]]);
    assert!(why(&done, &formulas[0]).contains("Repository not found"), "{:?}", done.unread);
    assert_eq!(done.unread[1], Unread { url: formulas[1].clone(), why: "it is empty".into() });
    assert!(done.configured && done.restarted && done.unconfigured.is_none(), "its roots are others: {done:?}");
    let done = refresh(bench, &library(bench)).await;
    assert_eq!(done, Refreshed { configured: true, restarted: true, ..Refreshed::default() });
}

async fn another_template_is_another_configuration(bench: &dyn Bench) {
    bench.commit(PRIVATE, &[("etc-salt-master", &TEMPLATE.replace("timeout: 15", "timeout: 20"))]).await;
    let done = refresh(bench, &library(bench)).await;
    assert_eq!(done, Refreshed { renewed: vec![bench.url(PRIVATE)], configured: true, restarted: true, ..Refreshed::default() });
    let config = bench.get(&bench.master(), MASTER).await.expect("a configuration");
    assert!(config.contains("timeout: 20") && config.contains("# filled in"), "{config}");
}

async fn a_template_without_file_roots_changes_nothing(bench: &dyn Bench) {
    let before = bench.get(&bench.master(), MASTER).await;
    bench.commit(PRIVATE, &[("etc-salt-master", "worker_threads: 2\n")]).await;
    let done = refresh(bench, &library(bench)).await;
    assert!(done.unconfigured.as_deref().is_some_and(|why| why.contains("file_roots")), "{done:?}");
    assert_eq!((done.renewed, done.configured, done.restarted), (vec![bench.url(PRIVATE)], false, false));
    assert_eq!(bench.get(&bench.master(), MASTER).await, before);
    bench.commit(PRIVATE, &[("etc-salt-master", &TEMPLATE.replace("timeout: 15", "timeout: 20"))]).await;
    let done = refresh(bench, &library(bench)).await;
    assert_eq!(done, Refreshed { renewed: vec![bench.url(PRIVATE)], ..Refreshed::default() });
}

async fn a_minion_has_one_identity(bench: &dyn Bench) {
    let host = bench.node();
    let key = bench.setup().identity(&host).await.expect("a key");
    let of_file = |text: Option<String>| text.as_deref().and_then(PublicKey::from_pem);
    assert_eq!(of_file(bench.get(&host, MINION_KEY).await).as_ref(), Some(&key));
    bench.put(&host, MINION_KEY, None).await;
    assert_eq!(bench.setup().identity(&host).await.expect("it is derived"), key);
    assert_eq!(of_file(bench.get(&host, MINION_KEY).await).as_ref(), Some(&key));
    assert!(!bench.is_up(&host, Daemon::Minion).await);
}

async fn to_the_master(bench: &dyn Bench) -> Enlistment {
    let host = bench.master();
    let address: MasterAddress = host.address.as_str().parse().expect("an address");
    let key = bench.masters().read(&host).await.expect("a master").key;
    Enlistment { id: bench.node().node.to_string(), address, key }
}

async fn enlist(bench: &dyn Bench, to: &Enlistment) -> Change {
    bench.setup().enlist(&bench.node(), to).await.expect("enlist")
}

/// It is introduced first, as any minion of a master that accepts nobody by itself.
async fn a_minion_joins_its_master(bench: &dyn Bench) {
    let (host, to) = (bench.node(), to_the_master(bench).await);
    let key = bench.setup().identity(&host).await.expect("a key");
    bench.masters().accept(&bench.master(), &to.id, &key).await.expect("accept");
    assert_eq!(enlist(bench, &to).await, Change::Made);
    let proof = bench.minions().prove(&host, &to.address, &to.key, Duration::from_secs(120)).await.expect("prove");
    assert_eq!(proof, Proof::Proven);
    let files = bench.minions().read(&host).await.expect("read");
    assert_eq!((files.minion_id.as_deref(), files.highstate_due), (Some(to.id.as_str()), false));
    let answered = bench.masters().ping(&bench.master(), std::slice::from_ref(&to.id), Duration::from_secs(60)).await.expect("ping");
    assert!(answered.contains(&to.id), "{answered:?}");
}

async fn a_minion_that_is_enlisted_is_left_alone(bench: &dyn Bench) {
    let (host, to) = (bench.node(), to_the_master(bench).await);
    assert_eq!(enlist(bench, &to).await, Change::NotNeeded);
    bench.stop_minion(&host).await;
    assert_eq!(enlist(bench, &to).await, Change::Made);
    assert!(bench.is_up(&host, Daemon::Minion).await);
    bench.put(&host, super::minions::REPOINTING, Some("killed half way\n")).await;
    assert_eq!(enlist(bench, &to).await, Change::Made);
    assert_eq!(bench.get(&host, super::minions::REPOINTING).await, None);
}

async fn only_master_and_id_are_changed(bench: &dyn Bench) {
    let (host, to) = (bench.node(), to_the_master(bench).await);
    let before = format!("# kept\nmaster: {ELSEWHERE}\nid: somebody-else # old\nmaster_finger: 'ab:cd'\n\nlog_level: info\n");
    bench.put(&host, MINION, Some(&before)).await;
    assert_eq!(enlist(bench, &to).await, Change::Made);
    let expected = format!("# kept\nmaster: {}\nid: {}\n\nlog_level: info\n", to.address, to.id);
    assert_eq!(bench.get(&host, MINION).await, Some(expected.clone()));
    let other = PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\nb2xkIG1hc3Rlcg==\n-----END PUBLIC KEY-----\n").expect("a key");
    bench.put(&host, TRUSTED, Some(other.pem())).await;
    assert_eq!(enlist(bench, &to).await, Change::Made);
    assert_eq!(bench.get(&host, TRUSTED).await.as_deref().and_then(PublicKey::from_pem), Some(to.key.clone()));
    assert_eq!(bench.get(&host, MINION).await, Some(expected));
    assert_eq!(enlist(bench, &to).await, Change::NotNeeded);
}

async fn what_would_win_over_the_configuration_is_refused(bench: &dyn Bench) {
    let (host, to, file) = (bench.node(), to_the_master(bench).await, "/etc/salt/minion.d/own.conf");
    for line in [format!("master: {ELSEWHERE}\n"), "id: somebody-else\n".into()] {
        bench.put(&host, file, Some(&line)).await;
        let error = bench.setup().enlist(&host, &to).await.expect_err("it would not count");
        assert!(error.kind == PortErrorKind::Refused && error.problem.contains(file), "{error}");
    }
    bench.put(&host, file, Some(&format!("master: {}\nid: '{}'\n", to.address, to.id))).await;
    assert_eq!(enlist(bench, &to).await, Change::NotNeeded);
    bench.put(&host, file, None).await;
}

async fn a_switch_that_waits_is_in_the_way(bench: &dyn Bench) {
    let (host, to) = (bench.node(), to_the_master(bench).await);
    let switch = Repointing { address: ELSEWHERE.parse().expect("an address"), key: to.key.clone(), build_vars: None, patience: PATIENCE };
    bench.minions().repoint(&host, &switch).await.expect("repoint");
    let before = bench.get(&host, MINION).await;
    let error = bench.setup().enlist(&host, &to).await.expect_err("a switch waits");
    assert_eq!((error.kind, bench.get(&host, MINION).await), (PortErrorKind::Conflict, before));
    bench.minions().revert(&host).await.expect("revert");
    assert_eq!(enlist(bench, &to).await, Change::NotNeeded);
}
