//! Do commands run, and do they never seem to succeed when they did not?

use crate::server::{Server, host, over_both};
use bldr_adapters_ssh::{Pool, SshSettings};
use bldr_core::error::PortErrorKind;
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(20);

over_both! {
    async fn a_command_comes_back_with_status_and_output(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        let output = pool.exec(&host(1), "cat; echo warn >&2; exit 3", b"in", LONG).await.unwrap();
        assert_eq!((output.status, &output.stdout[..], &output.stderr[..]), (3, &b"in"[..], &b"warn\n"[..]));
        assert_eq!(pool.exec(&host(1), "no-such-command", b"", LONG).await.unwrap().status, 127);
    }

    async fn two_megabytes_go_in_and_come_back_whole(transport) {
        let server = Server::start();
        let data: Vec<u8> = (0..2_usize << 20).map(|i| ((i * 7) >> 2) as u8).collect();
        let output = server.pool(transport).exec(&host(1), "cat", &data, LONG).await.unwrap();
        assert!(output.stdout == data);
    }

    async fn input_that_nobody_reads_is_no_failure(transport) {
        let server = Server::start();
        let output = server.pool(transport).exec(&host(1), "exit 4", &vec![b'x'; 4 << 20], LONG).await.unwrap();
        assert_eq!(output.status, 4);
    }

    async fn a_connection_lost_in_the_middle_of_a_command_is_an_error(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        let error = pool.exec(&host(1), "echo half; kill -9 $PPID; read x", b"", LONG).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unreachable);
        assert!(error.to_string().contains("how it ended is not known"), "{error}");
        assert_eq!(pool.traffic().commands, 1, "a command that was sent is never sent again by itself");
    }

    async fn a_command_without_end_is_given_up(transport) {
        let server = Server::start();
        let pool = server.pool(transport);
        let begun = Instant::now();
        let error = pool.exec(&host(1), "sleep 15", b"", Duration::from_millis(500)).await.unwrap_err();
        assert!(error.to_string().contains("no end of the command within 0.5 s"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(pool.exec(&host(1), "echo again", b"", LONG).await.unwrap().stdout, b"again\n");
    }

    async fn output_without_end_is_refused(transport) {
        let server = Server::start();
        let error = server.pool(transport).exec(&host(1), "head -c 20M /dev/zero", b"", LONG).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Refused);
    }

    async fn long_standard_error_is_cut(transport) {
        let server = Server::start();
        let output = server.pool(transport).exec(&host(1), "head -c 3M /dev/zero >&2; echo done", b"", LONG).await.unwrap();
        assert_eq!((output.stderr.len(), &output.stdout[..]), (1 << 20, &b"done\n"[..]));
    }

    async fn a_server_that_never_speaks_is_unreachable_in_time(transport) {
        let server = Server::start();
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoints = [(host(1).node, mute.local_addr().unwrap())].into();
        let connect_timeout = Duration::from_millis(300);
        let pool = Pool::new(SshSettings { endpoints, connect_timeout, auth_timeout: connect_timeout, ..server.settings(transport) });
        let begun = Instant::now();
        let error = pool.exec(&host(1), "true", b"", LONG).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unreachable, "{error}");
        assert_eq!(pool.traffic().connects, 3, "tried again, with back-off");
        assert!(begun.elapsed() < Duration::from_secs(8));
    }

    async fn a_closed_port_is_unreachable(transport) {
        let server = Server::start();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let pool = Pool::new(SshSettings { endpoints: [(host(1).node, nobody)].into(), ..server.settings(transport) });
        let error = pool.exec(&host(1), "true", b"", LONG).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unreachable);
        assert!(error.to_string().contains("refused") && error.advice.is_some(), "{error}");
    }
}
