//! When does a host of the lab run? It is started, ends, and starts again with the disk that it had.

use super::{
    booted,
    error::{LabError, LabResult, Trying},
    host::Host,
    hub::{Ground, data},
    inside::{children, entering, send},
    spec::{HostFile, HostKind, HostSpec},
};
use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    sync::watch,
    time::timeout,
};

/// Long enough for a machine that is busy with three hundred others, and for a Salt that takes its time to stop.
const UP_WITHIN: Duration = Duration::from_secs(400);

/// What is behind a [`Host`].
#[derive(Debug)]
pub(super) struct Machine {
    ground: Arc<Ground>,
    pub(super) name: String,
    pub(super) kind: HostKind,
    pub(super) private: Ipv4Addr,
    pub(super) public: Mutex<Option<Ipv4Addr>>,
    /// Its disk, seen through the hub.
    pub(super) disk: PathBuf,
    /// How often it has come up so far.
    starts: watch::Sender<u32>,
    processes: Mutex<Processes>,
    life: tokio::sync::Mutex<Option<Life>>,
}

/// As this machine counts them.
#[derive(Debug, Default)]
struct Processes {
    /// The first of the namespaces, while there is one.
    keeper: Option<u32>,
    /// The first of the host itself: the last one that was seen.
    first: u32,
}

/// From a start to an end; in between a guest may start itself again.
#[derive(Debug)]
struct Life {
    entrance: Child,
    port: String,
}

impl Machine {
    pub(super) fn new(ground: &Arc<Ground>, spec: HostSpec) -> LabResult<Self> {
        let name = spec.name;
        let folder = ground.dir.join("hosts").join(&name);
        fs::create_dir(&folder).trying(format_args!("a host called {name}"))?;
        place(&folder.join("files"), &spec.files)?;
        let without = spec.without.iter().map(|path| format!("{path}\n"));
        fs::write(folder.join("without"), without.collect::<String>()).trying(folder.display())?;
        Ok(Self {
            disk: ground.seen(&ground.dir.join("fs/hosts").join(&name).join("upper")),
            ground: Arc::clone(ground),
            name,
            kind: spec.kind,
            private: spec.private,
            public: Mutex::new(spec.public),
            starts: watch::Sender::new(0),
            processes: Mutex::default(),
            life: tokio::sync::Mutex::new(None),
        })
    }

    pub(super) fn public(&self) -> Option<Ipv4Addr> {
        *self.public.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first process, or the last one there was. A guest that starts itself again has another one afterwards.
    pub(super) fn pid(&self) -> u32 {
        self.look().first
    }

    /// The process whose namespaces are the host's, for who wants to enter.
    pub(super) fn inside(&self) -> LabResult<u32> {
        let processes = self.look();
        let there = processes.keeper.and_then(|keeper| self.first_of(keeper));
        there.ok_or_else(|| LabError::broken(&self.name, "is not up"))
    }

    fn first_of(&self, keeper: u32) -> Option<u32> {
        match self.kind {
            HostKind::Light => Some(keeper),
            HostKind::Booted => booted::system(keeper),
        }
    }

    fn look(&self) -> MutexGuard<'_, Processes> {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = processes.keeper.and_then(|keeper| self.first_of(keeper)) {
            processes.first = first;
        }
        processes
    }

    /// Whether it has to be started before it can do anything.
    pub(super) async fn is_dead(&self) -> LabResult<bool> {
        match &mut *self.life.lock().await {
            Some(life) => Ok(life.entrance.try_wait().trying("nsenter")?.is_some()),
            None => Ok(true),
        }
    }

    /// Starts it unless it runs. Its sshd listens when this returns.
    pub(super) async fn start(&self) -> LabResult<()> {
        let before = *self.starts.borrow();
        let mut held = self.life.lock().await;
        if let Some(life) = &mut *held
            && life.entrance.try_wait().trying("nsenter")?.is_none()
        {
            return Ok(());
        }
        let tree = if self.kind == HostKind::Booted { booted::tree()? } else { PathBuf::new() };
        let port = self.ground.port();
        let folder = self.folder();
        let errors = File::create(folder.join("log.start")).trying(folder.display())?;
        let mut command = entering(self.ground.hub);
        command.args(["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child"]).arg(data().join("host.sh"));
        command.arg(&self.ground.dir).args([&self.name, self.kind.word(), &port]).arg(self.private.to_string());
        command.arg(self.public().map(|address| address.to_string()).unwrap_or_default()).arg(tree);
        let mut entrance = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn().trying("nsenter")?;

        let starts = self.starts.clone();
        let (ended, end) = tokio::sync::oneshot::channel();
        if let Some(said) = entrance.stdout.take() {
            tokio::spawn(async move {
                let mut lines = BufReader::new(said).lines();
                while let Ok(Some(_ready)) = lines.next_line().await {
                    starts.send_modify(|count| *count += 1);
                }
                let _ = ended.send(());
            });
        }
        let mut seen = self.starts.subscribe();
        let up = tokio::select! {
            // Both may be so at once: a light host has nothing more to say after its first word.
            biased;
            up = timeout(UP_WITHIN, seen.wait_for(|count| *count > before)) => matches!(up, Ok(Ok(_))),
            _ = end => *self.starts.borrow() > before,
        };
        // nsenter, then unshare, then the host's own first process.
        let unshare = entrance.id().and_then(|nsenter| children(nsenter).first().copied());
        let keeper = unshare.and_then(|unshare| children(unshare).first().copied());
        let Some(keeper) = keeper.filter(|_| up) else {
            if let Some(keeper) = keeper {
                send("KILL", keeper);
            }
            return Err(LabError::broken(format_args!("host {} did not come up", self.name), self.logs().trim()));
        };
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).keeper = Some(keeper);
        self.pid();
        *held = Some(Life { entrance, port });
        Ok(())
    }

    /// Ends it as a power cut does.
    pub(super) async fn kill(&self) -> LabResult<()> {
        let mut held = self.life.lock().await;
        // A last look, while there is something to see.
        let keeper = self.look().keeper.take();
        if let Some(mut life) = held.take() {
            if life.entrance.try_wait().trying("nsenter")?.is_none() {
                if let Some(keeper) = keeper {
                    send("KILL", keeper);
                }
                life.entrance.wait().await.trying("nsenter")?;
            }
            // The kernel would take it away too, in its own time.
            let mut unplug = entering(self.ground.hub);
            let _ = unplug.args(["ip", "link", "del", &life.port]).stderr(Stdio::null()).status().await;
        }
        Ok(())
    }

    /// How often it has come up so far.
    pub(super) fn starts(&self) -> u32 {
        *self.starts.borrow()
    }

    /// Waits until it has come up more often than that.
    pub(super) async fn up_again(&self, starts: u32) -> LabResult<()> {
        let mut seen = self.starts.subscribe();
        let up = timeout(UP_WITHIN, seen.wait_for(|count| *count > starts)).await;
        match up {
            Ok(Ok(_)) => Ok(()),
            _ => Err(LabError::broken(format_args!("host {} did not come up again", self.name), self.logs().trim())),
        }
    }

    fn folder(&self) -> PathBuf {
        self.ground.dir.join("hosts").join(&self.name)
    }

    fn logs(&self) -> String {
        let folder = self.folder();
        let logs = [folder.join("log.start"), folder.join("log"), self.disk.join("var/log/auth.log")];
        logs.map(|log| String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()).concat()
    }
}

fn place(root: &Path, files: &[HostFile]) -> LabResult<()> {
    for file in files {
        let path = root.join(file.path.trim_start_matches('/'));
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(root))?;
            let mut open = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            std::io::Write::write_all(&mut open, &file.bytes)?;
            open.set_permissions(fs::Permissions::from_mode(file.mode))
        };
        write().trying(path.display())?;
    }
    Ok(())
}

impl Host {
    /// Ends it as a power cut does: every process is gone when this returns, its addresses answer nobody.
    ///
    /// # Errors
    /// When the system does not say that it is dead.
    pub async fn kill(&self) -> LabResult<()> {
        self.0.kill().await
    }

    /// Starts it again, and returns when its sshd listens: a booted one by `systemctl reboot`, a light one by its power switch.
    ///
    /// # Errors
    /// When it is dead, or does not come up again; with its log.
    pub async fn reboot(&self) -> LabResult<()> {
        if self.0.kind == HostKind::Light {
            self.kill().await?;
            return self.0.start().await;
        }
        let starts = self.starts();
        // It may end before it has an exit code to give; what counts is that the host comes up again.
        let asked = self.exec(&["systemctl", "reboot"]).await?;
        if asked.status.code().is_some_and(|code| code != 0) && self.shell("true").await.is_ok() {
            super::error::succeeded(format_args!("{}: systemctl reboot", self.name()), asked)?;
        }
        self.up_again(starts).await
    }

    /// How often it has come up so far: 1 when [`Lab::host`](super::Lab::host) returns.
    pub fn starts(&self) -> u32 {
        self.0.starts()
    }

    /// Waits until it has come up more often than that, by whomever it was started again. Its sshd listens then.
    ///
    /// # Errors
    /// When it does not; with its log.
    pub async fn up_again(&self, starts: u32) -> LabResult<()> {
        self.0.up_again(starts).await
    }

    /// What stopping an instance does: nothing runs, nothing answers, the public address is given back. A light host is
    /// frozen behind lost packets, a booted one ends as by [`Host::kill`].
    ///
    /// # Errors
    /// When the host is dead already.
    pub async fn power_off(&self) -> LabResult<()> {
        if self.0.kind == HostKind::Booted {
            self.note_public(None);
            return self.kill().await;
        }
        self.change_public(None).await?;
        self.drop_all_traffic().await?;
        self.freeze().await
    }

    /// What starting it does, with the public address it has from now on and the disk it had. Its sshd listens when this
    /// returns, also after [`Host::kill`].
    ///
    /// # Errors
    /// When it does not come up; with its log.
    pub async fn power_on(&self, public: Option<Ipv4Addr>) -> LabResult<()> {
        if self.0.is_dead().await? {
            self.note_public(public);
            return self.0.start().await;
        }
        self.change_public(public).await?;
        self.restore_traffic().await?;
        self.thaw().await
    }
}
