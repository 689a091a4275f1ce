//! Who gets in, with which key, and what is said to those who do not?

use crate::server::{Server, host, keygen, over_both, run};
use bldr_adapters_ssh::{Pool, SshMinions, SshSettings, Transport};
use bldr_core::{error::PortErrorKind, ports::Minions};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const LONG: Duration = Duration::from_secs(20);

/// A running ssh-agent with these keys.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    fn with(folder: &Path, options: &[&str], keys: &[&Path]) -> Self {
        let socket = folder.join("agent");
        let mut process = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
        // It prints its socket when it listens.
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        for key in keys {
            let added = Command::new("ssh-add").arg("-q").args(options).arg(key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
            assert!(added.success());
        }
        Self { process, socket }
    }
}
impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn denied(error: &bldr_core::error::PortError) -> String {
    assert_eq!(error.kind, PortErrorKind::Denied, "{error}");
    error.to_string()
}

over_both! {
    async fn the_agent_signs_with_ed25519_and_rsa(transport) {
        for kind in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048"]] {
            let server = Server::start();
            let (stranger, own) = (keygen(server.dir.path(), "stranger", &["-t", "ed25519"]), keygen(server.dir.path(), "own", kind));
            server.authorize(&own);
            let agent = Agent::with(server.dir.path(), &[], &[&stranger, &own]);
            let settings = SshSettings { agent: Some(agent.socket.clone()), key_files: vec![], ..server.settings(transport) };
            Pool::new(settings).exec(&host(1), "true", b"", LONG).await.unwrap();
        }
    }

    async fn an_agent_that_refuses_is_passed_over(transport) {
        let server = Server::start();
        // To be confirmed by a person, of whom there is none.
        let guarded = keygen(server.dir.path(), "guarded", &["-t", "ed25519"]);
        server.authorize(&guarded);
        let agent = Agent::with(server.dir.path(), &["-c"], &[&guarded]);
        let settings = SshSettings { agent: Some(agent.socket.clone()), ..server.settings(transport) };
        Pool::new(settings).exec(&host(1), "true", b"", LONG).await.unwrap();
        let settings = SshSettings { agent: Some(agent.socket.clone()), key_files: vec![], ..server.settings(transport) };
        denied(&Pool::new(settings).exec(&host(1), "true", b"", LONG).await.unwrap_err());
    }

    async fn the_stacks_own_key_pair_lets_us_in(transport) {
        let server = Server::start();
        fs::create_dir(server.dir.path().join("pairs")).unwrap();
        run("cp", &[&server.key().to_string_lossy(), &server.dir.path().join("pairs/harbor--ci.pem").to_string_lossy()]);
        let settings = SshSettings { keypairs: Some(server.dir.path().join("pairs")), key_files: vec![], ..server.settings(transport) };
        Pool::new(settings).exec(&host(1), "true", b"", LONG).await.unwrap();
    }

    async fn an_rsa_key_file_lets_us_in(transport) {
        let server = Server::start();
        for (name, format) in [("rsa_new", &[][..]), ("rsa_pem", &["-m", "PEM"])] {
            let key = keygen(server.dir.path(), name, &[&["-t", "rsa", "-b", "2048"], format].concat());
            server.authorize(&key);
            Pool::new(SshSettings { key_files: vec![key], ..server.settings(transport) }).exec(&host(1), "true", b"", LONG).await.unwrap();
        }
    }

    async fn who_is_not_let_in_hears_what_was_tried(transport) {
        let server = Server::start();
        let stranger = keygen(server.dir.path(), "id_stranger", &["-t", "ed25519"]);
        let settings = SshSettings { key_files: vec![stranger], agent: Some("/nowhere/agent".into()), ..server.settings(transport) };
        let text = denied(&Pool::new(settings).exec(&host(1), "true", b"", LONG).await.unwrap_err());
        assert!(text.contains("as 'root'") && text.contains("id_stranger") && text.contains("ssh-agent") && text.contains("ssh-add"), "{text}");
    }

    async fn another_user_needs_sudo(transport) {
        let server = Server::start();
        let pool = Pool::new(SshSettings { user: "deploy".into(), ..server.settings(transport) });
        SshMinions::new(pool).write_build_vars(&host(1), "eA==").await.unwrap();
        assert_eq!(fs::read_to_string(server.inside("/etc/build-vars.json.b64")).unwrap(), "eA==");
        let pool = Pool::new(SshSettings { user: "bare".into(), ..server.settings(transport) });
        let text = denied(&SshMinions::new(pool).read(&host(1)).await.unwrap_err());
        assert!(text.contains("'bare' may not use sudo") && text.contains("NOPASSWD"), "{text}");
    }
}

/// A pool whose only key is encrypted with `right`, a prompt that answers so, and how often it was asked.
fn encrypted(server: &Server, format: &[&str], answer: Option<&'static str>) -> (Pool, Arc<AtomicUsize>) {
    let key = keygen(server.dir.path(), "locked", &[&["-t", "rsa", "-b", "2048", "-N", "right"], format].concat());
    server.authorize(&key);
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let prompt = move |_: &Path| {
        counter.fetch_add(1, Ordering::Relaxed);
        answer.map(Into::into)
    };
    let settings = SshSettings { key_files: vec![key], passphrase: Some(Arc::new(prompt)), ..server.settings(Transport::Thrussh) };
    (Pool::new(settings), asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passphrase_of_a_key_is_asked_for_once() {
    for format in [&[][..], &["-m", "PEM"]] {
        let server = Server::start();
        let (pool, asked) = encrypted(&server, format, Some("right"));
        let hosts: Vec<_> = (1..=6).map(host).collect();
        for output in futures::future::join_all(hosts.iter().map(|host| pool.exec(host, "true", b"", LONG))).await {
            output.unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_empty_passphrase_is_told_and_not_asked_for_again() {
    for (answer, reason) in [(Some("wrong"), "wrong passphrase"), (Some(""), "no passphrase given"), (None, "no passphrase given")] {
        let server = Server::start();
        let (pool, asked) = encrypted(&server, &[], answer);
        for _ in 0..2 {
            let text = denied(&pool.exec(&host(1), "true", b"", LONG).await.unwrap_err());
            assert!(text.contains("locked") && text.contains(reason), "{text}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_while_another_key_works() {
    let server = Server::start();
    let (pool, asked) = encrypted(&server, &[], Some("right"));
    let settings = SshSettings { key_files: [pool.settings().key_files.clone(), vec![server.key()]].concat(), ..pool.settings().clone() };
    Pool::new(settings).exec(&host(1), "true", b"", LONG).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_thrussh_cannot_talk_to_is_described_and_the_system_can() {
    let dir = tempfile::tempdir().unwrap();
    let ecdsa = keygen(dir.path(), "host_ecdsa", &["-t", "ecdsa"]);
    for (lines, offered) in [
        ("MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com".to_owned(), "hmac-sha2-256-etm@openssh.com"),
        (format!("HostKey {}", ecdsa.display()), "ecdsa-sha2-nistp256"),
        ("Ciphers aes128-ctr".to_owned(), "aes128-ctr"),
        ("KexAlgorithms ecdh-sha2-nistp256".to_owned(), "ecdh-sha2-nistp256"),
    ] {
        let server = Server::with(&lines);
        let error = server.pool(Transport::Thrussh).exec(&host(1), "true", b"", LONG).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(offered) && text.contains("ssh.transport: system"), "{text}");
        server.pool(Transport::System).exec(&host(1), "true", b"", LONG).await.unwrap();
    }
}
