//! How does the machine's own `ssh` get to a node? One multiplexed connection, set up by a small configuration in front
//! of which the operator's own comes first.

use crate::{
    error::SshError,
    route::Route,
    session::{Connector, Ear, Session},
    settings::SshSettings,
    system_words,
};
use async_trait::async_trait;
use bldr_core::ports::Heard;
use openssh::{ControlPersist, KnownHosts, SessionBuilder, Stdio};
use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// Opens connections that the system's `ssh` speaks. `~/.ssh/config` is honoured in full.
pub struct SystemConnector {
    settings: Arc<SshSettings>,
    /// Control sockets and configurations: short, private to this user, gone with the last session.
    folder: Arc<TempDir>,
    opened: AtomicU64,
}

/// How long an `ssh` that was left behind by a killed process stays.
const LEFT_BEHIND: NonZeroUsize = NonZeroUsize::MIN.saturating_add(599);

impl SystemConnector {
    /// A connector with these settings.
    ///
    /// # Errors
    /// When there is no place for its sockets.
    pub fn new(settings: Arc<SshSettings>) -> Result<Self, SshError> {
        // The path of a Unix socket has room for 108 bytes; a long TMPDIR leaves too few of them.
        let place = Some(std::env::temp_dir()).filter(|folder| folder.as_os_str().len() < 40).unwrap_or_else(|| "/tmp".into());
        let made = tempfile::Builder::new().prefix("bldr-").tempdir_in(&place);
        let folder = made.map_err(|error| SshError::Settings(format!("cannot make a folder in {}: {error}", place.display())))?;
        Ok(Self { settings, folder: Arc::new(folder), opened: AtomicU64::default() })
    }

    fn write_configuration(&self, route: &Route) -> Result<PathBuf, SshError> {
        let file = self.folder.path().join(format!("config-{}", self.opened.fetch_add(1, Ordering::Relaxed)));
        let text = configuration(&self.settings, route, "BatchMode yes")?;
        fs::write(&file, text).map_err(|error| SshError::Settings(format!("cannot write {}: {error}", file.display())))?;
        Ok(file)
    }
}

#[async_trait]
impl Connector for SystemConnector {
    async fn open(&self, route: &Route) -> Result<Box<dyn Session>, SshError> {
        let file = self.write_configuration(route)?;
        let mut builder = SessionBuilder::default();
        builder
            .config_file(&file)
            .control_directory(self.folder.path())
            .control_persist(ControlPersist::IdleFor(LEFT_BEHIND))
            .connect_timeout(self.settings.connect_timeout)
            .server_alive_interval(Duration::from_secs(10))
            .known_hosts_check(KnownHosts::Add);
        if let Some(socket) = &self.settings.agent {
            builder.ssh_auth_sock(socket);
        }
        // ssh keeps the time for connecting itself; logging in has none there.
        let limit = self.settings.connect_timeout + self.settings.auth_timeout;
        let opened = timeout(limit, builder.connect(&route.alias)).await;
        // A connection that is set up does not read it again.
        let _ = fs::remove_file(&file);
        match opened {
            Ok(Ok(session)) => Ok(Box::new(SystemSession { session: Some(session), _folder: self.folder.clone() })),
            Ok(Err(error)) => Err(system_words::of(&error, route, &self.settings.known_hosts)),
            Err(_) => Err(SshError::Unreachable { place: route.place(), reason: format!("no answer within {} s", limit.as_secs_f32()) }),
        }
    }
}

/// In ssh the first value of a keyword counts: what must be so, then the operator's own, then the defaults. `manner` is a line
/// of what must be so.
pub(crate) fn configuration(settings: &SshSettings, route: &Route, manner: &str) -> Result<String, SshError> {
    let quoted = |path: &Path| {
        let text = path.to_string_lossy();
        let wrong = text.contains(['"', '\n']);
        (!wrong).then(|| format!("\"{text}\"")).ok_or_else(|| SshError::Settings(format!("ssh cannot take the path {text:?}")))
    };
    // The hosts on the way must not ask either, and have as long.
    let mut lines = vec![
        format!("UserKnownHostsFile {}", quoted(&settings.known_hosts)?),
        "StrictHostKeyChecking accept-new".into(),
        manner.into(),
        format!("ConnectTimeout {}", settings.connect_timeout.as_secs().max(1)),
    ];
    lines.push(format!("Host {}", route.alias));
    if settings.endpoints.values().any(|end| end.ip().to_string() == route.host && end.port() == route.port) {
        lines.extend([format!("  HostName {}", route.host), format!("  Port {}", route.port)]);
    }
    if let Some(key) = &route.stack_key {
        lines.push(format!("  IdentityFile {}", quoted(key)?));
    }
    if let Some(config) = &settings.config {
        lines.extend(["Match all".into(), format!("Include {}", quoted(config)?)]);
    }
    lines.push(format!("Host {}", route.alias));
    lines.extend([format!("  HostName {}", route.host), format!("  Port {}", route.port), format!("  User {}", route.user)]);
    if let Some(via) = &route.via {
        lines.push(format!("  ProxyJump {}", jump(via)));
    }
    lines.push("Match all".into());
    for file in &settings.key_files {
        if file.exists() {
            lines.push(format!("IdentityFile {}", quoted(file)?));
        }
    }
    if settings.agent.is_none() {
        lines.push("IdentityAgent none".into());
    }
    lines.extend([format!("User {}", settings.user), "Include /etc/ssh/ssh_config".into(), String::new()]);
    Ok(lines.join("\n"))
}

fn jump(via: &Route) -> String {
    let last = format!("{}@{}", via.user, via.place());
    via.via.as_ref().map_or(last.clone(), |before| format!("{},{last}", jump(before)))
}

/// A connection that the system's `ssh` speaks.
struct SystemSession {
    session: Option<openssh::Session>,
    /// Dropped after the session, which needs its socket to end the `ssh` behind it.
    _folder: Arc<TempDir>,
}

impl SystemSession {
    /// Ends it for good: whether the other end is in a state to take another command is not known.
    async fn abandon(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = timeout(Duration::from_secs(2), session.close()).await;
        }
    }
}

#[async_trait]
impl Session for SystemSession {
    async fn exec(&mut self, command: &str, stdin: &[u8], deadline: Duration, ear: &mut Ear<'_>) -> Result<u32, SshError> {
        let Some(session) = &self.session else { return Err(SshError::Stale) };
        // Says nothing of the network, but without it a command would be tried over a connection that is gone, and nobody
        // could say whether it was sent.
        if session.check().await.is_err() {
            self.abandon().await;
            return Err(SshError::Stale);
        }
        let answer = timeout(deadline, run(session, command, stdin, ear)).await.unwrap_or(Err(SshError::Deadline(deadline)));
        if answer.is_err() {
            self.abandon().await;
        }
        answer
    }

    fn usable(&self) -> bool {
        self.session.is_some()
    }

    async fn close(mut self: Box<Self>) {
        self.abandon().await;
    }
}

async fn run(session: &openssh::Session, command: &str, stdin: &[u8], ear: &mut Ear<'_>) -> Result<u32, SshError> {
    let mut started = session.raw_command(command);
    started.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = started.spawn().await.map_err(|_| SshError::Stale)?;
    let (mut to, out, err) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let feeding = async {
        if let Some(mut pipe) = to.take() {
            // A command that does not want to read the rest is no failure.
            let _ = pipe.write_all(stdin).await;
            let _ = pipe.shutdown().await;
        }
        Ok(())
    };
    let ear = Mutex::new(ear);
    let tell = |heard: Heard<'_>| ear.lock().unwrap_or_else(PoisonError::into_inner)(heard);
    tokio::try_join!(feeding, each(out, |bytes| tell(Heard::Out(bytes))), each(err, |bytes| tell(Heard::Err(bytes))))?;
    match child.wait().await {
        // `ssh` itself ended by a signal has no code, and is no answer of the command's.
        Ok(status) => status.code().and_then(|code| u32::try_from(code).ok()).ok_or(SshError::Lost),
        Err(openssh::Error::Remote(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(127),
        Err(_) => Err(SshError::Lost),
    }
}

/// Tells all bytes to the end.
async fn each(from: Option<impl AsyncRead + Unpin>, tell: impl Fn(&[u8]) -> Result<(), SshError>) -> Result<(), SshError> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(size) => tell(&buffer[..size])?,
            Err(_) => return Err(SshError::Lost),
        }
    }
}
