//! Are booted hosts whole machines, and is their Salt real? What they run, how they start again, how they go wrong.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_testkit::lab::{
    Host, HostSpec, Lab,
    salt::{KeyPair, Master, Minion, answering, until_answer},
};
use std::{
    net::Ipv4Addr,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

const MASTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
/// Salt on a busy machine: this is for what hangs.
const SOON: Duration = Duration::from_secs(200);

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, n)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn logs_in(lab: &Lab, host: &Host) -> bool {
    lab.ssh(host, "true").await.unwrap().status.success()
}

async fn booted(lab: &Lab, name: &str, n: u8) -> Host {
    lab.host(HostSpec::new(name, address(n)).booted()).await.unwrap()
}

#[tokio::test]
async fn a_booted_host_is_a_debian_with_systemd_where_ubuntu_has_sudo() {
    let lab = Lab::new().await.unwrap();
    let public = Ipv4Addr::new(198, 51, 100, 7);
    let spec = HostSpec::new("harbor--ci--1", address(1)).booted().public(public).file("/etc/given", "from the start", 0o640);
    let host = lab.host(spec).await.unwrap();
    let line = "whoami; hostname; sudo whoami; . /etc/os-release; echo $ID $VERSION_ID; ps -o comm= -p 1; systemctl is-active ssh cron; \
                sudo cat /etc/given; wc -c </etc/resolv.conf";
    let output = lab.ssh(&host, line).await.unwrap();
    assert_eq!(
        stdout(&output).lines().collect::<Vec<_>>(),
        ["ubuntu", "harbor--ci--1", "root", "debian 12", "systemd", "active", "active", "from the start0"],
        "{output:?}"
    );
    assert_eq!(host.shell("hostname -I").await.unwrap().trim(), format!("{} {public}", host.private()));
    // A file on it is found whole by others, and its kind of login is the lab's.
    host.write("/srv/a/b", b"content", 0o600).await.unwrap();
    assert_eq!(host.read("/srv/a/b").await.unwrap().as_deref(), Some(&b"content"[..]));
    assert_eq!(host.read("/srv/a/c").await.unwrap(), None);
    let failed = host.shell("systemctl --failed --no-legend --plain").await.unwrap();
    assert_eq!(failed, "");
}

#[tokio::test]
async fn light_and_booted_hosts_side_by_side_reach_each_other() {
    let lab = Lab::new().await.unwrap();
    let began = Instant::now();
    let specs =
        vec![HostSpec::new("light", address(1)), HostSpec::new("b1", address(2)).booted(), HostSpec::new("b2", address(3)).booted()];
    let hosts = lab.hosts(specs).await.unwrap();
    println!("a light and two booted hosts are up after {:.1} s", began.elapsed().as_secs_f64());
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let scan = format!("ssh-keyscan -T 5 -t ed25519 {} 2>/dev/null", hosts[to].private());
        let greeting = hosts[from].shell(&scan).await.unwrap();
        assert!(greeting.contains(&hosts[to].host_key().unwrap()), "{from} to {to}: {greeting}");
    }
    let keys: std::collections::HashSet<_> = hosts.iter().map(|host| host.host_key().unwrap()).collect();
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn a_timer_fires_in_time() {
    let lab = Lab::new().await.unwrap();
    let host = booted(&lab, "a", 1).await;
    let line = "systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms touch /run/fired; [ ! -e /run/fired ]; \
                timeout 20 sh -c 'until [ -e /run/fired ]; do sleep 0.05; done'";
    let began = Instant::now();
    host.shell(line).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

/// A master and minions that know each other before they first meet.
async fn fleet(lab: &Lab, minions: u8) -> Vec<Host> {
    let master_keys = KeyPair::new().await.unwrap();
    let mut master = Master::new("old", &master_keys);
    let mut specs = Vec::new();
    for n in 1..=minions {
        let keys = KeyPair::new().await.unwrap();
        let id = format!("n{n}");
        master = master.accepts(&id, &keys);
        specs.push(HostSpec::new(&id, address(n)).booted().files(Minion::new(&id, &keys, MASTER).trusts(&master_keys).files()));
    }
    specs.insert(0, HostSpec::new("old", MASTER).booted().files(master.files()));
    lab.hosts(specs).await.unwrap()
}

#[tokio::test]
async fn a_master_and_two_minions_answer_and_a_highstate_names_its_master() {
    let lab = Lab::new().await.unwrap();
    let began = Instant::now();
    let hosts = fleet(&lab, 2).await;
    println!("three hosts are up after {:.1} s", began.elapsed().as_secs_f64());
    until_answer(&hosts[0], &["n1", "n2"], SOON).await.unwrap();
    println!("both minions answer after {:.1} s", began.elapsed().as_secs_f64());
    // One that it has never heard of, one that is off, and a master that cannot ask.
    hosts[2].kill().await.unwrap();
    assert_eq!(answering(&hosts[0], &["n1", "n2", "n3"]).await.unwrap(), ["n1".to_owned()].into());
    assert!(answering(&hosts[1], &["n1"]).await.is_err());
    let output = lab.ssh(&hosts[1], "sudo salt-call state.highstate --out=json --retcode-passthrough").await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let ran = hosts[1].read("/etc/highstate-ran").await.unwrap().unwrap();
    assert_eq!(String::from_utf8(ran).unwrap(), "mastered by old\n");
}

#[tokio::test]
async fn a_reboot_keeps_the_disk_and_the_minion_answers_again() {
    let lab = Lab::new().await.unwrap();
    let hosts = fleet(&lab, 1).await;
    let (master, minion) = (&hosts[0], &hosts[1]);
    until_answer(master, &["n1"], SOON).await.unwrap();
    minion.shell("echo kept >/srv/kept; touch /run/gone").await.unwrap();
    let key = minion.host_key().unwrap();

    let (first, boot) = (minion.pid(), "systemctl show --property=UserspaceTimestampMonotonic");
    let before = minion.shell(boot).await.unwrap();
    let began = Instant::now();
    minion.reboot().await.unwrap();
    println!("a minion's host is up again after {:.1} s", began.elapsed().as_secs_f64());
    until_answer(master, &["n1"], SOON).await.unwrap();
    println!("and the minion answers after {:.1} s", began.elapsed().as_secs_f64());
    assert_ne!(minion.pid(), first);
    assert_ne!(minion.shell(boot).await.unwrap(), before);

    // By itself, as an operator on it would.
    let (second, starts) = (minion.pid(), minion.starts());
    assert_eq!(starts, 2);
    lab.ssh(minion, "sudo systemctl reboot").await.unwrap();
    minion.up_again(starts).await.unwrap();
    until_answer(master, &["n1"], SOON).await.unwrap();
    assert_ne!(minion.pid(), second);
    assert_eq!(minion.read("/srv/kept").await.unwrap().as_deref(), Some(&b"kept\n"[..]));
    assert_eq!(minion.read("/run/gone").await.unwrap(), None);
    assert_eq!(minion.host_key().unwrap(), key);
    assert!(logs_in(&lab, minion).await);
}

#[tokio::test]
async fn a_killed_host_is_silent_until_it_is_powered_on_with_its_disk() {
    let lab = Lab::new().await.unwrap();
    let hosts = lab.hosts(vec![HostSpec::new("b", address(1)).booted(), HostSpec::new("l", address(2))]).await.unwrap();
    for host in &hosts {
        assert!(logs_in(&lab, host).await);
        host.write("/srv/kept", b"kept", 0o600).await.unwrap();
        let first = host.pid();
        host.kill().await.unwrap();
        assert_eq!(host.pid(), first);
        assert!(!Path::new(&format!("/proc/{first}")).exists());
        assert!(!logs_in(&lab, host).await);
        assert!(host.shell("true").await.is_err());

        let public = Ipv4Addr::new(198, 51, 100, 9);
        host.power_on(Some(public)).await.unwrap();
        assert_eq!(host.public(), Some(public));
        assert!(logs_in(&lab, host).await);
        assert_eq!(host.read("/srv/kept").await.unwrap().as_deref(), Some(&b"kept"[..]));

        host.power_off().await.unwrap();
        assert!(!logs_in(&lab, host).await);
        host.power_on(None).await.unwrap();
        assert!(logs_in(&lab, host).await);
        assert_eq!(host.public(), None);
    }
}

#[tokio::test]
async fn a_frozen_host_stands_still_systemd_included_and_goes_on_where_it_was() {
    let lab = Lab::new().await.unwrap();
    let host = booted(&lab, "a", 1).await;
    host.shell("mkfifo -m 666 /tmp/go").await.unwrap();
    let inside = lab.ssh(&host, "echo begun >/tmp/begun; cat /tmp/go; echo done");
    let story = async {
        host.shell("timeout 20 sh -c 'until [ -s /tmp/begun ]; do sleep 0.01; done'").await.unwrap();
        host.freeze().await.unwrap();
        let states = host.shell("grep -h ^State: /proc/1/status $(pgrep -x sshd | sed 's,.*,/proc/&/status,')").await.unwrap();
        assert!(states.lines().count() >= 3 && states.lines().all(|state| state.contains("stopped")), "{states}");
        assert!(!logs_in(&lab, &host).await);
        host.thaw().await.unwrap();
        assert!(logs_in(&lab, &host).await);
        host.shell("echo gone on >/tmp/go").await.unwrap();
    };
    let (output, ()) = tokio::join!(inside, story);
    assert_eq!(stdout(&output.unwrap()), "gone on\ndone");
}

#[tokio::test]
async fn dropped_traffic_stays_dropped_over_a_reboot_until_it_is_restored() {
    let lab = Lab::new().await.unwrap();
    let hosts = lab.hosts((1..=2).map(|n| HostSpec::new(format!("h{n}"), address(n)).booted()).collect()).await.unwrap();
    let reaches = async || hosts[0].shell("ssh-keyscan -T 1 -t ed25519 10.77.1.2 2>/dev/null | grep -q ed25519").await.is_ok();
    assert!(reaches().await);
    hosts[0].drop_traffic_to(address(2)).await.unwrap();
    assert_eq!((reaches().await, logs_in(&lab, &hosts[0]).await), (false, true));
    hosts[0].reboot().await.unwrap();
    assert_eq!((reaches().await, logs_in(&lab, &hosts[0]).await), (false, true));
    hosts[0].drop_all_traffic().await.unwrap();
    assert!(!logs_in(&lab, &hosts[0]).await);
    hosts[0].restore_traffic().await.unwrap();
    assert_eq!((reaches().await, logs_in(&lab, &hosts[0]).await), (true, true));
}
