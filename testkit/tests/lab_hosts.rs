//! Are the lab's hosts machines of their own? What they answer, and how they go wrong.
#![cfg(feature = "lab")]
// The helpers of tests fail as the tests do.
#![allow(clippy::unwrap_used)]

use bldr_testkit::lab::{Host, HostSpec, Lab};
use serde_json::json;
use std::{net::Ipv4Addr, path::Path, process::Output, time::Instant};

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, n)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn answers(lab: &Lab, host: &Host) -> bool {
    lab.ssh(host, "true").await.unwrap().status.success()
}

#[tokio::test]
async fn the_stock_client_logs_in_as_ubuntu_and_has_sudo() {
    let lab = Lab::new().await.unwrap();
    let host = lab.host(HostSpec::new("harbor--ci--1", address(1))).await.unwrap();
    let output =
        lab.ssh(&host, "whoami; hostname; sudo whoami; [ $(ls -d /proc/[0-9]* | wc -l) -lt 20 ] && echo few processes").await.unwrap();
    assert_eq!(stdout(&output), "ubuntu\nharbor--ci--1\nroot\nfew processes", "{output:?}");
}

#[tokio::test]
async fn a_host_does_not_carry_the_load_of_the_others() {
    let lab = Lab::new().await.unwrap();
    let hosts = lab.hosts(vec![HostSpec::new("a", address(1)), HostSpec::new("b", address(2))]).await.unwrap();
    let load = async |host: &Host| host.shell("cut -d ' ' -f 1 /proc/loadavg").await.unwrap();
    assert_eq!((load(&hosts[0]).await.trim(), load(&hosts[1]).await.trim()), ("0.00", "0.00"));
    hosts[0].shell("echo '7.50 0.00 0.00 1/10 100' >/proc/loadavg").await.unwrap();
    assert_eq!((load(&hosts[0]).await.trim(), load(&hosts[1]).await.trim()), ("7.50", "0.00"), "what a test says it is");
}

#[tokio::test]
async fn a_host_answers_on_its_public_address_from_the_hub_and_from_other_hosts() {
    let lab = Lab::new().await.unwrap();
    let specs = vec![HostSpec::new("a", address(1)).public(Ipv4Addr::new(198, 51, 100, 7)), HostSpec::new("b", address(2))];
    let hosts = lab.hosts(specs).await.unwrap();
    assert!(answers(&lab, &hosts[0]).await);
    for target in ["198.51.100.7", "10.77.1.1"] {
        let greeting = hosts[1].shell(&format!("ssh-keyscan -t ed25519 {target} 2>/dev/null")).await.unwrap();
        assert!(greeting.contains(&hosts[0].host_key().unwrap()), "{target}: {greeting}");
    }
}

#[tokio::test]
async fn files_arrive_with_their_modes_and_absence_is_no_error() {
    let lab = Lab::new().await.unwrap();
    let host = lab.host(HostSpec::new("a", address(1)).file("/etc/given", "from the start", 0o640)).await.unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    host.write("/srv/new folder/odd 'name'", &bytes, 0o600).await.unwrap();
    assert_eq!(host.read("/srv/new folder/odd 'name'").await.unwrap(), Some(bytes));
    assert_eq!(host.read("/etc/given").await.unwrap().as_deref(), Some(&b"from the start"[..]));
    assert_eq!(host.read("/etc/absent").await.unwrap(), None);
    let modes = host.shell("stat -c '%a %U' /etc/given '/srv/new folder/odd '*  /etc /root").await.unwrap();
    assert_eq!(modes, "640 root\n600 root\n755 root\n700 root\n");
}

#[tokio::test]
async fn a_killed_host_answers_nobody_and_the_others_live_on() {
    let lab = Lab::new().await.unwrap();
    let hosts = lab.hosts(vec![HostSpec::new("a", address(1)), HostSpec::new("b", address(2))]).await.unwrap();
    hosts[0].kill().await.unwrap();
    assert!(!Path::new(&format!("/proc/{}", hosts[0].pid())).exists());
    assert!(!answers(&lab, &hosts[0]).await);
    assert!(hosts[0].shell("true").await.is_err());
    assert!(answers(&lab, &hosts[1]).await);
}

#[tokio::test]
async fn a_frozen_host_keeps_its_connections_and_goes_on_when_it_thaws() {
    let lab = Lab::new().await.unwrap();
    let host = lab.host(HostSpec::new("a", address(1))).await.unwrap();
    // A connection that is open all the while: a fifo on the host holds its command.
    host.shell("mkfifo -m 666 /tmp/go").await.unwrap();
    let inside = lab.ssh(&host, "echo begun >/tmp/begun; cat /tmp/go; echo done");
    let story = async {
        host.shell("until [ -s /tmp/begun ]; do :; done").await.unwrap();
        host.freeze().await.unwrap();
        assert!(!answers(&lab, &host).await);
        host.thaw().await.unwrap();
        assert!(answers(&lab, &host).await);
        host.shell("echo gone on >/tmp/go").await.unwrap();
    };
    let (output, ()) = tokio::join!(inside, story);
    assert_eq!(stdout(&output.unwrap()), "gone on\ndone");
}

#[tokio::test]
async fn a_command_that_was_frozen_with_its_host_ends_after_the_thaw() {
    let lab = Lab::new().await.unwrap();
    let host = lab.host(HostSpec::new("a", address(1))).await.unwrap();
    host.shell("mkfifo /tmp/begun /tmp/go").await.unwrap();
    let story = async {
        host.shell("cat /tmp/begun").await.unwrap();
        host.freeze().await.unwrap();
        host.thaw().await.unwrap();
        host.shell("echo on >/tmp/go").await.unwrap();
    };
    let (said, ()) = tokio::join!(host.shell("echo begun >/tmp/begun; cat /tmp/go"), story);
    assert_eq!(said.unwrap(), "on\n");
}

#[tokio::test]
async fn dropped_traffic_is_lost_to_one_address_or_to_all_until_it_is_restored() {
    let lab = Lab::new().await.unwrap();
    let hosts = lab.hosts((1..=3).map(|n| HostSpec::new(format!("h{n}"), address(n))).collect()).await.unwrap();
    let reaches =
        async |to: u8| hosts[0].shell(&format!("ssh-keyscan -T 1 -t ed25519 10.77.1.{to} 2>/dev/null | grep -q ed25519")).await.is_ok();
    hosts[0].drop_traffic_to(address(2)).await.unwrap();
    assert_eq!((reaches(2).await, reaches(3).await, answers(&lab, &hosts[0]).await), (false, true, true));
    hosts[0].drop_all_traffic().await.unwrap();
    assert_eq!((reaches(3).await, answers(&lab, &hosts[0]).await), (false, false));
    hosts[0].restore_traffic().await.unwrap();
    assert_eq!((reaches(2).await, reaches(3).await, answers(&lab, &hosts[0]).await), (true, true, true));
}

#[tokio::test]
async fn the_stand_in_for_salt_call_answers_as_told_and_keeps_a_log() {
    let lab = Lab::new().await.unwrap();
    let host = lab.host(HostSpec::new("a", address(1)).file("/etc/salt/stub", "standalone=1\n", 0o644)).await.unwrap();
    let highstate = "sudo salt-call state.highstate --out=json --retcode-passthrough";
    let well = lab.ssh(&host, highstate).await.unwrap();
    let states: serde_json::Value = serde_json::from_slice(&well.stdout).unwrap();
    assert_eq!(states["local"]["file_|-motd_|-/etc/motd_|-managed"]["result"], true);
    host.write("/etc/salt/stub", b"standalone=1\nrc=2\n", 0o644).await.unwrap();
    let failed = lab.ssh(&host, highstate).await.unwrap();
    let states: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((failed.status.code(), &states["local"]["file_|-motd_|-/etc/motd_|-managed"]["result"]), (Some(2), &json!(false)));
    host.write("/etc/salt/stub", b"standalone=1\nrc=77\nout='no key'\n", 0o644).await.unwrap();
    let refused = lab.ssh(&host, highstate).await.unwrap();
    assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(77), "no key"));
    let log = host.shell("cut -d' ' -f2- /var/log/salt/stub.log").await.unwrap();
    assert_eq!(log.lines().collect::<Vec<_>>(), ["state.highstate --out=json --retcode-passthrough"; 3]);
}

#[tokio::test]
async fn the_stand_in_for_systemctl_knows_the_daemons_of_salt_and_keeps_a_log() {
    let lab = Lab::new().await.unwrap();
    let host = lab.host(HostSpec::new("a", address(1)).file("/etc/salt/minion", "master: 10.77.0.11\n", 0o644)).await.unwrap();
    let states = "for unit in salt-minion salt-master nginx; do systemctl is-active $unit || echo $?; done";
    assert_eq!(host.shell(states).await.unwrap(), "active\ninactive\n3\ninactive\n4\n");
    let main_pid = "systemctl show -p MainPID --value salt-minion";
    let before = host.shell(main_pid).await.unwrap();
    let after = host.shell(&format!("systemctl restart salt-minion; {main_pid}")).await.unwrap();
    assert_ne!(before, after);
    let alive = format!("for pid in {} {}; do [ ! -d /proc/$pid ] || echo $pid; done", before.trim(), after.trim());
    assert_eq!(host.shell(&alive).await.unwrap(), after);
    let stopped = host.shell("systemctl stop salt-minion.service; systemctl is-active --quiet salt-minion || echo $?").await.unwrap();
    assert_eq!((stopped.as_str(), host.shell(&alive).await.unwrap().as_str()), ("3\n", ""));
    let log = host.shell("cat /var/log/systemctl.log").await.unwrap();
    let changes: Vec<_> = log.lines().filter(|call| !call.starts_with("is-active") && !call.starts_with("show")).collect();
    assert_eq!(changes, ["restart salt-minion", "stop salt-minion.service"]);
}

#[tokio::test]
async fn two_labs_have_the_same_addresses_and_do_not_see_each_other() {
    let labs = [Lab::new().await.unwrap(), Lab::new().await.unwrap()];
    let one = labs[0].host(HostSpec::new("a", address(1))).await.unwrap();
    let other = labs[1].host(HostSpec::new("b", address(1))).await.unwrap();
    assert_ne!(one.host_key().unwrap(), other.host_key().unwrap());
    assert_eq!(stdout(&labs[0].ssh(&one, "hostname").await.unwrap()), "a");
    assert_eq!(stdout(&labs[1].ssh(&other, "hostname").await.unwrap()), "b");
}

#[tokio::test]
async fn two_hundred_hosts_come_up_and_greet() {
    let lab = Lab::new().await.unwrap();
    let began = Instant::now();
    lab.hosts((0..200).map(|n| HostSpec::new(format!("h{n}"), Ipv4Addr::new(10, 77, 1, n))).collect()).await.unwrap();
    println!("200 hosts are up after {:.1} s", began.elapsed().as_secs_f64());
    const GREETINGS: &str = "for n in {0..199}; do exec 3<>/dev/tcp/10.77.1.$n/22; read -r line <&3; echo $line; exec 3>&-; done";
    let output = lab.run_in_hub("bash", &["-ec", GREETINGS], &[]).await.unwrap();
    assert_eq!(stdout(&output).lines().filter(|line| line.starts_with("SSH-2.0-OpenSSH")).count(), 200, "{output:?}");
}
