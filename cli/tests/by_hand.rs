//! What can an operator do to nodes by hand, in the sandbox? The binary itself, and the files it leaves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod bldr;

use bldr::Bldr;
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt};

const NODE: &str = ".bldr/sandbox/nodes/harbor--ci--1";

#[test]
fn a_file_is_fetched_under_its_own_name_or_another_and_is_the_operator_s_alone() {
    let bldr = Bldr::new();
    bldr.ask("stacks");
    let here = tempfile::tempdir().unwrap();
    let into = here.path().display();
    let ran = bldr.ask(&format!("download_file:harbor--ci,/etc/salt/minion,{into},use_bootstrap_user=True"));
    let file = here.path().join("minion");
    assert_eq!(
        ran.object(),
        json!({"cloud": "sandbox", "node": "harbor--ci--1", "path": "/etc/salt/minion",
        "file": file.display().to_string(), "bytes": fs::metadata(&file).unwrap().len(), "missing": false})
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), bldr.read(&format!("{NODE}/etc/salt/minion")));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let ran = bldr.run(&format!("download_file:harbor--ci,/etc/salt/minion,{into}/other"));
    assert_eq!((ran.code, ran.out.as_str()), (0, format!("{into}/other\n").as_str()), "{ran:?}");
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 2, "nothing half-written is left");
}

#[test]
fn a_file_that_is_not_there_is_an_error_unless_that_is_all_right() {
    let bldr = Bldr::new();
    bldr.ask("stacks");
    let here = tempfile::tempdir().unwrap();
    let line = format!("download_file:harbor--ci,/etc/none,{}", here.path().display());
    let ran = bldr.run(&line);
    assert!(ran.code == 3 && ran.err.contains("harbor--ci--1: /etc/none: there is no such file"), "{ran:?}");
    let ran = bldr.run(&format!("{line},allow_missing=yes"));
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert_eq!(bldr.ask(&format!("{line},allow_missing=yes")).object()["missing"], json!(true));
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
    // Nothing is above a made-up machine's root.
    let ran = bldr
        .run(&format!("download_file:harbor--ci,/../../../../../../../../../../etc/passwd,{},node=,allow_missing=", here.path().display()));
    assert!(ran.code == 3 && ran.err.contains("there is no such file"), "{ran:?}");
}

#[test]
fn of_several_nodes_one_has_to_be_named_by_its_number() {
    let bldr = Bldr::new();
    bldr.ask("stacks");
    let here = tempfile::tempdir().unwrap();
    let line = format!("download_file:harbor--prod,/etc/salt/minion,{}", here.path().display());
    let ran = bldr.run(&line);
    assert!(ran.code == 3 && ran.err.contains("harbor--prod has 2 nodes: harbor--prod--1, harbor--prod--2"), "{ran:?}");
    assert!(ran.err.contains("say which with node=N"), "{ran:?}");
    assert_eq!(bldr.ask(&format!("{line},node=2")).object()["node"], json!("harbor--prod--2"));
    let ran = bldr.run(&format!("{line},node=7"));
    assert!(ran.code == 3 && ran.err.contains("harbor--prod has no node 7"), "{ran:?}");
    let ran = bldr.run("download_file:harbor--ci,etc/salt/minion");
    assert!(ran.code == 2 && ran.err.contains("'etc/salt/minion' is no path on a node"), "{ran:?}");
}

#[test]
fn a_file_is_placed_and_never_over_another_unless_told() {
    let bldr = Bldr::new();
    bldr.ask("stacks");
    bldr.write("motd", "welcome\n");
    let motd = bldr.path("motd");
    let line = format!("upload_file:harbor--ci,{},/etc/", motd.display());
    let ran = bldr.run(&line);
    assert_eq!((ran.code, ran.out.as_str()), (0, "harbor--ci--1:/etc/motd\n"), "{ran:?}");
    bldr.write("motd", "welcome back\n");
    let ran = bldr.run(&line);
    assert!(ran.code == 3 && ran.err.contains("nothing was changed") && ran.err.contains("overwrite=yes"), "{ran:?}");
    assert_eq!(bldr.read(&format!("{NODE}/etc/motd")), "welcome\n");
    assert_eq!(bldr.run(&format!("{line},overwrite=yes")).code, 0);
    assert_eq!(bldr.read(&format!("{NODE}/etc/motd")), "welcome back\n");
    let ran = bldr.run("upload_file:harbor--ci,/no/such/file,/etc/motd");
    assert!(ran.code == 3 && ran.err.contains("/no/such/file cannot be read"), "{ran:?}");
}

#[test]
fn a_stack_is_switched_off_and_on_and_a_master_only_when_asked_twice() {
    let bldr = Bldr::new();
    bldr.ask("stacks");
    let off = bldr.ask("stop:harbor--prod,node=2").object();
    assert_eq!(
        off["nodes"],
        json!([{"node": "harbor--prod--2", "state": "stopped", "address": off["nodes"][0]["address"], "changed": true, "problem": null}])
    );
    let on = bldr.ask("start:harbor--prod").object();
    let changed: Vec<_> = on["nodes"].as_array().unwrap().iter().map(|node| (&node["state"], &node["changed"])).collect();
    assert_eq!(changed, [(&json!("running"), &json!(false)), (&json!("running"), &json!(true))]);

    let ran = bldr.run("stop:master-server--a");
    assert!(ran.code == 3 && ran.err.contains("the contexts of 14 stacks name master-server--a as their master. Stop it?"), "{ran:?}");
    assert_eq!(bldr.ask("master.list").object()["masters"][0]["state"], json!("running"));
    assert_eq!(bldr.run("stop:master-server--a,yes=yes").code, 0);
    assert_eq!(bldr.ask("master.list").object()["masters"][0]["state"], json!("stopped"));
}

#[test]
fn a_made_up_node_has_no_shell_and_says_where_its_files_are() {
    let bldr = Bldr::new();
    bldr.ask("stacks");
    let ran = bldr.ask("cmd:harbor--prod,uptime");
    let nodes = ran.object()["nodes"].clone();
    assert_eq!((ran.code, nodes.as_array().unwrap().len(), &nodes[0]["exit"]), (1, 2, &json!(null)), "{ran:?}");
    let ran = bldr.run("ssh:harbor--ci");
    assert!(ran.code == 3 && ran.err.contains(NODE), "{ran:?}");
}

#[test]
fn orphans_are_the_keys_of_stacks_that_are_no_more_and_removed_keys_come_back() {
    let bldr = Bldr::new();
    bldr.ask("stacks");
    let keys = ".bldr/sandbox/nodes/master-server--a--1/etc/salt/pki/master/minions";
    let key = |body: &str| format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    bldr.write(&format!("{keys}/gone--ci--1"), &key("Z29uZQ=="));
    bldr.write(&format!("{keys}/monitor"), &key("bW9u"));
    let whose = |task: &str| {
        let said = bldr.ask(task).object();
        let keys = said["keys"].as_array().unwrap().clone();
        keys.into_iter()
            .map(|key| (key["id"].as_str().unwrap().to_owned(), key["belongs"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(whose("keys.orphans"), [("gone--ci--1".into(), "nobody".into())]);
    let all = whose("keys.list:master-server--a");
    assert!(all.contains(&("monitor".into(), "stranger".into())) && all.contains(&("harbor--ci--1".into(), "stack".into())), "{all:?}");

    // A re-mastering removes the key from the old master, and keeps it there.
    assert_eq!(bldr.run("master.remaster:harbor--ci,master-server--b").code, 0);
    let kept = bldr.ask("keys.list:master-server--a").object()["quarantine"].clone();
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]["id"], &kept[0]["state"]), (1, &json!("harbor--ci--1"), &json!("accepted")));
    let ran = bldr.run("keys.restore:harbor--cj--1");
    assert!(ran.code == 3 && ran.err.contains("did you mean 'harbor--ci--1'?"), "{ran:?}");
    let ran = bldr.run("keys.restore:harbor--ci--1");
    assert_eq!((ran.code, ran.out.as_str()), (0, "harbor--ci--1\n"), "{ran:?}");
    assert!(bldr.read(&format!("{keys}/harbor--ci--1")).starts_with("-----BEGIN"));
    assert_eq!(bldr.ask("keys.restore:all").object()["restored"], json!([]));
    let ran = bldr.run("keys.list:harbor--ci");
    assert!(ran.code == 3 && ran.err.contains("harbor--ci is no master"), "{ran:?}");
}

#[test]
fn the_doctor_says_what_a_master_lacks_and_what_to_do() {
    let bldr = Bldr::new();
    let ran = bldr.ask("master.doctor:master-server--b");
    let said = ran.object();
    assert_eq!((ran.code, &said["fit"]), (0, &json!(true)), "{ran:?}");
    assert!(ran.err.contains("master-server--b is fit to take over"), "{ran:?}");
    let line = |said: &serde_json::Value, about: &str| {
        let checks = said["checks"].as_array().unwrap();
        checks.iter().find(|check| check["about"] == about).unwrap_or_else(|| panic!("{about}: {checks:?}")).clone()
    };
    assert_eq!(line(&said, "file_roots")["verdict"], json!("ok"));

    fs::remove_file(bldr.path(".bldr/sandbox/nodes/master-server--b--1/opt/formulas/top.sls")).unwrap();
    let ran = bldr.ask("master.doctor:master-server--b");
    assert_eq!((ran.code, &line(&ran.object(), "file_roots")["verdict"]), (1, &json!("no")), "{ran:?}");
    assert_eq!(bldr.run("stop:master-server--b,yes=yes").code, 0);
    let ran = bldr.run("master.doctor:master-server--b");
    assert!(ran.code == 1 && ran.out.contains("`bldr start:master-server--b` starts it"), "{ran:?}");
    let ran = bldr.run("master.doctor:harbor--ci");
    assert!(ran.code == 3 && ran.err.contains("harbor--ci is no master"), "{ran:?}");
}

#[test]
fn a_shared_address_is_committed_on_request_and_never_over_somebodys_changes() {
    let bldr = Bldr::new();
    bldr.ask("stacks");
    let file = ".bldr/sandbox/project.yaml";
    let git = |arguments: &str| {
        let output = std::process::Command::new("git").current_dir(bldr.path("")).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "git {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let ran = bldr.run("master.share:master-server--a,commit=yes,yes=yes");
    assert!(ran.code == 3 && ran.err.contains("it is in no git repository"), "{ran:?}");
    for line in ["init --quiet", "config user.name t", "config user.email t@t.test", &format!("add {file}"), "commit --quiet -m one"] {
        git(line);
    }
    let before = bldr.read(file);
    bldr.write(file, &format!("{before}# mine\n"));
    let ran = bldr.run("master.share:master-server--a,yes=yes");
    assert!(ran.code == 3 && ran.err.contains("commit or stash them first") && ran.err.contains("nothing was changed"), "{ran:?}");
    assert_eq!(bldr.read(file), format!("{before}# mine\n"));
    bldr.write(file, &before);
    let ran = bldr.run("master.share:master-server--a,commit=yes,yes=yes");
    assert!(ran.code == 0 && ran.out.contains("written and committed: "), "{ran:?}");
    assert_eq!(git("log -1 --format=%s"), "10.0.0.10 (master-server--a) is the master\n");
    assert_eq!(git("status --porcelain --untracked-files=no"), "");
}

#[test]
fn a_master_goes_only_once_nothing_points_to_it() {
    let bldr = Bldr::new();
    let fleet = "masters:\n  master-server--a:\n  master-server--b: {private-ip: 10.0.0.20}\nstacks:\n  harbor--ci:\n  quill--ci: {state: stopped}\n";
    bldr.write("fleet.yaml", fleet);
    assert_eq!(bldr.run("sandbox.create:fleet.yaml").code, 0);
    let ran = bldr.ask("master.retire:master-server--a,yes=yes");
    let places = |ran: &bldr::Ran| -> Vec<String> {
        let said = ran.json()[0]["pointers"].as_array().unwrap().clone();
        said.iter().map(|pointer| format!("{} {}", pointer["place"].as_str().unwrap(), pointer["of"].as_str().unwrap())).collect()
    };
    let found = places(&ran);
    assert_eq!(ran.code, 3, "{ran:?}");
    for place in ["context", "build_vars", "configuration", "trusted_key", "connection", "answer"] {
        assert!(found.iter().any(|pointer| pointer.starts_with(&format!("{place} harbor--ci"))), "{place}: {found:?}");
    }
    assert!(found.contains(&"context quill--ci".into()) && found.contains(&"unknown quill--ci--1".into()), "{found:?}");
    assert_eq!(bldr.ask("master.list").object()["masters"][0]["state"], json!("running"));

    assert_eq!(bldr.run("master.share:master-server--b,yes=yes").code, 0);
    assert_eq!(bldr.run("master.remaster:harbor--ci,master-server--b").code, 0);
    let found = places(&bldr.ask("master.retire:master-server--a,yes=yes"));
    assert_eq!(found, ["context quill--ci", "unknown quill--ci--1"], "what sleeps is not forgotten");
    assert_eq!(bldr.run("master.remaster:quill--ci,master-server--b").code, 0);
    let ran = bldr.run("master.retire:master-server--a");
    assert!(ran.code == 3 && ran.err.contains("Nothing points to master-server--a any more. Stop it?"), "{ran:?}");
    let ran = bldr.run("master.retire:master-server--a,yes=yes");
    assert_eq!((ran.code, ran.out.as_str()), (0, "master-server--a is stopped; nothing points to it\n"), "{ran:?}");
    assert_eq!(bldr.ask("master.list").object()["masters"][0]["state"], json!("stopped"));
    assert_eq!(bldr.run("master.retire:master-server--a").code, 0, "twice is fine");
}
