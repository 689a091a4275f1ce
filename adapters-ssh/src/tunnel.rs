//! How does a connection go through another host? A channel of the bastion's connection, made into a stream.

use crate::{
    error::SshError,
    handshake::Checked,
    route::Route,
    wire::{Cut, Link},
};
use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use thrussh::{ChannelMsg, client::Channel};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

/// A connection to a bastion. Only one tunnel can be *opened* over it at a time; any number can be open.
pub(crate) struct Bastion {
    pub(crate) handle: Checked,
    pub(crate) cut: Cut,
}

impl Drop for Bastion {
    fn drop(&mut self) {
        self.cut.now();
    }
}

/// The connections to bastions, shared by all nodes behind them.
#[derive(Default)]
pub(crate) struct Bastions(Mutex<HashMap<String, Connections>>);

#[derive(Default)]
struct Connections {
    open: Vec<Arc<Mutex<Bastion>>>,
    /// When connecting failed last, and how.
    failure: Option<(Instant, String, String)>,
}

/// A host behind a bastion that does not answer holds up the opening of tunnels over its connection. The others go
/// over another one meanwhile, up to this many.
const CONNECTIONS_A_BASTION: usize = 8;
const PATIENCE: Duration = Duration::from_millis(300);

impl Bastions {
    /// A bastion that is free to open a tunnel; `connect` makes another connection where none is.
    pub(crate) async fn free<F>(&self, via: &Route, connect: impl Fn() -> F) -> Result<OwnedMutexGuard<Bastion>, SshError>
    where
        F: Future<Output = Result<Bastion, SshError>>,
    {
        let begun = Instant::now();
        let name = format!("{}@{}", via.user, via.place());
        let known = {
            let mut all = self.0.lock().await;
            let open = &mut all.entry(name.clone()).or_default().open;
            open.retain(|bastion| bastion.try_lock().map_or(true, |bastion| !bastion.handle.is_closed()));
            open.clone()
        };
        if let Some(free) = first_free(&known) {
            return Ok(free);
        }
        if let Some(last) = known.last()
            && let Ok(free) = timeout(PATIENCE, last.clone().lock_owned()).await
            && !free.handle.is_closed()
        {
            return Ok(free);
        }
        let mut all = self.0.lock().await;
        let connections = all.entry(name).or_default();
        // Whoever waited for an attempt shares how it ended: a bastion that is down costs one timeout, not one a node.
        if let Some((at, place, reason)) = &connections.failure
            && *at >= begun
        {
            return Err(SshError::Unreachable { place: place.clone(), reason: reason.clone() });
        }
        if let Some(free) = first_free(&connections.open) {
            return Ok(free);
        }
        if connections.open.len() < CONNECTIONS_A_BASTION {
            // The list stays locked meanwhile, so that a hundred nodes that begin at once make one connection.
            let connected = connect().await.inspect_err(|error| {
                if let SshError::Unreachable { place, reason } = error {
                    connections.failure = Some((Instant::now(), place.clone(), reason.clone()));
                }
            });
            let bastion = Arc::new(Mutex::new(connected?));
            connections.open.push(bastion.clone());
            drop(all);
            return Ok(bastion.lock_owned().await);
        }
        let least_wanted = connections.open.iter().min_by_key(|bastion| Arc::strong_count(bastion)).cloned();
        drop(all);
        match least_wanted {
            Some(bastion) => Ok(bastion.lock_owned().await),
            None => Err(SshError::Stale),
        }
    }
}

fn first_free(bastions: &[Arc<Mutex<Bastion>>]) -> Option<OwnedMutexGuard<Bastion>> {
    bastions.iter().find_map(|bastion| bastion.clone().try_lock_owned().ok().filter(|bastion| !bastion.handle.is_closed()))
}

/// Opens a tunnel.
pub(crate) async fn open(mut bastion: OwnedMutexGuard<Bastion>, via: &Route, to: &Route) -> Result<Link, SshError> {
    let opened = bastion.handle.channel_open_direct_tcpip(to.host.as_str(), to.port.into(), "127.0.0.1", 0).await;
    match opened {
        Ok(channel) => {
            let (stream, pump) = stream_over(channel);
            Ok(Link::new(stream, Cut::new(move || pump.abort())))
        }
        Err(_) if bastion.handle.is_closed() => Err(SshError::Stale),
        Err(_) => Err(SshError::Unreachable { place: to.place(), reason: format!("the bastion {} cannot connect to it", via.place()) }),
    }
}

/// A channel as a stream. The pump never waits for one direction alone: thrussh's session does not read while it is
/// blocked in a write, and two such would wait for each other.
fn stream_over(mut channel: Channel) -> (DuplexStream, tokio::task::AbortHandle) {
    let (near, far) = tokio::io::duplex(256 << 10);
    let pump = tokio::spawn(async move {
        let (mut from_near, mut to_near) = tokio::io::split(far);
        let mut buffer = vec![0; 32 << 10];
        let mut queue: VecDeque<(Vec<u8>, usize)> = VecDeque::new();
        let mut near_ended = false;
        loop {
            let window = channel.writable_packet_size();
            let most = buffer.len().min(window.saturating_sub(1)).max(1);
            let happened = tokio::select! {
                message = channel.wait() => Happened::Heard(message),
                read = from_near.read(&mut buffer[..most]), if !near_ended && window > 1 => Happened::Read(read),
                written = write_first(&mut to_near, &queue), if !queue.is_empty() => Happened::Wrote(written),
            };
            match happened {
                Happened::Read(Ok(0) | Err(_)) => {
                    near_ended = true;
                    if channel.eof().await.is_err() {
                        break;
                    }
                }
                Happened::Read(Ok(size)) => {
                    if channel.data(&buffer[..size]).await.is_err() {
                        break;
                    }
                }
                Happened::Wrote(Ok(size)) => advance(&mut queue, size),
                Happened::Wrote(Err(_)) => break,
                Happened::Heard(Some(ChannelMsg::Data { data })) => queue.push_back((data.to_vec(), 0)),
                Happened::Heard(None | Some(ChannelMsg::Eof)) => {
                    for (bytes, from) in queue {
                        if to_near.write_all(&bytes[from..]).await.is_err() {
                            break;
                        }
                    }
                    break;
                }
                Happened::Heard(Some(_)) => {}
            }
        }
    });
    (near, pump.abort_handle())
}

enum Happened {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Heard(Option<ChannelMsg>),
}

async fn write_first(to: &mut (impl AsyncWriteExt + Unpin), queue: &VecDeque<(Vec<u8>, usize)>) -> io::Result<usize> {
    match queue.front() {
        Some((bytes, from)) => to.write(&bytes[*from..]).await,
        None => std::future::pending().await,
    }
}

fn advance(queue: &mut VecDeque<(Vec<u8>, usize)>, size: usize) {
    if let Some((bytes, from)) = queue.front_mut() {
        *from += size;
        if *from >= bytes.len() {
            queue.pop_front();
        }
    }
}
