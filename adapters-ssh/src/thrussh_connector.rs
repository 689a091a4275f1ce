//! How does thrussh get to a node? Dial or tunnel, shake hands, log in; each within its time.

use crate::{
    error::SshError,
    handshake::{self, Candidate, Checked, Greeted, With},
    keys::{KeyFile, KeyRing},
    known_hosts::KnownHosts,
    route::Route,
    session::{Connector, Session},
    settings::SshSettings,
    thrussh_session::ThrusshSession,
    tunnel::{self, Bastion, Bastions},
    wire::{Cut, Link},
};
use async_trait::async_trait;
use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::timeout;

/// Opens connections that thrussh speaks.
pub struct ThrusshConnector {
    settings: Arc<SshSettings>,
    book: KnownHosts,
    ring: KeyRing,
    bastions: Bastions,
    /// The candidate that worked last is tried first: most fleets have one key, and servers count wrong ones.
    lucky: Mutex<Option<String>>,
}

impl ThrusshConnector {
    /// A connector with these settings.
    pub fn new(settings: Arc<SshSettings>) -> Self {
        Self {
            book: KnownHosts(settings.known_hosts.clone()),
            ring: KeyRing::new(settings.passphrase.clone()),
            bastions: Bastions::default(),
            lucky: Mutex::default(),
            settings,
        }
    }

    async fn connected(&self, route: &Route) -> Result<(Checked, Cut), SshError> {
        if route.proxy_command {
            return Err(SshError::Unsupported(format!("'{}' has a ProxyCommand in ~/.ssh/config, which thrussh cannot run", route.alias)));
        }
        let (mut candidates, locked, unusable) = self.candidates(route).await;
        let (place, user, mut tried) = match self.attempt(route, &mut candidates).await {
            Err(SshError::Denied { place, user, tried }) => (place, user, tried),
            ended => return ended,
        };
        tried.extend(unusable);
        // Nobody is asked for a passphrase before everything else has failed, nor while a server waits.
        let mut unlocked = Vec::new();
        for path in locked {
            match self.ring.unlock(&path).await {
                KeyFile::Ready(key) => unlocked.push(Candidate { name: name_of(&path), with: With::Key(key) }),
                KeyFile::Unusable(reason) => tried.push(format!("{} ({reason})", name_of(&path))),
                KeyFile::Locked => {}
            }
        }
        if unlocked.is_empty() {
            return Err(SshError::Denied { place, user, tried });
        }
        self.attempt(route, &mut unlocked).await.map_err(|error| match error {
            SshError::Denied { place, user, tried: also } => SshError::Denied { place, user, tried: [tried, also].concat() },
            other => other,
        })
    }

    async fn attempt(&self, route: &Route, candidates: &mut [Candidate]) -> Result<(Checked, Cut), SshError> {
        let lucky = self.lucky.lock().unwrap_or_else(PoisonError::into_inner).clone();
        candidates.sort_by_key(|candidate| Some(&candidate.name) != lucky.as_ref());
        let greeted = match self.greeted(route).await {
            // The bastion's connection had died while nobody used it; the next try makes another one.
            Err(SshError::Stale) => self.greeted(route).await,
            ended => ended,
        }?;
        let (handle, cut, used) = handshake::log_in(greeted, route, candidates, self.settings.auth_timeout, &self.book).await?;
        *self.lucky.lock().unwrap_or_else(PoisonError::into_inner) = candidates.get(used).map(|candidate| candidate.name.clone());
        Ok((handle, cut))
    }

    async fn greeted(&self, route: &Route) -> Result<Greeted, SshError> {
        let unreachable = |reason| SshError::Unreachable { place: route.place(), reason };
        // The way there has its own deadlines for each host on it.
        let bastion = match &route.via {
            Some(via) => Some((via, self.bastions.free(via, || self.bastion(via)).await?)),
            None => None,
        };
        let connecting = async {
            let link = match bastion {
                Some((via, bastion)) => tunnel::open(bastion, via, route).await?,
                None => Link::dial(&route.host, route.port).await.map_err(|error| unreachable(error.to_string()))?,
            };
            handshake::greet(link, route, &self.book).await
        };
        let limit = self.settings.connect_timeout;
        timeout(limit, connecting).await.unwrap_or_else(|_| Err(unreachable(format!("no answer within {} s", limit.as_secs_f32()))))
    }

    /// A bastion may be behind another one, hence the box.
    fn bastion<'a>(&'a self, via: &'a Route) -> Pin<Box<dyn Future<Output = Result<Bastion, SshError>> + Send + 'a>> {
        Box::pin(async move { self.connected(via).await.map(|(handle, cut)| Bastion { handle, cut }) })
    }

    /// What can be tried without asking anybody, in order; the key files that are encrypted; why others cannot be used.
    async fn candidates(&self, route: &Route) -> (Vec<Candidate>, Vec<PathBuf>, Vec<String>) {
        let (mut candidates, mut locked, mut unusable) = (Vec::new(), Vec::new(), Vec::new());
        let agent = self.settings.agent.as_ref().filter(|_| route.agent);
        for (at, path) in route.stack_key.iter().map(|path| (0, path)).chain(route.key_files.iter().map(|path| (2, path))) {
            match self.ring.look_at(path).await {
                KeyFile::Ready(key) => candidates.push((at, Candidate { name: name_of(path), with: With::Key(key) })),
                KeyFile::Locked => locked.push(path.clone()),
                KeyFile::Unusable(reason) => unusable.push(format!("{} ({reason})", name_of(path))),
            }
        }
        candidates.extend(agent.map(|socket| (1, Candidate { name: "ssh-agent".into(), with: With::Agent(socket.clone()) })));
        candidates.sort_by_key(|(at, _)| *at);
        (candidates.into_iter().map(|(_, candidate)| candidate).collect(), locked, unusable)
    }
}

#[async_trait]
impl Connector for ThrusshConnector {
    async fn open(&self, route: &Route) -> Result<Box<dyn Session>, SshError> {
        let (handle, cut) = self.connected(route).await?;
        Ok(Box::new(ThrusshSession::new(handle, cut, self.settings.connect_timeout)))
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
