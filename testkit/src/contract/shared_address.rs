//! What must hold of every `SharedAddress`? Nothing is written before it was shown, and only what was shown.

use bldr_core::{
    address::MasterAddress,
    error::PortErrorKind,
    name::{ProjectName, StackName},
    ports::SharedAddress,
};
use std::sync::Arc;

/// Every rule of the port, each on files of its own. `make` gives project files whose defaults all name the given
/// address, written as plain text in them, with the projects `harbor` and `master-server` among them: both with
/// machines, and with no address and no alternate `ci` of their own.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(make: impl Fn(&MasterAddress) -> Arc<dyn SharedAddress>) {
    let old = address("10.0.0.1");
    the_projects_say_where_the_master_is(&*make(&old), &old).await;
    what_is_shared_already_needs_no_proposal(&*make(&old), &old).await;
    proposing_writes_nothing(&*make(&old), &old).await;
    a_proposal_changes_the_address_and_nothing_else(&*make(&old), &old).await;
    what_was_shared_is_what_the_projects_say(&*make(&old), &old).await;
    a_proposal_for_a_file_that_has_changed_is_refused(&*make(&old), &old).await;
}

fn address(text: &str) -> MasterAddress {
    text.parse().unwrap()
}

async fn told(files: &dyn SharedAddress, project: &str) -> Option<String> {
    let stack: StackName = format!("{project}--ci").parse().unwrap();
    files.projects().await.unwrap().shared_master(&stack, None)
}

async fn the_projects_say_where_the_master_is(files: &dyn SharedAddress, old: &MasterAddress) {
    let projects = files.projects().await.unwrap();
    for name in ["harbor", "master-server"] {
        let project: ProjectName = name.parse().unwrap();
        assert!(projects.get(&project).is_some(), "{name}");
        assert!(projects.is_ec2(&project), "{name}");
        assert_eq!(told(files, name).await.as_deref(), Some(old.as_str()), "{name}");
    }
}

async fn what_is_shared_already_needs_no_proposal(files: &dyn SharedAddress, old: &MasterAddress) {
    assert_eq!(files.propose(old).await.unwrap(), []);
}

async fn proposing_writes_nothing(files: &dyn SharedAddress, old: &MasterAddress) {
    let new = address("10.0.0.2");
    let first = files.propose(&new).await.unwrap();
    assert!(!first.is_empty());
    assert_eq!(files.propose(&new).await.unwrap(), first);
    assert_eq!(told(files, "harbor").await.as_deref(), Some(old.as_str()));
}

async fn a_proposal_changes_the_address_and_nothing_else(files: &dyn SharedAddress, old: &MasterAddress) {
    for new in ["10.200.200.200", "fd00::1:2", "salt.example.org", "yes"].map(address) {
        for proposal in files.propose(&new).await.unwrap() {
            assert!(!proposal.file.is_empty());
            let differ = proposal.before.lines().zip(proposal.after.lines()).filter(|(before, after)| before != after);
            let differ: Vec<_> = differ.collect();
            let [(before, after)] = differ[..] else { panic!("{} lines differ", differ.len()) };
            assert!(before.contains(old.as_str()), "{before}");
            assert!(after.contains(new.as_str()), "{after}");
            assert_eq!(proposal.before.lines().count(), proposal.after.lines().count());
        }
    }
}

async fn what_was_shared_is_what_the_projects_say(files: &dyn SharedAddress, old: &MasterAddress) {
    let before = files.propose(&address("10.0.0.2")).await.unwrap();
    for new in ["10.0.0.2", "fd00::1:2", "::1", "1:2:3:4:5:6:7:8", "salt.example.org", "yes", "null", "0x1f.e", old.as_str()].map(address) {
        for proposal in files.propose(&new).await.unwrap() {
            files.share(&proposal).await.unwrap();
        }
        assert_eq!(told(files, "harbor").await.as_deref(), Some(new.as_str()));
        assert_eq!(files.propose(&new).await.unwrap(), []);
    }
    let after = files.propose(&address("10.0.0.2")).await.unwrap();
    let projects = files.projects().await.unwrap();
    assert_eq!(after.len(), before.len(), "back where it began");
    assert!(projects.names().count() >= 2);
}

async fn a_proposal_for_a_file_that_has_changed_is_refused(files: &dyn SharedAddress, old: &MasterAddress) {
    let stale = files.propose(&address("10.0.0.3")).await.unwrap();
    for proposal in files.propose(&address("10.0.0.2")).await.unwrap() {
        files.share(&proposal).await.unwrap();
    }
    for proposal in &stale {
        let error = files.share(proposal).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains(&proposal.file), "the file is named: {error}");
    }
    assert_eq!(told(files, "harbor").await.as_deref(), Some("10.0.0.2"), "not {old}, not 10.0.0.3");
}
