//! The program on its way: what it tells can be awaited, and it can be killed.

use bldr_testkit::lab::Running;
use serde_json::Value;
use std::{collections::BTreeMap, process::Output};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::ChildStdout,
};

/// A run that goes on.
pub struct Going {
    running: Running,
    lines: Lines<BufReader<ChildStdout>>,
    told: Vec<Value>,
}

impl Going {
    pub fn new(mut running: Running) -> Self {
        let lines = BufReader::new(running.take_stdout().unwrap()).lines();
        Self { running, lines, told: Vec::new() }
    }

    /// Waits until a step begins.
    pub async fn begins(&mut self, action: &str) {
        self.tells(|event| event["event"] == "step_started" && event["action"] == action).await;
    }

    /// Waits until it tells this.
    pub async fn tells(&mut self, this: impl Fn(&Value) -> bool) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.told.push(serde_json::from_str(&line).unwrap());
            if self.told.last().is_some_and(&this) {
                return;
            }
        }
        panic!("it ended without that: {:?}", self.told.last());
    }

    /// Kills it, as nobody can prevent. What it had told.
    pub async fn kill(mut self) -> Vec<Value> {
        self.running.signal("KILL").await.unwrap();
        self.end().await.1
    }

    /// Waits for its end.
    pub async fn end(mut self) -> (Option<i32>, Vec<Value>) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.told.push(serde_json::from_str(&line).unwrap());
        }
        let output = self.running.wait_with_output().await.unwrap();
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        self.told.iter().filter(|event| event["event"] != "step_started").for_each(|event| eprintln!("  {event}"));
        (output.status.code(), self.told)
    }
}

pub fn read(args: &[&str], output: &Output) -> (Option<i32>, Vec<Value>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let values = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect::<Vec<Value>>();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    eprintln!("{args:?}: {:?}\n{errors}", output.status.code());
    for event in values.iter().filter(|event| event["event"] != "step_started") {
        eprintln!("  {event}");
    }
    (output.status.code(), values, errors)
}

/// How it ended for each stack, and why.
pub fn outcomes(events: &[Value]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let last = events.last().unwrap();
    assert_eq!(last["event"], "run_finished", "{last}");
    let map = |name: &str| serde_json::from_value(last[name].clone()).unwrap();
    (map("outcomes"), map("reasons"))
}
