//! How is the binary run by a test? In a folder of its own, with nothing of the tester's environment, and never at a terminal.

#![allow(dead_code, reason = "not every test file needs all of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::{
    fs,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A home folder with a bldr to run in it.
pub struct Bldr(tempfile::TempDir);

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Both streams and the code, to look at.
    pub fn told(&self) -> String {
        format!("{}--- stderr\n{}--- exit code {}\n", self.out, self.err, self.code)
    }
    /// The lines of stdout as JSON.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
    /// The one line of stdout as JSON.
    pub fn object(&self) -> serde_json::Value {
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }
}

impl Bldr {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }
    /// Runs a line, split at its spaces.
    pub fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[])
    }
    pub fn run_with(&self, line: &str, environment: &[(&str, &str)]) -> Ran {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_bldr"));
        command.current_dir(self.0.path()).env_clear().env("HOME", self.0.path()).env("USER", "tester");
        command.envs(environment.iter().copied()).args(line.split(' ').filter(|word| !word.is_empty()));
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
    /// Runs a line at a terminal: standard input is what is typed, standard output all that is shown.
    pub fn at_a_terminal(&self, line: &str) -> Child {
        let line = format!("{} {line}", env!("CARGO_BIN_EXE_bldr"));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(self.path("")).env("BLDR_SANDBOX_PACE", "60");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }
    /// Runs a line with JSON output.
    pub fn ask(&self, line: &str) -> Ran {
        self.run(&format!("--output json {line}"))
    }
}

/// Reads what is shown until this was.
pub fn read_until(shown: &mut impl Read, wanted: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(wanted) {
        let mut more = [0; 4096];
        let count = shown.read(&mut more).unwrap();
        assert!(count > 0, "no '{wanted}' in {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&more[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}
