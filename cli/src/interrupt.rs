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

/// Listens for Ctrl-C, a polite kill and a terminal that goes away until it is aborted. Where listening is impossible both still end the process
/// at once, as they do outside of runs.
pub fn watch(interrupt: Interrupt, screen: Arc<dyn RunScreen>) -> JoinHandle<()> {
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
            screen.note("stopping: the stacks in flight are finished, no other is begun; once more stops at once");
        }
    })
}
