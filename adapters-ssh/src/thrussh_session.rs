//! How does a command run over thrussh? With a window, deadlines and caps that the library leaves to its user.

use crate::{
    error::SshError,
    session::{Ear, Program, Session},
    thrussh_shell::{Ended, TypedShell},
    typed::can_be_typed,
    wire::Cut,
};
use async_trait::async_trait;
use bldr_core::ports::Heard;
use cryptovec::CryptoVec;
use futures::{FutureExt, future::Either};
use std::time::{Duration, Instant};
use thrussh::{
    ChannelMsg, Sig,
    client::{Channel, Handle, Handler},
};
use tokio::time::timeout;

/// thrussh never closes a channel, and OpenSSH takes ten a connection. One is left over for good luck.
const CHANNELS_A_CONNECTION: u8 = 9;

/// A connection that is older is left for a new one: after an hour the library changes keys, and it counts what may be said on a channel
/// with a number that overflows in the long run.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// The most that is sent in one packet.
const PACKET: usize = 32 << 10;

/// A connection that thrussh speaks.
pub(crate) struct ThrusshSession<H: Handler> {
    handle: Handle<H>,
    cut: Cut,
    channels: u8,
    opening: Duration,
    opened: Instant,
    /// What programs are typed into, once there was one.
    shell: Option<TypedShell>,
}

impl<H: Handler> ThrusshSession<H> {
    /// Wraps a handle that is logged in; `opening` bounds the opening of a channel.
    pub(crate) fn new(handle: Handle<H>, cut: Cut, opening: Duration) -> Self {
        Self { handle, cut, channels: 0, opening, opened: Instant::now(), shell: None }
    }

    /// A refused channel and a lost connection look alike here; both mean that nothing was sent.
    async fn channel(&mut self) -> Result<Channel, SshError> {
        self.channels += 1;
        match timeout(self.opening, self.handle.channel_open_session()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(_)) | Err(_) => Err(self.end(SshError::Stale)),
        }
    }

    /// Nothing more is tried on it after this.
    fn end(&mut self, error: SshError) -> SshError {
        self.channels = CHANNELS_A_CONNECTION;
        self.shell = None;
        self.cut.now();
        error
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
        let channel = self.channel().await?;
        let answer = timeout(deadline, run(channel, command, stdin, ear)).await.unwrap_or(Err(SshError::Deadline(deadline)));
        answer.map_err(|error| self.end(error))
    }

    async fn run(&mut self, program: &Program<'_>, deadline: Duration, ear: &mut Ear<'_>) -> Result<u32, SshError> {
        if !can_be_typed(program) {
            return self.exec(&program.command(), program.stdin, deadline, ear).await;
        }
        let found = match self.shell.take() {
            Some(mut shell) => match shell.is_there(self.opening).await {
                true => Either::Left(shell),
                false => return Err(self.end(SshError::Stale)),
            },
            None => Either::Right(self.channel().await?),
        };
        let running = async {
            let mut shell = match found {
                Either::Left(shell) => shell,
                Either::Right(channel) => TypedShell::start(channel, program).await?,
            };
            let ended = shell.run(program, ear).await?;
            Ok((shell, ended))
        };
        match timeout(deadline, running).await.unwrap_or(Err(SshError::Deadline(deadline))) {
            Ok((shell, Ended::Program(status))) => {
                self.shell = Some(shell);
                Ok(status)
            }
            Ok((_, Ended::Shell(status))) => Ok(status),
            Err(error) => Err(self.end(error)),
        }
    }

    fn usable(&self) -> bool {
        let room = self.channels < CHANNELS_A_CONNECTION || self.shell.is_some();
        room && self.opened.elapsed() < LIFE && !self.handle.is_closed()
    }

    async fn close(mut self: Box<Self>) {
        let goodbye = self.handle.disconnect(thrussh::Disconnect::ByApplication, "", "");
        if timeout(Duration::from_secs(1), goodbye).await.is_ok_and(|sent| sent.is_ok()) {
            // The library writes it in a task of its own and ends; what it ends with is of no interest any more.
            let _ = timeout(Duration::from_secs(1), &mut self.handle).await;
        }
    }
}

/// What comes from the other end of a channel.
pub(crate) enum Said {
    Out(CryptoVec),
    Err(CryptoVec),
    /// How the command ended; more of what it printed may follow.
    Status(u32),
    /// Nothing that concerns the command.
    Nothing,
}

/// A command on a channel, and how much may be said to it.
pub(crate) struct Conversation {
    channel: Channel,
    window: usize,
}

/// Whom everything is told that comes; an error ends it.
pub(crate) type Listener<'l> = dyn FnMut(Said) -> Result<(), SshError> + Send + 'l;

impl Conversation {
    /// Runs a command line.
    pub(crate) async fn begin(mut channel: Channel, command: &str) -> Result<Self, SshError> {
        channel.exec(true, command).await.map_err(|_| SshError::Lost)?;
        let window = channel.writable_packet_size();
        Ok(Self { channel, window })
    }

    /// Says all of this, and listens meanwhile. Whether there is still somebody who hears it: a command that does not want to read the
    /// rest is no failure.
    pub(crate) async fn say(&mut self, mut bytes: &[u8], listener: &mut Listener<'_>) -> Result<bool, SshError> {
        while !bytes.is_empty() {
            let mut came = None;
            if self.window > 1 {
                // Never the whole window: the library loses output while it waits for a window of zero to open.
                let (now, later) = bytes.split_at((self.window - 1).min(PACKET).min(bytes.len()));
                self.channel.data(now).await.map_err(|_| SshError::Lost)?;
                self.window -= now.len();
                bytes = later;
                came = self.channel.wait().now_or_never();
                if came.is_none() {
                    continue;
                }
            }
            let message = match came {
                Some(message) => message,
                None => self.channel.wait().await,
            };
            match message {
                None => return Ok(false),
                Some(message) => listener(self.said(message))?,
            }
        }
        Ok(true)
    }

    /// There is nothing more to say.
    pub(crate) async fn say_no_more(&mut self) -> Result<(), SshError> {
        self.channel.eof().await.map_err(|_| SshError::Lost)
    }

    /// What comes next; `None` where nothing will.
    pub(crate) async fn hear(&mut self) -> Option<Said> {
        self.channel.wait().await.map(|message| self.said(message))
    }

    fn said(&mut self, message: ChannelMsg) -> Said {
        match message {
            // What the window is now, not what was added to it.
            ChannelMsg::WindowAdjusted { new_size } => self.window = new_size as usize,
            ChannelMsg::Data { data } => return Said::Out(data),
            ChannelMsg::ExtendedData { ext: 1, data } => return Said::Err(data),
            ChannelMsg::ExitStatus { exit_status } => return Said::Status(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => return Said::Status(128 + number_of(&signal_name)),
            _ => {}
        }
        Said::Nothing
    }
}

async fn run(channel: Channel, command: &str, stdin: &[u8], ear: &mut Ear<'_>) -> Result<u32, SshError> {
    let mut conversation = Conversation::begin(channel, command).await?;
    let mut status = None;
    let mut listener = |said| {
        match said {
            Said::Out(bytes) => ear(Heard::Out(&bytes))?,
            Said::Err(bytes) => ear(Heard::Err(&bytes))?,
            Said::Status(said) => status = Some(said),
            Said::Nothing => {}
        }
        Ok(())
    };
    if conversation.say(stdin, &mut listener).await? {
        conversation.say_no_more().await?;
    }
    while let Some(said) = conversation.hear().await {
        listener(said)?;
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
