//! How does a simulated machine become a minion or a master? By the same files as a real one; programs are files without content.

use super::{Machines, MasterDaemon, path, repositories::rendered};
use crate::salt;
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::{Host, PublicKey},
    library::PRIVATE,
    minion_config,
    ports::{Change, Enlistment, Installation, Library, Refreshed, Role, SaltSource, Setup, Unread},
    salt_version::SaltVersion,
    ssh_key::SshPublicKey,
};
use std::time::Duration;

/// The version of Salt on a machine that has it and says no other.
const SALT: &str = "3008.3";
/// The program that a machine without a master's daemon has, if it is to have one.
const SALT_MASTER: &str = "/usr/bin/salt-master";

fn refused(host: &Host, problem: impl Into<String>) -> PortError {
    PortError::new(PortErrorKind::Refused, host.node.to_string(), problem)
}

impl Machines {
    /// The version of a machine's Salt; none where it has none.
    pub(super) fn version(&self, name: &str) -> Option<SaltVersion> {
        match self.file(name, path::VERSION).ok().flatten() {
            Some(own) => SaltVersion::find(&own),
            None => {
                let machine = self.get(name)?;
                SaltVersion::find(SALT).filter(|_| machine.minion.is_some() || machine.master.is_some())
            }
        }
    }

    fn has_master(&self, name: &str) -> PortResult<bool> {
        let daemon = self.get(name).is_some_and(|machine| machine.master.is_some());
        Ok(daemon || self.file(name, SALT_MASTER)?.is_some())
    }

    /// The content of a file that is made once: as it is, or as it is made now.
    fn made_once(&self, name: &str, path: &str, make: impl FnOnce() -> String) -> PortResult<String> {
        if let Some(content) = self.file(name, path)? {
            return Ok(content);
        }
        let content = make();
        self.keep(name, path, Some(&content))?;
        Ok(content)
    }

    /// Something that no other machine has made up, nor this one in another life.
    fn secret(&self, name: &str, of: &str) -> String {
        let id = self.get(name).map(|machine| machine.id.to_string()).unwrap_or_default();
        format!("-----BEGIN MADE UP PRIVATE KEY-----\n{of} {name} {id}\n-----END MADE UP PRIVATE KEY-----\n")
    }

    /// A line of `minion.d` that wins over what is written to the configuration.
    fn override_of(&self, name: &str, to: &Enlistment) -> PortResult<Option<String>> {
        for file in self.list(name, "/etc/salt/minion.d")?.into_iter().filter(|file| file.ends_with(".conf")) {
            let file = format!("/etc/salt/minion.d/{file}");
            let text = self.file(name, &file)?.unwrap_or_default();
            let said = [("master", minion_config::master_of(&text), to.address.as_str()), ("id", minion_config::id_of(&text), &to.id)];
            for (key, said, wanted) in said {
                if said.is_some_and(|said| *said != *wanted) {
                    return Ok(Some(format!("{file} sets '{key}:' too, and wins over /etc/salt/minion; take that line out")));
                }
            }
        }
        Ok(None)
    }

    /// Writes the configuration of a master from the template it has; why not, otherwise.
    fn configured(&self, name: &str, library: &Library) -> PortResult<Result<bool, String>> {
        let Some(template) = self.file(name, &format!("{PRIVATE}/etc-salt-master"))? else {
            return Ok(Err("the private repository has no 'etc-salt-master'".into()));
        };
        let wanted = match rendered(&template, library) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Err(why)),
        };
        if self.file(name, path::MASTER)?.as_deref() == Some(&wanted) {
            return Ok(Ok(false));
        }
        // Marked first: killed after this, the master is restarted by whoever comes next.
        self.keep(name, path::RESTART, Some("due\n"))?;
        self.back_up(name, path::MASTER)?;
        self.keep(name, path::MASTER, Some(&wanted))?;
        Ok(Ok(true))
    }

    /// Starts a master that does not run, or has another configuration since. Whether it had to be.
    fn master_up(&self, name: &str) -> PortResult<bool> {
        let up = self.get(name).and_then(|machine| machine.master).is_some_and(|daemon| daemon.up);
        let Some(config) = self.file(name, path::MASTER)? else { return Ok(false) };
        if up && self.file(name, path::RESTART)?.is_none() {
            return Ok(false);
        }
        self.made_once(name, path::MASTER_KEY, || salt::made_up_key(&self.secret(name, "master")))?;
        let auto_accept = config.lines().any(|line| line.to_lowercase().starts_with("auto_accept: true"));
        self.change(name, |machine| machine.master = Some(MasterDaemon { up: true, auto_accept }))?;
        self.keep(name, path::RESTART, None)?;
        Ok(true)
    }
}

#[async_trait]
impl Setup for Machines {
    async fn first_start(&self, host: &Host, within: Duration) -> PortResult<()> {
        let Err(error) = self.enter(host).await else { return Ok(()) };
        // Nothing here happens by waiting; the time passes all the same.
        self.clock.sleep(within).await;
        Err(PortError::new(PortErrorKind::Unreachable, host.node.to_string(), format!("{} within {} s", error.problem, within.as_secs())))
    }

    async fn install(&self, host: &Host, wanted: &Installation) -> PortResult<Change> {
        let name = self.enter(host).await?;
        let same = self.version(&name).is_some_and(|version| version == wanted.version);
        if same && (wanted.role == Role::Minion || self.has_master(&name)?) {
            return Ok(Change::NotNeeded);
        }
        let missing = match &wanted.source {
            SaltSource::Pip { packages } => packages.as_ref().is_some_and(|packages| packages.contains("missing")),
            SaltSource::Apt { source, .. } => source.contains("missing"),
            SaltSource::Script(text) => !text.starts_with("#!"),
        };
        if missing {
            return Err(refused(host, format!("Salt {} is not to be had there", wanted.version)));
        }
        if wanted.role == Role::Master {
            self.keep(&name, SALT_MASTER, Some(""))?;
        }
        self.keep(&name, path::VERSION, Some(&format!("{}\n", wanted.version)))?;
        if self.get(&name).and_then(|machine| machine.minion).is_some_and(|daemon| daemon.up) {
            salt::stop_minion(self, &name)?;
            salt::start_minion(self, &name)?;
        }
        Ok(Change::Made)
    }

    async fn identity(&self, host: &Host) -> PortResult<PublicKey> {
        let name = self.enter(host).await?;
        let malformed =
            || PortError::new(PortErrorKind::Malformed, host.node.to_string(), format!("{} is no public key", path::MINION_KEY));
        let key = match self.file(&name, path::MINION_KEY)? {
            Some(key) => key,
            None => {
                let private = self.made_once(&name, path::MINION_PRIVATE, || self.secret(&name, "minion"))?;
                self.made_once(&name, path::MINION_KEY, || salt::made_up_key(&private))?
            }
        };
        PublicKey::from_pem(&key).ok_or_else(malformed)
    }

    async fn enlist(&self, host: &Host, to: &Enlistment) -> PortResult<Change> {
        let name = self.enter(host).await?;
        if self.version(&name).is_none() {
            return Err(refused(host, "there is no salt-minion on it"));
        }
        if self.file(&name, path::DEADLINE)?.is_some() {
            let problem = "a switch to another master waits to be confirmed";
            return Err(PortError::new(PortErrorKind::Conflict, host.node.to_string(), problem));
        }
        if let Some(reason) = self.override_of(&name, to)? {
            return Err(refused(host, reason));
        }
        let config = self.file(&name, path::MINION)?;
        let wanted = minion_config::repointed_to(config.as_deref().unwrap_or_default(), &to.address);
        let wanted = minion_config::identified_as(&wanted, &to.id);
        let id = minion_config::id_of(&wanted).is_none().then(|| format!("{}\n", to.id));
        let same_id = id.is_none() || self.file(&name, path::MINION_ID)? == id;
        let trusted = self.file(&name, path::TRUSTED)?.as_deref().and_then(PublicKey::from_pem);
        let up = self.get(&name).and_then(|machine| machine.minion).is_some_and(|daemon| daemon.up);
        let begun = self.file(&name, path::REPOINTING)?.is_some();
        let same_config = config.as_deref() == Some(&wanted);
        if same_config && same_id && trusted.as_ref() == Some(&to.key) && up && !begun {
            return Ok(Change::NotNeeded);
        }
        self.keep(&name, path::REPOINTING, Some(to.address.as_str()))?;
        salt::stop_minion(self, &name)?;
        if !same_config {
            self.back_up(&name, path::MINION)?;
            self.keep(&name, path::MINION, Some(&wanted))?;
        }
        if !same_id {
            self.keep(&name, path::MINION_ID, id.as_deref())?;
        }
        self.keep(&name, path::TRUSTED, Some(to.key.pem()))?;
        salt::start_minion(self, &name)?;
        self.keep(&name, path::REPOINTING, None)?;
        Ok(Change::Made)
    }

    async fn deploy_key(&self, host: &Host) -> PortResult<SshPublicKey> {
        let name = self.enter(host).await?;
        let line = match self.file(&name, path::DEPLOY_KEY)? {
            Some(line) => line,
            None => {
                let private = self.made_once(&name, path::DEPLOY_KEY_PRIVATE, || self.secret(&name, "deploy"))?;
                let key = salt::made_up_ssh_key("ssh-rsa", &private, &format!("root@{name}"))?;
                self.made_once(&name, path::DEPLOY_KEY, || format!("{key}\n"))?
            }
        };
        let problem = format!("{} is no public key", path::DEPLOY_KEY);
        SshPublicKey::from_openssh(&line).ok_or_else(|| PortError::new(PortErrorKind::Malformed, host.node.to_string(), problem))
    }

    async fn refresh(&self, host: &Host, library: &Library) -> PortResult<Refreshed> {
        let name = self.enter(host).await?;
        let shelves = library.shelves().map_err(|error| refused(host, error.to_string()))?;
        if !self.has_master(&name)? {
            return Err(refused(host, "there is no salt-master on it"));
        }
        let mut done = Refreshed::default();
        for shelf in &shelves {
            match self.fetched(&name, shelf, library)? {
                Err(why) => done.unread.push(Unread { url: shelf.url.into(), why }),
                Ok(repository) if self.shelve(&name, &shelf.folder, &repository)? => done.renewed.push(shelf.url.into()),
                Ok(_) => {}
            }
        }
        let private = done.unread.iter().find(|unread| Some(&unread.url) == library.private.as_ref());
        let configured = match (&library.private, private) {
            (None, _) => Err("there is no private repository".into()),
            (_, Some(unread)) => Err(format!("the private repository cannot be read: {}", unread.why)),
            _ => self.configured(&name, library)?,
        };
        match configured {
            Ok(configured) => done.configured = configured,
            Err(why) => done.unconfigured = Some(why),
        }
        // Simulated highstates have one folder of states.
        self.made_once(&name, &format!("{}/top.sls", path::STATES), || "base:\n  '*': [web-server]\n".into())?;
        done.restarted = self.master_up(&name)?;
        let minute = name.bytes().map(u32::from).sum::<u32>() % 60;
        self.made_once(&name, path::CRON, || format!("{minute} * * * * root flock -n /var/lib/bldr/refresh/lock bldr-refresh\n"))?;
        Ok(done)
    }
}
