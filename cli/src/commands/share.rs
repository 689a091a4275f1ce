//! `master.share`: does the team know where the new master is?

use super::{Session, fleet_lock::Held, named, remaster_all::refused_or};
use crate::{
    exit::{Code, Exit},
    request::Share,
    screen::{Format, line::counted},
    wiring::Ports,
};
use bldr_core::{
    address::MasterAddress,
    name::StackName,
    ports::{Fence, Proposal, Versioned},
    survey::{Depth, new_master, survey},
};
use serde::Serialize;
use similar::TextDiff;
use std::collections::BTreeSet;

#[derive(Serialize)]
struct ShareView<'a> {
    master: &'a StackName,
    address: &'a MasterAddress,
    files: Vec<FileView<'a>>,
    changed: bool,
}

#[derive(Serialize)]
struct FileView<'a> {
    file: &'a str,
    diff: String,
}

/// Writes the address into the project files, once the operator has seen how.
///
/// # Errors
/// A master that cannot take over, project files that cannot be read or were changed meanwhile, and a declined
/// confirmation.
pub async fn share(request: &Share, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let held = Held::take(&ports.stores, session).await?;
    held.during(session.screen.clone(), under_the_lock(request, ports, session)).await
}

async fn under_the_lock(request: &Share, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let fleet = survey(&ports.sources(&session.place), |_| Depth::Listed).await.map_err(Exit::blind)?;
    let asked = new_master(&fleet, &request.master, request.address.as_ref(), &*ports.masters).await;
    let master = refused_or(asked, &fleet)?;
    written(&master.stack, &master.address, request.commit, ports, session).await
}

async fn written(master: &StackName, address: &MasterAddress, commit: bool, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    named::some_project(&ports.stores.shared.projects().await?)?;
    let proposals = ports.stores.shared.propose(address).await?;
    for proposal in &proposals {
        let refused = |problem: &str| Err(Exit::refused(format!("{}: {problem}", proposal.file)).line("nothing was changed"));
        match proposal.history {
            Versioned::Dirty => return refused("it has changes that are not committed; commit or stash them first"),
            Versioned::No if commit => return refused("it is in no git repository, so there is nothing to commit to"),
            _ => {}
        }
    }
    let view = ShareView {
        master,
        address,
        changed: !proposals.is_empty(),
        files: proposals.iter().map(|p| FileView { file: &p.file, diff: diff(p) }).collect(),
    };
    if proposals.is_empty() {
        session.screen.result(|| format!("{address} is shared already: the defaults of every project file name it\n"), &view);
        return Ok(Code::Done);
    }
    if session.screen.format() == Format::Text {
        session.screen.text(&view.files.iter().map(|file| file.diff.as_str()).collect::<String>());
    }
    session.terminal.confirm("Write that?").await?;
    ports.stores.gate.affirmed().await?;
    for (done, proposal) in proposals.iter().enumerate() {
        let share = async {
            ports.stores.gate.standing()?;
            ports.stores.shared.share(proposal).await
        };
        share.await.map_err(|error| match done {
            0 => Exit::from(error).line("nothing was changed"),
            1 => Exit::new(Code::Failed, error.to_string()).line(format!("1 of {} was written", counted(proposals.len(), "file"))),
            _ => Exit::new(Code::Failed, error.to_string()).line(format!("{done} of {} were written", counted(proposals.len(), "file"))),
        })?;
    }
    let names: Vec<_> = view.files.iter().map(|file| file.file.to_owned()).collect();
    if commit {
        let message = format!("{address} ({master}) is the master");
        let commit = async {
            ports.stores.gate.standing()?;
            ports.stores.shared.commit(&names, &message).await
        };
        commit.await.map_err(|error| Exit { code: Code::Failed, ..error.into() })?;
    }
    let done = if commit { "written and committed" } else { "written" };
    session.screen.result(|| format!("{done}: {}\n", names.join(", ")), &view);
    let next = if commit { "push it, for the team to have it" } else { "commit and push the project files, for the team to have it" };
    session.screen.note(next);
    for note in proposals.iter().flat_map(|proposal| stale_comments(proposal, master)) {
        session.screen.note(&note);
    }
    Ok(Code::Done)
}

/// What is said of comments that stay on a changed line and name another master than the one it leads to now.
fn stale_comments(proposal: &Proposal, master: &StackName) -> Vec<String> {
    let before: BTreeSet<&str> = proposal.before.lines().collect();
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut notes = Vec::new();
    for (at, line) in proposal.after.lines().enumerate().filter(|(_, line)| !before.contains(line)) {
        let Some((_, comment)) = line.split_once(" #") else { continue };
        let words = comment.split(|c| !is_of_a_name(c)).filter_map(|word| word.trim_end_matches('.').parse::<StackName>().ok());
        for other in words.filter(|name| name.is_master() && name != master) {
            notes.push(format!(
                "note: {}:{}: the comment on that line still names {other}; comments are left as they are",
                proposal.file,
                at + 1
            ));
        }
    }
    notes
}

fn diff(proposal: &Proposal) -> String {
    let diff = TextDiff::from_lines(&proposal.before, &proposal.after);
    diff.unified_diff().header(&proposal.file, &proposal.file).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bldr_core::ports::Versioned;

    #[test]
    fn a_comment_that_names_another_master_on_the_changed_line_is_told() {
        let notes = |comment: &str| {
            let text = |address: &str| format!("# master-server--a was first\ndefaults:\n  master_ip: {address}{comment}\n");
            let (before, after) = (text("10.0.0.10"), text("10.0.0.20"));
            let proposal = Proposal { file: "p.yaml".into(), before, after, history: Versioned::No };
            stale_comments(&proposal, &"master-server--b".parse().unwrap())
        };
        let told = ["note: p.yaml:3: the comment on that line still names master-server--a; comments are left as they are"];
        assert_eq!(notes(" # master-server--a"), told);
        assert_eq!(notes("  # that is (master-server--a)."), told);
        for quiet in ["", " # master-server--b", " # the master", " # harbor--ci"] {
            assert_eq!(notes(quiet), [""; 0], "{quiet}");
        }
    }
}
