//! Do the stand-ins for Salt obey whom Salt would? Its trust rules, one by one, over connections between light hosts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "lab")]

use bldr_testkit::{
    lab::{Host, HostSpec, Lab},
    salt::made_up_key,
};
use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 20);
const TRUSTED: &str = "/etc/salt/pki/minion/minion_master.pub";
const MASTER_PKI: &str = "/etc/salt/pki/master";
const OPEN: &str = "interface: 0.0.0.0\nauto_accept: True\n";
const STRICT: &str = "interface: 0.0.0.0\n";

fn master(name: &str, address: Ipv4Addr, config: &str) -> HostSpec {
    HostSpec::new(name, address).file("/etc/salt/master", config, 0o644).file(format!("{MASTER_PKI}/master.pub"), made_up_key(name), 0o644)
}

fn minion(name: &str, master: Ipv4Addr) -> HostSpec {
    let [.., last] = name.as_bytes() else { panic!("no name") };
    HostSpec::new(name, Ipv4Addr::new(10, 77, 1, *last)).file("/etc/salt/minion", format!("master: {master}\nid: {name}\n"), 0o644).file(
        "/etc/salt/pki/minion/minion.pub",
        made_up_key(name),
        0o644,
    )
}

fn trusting(spec: HostSpec, master: &str) -> HostSpec {
    spec.file(TRUSTED, made_up_key(master), 0o644)
}

/// A lab with a master `a` and hosts beside it.
async fn under_a(config: &str, others: Vec<HostSpec>) -> (Lab, Vec<Host>) {
    let lab = Lab::new().await.unwrap();
    let hosts = lab.hosts([vec![master("a", A, config)], others].concat()).await.unwrap();
    (lab, hosts)
}

async fn code(host: &Host, line: &str) -> (Option<i32>, String) {
    let output = host.exec(&["/bin/sh", "-c", line]).await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

/// The masters a host has a connection to for their orders.
async fn obeys(minion: &Host) -> Vec<Ipv4Addr> {
    let table = minion.shell("ss -Htn state established '( dport = :4505 )'").await.unwrap();
    table.lines().map(|line| line.split_whitespace().nth(3).unwrap().trim_end_matches(":4505").parse().unwrap()).collect()
}

/// What a master hears from these minions, and how `salt` ends.
async fn ping(master: &Host, ids: &str) -> (Option<i32>, Value) {
    let (code, said) = code(master, &format!("salt -L '{ids}' --out=json --static -t 2 test.ping")).await;
    (code, serde_json::from_str(&said).unwrap_or(Value::String(said)))
}

async fn answers(master: &Host, id: &str) -> bool {
    ping(master, id).await == (Some(0), json!({id: true}))
}

async fn keys(master: &Host, folder: &str) -> Value {
    let all: Value = serde_json::from_str(&master.shell("salt-key -L --out=json").await.unwrap()).unwrap();
    all[folder].clone()
}

async fn state(minion: &Host) -> String {
    code(minion, "systemctl is-active salt-minion").await.1.trim().to_owned()
}

async fn eventually(what: &str, so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so().await {
        assert!(Instant::now() < deadline, "it never came to be so: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn commanded(minion: &Host, by: &Host) {
    eventually(&format!("{} answers {}", minion.name(), by.name()), async || answers(by, minion.name()).await).await;
    assert_eq!(obeys(minion).await, [by.private()]);
}

/// Long enough for some attempts of a minion: none of them may lead to a connection for orders.
async fn never_commanded(minion: &Host, by: &Host) {
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end {
        assert_eq!(obeys(minion).await, [] as [Ipv4Addr; 0]);
    }
    assert!(!answers(by, minion.name()).await);
}

#[tokio::test]
async fn an_accepted_minion_is_commanded_by_its_master_and_by_no_other() {
    let lab = Lab::new().await.unwrap();
    let specs = vec![
        master("a", A, STRICT).file(format!("{MASTER_PKI}/minions/m1"), made_up_key("m1"), 0o644),
        master("b", B, STRICT).file(format!("{MASTER_PKI}/minions/m1"), made_up_key("m1"), 0o644),
        trusting(minion("m1", A), "a"),
    ];
    let hosts = lab.hosts(specs).await.unwrap();
    commanded(&hosts[2], &hosts[0]).await;
    assert_eq!(ping(&hosts[1], "m1").await, (Some(1), json!({"m1": false})));
    assert_eq!(hosts[0].shell("salt-run manage.alived --out=json").await.unwrap(), "[\n    \"m1\"\n]\n");
    assert_eq!(hosts[1].shell("salt-run manage.alived --out=json").await.unwrap(), "[]\n");
}

#[tokio::test]
async fn a_minion_changes_masters_when_its_file_and_key_do_and_it_is_restarted() {
    let (lab, hosts) = under_a(OPEN, vec![trusting(minion("m1", A), "a")]).await;
    let b = lab.host(master("b", B, OPEN)).await.unwrap();
    commanded(&hosts[1], &hosts[0]).await;
    hosts[1].shell("systemctl stop salt-minion").await.unwrap();
    hosts[1].write("/etc/salt/minion", format!("master:\n  - '{B}' # new\nid: m1\n").as_bytes(), 0o644).await.unwrap();
    hosts[1].write(TRUSTED, made_up_key("b").as_bytes(), 0o644).await.unwrap();
    hosts[1].shell("systemctl start salt-minion").await.unwrap();
    commanded(&hosts[1], &b).await;
    assert_eq!(ping(&hosts[0], "m1").await, (Some(1), json!({"m1": false})));
}

#[tokio::test]
async fn a_minion_without_a_trusted_key_trusts_whoever_answers_first() {
    let (_lab, hosts) = under_a(OPEN, vec![minion("m1", A)]).await;
    commanded(&hosts[1], &hosts[0]).await;
    assert_eq!(hosts[1].read(TRUSTED).await.unwrap().unwrap(), made_up_key("a").into_bytes());
}

#[tokio::test]
async fn a_minion_that_trusts_another_key_stays_up_and_is_never_commanded_though_its_own_key_is_accepted() {
    let (_lab, hosts) = under_a(OPEN, vec![trusting(minion("m1", A), "b")]).await;
    eventually("the minion has shown its key", async || keys(&hosts[0], "minions").await == json!(["m1"])).await;
    never_commanded(&hosts[1], &hosts[0]).await;
    assert_eq!(state(&hosts[1]).await, "active");
    assert_eq!(hosts[1].read(TRUSTED).await.unwrap().unwrap(), made_up_key("b").into_bytes());
}

#[tokio::test]
async fn a_pending_key_waits_until_it_is_accepted() {
    let (_lab, hosts) = under_a(STRICT, vec![minion("m1", A)]).await;
    eventually("the key is pending", async || keys(&hosts[0], "minions_pre").await == json!(["m1"])).await;
    never_commanded(&hosts[1], &hosts[0]).await;
    assert_eq!(state(&hosts[1]).await, "active");
    let (none, said) = code(&hosts[0], "salt m1 test.ping").await;
    assert!(none == Some(2) && said.starts_with("No minions matched the target"), "{said}");
    assert_eq!(hosts[0].shell("salt-key -y -a m1").await.unwrap(), "Key for minion m1 accepted.\n");
    commanded(&hosts[1], &hosts[0]).await;
    let filed = hosts[0].read(&format!("{MASTER_PKI}/minions/m1")).await.unwrap();
    assert_eq!(filed.unwrap(), made_up_key("m1").into_bytes());
}

#[tokio::test]
async fn a_second_key_under_an_id_is_denied_and_its_minion_ends() {
    let (_lab, hosts) = under_a(OPEN, vec![minion("m1", A)]).await;
    commanded(&hosts[1], &hosts[0]).await;
    hosts[1].shell("systemctl stop salt-minion; rm /etc/salt/pki/minion/minion.pub; systemctl start salt-minion").await.unwrap();
    eventually("the minion has ended", async || state(&hosts[1]).await == "failed").await;
    assert_eq!(keys(&hosts[0], "minions_denied").await, json!(["m1"]));
    assert!(!answers(&hosts[0], "m1").await);
    assert_eq!(code(&hosts[1], "/usr/bin/salt-minion >/dev/null").await.0, Some(77));
}

#[tokio::test]
async fn a_minion_whose_key_was_rejected_ends() {
    let (_lab, hosts) = under_a(STRICT, vec![minion("m1", A)]).await;
    eventually("the key is pending", async || keys(&hosts[0], "minions_pre").await == json!(["m1"])).await;
    hosts[0].shell("salt-key -y -r m1").await.unwrap();
    eventually("the minion has ended", async || state(&hosts[1]).await == "failed").await;
    assert_eq!(keys(&hosts[0], "minions_rejected").await, json!(["m1"]));
}

#[tokio::test]
async fn a_trusted_key_that_is_deleted_while_the_minion_runs_comes_back_when_it_stops() {
    let (_lab, hosts) = under_a(OPEN, vec![minion("m1", A)]).await;
    commanded(&hosts[1], &hosts[0]).await;
    hosts[1].shell(&format!("rm {TRUSTED}; systemctl stop salt-minion")).await.unwrap();
    assert_eq!(hosts[1].read(TRUSTED).await.unwrap().unwrap(), made_up_key("a").into_bytes());
    hosts[1].shell(&format!("rm {TRUSTED}; systemctl start salt-minion")).await.unwrap();
    commanded(&hosts[1], &hosts[0]).await;
}

#[tokio::test]
async fn a_minion_whose_accepted_key_is_deleted_is_let_go_at_the_next_look() {
    let (_lab, hosts) = under_a(STRICT, vec![minion("m1", A), minion("m2", A)]).await;
    eventually("both keys are pending", async || keys(&hosts[0], "minions_pre").await == json!(["m1", "m2"])).await;
    hosts[0].shell("salt-key -y -a m1,m2").await.unwrap();
    eventually("both answer", async || ping(&hosts[0], "m1,m2").await == (Some(0), json!({"m1": true, "m2": true}))).await;
    assert_eq!(hosts[0].shell("salt-key -y -d m1,m3").await.unwrap(), "Key for minion m1 deleted.\n");
    assert_eq!(hosts[0].shell("salt '*' test.ping").await.unwrap(), "{\n    \"m2\": true\n}\n");
    eventually("the other is let go", async || obeys(&hosts[1]).await.is_empty()).await;
    eventually("it shows its key again", async || keys(&hosts[0], "minions_pre").await == json!(["m1"])).await;
}

#[tokio::test]
async fn a_minion_comes_back_to_a_master_that_was_away() {
    let (_lab, hosts) = under_a(OPEN, vec![minion("m1", A)]).await;
    commanded(&hosts[1], &hosts[0]).await;
    hosts[0].shell("systemctl stop salt-master").await.unwrap();
    let (none, said) = code(&hosts[0], "salt '*' test.ping").await;
    assert!(none == Some(1) && said.contains("Is master running"), "{said}");
    eventually("the connection is gone", async || obeys(&hosts[1]).await.is_empty()).await;
    hosts[0].shell("systemctl start salt-master").await.unwrap();
    commanded(&hosts[1], &hosts[0]).await;
}

#[tokio::test]
async fn a_frozen_minion_does_not_answer_in_time() {
    let (_lab, hosts) = under_a(OPEN, vec![minion("m1", A), minion("m2", A)]).await;
    commanded(&hosts[1], &hosts[0]).await;
    commanded(&hosts[2], &hosts[0]).await;
    hosts[1].freeze().await.unwrap();
    assert_eq!(ping(&hosts[0], "m1,m2,nobody").await, (Some(1), json!({"m1": false, "m2": true})));
    hosts[1].thaw().await.unwrap();
    commanded(&hosts[1], &hosts[0]).await;
}

#[tokio::test]
async fn a_master_speaks_first_on_both_ports() {
    let (lab, hosts) = under_a("interface: 10.77.0.10\n", vec![]).await;
    for port in [4505, 4506] {
        let line = format!("head -c 10 </dev/tcp/{A}/{port} | od -An -tx1");
        eventually("the greeting", async || {
            let said = lab.run_in_hub("bash", &["-c", &line], &[]).await.unwrap();
            String::from_utf8(said.stdout).unwrap().trim() == "ff 00 00 00 00 00 00 00 01 7f"
        })
        .await;
    }
    assert!(code(&hosts[0], "ss -Hltn").await.1.contains("10.77.0.10:4505"));
}

#[tokio::test]
async fn salt_call_runs_only_where_the_master_lets_it_in() {
    let specs = vec![minion("m1", A), HostSpec::new("m2", Ipv4Addr::new(10, 77, 1, 2)), trusting(minion("m3", A), "b")];
    let (_lab, hosts) = under_a(STRICT, specs).await;
    let (call, impatient) = ("salt-call state.highstate --out=json", "timeout 1 salt-call state.highstate --out=json");
    let ran = async |host: &Host| host.read("/var/log/salt/stub.log").await.unwrap().is_some();

    eventually("the key is pending", async || keys(&hosts[0], "minions_pre").await == json!(["m1", "m3"])).await;
    let (pending, said) = code(&hosts[1], call).await;
    assert!(pending == Some(2) && said.contains("has cached the public key for this node"), "{pending:?} {said}");
    assert!(!ran(&hosts[1]).await);
    hosts[0].shell("salt-key -y -a m1").await.unwrap();
    assert_eq!(code(&hosts[1], call).await.0, Some(0));
    assert!(ran(&hosts[1]).await);

    // A configuration of its own, with keys of its own: known to nobody, of another key, in a hurry.
    let own = format!("master: {A}\nid: m1\npki_dir: /srv/try/pki\n");
    hosts[1].write("/srv/try/minion", own.as_bytes(), 0o644).await.unwrap();
    assert_eq!(code(&hosts[1], "salt-call -c /srv/try test.ping").await.0, Some(77));
    hosts[1].shell("cp -r /etc/salt/pki/minion/. /srv/try/pki").await.unwrap();
    assert_eq!(code(&hosts[1], "salt-call --config-dir=/srv/try test.ping").await.0, Some(0));
    hosts[1].write("/srv/try/minion", (own + "master_tries: 1\n").replace("0.10", "0.99").as_bytes(), 0o644).await.unwrap();
    assert_eq!(code(&hosts[1], "timeout 10 salt-call -c /srv/try test.ping").await.0, Some(1));

    assert_eq!(code(&hosts[3], impatient).await.0, Some(124), "another key than the trusted one");
    hosts[3].write("/etc/salt/minion.d/once.conf", b"master_tries: 1\n", 0o644).await.unwrap();
    assert_eq!(code(&hosts[3], call).await.0, Some(1));
    assert!(!ran(&hosts[3]).await);

    assert_eq!(code(&hosts[2], impatient).await.0, Some(124), "no master at all");
    hosts[2].write("/etc/salt/stub", b"standalone=1\n", 0o644).await.unwrap();
    assert_eq!(code(&hosts[2], call).await.0, Some(0));
}

#[tokio::test]
async fn the_daemons_hold_nothing_open_tell_their_number_and_stop_at_once() {
    let (_lab, hosts) = under_a(OPEN, vec![minion("m1", A)]).await;
    commanded(&hosts[1], &hosts[0]).await;
    hosts[1].shell("exec 5</etc/passwd 8</etc/group; systemctl restart salt-minion").await.unwrap();
    commanded(&hosts[1], &hosts[0]).await;
    let pid = hosts[1].shell("systemctl show -p MainPID --value salt-minion").await.unwrap();
    let open = hosts[1].shell(&format!("readlink /proc/{}/fd/* | sed 's/:.*//'", pid.trim())).await.unwrap();
    assert_eq!(open, "/dev/null\n/var/log/salt/salt-minion.out\n/var/log/salt/salt-minion.out\nsocket\n");
    let began = Instant::now();
    hosts[1].shell("systemctl stop salt-minion").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(hosts[1].shell("systemctl show salt-minion").await.unwrap(), "MainPID=0\nActiveState=inactive\nSubState=dead\n");
    let versions = "for program in salt-minion salt-master salt-call; do $program --version; done";
    assert_eq!(
        hosts[1].shell(versions).await.unwrap(),
        "salt-minion 3008.3 (Argon)\nsalt-master 3008.3 (Argon)\nsalt-call 3008.3 (Argon)\n"
    );
    hosts[1].write("/etc/salt/stub-version", b"3006.9\n", 0o644).await.unwrap();
    assert_eq!(hosts[1].shell("salt-minion --version").await.unwrap(), "salt-minion 3006.9 (Sulfur)\n");
}

#[tokio::test]
async fn a_hundred_minions_answer_one_master() {
    let minions = (0..100).map(|n| {
        let config = format!("master: {A}\nid: h{n:02}\n");
        trusting(HostSpec::new(format!("h{n:02}"), Ipv4Addr::new(10, 77, 1, n)), "a").file("/etc/salt/minion", config, 0o644)
    });
    let began = Instant::now();
    let (_lab, hosts) = under_a(OPEN, minions.collect()).await;
    println!("100 minions and their master are up after {:.1} s", began.elapsed().as_secs_f64());
    let answered = async || {
        let (code, all) = ping(&hosts[0], "*").await;
        code == Some(0) && all.as_object().is_some_and(|all| all.len() == 100)
    };
    eventually("all answer", answered).await;
    println!("all answer after {:.1} s", began.elapsed().as_secs_f64());
}
