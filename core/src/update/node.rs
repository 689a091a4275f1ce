//! How is one node brought up to date? Its steps in order, up to the first that fails.

mod examine;

use super::{End, LockedOut, Mode, Salt, Work};
use crate::{
    address::MasterAddress,
    doctor::without_secrets,
    error::{PortError, PortErrorKind, PortResult},
    event::Action,
    execute::{
        joining::{Asked, Joining},
        telling::{Done, Failed, Stepped, Trouble},
    },
    fleet::{Evidence, HeldKey, Host, InstanceState, Node, PublicKey, Standing},
    name::StackName,
    ports::{Change, Enlistment, HighstateMode, Installation, Refreshed, Role, Unread},
    salt_version::SaltVersion,
    ssh_key::SshPublicKey,
};
use std::sync::PoisonError;

/// The master that a node takes its orders from.
struct Commander {
    name: StackName,
    host: Host,
    standing: Standing,
}

/// One node on its way.
pub(super) struct NodeUpdate<'a> {
    work: &'a Work<'a>,
    node: &'a Node,
    host: Option<Host>,
    /// The version of Salt its context asks for.
    wanted: Option<&'a str>,
    /// What it said of itself.
    evidence: Option<Evidence>,
    salt: Option<Salt>,
    /// The version of Salt it has.
    installed: Option<SaltVersion>,
    id: String,
    address: Option<MasterAddress>,
    commander: Option<Commander>,
    /// What went wrong and kept nothing else from being done.
    trouble: Vec<String>,
    /// What a dry run found to be done.
    due: Vec<String>,
}

/// Why it goes no further.
enum Stop {
    Trouble(Trouble),
    Interrupted,
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        if trouble.interrupted { Self::Interrupted } else { Self::Trouble(trouble) }
    }
}

impl<'a> NodeUpdate<'a> {
    pub(super) fn new(work: &'a Work<'a>, node: &'a Node, host: Option<Host>, wanted: Option<&'a str>) -> Self {
        Self {
            work,
            node,
            host: host.or_else(|| node.host().filter(|_| node.state == InstanceState::Running)),
            wanted,
            evidence: None,
            salt: None,
            installed: None,
            id: node.name.to_string(),
            address: None,
            commander: None,
            trouble: Vec::new(),
            due: Vec::new(),
        }
    }

    /// Takes the steps in order.
    pub(super) async fn walk(&mut self) -> End {
        match self.steps().await {
            Err(Stop::Trouble(trouble)) => {
                self.trouble.push(trouble.reason);
                End::Failed(self.trouble.join("; "))
            }
            Err(Stop::Interrupted) => End::Interrupted,
            Ok(()) if !self.trouble.is_empty() => End::Failed(self.trouble.join("; ")),
            Ok(()) => End::Done(match self.work.update.mode {
                Mode::Apply => None,
                Mode::DryRun => Some(self.told_due()),
            }),
        }
    }

    pub(super) async fn release(&self) {
        if let Some(host) = &self.host {
            self.work.ports.minions.release(host).await;
        }
    }

    async fn steps(&mut self) -> Result<(), Stop> {
        let dry = self.work.update.mode == Mode::DryRun;
        if self.host.is_none() && self.node.state != InstanceState::Running {
            self.step(Action::Start).await?;
        }
        self.step(Action::Examine).await?;
        if dry {
            if self.role() == Role::Master {
                self.step(Action::Refresh).await?;
            }
            if self.evidence.as_ref().is_some_and(|evidence| evidence.minion_key.is_some()) && self.due.is_empty() {
                self.step(Action::Highstate).await?;
            }
            return Ok(());
        }
        // A machine with the right minion may lack the master's programs.
        let lacking = self.role() == Role::Master && self.work.update.source.is_some();
        if lacking || matches!(self.salt, Some(Salt::Install(_))) {
            self.step(Action::Install).await?;
        }
        if self.role() == Role::Master {
            self.step(Action::Refresh).await?;
        }
        for action in [Action::Introduce, Action::Enlist, Action::Prove, Action::Highstate] {
            self.step(action).await?;
        }
        Ok(())
    }

    async fn step(&mut self, action: Action) -> Result<(), Stop> {
        let (telling, name) = (self.work.telling, self.node.name.clone());
        if telling.interrupted() {
            return Err(Stop::Interrupted);
        }
        Ok(telling.step(name.stack(), Some(name.clone()), action, self.taken(action)).await?)
    }

    async fn taken(&mut self, action: Action) -> Stepped {
        match action {
            Action::Start => self.start().await,
            Action::Examine => self.examine().await,
            Action::Install => self.install().await,
            Action::Refresh if self.work.update.mode == Mode::DryRun => self.would_refresh().await,
            Action::Refresh => self.refresh().await,
            Action::Introduce => self.introduce().await,
            Action::Enlist => self.enlist().await,
            Action::Prove => self.prove().await,
            _ => self.highstate().await,
        }
    }

    fn role(&self) -> Role {
        if self.node.name.stack().is_master() { Role::Master } else { Role::Minion }
    }

    fn about(&self, kind: PortErrorKind, problem: impl Into<String>) -> PortError {
        PortError::new(kind, self.node.name.to_string(), problem)
    }

    fn at(&self) -> PortResult<Host> {
        self.host.clone().ok_or_else(|| self.about(PortErrorKind::Unreachable, "it has no address to connect to"))
    }

    async fn start(&mut self) -> Stepped {
        let (ports, stack) = (self.work.ports, self.node.name.stack());
        if !self.work.update.autostart || self.work.update.mode == Mode::DryRun {
            let problem = self.about(PortErrorKind::Refused, format!("it is {} (nothing was changed on it)", self.node.state));
            let advice = match self.work.update.mode {
                Mode::Apply => format!("`bldr start:{stack}` starts it, and so does autostart=yes"),
                Mode::DryRun => format!("a dry run starts nothing; `bldr start:{stack}` does"),
            };
            return Err(problem.advise(advice).into());
        }
        ports.sleepers.forget(&self.node.name).await?;
        let instance = ports.power.start(&self.node.id).await?;
        let address = self.work.addresses.reach(stack, &instance);
        let address = address.ok_or_else(|| self.about(PortErrorKind::Unreachable, "it was started and has no address to connect to"))?;
        let started = Done::from(Change::Made).saying(format!("at {address}"));
        let host = Host { node: self.node.name.clone(), address };
        // Its first start is long ago, and however that went is no reason now: it only has to let us in.
        let telling = self.work.telling;
        telling.waited(&self.node.name, telling.again_after(&[5; 60], async || ports.minions.read(&host).await)).await?;
        self.host = Some(host);
        Ok(started)
    }

    async fn install(&mut self) -> Stepped {
        let (work, host) = (self.work, self.at()?);
        let version = match &self.salt {
            Some(Salt::Install(version)) => Some(version),
            _ => self.installed.as_ref(),
        };
        let Some(version) = version else { return Ok(Change::NotNeeded.into()) };
        let Some(source) = work.update.source.clone() else {
            let problem = format!("it needs Salt {version}, and nobody has said where that comes from (nothing was changed on it)");
            let advice = "`salt:` in settings.yaml says how Salt is installed (docs/settings.md)";
            return Err(self.about(PortErrorKind::Refused, problem).advise(advice).into());
        };
        let wanted = Installation { version: version.clone(), role: self.role(), source };
        let change = work.telling.patiently(async || work.ports.setup.install(&host, &wanted).await).await?;
        Ok(if change == Change::Made { Done::from(change).saying(format!("Salt {version}")) } else { change.into() })
    }

    /// A master's library. Where it may not read its private repository, a person has to let it in first.
    async fn refresh(&mut self) -> Stepped {
        let (work, host) = (self.work, self.at()?);
        let (setup, library) = (work.ports.setup, &work.update.library);
        let key = work.telling.patiently(async || setup.deploy_key(&host).await).await?;
        let refreshed = work.telling.patiently(async || setup.refresh(&host, library).await).await?;
        let private = refreshed.unread.iter().find(|unread| Some(&unread.url) == library.private.as_ref());
        if let Some(unread) = private {
            return Err(self.unread(unread, key).into());
        }
        if let Some(why) = &refreshed.unconfigured {
            let advice = "the template is etc-salt-master of the private repository";
            return Err(self.about(PortErrorKind::Refused, format!("its configuration stays as it was: {why}")).advise(advice).into());
        }
        self.trouble.extend(refreshed.unread.iter().map(|unread| {
            let (url, why) = (without_secrets(&unread.url), without_secrets(&unread.why));
            format!("{}: {url} cannot be read: {why}", self.node.name)
        }));
        self.trouble
            .extend(refreshed.unscheduled.as_ref().map(|why| format!("{}: nothing refreshes it every hour: {why}", self.node.name)));
        Ok(told(&refreshed))
    }

    /// Why the private repository cannot be read: a person has to let the master in, or something else is wrong with it.
    fn unread(&self, unread: &Unread, key: SshPublicKey) -> PortError {
        let (repository, why) = (without_secrets(&unread.url), without_secrets(&unread.why));
        let error = self.about(PortErrorKind::Refused, format!("its private repository {repository} cannot be read: {why}"));
        // GitHub says that there is no such repository to whom it does not let see it.
        if ["ermission denied", "Repository not found"].iter().any(|sign| why.contains(sign)) {
            let mut found = self.work.locked_out.lock().unwrap_or_else(PoisonError::into_inner);
            *found = Some(LockedOut { master: self.node.name.stack().clone(), repository, why, key });
            error
        } else if why.contains("Host key verification failed") {
            error.advise("`git-hosts` in settings.yaml names the file of the host keys that masters believe")
        } else {
            error.advise("`private-repo` in the project file is its address; run this again when it can be read")
        }
    }

    async fn introduce(&mut self) -> Stepped {
        let (work, host) = (self.work, self.at()?);
        let key = work.telling.patiently(async || work.ports.setup.identity(&host).await).await?;
        if self.role() == Role::Master {
            let standing = work.telling.patiently(async || work.ports.masters.read(&host).await).await?;
            if let Some(why) = standing.silent {
                return Err(self.about(PortErrorKind::Refused, why).into());
            }
            self.commander = Some(Commander { name: self.node.name.stack().clone(), host, standing });
        }
        let commander = self.commanded()?;
        let masters = work.ports.masters;
        let accept = async || masters.accept(&commander.host, &self.id, &key).await;
        let change = match work.telling.patiently(accept).await {
            Err(conflict) if conflict.kind == PortErrorKind::Conflict && work.update.new => {
                self.forget_predecessor(commander, &key).await?;
                work.telling.patiently(accept).await?
            }
            answer => answer?,
        };
        Ok(change.into())
    }

    /// The key of a machine that had this name before: it is no more, and its key is kept where all removed keys are.
    async fn forget_predecessor(&self, commander: &Commander, key: &PublicKey) -> PortResult<()> {
        let others = commander.standing.keys.under(&self.id).iter().filter(|held| held.key != key.fingerprint());
        let others: Vec<HeldKey> = others.cloned().collect();
        self.work.telling.patiently(async || self.work.ports.masters.forget(&commander.host, &others).await).await?;
        Ok(())
    }

    fn commanded(&self) -> PortResult<&Commander> {
        self.commander.as_ref().ok_or_else(|| self.about(PortErrorKind::NotFound, "its master was not found"))
    }

    async fn enlist(&mut self) -> Stepped {
        let (work, host) = (self.work, self.at()?);
        let key = self.commanded()?.standing.key.clone();
        let address = self.address.clone().ok_or_else(|| self.about(PortErrorKind::NotFound, "it was not asked who its master is"))?;
        let to = Enlistment { id: self.id.clone(), address, key };
        let change = work.telling.patiently(async || work.ports.setup.enlist(&host, &to).await).await?;
        Ok(change.into())
    }

    async fn prove(&mut self) -> Stepped {
        let (work, host, commander) = (self.work, self.at()?, self.commanded()?);
        let address = self.address.as_ref().ok_or_else(|| self.about(PortErrorKind::NotFound, "it was not asked who its master is"))?;
        let joining = Joining {
            telling: work.telling,
            minions: work.ports.minions,
            masters: work.ports.masters,
            address,
            key: &commander.standing.key,
            master: Some(Asked { id: self.id.clone(), name: &commander.name, at: &commander.host }),
        };
        match joining.awaited(&host, work.update.join).await? {
            None => Ok(Change::NotNeeded.into()),
            Some(why) => Err(self.about(PortErrorKind::Refused, why).into()),
        }
    }

    async fn highstate(&mut self) -> Stepped {
        let (work, host) = (self.work, self.at()?);
        let (mode, change) = match work.update.mode {
            Mode::Apply => (HighstateMode::Apply, Change::Made),
            Mode::DryRun => (HighstateMode::Test, Change::NotNeeded),
        };
        let highstate = work.telling.shown(work.ports.minions, &host, mode).await.map_err(Failed::from)?;
        work.telling.highstate(&host, highstate, change, "run it again when the cause is gone").await
    }
}

/// What came of refreshing a master's library.
fn told(refreshed: &Refreshed) -> Done {
    let new = refreshed.renewed.len();
    let mut said = Vec::new();
    if new > 0 {
        said.push(format!("{new} {} with something new", if new == 1 { "repository" } else { "repositories" }));
    }
    if refreshed.configured {
        said.push("its configuration was written".into());
    }
    if refreshed.restarted {
        said.push("its salt-master was restarted".into());
    }
    let changed = new > 0 || refreshed.configured || refreshed.restarted;
    let change = if changed { Change::Made } else { Change::NotNeeded };
    Done { change, detail: (!said.is_empty()).then(|| said.join(", ")), states: None }
}
