//! `master.share`: does the team know where the new master is?

use super::{Session, fleet_lock::Held, named, remaster_all::refused_or};
use crate::{
    exit::{Code, Exit},
    request::Share,
    screen::Format,
    wiring::Ports,
};
use bldr_core::{
    address::MasterAddress,
    name::StackName,
    ports::{Proposal, Versioned},
    survey::{Depth, new_master, survey},
};
use serde::Serialize;
use similar::TextDiff;

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
    let fleet = survey(&ports.sources(&session.place), |_| Depth::Listed).await.map_err(Exit::blind)?;
    let asked = new_master(&fleet, &request.master, request.address.as_ref(), &*ports.masters).await;
    let master = refused_or(asked, &fleet)?;
    let held = Held::take(&ports.stores, session).await?;
    let ended = written(&master.stack, &master.address, request.commit, ports, session).await;
    held.release(session, ended).await
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
    session.terminal.confirm("Write that?")?;
    for (done, proposal) in proposals.iter().enumerate() {
        ports.stores.shared.share(proposal).await.map_err(|error| match done {
            0 => Exit::from(error).line("nothing was changed"),
            _ => Exit::new(Code::Failed, error.to_string()).line(format!("{done} of {} files were written", proposals.len())),
        })?;
    }
    let names: Vec<_> = view.files.iter().map(|file| file.file.to_owned()).collect();
    if commit {
        let message = format!("{address} ({master}) is the master");
        ports.stores.shared.commit(&names, &message).await.map_err(|error| Exit { code: Code::Failed, ..error.into() })?;
    }
    let done = if commit { "written and committed" } else { "written" };
    session.screen.result(|| format!("{done}: {}\n", names.join(", ")), &view);
    let next = if commit { "push it, for the team to have it" } else { "commit and push the project files, for the team to have it" };
    session.screen.note(next);
    Ok(Code::Done)
}

fn diff(proposal: &Proposal) -> String {
    let diff = TextDiff::from_lines(&proposal.before, &proposal.after);
    diff.unified_diff().header(&proposal.file, &proposal.file).to_string()
}
