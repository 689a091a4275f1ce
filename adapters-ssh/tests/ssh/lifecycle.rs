//! Are connections kept, opened again and closed when they should be?

use crate::server::{Server, host, over_both};
use bldr_adapters_ssh::{Pool, SshSettings, Transport};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

over_both! {
    async fn more_commands_than_a_connection_takes_just_work(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        for _ in 0..12 {
            assert_eq!(pool.exec(&host(1), "exit 7", b"", LONG).await.unwrap().status, 7);
        }
        let traffic = pool.traffic();
        assert_eq!((traffic.commands, traffic.connects), (12, if transport == Transport::Thrussh { 2 } else { 1 }));
    }

    async fn a_connection_that_died_while_idle_is_opened_again(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        pool.exec(&host(1), "true", b"", LONG).await.unwrap();
        server.kill_sessions();
        if transport == Transport::System {
            server.noticed().await;
        }
        assert_eq!(pool.exec(&host(1), "echo again", b"", LONG).await.unwrap().stdout, b"again\n");
        assert_eq!((pool.traffic().commands, pool.traffic().connects), (2, 2));
    }

    async fn only_so_many_connections_are_kept(transport) {
        let server = Server::start();
        let pool = Pool::new(SshSettings { max_idle: 2, ..server.settings(transport) });
        for number in [1, 2, 1, 3] {
            pool.exec(&host(number), "true", b"", LONG).await.unwrap();
        }
        assert_eq!(pool.traffic().connects, 3);
        pool.exec(&host(1), "true", b"", LONG).await.unwrap();
        assert_eq!(pool.traffic().connects, 3, "what was used last is kept");
        pool.exec(&host(2), "true", b"", LONG).await.unwrap();
        assert_eq!(pool.traffic().connects, 4, "what was not used for longest went");
    }

    async fn a_released_node_is_connected_to_anew(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        pool.exec(&host(1), "true", b"", LONG).await.unwrap();
        pool.release(&host(1)).await;
        pool.release(&host(2)).await;
        pool.exec(&host(1), "true", b"", LONG).await.unwrap();
        assert_eq!(pool.traffic().connects, 2);
        pool.close().await;
    }

    async fn nothing_is_left_behind_when_the_pool_is_dropped(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        pool.exec(&host(1), "true", b"", LONG).await.unwrap();
        drop(pool);
        server.no_sessions().await;
    }

    async fn many_nodes_go_through_one_bastion(transport) {
        let (bastion, node) = (Server::start(), Server::start());
        bastion.authorize(&node.key());
        let pool = Pool::new(SshSettings { bastion: Some(format!("root@127.0.0.1:{}", bastion.port)), ..node.settings(transport) });
        let hosts: Vec<_> = (1..=8).map(host).collect();
        let outputs = futures::future::join_all(hosts.iter().map(|host| pool.exec(host, "cat", b"through", LONG))).await;
        for output in outputs {
            assert_eq!(output.unwrap().stdout, b"through");
        }
        assert_eq!(node.logins(), 8);
        if transport == Transport::Thrussh {
            assert!((1..=8).contains(&bastion.logins()), "{} connections to the bastion", bastion.logins());
        }
        let data = vec![b'x'; 2 << 20];
        assert!(pool.exec(&hosts[0], "cat", &data, LONG).await.unwrap().stdout == data);
    }

    async fn the_configuration_file_is_honoured(transport) {
        let (bastion, node) = (Server::start(), Server::start());
        bastion.authorize(&node.key());
        let config = node.dir.path().join("config");
        let text = format!(
            "Host harbor--ci--*\n  HostName 127.0.0.1\n  Port {}\n  User root\n  ProxyJump gate\nHost gate\n  HostName 127.0.0.1\n  Port {}\n  User root\n",
            node.port, bastion.port
        );
        std::fs::write(&config, text).unwrap();
        let settings = SshSettings { endpoints: [].into(), config: Some(config), user: "nobody-else".into(), ..node.settings(transport) };
        let output = Pool::new(settings).exec(&host(1), "id -un", b"", LONG).await.unwrap();
        assert_eq!(output.stdout, b"root\n");
        assert_eq!((node.logins(), bastion.logins()), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_behind_the_bastion_that_does_not_answer_holds_up_nobody() {
    let (bastion, node) = (Server::start(), Server::start());
    bastion.authorize(&node.key());
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = SshSettings {
        bastion: Some(format!("root@127.0.0.1:{}", bastion.port)),
        connect_timeout: Duration::from_secs(2),
        ..node.settings(Transport::Thrussh)
    };
    settings.endpoints.insert(host(1).node, mute.local_addr().unwrap());
    let pool = Pool::new(settings);
    let dead = host(1);
    let others = async {
        for number in 2..8 {
            pool.exec(&host(number), "true", b"", LONG).await.unwrap();
        }
    };
    tokio::select! {
        () = others => {}
        given_up = pool.exec(&dead, "true", b"", LONG) => panic!("the others waited for it: {given_up:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bastion_that_is_down_costs_one_timeout_and_not_one_a_node() {
    let node = Server::start();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let pool = Pool::new(SshSettings {
        bastion: Some(format!("root@{}", mute.local_addr().unwrap())),
        connect_timeout: Duration::from_millis(500),
        ..node.settings(Transport::Thrussh)
    });
    let (hosts, begun) = ((1..=30).map(host).collect::<Vec<_>>(), std::time::Instant::now());
    for output in futures::future::join_all(hosts.iter().map(|host| pool.exec(host, "true", b"", LONG))).await {
        assert!(output.unwrap_err().to_string().contains(&mute.local_addr().unwrap().to_string()));
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bastion_that_was_restarted_is_connected_to_again() {
    let (bastion, node) = (Server::start(), Server::start());
    bastion.authorize(&node.key());
    let pool = Pool::new(SshSettings { bastion: Some(format!("root@127.0.0.1:{}", bastion.port)), ..node.settings(Transport::Thrussh) });
    pool.exec(&host(1), "true", b"", LONG).await.unwrap();
    bastion.kill_sessions();
    pool.exec(&host(1), "true", b"", LONG).await.unwrap();
    assert_eq!((bastion.logins(), node.logins()), (2, 2));
}
