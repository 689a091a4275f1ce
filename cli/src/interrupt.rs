//! What does Ctrl-C do while a run goes on? Once: finish what is in flight. Twice: stop here and now.

use crate::{
    exit::Code,
    screen::{Interrupt, RunScreen},
};
use std::sync::Arc;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

/// What is watched, and so what becomes of it once somebody asks to stop.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Many stacks, one after the other.
    Stacks,
    /// One stack, step by step.
    Steps,
    /// What another bldr does.
    Another,
    /// One stack goes, which takes two steps.
    Destruction,
}

impl Work {
    fn stopping(self) -> &'static str {
        match self {
            Self::Stacks => "stopping: the stacks in flight are finished, no other is begun",
            Self::Steps => {
                "stopping: a machine is no longer waited for, another step in flight is finished; the same command goes on from there"
            }
            Self::Another => "the watching ends, and the run goes on",
            Self::Destruction => "a destruction that has begun is finished; where it is cut off, the same command goes on from there",
        }
    }
}

/// Listens for Ctrl-C, a polite kill and a terminal that goes away until it is aborted. Where listening is impossible both still end the process
/// at once, as they do outside of runs.
pub fn watch(work: Work, interrupt: Interrupt, screen: Arc<dyn RunScreen>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        let (Ok(mut typed), Ok(mut killed), Ok(mut gone)) = signals else { return };
        loop {
            tokio::select! { _ = typed.recv() => {}, _ = killed.recv() => {}, _ = gone.recv() => {} }
            if !interrupt.ask() {
                screen.note("stopped; run the same again to finish what was cut off");
                screen.close();
                std::process::exit(Code::Interrupted as i32);
            }
            screen.note(&format!("{}; once more stops at once", work.stopping()));
        }
    })
}
