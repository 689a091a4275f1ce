//! Where and when was something measured? What every table of figures begins with.

use std::{fs, process::Command};

/// `2026-11-28, 2 x AMD EPYC, Linux 6.18.44`.
pub fn machine_and_date() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).map_or("", |line| line.trim_start_matches([' ', '\t', ':']));
    format!("{}, {} x {model}, Linux {}", said("date", &["-u", "+%F"]), said("nproc", &[]), said("uname", &["-r"]))
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
