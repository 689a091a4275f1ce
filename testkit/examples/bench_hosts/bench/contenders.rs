//! Who is measured? Each by the command line that re-masters the whole fleet.

use super::fleet::{Fleet, NEW};
use std::path::{Path, PathBuf};

/// How many hosts each has in work at once.
pub const AT_ONCE: usize = 64;

/// OpenSSH's own first choice of a key exchange costs it more than all the rest together; bldr and parallel-ssh take this one.
const CURVE25519: &str = "-o KexAlgorithms=curve25519-sha256";
/// As Ansible keeps a node's connection by default.
const ONE_CONNECTION: &str = "-o ControlMaster=auto -o ControlPersist=60s -o ControlPath=$HOME_OF_BENCH/%h";

/// One way of doing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// bldr itself.
    Bldr,
    /// parallel-ssh.
    ParallelSsh,
    /// `ssh` under xargs: with which options.
    Ssh(&'static str, &'static [&'static str]),
    /// Ansible: a playbook, and whether ssh is told which key exchange to take.
    Ansible(&'static str, &'static str, bool),
}

/// All of them.
pub const ALL: [Contender; 8] = [
    Contender::Bldr,
    Contender::ParallelSsh,
    Contender::Ssh("ssh, xargs", &[]),
    Contender::Ssh("ssh, curve25519", &[CURVE25519]),
    Contender::Ssh("ssh, one connection", &[CURVE25519, ONE_CONNECTION]),
    Contender::Ansible("ansible", "remaster.yml", false),
    Contender::Ansible("ansible, curve25519", "remaster.yml", true),
    Contender::Ansible("ansible, raw", "remaster-raw.yml", true),
];

impl Contender {
    /// What the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bldr => "bldr",
            Self::ParallelSsh => "parallel-ssh",
            Self::Ssh(name, _) | Self::Ansible(name, ..) => name,
        }
    }

    /// What is typed, and the environment it needs.
    pub fn command(self, bldr: &Path, tools: &Path, fleet: &Fleet) -> (Vec<String>, Vec<(String, String)>) {
        let (home, scripts) = (fleet.home.display().to_string(), scripts());
        let script = |name: &str| scripts.join(name).display().to_string();
        let tool = |name: &str| tools.join("bin").join(name).display().to_string();
        match self {
            Self::Bldr => {
                let jobs = format!("--jobs={AT_ONCE}");
                let words = [&bldr.display().to_string(), "--home", &home, "--yes", "master.remaster_all", NEW.0, &jobs];
                (words.map(Into::into).to_vec(), Vec::new())
            }
            Self::ParallelSsh => (vec![tool("python3"), script("remaster.py"), home], Vec::new()),
            Self::Ssh(_, options) => {
                let options = options.join(" ").replace("$HOME_OF_BENCH", &home);
                (vec!["sh".into(), script("remaster.sh"), home, AT_ONCE.to_string()], vec![("OPTIONS".into(), options)])
            }
            Self::Ansible(_, playbook, curve25519) => {
                let facts = format!("home={home}");
                let words = [&tool("ansible-playbook"), "-i", &format!("{home}/inventory"), "-e", &facts, &script(playbook)];
                let known = format!("-F /dev/null -o UserKnownHostsFile={home}/known_hosts {}", if curve25519 { CURVE25519 } else { "" });
                let env = [
                    ("ANSIBLE_CONFIG", script("ansible.cfg")),
                    // Where it keeps its connections' sockets, whose names may not be long.
                    ("ANSIBLE_HOME", format!("{home}/a")),
                    ("ANSIBLE_SSH_COMMON_ARGS", known),
                    ("ANSIBLE_PRIVATE_KEY_FILE", format!("{home}/key")),
                    ("ANSIBLE_REMOTE_USER", "ubuntu".into()),
                    // It warns of every other locale.
                    ("LC_ALL", "C.UTF-8".into()),
                ];
                (words.map(Into::into).to_vec(), env.map(|(name, value)| (name.into(), value)).to_vec())
            }
        }
    }
}

/// The folder of the programs that bldr is measured beside. The same from every package's folder.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/bench")
}
