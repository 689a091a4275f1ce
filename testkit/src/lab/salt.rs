//! How does a booted host become a master or a minion? By files that are there before Salt starts: whom it trusts is decided
//! by the test, and not by who comes first.

use super::{
    error::{LabError, LabResult, Trying, succeeded},
    host::Host,
    spec::HostFile,
};
use std::{collections::BTreeSet, fmt::Display, time::Duration};
use tokio::process::Command;

/// An RSA key, as Salt's masters and minions have theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The secret half, for `master.pem` or `minion.pem`.
    pub private_pem: String,
    /// The other, for `master.pub`, `minion.pub`, `minion_master.pub` and accepted keys.
    pub public_pem: String,
}

impl KeyPair {
    /// A new one, in a fraction of a second.
    ///
    /// # Errors
    /// When this machine's `ssh-keygen` fails.
    pub async fn new() -> LabResult<Self> {
        let folder = tempfile::Builder::new().prefix("bldr-key-").tempdir().trying("a temporary folder")?;
        let path = folder.path().join("key");
        let keygen = async |args: &[&str]| {
            let output = Command::new("ssh-keygen").args(args).arg("-f").arg(&path).output().await.trying("ssh-keygen")?;
            succeeded("ssh-keygen", output)
        };
        keygen(&["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-C", "lab"]).await?;
        let public = keygen(&["-e", "-m", "PKCS8"]).await?;
        let private_pem = std::fs::read_to_string(&path).trying(path.display())?;
        Ok(Self { private_pem, public_pem: String::from_utf8_lossy(&public.stdout).into_owned() })
    }
}

/// What a master should be. [`Master::files`] are for a host's spec.
#[derive(Debug, Clone)]
pub struct Master {
    /// What its states say who it is: a highstate writes `mastered by NAME` to `/etc/highstate-ran`.
    pub name: String,
    /// Its key.
    pub keys: KeyPair,
    /// Whether it accepts every minion that comes.
    pub auto_accept: bool,
    /// The minions it has accepted before they first come: id and public key.
    pub accepted: Vec<(String, String)>,
    /// More lines of `/etc/salt/master`.
    pub config: String,
}

impl Master {
    /// A master with a few threads that accepts nobody.
    pub fn new(name: impl Into<String>, keys: &KeyPair) -> Self {
        Self { name: name.into(), keys: keys.clone(), auto_accept: false, accepted: Vec::new(), config: String::new() }
    }
    /// Accepts a minion before it first comes.
    #[must_use]
    pub fn accepts(mut self, id: impl Into<String>, keys: &KeyPair) -> Self {
        self.accepted.push((id.into(), keys.public_pem.clone()));
        self
    }
    /// Accepts every minion that comes.
    #[must_use]
    pub fn accepts_all(mut self) -> Self {
        self.auto_accept = true;
        self
    }
    /// What is on its disk.
    pub fn files(&self) -> Vec<HostFile> {
        let auto_accept = if self.auto_accept { "True" } else { "False" };
        let config =
            format!("interface: 0.0.0.0\nauto_accept: {auto_accept}\nworker_threads: 2\nfile_roots:\n  base: [/srv/salt]\n{}", self.config);
        let state = format!("/etc/highstate-ran:\n  file.managed:\n    - contents: mastered by {}\n", self.name);
        let mut files = vec![
            HostFile::new("/etc/salt/master", config, 0o644),
            HostFile::new("/etc/salt/pki/master/master.pem", self.keys.private_pem.as_str(), 0o400),
            HostFile::new("/etc/salt/pki/master/master.pub", self.keys.public_pem.as_str(), 0o644),
            HostFile::new("/srv/salt/top.sls", "base:\n  '*': [trivial]\n", 0o644),
            HostFile::new("/srv/salt/trivial.sls", state, 0o644),
        ];
        let accepted = |(id, key): &(String, String)| HostFile::new(format!("/etc/salt/pki/master/minions/{id}"), key.as_str(), 0o644);
        files.extend(self.accepted.iter().map(accepted));
        files
    }
}

/// What a minion should be. [`Minion::files`] are for a host's spec.
#[derive(Debug, Clone)]
pub struct Minion {
    /// Its id.
    pub id: String,
    /// The address of its master.
    pub master: String,
    /// Its key.
    pub keys: KeyPair,
    /// The key it takes for its master's; without one it trusts who answers first.
    pub trusts: Option<String>,
    /// More lines of `/etc/salt/minion`.
    pub config: String,
}

impl Minion {
    /// A minion that trusts nobody yet.
    pub fn new(id: impl Into<String>, keys: &KeyPair, master: impl Display) -> Self {
        Self { id: id.into(), master: master.to_string(), keys: keys.clone(), trusts: None, config: String::new() }
    }
    /// Gives it its master's key.
    #[must_use]
    pub fn trusts(mut self, master: &KeyPair) -> Self {
        self.trusts = Some(master.public_pem.clone());
        self
    }
    /// What is on its disk.
    pub fn files(&self) -> Vec<HostFile> {
        let mut files = vec![
            HostFile::new("/etc/salt/minion", format!("master: {}\nid: {}\n{}", self.master, self.id, self.config), 0o644),
            HostFile::new("/etc/salt/pki/minion/minion.pem", self.keys.private_pem.as_str(), 0o400),
            HostFile::new("/etc/salt/pki/minion/minion.pub", self.keys.public_pem.as_str(), 0o644),
        ];
        files.extend(self.trusts.as_ref().map(|key| HostFile::new("/etc/salt/pki/minion/minion_master.pub", key.as_str(), 0o644)));
        files
    }
}

/// Waits until a master that was started takes connections: `systemctl start` returns long before that.
///
/// # Errors
/// When it does not within that time.
pub async fn until_greets(master: &Host, within: Duration) -> LabResult<()> {
    // A port that is open is not enough: ZeroMQ greets first, and without being asked.
    let greets = "timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/$0 && [ $(head -c 1 <&3 | wc -c) = 1 ]' $port 2>/dev/null";
    let line = format!("for port in 4505 4506; do until {greets}; do sleep 0.1; done; done");
    let seconds = within.as_secs().to_string();
    succeeded(format_args!("{} greets", master.name()), master.exec(&["timeout", &seconds, "sh", "-c", &line]).await?)?;
    Ok(())
}

/// Asks a master once for minions: those that answered. The master must be able to ask.
///
/// # Errors
/// When the host is not up, or its master does not run.
pub async fn answering(master: &Host, ids: &[impl AsRef<str>]) -> LabResult<BTreeSet<String>> {
    ask(master, ids, Duration::ZERO).await
}

/// Waits until all these minions answer their master, which need not run yet. One question for all: who asks loads the master
/// as much as a minion that starts.
///
/// # Errors
/// When they do not within that time.
pub async fn until_answer(master: &Host, ids: &[impl AsRef<str>], within: Duration) -> LabResult<()> {
    let answered = ask(master, ids, within).await?;
    let missing: Vec<&str> = ids.iter().map(AsRef::as_ref).filter(|id| !answered.contains(*id)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(LabError::broken(format_args!("{} asks {} for {within:?}", master.name(), missing.join(", ")), "no answer"))
}

async fn ask(master: &Host, ids: &[impl AsRef<str>], within: Duration) -> LabResult<BTreeSet<String>> {
    // A master that hangs is given up on the host itself, where nothing is left of the question.
    let limit = (within + Duration::from_secs(60)).as_secs().to_string();
    let within = within.as_secs_f64().to_string();
    let mut command = vec!["timeout", "--kill-after=1", &limit, "/opt/saltstack/salt/bin/python3", "-", &within];
    command.extend(ids.iter().map(AsRef::as_ref));
    let output = master.exec_with(&command, include_bytes!("../../lab/ask_minions.py")).await?;
    let output = succeeded(format_args!("{} asks {}", master.name(), command[6..].join(", ")), output)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(Into::into).collect())
}
