//! Does the sandbox keep its hands off what is not its own?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{error::PortErrorKind, ports::Clock};
use bldr_testkit::{clock::ManualClock, sandbox::Sandbox, spec::FleetSpec};
use std::{fs, sync::Arc, time::Duration};

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::default())
}

#[test]
fn contexts_that_no_sandbox_made_are_never_removed() {
    let home = tempfile::tempdir().unwrap();
    let (sandbox, clock) = (Sandbox::at(home.path()), clock());
    let spec = FleetSpec::of(&["harbor--ci"]);
    sandbox.create(&spec, &clock).unwrap();
    // Somebody tried it, and went on to a real fleet in the same folder.
    fs::remove_dir_all(sandbox.contexts()).unwrap();
    fs::create_dir_all(sandbox.contexts()).unwrap();
    let real = sandbox.contexts().join("harbor--prod.json");
    fs::write(&real, "{}").unwrap();
    let error = sandbox.create(&spec, &clock).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused);
    assert!(error.advice.is_some(), "{error}");
    assert_eq!(fs::read_to_string(real).unwrap(), "{}");
}

#[test]
fn a_description_that_contradicts_itself_leaves_the_sandbox_that_was_there() {
    let home = tempfile::tempdir().unwrap();
    let (sandbox, clock) = (Sandbox::at(home.path()), clock());
    sandbox.create(&FleetSpec::of(&["harbor--ci"]), &clock).unwrap();
    let wrong = FleetSpec::of(&[]).with("quill--ci", |stack| stack.master = Some("master-server--z".into()));
    assert!(sandbox.create(&wrong, &clock).unwrap_err().to_string().contains("'master-server--z' is not among the masters"));
    let machines = sandbox.open(&clock, Duration::ZERO).unwrap();
    assert!(machines.get("harbor--ci--1").is_some());
}

#[test]
fn the_built_in_fleet_has_something_of_everything() {
    let spec = FleetSpec::built_in().unwrap();
    let projects: std::collections::BTreeSet<_> = spec.stacks.keys().filter_map(|name| name.split("--").next()).collect();
    assert!(spec.stacks.len() >= 12 && projects.len() >= 5 && spec.masters.len() == 2);
    for instance in ["ci", "end2end", "prod", "pr-118"] {
        assert!(spec.stacks.keys().any(|name| name.ends_with(&format!("--{instance}"))), "{instance}");
    }
    assert!(spec.stacks.values().any(|stack| stack.nodes == Some(2)));
}
