//! Is anything left of a lab that has ended? However it ended: dropped, or its process killed.
#![cfg(feature = "lab")]
// The helpers of tests fail as the tests do.
#![allow(clippy::unwrap_used)]

use bldr_testkit::lab::{HostSpec, Lab};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);

/// Waits until something is so; the last resort where nothing can be awaited: what a killed process leaves to the kernel.
fn eventually(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_program_in_the_hub_gets_its_signals_and_ends_when_it_is_dropped() {
    let lab = Lab::new().await.unwrap();
    let mut program =
        lab.spawn_in_hub("sh", &["-c", "trap 'echo caught; exit 7' INT; echo set; while :; do sleep 0.01; done"], &[]).unwrap();
    let mut lines = tokio::io::BufReader::new(program.take_stdout().unwrap());
    let mut said = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut said).await.unwrap();
    program.signal("INT").await.unwrap();
    assert_eq!(program.wait_with_output().await.unwrap().status.code(), Some(7));

    let mut dropped = lab.spawn_in_hub("sleep", &["infinity"], &[]).unwrap();
    let process = format!("/proc/{}", dropped.pid().await.unwrap());
    drop(dropped);
    eventually("the program still runs", || !Path::new(&process).exists());
}

/// The ids of the processes that are in one of these namespaces.
fn in_namespaces(wanted: &[String]) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    let is_in =
        |process: &Path, kind| fs::read_link(process.join("ns").join(kind)).is_ok_and(|link| wanted.contains(&link.display().to_string()));
    processes.map(|entry| entry.path()).filter(|p| is_in(p, "net") || is_in(p, "mnt")).map(|p| p.display().to_string()).collect()
}

/// The control groups of a lab, in whichever hierarchies this machine has.
fn cgroups(lab: &str) -> Vec<PathBuf> {
    let hierarchies = ["", "unified", "systemd"].map(|hierarchy| Path::new("/sys/fs/cgroup").join(hierarchy).join(lab));
    hierarchies.into_iter().filter(|groups| groups.exists()).collect()
}

/// The network interfaces of this machine itself.
fn interfaces() -> Vec<String> {
    names("/sys/class/net")
}

/// What systemd-nspawn leaves behind where it is not kept from it.
fn run() -> Vec<String> {
    [names("/run/systemd"), names("/run/systemd/nspawn"), names("/var/lib/machines")].concat()
}

fn names(folder: &str) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Not a test of its own: the process that the next one kills. It prints where its lab is, and waits for its end.
#[tokio::test]
async fn victim() {
    if std::env::var_os("BLDR_LAB_VICTIM").is_none() {
        return;
    }
    let lab = Lab::new().await.unwrap();
    let host = lab.host(HostSpec::new("a", ADDRESS)).await.unwrap();
    let booted = lab.host(HostSpec::new("b", Ipv4Addr::new(10, 77, 1, 2)).booted()).await.unwrap();
    let mut program = lab.spawn_in_hub("sleep", &["infinity"], &[]).unwrap();
    println!("VICTIM {} {} {} {} {}", lab.dir().display(), lab.pid(), host.pid(), booted.pid(), program.pid().await.unwrap());
    std::future::pending::<()>().await;
}

#[test]
fn nothing_is_left_of_a_lab_whose_process_was_killed() {
    let (interfaces, run) = (interfaces(), run());
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env("BLDR_LAB_VICTIM", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().split_once("VICTIM ").map(|(_, rest)| rest.to_owned())).unwrap();
    let (dir, pids) = line.split_once(' ').unwrap();
    let pids: Vec<&str> = pids.split(' ').collect();
    let namespaces: Vec<String> = pids
        .iter()
        .flat_map(|pid| ["net", "mnt"].map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string()))
        .collect();
    assert!(in_namespaces(&namespaces).len() >= 5, "{:?}", in_namespaces(&namespaces));
    let name = Path::new(dir).file_name().unwrap().to_str().unwrap();
    assert!(!cgroups(name).is_empty());

    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("its folder is still there", || !Path::new(dir).exists());
    eventually("processes are left in its namespaces", || in_namespaces(&namespaces).is_empty());
    for pid in pids {
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} still runs");
    }
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(dir));
    eventually("control groups are left", || cgroups(name).is_empty());
    assert_eq!(self::interfaces(), interfaces);
    assert_eq!(self::run(), run);
}

#[tokio::test]
async fn a_lab_that_is_dropped_takes_everything_with_it() {
    let lab = Lab::new().await.unwrap();
    let host = lab.host(HostSpec::new("a", ADDRESS)).await.unwrap();
    lab.ec2().await.unwrap();
    let net = fs::read_link(format!("/proc/{}/ns/net", lab.pid())).unwrap().display().to_string();
    let (dir, pid) = (lab.dir().to_owned(), host.pid());
    drop(lab);
    assert!(!dir.exists());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(in_namespaces(&[net]), Vec::<String>::new());
}
