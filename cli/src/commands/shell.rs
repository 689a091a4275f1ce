//! `cmd`, `ssh`: how does an operator run something on nodes by hand?

use super::{
    Session,
    fleet_lock::mention_the_holder,
    nodes::{advised, host},
};
use crate::{
    exit::{Code, Exit},
    request::{Command, Ssh},
    screen::{Format, Screen},
    wiring::Ports,
};
use bldr_core::{
    fleet::Node,
    name::{NodeName, StackName},
    ports::Heard,
    update::Concurrency,
};
use futures::{StreamExt, stream};
use serde::Serialize;

#[derive(Serialize)]
struct LineView<'a> {
    event: &'static str,
    node: &'a NodeName,
    stream: &'static str,
    line: &'a str,
}

#[derive(Serialize)]
struct EndView {
    node: NodeName,
    exit: Option<u32>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct CommandView<'a> {
    stack: &'a StackName,
    nodes: Vec<EndView>,
}

/// Runs a command line on each node, and shows what it prints as it prints it. Without the lock: what an operator types is theirs, and
/// most often a look at a node that somebody else's run is at.
///
/// # Errors
/// Unknown stacks and nodes. What failed on a node is in the result and in the code.
pub async fn run(wanted: &Command, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let nodes = wanted.which.listed(ports, session).await?;
    mention_the_holder(&ports.stores, session).await;
    let at_once = match wanted.concurrency {
        Concurrency::Serial => 1,
        Concurrency::Parallel => nodes.len(),
    };
    let several = nodes.len() > 1;
    let running = stream::iter(&nodes).map(|node| on(node, wanted, several, ports, &session.screen));
    let ends: Vec<EndView> = running.buffered(at_once).collect().await;
    for end in &ends {
        let said = end.problem.clone().or_else(|| end.exit.filter(|exit| *exit != 0).map(|exit| format!("it ended with {exit}")));
        said.iter().for_each(|said| session.screen.note(&format!("{}: {said}", end.node)));
    }
    let code = if ends.iter().all(|end| end.exit == Some(0)) { Code::Done } else { Code::Failed };
    session.screen.result(String::new, &CommandView { stack: &wanted.which.stack, nodes: ends });
    Ok(code)
}

async fn on(node: &Node, wanted: &Command, several: bool, ports: &Ports, screen: &Screen) -> EndView {
    let ended = |exit, problem| EndView { node: node.name.clone(), exit, problem };
    let host = match host(node) {
        Ok(host) => host,
        Err(problem) => return ended(None, Some(problem)),
    };
    let mut out = Lines::new(&node.name, "stdout", several, screen);
    let mut err = Lines::new(&node.name, "stderr", several, screen);
    let mut hear = |heard: Heard<'_>| match heard {
        Heard::Out(bytes) => out.hear(bytes),
        Heard::Err(bytes) => err.hear(bytes),
    };
    let answer = ports.shell.run(&host, &wanted.command, &mut hear).await;
    out.end();
    err.end();
    ports.minions.release(&host).await;
    match answer {
        Ok(exit) => ended(Some(exit), None),
        Err(error) => {
            let error = advised(error, wanted.user);
            let advice = error.advice.map(|advice| format!("; {advice}")).unwrap_or_default();
            ended(None, Some(format!("{}{advice}", error.problem)))
        }
    }
}

/// How much of a line is waited for.
const LONGEST_LINE: usize = 64 << 10;

/// What a node prints on one of its streams, in whole lines where several nodes print.
struct Lines<'a> {
    node: &'a NodeName,
    stream: &'static str,
    several: bool,
    screen: &'a Screen,
    begun: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(node: &'a NodeName, stream: &'static str, several: bool, screen: &'a Screen) -> Self {
        Self { node, stream, several, screen, begun: Vec::new() }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        // The bytes of one node alone are handed on as they are.
        if !self.several && self.screen.format() == Format::Text {
            let all = std::mem::take(&mut self.begun);
            self.screen.bytes(&all, self.stream == "stderr");
            return;
        }
        let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            // A line without an end is told in pieces.
            if self.begun.len() > LONGEST_LINE {
                self.end();
            }
            return;
        };
        let rest = self.begun.split_off(self.begun.len() - (bytes.len() - last - 1));
        let lines = std::mem::replace(&mut self.begun, rest);
        lines[..lines.len() - 1].split(|byte| *byte == b'\n').for_each(|line| self.tell(line));
    }

    fn end(&mut self) {
        let rest = std::mem::take(&mut self.begun);
        if !rest.is_empty() {
            self.tell(&rest);
        }
    }

    fn tell(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match self.screen.format() {
            Format::Json => {
                let view = LineView { event: "output", node: self.node, stream: self.stream, line: &line };
                self.screen.result(String::new, &view);
            }
            Format::Text => self.screen.bytes(format!("{}: {line}\n", self.node).as_bytes(), self.stream == "stderr"),
        }
    }
}

/// Hands the terminal over to a shell on a node; without the lock, as [`run`].
///
/// # Errors
/// Unknown stacks and nodes, several nodes and none named, a node that cannot be asked.
pub async fn attach(wanted: &Ssh, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let host = wanted.which.one(ports, session).await?;
    mention_the_holder(&ports.stores, session).await;
    session.screen.note(&format!("{} at {}", host.node, host.address));
    match ports.shell.attach(&host).await? {
        0 => Ok(Code::Done),
        _ => Ok(Code::Failed),
    }
}
