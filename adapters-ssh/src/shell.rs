//! How does an operator get at a node's files and its shell over SSH? Two scripts for the files, and `ssh` itself for a terminal.

use crate::{
    error::SshError,
    minions::run,
    pool::{Order, Pool},
    script::{self, Answer},
    system_session::configuration,
};
use async_trait::async_trait;
use bldr_core::{
    error::PortResult,
    fleet::Host,
    ports::{Existing, Heard, Part, Shell},
};
use std::{io::Write, os::unix::process::ExitStatusExt, time::Duration};
use tempfile::NamedTempFile;

/// [`Shell`] over SSH.
#[derive(Clone)]
pub struct SshShell {
    pool: Pool,
}

/// How many bytes of a file are asked for at once: in base64 they fit into what a command may print.
const PART: u64 = 8 << 20;
/// The slowest line that is waited for, in bytes a second.
const SLOWEST: usize = 64 << 10;
/// As long as it takes, for a timer that wants a number.
const NO_END: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl SshShell {
    /// The shells of nodes that are reached over this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    fn limit(&self, bytes: usize) -> Duration {
        self.pool.settings().command_timeout + Duration::from_secs((bytes / SLOWEST) as u64)
    }

    async fn attached(&self, host: &Host) -> Result<u32, SshError> {
        let route = self.pool.way(host).await?;
        let cannot = |what: &str, error: std::io::Error| SshError::Settings(format!("cannot {what}: {error}"));
        let settings = self.pool.settings();
        let text = configuration(settings, &route, "BatchMode no")?;
        let mut file = NamedTempFile::with_prefix("bldr-ssh-").map_err(|error| cannot("make a file for ssh", error))?;
        file.write_all(text.as_bytes()).map_err(|error| cannot("write a file for ssh", error))?;
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.arg("-F").arg(file.path());
        if let Some(socket) = &settings.agent {
            ssh.env("SSH_AUTH_SOCK", socket);
        }
        let ended = ssh.arg(&route.alias).status().await.map_err(|error| cannot("run ssh", error))?;
        let signal = || ended.signal().map_or(255, |signal| 128 + signal);
        Ok(u32::try_from(ended.code().unwrap_or_else(signal)).unwrap_or(255))
    }
}

#[async_trait]
impl Shell for SshShell {
    async fn read(&self, host: &Host, path: &str, from: u64) -> PortResult<Part> {
        let arguments = [path, &from.to_string(), &PART.to_string()];
        let limit = self.limit(usize::try_from(PART).unwrap_or(usize::MAX));
        let answer = run(&self.pool, host, script::READ_FILE, &arguments, b"", limit).await;
        answer.and_then(|answer| part(&answer)).map_err(|error| error.about(format!("{}: {path}", host.node)))
    }

    async fn place(&self, host: &Host, path: &str, content: &[u8], existing: Existing) -> PortResult<()> {
        let how = match existing {
            Existing::Stays => "new",
            Existing::IsReplaced => "keep",
        };
        let arguments = [path, "0644", "root:root", &content.len().to_string(), how];
        let answer = run(&self.pool, host, script::WRITE_FILE, &arguments, content, self.limit(content.len())).await;
        answer.map(|_| ()).map_err(|error| error.about(format!("{}: {path}", host.node)))
    }

    async fn run(&self, host: &Host, command: &str, heard: &mut (dyn for<'a> FnMut(Heard<'a>) + Send)) -> PortResult<u32> {
        let mut ear = |bytes: Heard<'_>| {
            heard(bytes);
            Ok(())
        };
        self.pool.listen(host, &Order::Command(command, b""), NO_END, &mut ear).await.map_err(|error| error.about(host.node.to_string()))
    }

    async fn attach(&self, host: &Host) -> PortResult<u32> {
        self.attached(host).await.map_err(|error| error.about(host.node.to_string()))
    }
}

/// What `read-file.sh` says.
fn part(answer: &Answer) -> Result<Part, SshError> {
    let bytes = answer.bytes("part")?.ok_or(SshError::Absent("there is no such file"))?;
    let size = answer.required("size")?.parse().map_err(|_| answer.garbled("its size is no number"))?;
    Ok(Part { bytes, size, identity: answer.required("identity")?.to_owned() })
}
