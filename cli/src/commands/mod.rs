//! Who carries out which request? One file a family of tasks.

pub mod build_vars;
pub mod context;
pub mod destroy;
pub mod doctor;
pub mod files;
pub mod fleet_lock;
pub mod keys;
pub mod launch;
pub mod lock;
pub mod masters;
pub mod named;
pub mod nodes;
pub mod plan_view;
pub mod power;
pub mod remaster_all;
pub mod retire;
pub mod rollback;
pub mod runs;
pub mod sandbox;
pub mod share;
pub mod shell;
pub mod stacks;
pub mod status;
pub mod task_list;
pub mod update;
pub mod watched;

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
        Request::Tasks => return Ok(task_list::list(session)),
        Request::Context(stack, task) => return context::run(&stack, &task, &Stores::open(&session.place).await?, session).await,
        Request::Lock(task) => return lock::run(&task, &Stores::open(&session.place).await?, session).await,
        Request::Sandbox(task) => return sandbox::run(&task, session).await,
        Request::Run(task) => return runs::run(&task, &Stores::open(&session.place).await?, session).await,
        _ => {}
    }
    let request = match request {
        Request::Resume(run) => runs::resumed(&run, &Stores::open(&session.place).await?, session).await?,
        request => request,
    };
    let ports = Ports::open(&session.place, request.user()).await?;
    let ended = match request {
        Request::Stacks => stacks::list(&ports, session).await,
        Request::Masters => masters::list(&ports, session).await,
        Request::Status(wanted) => status::show(&wanted, &ports, session).await,
        Request::Share(share) => share::share(&share, &ports, session).await,
        Request::Remaster(remaster) => remaster_all::remaster(&remaster, &ports, session).await,
        Request::Doctor(master) => doctor::examine(master.as_ref(), &ports, session).await,
        Request::Retire(master) => retire::retire(&master, &ports, session).await,
        Request::Launch(wanted) => launch::launch(&wanted, &ports, session).await,
        Request::Update(wanted) => update::update(&wanted, &ports, session).await,
        Request::UpdateMaster(wanted) => update::update_master(&wanted, &ports, session).await,
        Request::Destroy(stack) => destroy::destroy(&stack, &ports, session).await,
        Request::Keys(keys) => keys::run(&keys, &ports, session).await,
        Request::Download(download) => files::download(&download, &ports, session).await,
        Request::Upload(upload) => files::upload(&upload, &ports, session).await,
        Request::Command(command) => shell::run(&command, &ports, session).await,
        Request::Ssh(ssh) => shell::attach(&ssh, &ports, session).await,
        Request::Switch(switch) => power::switch(&switch, &ports, session).await,
        Request::BuildVars(stack, task) => build_vars::run(&stack, task, &ports, session).await,
        Request::Rollback(rollback) => rollback::roll_back(&rollback, &ports, session).await,
        Request::Tasks | Request::Context(..) | Request::Lock(_) | Request::Sandbox(_) | Request::Run(_) | Request::Resume(_) => {
            Ok(Code::Done)
        }
    };
    ports.close().await;
    ended
}
