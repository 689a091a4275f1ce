//! What does each screen make of the same run?

use super::{Format, Interrupt, json::Json, live::Live, paper, plain::Plain};
use bldr_core::{
    event::{Action, Event, LaneNames, Outcome, RunId},
    fleet::Timestamp,
    name::StackName,
    ports::{Change, Operator, Record},
};

/// One stack that goes well, one that fails and one that is held for it.
fn run() -> Vec<Record> {
    let [beacon, ci] = ["beacon--ci", "harbor--ci"].map(|name| name.parse().unwrap());
    let (run, master) = (RunId("20261122-124301-k3f9".into()), "master-server--b".parse().unwrap());
    let lane = |project: &str, stacks: &[&str]| LaneNames {
        project: project.parse().unwrap(),
        stacks: stacks.iter().map(|stack| stack.parse().unwrap()).collect(),
    };
    let lanes = vec![lane("beacon", &["beacon--ci"]), lane("harbor", &["harbor--ci", "harbor--prod"])];
    let events = [
        Event::RunStarted {
            run: run.clone(),
            cloud: "sandbox".into(),
            master: Some(master),
            address: "10.0.0.20".parse().ok(),
            command: "bldr master.remaster_all:master-server--b".into(),
            lanes,
            allow_unshared: true,
            untouched: [].into(),
        },
        Event::StackStarted { stack: beacon, was: "10.0.0.10".parse().ok() },
        Event::StackStarted { stack: ci, was: None },
        step_started("beacon--ci", None, Action::RewriteContext),
        Event::StepFinished {
            stack: "beacon--ci".parse().unwrap(),
            node: None,
            action: Action::RewriteContext,
            change: Change::NotNeeded,
            millis: 12,
            detail: None,
            states: None,
        },
        step_started("harbor--ci", Some(1), Action::Highstate),
        state_begun("harbor--ci"),
        Event::Warning { message: "harbor--ci--1: the clock is off".into() },
        Event::StepFinished {
            stack: "beacon--ci".parse().unwrap(),
            node: "beacon--ci--1".parse().ok(),
            action: Action::Highstate,
            change: Change::Made,
            millis: 65_432,
            detail: Some("12 states, 3 changed".into()),
            states: None,
        },
        Event::StepFailed {
            stack: "harbor--ci".parse().unwrap(),
            node: "harbor--ci--1".parse().ok(),
            action: Action::Highstate,
            reason: "2 of 12 states failed: nginx, php".into(),
            millis: 4_321,
            states: None,
        },
        finished("beacon--ci", Outcome::Remastered, None, 70_000),
        finished("harbor--ci", Outcome::Failed, Some("2 of 12 states failed: nginx, php"), 9_000),
        finished("harbor--prod", Outcome::Held, Some("harbor--ci failed, and it comes earlier in its project"), 0),
    ];
    let outcomes = [("beacon--ci", Outcome::Remastered), ("harbor--ci", Outcome::Failed), ("harbor--prod", Outcome::Held)];
    let reasons =
        [("harbor--ci", "2 of 12 states failed: nginx, php"), ("harbor--prod", "harbor--ci failed, and it comes earlier in its project")];
    let last = Event::RunFinished {
        run,
        cloud: "sandbox".into(),
        outcomes: outcomes.into_iter().map(|(stack, outcome)| (stack.parse().unwrap(), outcome)).collect(),
        reasons: reasons.into_iter().map(|(stack, reason)| (stack.parse().unwrap(), reason.into())).collect(),
        millis: 70_100,
    };
    let at = |n: usize| Timestamp(1_795_351_381_000 + 250 * i64::try_from(n).unwrap());
    events.into_iter().chain([last]).enumerate().map(|(n, event)| Record { at: at(n), event }).collect()
}

fn step_started(stack: &str, node: Option<u64>, action: Action) -> Event {
    let stack: StackName = stack.parse().unwrap();
    Event::StepStarted { node: node.map(|number| stack.node(number)), stack, action }
}

fn state_begun(stack: &str) -> Event {
    let stack: StackName = stack.parse().unwrap();
    Event::StateBegun { node: stack.node(1), stack, number: 7, state: "file.managed /etc/motd".into() }
}

fn finished(stack: &str, outcome: Outcome, reason: Option<&str>, millis: u64) -> Event {
    Event::StackFinished { stack: stack.parse().unwrap(), outcome, reason: reason.map(Into::into), millis }
}

#[test]
fn a_plain_screen_tells_a_line_an_event_and_ends_with_a_table() {
    let (screen, out, err) = paper::screen(Format::Text);
    let plain = Plain::new(screen, Interrupt::default());
    run().iter().for_each(|record| plain.notify(record));
    insta::assert_snapshot!(format!("{}--- stdout\n{}", err.text(), out.text()));
}

#[test]
fn a_plain_screen_shows_what_a_highstate_is_at_where_it_is_the_only_one() {
    let (screen, _, err) = paper::screen(Format::Text);
    let plain = Plain::new(screen, Interrupt::default());
    plain.notify(&Record { at: Timestamp(1_795_351_381_000), event: state_begun("harbor--ci") });
    assert_eq!(err.text(), "12:43:01 harbor--ci--1: state 7: file.managed /etc/motd\n");
}

#[test]
fn json_is_an_object_an_event() {
    let (screen, out, err) = paper::screen(Format::Json);
    let json = Json::new(screen, Interrupt::default());
    run().iter().for_each(|record| json.notify(record));
    assert_eq!(err.text(), "");
    insta::assert_snapshot!(out.text());
}

#[test]
fn a_live_screen_moves_what_is_in_work_and_keeps_what_is_done() {
    let (screen, out, _) = paper::screen(Format::Text);
    let terminal = indicatif::InMemoryTerm::new(30, 120);
    let live = Live::drawing_on(indicatif::ProgressDrawTarget::term_like(Box::new(terminal.clone())), screen, Interrupt::default());
    let records = run();
    let (middle, rest) = records.split_at(9);
    middle.iter().for_each(|record| live.notify(record));
    live.redraw();
    let in_work = terminal.contents();
    for expected in [
        "beacon--ci rewriting context",
        "harbor--ci node 1: running highstate 7: file.managed /etc/motd",
        "3 left",
        "warning: harbor--ci--1",
    ] {
        assert!(in_work.contains(expected), "{expected}: {in_work}");
    }
    rest.iter().for_each(|record| live.notify(record));
    insta::assert_snapshot!(format!("{}\n--- stdout\n{}", terminal.contents(), out.text()));
}

/// Of one stack: a step that has something to say, one that has not, and the keys that went.
fn update() -> Vec<Event> {
    let stack: StackName = "master-server--b".parse().unwrap();
    let run = RunId("20261122-124301-k3f9".into());
    let done = |action, change, detail: Option<&str>| Event::StepFinished {
        stack: stack.clone(),
        node: Some(stack.node(1)),
        action,
        change,
        millis: 1_000,
        detail: detail.map(Into::into),
        states: None,
    };
    vec![
        Event::RunStarted {
            run,
            cloud: "sandbox".into(),
            master: None,
            address: None,
            command: "bldr master.update".into(),
            lanes: vec![LaneNames { project: stack.project(), stacks: vec![stack.clone()] }],
            allow_unshared: false,
            untouched: [].into(),
        },
        Event::StackStarted { stack: stack.clone(), was: None },
        done(Action::FirstStart, Change::Made, Some("its host key is the one on its console")),
        done(Action::Enlist, Change::Made, None),
        done(Action::Highstate, Change::Made, Some("3 states, 1 changed")),
        done(Action::Sweep, Change::Made, Some("1 key: quill--pr-7--1; `bldr keys.restore:ID,master-server--b` puts one back")),
    ]
}

#[test]
fn a_live_screen_keeps_what_the_steps_of_one_stack_have_to_say() {
    let (screen, _, _) = paper::screen(Format::Text);
    let terminal = indicatif::InMemoryTerm::new(30, 120);
    let live = Live::drawing_on(indicatif::ProgressDrawTarget::term_like(Box::new(terminal.clone())), screen, Interrupt::default());
    let mut left =
        Event::OldKeysRemoved { master: "master-server--a".parse().unwrap(), ids: ["harbor--ci--1".to_owned()].into(), millis: 1_000 };
    let at = Timestamp(1_795_351_381_000);
    update().into_iter().for_each(|event| live.notify(&Record { at, event }));
    live.notify(&Record { at, event: left.clone() });
    live.redraw();
    let shown: Vec<String> = terminal.contents().lines().take(5).map(str::to_owned).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    run 20261122-124301-k3f9: master-server--b
    master-server--b--1: lets us in: its host key is the one on its console (1.0 s)
    master-server--b--1: highstate: 3 states, 1 changed (1.0 s)
    master-server--b--1: orphaned keys: 1 key: quill--pr-7--1; `bldr keys.restore:ID,master-server--b` puts one back (1.0 s)
    master-server--a: 1 key of minions that left it removed (1.0 s)
    ");
    // Of many stacks that would be too much; what an old master lost is said once.
    let terminal = indicatif::InMemoryTerm::new(30, 120);
    let (screen, _, _) = paper::screen(Format::Text);
    let live = Live::drawing_on(indicatif::ProgressDrawTarget::term_like(Box::new(terminal.clone())), screen, Interrupt::default());
    run().iter().take(8).for_each(|record| live.notify(record));
    if let Event::OldKeysRemoved { ids, .. } = &mut left {
        ids.insert("harbor--prod--1".into());
    }
    live.notify(&Record { at, event: left });
    live.redraw();
    let shown = terminal.contents();
    assert!(shown.contains("2 keys of minions that left it removed") && !shown.contains("12 states"), "{shown}");
}

#[test]
fn who_asked_to_stop_is_heard_by_every_screen() {
    let (screen, _, err) = paper::screen(Format::Text);
    let interrupt = Interrupt::default();
    let plain = screen.for_a_run(interrupt.clone());
    assert!(!plain.interrupted());
    assert!(interrupt.ask() && !interrupt.ask());
    assert!(plain.interrupted());
    plain.note("stopping");
    assert_eq!(err.text(), "stopping\n");
}
