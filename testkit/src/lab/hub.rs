//! What holds a lab together, and what ends it? One process in its own namespaces, which lives as long as a pipe is open.

use super::{
    error::{LabError, LabResult, Trying},
    inside::{children, own_children},
};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// The top namespaces of a lab. When this is dropped, or the process that holds it ends however it ends, everything in
/// them dies.
#[derive(Debug)]
pub(super) struct Hub {
    unshare: Child,
    /// The only writing end there is; Rust marks it close-on-exec, so no other program inherits it.
    life: Option<ChildStdin>,
    /// The hub's first process, as this machine counts.
    pub(super) pid: u32,
}

/// What hosts stand on.
#[derive(Debug)]
pub(super) struct Ground {
    /// The hub's first process, as this machine counts.
    pub(super) hub: u32,
    /// The lab's folder.
    pub(super) dir: PathBuf,
    next_port: AtomicU32,
}

impl Ground {
    pub(super) fn new(hub: u32, dir: &Path) -> Self {
        Self { hub, dir: dir.to_owned(), next_port: AtomicU32::new(0) }
    }

    /// A name for a port on the bridge, never used before: one that is given back lives on for a moment.
    pub(super) fn port(&self) -> String {
        format!("v{}", self.next_port.fetch_add(1, Ordering::Relaxed))
    }

    /// A path of the hub's own mounts, as this machine sees it.
    pub(super) fn seen(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.hub, path.display()))
    }
}

/// The folder of the scripts and data files.
pub(super) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab")
}

impl Hub {
    /// Makes the namespaces, the bridge and the image of the hosts. Blocks for a fraction of a second.
    pub(super) fn new(dir: &Path) -> LabResult<Self> {
        let log_path = dir.join("hub.log");
        let log = File::create(&log_path).trying(log_path.display())?;
        let mut unshare = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(data().join("hub.sh"))
            .arg(dir)
            .arg(data())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .trying("unshare")?;
        let life = unshare.stdin.take();
        let mut said = String::new();
        if let Some(stdout) = unshare.stdout.take() {
            BufReader::new(stdout).read_line(&mut said).trying("the hub's first line")?;
        }
        let pid = children(unshare.id()).first().copied();
        match (said.trim(), pid) {
            ("up", Some(pid)) => Ok(Self { unshare, life, pid }),
            _ => {
                drop(life);
                let _ = unshare.wait();
                Err(LabError::broken("the lab's hub", fs::read_to_string(&log_path).unwrap_or_default().trim()))
            }
        }
    }
}

/// The network a process is in; of one that has ended, none.
fn network(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

impl Drop for Hub {
    fn drop(&mut self) {
        let ours = network(self.pid);
        drop(self.life.take());
        let _ = self.unshare.wait();
        // The entrances are children of this process, and stand in the hub's network: each ends once what it let in has. None has a reason to
        // stay; one that does is for others to find, and not to wait for.
        let deadline = Instant::now() + Duration::from_secs(10);
        while ours.is_some() && own_children().any(|pid| network(pid) == ours) && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}
