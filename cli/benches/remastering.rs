//! How long does bldr take, beside what Salt itself needs? The same minions are moved by hand and by bldr, there and back, in
//! one run; prints machine, date and ratios.
//!
//! ```console
//! # cargo bench --profile dev -p bldr-cli --features lab --bench remastering -- 3
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unused_imports)]
#[path = "../tests/salted/mod.rs"]
mod salted;

use futures::future::join_all;
use salted::{A, B, Fleet, NEW, OLD, Stack, TRUSTED, fleet};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Enough for what two cores carry.
const NAMES: [&str; 8] = ["a--ci", "b--ci", "c--ci", "d--ci", "e--ci", "f--ci", "g--ci", "h--ci"];

/// What somebody types who knows exactly what to do: stop, edit, place the key, start, wait for the connection, highstate.
async fn by_hand(fleet: &Fleet, stacks: &[Stack], to: &str) -> Duration {
    introduced(fleet, stacks).await;
    let address = if to == B { NEW } else { OLD };
    let key = &fleet.keys[to].public_pem;
    let line = format!(
        "sudo systemctl stop salt-minion && sudo sed -i 's/^master:.*/master: {address}/' /etc/salt/minion && \
         printf '%s' '{key}' | sudo tee {TRUSTED} >/dev/null && sudo systemctl start salt-minion && \
         until ss -Htn state established '( dport = :4505 )' | grep -q '{address}:4505'; do sleep 0.1; done && \
         sudo salt-call --out=json --retcode-passthrough state.highstate >/dev/null"
    );
    let begun = Instant::now();
    let moves = stacks.iter().map(async |stack| {
        let output = fleet.lab.ssh(fleet.host(&format!("{}--1", stack.name)), &line).await.unwrap();
        assert!(output.status.success(), "{output:?}");
    });
    join_all(moves).await;
    begun.elapsed()
}

/// What a run of bldr took.
struct Run {
    wall: Duration,
    /// The processor time of bldr itself.
    cpu: f64,
    /// Where the time went, in seconds: before the run, the mean of each step, after them.
    parts: Vec<(String, f64)>,
}

async fn by_bldr(fleet: &Fleet, stacks: &[Stack], to: &str) -> Run {
    introduced(fleet, stacks).await;
    let before = children_seconds();
    let begun = Instant::now();
    let jobs = format!("master.remaster_all:{to},allow_unshared=yes,jobs={}", stacks.len());
    let (code, events, errors) = fleet.bldr(&[&jobs, "--yes"]).await;
    assert_eq!(code, Some(0), "{errors} {:?}", events.last());
    let (wall, cpu) = (begun.elapsed(), children_seconds() - before);
    Run { wall, cpu, parts: parts(wall, &events) }
}

fn parts(wall: Duration, events: &[Value]) -> Vec<(String, f64)> {
    let seconds = |event: &Value| event["millis"].as_f64().unwrap_or(0.0) / 1000.0;
    let mut parts = vec![("survey".to_owned(), wall.as_secs_f64() - events.last().map_or(0.0, seconds))];
    let mut steps: Vec<(String, f64, f64)> = Vec::new();
    for event in events.iter().filter(|event| event["event"] == "step_finished") {
        let action = event["action"].as_str().unwrap_or("?");
        match steps.iter_mut().find(|(name, ..)| name == action) {
            Some((_, total, count)) => (*total, *count) = (*total + seconds(event), *count + 1.0),
            None => steps.push((action.to_owned(), seconds(event), 1.0)),
        }
    }
    parts.extend(steps.into_iter().map(|(name, total, count)| (name, total / count)));
    parts.extend(events.iter().filter(|event| event["event"] == "old_keys_removed").map(|event| ("old keys".to_owned(), seconds(event))));
    parts
}

/// The processor time of the children of this process that have ended: of bldr, and of nsenter, which takes none.
fn children_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = [fields[13], fields[14]].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Both masters know every minion, as they do after a first move: what is compared is the move.
async fn introduced(fleet: &Fleet, stacks: &[Stack]) {
    for (master, stack) in [A, B].iter().flat_map(|master| stacks.iter().map(move |stack| (master, stack))) {
        let node = format!("{}--1", stack.name);
        let key = fleet.keys[&node].public_pem.as_bytes();
        fleet.master(master).write(&format!("/etc/salt/pki/master/minions/{node}"), key, 0o644).await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let asked = std::env::args().skip(1).find_map(|word| word.parse::<usize>().ok()).unwrap_or(3).clamp(1, NAMES.len());
    let date = std::process::Command::new("date").args(["-u", "+%F %H:%M"]).output().unwrap();
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown").trim_start_matches(['\t', ' ', ':']);
    println!("{} UTC, {model}", String::from_utf8_lossy(&date.stdout).trim());
    println!("{:>6}  {:>9}  {:>9}  {:>6}  {:>10}  {:>9}", "nodes", "by hand", "bldr", "ratio", "bldr's CPU", "of its run");
    for count in [1, asked] {
        let stacks: Vec<Stack> = NAMES[..count].iter().map(|name| Stack::new(name)).collect();
        let fleet = fleet(&stacks).await;
        // Not counted: the first moves of all fill caches.
        by_hand(&fleet, &stacks, B).await;
        by_bldr(&fleet, &stacks, A).await;
        // Each way in each direction, and that twice: Salt takes six to ten seconds to stop a minion.
        let (mut by_hands, mut runs) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            by_hands.push(by_hand(&fleet, &stacks, B).await);
            runs.push(by_bldr(&fleet, &stacks, A).await);
            runs.push(by_bldr(&fleet, &stacks, B).await);
            by_hands.push(by_hand(&fleet, &stacks, A).await);
        }
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let hand = mean(by_hands.iter().map(Duration::as_secs_f64).collect());
        let bldr = mean(runs.iter().map(|run| run.wall.as_secs_f64()).collect());
        let cpu = mean(runs.iter().map(|run| run.cpu).collect());
        println!("{count:>6}  {hand:>7.1} s  {bldr:>7.1} s  {:>6.2}  {cpu:>8.2} s  {:>8.1}%", bldr / hand, 100.0 * cpu / bldr);
        for run in &runs {
            println!("        {}", run.parts.iter().map(|(name, seconds)| format!("{name} {seconds:.1}")).collect::<Vec<_>>().join(", "));
        }
    }
}
