//! How does a command run over thrussh? With a window, deadlines and caps that the library leaves to its user.

use crate::{
    error::SshError,
    session::{Ear, Session},
    wire::Cut,
};
use async_trait::async_trait;
use bldr_core::ports::Heard;
use futures::FutureExt;
use std::time::Duration;
use thrussh::{
    ChannelMsg, Sig,
    client::{Channel, Handle, Handler},
};
use tokio::time::timeout;

/// thrussh never closes a channel, and OpenSSH takes ten a connection. One is left over for good luck.
const COMMANDS_A_CONNECTION: u8 = 9;

/// The most that is sent in one packet.
const PACKET: usize = 32 << 10;

/// A connection that thrussh speaks.
pub(crate) struct ThrusshSession<H: Handler> {
    handle: Handle<H>,
    cut: Cut,
    commands: u8,
    opening: Duration,
}

impl<H: Handler> ThrusshSession<H> {
    /// Wraps a handle that is logged in; `opening` bounds the opening of a channel.
    pub(crate) fn new(handle: Handle<H>, cut: Cut, opening: Duration) -> Self {
        Self { handle, cut, commands: 0, opening }
    }
}

// The library's own task may be blocked in a write to a peer that is gone.
impl<H: Handler> Drop for ThrusshSession<H> {
    fn drop(&mut self) {
        self.cut.now();
    }
}

#[async_trait]
impl<H: Handler + 'static> Session for ThrusshSession<H> {
    async fn exec(&mut self, command: &str, stdin: &[u8], deadline: Duration, ear: &mut Ear<'_>) -> Result<u32, SshError> {
        self.commands += 1;
        // A refused channel and a lost connection look alike here; both mean that nothing was sent.
        let channel = match timeout(self.opening, self.handle.channel_open_session()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(_)) | Err(_) => {
                self.commands = COMMANDS_A_CONNECTION;
                self.cut.now();
                return Err(SshError::Stale);
            }
        };
        let answer = timeout(deadline, run(channel, command, stdin, ear)).await.unwrap_or(Err(SshError::Deadline(deadline)));
        if answer.is_err() {
            self.commands = COMMANDS_A_CONNECTION;
            self.cut.now();
        }
        answer
    }

    fn usable(&self) -> bool {
        self.commands < COMMANDS_A_CONNECTION && !self.handle.is_closed()
    }

    async fn close(mut self: Box<Self>) {
        let goodbye = self.handle.disconnect(thrussh::Disconnect::ByApplication, "", "");
        if timeout(Duration::from_secs(1), goodbye).await.is_ok_and(|sent| sent.is_ok()) {
            // The library writes it in a task of its own and ends; what it ends with is of no interest any more.
            let _ = timeout(Duration::from_secs(1), &mut self.handle).await;
        }
    }
}

async fn run(mut channel: Channel, command: &str, stdin: &[u8], ear: &mut Ear<'_>) -> Result<u32, SshError> {
    let lost = |_| SshError::Lost;
    channel.exec(true, command).await.map_err(lost)?;
    let mut status = None;
    let (mut sent, mut eof, mut window) = (0, false, channel.writable_packet_size());
    loop {
        let mut heard = None;
        if !eof && sent == stdin.len() {
            channel.eof().await.map_err(lost)?;
            eof = true;
        } else if !eof && window > 1 {
            // Never the whole window: the library loses output while it waits for a window of zero to open.
            let size = (window - 1).min(PACKET).min(stdin.len() - sent);
            channel.data(&stdin[sent..sent + size]).await.map_err(lost)?;
            (sent, window) = (sent + size, window - size);
            heard = channel.wait().now_or_never();
            if heard.is_none() {
                continue;
            }
        }
        let message = match heard {
            Some(message) => message,
            None => channel.wait().await,
        };
        match message {
            None => break,
            // What the window is now, not what was added to it.
            Some(ChannelMsg::WindowAdjusted { new_size }) => window = new_size as usize,
            Some(ChannelMsg::Data { data }) => ear(Heard::Out(&data))?,
            Some(ChannelMsg::ExtendedData { ext: 1, data }) => ear(Heard::Err(&data))?,
            Some(ChannelMsg::ExitStatus { exit_status }) => status = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => status = Some(128 + number_of(&signal_name)),
            Some(_) => {}
        }
    }
    status.ok_or(SshError::Lost)
}

fn number_of(signal: &Sig) -> u32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 127,
    }
}
