//! Is a minion that was re-mastered commanded by its new master, and one that was not by its old? Real Salt, real systemd.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod salted;

use bldr_core::{build_vars::BuildVars, context::Context};
use bldr_testkit::lab::{Begins, salt::until_greets};
use futures::future::join_all;
use salted::{A, B, BUILD_VARS, CONFIG, DUE, Fleet, NEW, OLD, SOON, SWITCH, Stack, TRUSTED, fleet, outcomes};
use serde_json::{Value, json};
use std::time::Duration;

/// With time for what Salt does side by side on a small machine.
const ALL: &str = "master.remaster_all:master-server--b,join-timeout=240";

const FLEET: [Stack; 6] = [
    Stack::new("ferry--ci"),
    Stack::new("ferry--prod"),
    Stack { nodes: 2, ..Stack::new("harbor--prod") },
    Stack { begins: Begins::Stopped, ..Stack::new("lantern--demo") },
    Stack::new("quill--ci"),
    Stack::new("quill--prod"),
];

fn running() -> impl Iterator<Item = String> {
    let up = FLEET.into_iter().filter(|stack| stack.begins == Begins::Running);
    up.flat_map(|stack| (1..=stack.nodes).map(move |node| format!("{}--{node}", stack.name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_changes_masters() {
    let fleet = fleet(&FLEET).await;
    one_stack_first(&fleet).await;

    // The new master is fit to take over, as far as real Salt and a minion's own look can tell.
    let (code, said, _) = fleet.bldr(&["master.doctor:master-server--b"]).await;
    let checks: Vec<_> =
        said[0]["checks"].as_array().unwrap().iter().map(|check| (check["about"].as_str().unwrap(), &check["verdict"])).collect();
    assert_eq!((code, &said[0]["fit"]), (Some(0), &Value::Bool(true)), "{said:?}");
    for about in ["salt-master", "file_roots", "pillar", "minions of 10.77.0.*"] {
        assert!(checks.contains(&(about, &Value::from("ok"))), "{about}: {checks:?}");
    }

    let (code, events, _) = fleet.bldr(&[ALL, "--yes"]).await;
    let (ended, reasons) = outcomes(&events);
    assert_eq!(code, Some(0), "{reasons:?}");
    for stack in &FLEET {
        assert_eq!(ended[stack.name], if stack.name == "ferry--ci" { "already_there" } else { "remastered" });
        fleet.assert_context(stack.name, NEW);
    }
    fleet.assert_on(B, running()).await;
    for node in running() {
        assert_eq!(fleet.file(&node, "/etc/highstate-ran").await.as_deref(), Some("mastered by master-server--b\n"), "{node}");
        assert_eq!(fleet.file(&node, DUE).await, None, "{node}");
    }
    // The sleeping one was moved and sleeps again; nobody but the new master holds a key of anybody.
    assert_eq!(fleet.accepted(B).await.len(), 7);
    assert_eq!(fleet.accepted(A).await, Vec::<String>::new());

    let (code, events, _) = fleet.bldr(&[ALL, "--yes"]).await;
    let (ended, _) = outcomes(&events);
    assert_eq!(code, Some(0));
    assert!(ended.values().all(|outcome| outcome == "already_there" || outcome == "skipped"), "{ended:?}");
    assert!(!events.iter().any(|event| event["event"] == "step_started"), "a second run touches nothing");

    let (code, status, _) = fleet.bldr(&["master.status"]).await;
    let verdicts = &status[0]["verdicts"];
    assert_eq!((code, &verdicts["on_it"], &verdicts["asleep"]), (Some(0), &6.into(), &1.into()), "{status:?}");

    // Now the old one may go, and the new one may not.
    let (code, said, _) = fleet.bldr(&["master.retire:master-server--b", "--yes"]).await;
    assert!(code == Some(3) && said[0]["pointers"].as_array().unwrap().len() > 6, "{said:?}");
    let (code, said, _) = fleet.bldr(&["master.retire:master-server--a", "--yes"]).await;
    assert_eq!((code, &said[0]["pointers"], &said[0]["stopped"]), (Some(0), &json!([]), &json!(true)), "{said:?}");
    assert!(fleet.master(A).shell("true").await.is_err(), "it is up");
    fleet.answer(B, &running().collect::<Vec<_>>()).await;
}

async fn one_stack_first(fleet: &Fleet) {
    let (code, events, _) = fleet.bldr(&["master.remaster:ferry--ci,master-server--b,rehearse=yes"]).await;
    let (ended, reasons) = outcomes(&events);
    assert_eq!((code, ended["ferry--ci"].as_str()), (Some(0), "remastered"), "{reasons:?}");
    fleet.assert_on(B, ["ferry--ci--1"]).await;
    fleet.assert_on(A, ["ferry--prod--1"]).await;
    let rehearsed = events.iter().find(|event| event["event"] == "step_finished" && event["action"] == "rehearse").unwrap();
    assert_eq!(rehearsed["states"]["changed"][0], "/etc/highstate-ran (file.managed)", "{rehearsed}");
    assert!(!fleet.accepted(A).await.contains(&"ferry--ci--1".to_owned()));
}

/// States of the new master that go wrong for those minions that are named after it.
async fn with_bad_states(fleet: &Fleet) {
    let master = fleet.master(B);
    let top = "base:\n  '*': [trivial]\n  'failing--ci--1': [failing]\n  'broken--ci--1': [broken]\n";
    master.write("/srv/salt/top.sls", top.as_bytes(), 0o644).await.unwrap();
    let failing = "web-server:\n  cmd.run:\n    - name: 'false # hunter2'\n";
    master.write("/srv/salt/failing.sls", failing.as_bytes(), 0o644).await.unwrap();
    master.write("/srv/salt/broken.sls", b"{{ nothing.like_that('hunter2') }}\n", 0o644).await.unwrap();
}

async fn with_good_states(fleet: &Fleet) {
    fleet.master(B).write("/srv/salt/top.sls", b"base:\n  '*': [trivial]\n", 0o644).await.unwrap();
}

const BAD_DAY: [Stack; 10] = [
    Stack::new("blocked--ci"),
    Stack::new("broken--ci"),
    Stack::new("busy--ci"),
    Stack::new("dead--ci"),
    Stack::new("denied--ci"),
    Stack::new("failing--ci"),
    Stack::new("newer--ci"),
    Stack::new("pending--ci"),
    Stack::new("stale--ci"),
    Stack::new("wrong--ci"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_day_costs_only_what_it_must() {
    let fleet = fleet(&BAD_DAY).await;
    with_bad_states(&fleet).await;
    let pki = "/etc/salt/pki/master";
    let own = |node: &str| fleet.keys[node].public_pem.clone();
    let held = [
        ("minions_denied", "denied--ci--1", "denied--ci--1"),
        ("minions_pre", "pending--ci--1", "pending--ci--1"),
        ("minions", "wrong--ci--1", "stale--ci--1"),
    ];
    for (folder, id, key) in held {
        fleet.master(B).write(&format!("{pki}/{folder}/{id}"), own(key).as_bytes(), 0o644).await.unwrap();
    }
    // A key that was put there by hand, and a daemon that does not know of it yet.
    fleet.host("stale--ci--1").write(TRUSTED, own("dead--ci--1").as_bytes(), 0o644).await.unwrap();
    fleet.host("dead--ci--1").shell("systemctl stop salt-minion").await.unwrap();
    fleet.host("blocked--ci--1").drop_traffic_to(NEW.parse().unwrap()).await.unwrap();
    let newer = "for salt in /opt/saltstack/salt/lib/python3*/site-packages/salt; do echo 3099.1 >$salt/_version.txt; done";
    fleet.host("newer--ci--1").shell(newer).await.unwrap();
    // Somebody else's highstate is under way there, and takes its time.
    let busy = "systemd-run --quiet --unit=other salt-call --local state.single cmd.run 'sleep 600'; \
                timeout 60 sh -c 'until grep -qs state.single /var/cache/salt/minion/proc/*; do sleep 0.1; done'";
    fleet.host("busy--ci--1").shell(busy).await.unwrap();

    let (code, events, errors) = fleet.bldr(&[ALL, "--yes"]).await;
    let (ended, reasons) = outcomes(&events);
    assert_eq!(code, Some(1));
    for stack in ["dead--ci", "denied--ci", "pending--ci", "stale--ci"] {
        assert_eq!(ended[stack], "remastered", "{stack}: {reasons:?}");
    }
    for (stack, sign) in [
        ("blocked--ci", "10.77.0.20 does not answer it at port 4505"),
        ("newer--ci", "its Salt (3099.1) is newer than that of master-server--b (3008.3)"),
        ("wrong--ci", "master-server--b holds another key under its id 'wrong--ci--1'"),
    ] {
        assert!(ended[stack] == "failed" && reasons[stack].contains(sign), "{stack}: {reasons:?}");
        assert!(reasons[stack].contains("nothing was changed"), "{reasons:?}");
        fleet.assert_context(stack, OLD);
    }
    for (stack, sign) in [
        ("broken--ci", "'base:broken' cannot be rendered"),
        ("busy--ci", "another state run is active"),
        ("failing--ci", "failed: web-server (cmd.run)"),
    ] {
        assert!(ended[stack] == "failed" && reasons[stack].contains(sign), "{stack}: {reasons:?}");
        assert!(reasons[stack].contains("does answer its new master"), "{reasons:?}");
        assert!(fleet.file(&format!("{stack}--1"), DUE).await.is_some(), "{stack}");
    }
    let there = |stack: &&Stack| !["blocked--ci", "newer--ci", "wrong--ci"].contains(&stack.name);
    let (moved, kept): (Vec<_>, Vec<_>) = BAD_DAY.iter().partition(there);
    let nodes = |stacks: &[&Stack]| stacks.iter().map(|stack| format!("{}--1", stack.name)).collect::<Vec<_>>();
    futures::join!(fleet.assert_on(B, nodes(&moved)), fleet.assert_on(A, nodes(&kept)));
    let journal: String =
        std::fs::read_dir(fleet.home.join(".bldr/runs")).unwrap().filter_map(|e| std::fs::read_to_string(e.unwrap().path()).ok()).collect();
    assert!(!errors.contains("hunter2") && !journal.contains("hunter2"), "states are named and never quoted");

    // What stood in the way is taken away, by what the messages said.
    with_good_states(&fleet).await;
    fleet.host("blocked--ci--1").restore_traffic().await.unwrap();
    fleet.host("newer--ci--1").shell("rm /opt/saltstack/salt/lib/python3*/site-packages/salt/_version.txt").await.unwrap();
    fleet.master(B).shell("salt-key -y -d wrong--ci--1").await.unwrap();
    fleet.host("busy--ci--1").shell("systemctl stop other; timeout 60 sh -c 'while systemctl is-active --quiet other; do sleep 0.1; done'; rm -f /var/cache/salt/minion/proc/*").await.unwrap();
    let (code, events, _) = fleet.bldr(&[ALL, "--yes"]).await;
    assert_eq!(code, Some(0), "{:?}", outcomes(&events));
    fleet.assert_on(B, nodes(&BAD_DAY.iter().collect::<Vec<_>>())).await;
    BAD_DAY.iter().for_each(|stack| fleet.assert_context(stack.name, NEW));
    assert_eq!(fleet.accepted(A).await, Vec::<String>::new());
}

const CUT: &str = "cut--ci--1";

/// A minion that has lost its way to the new master by the time it was switched.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_answer_its_new_master_is_back_on_its_old_one() {
    let fleet = fleet(&[Stack { nodes: 2, ..Stack::new("cluster--prod") }, Stack::new("cut--ci")]).await;
    let (home, args) = (fleet.home.clone(), ["master.remaster:cut--ci,master-server--b,join-timeout=20"]);
    let before = fleet.context("cut--ci");
    let build_vars = fleet.file(CUT, BUILD_VARS).await;

    // The way is cut while the minion is being switched.
    let mut going = fleet.start_at(&home, &args).await;
    going.begins("repoint").await;
    fleet.host(CUT).drop_traffic_to(NEW.parse().unwrap()).await.unwrap();
    let (code, events) = going.end().await;
    let (ended, reasons) = outcomes(&events);
    assert_eq!((code, ended["cut--ci"].as_str()), (Some(1), "rolled_back"), "{reasons:?}");
    assert!(reasons["cut--ci"].contains("it is not connected to 10.77.0.20 after 20 s"), "{reasons:?}");
    assert!(reasons["cut--ci"].contains("put back as it was, and it answers its old master"), "{reasons:?}");
    fleet.assert_on(A, [CUT]).await;
    assert_eq!((fleet.context("cut--ci"), fleet.file(CUT, BUILD_VARS).await), (before.clone(), build_vars));
    fleet.host(CUT).restore_traffic().await.unwrap();

    // The same to the second node of a cluster: the first has joined by then, and comes back with it.
    let mut going = fleet.start_at(&home, &["master.remaster:cluster--prod,master-server--b,join-timeout=20"]).await;
    going.begins("repoint").await;
    going.begins("repoint").await;
    fleet.host("cluster--prod--2").drop_traffic_to(NEW.parse().unwrap()).await.unwrap();
    let (code, events) = going.end().await;
    assert_eq!((code, outcomes(&events).0["cluster--prod"].as_str()), (Some(1), "rolled_back"), "{events:?}");
    fleet.assert_on(A, ["cluster--prod--1", "cluster--prod--2"]).await;
    fleet.assert_context("cluster--prod", OLD);
    fleet.host("cluster--prod--2").restore_traffic().await.unwrap();

    // The new master hangs half way.
    let mut going = fleet.start_at(&home, &args).await;
    going.begins("repoint").await;
    fleet.master(B).freeze().await.unwrap();
    let (code, events) = going.end().await;
    fleet.master(B).thaw().await.unwrap();
    assert_eq!((code, outcomes(&events).0["cut--ci"].as_str()), (Some(1), "rolled_back"), "{events:?}");
    fleet.assert_on(A, [CUT]).await;
    assert_eq!(fleet.context("cut--ci"), before);

    // It does not answer in the first place.
    fleet.master(B).shell("systemctl stop salt-master").await.unwrap();
    let (code, _, errors) = fleet.bldr(&args).await;
    assert!(code == Some(3) && errors.contains("its salt-master does not run") && errors.contains("nothing was changed"), "{errors}");
    fleet.master(B).shell("systemctl start salt-master").await.unwrap();
    fleet.master(B).shell("pkill -STOP -f '[s]alt-master'").await.unwrap();
    let (code, _, errors) = fleet.bldr(&args).await;
    assert!(code == Some(3) && errors.contains("does not answer at ports 4505 and 4506"), "{errors}");
    fleet.master(B).shell("pkill -CONT -f '[s]alt-master'; systemctl restart salt-master").await.unwrap();
    until_greets(fleet.master(B), SOON).await.unwrap();

    // Left for inspection, it does not put itself back either; and the next run gets it there.
    let mut going = fleet.start_at(&home, &["master.remaster:cut--ci,master-server--b,join-timeout=5,revert=no"]).await;
    going.begins("repoint").await;
    fleet.host(CUT).drop_traffic_to(NEW.parse().unwrap()).await.unwrap();
    let (code, events) = going.end().await;
    let (ended, reasons) = outcomes(&events);
    assert!(code == Some(1) && ended["cut--ci"] == "failed" && reasons["cut--ci"].contains("left as it is (revert=no)"), "{reasons:?}");
    assert_eq!(fleet.file(CUT, "/var/lib/bldr/switch/deadline").await, None);
    let (_, status, _) = fleet.bldr(&["master.status:cut--ci"]).await;
    assert_eq!(status[0]["nodes"][0]["verdict"], "lost", "{status:?}");
    fleet.host(CUT).restore_traffic().await.unwrap();

    // The old master is gone for good by now, and the sshd of the node dies in the middle of a step.
    fleet.master(A).kill().await.unwrap();
    let mut going = fleet.start_at(&home, &["master.remaster:cluster--prod,master-server--b"]).await;
    going.begins("repoint").await;
    fleet
        .host("cluster--prod--1")
        .shell("timeout 20 sh -c 'until [ -e /var/lib/bldr/repointing ]; do sleep 0.05; done'; pkill -KILL -f '[s]shd: ubuntu'")
        .await
        .unwrap();
    let (code, events) = going.end().await;
    assert_eq!((code, outcomes(&events).0["cluster--prod"].as_str()), (Some(0), "remastered"), "{events:?}");
    assert_eq!(fleet.bldr(&args).await.0, Some(0));
    fleet.assert_on(B, ["cluster--prod--1", "cluster--prod--2", CUT]).await;
}

/// The steps of one node, in order.
const STEPS: [&str; 8] = ["examine", "introduce", "rehearse", "rewrite_context", "repoint", "prove", "confirm", "highstate"];
const KILLED: [Stack; 8] = [
    Stack::new("a--ci"),
    Stack::new("b--ci"),
    Stack::new("c--ci"),
    Stack::new("d--ci"),
    Stack::new("e--ci"),
    Stack::new("f--ci"),
    Stack::new("g--ci"),
    Stack::new("h--ci"),
];

/// Every step of a run is where one of these runs is killed, side by side; each by an operator with a home of their own.
async fn killed_at_each_step(fleet: &Fleet, watchdog: u32) {
    let kills = STEPS.iter().zip(&KILLED).map(async |(step, stack)| {
        let rehearse = if *step == "rehearse" { "yes" } else { "no" };
        let line = format!("master.remaster:{},master-server--b,watchdog={watchdog},rehearse={rehearse}", stack.name);
        let mut going = fleet.start_at(&fleet.home_of(stack.name), &[&line]).await;
        going.begins(step).await;
        if *step == "repoint" {
            // In the very middle of it.
            let begun = "timeout 60 sh -c 'until [ -e /var/lib/bldr/repointing ]; do sleep 0.02; done'";
            fleet.host(&format!("{}--1", stack.name)).shell(begun).await.unwrap();
        }
        going.kill().await;
    });
    join_all(kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_a_node_is_commanded_and_the_next_run_gets_it_there() {
    let fleet = fleet(&KILLED).await;
    killed_at_each_step(&fleet, 120).await;
    // Nobody runs it again: each is where it was, by its own watchdog, or where it was confirmed to be.
    let settled = KILLED.iter().zip(STEPS).map(async |(stack, step)| {
        let node = format!("{}--1", stack.name);
        fleet.host(&node).shell(&format!("timeout 240 sh -c 'while [ -e {SWITCH} ]; do sleep 0.2; done'")).await.unwrap();
        // The confirmation may have been heard or not when the run was killed at its beginning.
        let joined = step == "highstate" || step == "confirm" && fleet.file(&node, CONFIG).await.unwrap().contains(NEW);
        (node, joined)
    });
    let (joined, back): (Vec<_>, Vec<_>) = join_all(settled).await.into_iter().partition(|(_, joined)| *joined);
    let names = |nodes: Vec<(String, bool)>| nodes.into_iter().map(|(node, _)| node);
    futures::join!(fleet.assert_on(B, names(joined)), fleet.assert_on(A, names(back)));

    killed_at_each_step(&fleet, 300).await;
    let again = KILLED.iter().map(async |stack| {
        let line = format!("master.remaster:{},master-server--b", stack.name);
        let (code, events, _) = fleet.bldr_at(&fleet.home.join("homes").join(stack.name), &[&line]).await;
        assert_eq!(code, Some(0), "{}: {:?}", stack.name, events.last());
    });
    join_all(again).await;
    fleet.assert_on(B, KILLED.iter().map(|stack| format!("{}--1", stack.name))).await;
    assert_eq!(fleet.accepted(A).await, Vec::<String>::new());
}

/// A stopped node is woken first and stopped last: the next run knows whose doing it is that it runs.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_starts_or_stops_a_node_the_next_run_leaves_that_moved_and_asleep() {
    let stacks = ["waking--ci", "leaving--ci", "halting--ci"].map(|name| Stack { begins: Begins::Stopped, ..Stack::new(name) });
    let fleet = fleet(&stacks).await;
    let homes = stacks.each_ref().map(|stack| (fleet.home_of(stack.name), format!("master.remaster:{},master-server--b", stack.name)));
    let kills =
        homes.iter().zip([("start", None), ("stop", None), ("stop", Some("halting--ci--1"))]).map(async |((home, line), (step, way))| {
            let mut going = fleet.start_at(home, &[line]).await;
            going.begins(step).await;
            if let Some(node) = way {
                fleet.until_state(node, "stopping").await;
            }
            going.kill().await;
        });
    join_all(kills).await;
    for (home, line) in &homes {
        let (code, events, _) = fleet.bldr_at(home, &[line]).await;
        assert_eq!(code, Some(0), "{events:?}");
    }
    let nodes = stacks.each_ref().map(|stack| format!("{}--1", stack.name));
    for node in &nodes {
        assert!(fleet.host(node).shell("true").await.is_err(), "{node} is up");
        fleet.switch_on(node).await;
    }
    fleet.assert_on(B, nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_between_switch_and_confirmation_does_not_lose_the_watchdog() {
    let stacks = [Stack::new("late--ci"), Stack::new("off--ci"), Stack::new("soon--ci")];
    let fleet = fleet(&stacks).await;
    let kill_at_prove = async |stack: &str, watchdog: u32| {
        let line = format!("master.remaster:{stack},master-server--b,watchdog={watchdog}");
        let mut going = fleet.start_at(&fleet.home_of(stack), &[&line]).await;
        going.begins("prove").await;
        going.kill().await;
    };
    let unconfirmed = async |node: &str| fleet.file(node, "/var/lib/bldr/switch/deadline").await.is_some();
    let back = |node: &str| {
        let host = fleet.host(node).clone();
        async move { host.shell(&format!("timeout 300 sh -c 'while [ -e {SWITCH} ]; do sleep 0.2; done'")).await.unwrap() }
    };
    futures::join!(kill_at_prove("late--ci", 180), kill_at_prove("off--ci", 90));
    // One is up again before its time has come, the other is switched off when it comes.
    let deadline: u64 = fleet.file("off--ci--1", "/var/lib/bldr/switch/deadline").await.unwrap().trim().parse().unwrap();
    fleet.host("off--ci--1").kill().await.unwrap();
    fleet.host("late--ci--1").reboot().await.unwrap();
    assert!(unconfirmed("late--ci--1").await, "still to be confirmed");
    let due = std::time::UNIX_EPOCH + Duration::from_secs(deadline + 1);
    tokio::time::sleep(due.duration_since(std::time::SystemTime::now()).unwrap_or_default()).await;
    let off = fleet.host("off--ci--1");
    off.power_on(off.public()).await.unwrap();
    futures::join!(back("late--ci--1"), back("off--ci--1"));
    fleet.assert_on(A, ["late--ci--1", "off--ci--1"]).await;

    // A reboot under the feet of a run: it joins or reverts, and the next run gets it there.
    let mut going = fleet.start_at(&fleet.home, &["master.remaster:soon--ci,master-server--b,watchdog=45"]).await;
    going.begins("repoint").await;
    fleet.host("soon--ci--1").shell("timeout 60 sh -c 'until [ -e /var/lib/bldr/repointing ]; do sleep 0.02; done'").await.unwrap();
    fleet.host("soon--ci--1").reboot().await.unwrap();
    let (_, events) = going.end().await;
    let ended = &outcomes(&events).0["soon--ci"];
    assert!(["remastered", "rolled_back", "failed"].contains(&ended.as_str()), "{events:?}");
    back("soon--ci--1").await;
    fleet.assert_on(if ended == "remastered" { B } else { A }, ["soon--ci--1"]).await;
    for stack in ["late--ci", "off--ci", "soon--ci"] {
        let (code, events, _) = fleet.bldr(&[&format!("master.remaster:{stack},master-server--b")]).await;
        assert_eq!(code, Some(0), "{events:?}");
    }
    fleet.assert_on(B, stacks.iter().map(|stack| format!("{}--1", stack.name))).await;
}

/// A node for every combination of the four places that can be half done: its name says which of them are.
const HALVES: [&str; 16] = [
    "n0--ci", "n1--ci", "n2--ci", "n3--ci", "n4--ci", "n5--ci", "n6--ci", "n7--ci", "n8--ci", "n9--ci", "n10--ci", "n11--ci", "n12--ci",
    "n13--ci", "n14--ci", "n15--ci",
];

/// Makes each node half way to a master, by hand: context, build vars, configuration and key, each where its bit is set.
async fn half_way(fleet: &Fleet, to: &str, restarted: bool) {
    let (old, new) = if to == B { (OLD, NEW) } else { (NEW, OLD) };
    let moves = HALVES.iter().enumerate().map(async |(halves, stack)| {
        let (node, host) = (format!("{stack}--1"), fleet.host(&format!("{stack}--1")));
        let moved = |bit: u32| halves & (1 << bit) != 0;
        let context = fleet.context(stack).replace(old, new);
        if moved(0) {
            std::fs::write(fleet.home.join(format!(".cfn/contexts/{stack}.json")), &context).unwrap();
        }
        if moved(1) {
            let vars = BuildVars::derived(&Context::parse(&context).unwrap(), &node.parse().unwrap()).encode();
            host.write(BUILD_VARS, vars.as_bytes(), 0o644).await.unwrap();
        }
        if moved(2) {
            host.write(CONFIG, format!("master: {new}\nid: {node}\n").as_bytes(), 0o644).await.unwrap();
        }
        if moved(3) {
            host.write(TRUSTED, fleet.keys[to].public_pem.as_bytes(), 0o644).await.unwrap();
        }
        if restarted {
            host.shell("systemctl --no-block restart salt-minion").await.unwrap();
        }
    });
    join_all(moves).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_half_way_in_any_manner_get_there_in_one_run() {
    let fleet = fleet(&HALVES.map(Stack::new)).await;
    // Edited under a daemon that knows of nothing, on the way there; and restarted into it, on the way back.
    for (to, restarted) in [(B, false), (A, true)] {
        half_way(&fleet, to, restarted).await;
        let line = format!("master.remaster_all:{to},allow_unshared=yes,join-timeout=240");
        let (code, events, _) = fleet.bldr(&[&line, "--yes"]).await;
        assert_eq!(code, Some(0), "{:?}", outcomes(&events).1);
        fleet.assert_on(to, HALVES.map(|stack| format!("{stack}--1"))).await;
        HALVES.iter().for_each(|stack| fleet.assert_context(stack, if to == B { NEW } else { OLD }));
    }
}
