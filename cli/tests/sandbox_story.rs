//! Does every task do what it says, in the sandbox? The binary itself, and the files it leaves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod bldr;

use bldr::Bldr;
use serde_json::{Value, json};

/// What a node of the sandbox is, by name.
fn node(bldr: &Bldr, name: &str) -> Value {
    let shown = bldr.ask("sandbox.show").object();
    shown["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap().clone()
}

fn fleet(bldr: &Bldr, yaml: &str) {
    bldr.write("fleet.yaml", &format!("masters:\n  master-server--a:\n  master-server--b: {{private-ip: 10.0.0.20}}\nstacks:\n{yaml}"));
    assert_eq!(bldr.run("sandbox.create:fleet.yaml").code, 0);
}

#[test]
fn a_new_user_sees_a_whole_fleet() {
    let bldr = Bldr::new();
    insta::assert_snapshot!("stacks", bldr.run("stacks").told());
    insta::assert_snapshot!("sandbox_show", bldr.run("sandbox.show").told());
    insta::assert_snapshot!("plan", bldr.run("master.remaster_all:master-server--b,plan=yes").told());
}

#[test]
fn whoever_comes_first_makes_the_fleet_and_all_others_find_it() {
    for _ in 0..5 {
        let bldr = Bldr::new();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| bldr.run("stacks"))).collect();
            let first = bldr.run("stacks");
            assert_eq!(first.code, 0, "{first:?}");
            for one in all {
                let one = one.join().unwrap();
                assert_eq!((one.code, &one.out), (0, &first.out), "{one:?}");
            }
        });
    }
}

#[test]
fn masters_are_listed_in_order_with_the_reason() {
    let bldr = Bldr::new();
    let ran = bldr.ask("master.list");
    let object = ran.object();
    let masters = object["masters"].as_array().unwrap();
    assert_eq!(masters.iter().map(|m| &m["name"]).collect::<Vec<_>>(), ["master-server--a", "master-server--b"]);
    assert_eq!((&masters[0]["preferred"], &masters[1]["preferred"], &masters[1]["why"]), (&json!(true), &json!(false), &Value::Null));
    assert_eq!(
        (&masters[0]["address"], &masters[0]["minions"], &masters[0]["state"]),
        (&json!("10.0.0.10"), &json!(15), &json!("running"))
    );
    assert!(ran.err.contains("warning: there are 2 masters (master-server--a, master-server--b); master-server--a is preferred"));
    assert_eq!((&masters[0]["named"], &masters[1]["named"]), (&json!(false), &json!(true)));
    assert!(ran.err.contains("warning: the project files name master-server--b, so that is where new minions go"), "{ran:?}");
    let shown = bldr.run("master.list").out;
    assert!(shown.lines().last().unwrap().ends_with("no; the project files name it"), "{shown}");
}

#[test]
fn the_preferred_master_is_the_one_that_is_named_else_pinned_else_first() {
    let bldr = Bldr::new();
    let preferred = |line: &str| bldr.ask(line).object()["masters"][0]["preferred"] == json!(true);
    let note = |master: &str| format!("this is about {master}, the preferred master; the project files name master-server--b");
    assert!(preferred("master.list"));
    let first = bldr.ask("master.update");
    assert_eq!(first.json().last().unwrap()["outcomes"], json!({"master-server--a": "updated"}), "{first:?}");
    assert!(first.err.contains(&note("master-server--a")), "{first:?}");
    assert!(bldr.ask("master.doctor").err.contains(&note("master-server--a")));
    let explicit = bldr.ask("master.update:master-server--b");
    assert_eq!(explicit.json().last().unwrap()["outcomes"], json!({"master-server--b": "updated"}), "{explicit:?}");
    assert!(!explicit.err.contains("preferred"), "{explicit:?}");
    bldr.write("settings.yaml", "cloud: sandbox\nmaster: master-server--b\n");
    assert!(!preferred("master.list"));
    let pinned = bldr.ask("master.update");
    assert_eq!(pinned.json().last().unwrap()["outcomes"], json!({"master-server--b": "updated"}), "{pinned:?}");
    assert!(!pinned.err.contains("the preferred master"), "{pinned:?}");
    let explicit = bldr.ask("master.update:master-server--a");
    assert_eq!(explicit.json().last().unwrap()["outcomes"], json!({"master-server--a": "updated"}), "over the pin: {explicit:?}");
}

#[test]
fn no_master_is_an_error_that_names_the_region() {
    let bldr = Bldr::new();
    bldr.write("fleet.yaml", "region: eu-west-3\n");
    assert_eq!(bldr.run("sandbox.create:fleet.yaml").code, 0);
    let ran = bldr.run("master.list");
    assert!(ran.code == 3 && ran.err.contains("there is no master in eu-west-3"), "{ran:?}");
}

#[test]
fn one_stack_is_remastered_in_the_old_form() {
    let bldr = Bldr::new();
    let ran = bldr.ask("master.remaster:harbor--prod,master-server--b");
    assert_eq!(ran.code, 0, "{ran:?}");
    let events = ran.json();
    assert!(events.iter().all(|event| event["cloud"] == "sandbox" && event["at"].as_str().unwrap().ends_with('Z')));
    assert_eq!(events[0]["event"], "run_started");
    assert_eq!(events[0]["lanes"], json!([{"project": "harbor", "stacks": ["harbor--prod"]}]));
    assert_eq!(events.last().unwrap()["outcomes"], json!({"harbor--prod": "remastered"}));
    for name in ["harbor--prod--1", "harbor--prod--2"] {
        let node = node(&bldr, name);
        assert_eq!(
            (&node["configured"], &node["obeys"], &node["highstate_due"]),
            (&json!("10.0.0.20"), &json!("master-server--b--1"), &json!(false))
        );
    }
    let again = bldr.ask("master.remaster harbor--prod master-server--b");
    assert_eq!((again.code, &again.json().last().unwrap()["outcomes"]), (0, &json!({"harbor--prod": "already_there"})));
}

#[test]
fn everything_is_remastered_once_somebody_says_yes() {
    let bldr = Bldr::new();
    let declined = bldr.run("master.remaster_all:master-server--b");
    assert!(declined.code == 3 && declined.err.contains("--yes"), "{declined:?}");
    assert_eq!(node(&bldr, "harbor--ci--1")["configured"], "10.0.0.10");
    let ran = bldr.run("master.remaster_all:master-server--b,yes=yes");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("14 re-mastered, 1 already there, 4 skipped in "), "{ran:?}");
    let nodes = bldr.ask("sandbox.show").object();
    let minions = nodes["nodes"].as_array().unwrap().iter().filter(|node| node["configured"] != Value::Null);
    assert!(minions.into_iter().all(|node| node["trusts"] == "master-server--b--1"), "{nodes}");
    let plan = bldr.ask("master.remaster_all:master-server--b,plan=yes").object();
    assert_eq!((&plan["lanes"], &plan["shared"]), (&json!([]), &json!(true)));
    assert!(plan["skipped"].as_array().unwrap().iter().all(|skipped| skipped["kind"] == "untouched"), "{plan}");
}

#[test]
fn a_plan_names_lanes_and_what_is_not_touched() {
    let bldr = Bldr::new();
    let plan = bldr.ask("master.remaster_all:master-server--b,plan=yes").object();
    assert_eq!(plan["lanes"][2]["project"], "harbor");
    assert_eq!(plan["lanes"][2]["stacks"], json!(["harbor--pr-118", "harbor--ci", "harbor--end2end", "harbor--prod"]));
    let skipped: Vec<_> = plan["skipped"].as_array().unwrap().iter().map(|s| format!("{}: {}", s["stack"], s["reason"])).collect();
    assert!(skipped.contains(&r#""hermit--prod": "masterless""#.to_owned()), "{skipped:?}");
    assert!(!bldr.path(".bldr/runs").exists(), "a plan is no run");
}

#[test]
fn a_failure_holds_its_project_and_ends_with_1() {
    let bldr = Bldr::new();
    fleet(&bldr, "  ferry--ci: {fault: highstate-fails}\n  ferry--prod:\n  quill--ci:\n");
    assert_eq!(bldr.run("master.share:master-server--b yes=yes").code, 0);
    let ran = bldr.ask("master.remaster_all:master-server--b,yes=yes");
    assert_eq!(ran.code, 1, "{ran:?}");
    let last = ran.json().pop().unwrap();
    assert_eq!((&last["outcomes"]["ferry--prod"], &last["outcomes"]["quill--ci"]), (&json!("held"), &json!("remastered")));
}

#[test]
fn a_stack_that_cannot_be_read_is_a_line_in_the_plan() {
    let bldr = Bldr::new();
    fleet(&bldr, "  ferry--ci: {fault: unreachable}\n  ferry--prod:\n  quill--ci:\n");
    let plan = bldr.ask("master.remaster_all:master-server--b,plan=yes").object();
    assert_eq!((&plan["skipped"][0]["stack"], &plan["skipped"][0]["kind"]), (&json!("ferry--ci"), &json!("blocked")));
    assert_eq!(
        plan["skipped"][1],
        json!({"stack": "ferry--prod", "kind": "held", "reason": "ferry--ci cannot be done, and comes earlier"})
    );
    assert_eq!(plan["lanes"][0]["stacks"], json!(["quill--ci"]));
    let alone = bldr.run("master.remaster:ferry--ci,master-server--b,allow_unshared=yes");
    assert!(alone.code == 3 && alone.err.contains("nothing was changed"), "{alone:?}");
}

#[test]
fn an_address_nobody_knows_of_is_refused_and_shared() {
    let bldr = Bldr::new();
    let refused = bldr.run("master.remaster:beacon--ci,master-server--a");
    assert!(refused.code == 3 && refused.err.contains("bldr master.share:master-server--a"), "{refused:?}");
    let before = bldr.read(".bldr/sandbox/project.yaml");
    let shown = bldr.run("master.share:master-server--a");
    assert!(shown.code == 3 && shown.out.contains("+            master_ip: 10.0.0.10 # master-server--b"), "{shown:?}");
    assert_eq!(bldr.read(".bldr/sandbox/project.yaml"), before);
    let shared = bldr.ask("master.share master-server--a --yes");
    assert_eq!((shared.code, &shared.object()["changed"]), (0, &json!(true)));
    assert_eq!(bldr.read(".bldr/sandbox/project.yaml"), before.replace("10.0.0.20", "10.0.0.10"));
    assert_eq!(bldr.ask("master.share master-server--a").object()["changed"], false);
    assert_eq!(bldr.run("master.remaster:beacon--ci,master-server--a").code, 0);
}

#[test]
fn an_unshared_address_can_be_allowed_and_is_recorded() {
    let bldr = Bldr::new();
    let ran = bldr.ask("master.remaster:beacon--ci,master-server--a,allow_unshared=yes");
    assert_eq!((ran.code, &ran.json()[0]["allow_unshared"]), (0, &json!(true)), "{ran:?}");
    let plan = bldr.ask("master.remaster:beacon--ci,master-server--b plan=yes").object();
    assert_eq!(plan["shared"], true);
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let bldr = Bldr::new();
    for (line, guess) in [
        ("context.show:harbr--ci", "did you mean 'harbor--ci'"),
        ("buildvars.read:harbor--cj", "did you mean 'harbor--ci'"),
        ("master.remaster:harbor--cj,master-server--b", "did you mean 'harbor--ci'"),
        ("master.remaster:harbor--ci,master-server--bb", "did you mean 'master-server--b'"),
        ("master.remaster_all:harbor--ci", "masters are the stacks of the project 'master-server'"),
        ("master.share:master-sever--b", "masters are the stacks of the project 'master-server'"),
        ("context.restore:harbor--ci,zz", "it has never been replaced"),
        ("master.remaster:master-server--a,master-server--b", "a master, not a minion"),
    ] {
        let ran = bldr.run(line);
        assert!(ran.code == 3 && ran.err.contains(guess), "{line}: {ran:?}");
    }
}

#[test]
fn contexts_are_shown_compared_and_restored_to_the_byte() {
    let bldr = Bldr::new();
    let odd = r#"{"z": 1.0, "n": NaN, "big": 123456789012345678901234567890, "ec2": {"master_ip": "10.0.0.10"}, "u": "\u00e9"}"#;
    fleet(&bldr, "  harbor--ci:\n");
    let context = bldr.read(".cfn/contexts/harbor--ci.json");
    bldr.write(".cfn/contexts/harbor--ci.json", odd);
    assert_eq!(bldr.run("context.show:harbor--ci").out, format!("{odd}\n"));
    assert!(bldr.ask("context.show:harbor--ci").out.contains(&odd.replace("NaN", "\"NaN\"")));
    assert_eq!(bldr.run("context.diff:harbor--ci").code, 3);
    bldr.write(".cfn/contexts/harbor--ci.json", &context);

    assert_eq!(bldr.run("master.remaster:harbor--ci,master-server--b,allow_unshared=yes").code, 0);
    let history = bldr.ask("context.history:harbor--ci").object();
    assert_eq!(history["history"].as_array().unwrap().len(), 1);
    let old = history["history"][0]["revision"].as_str().unwrap();
    assert_eq!(history["current"]["master_ip"], "10.0.0.20");
    let diff = bldr.ask("context.diff:harbor--ci").object();
    assert!(diff["from"] == old && diff["diff"].as_str().unwrap().contains("+    \"master_ip\": \"10.0.0.20\""), "{diff}");

    let declined = bldr.run(&format!("context.restore:harbor--ci,{old}"));
    assert!(declined.code == 3 && declined.err.contains("--yes"), "{declined:?}");
    let restored = bldr.ask(&format!("context.restore:harbor--ci,{} yes=yes", &old[..6])).object();
    assert_eq!((&restored["restored"], &restored["changed"]), (&json!(old), &json!(true)));
    assert_eq!(bldr.read(".cfn/contexts/harbor--ci.json"), context);
}

#[test]
fn build_vars_are_read_checked_refreshed_and_fixed() {
    let bldr = Bldr::new();
    fleet(&bldr, "  harbor--ci: {nodes: 2}\n  quill--ci: {state: stopped}\n");
    let file = ".bldr/sandbox/nodes/harbor--ci--2/etc/build-vars.json.b64";
    let good = bldr.read(file);
    let vars = bldr.ask("buildvars.read:harbor--ci").object();
    assert_eq!((&vars["nodes"][1]["node"], &vars["nodes"][1]["build_vars"]["node"]), (&json!("harbor--ci--2"), &json!(2)));
    assert_eq!(bldr.run("buildvars.valid:harbor--ci").code, 0);

    bldr.write(file, "not base64!");
    let valid = bldr.ask("buildvars.valid:harbor--ci");
    assert_eq!((valid.code, &valid.object()["nodes"][1]["valid"]), (1, &json!(false)));
    let refreshed = bldr.ask("buildvars.refresh:harbor--ci");
    let nodes = &refreshed.object()["nodes"];
    assert_eq!((refreshed.code, &nodes[0]["changed"], &nodes[1]["changed"]), (1, &json!(false), &json!(false)));
    assert!(nodes[1]["problem"].as_str().unwrap().contains("buildvars.fix:harbor--ci"));
    let fixed = bldr.ask("buildvars.fix:harbor--ci");
    let nodes = &fixed.object()["nodes"];
    assert_eq!((fixed.code, &nodes[0]["changed"], &nodes[1]["changed"]), (0, &json!(false), &json!(true)));
    assert_eq!(bldr.read(file), good);

    let asleep = bldr.run("buildvars.valid:quill--ci");
    assert!(asleep.code == 1 && asleep.out.contains("it is stopped and cannot be asked"), "{asleep:?}");
}

#[test]
fn the_sandbox_goes_back_to_how_it_was_made() {
    let bldr = Bldr::new();
    assert!(bldr.run("sandbox.create minions=20").out.contains("22 stacks on 22 machines"));
    assert_eq!(bldr.run("master.remaster_all:master-server--b,yes=y").code, 0);
    assert!(bldr.run("sandbox.reset").out.contains("22 stacks on 22 machines"));
    assert_eq!(node(&bldr, "project-00001--ci--1")["configured"], "10.0.0.10");
}

#[test]
fn a_second_operator_is_refused_with_who_and_why() {
    let bldr = Bldr::new();
    bldr.run("sandbox.create minions=40");
    let mut first = std::process::Command::new(env!("CARGO_BIN_EXE_bldr"))
        .current_dir(bldr.path(""))
        .args(["master.remaster_all:master-server--b,yes=y,output=json"])
        .env("BLDR_SANDBOX_PACE", "50")
        .env("USER", "first")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Once it has told of its run, it holds the lock.
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(first.stdout.as_mut().unwrap()), &mut line).unwrap();
    let second = bldr.run("buildvars.refresh:project-00001--ci");
    assert!(second.code == 3 && second.err.contains("first") && second.err.contains("master.remaster_all"), "{second:?}");
    // Reading needs no lock.
    assert_eq!(bldr.run("stacks").code, 0);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(bldr.run("buildvars.refresh:project-00001--prod").code, 0, "a dead holder holds nothing");
}

#[test]
fn who_was_quicker_to_change_a_context_is_shown_by_what_they_changed() {
    let bldr = Bldr::new();
    assert_eq!(bldr.run("master.remaster:harbor--ci,master-server--b").code, 0);
    let history = bldr.ask("context.history:harbor--ci").object();
    let before = history["history"][0]["revision"].as_str().unwrap();
    let mut restore = bldr.at_a_terminal(&format!("context.restore:harbor--ci,{before}"));
    let (mut typed, mut shown) = (restore.stdin.take().unwrap(), restore.stdout.take().unwrap());
    bldr::read_until(&mut shown, "[y/N]");
    let path = ".cfn/contexts/harbor--ci.json";
    let theirs = bldr.read(path).replacen("\"branch\": \"main\"", "\"branch\": \"theirs\"", 1);
    bldr.write(path, &theirs);
    std::io::Write::write_all(&mut typed, b"y\n").unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut shown, &mut rest).unwrap();
    assert_eq!(restore.wait().unwrap().code(), Some(3), "{rest}");
    assert!(rest.contains("+  \"branch\": \"theirs\"") && rest.contains("nothing was changed"), "{rest}");
    assert_eq!(bldr.read(path), theirs);
}

#[test]
fn ctrl_c_finishes_what_is_in_flight_and_running_again_does_the_rest() {
    let bldr = Bldr::new();
    bldr.run("sandbox.create minions=40");
    let mut first = std::process::Command::new(env!("CARGO_BIN_EXE_bldr"))
        .current_dir(bldr.path(""))
        .args(["master.remaster_all:master-server--b,yes=y,output=json,jobs=2"])
        .env("BLDR_SANDBOX_PACE", "30")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(first.stdout.take().unwrap()));
    let begun = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("stack_started")));
    assert!(begun.is_some());
    let interrupt = std::process::Command::new("kill").args(["-INT", &first.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    let ended = first.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{last}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("the stacks in flight are finished"));
    let outcomes = last["outcomes"].as_object().unwrap();
    assert!(outcomes.values().any(|o| o == "remastered") && outcomes.values().any(|o| o == "interrupted"), "{last}");
    assert!(outcomes.values().all(|o| o != "failed"), "{last}");
    assert_eq!(bldr.run("master.remaster_all:master-server--b,yes=y").code, 0);
}

#[test]
fn a_refusal_to_run_unshared_names_every_place_that_has_to_change() {
    let bldr = Bldr::new();
    let projects = "defaults:\n    aws:\n        ec2:\n            master_ip: 10.0.0.10\nharbor:\n    aws: {}\nquill:\n    aws:\n        ec2:\n            master_ip: 10.0.0.10\n    aws-alt:\n        big:\n            ec2:\n                master_ip: 10.0.0.11\n";
    bldr.write("project.yaml", projects);
    let fleet = "project-file: project.yaml\nmasters:\n  master-server--a: {private-ip: 10.0.0.10}\n  master-server--b: {private-ip: 10.0.0.20}\nstacks:\n  harbor--ci:\n  quill--big:\n";
    bldr.write("fleet.yaml", fleet);
    assert_eq!(bldr.run("sandbox.create:fleet.yaml").code, 0);
    let ran = bldr.run("master.remaster_all:master-server--b,yes=yes");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("`bldr master.share:master-server--b` shares it in the defaults"), "{ran:?}");
    assert!(ran.err.contains("quill has an `aws.ec2.master_ip` of their own"), "{ran:?}");
}

#[test]
fn settings_that_mean_nothing_are_told() {
    let bldr = Bldr::new();
    bldr.write("settings.yaml", "cloud: sandbox\ncontexts: elsewhere\nignore: [harbr, quill--nowhere]\n");
    let ran = bldr.run("master.remaster_all:master-server--b,plan=yes");
    assert_eq!(ran.code, 0, "{ran:?}");
    for told in ["settings.yaml sets contexts, which a sandbox does not use", "ignores 'harbr'", "ignores 'quill--nowhere'"] {
        assert!(ran.err.contains(told), "{told}: {ran:?}");
    }
}

#[test]
fn an_option_that_is_given_twice_is_refused() {
    let bldr = Bldr::new();
    let ran = bldr.run("master.remaster_all:master-server--b,plan=yes,plan=no");
    assert!(ran.code == 2 && ran.err.contains("cannot be used multiple times"), "{ran:?}");
}

#[test]
fn a_description_that_describes_nothing_is_refused() {
    let bldr = Bldr::new();
    for (text, problem) in [
        ("# nothing\n", "it describes no fleet"),
        (
            "masters: {master-server--a: {private-ip: 10.0.0.1}, master-server--b: {private-ip: 10.0.0.1}}\n",
            "another master has its address",
        ),
        ("masters: {master-server--a: }\nstacks: {master-server--b: }\n", "it belongs under 'masters'"),
    ] {
        bldr.write("fleet.yaml", text);
        let ran = bldr.run("sandbox.create:fleet.yaml");
        assert!(ran.code != 0 && ran.err.contains(problem), "{text}: {ran:?}");
    }
}

#[test]
fn one_table_says_where_every_node_stands() {
    let bldr = Bldr::new();
    let status = bldr.ask("master.status").object();
    assert_eq!(status["verdicts"], json!({"on_it": 1, "elsewhere": 14, "asleep": 1, "masterless": 1}));
    let row = &status["nodes"][0];
    assert_eq!((&row["node"], &row["verdict"]), (&json!("beacon--ci--1"), &json!("on_it")));
    for place in ["build_vars", "configuration", "trusted_key"] {
        assert_eq!(row[place], "master-server--b", "{place}");
    }
    assert_eq!((&row["connection"], &row["answers"]), (&json!(["master-server--b"]), &json!(["master-server--b"])));
    let one = bldr.ask("master.status:harbor--prod,master=master-server--a").object();
    assert_eq!(one["verdicts"], json!({"on_it": 2}));
    let shown = bldr.run("master.status harbor--prod");
    assert!(
        shown.code == 0
            && shown.out.contains("harbor--prod--2  a        a           a              a            a          a        elsewhere"),
        "{shown:?}"
    );
    let unknown = bldr.run("master.status:harbor--prd");
    assert!(unknown.code == 3 && unknown.err.contains("did you mean 'harbor--prod'?"), "{unknown:?}");
}

#[test]
fn a_stack_that_does_not_join_is_rolled_back_and_the_code_says_so() {
    let bldr = Bldr::new();
    let fleet = "masters:\n  master-server--a: {private-ip: 10.0.0.10, auto-accept: false}\n  master-server--b: {private-ip: 10.0.0.20, auto-accept: false}\nstacks:\n  harbor--ci: {fault: never-joins}\n  quill--ci:\n";
    bldr.write("fleet.yaml", fleet);
    assert_eq!(bldr.run("sandbox.create:fleet.yaml").code, 0);
    let ran = bldr.ask("master.remaster_all:master-server--b,allow_unshared=yes,yes=yes,rehearse=yes,join-timeout=1");
    let last = ran.json().last().unwrap().clone();
    assert_eq!(
        (ran.code, &last["outcomes"]["harbor--ci"], &last["outcomes"]["quill--ci"]),
        (1, &json!("rolled_back"), &json!("remastered"))
    );
    let status = bldr.ask("master.status").object();
    assert_eq!(status["verdicts"], json!({"elsewhere": 1, "on_it": 1}), "{status}");
    assert_eq!(bldr.read(".bldr/sandbox/nodes/harbor--ci--1/etc/salt/minion"), "master: 10.0.0.10\nid: harbor--ci--1\nlog_level: info\n");
}
