//! Which connection does a command go over? One a node, kept between commands, opened again when that is safe.

use crate::{
    error::SshError,
    route::{self, Route},
    session::{Connector, Ear, Output, Program, Session},
    settings::{SshSettings, Transport},
    ssh_config::SshConfig,
    system_session::SystemConnector,
    thrussh_connector::ThrusshConnector,
};
use bldr_core::{error::PortResult, fleet::Host};
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Mutex as AsyncMutex, time::sleep};

/// What went over the wire so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Commands that were sent.
    pub commands: u64,
    /// Connections that were opened.
    pub connects: u64,
}

/// The connections of a process. Cloning it shares them.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<SshSettings>,
    config: SshConfig,
    connector: Result<Box<dyn Connector>, String>,
    nodes: Mutex<HashMap<Host, Kept>>,
    /// Ticks with every command: what was used last has the highest.
    tick: AtomicU64,
    open: Arc<AtomicUsize>,
    commands: AtomicU64,
    connects: AtomicU64,
}

/// What is to be done on a node.
pub(crate) enum Order<'a> {
    /// A command line in the user's shell, with this on its standard input.
    Command(&'a str, &'a [u8]),
    /// A program, as root.
    Program(Program<'a>),
}

/// A node's connection, if it has one. Commands to one node wait for each other here.
type Slot = Arc<AsyncMutex<Option<Counted>>>;

struct Kept {
    slot: Slot,
    used: u64,
}

/// A session that counts as open for as long as it is.
struct Counted {
    session: Option<Box<dyn Session>>,
    open: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counted {
    async fn close(mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

/// How long to wait before connecting again to a node that did not answer.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

impl Pool {
    /// A pool without connections. Reads `settings.config`; a setting that makes no sense is told by the first command.
    pub fn new(settings: SshSettings) -> Self {
        let settings = Arc::new(settings);
        let connector: Result<Box<dyn Connector>, String> = match settings.transport {
            Transport::Thrussh => Ok(Box::new(ThrusshConnector::new(settings.clone()))),
            Transport::System => match SystemConnector::new(settings.clone()) {
                Ok(connector) => Ok(Box::new(connector)),
                Err(error) => Err(error.to_string()),
            },
        };
        let config = settings.config.as_deref().map_or_else(SshConfig::default, |file| read_config(file, &settings.home));
        Self {
            inner: Arc::new(Inner {
                settings,
                config,
                connector,
                nodes: Mutex::default(),
                tick: AtomicU64::default(),
                open: Arc::default(),
                commands: AtomicU64::default(),
                connects: AtomicU64::default(),
            }),
        }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &SshSettings {
        &self.inner.settings
    }

    /// What went over the wire so far.
    pub fn traffic(&self) -> Traffic {
        Traffic { commands: self.inner.commands.load(Ordering::Relaxed), connects: self.inner.connects.load(Ordering::Relaxed) }
    }

    /// The route to a node, from the settings and `~/.ssh/config`.
    ///
    /// # Errors
    /// [`SshError::Settings`] where those make no sense.
    pub fn route(&self, host: &Host) -> Result<Route, SshError> {
        route::to_node(&self.inner.settings, &self.inner.config, host)
    }

    /// The same, with the stack's key pair brought here where it is kept somewhere else.
    pub(crate) async fn way(&self, host: &Host) -> Result<Route, SshError> {
        if let Some(courier) = &self.inner.settings.courier {
            courier(host.node.stack().clone()).await.map_err(|error| SshError::KeyPair(Box::new(error)))?;
        }
        self.route(host)
    }

    /// Runs a command line on a node.
    ///
    /// # Errors
    /// As [`SshError`] says; the subject is the node. An exit status other than 0 is no error.
    pub async fn exec(&self, host: &Host, command: &str, stdin: &[u8], deadline: Duration) -> PortResult<Output> {
        self.run(host, command, stdin, deadline).await.map_err(|error| error.about(host.node.to_string()))
    }

    pub(crate) async fn run(&self, host: &Host, command: &str, stdin: &[u8], deadline: Duration) -> Result<Output, SshError> {
        let mut output = Output::default();
        output.status = self.listen(host, &Order::Command(command, stdin), deadline, &mut |heard| output.hear(heard)).await?;
        Ok(output)
    }

    /// Has something done and tells what is printed as it comes.
    pub(crate) async fn listen(&self, host: &Host, order: &Order<'_>, deadline: Duration, ear: &mut Ear<'_>) -> Result<u32, SshError> {
        let slot = self.slot(host);
        let mut kept = slot.lock().await;
        let mut reopened = false;
        let answer = loop {
            let session = self.session(&mut kept, host).await?;
            self.inner.commands.fetch_add(1, Ordering::Relaxed);
            let done = match order {
                Order::Command(line, stdin) => session.exec(line, stdin, deadline, ear).await,
                Order::Program(program) => session.run(program, deadline, ear).await,
            };
            match done {
                // Nothing of the command was sent: another connection hides no failure of the command's.
                Err(SshError::Stale) if !reopened => {
                    reopened = true;
                    *kept = None;
                    self.inner.commands.fetch_sub(1, Ordering::Relaxed);
                }
                answer => break answer,
            }
        };
        if answer.is_err() {
            *kept = None;
        }
        drop(kept);
        self.close_the_least_used().await;
        answer
    }

    /// Closes a node's connection.
    pub async fn release(&self, host: &Host) {
        let kept = self.inner.nodes.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
        if let Some(kept) = kept
            && let Some(session) = kept.slot.lock().await.take()
        {
            session.close().await;
        }
    }

    /// Closes all connections that nobody uses at the moment.
    pub async fn close(&self) {
        let hosts: Vec<Host> = self.inner.nodes.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        futures::future::join_all(hosts.iter().map(|host| self.release(host))).await;
    }

    fn slot(&self, host: &Host) -> Slot {
        let used = self.inner.tick.fetch_add(1, Ordering::Relaxed);
        let mut nodes = self.inner.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = nodes.entry(host.clone()).or_insert_with(|| Kept { slot: Slot::default(), used });
        kept.used = used;
        kept.slot.clone()
    }

    async fn session<'a>(&self, kept: &'a mut Option<Counted>, host: &Host) -> Result<&'a mut dyn Session, SshError> {
        let usable = |counted: &Counted| counted.session.as_ref().is_some_and(|session| session.usable());
        if let Some(spent) = kept.take_if(|counted| !usable(counted)) {
            spent.close().await;
        }
        if kept.is_none() {
            let session = self.open(&self.way(host).await?).await?;
            self.inner.open.fetch_add(1, Ordering::Relaxed);
            *kept = Some(Counted { session: Some(session), open: self.inner.open.clone() });
        }
        kept.as_mut().and_then(|counted| counted.session.as_deref_mut()).map_or(Err(SshError::Stale), |session| Ok(session as _))
    }

    async fn open(&self, route: &Route) -> Result<Box<dyn Session>, SshError> {
        let connector = self.inner.connector.as_deref().map_err(|reason| SshError::Settings(reason.clone()))?;
        let mut waits = BACK_OFF.iter();
        loop {
            self.inner.connects.fetch_add(1, Ordering::Relaxed);
            match connector.open(route).await {
                Err(error) if error.is_unreachable() => match waits.next() {
                    Some(wait) => sleep(*wait).await,
                    None => return Err(error),
                },
                ended => return ended,
            }
        }
    }

    async fn close_the_least_used(&self) {
        while self.inner.open.load(Ordering::Relaxed) > self.inner.settings.max_idle {
            let oldest = {
                let nodes = self.inner.nodes.lock().unwrap_or_else(PoisonError::into_inner);
                let idle = nodes.values().filter_map(|kept| Some((kept.used, kept.slot.clone().try_lock_owned().ok()?)));
                idle.filter(|(_, session)| session.is_some()).min_by_key(|(used, _)| *used)
            };
            let Some((_, mut slot)) = oldest else { return };
            if let Some(session) = slot.take() {
                session.close().await;
            }
        }
    }
}

/// A configuration with what it includes. What cannot be read says nothing, as for `ssh`.
fn read_config(file: &Path, home: &Path) -> SshConfig {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let include = |pattern: &str| {
        let path = match pattern.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => folder.join(pattern),
        };
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { return Vec::new() };
        let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return Vec::new() };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| {
            file.file_name().is_some_and(|found| crate::ssh_config::glob(name.as_bytes(), found.to_string_lossy().as_bytes()))
        });
        files.sort();
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
    };
    std::fs::read_to_string(file).map_or_else(|_| SshConfig::default(), |text| SshConfig::parse(&text, &include))
}
