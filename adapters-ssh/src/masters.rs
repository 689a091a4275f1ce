//! How are masters asked over SSH? One script a question, each one command.

use crate::{
    crowd::Crowd,
    error::SshError,
    minions::run,
    parse,
    pool::Pool,
    script::{self, Script},
};
use async_trait::async_trait;
use bldr_core::{
    doctor::Workplace,
    error::{PortError, PortErrorKind, PortResult},
    fleet::{HeldKey, HeldKeys, Host, PublicKey, Standing},
    pace::Strain,
    ports::{Change, Masters},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// [`Masters`] over SSH.
#[derive(Clone)]
pub struct SshMasters {
    pool: Pool,
    doors: Arc<Mutex<HashMap<Host, Arc<Door>>>>,
}

/// Those who want something of one master. What many want of it costs it hardly more than what one does: a `salt` command is a second of
/// computing, whomever it asks about.
#[derive(Default)]
struct Door {
    pings: Crowd<(Vec<String>, Duration), PortResult<BTreeSet<String>>>,
    accepts: Crowd<(String, PublicKey), PortResult<Change>>,
}

/// What `salt` itself takes to start and end, beside the wait for minions.
const SALT_ITSELF: Duration = Duration::from_secs(60);
/// An argument of a program may have 128 KiB; these are a few dozen bytes each.
const IDS_AT_ONCE: usize = 1500;

/// As inspect.sh has it: so many at once, and as long for each.
const REPOSITORIES_AT_ONCE: usize = 8;
const REPOSITORY: Duration = Duration::from_secs(30);

impl SshMasters {
    /// Masters that are reached over this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool, doors: Arc::default() }
    }

    async fn ask<T>(
        &self,
        host: &Host,
        script: Script,
        arguments: &[&str],
        stdin: &[u8],
        limit: Duration,
        parse: impl FnOnce(&script::Answer) -> Result<T, SshError>,
    ) -> PortResult<T> {
        let answer = run(&self.pool, host, script, arguments, stdin, limit).await;
        answer.and_then(|answer| parse(&answer)).map_err(|error| error.about(host.node.to_string()))
    }

    fn door(&self, host: &Host) -> Arc<Door> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).entry(host.clone()).or_default().clone()
    }

    async fn ping_now(&self, host: &Host, ids: &BTreeSet<String>, within: Duration) -> PortResult<BTreeSet<String>> {
        let seconds = within.as_secs().max(1).to_string();
        let mut answered = BTreeSet::new();
        for ids in ids.iter().cloned().collect::<Vec<_>>().chunks(IDS_AT_ONCE) {
            answered.extend(self.ask(host, script::PING, &[&seconds, &ids.join(",")], b"", within + SALT_ITSELF, parse::answered).await?);
        }
        Ok(answered)
    }

    async fn accept_now(&self, host: &Host, minions: &[(String, PublicKey)]) -> Vec<PortResult<Change>> {
        // An id that has a line break in it is nobody's, and would be two lines.
        let lines = |(id, key): &(String, PublicKey)| format!("{}\n{}\n{}", id.replace('\n', " "), key.pem().lines().count(), key.pem());
        let text: String = minions.iter().map(lines).collect();
        let (size, limit) = (text.len().to_string(), self.pool.settings().command_timeout);
        let answer = run(&self.pool, host, script::ACCEPT, &[&size], text.as_bytes(), limit).await;
        let subject = host.node.to_string();
        match answer.and_then(|answer| parse::let_in(&answer, minions.len())) {
            Ok(changes) => changes.into_iter().map(|change| change.map_err(|error| error.about(subject.clone()))).collect(),
            Err(error) => {
                let error = error.about(subject);
                minions.iter().map(|_| Err(error.for_another())).collect()
            }
        }
    }
}

/// Whoever asked for all who waited was given up before there was an answer.
fn unanswered<T>(host: &Host) -> PortResult<T> {
    Err(PortError::new(PortErrorKind::Unreachable, host.node.to_string(), "there was no answer"))
}

#[async_trait]
impl Masters for SshMasters {
    async fn read(&self, host: &Host) -> PortResult<Standing> {
        self.ask(host, script::STANDING, &[], b"", self.pool.settings().command_timeout, parse::standing).await
    }

    async fn inspect(&self, host: &Host, repositories: &[String], sample: Option<String>) -> PortResult<Workplace> {
        // One that has a line break in it is nobody's, and would be two.
        let text: String = repositories.iter().map(|url| format!("{}\n", url.replace(['\n', '\r'], " "))).collect();
        let (sample, size) = (sample.unwrap_or_default(), text.len().to_string());
        let arguments = [sample.as_str(), &size];
        let rounds = u32::try_from(repositories.len().div_ceil(REPOSITORIES_AT_ONCE)).unwrap_or(u32::MAX);
        let limit = self.pool.settings().command_timeout + SALT_ITSELF * 2 + REPOSITORY.saturating_mul(rounds);
        let count = repositories.len();
        self.ask(host, script::INSPECT, &arguments, text.as_bytes(), limit, |answer| parse::workplace(answer, count)).await
    }

    async fn strain(&self, host: &Host) -> PortResult<Strain> {
        self.ask(host, script::STRAIN, &[], b"", self.pool.settings().command_timeout, parse::strain).await
    }

    async fn accept(&self, host: &Host, id: &str, key: &PublicKey) -> PortResult<Change> {
        let serve = async |crowd: Vec<_>| self.accept_now(host, &crowd).await;
        self.door(host).accepts.join((id.to_owned(), key.clone()), serve).await.unwrap_or_else(|| unanswered(host))
    }

    async fn ping(&self, host: &Host, ids: &[String], within: Duration) -> PortResult<BTreeSet<String>> {
        let serve = async |crowd: Vec<(Vec<String>, Duration)>| {
            let all = crowd.iter().flat_map(|(ids, _)| ids.iter().cloned()).collect();
            let longest = crowd.iter().map(|(_, within)| *within).max().unwrap_or(within);
            let said = self.ping_now(host, &all, longest).await;
            let its = |(ids, _): (Vec<String>, _)| match &said {
                Ok(answered) => Ok(ids.into_iter().filter(|id| answered.contains(id)).collect()),
                Err(error) => Err(error.for_another()),
            };
            crowd.into_iter().map(its).collect()
        };
        self.door(host).pings.join((ids.to_vec(), within), serve).await.unwrap_or_else(|| unanswered(host))
    }

    async fn forget(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>> {
        let text = listed(keys);
        let limit = self.pool.settings().command_timeout + SALT_ITSELF * 2;
        self.ask(host, script::FORGET, &[&text.len().to_string()], text.as_bytes(), limit, parse::removed).await
    }

    async fn quarantined(&self, host: &Host) -> PortResult<HeldKeys> {
        self.ask(host, script::QUARANTINED, &[], b"", self.pool.settings().command_timeout, parse::held_keys).await
    }

    async fn restore(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>> {
        let text = listed(keys);
        let limit = self.pool.settings().command_timeout;
        self.ask(host, script::RESTORE, &[&text.len().to_string()], text.as_bytes(), limit, parse::restored).await
    }
}

/// A line of `ID SHA256` for each.
fn listed(keys: &[HeldKey]) -> String {
    let lines: BTreeSet<String> = keys.iter().map(|key| format!("{} {}\n", key.id, key.key.hex())).collect();
    lines.into_iter().collect()
}
