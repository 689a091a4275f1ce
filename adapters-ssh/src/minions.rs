//! How are minions read, repointed and brought up to date over SSH? One script a question, each one command.

use crate::{
    error::SshError,
    highstate, parse,
    pool::Pool,
    script::{self, Answer, Script},
};
use async_trait::async_trait;
use bldr_core::{
    error::PortResult,
    fleet::{Host, NodeFiles},
    ports::{Change, Highstate, HighstateMode, Minions, Repointing},
};
use std::time::Duration;

/// [`Minions`] over SSH.
#[derive(Clone)]
pub struct SshMinions {
    pool: Pool,
}

/// Where build vars are kept on a node.
const BUILD_VARS: &str = "/etc/build-vars.json.b64";

/// Stopping a minion takes up to ten seconds of Salt's own, and systemd waits for ninety before it kills.
const RESTART: Duration = Duration::from_secs(120);

/// How much longer than the highstate itself its command may take: to be killed, and to send its output.
const AFTER_HIGHSTATE: Duration = Duration::from_secs(60);

impl SshMinions {
    /// Minions that are reached over this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Minions for SshMinions {
    async fn read(&self, host: &Host) -> PortResult<NodeFiles> {
        let limit = self.pool.settings().command_timeout;
        let answer = run(&self.pool, host, script::READ, &[], b"", limit).await;
        answer.and_then(|answer| parse::node_files(&answer)).map_err(|error| error.about(host.node.to_string()))
    }

    async fn write_build_vars(&self, host: &Host, encoded: &str) -> PortResult<()> {
        let limit = self.pool.settings().command_timeout;
        let arguments = [BUILD_VARS, "0644", "root:root", &encoded.len().to_string(), "backup"];
        let answer = run(&self.pool, host, script::WRITE_FILE, &arguments, encoded.as_bytes(), limit).await;
        answer.map(|_| ()).map_err(|error| error.about(host.node.to_string()))
    }

    async fn repoint(&self, host: &Host, to: &Repointing) -> PortResult<Change> {
        let limit = self.pool.settings().command_timeout + RESTART;
        let key = to.key.pem();
        let arguments = [to.address.as_str(), &key.len().to_string()];
        let answer = run(&self.pool, host, script::REPOINT, &arguments, key.as_bytes(), limit).await;
        answer.and_then(|answer| parse::change(&answer)).map_err(|error| error.about(host.node.to_string()))
    }

    async fn highstate(&self, host: &Host, mode: HighstateMode) -> PortResult<Highstate> {
        let word = match mode {
            HighstateMode::Apply => "apply",
            HighstateMode::Test => "test",
            HighstateMode::None => {
                return Ok(Highstate { succeeded: true, summary: "left out".into(), failed: Vec::new() });
            }
        };
        let settings = self.pool.settings();
        let limit = settings.highstate_timeout;
        let arguments = [word, &limit.as_secs().max(1).to_string()];
        // A re-pointing that was killed is completed first.
        let answer = run(&self.pool, host, script::HIGHSTATE, &arguments, b"", limit + AFTER_HIGHSTATE + RESTART).await;
        answer.and_then(|answer| highstate::ended(&answer, mode, limit)).map_err(|error| error.about(host.node.to_string()))
    }

    async fn release(&self, host: &Host) {
        self.pool.release(host).await;
    }
}

/// Runs a script on a node, as root.
pub(crate) async fn run(
    pool: &Pool,
    host: &Host,
    script: Script,
    arguments: &[&str],
    stdin: &[u8],
    limit: Duration,
) -> Result<Answer, SshError> {
    let route = pool.route(host)?;
    let output = pool.run(host, &script.command(&route, arguments), stdin, limit).await?;
    script.answer(&output, &route)
}
