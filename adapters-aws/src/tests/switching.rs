//! Is a machine awaited, wherever on its way it is found?

use super::{
    canned::{self, Canned, done, one},
    connected,
};
use bldr_core::{
    error::PortErrorKind,
    fleet::{Ec2Id, InstanceState},
    ports::Power,
};
use std::time::Duration;

fn id() -> Ec2Id {
    Ec2Id("i-1".into())
}

#[tokio::test]
async fn a_stopping_one_is_awaited_and_then_started() {
    let answers =
        [one("stopping"), one("stopping"), one("stopped"), done("StartInstances"), one("stopped"), one("pending"), one("running")];
    let server = Canned::answering(answers).await;
    let instance = connected(&server.endpoint).await.power().start(&id()).await.unwrap();
    assert_eq!(instance.state, InstanceState::Running);
    assert_eq!(server.actions().iter().filter(|a| *a == "StartInstances").count(), 1);
    assert_eq!(server.actions()[3], "StartInstances");
}

#[tokio::test]
async fn a_pending_one_is_awaited_and_then_stopped() {
    let server = Canned::answering([one("pending"), one("running"), done("StopInstances"), one("stopping"), one("stopped")]).await;
    let instance = connected(&server.endpoint).await.power().stop(&id()).await.unwrap();
    assert_eq!(instance.state, InstanceState::Stopped);
    assert_eq!(server.actions().len(), 5);
}

#[tokio::test]
async fn what_is_so_already_is_not_asked_for() {
    let server = Canned::answering([one("running")]).await;
    connected(&server.endpoint).await.power().start(&id()).await.unwrap();
    assert_eq!(server.actions(), ["DescribeInstances"]);
}

#[tokio::test]
async fn one_that_falls_back_says_why() {
    let reason = "<stateReason><code>c</code><message>Client.InternalError: its disk cannot be decrypted</message></stateReason>";
    let back = canned::page([("i-1", "stopped", reason)], "");
    let server = Canned::answering([one("stopped"), done("StartInstances"), one("pending"), back]).await;
    let error = connected(&server.endpoint).await.power().start(&id()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused);
    assert!(error.to_string().starts_with("instance i-1: it is stopped again") && error.to_string().contains("decrypted"), "{error}");
}

#[tokio::test]
async fn one_that_is_stuck_is_given_up_and_the_state_named() {
    let server = Canned::answering([one("running"), done("StopInstances"), one("stopping")]).await;
    let mut ec2 = connected(&server.endpoint).await;
    ec2.patience.limit = Duration::from_secs(1);
    let error = ec2.power().stop(&id()).await.unwrap_err();
    assert!(error.to_string().contains("still stopping after 1 s, not stopped"), "{error}");
}

#[tokio::test]
async fn a_terminated_one_cannot_be_switched() {
    let server = Canned::answering([one("shutting-down")]).await;
    let error = connected(&server.endpoint).await.power().start(&id()).await.unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (PortErrorKind::NotFound, "instance i-1: it is shutting-down"));
}

#[tokio::test]
async fn somebody_who_switches_it_at_the_same_time_is_no_trouble() {
    let race = canned::error(400, "IncorrectInstanceState", "not in a state from which it can be started");
    let server = Canned::answering([one("stopped"), race, one("pending"), one("running")]).await;
    assert_eq!(connected(&server.endpoint).await.power().start(&id()).await.unwrap().state, InstanceState::Running);
}

#[tokio::test]
async fn a_look_that_fails_on_the_way_is_repeated() {
    let down = canned::error(503, "Unavailable", "back soon");
    let server = Canned::answering([one("stopped"), done("StartInstances"), down.clone(), down, one("running")]).await;
    assert_eq!(connected(&server.endpoint).await.power().start(&id()).await.unwrap().state, InstanceState::Running);
}

#[tokio::test]
async fn no_capacity_is_what_aws_says_it_is() {
    let none = canned::error(400, "InsufficientHostCapacity", "no m5.large left in eu-west-1a");
    let server = Canned::answering([one("stopped"), none]).await;
    let error = connected(&server.endpoint).await.power().start(&id()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused);
    assert!(error.to_string().contains("ec2:StartInstances") && error.to_string().contains("no m5.large left"), "{error}");
}
