//! Which real parts does a test need? A fleet on this machine: hosts with a stock OpenSSH server, and EC2, in namespaces.
//!
//! A [`Lab`] is a network of its own without a way out. In it are hosts ([`Lab::host`]), EC2 ([`Lab::ec2`]), machines that
//! are both ([`Lab::instance`]), those that bldr itself launches ([`Lab::launches`]), and the programs under test ([`Lab::run_in_hub`]), which see this machine's files and the
//! lab's network. However the process that holds it ends, it leaves no process, no mount and no file.
//!
//! A [`GitHost`] has the repositories that hosts fetch.
//!
//! Hosts are [`HostKind::Light`], for breadth, or [`HostKind::Booted`]: a whole Debian, in which [`salt`] is real.
//!
//! It needs root, and the programs that [`Lab::available`] looks for. Everything belongs to the tokio runtime it was made
//! in. Labs do not see each other: each has the same addresses.

mod available;
mod booted;
mod ec2;
mod error;
mod faults;
mod git;
mod host;
mod hub;
mod inside;
mod instance;
mod launch;
mod machine;
pub mod salt;
mod spec;

pub use ec2::{Ec2, REGION};
pub use error::{LabError, LabResult};
pub use git::GitHost;
pub use host::Host;
pub use inside::Running;
pub use instance::{Begins, Convention, InstanceSpec};
pub use launch::Launching;
pub use spec::{HostFile, HostKind, HostSpec};

use error::{Trying, succeeded};
use futures::{StreamExt, TryStreamExt, stream};
use hub::{Ground, Hub};
use inside::{entering_at, here};
use std::{
    ffi::OsStr,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
};
use tempfile::TempDir;
use tokio::{process::Command, sync::OnceCell};

/// The hub's own address: where programs under test come from.
pub const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// How many hosts come up side by side: enough to keep a few cores busy with what is mostly waiting for the kernel.
const AT_ONCE: usize = 12;

/// A fleet of real parts, which lives as long as this value.
#[derive(Debug)]
pub struct Lab {
    // Before the folder: dropping the hub ends everything that uses it.
    ec2: OnceCell<Ec2>,
    hub: Hub,
    ground: Arc<Ground>,
    dir: PathBuf,
    _dir: TempDir,
}

impl Lab {
    /// Whether there can be a lab on this machine.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn available() -> Result<(), String> {
        available::available()
    }

    /// An empty lab.
    ///
    /// # Errors
    /// When this machine cannot have one.
    pub async fn new() -> LabResult<Self> {
        let made = tokio::task::spawn_blocking(|| {
            available::available().map_err(LabError::Unavailable)?;
            let folder = tempfile::Builder::new().prefix("bldr-lab-").tempdir().trying("a temporary folder")?;
            let dir = folder.path().canonicalize().trying(folder.path().display())?;
            fs::create_dir(dir.join("hosts")).trying(dir.display())?;
            let mut keygen = std::process::Command::new("ssh-keygen");
            let keygen = keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f"]).arg(dir.join("key"));
            succeeded("ssh-keygen", keygen.output().trying("ssh-keygen")?)?;
            Ok((Hub::new(&dir)?, dir, folder))
        });
        let (hub, dir, folder) = made.await.map_err(|e| LabError::broken("the lab's hub", e))??;
        Ok(Self { ec2: OnceCell::new(), ground: Arc::new(Ground::new(hub.pid, &dir)), hub, dir, _dir: folder })
    }

    /// Its folder, on this machine's file system: keys and logs. Gone when the lab is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The operator's private key, which every host's user `ubuntu` accepts. Its public half is beside it, as `.pub`.
    pub fn key(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// The first process of the lab, as this machine counts.
    pub fn pid(&self) -> u32 {
        self.hub.pid
    }

    /// Brings a host up; its sshd listens when this returns.
    ///
    /// # Errors
    /// When it does not come up; with its log.
    pub async fn host(&self, spec: HostSpec) -> LabResult<Host> {
        Host::new(&self.ground, spec).await
    }

    /// Brings many hosts up side by side. In the order of their specs.
    ///
    /// # Errors
    /// As [`Lab::host`]; the first that fails.
    pub async fn hosts(&self, specs: Vec<HostSpec>) -> LabResult<Vec<Host>> {
        stream::iter(specs).map(|spec| self.host(spec)).buffered(AT_ONCE).try_collect().await
    }

    /// EC2, started when first asked for. It throws the switches of the lab's instances: what is started or stopped
    /// through its interface, by whomever, answers or falls silent.
    ///
    /// # Errors
    /// When moto does not start.
    pub async fn ec2(&self) -> LabResult<&Ec2> {
        self.ec2.get_or_try_init(|| Ec2::new(self.hub.pid, &self.dir)).await
    }

    /// Runs a program of this machine in the lab's network, in the current folder and environment and with `env` on top.
    ///
    /// # Errors
    /// When it cannot be run at all. A program that fails is an output.
    pub async fn run_in_hub<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: &[A], env: &[(String, String)]) -> LabResult<Output> {
        self.spawn_in_hub(program, args, env)?.wait_with_output().await
    }

    /// The same, without waiting for its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_in_hub<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: &[A], env: &[(String, String)]) -> LabResult<Running> {
        Running::start(self.in_hub(&here(), program, args, env), Stdio::null())
    }

    /// A command that will run a program in the lab's network, to be given a folder, pipes or a terminal.
    pub fn in_hub<A: AsRef<OsStr>>(&self, dir: &Path, program: impl AsRef<OsStr>, args: &[A], env: &[(String, String)]) -> Command {
        let mut command = entering_at(self.hub.pid, dir, program, args);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a line of shell on a host as `ubuntu`, through the stock ssh client and the first of these addresses it has:
    /// public, private. Its host key must be the host's.
    ///
    /// # Errors
    /// When ssh cannot be run at all. A line that fails is an output.
    pub async fn ssh(&self, host: &Host, line: &str) -> LabResult<Output> {
        let known = self.dir.join("hosts").join(host.name()).join("known_hosts");
        fs::write(&known, host.known_hosts()?).trying(known.display())?;
        let address = host.public().unwrap_or(host.private());
        let known = format!("-oUserKnownHostsFile={}", known.display());
        let key = self.key().display().to_string();
        let destination = format!("ubuntu@{address}");
        let args = ["-F/dev/null", "-i", &key, &known, "-oStrictHostKeyChecking=yes", "-oBatchMode=yes", "-oConnectTimeout=5"];
        // OpenSSH's own first choice takes ten times the processor time, on both sides; here a log-in is only a means.
        let more = ["-oKexAlgorithms=curve25519-sha256", "-oLogLevel=ERROR", &destination, line];
        self.run_in_hub("ssh", &[&args[..], &more[..]].concat(), &[]).await
    }
}
