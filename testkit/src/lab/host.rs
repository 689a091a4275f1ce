//! What is a host of the lab? A machine of its own to everything that looks at it: addresses, sshd, processes, disk.

use super::{
    error::{LabResult, Trying, succeeded},
    hub::Ground,
    inside::{Running, entering},
    machine::Machine,
    spec::HostSpec,
};
use std::{
    fs,
    net::Ipv4Addr,
    process::{Output, Stdio},
    sync::{Arc, PoisonError},
};
use tokio::process::Command;

/// A host. Clones are the same host; it dies by [`Host::kill`] and with its lab.
#[derive(Debug, Clone)]
pub struct Host(pub(super) Arc<Machine>);

impl Host {
    pub(super) async fn new(ground: &Arc<Ground>, spec: HostSpec) -> LabResult<Self> {
        let machine = Machine::new(ground, spec)?;
        machine.start().await?;
        Ok(Self(Arc::new(machine)))
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
        self.0.public()
    }
    pub(super) fn note_public(&self, address: Option<Ipv4Addr>) {
        *self.0.public.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
    /// Its first process, as this machine counts: who lists its namespaces starts here. Another one after each start; of a
    /// host that is off the last one it had.
    pub fn pid(&self) -> u32 {
        self.0.pid()
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
        Running::start(self.entering(args)?, Stdio::piped())?.feed(input).await
    }

    fn entering<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> LabResult<Command> {
        let mut command = entering(self.0.inside()?);
        command.args(["-r", "-w", "--", "env", "-i", "HOME=/root", "LANG=C.UTF-8"]);
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").args(args);
        Ok(command)
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
}
