//! What is an EC2 instance to bldr? Theirs turned into ours.

use crate::failure::Failure;
use aws_sdk_ec2::types::{Instance as Theirs, InstanceStateName};
use bldr_core::fleet::{Ec2Id, Instance, InstanceState, Timestamp};
use jiff::{civil::DateTime, tz::TimeZone};

/// The tag that bldr and builder set; it wins.
pub(crate) const CLUSTER: &str = "Cluster";
/// The tag that CloudFormation sets on what it makes.
pub(crate) const CLOUDFORMATION: &str = "aws:cloudformation:stack-name";
/// The tag that has a node's number.
pub(crate) const NODE: &str = "Node";

/// An instance of some stack; `None` where it carries no stack's tag, and so is not ours.
pub(crate) fn ours(theirs: &Theirs) -> Result<Option<Instance>, Failure> {
    // A tag with nothing in it names no stack.
    let tag = |key: &str| theirs.tags().iter().find(|t| t.key() == Some(key)).and_then(|t| t.value()).filter(|v| !v.is_empty());
    let Some(stack) = tag(CLUSTER).or_else(|| tag(CLOUDFORMATION)) else { return Ok(None) };
    let id = theirs.instance_id().ok_or_else(|| Failure::Malformed(format!("an instance of {stack} without an id")))?;
    let launched = theirs.launch_time().and_then(|t| t.to_millis().ok());
    Ok(Some(Instance {
        id: Ec2Id(id.into()),
        stack: stack.to_owned(),
        node_tag: tag(NODE).map(str::to_owned),
        tags: theirs.tags().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect(),
        state: state(theirs, id)?,
        private: theirs.private_ip_address().and_then(|a| a.parse().ok()),
        public: theirs.public_ip_address().and_then(|a| a.parse().ok()),
        launched: Timestamp(launched.ok_or_else(|| Failure::Malformed(format!("{id} without a launch time")))?),
        stopped: theirs.state_transition_reason().and_then(stopped),
    }))
}

/// The time in `User initiated (2026-11-22 12:00:00 GMT)`, which is all that EC2 says of when a machine was stopped.
fn stopped(reason: &str) -> Option<Timestamp> {
    let (_, time) = reason.split_once('(')?;
    let time = time.split_once(" GMT)").or_else(|| time.split_once(" UTC)"))?.0;
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", time).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(Timestamp(time.timestamp().as_millisecond()))
}

fn state(theirs: &Theirs, id: &str) -> Result<InstanceState, Failure> {
    let name = theirs.state().and_then(|s| s.name()).ok_or_else(|| Failure::Malformed(format!("{id} without a state")))?;
    Ok(match name {
        InstanceStateName::Pending => InstanceState::Pending,
        InstanceStateName::Running => InstanceState::Running,
        InstanceStateName::Stopping => InstanceState::Stopping,
        InstanceStateName::Stopped => InstanceState::Stopped,
        InstanceStateName::ShuttingDown => InstanceState::ShuttingDown,
        InstanceStateName::Terminated => InstanceState::Terminated,
        other => return Err(Failure::Malformed(format!("{id} in the state '{}'", other.as_str()))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::{
        primitives::DateTime as TheirTime,
        types::{InstanceState as TheirState, Tag},
    };

    fn tagged(tags: &[(&str, &str)]) -> aws_sdk_ec2::types::builders::InstanceBuilder {
        let tags = tags.iter().map(|(k, v)| Tag::builder().key(*k).value(*v).build()).collect();
        Theirs::builder()
            .instance_id("i-1")
            .set_tags(Some(tags))
            .state(TheirState::builder().name(InstanceStateName::Running).build())
            .launch_time(TheirTime::from_millis(1_700_000_000_123))
    }

    #[test]
    fn the_cluster_tag_wins_over_cloudformations() {
        let both = tagged(&[(CLOUDFORMATION, "a--old"), (CLUSTER, "a--new")]).build();
        assert_eq!(ours(&both).unwrap().unwrap().stack, "a--new");
        let empty = tagged(&[(CLOUDFORMATION, "a--old"), (CLUSTER, "")]).build();
        assert_eq!(ours(&empty).unwrap().unwrap().stack, "a--old");
    }

    #[test]
    fn all_tags_come_along_those_without_a_value_too() {
        let tags = ours(&tagged(&[(CLUSTER, "a--b"), ("Team", "web"), ("Cost", "")]).build()).unwrap().unwrap().tags;
        let expected = [(CLUSTER, "a--b"), ("Cost", ""), ("Team", "web")];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn without_a_stacks_tag_it_is_not_ours() {
        assert_eq!(ours(&tagged(&[("Name", "harbor--ci"), ("cluster", "x--y")]).build()).unwrap(), None);
    }

    #[test]
    fn an_address_that_cannot_be_one_is_none() {
        let theirs = tagged(&[(CLUSTER, "a--b"), ("Node", "2")]).private_ip_address("10.0.0.300").public_ip_address("").build();
        let instance = ours(&theirs).unwrap().unwrap();
        assert_eq!((instance.private, instance.public), (None, None));
        assert_eq!((instance.node_tag.as_deref(), instance.launched), (Some("2"), Timestamp(1_700_000_000_123)));
    }

    #[test]
    fn when_it_was_stopped_is_read_from_ec2s_sentence() {
        let at = |reason: &str| ours(&tagged(&[(CLUSTER, "a--b")]).state_transition_reason(reason).build()).unwrap().unwrap().stopped;
        assert_eq!(at("User initiated (2023-11-14 22:13:20 GMT)"), Some(Timestamp(1_700_000_000_000)));
        assert_eq!(at("User initiated (2023-11-14 22:13:20 UTC)"), Some(Timestamp(1_700_000_000_000)));
        for unknown in ["", "Server.SpotInstanceTermination", "User initiated (yesterday GMT)"] {
            assert_eq!(at(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_state_nobody_has_heard_of_is_malformed() {
        let odd = tagged(&[(CLUSTER, "a--b")]).state(TheirState::builder().name("hibernating".into()).build()).build();
        let error = ours(&odd).unwrap_err().about("EC2").to_string();
        assert!(error.contains("i-1 in the state 'hibernating'"), "{error}");
    }
}
