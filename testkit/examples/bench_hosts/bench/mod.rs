//! What did each of them use? A fleet of its own for each, measured from outside, and counted on the hosts.

mod contenders;
pub mod fleet;
mod programs;

use contenders::{ALL, AT_ONCE, Contender, scripts};
use fleet::{Fleet, NEW};
use futures::future::try_join_all;
use serde::Deserialize;
use std::{error::Error, fs, path::PathBuf, process::Command};

/// Whatever goes wrong ends all of it.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is to be measured.
pub struct Wanted {
    /// The program.
    pub bldr: PathBuf,
    /// The Python that has Ansible and parallel-ssh.
    pub tools: PathBuf,
    /// How many hosts.
    pub hosts: usize,
    /// How often; the table has the run in the middle.
    pub rounds: usize,
    /// Names of contenders; none for all.
    pub only: Vec<String>,
}

/// What `measure.py` says.
#[derive(Debug, Clone, Deserialize)]
pub struct Used {
    /// Seconds from the beginning to the end.
    pub wall: f64,
    /// Processor time, in seconds.
    pub user: f64,
    /// The same, in the kernel.
    pub system: f64,
    /// MiB.
    pub memory: f64,
    /// How it ended.
    pub code: i32,
}

/// A line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Who.
    pub name: &'static str,
    /// At the operator's end.
    pub used: Used,
    /// Processor time on the hosts, masters and all, in seconds.
    pub hosts: f64,
    /// Connections a node.
    pub connections: f64,
    /// Commands a node: round trips.
    pub commands: f64,
    /// How many nodes are where they should be.
    pub done: usize,
}

/// Measures all that is wanted.
pub async fn run(wanted: &Wanted) -> Outcome<Vec<Row>> {
    let (bldr, tools) = (fs::canonicalize(&wanted.bldr)?, std::path::absolute(&wanted.tools)?);
    let mut rounds: Vec<Vec<Row>> = Vec::new();
    let contenders = ALL.into_iter().filter(|contender| wanted.only.is_empty() || wanted.only.iter().any(|name| name == contender.name()));
    let contenders: Vec<Contender> = contenders.collect();
    for _ in 0..wanted.rounds.max(1) {
        for (at, contender) in contenders.iter().enumerate() {
            let fleet = Fleet::new(wanted.hosts).await?;
            eprintln!("{}: {} hosts are up after {:.1} s", contender.name(), wanted.hosts, fleet.up.as_secs_f64());
            let row = measured(*contender, &bldr, &tools, &fleet).await?;
            rounds.resize_with(rounds.len().max(at + 1), Vec::new);
            rounds[at].push(row);
        }
    }
    let middle = |mut rows: Vec<Row>| {
        rows.sort_by(|a, b| a.used.wall.total_cmp(&b.used.wall));
        rows.swap_remove(rows.len() / 2)
    };
    Ok(rounds.into_iter().map(middle).collect())
}

async fn measured(contender: Contender, bldr: &std::path::Path, tools: &std::path::Path, fleet: &Fleet) -> Outcome<Row> {
    let (command, mut env) = contender.command(bldr, tools, fleet);
    env.extend(fleet.lab.ec2().await?.env());
    let before = fleet.processor_time();
    let report = fleet.home.join("report").display().to_string();
    let measure = scripts().join("measure.py").display().to_string();
    let output = fleet.lab.run_in_hub(tools.join("bin/python3"), &[&[measure, report.clone()], &command[..]].concat(), &env).await?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let hosts = fleet.processor_time() - before;
    let used = fs::read_to_string(&report).map_err(|error| format!("{}: {error}\n{said}", contender.name()))?;
    let used: Used = serde_json::from_str(&used)?;
    if used.code != 0 {
        eprintln!("{}: ended with {}\n{said}", contender.name(), used.code);
    }
    let done = fleet.done().await?;
    const COUNT: &str = "for what in 'Accepted publickey' 'Starting session:'; do grep -c \"$what\" /var/log/auth.log || :; done";
    let counted = try_join_all(fleet.minions.iter().map(|host| host.shell(COUNT))).await?;
    let counts = counted.iter().map(|text| text.split_whitespace().filter_map(|n| n.parse::<usize>().ok()).collect::<Vec<_>>());
    let (connections, commands): (Vec<_>, Vec<_>) = counts.filter_map(|row| Some((*row.first()?, *row.get(1)?))).unzip();
    let mean = |counts: Vec<usize>| counts.iter().sum::<usize>() as f64 / fleet.minions.len() as f64;
    Ok(Row { name: contender.name(), used, hosts, connections: mean(connections), commands: mean(commands), done })
}

/// The version of the `ssh` of this machine, which is the system's own.
fn ssh() -> String {
    let output = Command::new("ssh").arg("-V").output();
    output.map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned()).unwrap_or_default()
}

/// The table, in the words of docs/figures.md.
pub fn print(wanted: &Wanted, rows: &[Row]) {
    println!("{}; {}", bldr_testkit::figures::machine_and_date(), ssh());
    println!("{} hosts to {}, {AT_ONCE} at a time; the middle one of {} runs each\n", wanted.hosts, NEW.0, wanted.rounds.max(1));
    println!("| | wall | client's CPU (user + system) | the hosts' CPU | memory | connections | commands | done |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for Row { name, used, hosts, connections, commands, done } in rows {
        let Used { wall, user, system, memory, .. } = used;
        let cpu = user + system;
        println!(
            "| {name} | {wall:.1} s | {cpu:.1} s ({user:.1} + {system:.1}) | {hosts:.1} s | {memory:.0} MiB | {connections:.1} | {commands:.1} | {done} |"
        );
    }
}
