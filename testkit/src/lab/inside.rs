//! How does a program run inside a lab? Through `nsenter`, so that it dies with the lab and its signals still reach it.

use super::error::{LabError, LabResult, Trying};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The children of a process, by id.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// The children of this process, whichever of its threads has started them.
pub(super) fn own_children() -> impl Iterator<Item = u32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    listed.flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
}

/// Sends a signal; a process that is gone has it already.
pub(super) fn send(signal: &str, pid: u32) {
    let kill = format!("kill -{signal} {pid} 2>/dev/null");
    let _ = std::process::Command::new("/bin/sh").args(["-c", &kill]).status();
}

/// A command that will run in the namespaces of a process: network, mounts, processes and host name.
pub(super) fn entering(pid: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid.to_string(), "-n", "-m", "-p", "-u"]);
    command
}

/// The same, then `program` with `args` in the folder `dir`.
pub(super) fn entering_at<P: AsRef<OsStr>, A: AsRef<OsStr>>(pid: u32, dir: &Path, program: P, args: &[A]) -> Command {
    let mut command = entering(pid);
    command.args(["--", "env", "-C"]).arg(dir).arg(program).args(args);
    command
}

/// A program that runs inside the lab. Dropping this kills it, and it dies with the lab at the latest.
#[derive(Debug)]
pub struct Running {
    /// `nsenter`, whose only child is the program itself.
    entrance: Child,
    what: String,
}

impl Running {
    /// Starts a command made by [`entering`], with pipes for its output.
    pub(super) fn start(mut command: Command, stdin: Stdio) -> LabResult<Self> {
        let what = format!("{:?}", command.as_std());
        let entrance = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().trying(&what)?;
        Ok(Self { entrance, what })
    }

    /// The same with its messages in a file.
    pub(super) fn start_logging(mut command: Command, stdin: Stdio, log: std::fs::File) -> LabResult<Self> {
        let what = format!("{:?}", command.as_std());
        let entrance = command.stdin(stdin).stdout(Stdio::piped()).stderr(log).spawn().trying(&what)?;
        Ok(Self { entrance, what })
    }

    /// The process id of the program, as this machine counts.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn pid(&mut self) -> LabResult<u32> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Some(entrance) = self.entrance.id() {
            // Nothing tells when nsenter has forked; it takes a millisecond.
            match children(entrance).first() {
                Some(pid) => return Ok(*pid),
                None if Instant::now() > deadline || self.entrance.try_wait().trying(&self.what)?.is_some() => break,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        Err(LabError::broken(&self.what, "has ended"))
    }

    /// Sends it a signal by name: `INT`, `KILL`.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn signal(&mut self, name: &str) -> LabResult<()> {
        let pid = self.pid().await?;
        send(name, pid);
        Ok(())
    }

    /// The pipe to its standard input, once, where it has one.
    pub(super) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.entrance.stdin.take()
    }

    /// The pipe from its standard output, once, to read while it runs; the final output then lacks it.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.entrance.stdout.take()
    }

    /// Waits for its end and returns what it wrote.
    ///
    /// # Errors
    /// When a pipe breaks.
    pub async fn wait_with_output(mut self) -> LabResult<Output> {
        self.feed(&[]).await
    }

    /// Writes all of this to its standard input, and waits for its end.
    pub(super) async fn feed(&mut self, input: &[u8]) -> LabResult<Output> {
        let stdin = self.entrance.stdin.take();
        let stdout = self.entrance.stdout.take();
        let stderr = self.entrance.stderr.take();
        let give = async move {
            if let Some(mut stdin) = stdin {
                // Whoever does not read all of it says so by how it ends.
                let _ = stdin.write_all(input).await;
            }
        };
        let (_, stdout, stderr, status) = tokio::join!(give, drained(stdout), drained(stderr), self.entrance.wait());
        Ok(Output { status: status.trying(&self.what)?, stdout: stdout.trying(&self.what)?, stderr: stderr.trying(&self.what)? })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(entrance) = self.entrance.id() {
            for pid in children(entrance) {
                send("KILL", pid);
            }
        }
    }
}

async fn drained(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut all).await?;
    }
    Ok(all)
}

/// The folder the test runs in.
pub(super) fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| "/".into())
}
