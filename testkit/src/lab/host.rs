//! What is a host of the lab? A machine of its own to everything that looks at it: addresses, sshd, processes, disk.

use super::{
    error::{LabError, LabResult, Trying, succeeded},
    inside::{Running, children, entering, send},
};
use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// A file that is there before the host's sshd is.
#[derive(Debug, Clone)]
pub struct HostFile {
    /// Where, absolute.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its mode; the owner is root.
    pub mode: u32,
}

/// How much of a machine a host is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKind {
    /// sshd, sudo, and stand-ins for Salt and systemctl: hundreds of them fit.
    #[default]
    Light,
}

/// What a host should be.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Its name, unique in the lab.
    pub name: String,
    /// Its address on the bridge, in 10.77.0.0/16 and not 10.77.0.1; unique in the lab.
    pub private: Ipv4Addr,
    /// A second address it answers to, as EC2's public ones.
    pub public: Option<Ipv4Addr>,
    /// Files it starts with. `/etc/salt/minion` and `/etc/salt/master` start the daemon they configure.
    pub files: Vec<HostFile>,
    /// How much of a machine it is.
    pub kind: HostKind,
}

impl HostSpec {
    /// A light host with one address and no files.
    pub fn new(name: impl Into<String>, private: Ipv4Addr) -> Self {
        Self { name: name.into(), private, public: None, files: Vec::new(), kind: HostKind::Light }
    }
    /// Gives it a public address.
    #[must_use]
    pub fn public(mut self, address: Ipv4Addr) -> Self {
        self.public = Some(address);
        self
    }
    /// Gives it a file.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push(HostFile { path: path.into(), bytes: bytes.into(), mode });
        self
    }
}

/// A host that is up. Clones are the same host; it dies by [`Host::kill`] and with its lab.
#[derive(Debug, Clone)]
pub struct Host(Arc<Machine>);

#[derive(Debug)]
struct Machine {
    name: String,
    private: Ipv4Addr,
    public: Mutex<Option<Ipv4Addr>>,
    /// Its first process, as this machine counts.
    pid: u32,
    /// Its disk, seen through the hub.
    disk: PathBuf,
    life: tokio::sync::Mutex<Child>,
}

/// Long enough for a machine that is busy with three hundred others.
const UP_WITHIN: Duration = Duration::from_secs(90);

impl Host {
    pub(super) async fn new(hub: u32, lab: &Path, port: &str, spec: HostSpec) -> LabResult<Self> {
        let name = spec.name;
        let HostKind::Light = spec.kind;
        let folder = lab.join("hosts").join(&name);
        fs::create_dir(&folder).trying(format_args!("a host called {name}"))?;
        place(&folder.join("files"), &spec.files)?;
        let log = folder.join("log");

        let mut command = entering(hub);
        command.args(["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child"]).arg(super::hub::data().join("host.sh"));
        command.arg(lab).args([&name, port]).arg(spec.private.to_string());
        command.arg(spec.public.map(|address| address.to_string()).unwrap_or_default());
        let errors = File::create(folder.join("log.start")).trying(log.display())?;
        let mut life = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn().trying("nsenter")?;
        let mut said = String::new();
        if let Some(stdout) = life.stdout.take() {
            let mut lines = BufReader::new(stdout);
            let _ = timeout(UP_WITHIN, lines.read_line(&mut said)).await;
        }
        // nsenter, then unshare, then the host's own first process.
        let unshare = life.id().and_then(|nsenter| children(nsenter).first().copied());
        let first = unshare.and_then(|unshare| children(unshare).first().copied());
        let disk = PathBuf::from(format!("/proc/{hub}/root{}", lab.join("fs/hosts").join(&name).join("upper").display()));
        match (said.trim(), first) {
            ("ready", Some(pid)) => Ok(Self(Arc::new(Machine {
                name,
                private: spec.private,
                public: Mutex::new(spec.public),
                pid,
                disk,
                life: tokio::sync::Mutex::new(life),
            }))),
            _ => {
                let logs =
                    [folder.join("log.start"), log, disk.join("var/log/auth.log")].map(|p| fs::read_to_string(p).unwrap_or_default());
                if let Some(pid) = first {
                    send("KILL", pid);
                }
                Err(LabError::broken(format_args!("host {name} did not come up"), logs.concat().trim()))
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }
    /// Its address on the bridge.
    pub fn private(&self) -> Ipv4Addr {
        self.0.private
    }
    /// The public address it has at the moment.
    pub fn public(&self) -> Option<Ipv4Addr> {
        *self.0.public.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn note_public(&self, address: Option<Ipv4Addr>) {
        *self.0.public.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
    /// Its first process, as this machine counts: who lists its namespaces starts here.
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Runs a program on the host as root, with nothing of the test's environment.
    ///
    /// # Errors
    /// When it cannot be run at all, as on a dead host. A program that fails is an output.
    pub async fn exec<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> LabResult<Output> {
        self.exec_with(args, &[]).await
    }

    /// The same with something on its standard input.
    ///
    /// # Errors
    /// As [`Host::exec`].
    pub async fn exec_with<A: AsRef<std::ffi::OsStr>>(&self, args: &[A], input: &[u8]) -> LabResult<Output> {
        Running::start(self.entering(args), Stdio::piped())?.feed(input).await
    }

    fn entering<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Command {
        let mut command = entering(self.0.pid);
        command.args(["-r", "-w", "--", "env", "-i", "HOME=/root", "LANG=C.UTF-8"]);
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").args(args);
        command
    }

    /// Runs a line of shell on the host as root and returns what it wrote.
    ///
    /// # Errors
    /// When it fails.
    pub async fn shell(&self, line: &str) -> LabResult<String> {
        let output = self.exec(&["/bin/sh", "-ec", line]).await?;
        let output = succeeded(format_args!("{}: {line}", self.name()), output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes a file, in one piece, and the folders above it. The owner is root.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn write(&self, path: &str, bytes: &[u8], mode: u32) -> LabResult<()> {
        const SCRIPT: &str = r#"umask 077; mkdir -p "$(dirname "$1")"; cat >"$1.new"; chmod "$2" "$1.new"; mv -f "$1.new" "$1""#;
        let output = self.exec_with(&["/bin/sh", "-ec", SCRIPT, "write", path, &format!("{mode:o}")], bytes).await?;
        succeeded(format_args!("{}: writing {path}", self.name()), output).map(drop)
    }

    /// A file's content; `None` where there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub async fn read(&self, path: &str) -> LabResult<Option<Vec<u8>>> {
        let output = self.exec(&["/bin/sh", "-c", r#"[ -e "$1" ] || exit 44; exec cat "$1""#, "read", path]).await?;
        if output.status.code() == Some(44) {
            return Ok(None);
        }
        succeeded(format_args!("{}: reading {path}", self.name()), output).map(|output| Some(output.stdout))
    }

    /// Its public host key, as `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    /// When it has none.
    pub fn host_key(&self) -> LabResult<String> {
        let path = self.0.disk.join("etc/ssh/ssh_host_ed25519_key.pub");
        let text = fs::read_to_string(&path).trying(path.display())?;
        Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// Its lines of a `known_hosts` file: one for each address.
    ///
    /// # Errors
    /// When it has no host key.
    pub fn known_hosts(&self) -> LabResult<String> {
        let key = self.host_key()?;
        Ok([Some(self.private()), self.public()].into_iter().flatten().map(|address| format!("{address} {key}\n")).collect())
    }

    /// Ends it as a power cut does: every process is gone when this returns, its addresses answer nobody.
    ///
    /// # Errors
    /// When the system does not say that it is dead.
    pub async fn kill(&self) -> LabResult<()> {
        let mut life = self.0.life.lock().await;
        if life.try_wait().trying("nsenter")?.is_none() {
            send("KILL", self.0.pid);
            life.wait().await.trying("nsenter")?;
        }
        Ok(())
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
