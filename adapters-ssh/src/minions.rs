//! How are minions read, repointed and brought up to date over SSH? One script a question.

use crate::{
    error::SshError,
    highstate::{self, Progress},
    parse,
    pool::{Order, Pool},
    script::{self, Answer, Script},
    session::Output,
};
use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    error::PortResult,
    fleet::{Host, NodeFiles, Outlook, PublicKey},
    ports::{Change, Fence, Heard, Highstate, HighstateMode, Minions, Proof, Repointing, States},
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

    async fn examine(&self, host: &Host, address: &MasterAddress) -> PortResult<(NodeFiles, Outlook)> {
        let limit = self.pool.settings().command_timeout;
        let answer = run(&self.pool, host, script::READ, &[address.as_str()], b"", limit).await;
        let said = answer.and_then(|answer| Ok((parse::node_files(&answer)?, parse::outlook(&answer)?)));
        said.map_err(|error| error.about(host.node.to_string()))
    }

    async fn repoint(&self, host: &Host, to: &Repointing) -> PortResult<Change> {
        let limit = self.pool.settings().command_timeout + RESTART;
        let vars = to.build_vars.as_deref().unwrap_or_default();
        let (patience, size) = (to.patience.as_secs().max(1).to_string(), vars.len().to_string());
        let arguments = [to.address.as_str(), &patience, to.key.pem(), script::REVERT.text(), &size];
        let lines = if vars.is_empty() { String::new() } else { format!("{vars}\n") };
        let answer = run(&self.pool, host, script::REPOINT, &arguments, lines.as_bytes(), limit).await;
        answer.and_then(|answer| parse::change(&answer)).map_err(|error| error.about(host.node.to_string()))
    }

    async fn prove(&self, host: &Host, address: &MasterAddress, key: &PublicKey, within: Duration) -> PortResult<Proof> {
        let seconds = within.as_secs().max(1).to_string();
        let limit = self.pool.settings().command_timeout + within;
        let answer = run(&self.pool, host, script::PROVE, &[address.as_str(), &seconds, key.pem()], b"", limit).await;
        answer.and_then(|answer| parse::proof(&answer)).map_err(|error| error.about(host.node.to_string()))
    }

    async fn confirm(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<()> {
        let limit = self.pool.settings().command_timeout + RESTART;
        let answer = run(&self.pool, host, script::CONFIRM, &[address.as_str(), key.pem()], b"", limit).await;
        answer.map(|_| ()).map_err(|error| error.about(host.node.to_string()))
    }

    async fn keep(&self, host: &Host) -> PortResult<()> {
        let limit = self.pool.settings().command_timeout;
        let answer = run(&self.pool, host, script::CONFIRM, &[], b"", limit).await;
        answer.map(|_| ()).map_err(|error| error.about(host.node.to_string()))
    }

    async fn revert(&self, host: &Host) -> PortResult<Change> {
        let limit = self.pool.settings().command_timeout + RESTART;
        let answer = run(&self.pool, host, script::REVERT, &["now"], b"", limit).await;
        answer.and_then(|answer| parse::change(&answer)).map_err(|error| error.about(host.node.to_string()))
    }

    async fn rehearse(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<Highstate> {
        let limit = self.pool.settings().highstate_timeout;
        let (seconds, size) = (limit.as_secs().max(1).to_string(), key.pem().len().to_string());
        let arguments = [address.as_str(), &seconds, &size];
        let answer = run(&self.pool, host, script::REHEARSE, &arguments, key.pem().as_bytes(), limit + AFTER_HIGHSTATE).await;
        let ended = answer.and_then(|answer| highstate::ended(&answer, HighstateMode::Test, limit));
        ended.map_err(|error| error.about(host.node.to_string()))
    }

    async fn highstate(&self, host: &Host, mode: HighstateMode, begun: States) -> PortResult<Highstate> {
        let word = match mode {
            HighstateMode::Apply => "apply",
            HighstateMode::Test => "test",
            HighstateMode::None => {
                return Ok(Highstate { succeeded: true, summary: "left out".into(), ..Highstate::default() });
            }
        };
        let settings = self.pool.settings();
        let limit = settings.highstate_timeout;
        let arguments = [word, &limit.as_secs().max(1).to_string()];
        // A re-pointing that was killed is completed first.
        let mut progress = Progress::telling(begun);
        let mut hear = |said: &[u8]| progress.hear(said);
        let answer = heard(&self.pool, host, script::HIGHSTATE, &arguments, b"", limit + AFTER_HIGHSTATE + RESTART, &mut hear).await;
        answer.and_then(|answer| highstate::ended(&answer, mode, limit)).map_err(|error| error.about(host.node.to_string()))
    }

    async fn release(&self, host: &Host) {
        self.pool.release(host).await;
    }
}

/// Runs a script on a node, as root, and tells what it prints when it prints it.
async fn heard(
    pool: &Pool,
    host: &Host,
    script: Script,
    arguments: &[&str],
    stdin: &[u8],
    limit: Duration,
    hear: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<Answer, SshError> {
    let route = pool.route(host)?;
    let mut output = Output::default();
    let mut ear = |heard: Heard<'_>| {
        if let Heard::Out(said) = heard {
            hear(said);
        }
        output.hear(heard)
    };
    let fence = pool.settings().fence.as_deref();
    let under = script.under(fence.and_then(Fence::tenure).as_ref());
    let program = script.program(&route, &under, arguments, stdin);
    let status = pool.listen(host, &Order::Program(program), limit, &mut ear).await?;
    let answer = script.answer(&Output { status, ..output }, &route);
    if let (Err(SshError::Overtaken(by)), Some(fence)) = (&answer, fence) {
        fence.overtaken(&format!("{}: {by}", host.node));
    }
    answer
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
    heard(pool, host, script, arguments, stdin, limit, &mut |_| ()).await
}
