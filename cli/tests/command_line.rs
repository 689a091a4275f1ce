//! Does the program understand what is typed, and does it end with the right code? The binary itself, in folders of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod bldr;

use bldr::{Bldr, Ran};

#[test]
fn the_version_needs_nothing() {
    let ran = Bldr::new().run("--version");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, concat!("bldr ", env!("CARGO_PKG_VERSION"), "\n"), ""));
}

#[test]
fn without_a_task_the_tasks_are_listed() {
    let bldr = Bldr::new();
    let [nothing, list, tasks] = ["", "--list", "tasks"].map(|line| bldr.run(line));
    assert_eq!(nothing, list);
    assert_eq!(nothing, tasks);
    insta::assert_snapshot!(tasks.told());
}

#[test]
fn help_is_there_for_everything() {
    let bldr = Bldr::new();
    insta::assert_snapshot!("help", bldr.run("--help").told());
    insta::assert_snapshot!("help_of_remaster", bldr.run("help master.remaster").told());
    for line in ["master.remaster --help", "master.remaster:harbor--ci --help", "help:master.remaster", "help master.remaster"] {
        assert_eq!(bldr.run(line), bldr.run("help master.remaster"), "{line}");
    }
}

#[test]
fn what_is_not_understood_ends_with_2_and_touches_nothing() {
    let bldr = Bldr::new();
    for line in [
        "mastre.list",
        "help mastre.list",
        "master.list extra",
        "master.remaster:harbor--ci",
        "master.remaster:harbor--ci,master-server--b,jbos=4",
        "master.remaster harbor--ci master-server--b --jbos 4",
        "master.remaster harbor--ci master-server--b plan=perhaps",
        "master.remaster harbor--ci master-server--b jobs=none",
        "master.remaster harbor--ci master-server--b highstate=maybe",
        "master.remaster harbor master-server--b",
        "context.show harbor--c;i",
        "context.show:a=b=c",
        "--home /no/such/folder stacks",
        "--output yaml stacks",
        "sandbox.create:no-such-file.yaml",
    ] {
        let ran = bldr.run(line);
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
        assert!(ran.out.is_empty() && ran.err.contains("bldr: "), "{line}: {ran:?}");
    }
    assert!(!bldr.path(".bldr/sandbox/sandbox.json").exists() && !bldr.path(".cfn").exists());
}

#[test]
fn an_error_is_the_last_line_of_json_output() {
    let bldr = Bldr::new();
    for (line, code, cloud) in [
        ("mastre.list --output json", 2, None),
        ("mastre.list:output=json", 2, None),
        ("context.show:harbr--ci --output json", 3, Some("sandbox")),
        ("--output=json master.remaster_all master-server--b", 3, Some("sandbox")),
    ] {
        let ran = bldr.run(line);
        let last = ran.json().pop().unwrap();
        assert_eq!((ran.code, &last["error"]["code"], last["cloud"].as_str()), (code, &code.into(), cloud), "{line}: {last}");
        assert!(ran.err.contains(last["error"]["message"].as_str().unwrap().lines().next().unwrap()), "{line}");
    }
}

#[test]
fn the_home_folder_is_found_three_ways() {
    let (here, there) = (Bldr::new(), Bldr::new());
    there.write("settings.yaml", "cloud: sandbox\nmaster: master-server--b\n");
    let home = there.path("").display().to_string();
    let pinned = |ran: Ran| ran.out.contains("pinned by settings.yaml");
    assert!(pinned(there.run("master.list")));
    assert!(!pinned(here.run("master.list")));
    assert!(pinned(here.run(&format!("--home {home} master.list"))));
    assert!(pinned(here.run(&format!("master.list:home={home}"))));
    assert!(pinned(here.run_with("master.list", &[("BLDR_HOME", &home)])));
    assert!(!pinned(here.run_with("--home . master.list", &[("BLDR_HOME", &home)])));
}

#[test]
fn broken_settings_stop_everything_but_the_list_of_tasks() {
    let bldr = Bldr::new();
    bldr.write("settings.yaml", "cloud: sandbox\njbos: 4\n");
    let ran = bldr.run("stacks");
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (2, "", "bldr: ./settings.yaml:2: unknown field `jbos`; did you mean 'jobs'?\n")
    );
    assert_eq!(bldr.run("tasks").code, 0);
}

#[test]
fn the_sandbox_says_so_on_stderr_and_only_there() {
    let bldr = Bldr::new();
    let banner = "sandbox: no settings.yaml here, so this is a made-up fleet in .bldr/sandbox (nothing real is touched)\n";
    for line in ["stacks", "context.show harbor--ci", "sandbox.show", "stacks --output json"] {
        let ran = bldr.run(line);
        assert!(ran.err.starts_with(banner) && !ran.out.contains("made-up"), "{line}: {ran:?}");
    }
    bldr.write("settings.yaml", "cloud: sandbox\n");
    assert!(bldr.run("stacks").err.starts_with("sandbox: settings.yaml says so"));
}

#[test]
fn a_reader_that_leaves_early_is_no_panic() {
    use std::process::{Command, Stdio};
    let bldr = Bldr::new();
    bldr.run("sandbox.create minions=50");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bldr"))
        .current_dir(bldr.path(""))
        .arg("stacks")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && !String::from_utf8_lossy(&ended.stderr).contains("panicked"), "{ended:?}");
}

#[test]
fn a_fleet_that_cannot_be_seen_ends_with_4_and_says_what_to_do() {
    let bldr = Bldr::new();
    bldr.write("settings.yaml", "cloud: aws\nproject-files: [p.yaml]\n");
    bldr.write("p.yaml", "defaults: {}\n");
    // Nobody listens on that port; and without a region nobody is asked at all.
    let nobody = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
        ("AWS_REGION", "us-east-1"),
    ];
    let nowhere = bldr.run_with("stacks", &nobody[..4]);
    assert!(nowhere.code == 4 && nowhere.err.contains("no AWS region is set"), "{nowhere:?}");
    let no_store = bldr.run_with("context.show harbor--ci", &nobody);
    assert!(no_store.code == 4 && no_store.err.contains(".cfn/contexts"), "{no_store:?}");
    std::fs::create_dir_all(bldr.path(".cfn/contexts")).unwrap();
    let silent = bldr.run_with("--output json master.list", &nobody);
    let error = &silent.object()["error"];
    assert!(silent.code == 4 && error["message"].as_str().unwrap().contains("127.0.0.1:9"), "{silent:?}");
}

#[test]
fn contexts_can_be_looked_at_without_aws_and_a_real_fleet_has_no_sandbox() {
    let bldr = Bldr::new();
    bldr.write("settings.yaml", "cloud: aws\nproject-files: [p.yaml]\n");
    bldr.write(".cfn/contexts/harbor--ci.json", "{}");
    let shown = bldr.run("context.show harbor--ci");
    assert_eq!((shown.code, shown.out.as_str(), shown.err.as_str()), (0, "{}\n", ""));
    let refused = bldr.run("sandbox.create");
    assert!(refused.code == 3 && refused.err.contains("there is no sandbox here"), "{refused:?}");
    assert!(!bldr.path(".bldr").exists());
}
