//! Who carries out which request? One file a family of tasks.

pub mod build_vars;
pub mod context;
pub mod fleet_lock;
pub mod masters;
pub mod named;
pub mod plan_view;
pub mod remaster;
pub mod sandbox;
pub mod share;
pub mod stacks;
pub mod task_list;

use crate::{
    exit::{Code, Exit},
    request::Request,
    screen::Screen,
    terminal::Terminal,
    wiring::{Place, Ports, Stores},
};

/// What every command is given beside its request.
pub struct Session {
    /// Where to write.
    pub screen: Screen,
    /// Whom to ask.
    pub terminal: Terminal,
    /// The home folder and its settings.
    pub place: Place,
    /// The command line, as typed.
    pub typed: String,
}

/// Carries out a request.
///
/// # Errors
/// Whatever kept it from being begun; what failed on the way is in the code.
pub async fn run(request: Request, session: &mut Session) -> Result<Code, Exit> {
    match request {
        Request::Tasks => Ok(task_list::list(session)),
        Request::Stacks => stacks::list(&Ports::open(&session.place).await?, session).await,
        Request::Masters => masters::list(&Ports::open(&session.place).await?, session).await,
        Request::Share(share) => share::share(&share, &Ports::open(&session.place).await?, session).await,
        Request::Remaster(remaster) => remaster::remaster(&remaster, &Ports::open(&session.place).await?, session).await,
        Request::BuildVars(stack, task) => build_vars::run(&stack, task, &Ports::open(&session.place).await?, session).await,
        Request::Context(stack, task) => context::run(&stack, &task, &Stores::open(&session.place)?, session).await,
        Request::Sandbox(task) => sandbox::run(&task, session),
    }
}
