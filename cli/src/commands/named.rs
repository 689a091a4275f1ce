//! Is there a stack of that name, and if not, which one was meant?

use crate::{exit::Exit, nearest::did_you_mean};
use bldr_core::{
    fleet::{Fleet, Stack},
    name::StackName,
    ports::{ContextStore, Document},
    project::Projects,
};

/// The stack of that name.
///
/// # Errors
/// Refused with the nearest name where there is none.
pub fn stack<'a>(fleet: &'a Fleet, name: &StackName) -> Result<&'a Stack, Exit> {
    fleet.stacks.get(name).ok_or_else(|| unknown(name, &format!("in {}", fleet.region), fleet.stacks.keys()))
}

/// The stored context of the stack of that name.
///
/// # Errors
/// Refused with the nearest name where there is none; those of the store.
pub async fn context(contexts: &dyn ContextStore, name: &StackName) -> Result<Document, Exit> {
    match contexts.load(name).await {
        Err(error) if error.kind == bldr_core::error::PortErrorKind::NotFound => {
            Err(unknown(name, "among the stored contexts", contexts.list().await.map_err(Exit::blind)?.iter()))
        }
        answer => Ok(answer?),
    }
}

fn unknown<'a>(name: &StackName, place: &str, known: impl Iterator<Item = &'a StackName>) -> Exit {
    let guess = did_you_mean(name.as_str(), known.map(StackName::as_str));
    Exit::refused(format!("there is no {name} {place}{guess}")).line("nothing was changed; `bldr stacks` lists what there is")
}

/// That there are projects at all: files that were emptied must not pass for a fleet that is done.
///
/// # Errors
/// Refused where no project file has a project.
pub fn some_project(projects: &Projects) -> Result<(), Exit> {
    if projects.names().next().is_some() {
        return Ok(());
    }
    Err(Exit::refused("the project files have no project in them, and no 'defaults' section")
        .line("nothing was changed; is the checkout complete?"))
}
