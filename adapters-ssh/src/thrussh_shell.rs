//! How is a program run by a shell that stays? Typed into one channel of thrussh, and listened to until its end.

use crate::{
    error::SshError,
    session::{Ear, Program},
    thrussh_session::{Conversation, Said},
    typed::{Ending, Mark},
};
use bldr_core::ports::Heard;
use futures::FutureExt;
use std::time::{Duration, Instant};
use thrussh::client::Channel;
use tokio::time::timeout;

/// A shell as root on the other end of a channel.
pub(crate) struct TypedShell {
    conversation: Conversation,
    secret: String,
    typed: u64,
    /// When it was last heard.
    heard: Instant,
}

/// Who was heard so lately is not asked whether they are there: a connection that dies within that time is an error of the command that finds
/// out.
const LATELY: Duration = Duration::from_secs(5);

/// How a program ended.
pub(crate) enum Ended {
    /// With this status; the shell takes another one.
    Program(u32),
    /// The shell itself did, with this status: it could not be started, or somebody killed it.
    Shell(u32),
}

impl TypedShell {
    /// Starts it on a channel that was opened for it.
    ///
    /// # Errors
    /// [`SshError::Lost`].
    pub(crate) async fn start(channel: Channel, program: &Program<'_>) -> Result<Self, SshError> {
        let conversation = Conversation::begin(channel, &program.shell().join(" ")).await?;
        Ok(Self { conversation, secret: Mark::secret()?, typed: 0, heard: Instant::now() })
    }

    /// Whether it is there, and answers within that time. Asked before a program is sent: what was sent may have been done.
    pub(crate) async fn is_there(&mut self, within: Duration) -> bool {
        // Its end may have come already.
        while let Some(said) = self.conversation.hear().now_or_never() {
            if matches!(said, None | Some(Said::Status(_))) {
                return false;
            }
        }
        if self.heard.elapsed() < LATELY {
            return true;
        }
        let mark = self.mark();
        let mut nobody = |_: Heard<'_>| Ok(());
        let mut listening = Listening::new(&mark, &mut nobody);
        let question = mark.question();
        let asking = self.say(&question, &mut listening, |listening| listening.out.status.is_some());
        matches!(timeout(within, asking).await, Ok(Ok(()))) && listening.out.status.is_some()
    }

    /// Runs a program.
    ///
    /// # Errors
    /// [`SshError::Lost`] where the connection died before there was a status; whatever the ear says.
    pub(crate) async fn run(&mut self, program: &Program<'_>, ear: &mut Ear<'_>) -> Result<Ended, SshError> {
        let mark = self.mark();
        let mut listening = Listening::new(&mark, ear);
        self.say(&mark.typed(program), &mut listening, |listening| listening.program().is_some()).await?;
        if let Some(status) = listening.program() {
            self.heard = Instant::now();
            return Ok(Ended::Program(status));
        }
        let shell = listening.rest()?;
        // One that ends well without a word of its program has ended for another reason.
        shell.filter(|status| *status != 0).map(Ended::Shell).ok_or(SshError::Lost)
    }

    /// Says all of this and listens until what is wanted was heard, or nothing more comes.
    async fn say(
        &mut self,
        bytes: &[u8],
        listening: &mut Listening<'_, '_>,
        heard: fn(&Listening<'_, '_>) -> bool,
    ) -> Result<(), SshError> {
        // The answer may be there before all is said.
        let mut there = self.conversation.say(bytes, &mut |said| listening.hear(said)).await?;
        while there && !heard(listening) {
            match self.conversation.hear().await {
                Some(said) => listening.hear(said)?,
                None => there = false,
            }
        }
        Ok(())
    }

    fn mark(&mut self) -> Mark {
        self.typed += 1;
        Mark::of(&self.secret, self.typed)
    }
}

/// What is heard while a program runs.
struct Listening<'l, 'e> {
    out: Ending,
    err: Ending,
    /// How the shell ended, if it did.
    shell: Option<u32>,
    ear: &'l mut Ear<'e>,
}

impl<'l, 'e> Listening<'l, 'e> {
    fn new(mark: &Mark, ear: &'l mut Ear<'e>) -> Self {
        Self { out: Ending::new(mark), err: Ending::new(mark), shell: None, ear }
    }

    fn hear(&mut self, said: Said) -> Result<(), SshError> {
        match said {
            Said::Out(bytes) => {
                let own = self.out.hear(&bytes);
                self.tell_out(&own)
            }
            Said::Err(bytes) => {
                let own = self.err.hear(&bytes);
                self.tell_err(&own)
            }
            Said::Status(status) => {
                self.shell = Some(status);
                Ok(())
            }
            Said::Nothing => Ok(()),
        }
    }

    fn tell_out(&mut self, bytes: &[u8]) -> Result<(), SshError> {
        if bytes.is_empty() { Ok(()) } else { (self.ear)(Heard::Out(bytes)) }
    }

    fn tell_err(&mut self, bytes: &[u8]) -> Result<(), SshError> {
        if bytes.is_empty() { Ok(()) } else { (self.ear)(Heard::Err(bytes)) }
    }

    /// How the program ended, once both outputs have said so.
    fn program(&self) -> Option<u32> {
        self.err.status.and(self.out.status)
    }

    /// Tells what was held back for an end that does not come; how the shell ended.
    fn rest(&mut self) -> Result<Option<u32>, SshError> {
        let (out, err) = (self.out.rest(), self.err.rest());
        self.tell_out(&out)?;
        self.tell_err(&err)?;
        Ok(self.shell)
    }
}
