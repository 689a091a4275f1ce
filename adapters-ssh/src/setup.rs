//! How does a machine become a minion or a master over SSH? One script a job, each of which may be killed anywhere and run again.

use crate::{
    error::SshError,
    minions::run,
    parse,
    pool::Pool,
    script::{self, Answer, Script},
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::{Host, PublicKey},
    ports::{Change, Enlistment, Installation, Library, Refreshed, Role, SaltSource, Setup, Unread},
    ssh_key::SshPublicKey,
};
use std::{fmt::Write, time::Duration};
use tokio::time::{Instant, sleep};

/// [`Setup`] over SSH.
#[derive(Clone)]
pub struct SshSetup {
    pool: Pool,
}

/// Stopping a minion takes up to ten seconds of Salt's own, and systemd waits for ninety before it kills.
const RESTART: Duration = Duration::from_secs(120);
/// As long as the scripts give an installer, its package lists and what it depends on.
const INSTALLATION: Duration = Duration::from_secs(2400);
/// As library.sh has it: so many repositories at once, and as long for each.
const REPOSITORIES_AT_ONCE: usize = 8;
const REPOSITORY: Duration = Duration::from_secs(1860);
/// As long as refresh.sh waits for another refresh to end.
const OTHER_REFRESH: Duration = Duration::from_secs(900);
/// As long as a salt-master may take to come up, with its new configuration and then with the old one.
const MASTER_UP: Duration = Duration::from_secs(300);
/// How long to wait before a machine that starts is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// How much longer than what it waits for a command may take.
const MARGIN: Duration = Duration::from_secs(30);

impl SshSetup {
    /// Machines that are reached over this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    async fn ask<T>(
        &self,
        host: &Host,
        script: Script,
        arguments: &[&str],
        stdin: &[u8],
        more: Duration,
        parse: impl FnOnce(&Answer) -> Result<T, SshError>,
    ) -> PortResult<T> {
        let limit = self.pool.settings().command_timeout + more;
        let answer = run(&self.pool, host, script, arguments, stdin, limit).await;
        answer.and_then(|answer| parse(&answer)).map_err(|error| error.about(host.node.to_string()))
    }

    async fn started(&self, host: &Host, within: Duration) -> Result<(), SshError> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let seconds = left.as_secs().max(1).to_string();
            let arguments = [seconds.as_str()];
            let answer = run(&self.pool, host, script::FIRST_START, &arguments, b"", left + MARGIN);
            let last = match answer.await {
                Ok(answer) => match answer.required("started")? {
                    "yes" => return Ok(()),
                    _ => return Err(SshError::NotStarted(within, None)),
                },
                Err(error) if error.may_be_starting() => error,
                Err(error) => return Err(error),
            };
            if Instant::now() + AGAIN >= deadline {
                return Err(SshError::NotStarted(within, Some(Box::new(last))));
            }
            sleep(AGAIN).await;
        }
    }
}

#[async_trait]
impl Setup for SshSetup {
    async fn first_start(&self, host: &Host, within: Duration) -> PortResult<()> {
        self.started(host, within).await.map_err(|error| error.about(host.node.to_string()))
    }

    async fn install(&self, host: &Host, wanted: &Installation) -> PortResult<Change> {
        let (method, first, second) = match &wanted.source {
            SaltSource::Apt { source, key } => ("apt", source.as_str(), key.as_deref().unwrap_or_default()),
            SaltSource::Pip { packages } => ("pip", packages.as_deref().unwrap_or_default(), ""),
            SaltSource::Script(text) => ("script", text.as_str(), ""),
        };
        let role = match wanted.role {
            Role::Minion => "minion",
            Role::Master => "master",
        };
        let sizes = [first, second].map(|part| part.len().to_string());
        let arguments = [&wanted.version.to_string(), role, method, &sizes[0], &sizes[1]];
        self.ask(host, script::INSTALL, &arguments, [first, second].concat().as_bytes(), INSTALLATION, parse::change).await
    }

    async fn identity(&self, host: &Host) -> PortResult<PublicKey> {
        let key = |answer: &Answer| {
            let text = answer.text("key")?.unwrap_or_default();
            PublicKey::from_pem(&text).ok_or_else(|| answer.garbled("minion.pub is no public key"))
        };
        self.ask(host, script::IDENTITY, &[], b"", Duration::ZERO, key).await
    }

    async fn enlist(&self, host: &Host, to: &Enlistment) -> PortResult<Change> {
        let arguments = [to.address.as_str(), &to.id, &to.key.pem().len().to_string()];
        self.ask(host, script::ENLIST, &arguments, to.key.pem().as_bytes(), RESTART, parse::change).await
    }

    async fn deploy_key(&self, host: &Host) -> PortResult<SshPublicKey> {
        let key = |answer: &Answer| {
            let text = answer.text("key")?.unwrap_or_default();
            SshPublicKey::from_openssh(&text).ok_or_else(|| answer.garbled("id_rsa.pub is no public key"))
        };
        self.ask(host, script::DEPLOY_KEY, &[], b"", Duration::ZERO, key).await
    }

    async fn refresh(&self, host: &Host, library: &Library) -> PortResult<Refreshed> {
        let refused = |problem: String| PortError::new(PortErrorKind::Refused, host.node.to_string(), problem);
        let text = written(library).map_err(refused)?;
        let parts = [&text, script::LIBRARY.text(), script::RENDER_MASTER];
        let sizes = parts.map(|part| part.len().to_string());
        let urls: Vec<&String> = library.private.iter().chain(&library.configuration).chain(&library.formulas).collect();
        let rounds = u32::try_from(urls.len().div_ceil(REPOSITORIES_AT_ONCE)).unwrap_or(u32::MAX);
        let more = REPOSITORY.saturating_mul(rounds) + OTHER_REFRESH + MASTER_UP;
        let arguments = sizes.each_ref().map(String::as_str);
        self.ask(host, script::REFRESH, &arguments, parts.concat().as_bytes(), more, |answer| refreshed(answer, &urls)).await
    }
}

/// A library as `library.sh` reads it. Why it cannot be written, otherwise.
fn written(library: &Library) -> Result<String, String> {
    let mut text = String::new();
    let mut line = |kind: &str, rest: &str| {
        if rest.contains(['\n', '\r', '\0']) {
            return Err("an address or a line of known_hosts has a line break in it".to_owned());
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "{kind} {rest}");
        Ok(())
    };
    for shelf in library.shelves().map_err(|error| error.to_string())? {
        if shelf.url.is_empty() || shelf.url.starts_with('-') || shelf.url.contains(char::is_whitespace) {
            return Err(format!("the address of the repository for {} is none", shelf.folder));
        }
        line("repository", &format!("{} {}", shelf.folder, shelf.url))?;
    }
    library.file_roots().iter().try_for_each(|root| line("file-root", root))?;
    library.pillar_roots().iter().try_for_each(|root| line("pillar-root", root))?;
    library.known_hosts.iter().try_for_each(|known| line("known-host", known.trim_end()))?;
    Ok(text)
}

/// What `library.sh` says, of these repositories.
fn refreshed(answer: &Answer, urls: &[&String]) -> Result<Refreshed, SshError> {
    let url = |number: &str| {
        let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let url = at.and_then(|at| urls.get(at)).ok_or_else(|| answer.garbled("it tells of a repository that nobody asked for"))?;
        Ok((*url).clone())
    };
    let yes = |name| answer.required(name).map(|word| word == "yes");
    let told = |name| Ok::<_, SshError>(parse::lossy_lines(answer, name)?.into_iter().next());
    let unread = |line: &String| {
        let (number, why) = line.split_once(' ').unwrap_or((line, ""));
        let why = if why.is_empty() { "git does not say why" } else { why };
        Ok(Unread { url: url(number)?, why: why.into() })
    };
    Ok(Refreshed {
        renewed: parse::lossy_lines(answer, "renewed")?.iter().map(|number| url(number)).collect::<Result<_, SshError>>()?,
        unread: parse::lossy_lines(answer, "unread")?.iter().map(unread).collect::<Result<_, SshError>>()?,
        unconfigured: told("unconfigured")?,
        configured: yes("configured")?,
        restarted: yes("restarted")?,
        unscheduled: told("unscheduled")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_written_for_the_script_that_reads_it() {
        let library = Library {
            private: Some("git@example.org:private.git".into()),
            formulas: vec!["https://t0ken@example.org/harbor-formula".into()],
            known_hosts: vec!["example.org ssh-ed25519 AAAA".into()],
            ..Library::default()
        };
        assert_eq!(
            written(&library).unwrap(),
            "repository /opt/builder-private git@example.org:private.git\n\
             repository /opt/formulas/harbor https://t0ken@example.org/harbor-formula\n\
             file-root /opt/builder-private/salt/\nfile-root /opt/formulas/harbor/salt/\npillar-root /opt/builder-private/pillar\n\
             known-host example.org ssh-ed25519 AAAA\n"
        );
    }

    #[test]
    fn what_would_be_two_lines_or_an_option_is_refused_and_not_shown() {
        for url in ["git@a:x\nb", "--upload-pack=x/y", "https://a/ b", ""] {
            let library = Library { private: Some(url.into()), ..Library::default() };
            assert!(written(&library).is_err_and(|why| !why.contains("upload")), "{url:?}");
        }
        let library = Library { known_hosts: vec!["a b\nfile-root /".into()], ..Library::default() };
        assert!(written(&library).is_err());
    }
}
