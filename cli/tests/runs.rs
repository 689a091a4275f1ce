//! Is what was run told afterwards, finished, and moved back? The binary itself, in the sandbox.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod bldr;

use bldr::Bldr;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Lines, Read, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

const ALL: &str = "master.remaster_all:master-server--b,yes=y";

/// A slow run that goes on, and the lines of its events.
fn going_on(bldr: &Bldr) -> (Child, Lines<BufReader<ChildStdout>>) {
    slowly_going_on(bldr, "30", Stdio::null())
}

fn slowly_going_on(bldr: &Bldr, pace: &str, errors: Stdio) -> (Child, Lines<BufReader<ChildStdout>>) {
    bldr.run("sandbox.create minions=40");
    until_a_stack_is_done(bldr, &format!("{ALL},jobs=2"), pace, errors)
}

fn until_a_stack_is_done(bldr: &Bldr, task: &str, pace: &str, errors: Stdio) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_bldr"))
        .current_dir(bldr.path(""))
        .args([task, "--output=json"])
        .env("BLDR_SANDBOX_PACE", pace)
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let done = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("stack_finished")));
    assert!(done.is_some());
    (run, lines)
}

/// Killed in the middle of a step.
fn cut_short() -> Bldr {
    let bldr = Bldr::new();
    let (mut run, mut lines) = going_on(&bldr);
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("step_started"))));
    run.kill().unwrap();
    run.wait().unwrap();
    bldr
}

fn shown(bldr: &Bldr) -> Value {
    bldr.ask("run.show:last").object()
}

fn obeyed(bldr: &Bldr) -> Vec<Value> {
    let shown = bldr.ask("sandbox.show").object();
    shown["nodes"].as_array().unwrap().iter().map(|node| node["obeys"].clone()).filter(|obeys| !obeys.is_null()).collect()
}

#[test]
fn a_run_that_was_killed_is_told_as_such_with_what_nobody_knows_and_is_finished_by_its_name() {
    let bldr = cut_short();
    let run = shown(&bldr);
    assert_eq!(run["standing"], "cut_short");
    assert!(!run["doubtful"].as_array().unwrap().is_empty(), "{run}");
    let outcomes = run["outcomes"].as_object().unwrap();
    assert!(outcomes.values().any(|outcome| outcome == "remastered") && outcomes.values().any(Value::is_null), "{run}");
    let told = bldr.run("run.show:last");
    assert!(told.out.contains("doubtful: it began, and nobody knows how it ended") && told.err.contains("`bldr run.resume:"), "{told:?}");

    let resumed = bldr.ask(&format!("run.resume:{},yes=y", run["run"].as_str().unwrap()));
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let runs = bldr.ask("runs").object();
    let standings: Vec<_> = runs["runs"].as_array().unwrap().iter().map(|run| run["standing"].as_str().unwrap()).collect();
    assert_eq!(standings, ["cut_short", "ended"]);
    let left = bldr.run("run.resume:last");
    assert!(left.code == 3 && left.err.contains("has nothing left to do"), "{left:?}");
}

#[test]
fn a_command_line_with_a_blank_is_taken_up_by_its_record() {
    let bldr = Bldr::new();
    let (mut run, _) = until_a_stack_is_done(&bldr, &format!("{ALL},jobs=1,limit=harbor+not:tag:Owner:ada lovelace"), "100", Stdio::null());
    run.kill().unwrap();
    run.wait().unwrap();
    let resumed = bldr.run("run.resume:last --yes");
    assert!(resumed.code == 0 && resumed.err.contains("ada lovelace'"), "{resumed:?}");
}

#[test]
fn a_run_that_goes_on_can_be_watched_to_its_end() {
    let bldr = Bldr::new();
    let (mut run, lines) = going_on(&bldr);
    assert_eq!(shown(&bldr)["standing"], "going_on");
    let resumed = bldr.run("run.resume:last");
    assert!(resumed.code == 3 && resumed.err.contains("goes on"), "{resumed:?}");
    // Nobody else reads what it tells.
    let drained = std::thread::spawn(move || lines.map_while(Result::ok).last().unwrap());
    let watched = bldr.ask("run.watch:last");
    assert_eq!((watched.code, run.wait().unwrap().code()), (0, Some(0)));
    let (own, seen): (Value, Value) = (serde_json::from_str(&drained.join().unwrap()).unwrap(), watched.json().pop().unwrap());
    assert_eq!((&seen["event"], &seen["outcomes"]), (&json!("run_finished"), &own["outcomes"]));
}

#[test]
fn what_a_run_moved_is_moved_back_to_where_it_was() {
    let bldr = Bldr::new();
    let before = obeyed(&bldr);
    assert_eq!(bldr.run(ALL).code, 0);
    let unshared = bldr.run("master.rollback:last,yes=y");
    assert!(unshared.code == 3 && unshared.err.contains("master.share:master-server--a"), "{unshared:?}");

    let one = bldr.ask("master.rollback:last,harbor--ci,allow_unshared=y,yes=y");
    assert_eq!((one.code, &one.json().last().unwrap()["outcomes"]), (0, &json!({"harbor--ci": "remastered"})));
    let stack = bldr.ask("run.show:last,harbor--ci").object();
    assert!(stack["steps"].as_array().unwrap().iter().any(|step| step["action"] == "repoint" && step["failed"].is_null()), "{stack}");

    assert_eq!(bldr.run("master.share:master-server--a,yes=y").code, 0);
    let runs = bldr.ask("runs").object();
    let first = runs["runs"][0]["run"].as_str().unwrap().to_owned();
    let back = bldr.ask(&format!("master.rollback:{first},yes=y"));
    assert_eq!(back.code, 0, "{back:?}");
    let outcomes = back.json().pop().unwrap()["outcomes"].clone();
    assert_eq!(outcomes["harbor--ci"], "already_there");
    assert_eq!(obeyed(&bldr), before);
}

#[test]
fn what_was_moved_by_several_runs_is_moved_back_one_after_the_other() {
    let bldr = Bldr::new();
    let before = obeyed(&bldr);
    assert_eq!(bldr.run(&format!("{ALL},pause_before=prod")).code, 1);
    assert_eq!(bldr.run(ALL).code, 0);
    assert_eq!(bldr.run("master.share:master-server--a,yes=y").code, 0);
    let first = bldr.ask("runs").object()["runs"][0]["run"].as_str().unwrap().to_owned();
    let back = bldr.run("master.rollback:last,yes=y");
    assert!(back.code == 0 && back.err.contains(&format!("`bldr master.rollback:{first}` moves back those")), "{back:?}");
    assert_ne!(obeyed(&bldr), before);
    let rest = bldr.run(&format!("master.rollback:{first},yes=y"));
    assert!(rest.code == 0 && !rest.err.contains("moves back those"), "{rest:?}");
    assert_eq!(obeyed(&bldr), before);
}

#[test]
fn a_rollback_of_the_last_run_that_was_killed_is_finished_and_not_undone() {
    let bldr = Bldr::new();
    let before = obeyed(&bldr);
    assert_eq!(bldr.run(ALL).code, 0);
    assert_eq!(bldr.run("master.share:master-server--a,yes=y").code, 0);
    let (mut back, _) = until_a_stack_is_done(&bldr, "master.rollback:last,yes=y,jobs=2", "30", Stdio::null());
    back.kill().unwrap();
    back.wait().unwrap();
    assert_eq!(shown(&bldr)["standing"], "cut_short");
    let resumed = bldr.run("run.resume:last --yes");
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(obeyed(&bldr), before);
}

#[test]
fn at_a_terminal_a_pause_is_a_question() {
    for (answer, code) in [("y", 0), ("n", 1)] {
        let bldr = Bldr::new();
        let mut run = bldr.at_a_terminal("master.remaster_all:master-server--b,pause_before=prod");
        let (mut typed, mut shown) = (run.stdin.take().unwrap(), run.stdout.take().unwrap());
        bldr::read_until(&mut shown, "Re-master 14 stacks to master-server--b? [y/N]");
        typed.write_all(b"y\n").unwrap();
        bldr::read_until(&mut shown, "paused before prod: the fleet is looked at again");
        bldr::read_until(&mut shown, " to master-server--b? [y/N]");
        typed.write_all(format!("{answer}\n").as_bytes()).unwrap();
        let mut rest = String::new();
        shown.read_to_string(&mut rest).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(code), "{rest}");
        assert_eq!(code == 1, rest.contains("declined; what was moved before stays"), "{rest}");
        let all_moved = obeyed(&bldr).iter().all(|master| *master == "master-server--b--1");
        assert_eq!(all_moved, code == 0, "{:?}", obeyed(&bldr));
    }
}

#[test]
fn who_asked_it_to_stop_before_the_pause_is_not_asked_to_go_on() {
    let bldr = Bldr::new();
    let mut run = bldr.at_a_terminal("master.remaster_all:master-server--b,pause_before=prod");
    let (mut typed, mut shown) = (run.stdin.take().unwrap(), run.stdout.take().unwrap());
    bldr::read_until(&mut shown, "? [y/N]");
    typed.write_all(b"y\n").unwrap();
    bldr::read_until(&mut shown, ": re-mastered");
    typed.write_all(b"\x03").unwrap();
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("the stacks in flight are finished") && !rest.contains("[y/N]"), "{rest}");
}

#[test]
fn a_run_that_nobody_knows_is_refused_with_what_to_type() {
    let bldr = Bldr::new();
    let none = bldr.run("run.show:last");
    assert!(none.code == 3 && none.err.contains("nothing has been run yet"), "{none:?}");
    assert_eq!(bldr.run("runs").code, 0);
    assert_eq!(bldr.run("master.remaster:harbor--ci,master-server--b").code, 0);
    for line in ["run.show:nonsense", "run.watch:../../etc/passwd", "run.resume:nonsense", "master.rollback:nonsense"] {
        let ran = bldr.run(line);
        assert!(ran.code == 3 && ran.err.contains("there is no run"), "{line}: {ran:?}");
    }
    let not_in_it = bldr.run("run.show:last,ferry--ci");
    assert!(not_in_it.code == 3 && not_in_it.err.contains("had nothing to do with ferry--ci"), "{not_in_it:?}");
}

#[test]
fn a_run_stops_where_it_was_told_to() {
    let bldr = Bldr::new();
    let paused = bldr.ask(&format!("{ALL},pause_before=prod"));
    assert_eq!(paused.code, 1);
    let outcomes = paused.json().pop().unwrap()["outcomes"].clone();
    assert_eq!((&outcomes["harbor--ci"], &outcomes["harbor--prod"]), (&json!("remastered"), &json!("held")));
    assert!(paused.err.contains("paused before prod") && paused.err.contains("the same with pause_before=none goes on"), "{paused:?}");
    assert!(!paused.err.contains("when the causes are gone"), "{paused:?}");

    let canary = bldr.run("master.remaster_all:master-server--b,canary=hermit--prod,yes=y");
    assert!(canary.code == 3 && canary.err.contains("hermit--prod cannot be the canary: masterless"), "{canary:?}");
    let unknown = bldr.run("master.remaster_all:master-server--b,canary=harbor--nowhere,yes=y");
    assert!(unknown.code == 3 && unknown.err.contains("harbor--nowhere"), "{unknown:?}");

    let minute = |from_now: i64| (jiff::Zoned::now() + jiff::Span::new().minutes(from_now)).strftime("%H:%M").to_string();
    let closed = bldr.run(&format!("master.remaster_all:master-server--b,window={}-{},yes=y", minute(60), minute(120)));
    assert!(closed.code == 3 && closed.err.contains("and the window is"), "{closed:?}");
    let done = bldr.ask(&format!(
        "master.remaster_all:master-server--b,window={}-{},canary=harbor--prod,max_failures=10%,yes=y",
        minute(-60),
        minute(60)
    ));
    assert_eq!((done.code, &done.json().pop().unwrap()["outcomes"]["harbor--prod"]), (0, &json!("remastered")), "{done:?}");

    for nonsense in ["window=22", "max_failures=many", "pause_before=lunch", "canary=nobody", "limit=team:web", "limit=harbor+"] {
        assert_eq!(bldr.run(&format!("master.remaster_all:master-server--b,{nonsense}")).code, 2, "{nonsense}");
    }
}

#[test]
fn where_a_run_stops_is_settled_once_and_said_otherwise_for_a_run() {
    let bldr = Bldr::new();
    bldr.write("settings.yaml", "cloud: sandbox\npause-before: prod\ncanary: harbor--ci\nmax-failures: 50%\n");
    let paused = bldr.ask(ALL);
    assert!(paused.code == 1 && paused.err.contains("paused before prod"), "{paused:?}");
    let begun: Vec<_> =
        paused.json().into_iter().filter(|event| event["event"] == "stack_started").map(|event| event["stack"].clone()).collect();
    assert_eq!(begun.first(), Some(&json!("harbor--ci")), "the canary");
    let one = bldr.run("master.remaster:quill--prod,master-server--b");
    assert_eq!(one.code, 0, "one stack that somebody names is not everything: {one:?}");
    let rest = bldr.ask(&format!("{ALL},pause_before=none,canary=none"));
    assert_eq!(rest.code, 0, "{rest:?}");
    assert_eq!(rest.json().pop().unwrap()["outcomes"]["harbor--prod"], "remastered");
}

#[test]
fn only_the_stacks_that_are_meant_are_moved() {
    let bldr = Bldr::new();
    let plan = bldr.ask("master.remaster_all:master-server--b,plan=yes,limit=tag:Team:web+not:instance:prod").object();
    let planned: Vec<_> = plan["lanes"].as_array().unwrap().iter().flat_map(|lane| lane["stacks"].as_array().unwrap()).collect();
    assert_eq!(planned, ["harbor--pr-118", "harbor--ci", "harbor--end2end", "quill--continuumtest", "quill--ci"]);
    let beyond = plan["limit"]["beyond"].as_array().unwrap();
    assert!(beyond.contains(&json!("harbor--prod")) && beyond.contains(&json!("ferry--ci")), "{plan}");

    let ran = bldr.ask(&format!("{ALL},limit=ferry+lantern--ci+nobody"));
    assert!(ran.code == 0 && ran.err.contains("no stack answers to 'nobody'"), "{ran:?}");
    let outcomes = ran.json().pop().unwrap()["outcomes"].clone();
    assert_eq!(
        outcomes,
        json!({"ferry--ci": "remastered", "ferry--end2end": "remastered", "ferry--prod": "remastered", "lantern--ci": "remastered"})
    );

    // No project is called so: with no more than a warning it would let through all that it was to keep out.
    let slip = bldr.run(&format!("{ALL},limit=not:prod"));
    assert!(slip.code == 3 && slip.err.contains("'not:instance:prod' is another choice"), "{slip:?}");
    let none = bldr.run(&format!("{ALL},limit=nobody+master-server"));
    assert!(none.code == 3 && none.err.contains("limit=nobody+master-server: there is no such stack"), "{none:?}");
    let canary = bldr.run(&format!("{ALL},limit=ferry,canary=harbor--ci"));
    assert!(canary.code == 3 && canary.err.contains("not among the stacks that are meant"), "{canary:?}");
}

#[test]
fn a_second_ctrl_c_stops_here_and_now_and_is_recorded() {
    let bldr = Bldr::new();
    // What is in flight takes seconds, and is in a step when the second one comes.
    let (mut run, lines) = slowly_going_on(&bldr, "400", Stdio::piped());
    let told = BufReader::new(run.stderr.take().unwrap());
    let interrupt = || assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    interrupt();
    // Two that come before the first is heard are one.
    assert!(told.lines().any(|line| line.unwrap().contains("once more stops at once")));
    interrupt();
    let last: Vec<_> = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()).collect();
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(130));
    let [.., stopped, error] = &last[..] else { panic!("{last:?}") };
    assert_eq!(stopped["event"], "run_stopped", "{last:?}");
    assert!(error["error"]["message"].as_str().unwrap().contains("`bldr run.resume:"), "{last:?}");
    let run = shown(&bldr);
    assert!(run["standing"] == "cut_short" && !run["doubtful"].as_array().unwrap().is_empty(), "{run}");
    assert!(bldr.run("run.show:last").out.contains("stopped at once: "));
    assert_eq!(bldr.run("run.resume:last").code, 3, "it asks whether it may, and nobody is there");
    assert_eq!(bldr.run("run.resume:last --yes").code, 0);
}

#[test]
fn a_run_is_a_page_that_needs_nothing_else_and_says_what_was_done_and_what_was_not() {
    let bldr = Bldr::new();
    bldr.write("fleet.yaml", "masters:\n  master-server--a: {private-ip: 10.0.0.10}\n  master-server--b: {private-ip: 10.0.0.20}\nstacks:\n  harbor--ci: {fault: highstate-fails}\n  harbor--prod:\n  quill--ci:\n");
    assert_eq!(bldr.run("sandbox.create:fleet.yaml").code, 0);
    assert_eq!(bldr.run(&format!("{ALL},allow_unshared=yes")).code, 1);
    let told = bldr.ask("run.report:last,page.html").object();
    assert_eq!((&told["file"], &told["outcomes"]["harbor--prod"]), (&json!("page.html"), &json!("held")));
    let steps = told["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["stack"] == "quill--ci" && step["action"] == "prove" && step["failed"].is_null()), "{told}");
    assert!(steps.iter().any(|step| step["stack"] == "harbor--ci" && step["failed"].is_string()), "{told}");

    let page = bldr.read("page.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for outside in ["http://", "https://", "src=", "<link", "@import", "<script"] {
        assert!(!page.contains(outside), "it asks for something else: {outside}");
    }
    for said in [
        "harbor--ci",
        "quill--ci",
        "the highstate did not succeed",
        "harbor--ci failed, and it comes earlier in its project",
        "To be looked at",
    ] {
        assert!(page.contains(said), "{said}");
    }
    let again = bldr.ask("run.report:last").object();
    assert_eq!(bldr.read(again["file"].as_str().unwrap()), page, "the same run is the same page, in a folder under its name");
    let nowhere = bldr.run("run.report:last,missing/page.html");
    assert!(nowhere.code == 1 && nowhere.err.contains("missing/page.html cannot be written"), "{nowhere:?}");
}
