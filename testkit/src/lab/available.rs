//! Can this machine have a lab? Tried, not guessed: the same namespaces, a bridge and an overlay.

use std::{
    path::Path,
    process::{Command, Stdio},
};

const PROGRAMS: [(&str, &str); 8] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("sudo", "sudo"),
    ("pkill", "procps"),
];

const TRIAL: &str = "mount -t tmpfs lab /mnt && mkdir /mnt/u /mnt/w /mnt/r \
    && mount -t overlay -o lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w overlay /mnt/r && ip link add br0 type bridge \
    && ip link add v0 type veth peer name v1";

/// Whether there can be a lab here.
///
/// # Errors
/// Why not, in one line.
pub fn available() -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| format!("/proc cannot be read ({e}); the lab needs Linux"))?;
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1));
    if effective != Some("0") {
        return Err("the lab makes network namespaces and needs root: run the tests as root".into());
    }
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    for (program, package) in PROGRAMS {
        if !folders.iter().any(|folder| Path::new(folder).join(program).exists()) {
            return Err(format!("the lab needs {program}: apt-get install {package}"));
        }
    }
    let trial = Command::new("unshare")
        .args(["--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "sh", "-ec", TRIAL])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("unshare: {e}"))?;
    if trial.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&trial.stderr);
    Err(format!(
        "namespaces, bridges or overlays are not allowed here ({}); in a container run it with --privileged",
        said.lines().next().unwrap_or("no reason given")
    ))
}
