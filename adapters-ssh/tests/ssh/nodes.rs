//! Do the scripts do to a node what the port promises?

use crate::server::{Server, host, over_both};
use async_trait::async_trait;
use bldr_adapters_ssh::{Pool, SshMasters, SshMinions, SshSettings, SshShell, Transport};
use bldr_core::{
    address::MasterAddress,
    error::PortErrorKind,
    fleet::{HeldKeys, Host, PublicKey},
    ports::{Change, Existing, Heard, HighstateMode, Masters, Minions, Proof, Repointing, Shell},
};
use bldr_testkit::contract::{
    self,
    minions::{BUILD_VARS, Bench, CONFIG, DUE, HighstateEnd, REPOINTING, TRUSTED, suite},
};
use futures::channel::mpsc;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

pub const KEY: &str = "-----BEGIN PUBLIC KEY-----\nbmV3IG1hc3Rlcg==\n-----END PUBLIC KEY-----\n";

pub struct Node {
    pub server: Server,
    minions: SshMinions,
    pub pool: Pool,
}

impl Node {
    pub fn new(transport: Transport, user: &str) -> Self {
        Self::of(Server::start(), transport, user)
    }

    fn of(server: Server, transport: Transport, user: &str) -> Self {
        let pki = server.inside("/etc/salt/pki/minion");
        fs::create_dir_all(&pki).unwrap();
        fs::write(pki.join("minion.pub"), KEY.replace("bmV3", "bWlu")).unwrap();
        let pool = Pool::new(SshSettings { user: user.into(), ..server.settings(transport) });
        Self { server, minions: SshMinions::new(pool.clone()), pool }
    }

    fn to(&self) -> Repointing {
        Repointing { address: self.address(), key: self.master_key(), build_vars: None, patience: Duration::from_secs(3600) }
    }

    async fn pointed_elsewhere(&self) {
        self.put(CONFIG, Some("master: 10.9.9.9\n")).await;
        self.put(TRUSTED, Some(&KEY.replace("bmV3", "b2xk"))).await;
    }

    pub fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.server.inside(path)).unwrap().permissions().mode() & 0o7777
    }
}

#[async_trait]
impl Bench for Node {
    fn minions(&self) -> &dyn Minions {
        &self.minions
    }
    fn host(&self) -> Host {
        host(1)
    }
    fn address(&self) -> MasterAddress {
        "127.0.0.112".parse().unwrap()
    }
    fn master_key(&self) -> PublicKey {
        PublicKey::from_pem(KEY).unwrap()
    }
    async fn put(&self, path: &str, content: Option<&str>) {
        let path = self.server.inside(path);
        match content {
            Some(content) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            None => {
                let _ = fs::remove_file(path);
            }
        }
    }
    async fn get(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.server.inside(path)).ok()
    }
    async fn backups(&self, name: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.server.inside("/var/lib/bldr/backup")) else { return vec![] };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.file_name().unwrap().to_string_lossy().strip_prefix(name).is_some_and(|rest| rest.starts_with(".2")));
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }
    async fn set_highstate(&self, end: HighstateEnd) {
        let state = |id: &str, result: bool| {
            format!("{{\n \"local\": {{\n  \"file_|-{id}_|-/x_|-managed\": {{\"result\": {result}, \"changes\": {{}}}}\n }}\n}}\n")
        };
        let (exit, json) = match end {
            HighstateEnd::Succeeds => ("0", state("web", true)),
            HighstateEnd::Fails { state: id } => ("2", state(&id, false)),
            HighstateEnd::RendersError => ("1", "{\"local\": [\"Rendering SLS 'base:web' failed: secret\"]}".into()),
        };
        fs::write(self.server.dir.path().join("highstate.exit"), exit).unwrap();
        fs::write(self.server.dir.path().join("highstate.json"), json).unwrap();
    }
}

over_both! {
    async fn the_contract_is_kept_as_root(transport) {
        suite(&Node::new(transport, "root")).await;
    }

    async fn the_contract_is_kept_with_sudo(transport) {
        suite(&Node::new(transport, "deploy")).await;
    }

    async fn files_keep_their_contract(transport) {
        for user in ["root", "deploy"] {
            let node = Node::new(transport, user);
            contract::shell::suite(&SshShell::new(node.pool.clone()), &host(1)).await;
            assert_eq!(node.mode("/etc/bldr-contract-shell"), 0o644);
        }
    }

    async fn a_file_that_is_replaced_keeps_its_mode_and_one_that_is_not_needs_a_folder(transport) {
        let node = Node::new(transport, "root");
        let shell = SshShell::new(node.pool.clone());
        node.put("/etc/secret", Some("old")).await;
        fs::set_permissions(node.server.inside("/etc/secret"), fs::Permissions::from_mode(0o640)).unwrap();
        shell.place(&host(1), "/etc/secret", b"new", Existing::IsReplaced).await.unwrap();
        assert_eq!((node.get("/etc/secret").await.as_deref(), node.mode("/etc/secret")), (Some("new"), 0o640));
        let nowhere = shell.place(&host(1), "/etc/no/such/folder", b"new", Existing::Stays).await.unwrap_err();
        assert!(nowhere.kind == PortErrorKind::Refused && nowhere.problem.contains("there is no folder /etc/no/such"), "{nowhere}");
    }

    async fn what_a_command_prints_is_heard_before_it_ends(transport) {
        let node = Node::new(transport, "root");
        let shell = SshShell::new(node.pool.clone());
        let gate = node.server.inside("/etc/gate");
        let mut heard = Vec::new();
        let mut hear = |bytes: Heard<'_>| {
            heard.push(match bytes {
                Heard::Out(bytes) => format!("out {}", String::from_utf8_lossy(bytes).trim()),
                Heard::Err(bytes) => format!("err {}", String::from_utf8_lossy(bytes).trim()),
            });
            // The command goes on only once this was heard.
            fs::write(&gate, "").unwrap();
        };
        let line = "echo begun; until [ -e /etc/gate ]; do sleep 0.05; done; echo ended >&2; exit 7";
        assert_eq!(shell.run(&host(1), line, &mut hear).await.unwrap(), 7);
        assert_eq!(heard, ["out begun", "err ended"]);
    }

    async fn a_whole_remastering_takes_one_connection_and_six_commands(transport) {
        let node = Node::new(transport, "root");
        node.pointed_elsewhere().await;
        node.set_highstate(HighstateEnd::Succeeds).await;
        node.minions.read(&host(1)).await.unwrap();
        node.minions.examine(&host(1), &node.address()).await.unwrap();
        assert_eq!(node.minions.repoint(&host(1), &Repointing { build_vars: Some("eA==".into()), ..node.to() }).await.unwrap(), Change::Made);
        let proof = node.minions.prove(&host(1), &node.address(), &node.master_key(), Duration::from_secs(5)).await.unwrap();
        assert_eq!(proof, Proof::Proven);
        node.minions.confirm(&host(1), &node.address(), &node.master_key()).await.unwrap();
        assert!(node.minions.highstate(&host(1), HighstateMode::Apply, mpsc::unbounded().0).await.unwrap().succeeded);
        node.minions.release(&host(1)).await;
        assert_eq!((node.pool.traffic().commands, node.pool.traffic().connects), (6, 1));
        assert_eq!(node.server.calls("systemctl"), ["stop salt-minion.service", "start salt-minion.service"]);
        assert_eq!(node.server.calls("salt-call"), ["--out=json --log-level=info --retcode-passthrough state.highstate"]);
        assert_eq!(node.get(BUILD_VARS).await.as_deref(), Some("eA=="));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_and_what_is_placed_has_the_right_modes() {
    let node = Node::new(Transport::Thrussh, "root");
    node.pointed_elsewhere().await;
    fs::set_permissions(node.server.inside(CONFIG), fs::Permissions::from_mode(0o640)).unwrap();
    for text in ["b25l", "dHdv"] {
        node.minions.write_build_vars(&host(1), text).await.unwrap();
    }
    node.minions.repoint(&host(1), &node.to()).await.unwrap();
    let modes = [CONFIG, TRUSTED, BUILD_VARS, "/var/lib/bldr", "/var/lib/bldr/backup"].map(|path| node.mode(path));
    assert_eq!(modes, [0o640, 0o644, 0o644, 0o755, 0o700]);
    for file in fs::read_dir(node.server.inside("/var/lib/bldr/backup")).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ten_newest_backups_are_kept() {
    let node = Node::new(Transport::Thrussh, "root");
    for number in 0..13 {
        node.minions.write_build_vars(&host(1), &number.to_string()).await.unwrap();
    }
    let kept: Vec<String> = (2..12).map(|number| number.to_string()).collect();
    assert_eq!(node.backups("build-vars.json.b64").await, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repointing_that_is_killed_anywhere_is_completed_by_the_next() {
    for verb in ["stop", "start"] {
        let node = Node::new(Transport::Thrussh, "root");
        node.pointed_elsewhere().await;
        let trap = node.server.dir.path().join(format!("kill-at-{verb}"));
        fs::write(&trap, "").unwrap();
        assert!(node.minions.repoint(&host(1), &node.to()).await.is_err(), "killed at {verb}");
        let files = node.minions.read(&host(1)).await.unwrap();
        assert!(files.highstate_due, "killed at {verb}");
        assert_eq!(files.trusted_key, None, "a minion that is down trusts nobody");
        fs::remove_file(trap).unwrap();
        assert_eq!(node.minions.repoint(&host(1), &node.to()).await.unwrap(), Change::Made);
        assert_eq!(node.server.calls("systemctl").last().map(String::as_str), Some("start salt-minion.service"));
        assert_eq!(node.get(CONFIG).await.unwrap(), "master: 127.0.0.112\n");
        assert_eq!(node.get(TRUSTED).await.unwrap(), KEY);
        assert_eq!(node.get(REPOINTING).await, None);
        node.put(DUE, None).await;
        assert_eq!(node.minions.repoint(&host(1), &node.to()).await.unwrap(), Change::NotNeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repointing_that_is_killed_at_any_step_leaves_whole_files_and_is_completed() {
    let node = Node::new(Transport::Thrussh, "root");
    let trap = node.server.dir.path().join("kill-at-change");
    let (old, new) = ("master: 10.9.9.9\n", "master: 127.0.0.112\n");
    for step in 0..60 {
        node.pointed_elsewhere().await;
        node.put(DUE, None).await;
        fs::write(&trap, step.to_string()).unwrap();
        let killed = node.minions.repoint(&host(1), &node.to()).await.is_err();
        fs::remove_file(&trap).unwrap();
        let config = node.get(CONFIG).await.unwrap();
        assert!(config == old || config == new, "step {step}: {config}");
        assert!(config == old || node.get(DUE).await.is_some(), "step {step}: what was changed is due");
        if !killed {
            assert!(step > 15, "only {step} steps");
            return;
        }
        let unfinished = config == old || node.get(REPOINTING).await.is_some();
        let expected = if unfinished { Change::Made } else { Change::NotNeeded };
        assert_eq!(node.minions.repoint(&host(1), &node.to()).await.unwrap(), expected, "step {step}");
        assert_eq!((node.get(CONFIG).await.as_deref(), node.get(TRUSTED).await.as_deref()), (Some(new), Some(KEY)), "step {step}");
        assert_eq!(node.server.calls("systemctl").last().map(String::as_str), Some("start salt-minion.service"));
        let left = fs::read_dir(node.server.inside("/etc/salt")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!left.into_iter().any(|name| name.to_string_lossy().contains("bldr-new")), "step {step} left something behind");
    }
    panic!("it never got to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_highstate_starts_a_minion_that_a_killed_repointing_left_down() {
    let node = Node::new(Transport::Thrussh, "root");
    node.put(REPOINTING, Some("127.0.0.112\n")).await;
    node.set_highstate(HighstateEnd::Succeeds).await;
    node.minions.highstate(&host(1), HighstateMode::Apply, mpsc::unbounded().0).await.unwrap();
    assert_eq!(node.server.calls("systemctl"), ["restart salt-minion.service"]);
    assert_eq!(node.get(REPOINTING).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minion_that_cannot_be_stopped_is_told_and_one_without_a_unit_is_fine() {
    let node = Node::new(Transport::Thrussh, "root");
    node.pointed_elsewhere().await;
    let exit = node.server.dir.path().join("systemctl.exit");
    fs::write(&exit, "1").unwrap();
    let error = node.minions.repoint(&host(1), &node.to()).await.unwrap_err();
    assert!(error.to_string().contains("systemctl stop salt-minion failed (exit 1)"), "{error}");
    assert_eq!(node.get(CONFIG).await.unwrap(), "master: 10.9.9.9\n");
    fs::write(&exit, "5").unwrap();
    assert_eq!(node.minions.repoint(&host(1), &node.to()).await.unwrap(), Change::Made);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_win_over_the_new_master_are_told_and_what_is_in_the_main_file_is_handled() {
    let node = Node::new(Transport::Thrussh, "root");
    node.pointed_elsewhere().await;
    let obstacles = async || node.minions.examine(&host(1), &node.address()).await.unwrap().1.obstacles;
    for (path, text, sign) in [
        ("/etc/salt/minion.d/99-master.conf", "master: 10.9.9.9\n", "/etc/salt/minion.d/99-master.conf sets 'master:' too"),
        ("/etc/salt/minion.d/finger.conf", "master_finger: 'ab:cd'\n", "finger.conf pins a key"),
        ("/etc/salt/minion.d/type.conf", "master_type: failover\n", "'master_type: failover'"),
    ] {
        node.put(path, Some(text)).await;
        assert!(obstacles().await.iter().any(|told| told.contains(sign)), "{:?}", obstacles().await);
        node.put(path, None).await;
    }
    assert_eq!(obstacles().await, [4505, 4506].map(|port| format!("127.0.0.112 does not answer it at port {port}")));
    node.put(CONFIG, Some("master_finger: 'ab:cd'\nmaster: [10.9.9.9, 10.9.9.8]\nid: kept\n")).await;
    node.minions.repoint(&host(1), &node.to()).await.unwrap();
    assert_eq!(node.get(CONFIG).await.unwrap(), "master: 127.0.0.112\nid: kept\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_what_wins_over_its_main_file() {
    let node = Node::new(Transport::Thrussh, "root");
    node.put(CONFIG, Some("master: 127.0.0.112\nid: kept\n")).await;
    let said = node.minions.read(&host(1)).await.unwrap().minion_config.unwrap();
    assert_eq!(said, "master: 127.0.0.112\nid: kept\n");
    node.put("/etc/salt/minion.d/99-master.conf", Some("master: 10.9.9.9\n")).await;
    let said = node.minions.read(&host(1)).await.unwrap().minion_config.unwrap();
    assert_eq!(bldr_core::minion_config::master_of(&said).as_deref(), Some("10.9.9.9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_looked_for_where_salt_keeps_them() {
    let node = Node::new(Transport::Thrussh, "root");
    node.pointed_elsewhere().await;
    node.put(CONFIG, Some("master: 10.9.9.9\npki_dir: /nowhere # old\n")).await;
    node.put("/etc/salt/minion.d/pki.conf", Some("pki_dir: \"/etc/salt/other\"\n")).await;
    node.minions.repoint(&host(1), &node.to()).await.unwrap();
    assert_eq!(node.get("/etc/salt/other/minion_master.pub").await.as_deref(), Some(KEY));
    assert_eq!(node.minions.read(&host(1)).await.unwrap().trusted_key.as_deref(), Some(KEY));
    assert_eq!(node.mode("/etc/salt/other"), 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_a_link_stays_one() {
    let node = Node::new(Transport::Thrussh, "root");
    node.put("/etc/salt/real", Some("master: 10.9.9.9\n")).await;
    std::os::unix::fs::symlink("real", node.server.inside(CONFIG)).unwrap();
    node.minions.repoint(&host(1), &node.to()).await.unwrap();
    assert_eq!(node.get("/etc/salt/real").await.unwrap(), "master: 127.0.0.112\n");
    assert_eq!(fs::read_link(node.server.inside(CONFIG)).unwrap(), Path::new("real"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_highstate_without_end_is_an_answer() {
    let node = Node::new(Transport::Thrussh, "root");
    let settings = SshSettings { highstate_timeout: Duration::from_secs(1), ..node.pool.settings().clone() };
    fs::write(node.server.dir.path().join("bin/salt-call"), "#!/bin/sh\nexec sleep 30\n").unwrap();
    let ended = SshMinions::new(Pool::new(settings)).highstate(&host(1), HighstateMode::Apply, mpsc::unbounded().0).await.unwrap();
    assert!(!ended.succeeded && ended.summary.contains("within 1 s"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_says_how_it_stands() {
    let node = Node::new(Transport::Thrussh, "root");
    let masters = SshMasters::new(node.pool.clone());
    assert_eq!(masters.read(&host(1)).await.unwrap_err().kind, PortErrorKind::NotFound);
    node.put("/etc/salt/pki/master/master.pub", Some("nonsense")).await;
    assert_eq!(masters.read(&host(1)).await.unwrap_err().kind, PortErrorKind::Malformed);
    node.put("/etc/salt/pki/master/master.pub", Some(KEY)).await;
    let standing = masters.read(&host(1)).await.unwrap();
    assert_eq!((standing.key, standing.keys), (node.master_key(), HeldKeys::default()));
    assert_eq!(standing.version.unwrap().to_string(), "3008.3");
    assert!(standing.silent.unwrap().contains("does not answer at ports 4505 and 4506 of 127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_are_asked_about_together() {
    let node = Node::new(Transport::Thrussh, "root");
    let masters = SshMasters::new(node.pool.clone());
    fs::write(
        node.server.dir.path().join("salt.json"),
        r#"{"n1": true, "n2": false, "n3": "Minion did not return. [No response]", "n19": true}"#,
    )
    .unwrap();
    let asked = (0..20).map(|n| {
        let masters = masters.clone();
        async move { masters.ping(&host(1), &[format!("n{n}")], Duration::from_secs(3)).await.unwrap() }
    });
    let answered: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    assert_eq!(answered, ["n1", "n19"]);
    let calls = node.server.calls("salt");
    assert!(calls.len() <= 3 && calls[0].contains(" --timeout=3 --out=json --static -L n"), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_confirms_means_that_the_node_puts_itself_back() {
    let node = Node::new(Transport::Thrussh, "root");
    node.pointed_elsewhere().await;
    node.put(BUILD_VARS, Some("b2xk")).await;
    let to = Repointing { build_vars: Some("bmV3".into()), patience: Duration::from_secs(2), ..node.to() };
    node.minions.repoint(&host(1), &to).await.unwrap();
    assert_eq!(node.get(BUILD_VARS).await.as_deref(), Some("bmV3"));
    let back = async {
        while node.minions.read(&host(1)).await.unwrap().unconfirmed.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("it puts itself back");
    assert_eq!((node.get(CONFIG).await.as_deref(), node.get(BUILD_VARS).await.as_deref()), (Some("master: 10.9.9.9\n"), Some("b2xk")));
    assert_eq!(node.get(TRUSTED).await, Some(KEY.replace("bmV3", "b2xk")));
    assert_eq!((node.get(DUE).await, node.get(REPOINTING).await), (None, None));
    let late = node.minions.confirm(&host(1), &node.address(), &node.master_key()).await.unwrap_err();
    assert!(late.kind == PortErrorKind::Refused && late.to_string().contains("put itself back"), "{late}");
    assert!(fs::metadata(node.server.inside("/var/lib/bldr/switch")).is_err(), "nothing is left of the switch");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_are_an_error_and_not_absent() {
    let node = Node::new(Transport::Thrussh, "root");
    fs::create_dir_all(node.server.inside(BUILD_VARS)).unwrap();
    assert_eq!(node.minions.read(&host(1)).await.unwrap_err().kind, PortErrorKind::Refused);
    fs::remove_dir(node.server.inside(BUILD_VARS)).unwrap();
    fs::write(node.server.inside(BUILD_VARS), b"\xff\xfe").unwrap();
    assert_eq!(node.minions.read(&host(1)).await.unwrap_err().kind, PortErrorKind::Malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_was_killed_between_two_programs_is_replaced() {
    let node = Node::new(Transport::Thrussh, "root");
    node.pointed_elsewhere().await;
    node.minions.read(&host(1)).await.unwrap();
    // Both are children of the connection's sshd. It says that the shell has ended before it says that this command has.
    let kill = "for child in $(pgrep -P $PPID); do
        [ $child = $$ ] || { kill -KILL $child && while [ -e /proc/$child ]; do :; done && echo killed; }
    done";
    let mut said = Vec::new();
    let mut hear = |heard: Heard<'_>| {
        said.extend_from_slice(match heard {
            Heard::Out(bytes) | Heard::Err(bytes) => bytes,
        });
    };
    SshShell::new(node.pool.clone()).run(&host(1), kill, &mut hear).await.unwrap();
    assert_eq!(String::from_utf8(said).unwrap(), "killed\n");
    assert!(node.minions.read(&host(1)).await.unwrap().minion_config.is_some());
    assert_eq!(node.pool.traffic().connects, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_changes_keys_again_and_again_is_no_trouble() {
    let node = Node::of(Server::with("RekeyLimit 100K"), Transport::Thrussh, "deploy");
    node.pointed_elsewhere().await;
    for _ in 0..60 {
        assert!(node.minions.read(&host(1)).await.unwrap().minion_config.is_some());
    }
    assert_eq!((node.pool.traffic().commands, node.pool.traffic().connects), (60, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_typed_into_one_shell_however_many_they_are() {
    for user in ["root", "deploy"] {
        let node = Node::new(Transport::Thrussh, user);
        node.pointed_elsewhere().await;
        for _ in 0..60 {
            assert!(node.minions.read(&host(1)).await.unwrap().minion_config.is_some());
        }
        assert_eq!((node.pool.traffic().commands, node.pool.traffic().connects), (60, 1), "{user}");
    }
}
