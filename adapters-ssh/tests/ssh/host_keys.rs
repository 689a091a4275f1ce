//! Is only the right host talked to?

use crate::server::{Server, host, keygen, over_both, public, run};
use bldr_adapters_ssh::{Pool, SshSettings, Transport};
use bldr_core::error::PortErrorKind;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

/// The server's line in known_hosts, with another key in it.
fn with_key(server: &Server, key: &std::path::Path) -> String {
    let key = public(key);
    let mut fields = key.split_whitespace();
    format!("[127.0.0.1]:{} {} {}\n", server.port, fields.next().unwrap(), fields.next().unwrap())
}

over_both! {
    async fn a_new_host_is_learnt_and_then_known(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        pool.exec(&host(1), "true", b"", LONG).await.unwrap();
        // The system's ssh may hash the name.
        let key = server.host_line().split_once(' ').unwrap().1.to_owned();
        assert!(server.known_hosts().ends_with(&key), "{}", server.known_hosts());
        pool.exec(&host(2), "true", b"", LONG).await.unwrap();
        assert_eq!(server.known_hosts().lines().count(), 1);
    }

    async fn a_changed_key_is_refused_with_the_way_to_accept_it(transport) {
        let server = Server::start();
        let other = keygen(server.dir.path(), "other_host", &["-t", "ed25519"]);
        server.learn(&format!("# first\n{}", with_key(&server, &other)));
        let pool = server.pool(transport);
        let error = pool.exec(&host(1), "true", b"", LONG).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        let text = error.to_string();
        for key in [&other, &server.dir.path().join("host_ed25519")] {
            let fingerprint = run("ssh-keygen", &["-lf", &key.to_string_lossy()]);
            assert!(text.contains(fingerprint.split_whitespace().nth(1).unwrap()), "{text}");
        }
        assert!(text.contains("known_hosts:2"), "{text}");
        let command = text.split('`').nth(1).unwrap();
        assert!(command.starts_with("ssh-keygen -R"), "{command}");
        run("sh", &["-c", command]);
        pool.exec(&host(1), "true", b"", LONG).await.unwrap();
    }

    async fn a_revoked_key_is_refused(transport) {
        let server = Server::start();
        server.learn(&format!("{}@revoked * {}", server.host_line(), server.host_line().split_once(' ').unwrap().1));
        let error = server.pool(transport).exec(&host(1), "true", b"", LONG).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        assert!(error.to_string().contains("revoked"), "{error}");
    }

    async fn hashed_names_are_known(transport) {
        let server = Server::start();
        let book = server.dir.path().join("known_hosts");
        server.learn(&server.host_line());
        run("ssh-keygen", &["-q", "-H", "-f", &book.to_string_lossy()]);
        let hashed = server.known_hosts();
        assert!(hashed.starts_with("|1|"));
        server.pool(transport).exec(&host(1), "true", b"", LONG).await.unwrap();
        assert_eq!(server.known_hosts(), hashed);
        let other = keygen(server.dir.path(), "other_host", &["-t", "ed25519"]);
        server.learn(&with_key(&server, &other));
        run("ssh-keygen", &["-q", "-H", "-f", &book.to_string_lossy()]);
        let error = server.pool(transport).exec(&host(1), "true", b"", LONG).await.unwrap_err();
        assert!(error.to_string().contains("has changed"), "{error}");
    }

    async fn a_host_known_by_rsa_alone_shows_that_key(transport) {
        let dir = tempfile::tempdir().unwrap();
        let rsa = keygen(dir.path(), "host_rsa", &["-t", "rsa", "-b", "2048"]);
        let server = Server::with(&format!("HostKey DIR/host_ed25519\nHostKey {}", rsa.display()));
        server.learn(&with_key(&server, &rsa));
        server.pool(transport).exec(&host(1), "true", b"", LONG).await.unwrap();
        assert!(server.known_hosts().starts_with(&with_key(&server, &rsa)));
    }

    async fn no_key_is_learnt_from_a_host_that_refuses_us(transport) {
        let server = Server::start();
        let stranger = keygen(server.dir.path(), "stranger", &["-t", "ed25519"]);
        let settings = SshSettings { key_files: vec![stranger], ..server.settings(transport) };
        assert!(Pool::new(settings).exec(&host(1), "true", b"", LONG).await.is_err());
        if transport == Transport::Thrussh {
            assert_eq!(server.known_hosts(), "");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_is_learnt_once_by_32_connections_at_the_same_time() {
    let server = Server::start();
    let pool = server.pool(Transport::Thrussh);
    let hosts: Vec<_> = (1..=32).map(host).collect();
    for output in futures::future::join_all(hosts.iter().map(|host| pool.exec(host, "true", b"", LONG))).await {
        output.unwrap();
    }
    assert_eq!(server.known_hosts(), server.host_line());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_line_without_an_end_is_not_run_into() {
    let server = Server::start();
    server.learn("# no line end");
    server.pool(Transport::Thrussh).exec(&host(1), "true", b"", LONG).await.unwrap();
    assert_eq!(server.known_hosts(), format!("# no line end\n{}", server.host_line()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_known_by_ecdsa_alone_is_not_trusted_by_another_key() {
    let server = Server::start();
    let ecdsa = keygen(server.dir.path(), "host_ecdsa", &["-t", "ecdsa"]);
    server.learn(&with_key(&server, &ecdsa));
    let error = server.pool(Transport::Thrussh).exec(&host(1), "true", b"", LONG).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    assert!(error.to_string().contains("ecdsa-sha2-nistp256") && error.to_string().contains("ssh.transport: system"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn known_hosts_that_cannot_be_written_are_told() {
    let server = Server::start();
    let settings = SshSettings { known_hosts: "/proc/nowhere/known_hosts".into(), ..server.settings(Transport::Thrussh) };
    let error = Pool::new(settings).exec(&host(1), "true", b"", LONG).await.unwrap_err();
    assert!(error.to_string().contains("/proc/nowhere/known_hosts"), "{error}");
}
