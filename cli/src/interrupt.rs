//! What becomes of Ctrl-C, a polite kill and a terminal that goes away? Whoever does something at the moment hears of it and decides.
//!
//! Before anybody has listened, and while nobody does, they end the process at once.

use crate::exit::Code;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// Who listens, the innermost last.
static LISTENERS: Mutex<Vec<(u64, UnboundedSender<()>)>> = Mutex::new(Vec::new());
/// Whether signals are awaited, which is begun once and never ends. Where that is impossible they end the process, as ever.
static AWAITED: OnceLock<()> = OnceLock::new();

fn listeners() -> MutexGuard<'static, Vec<(u64, UnboundedSender<()>)>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody who hears of it, for as long as this lives, in place of whoever listened before.
pub struct Interruptions {
    number: u64,
    heard: UnboundedReceiver<()>,
}

impl Interruptions {
    /// From here on.
    pub fn listen() -> Self {
        AWAITED.get_or_init(|| {
            tokio::spawn(hand_on());
        });
        let (heard_by, heard) = unbounded_channel();
        let mut listeners = listeners();
        let number = listeners.last().map_or(0, |(number, _)| number + 1);
        listeners.push((number, heard_by));
        Self { number, heard }
    }

    /// Comes back when somebody asks to stop. May be left and asked again.
    pub async fn next(&mut self) {
        // It cannot end: what it hears from is there until this is dropped.
        let _ = self.heard.recv().await;
    }

    /// Does this to its end, unless somebody asks once more: then the process ends here.
    pub async fn last<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            () = self.next() => std::process::exit(Code::Interrupted as i32),
        }
    }
}

impl Drop for Interruptions {
    fn drop(&mut self) {
        listeners().retain(|(number, _)| *number != self.number);
    }
}

async fn hand_on() {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut typed), Ok(mut killed), Ok(mut gone)) = signals else { return };
    loop {
        tokio::select! { _ = typed.recv() => {}, _ = killed.recv() => {}, _ = gone.recv() => {} }
        match listeners().last() {
            // Whoever is gone by now does nothing that could be stopped.
            Some((_, listener)) => _ = listener.send(()),
            None => std::process::exit(Code::Interrupted as i32),
        }
    }
}
