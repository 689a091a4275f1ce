//! Does the life of a master happen as it is typed? From its launch to the day it is retired, in the sandbox.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod bldr;

use bldr::{Bldr, Ran};
use serde_json::{Value, json};

const PROD: &str = "master-server--prod";
const OLDEST: &str = "master-server--2001-01-01";

fn outcome(ran: &Ran, stack: &str) -> (i32, String) {
    let last: Vec<Value> = ran.json().into_iter().filter(|event| event["event"] == "run_finished").collect();
    (ran.code, last.last().unwrap_or_else(|| panic!("{ran:?}"))["outcomes"][stack].as_str().unwrap().to_owned())
}

/// Fetches a master's public key, and registers it where its private repository is.
fn let_in(bldr: &Bldr, master: &str) {
    let fetched = bldr.run(&format!("download_file:{master},/root/.ssh/id_rsa.pub,{master}.pub,use_bootstrap_user=True"));
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let registered = bldr.run(&format!("sandbox.deploy_key:{master}.pub"));
    assert_eq!(registered.code, 0, "{registered:?}");
}

fn launched(bldr: &Bldr, project: &str, id: &str) {
    let ran = bldr.ask(&format!("launch:{project},{id}"));
    assert_eq!(outcome(&ran, &format!("{project}--{id}")), (0, "launched".into()), "{ran:?}");
}

/// The ids of the keys a master holds, and of those that were removed from it.
fn keys(bldr: &Bldr, master: &str) -> (Vec<String>, Vec<String>) {
    let listed = bldr.ask(&format!("keys.list:{master}")).object();
    let ids = |part: &str| listed[part].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect();
    (ids("keys"), ids("quarantine"))
}

#[test]
fn a_master_is_launched_let_in_updated_replaced_and_retired() {
    let bldr = Bldr::new();

    let first = bldr.ask("launch:master-server,prod");
    assert_eq!(outcome(&first, PROD), (1, "failed".into()));
    let last = first.json().pop().unwrap();
    assert_eq!(last["locked_out"], PROD);
    assert_eq!(
        last["next"],
        json!([
            "bldr download_file:master-server--prod,/root/.ssh/id_rsa.pub,/tmp,use_bootstrap_user=True",
            "bldr update:master-server--prod"
        ])
    );
    let_in(&bldr, PROD);
    assert!(bldr.read(&format!("{PROD}.pub")).contains(last["key"].as_str().unwrap()), "{last}");
    assert_eq!(outcome(&bldr.ask("update:master-server--prod"), PROD), (0, "updated".into()));

    let again = bldr.run("launch:master-server,prod");
    assert!(again.code == 3 && again.err.contains("there is a master-server--prod already"), "its launch is over: {again:?}");
    launched(&bldr, "harbor", "pr-200");
    launched(&bldr, "quill", "pr-7");
    let (held, _) = keys(&bldr, "master-server--b");
    assert!(held.contains(&"quill--pr-7--1".to_owned()), "{held:?}");
    assert_eq!(outcome(&bldr.ask("destroy:quill--pr-7 --yes"), "quill--pr-7"), (0, "destroyed".into()));
    let swept = bldr.ask("master.update:master-server--b");
    assert_eq!(outcome(&swept, "master-server--b"), (0, "updated".into()), "{swept:?}");
    let (held, removed) = keys(&bldr, "master-server--b");
    assert_eq!(removed, ["quill--pr-7--1"]);
    assert!(held.contains(&"harbor--pr-200--1".to_owned()) && !held.contains(&removed[0]), "{held:?}");

    assert_eq!(bldr.run("launch:master-server,2001-01-01").code, 1);
    let_in(&bldr, OLDEST);
    assert_eq!(outcome(&bldr.ask(&format!("update:{OLDEST}")), OLDEST), (0, "updated".into()));
    let masters = bldr.ask("master.list").object()["masters"].clone();
    assert_eq!((&masters[0]["name"], &masters[0]["preferred"]), (&json!(OLDEST), &json!(true)));

    let doctor = bldr.ask(&format!("master.doctor:{OLDEST}"));
    assert_eq!((doctor.code, &doctor.object()["fit"]), (0, &json!(true)), "{doctor:?}");
    assert_eq!(bldr.run(&format!("master.share:{OLDEST} --yes")).code, 0);
    let moved = bldr.ask(&format!("master.remaster:harbor--pr-200,{OLDEST}"));
    assert_eq!(outcome(&moved, "harbor--pr-200"), (0, "remastered".into()));
    let all = bldr.run(&format!("master.remaster_all:{OLDEST} --yes"));
    assert_eq!(all.code, 0, "{all:?}");
    assert_eq!(bldr.run("master.status").code, 0);

    let kept = bldr.run("master.retire:master-server--a,terminate=yes --yes");
    assert!(kept.code == 3 && kept.err.contains("master-server--a is running"), "{kept:?}");
    assert_eq!(bldr.run("master.retire:master-server--a --yes").code, 0);
    let kept = bldr.run("master.retire:master-server--a,terminate=yes --yes");
    assert!(kept.code == 3 && kept.err.contains("has been stopped for 0 days, and its grace is 7"), "{kept:?}");
    let now = bldr.ask("master.retire:master-server--a,terminate=yes,grace=0 --yes");
    assert!(now.code == 0 || now.err.contains("there is nothing of master-server--a in"), "no grace: {now:?}");
    let refused = bldr.run(&format!("destroy:{OLDEST} --yes"));
    assert!(refused.code == 3 && refused.out.contains("harbor--pr-200"), "minions use it: {refused:?}");
}

#[test]
fn a_master_that_was_never_finished_goes_although_others_cannot_be_asked() {
    let bldr = Bldr::new();
    assert_eq!(bldr.run("launch:master-server,prod").code, 1, "it is locked out");
    let gone = bldr.ask("destroy:master-server--prod --yes");
    assert_eq!(outcome(&gone, PROD), (0, "destroyed".into()), "{gone:?}");
    let kept = bldr.run("destroy:master-server--b --yes");
    assert!(kept.code == 3 && kept.out.contains("not known"), "{kept:?}");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_machine_and_the_same_again_goes_on() {
    let bldr = Bldr::new();
    assert_eq!(bldr.run("stacks").code, 0);
    let mut launch = std::process::Command::new(env!("CARGO_BIN_EXE_bldr"))
        .current_dir(bldr.path(""))
        .args(["launch:harbor,pr-200", "--output", "json"])
        .env("BLDR_SANDBOX_PACE", "900")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(launch.stdout.take().unwrap()));
    let waiting = |line: &str| line.contains("step_started") && line.contains("first_start");
    assert!(lines.any(|line| line.is_ok_and(|line| waiting(&line))));
    assert!(std::process::Command::new("kill").args(["-INT", &launch.id().to_string()]).status().unwrap().success());
    let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    let ended = launch.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), &last["outcomes"]["harbor--pr-200"]), (Some(130), &json!("interrupted")), "{last} {told}");
    assert!(told.contains("the same command goes on from there; once more stops at once"), "{told}");
    assert!(told.contains("run the same again to go on: what is done is left alone") && !told.contains("causes"), "{told}");
    launched(&bldr, "harbor", "pr-200");
}

#[test]
fn what_the_first_launch_of_a_master_says_is_all_there_is_to_do() {
    let bldr = Bldr::new();
    let ran = bldr.run("launch:master-server,prod");
    let key = bldr.ask("download_file:master-server--prod,/root/.ssh/id_rsa.pub,here.pub,use_bootstrap_user=True");
    assert_eq!(key.code, 0);
    let without_key: String = ran
        .out
        .lines()
        .map(|line| if line.contains("SHA256:") { "  its key     SHA256:…" } else { line })
        .map(|line| format!("{line}\n"))
        .collect();
    let without_time = without_key.lines().filter(|line| !line.contains(" failed in ")).map(|line| format!("{line}\n")).collect::<String>();
    insta::assert_snapshot!(without_time);
}

#[test]
fn what_cannot_be_launched_is_refused_before_anything_is_made() {
    let bldr = Bldr::new();
    let before = bldr.run("stacks").out;
    let says = |line: &str, code: i32, text: &str| {
        let ran = bldr.run(line);
        assert!(ran.code == code && ran.err.contains(text), "{line}: {ran:?}");
    };
    says("launch:harbor,ci", 3, "there is a harbor--ci already, with all its machines");
    says("launch:harbour,pr-1", 3, "there is no project 'harbour' in the project files; did you mean 'harbor'?");
    says("launch:harbor,pr-1,larg", 3, "project 'harbor' has no alternate 'larg'; it has large, prod");
    says("launch:bucket,pr-1", 3, "its stacks have no machines");
    says("launch:harbor,pr/1", 2, "'/' is not allowed");
    says("launch:bucket,prod", 3, "its stacks have no machines");
    assert_eq!(bldr.run("stop:master-server--b --yes").code, 0);
    says("launch:harbor,pr-1", 3, "its master master-server--b does not run");
    assert_eq!(bldr.run("start:master-server--b").code, 0);
    let file = ".bldr/sandbox/project.yaml";
    let projects = bldr.read(file);
    bldr.write(file, &projects.replace("salt: '3008.3'", "salt: '3009.1'"));
    for line in ["launch:harbor,pr-1", "launch:harbor,pr-1 --plan"] {
        says(line, 3, "harbor--pr-1: its context wants Salt 3009.1 and its master has 3008.3");
    }
    bldr.write(file, &projects.replace("salt: '3008.3'", "salt: null"));
    for line in ["launch:harbor,pr-1", "launch:harbor,pr-1 --plan", "launch:master-server,new --plan"] {
        says(line, 3, "nothing was made; `salt` in the project file says which it shall have");
    }
    bldr.write(file, &projects.replace("private-repo:", "other-repo:"));
    says("launch:master-server,new --plan", 3, "project 'master-server' names no `private-repo`");
    says("launch:master-server,new", 3, "project 'master-server' names no `private-repo`");
    bldr.write(file, &projects);
    assert_eq!(bldr.run("stacks").out, before);
    says("destroy:harbor--pr-1 --yes", 3, "there is no harbor--pr-1");
    says("destroy:harbor--ci", 3, "nobody here to say so");
    says("destroy:bucket--prod --yes", 3, "nothing of bucket--prod in us-east-1 but its context");
}

#[test]
fn a_plan_shows_what_would_be_made_and_makes_nothing() {
    let bldr = Bldr::new();
    let plan = bldr.run("launch:harbor,prod2,prod --plan");
    assert_eq!(plan.code, 0);
    insta::assert_snapshot!(plan.out);
    assert!(!bldr.path(".cfn/contexts/harbor--prod2.json").exists() && !bldr.path(".cfn/keypairs").exists());
}

#[test]
fn an_alternate_that_names_a_master_of_its_own_is_launched_and_stays_there() {
    let bldr = Bldr::new();
    assert_eq!(bldr.run("stacks").code, 0);
    let file = ".bldr/sandbox/project.yaml";
    let projects = bldr.read(file);
    let own = projects.replace("type: m7i.large\n", "type: m7i.large\n                master_ip: 10.0.0.10\n");
    assert_ne!(own, projects);
    bldr.write(file, &own);
    let plan = bldr.ask("launch:harbor,pr-1,large --plan").object();
    assert_eq!((&plan["master"], &plan["salt"]), (&"10.0.0.10".into(), &"3008.3".into()), "{plan}");
    assert_eq!(outcome(&bldr.ask("launch:harbor,pr-1,large"), "harbor--pr-1"), (0, "launched".into()));
    let status = bldr.ask("master.status:harbor--pr-1").object();
    assert_eq!((&status["nodes"][0]["master"], &status["nodes"][0]["verdict"]), (&"master-server--a".into(), &"on_it".into()), "{status}");
}

#[test]
fn a_dry_run_says_what_would_be_changed_and_changes_nothing() {
    let bldr = Bldr::new();
    let fine = bldr.ask("update:harbor--ci,dry_run=yes");
    assert_eq!(outcome(&fine, "harbor--ci"), (0, "skipped".into()));
    let config = ".bldr/sandbox/nodes/harbor--ci--1/etc/salt/minion";
    let wrong = bldr.read(config).replace("master: 10.0.0.10", "master: 10.9.9.9");
    bldr.write(config, &wrong);
    let due = bldr.run("update:harbor--ci,dry_run=yes");
    assert!(due.code == 0 && due.out.contains("harbor--ci--1 would be changed: the master in its configuration"), "{due:?}");
    assert_eq!(bldr.read(config), wrong);
    assert_eq!(outcome(&bldr.ask("update:harbor--ci"), "harbor--ci"), (0, "updated".into()));
    assert!(bldr.read(config).contains("master: 10.0.0.10"), "{}", bldr.read(config));
}

#[test]
fn stopped_nodes_are_started_only_where_that_is_said() {
    let bldr = Bldr::new();
    let refused = bldr.run("update:lantern--demo");
    assert!(
        refused.code == 1 && refused.out.contains("it is stopped (nothing was changed on it); `bldr start:lantern--demo` starts it"),
        "{refused:?}"
    );
    let dry = bldr.run("update:lantern--demo,dry_run=yes,autostart=yes");
    assert!(dry.code == 1 && dry.out.contains("a dry run starts nothing; `bldr start:lantern--demo` does"), "{dry:?}");
    assert_eq!(bldr.run("stop:master-server--b --yes").code, 0);
    let refused = bldr.run("master.update:master-server--b");
    assert!(refused.code == 1 && refused.out.contains("and so does autostart=yes"), "{refused:?}");
    let started = bldr.run("master.update:master-server--b,autostart=yes --yes");
    assert!(started.err.contains("master-server--b--1: started"), "{started:?}");
    assert_eq!(outcome(&bldr.ask("update:lantern--demo,autostart=yes"), "lantern--demo"), (0, "updated".into()));
}
