//! Which tasks does a colleague's work keep from beginning? Every one that changes the fleet, and no other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod bldr;

use bldr::Bldr;
use bldr_adapters_fs::FileLock;
use bldr_cli::tasks::TASKS;
use bldr_core::ports::Lock;
use bldr_testkit::contract::lock::owner;
use std::collections::BTreeSet;

/// Every task that changes something, as it might be typed.
const WRITING: [&str; 22] = [
    "master.share:master-server--a",
    "master.remaster:harbor--ci,master-server--b",
    "master.remaster_all:master-server--b",
    "master.rollback:last",
    "run.resume:last",
    "master.retire:master-server--a",
    "master.update",
    "launch:harbor,pr-9",
    "update:harbor--ci",
    // It has minions at work, and is recorded.
    "update:harbor--ci,dry-run=yes",
    "destroy:harbor--ci",
    "keys.restore:all",
    "start:harbor--ci",
    "stop:master-server--a",
    "upload_file:harbor--ci,settings.txt,/etc/x",
    "buildvars.refresh:harbor--ci",
    "buildvars.fix:harbor--ci",
    "context.restore:harbor--ci,0",
    "sandbox.create",
    "sandbox.reset",
    // Its holder lives, so there is nothing to break.
    "lock.break:lunch",
    // What is wrong with what was typed is said in any case; that it cannot be begun comes before what else there is to say.
    "update:no--such",
];

/// Every other one.
const READING: [&str; 24] = [
    "tasks",
    "stacks",
    "master.list",
    "master.status",
    "master.doctor:master-server--b",
    "master.remaster_all:master-server--b,plan=yes",
    "launch:harbor,pr-9,plan=yes",
    "runs",
    "run.show:last",
    "run.watch:last",
    "run.report:last,run.html",
    "keys.list",
    "keys.orphans",
    "cmd:harbor--ci,true",
    "ssh:harbor--ci",
    "download_file:harbor--ci,/etc/salt/minion,here",
    "buildvars.read:harbor--ci",
    "buildvars.valid:harbor--ci",
    "context.show:harbor--ci",
    "context.history:harbor--ci",
    "context.diff:ferry--ci",
    "lock.status",
    "sandbox.show",
    // What one does on the page of a git host, which knows of no lock.
    "sandbox.deploy_key:key.pub",
];

fn named(line: &str) -> &str {
    line.split(':').next().unwrap()
}

/// A fleet that was worked on, and files that are typed of.
fn fleet() -> Bldr {
    let bldr = Bldr::new();
    assert_eq!(bldr.run("master.remaster_all:master-server--b,pause_before=prod,yes=y").code, 1, "something is left to be resumed");
    bldr.write("settings.txt", "x");
    bldr.write("key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIASEJpqU6Ff+wdoUT4FrvA5knw4sgEj1VN0hYymUXW+4 ops\n");
    bldr
}

#[tokio::test]
async fn whatever_changes_the_fleet_is_refused_with_who_holds_the_lock() {
    let bldr = fleet();
    let held = FileLock::new(bldr.path(".bldr/lock")).acquire(&owner("ada")).await.unwrap();
    for line in WRITING {
        let before = everything(&bldr);
        let refused = bldr.run(&format!("--yes {line}"));
        assert_eq!(refused.code, 3, "{line}: {}", refused.told());
        for part in ["ada", "ops-7", "4711", "master.remaster_all:master-server--b"] {
            assert!(refused.err.contains(part), "{line}: {part} in {}", refused.err);
        }
        assert_eq!(everything(&bldr), before, "{line}: nothing was changed");
    }
    held.release().await.unwrap();
}

#[tokio::test]
async fn whatever_only_looks_is_done_whoever_holds_the_lock() {
    let bldr = fleet();
    let held = FileLock::new(bldr.path(".bldr/lock")).acquire(&owner("ada")).await.unwrap();
    for line in READING {
        let ran = bldr.run(&format!("--yes {line}"));
        // Made-up machines have no shell.
        let code = match named(line) {
            "cmd" => 1,
            "ssh" => 3,
            // The run that was paused has left something undone.
            "run.watch" => 1,
            _ => 0,
        };
        assert_eq!(ran.code, code, "{line}: {}", ran.told());
        assert!(!ran.err.contains("ada holds it"), "{line}: {}", ran.err);
        // Who goes past the lock is told of it.
        assert_eq!(
            ran.err.contains("ada on ops-7 has been changing the fleet since"),
            ["cmd", "ssh"].contains(&named(line)),
            "{line}: {}",
            ran.err
        );
    }
    held.release().await.unwrap();
    assert!(!bldr.run("cmd:harbor--ci,true").err.contains("has been changing the fleet"));
}

#[test]
fn every_task_is_one_or_the_other() {
    let listed: BTreeSet<_> = WRITING.iter().chain(&READING).map(|line| named(line)).collect();
    assert_eq!(listed, TASKS.iter().map(|task| task.name).collect());
}

/// Every file of the fleet and its content, but for what says who holds the lock.
fn everything(bldr: &Bldr) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![bldr.path("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(".bldr/lock") && !path.ends_with(".bldr/lock.gate") {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
