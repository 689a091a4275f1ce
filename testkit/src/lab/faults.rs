//! How does a host of the lab go wrong? It freezes, or its packets are lost; both can be taken back.

use super::{
    error::LabResult,
    host::Host,
    inside::{Running, children, entering, send},
    spec::HostKind,
};
use std::{fs, net::Ipv4Addr, process::Stdio};

/// An address that nobody has, behind a hardware address that nobody has: what is routed there is lost without a word.
/// (This needs no packet filter, which not every kernel has.)
const NOWHERE: &str = "10.77.255.254";
const LOST: &str = "ip neigh replace 10.77.255.254 lladdr 02:00:00:00:00:99 nud permanent dev eth0";

impl Host {
    /// Stops all its processes where they are: connections stay open, and nothing answers.
    ///
    /// # Errors
    /// When the host is dead.
    pub async fn freeze(&self) -> LabResult<()> {
        // The first process cannot be reached from inside, and a booted host's would go on: it has timers.
        if self.0.kind == HostKind::Booted {
            send("STOP", self.0.inside()?);
        }
        // Twice: a process may have been made while the first was under way.
        self.signal_all("STOP").await?;
        self.signal_all("STOP").await
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// When the host is dead.
    pub async fn thaw(&self) -> LabResult<()> {
        self.signal_all("CONT").await?;
        if self.0.kind == HostKind::Booted {
            send("CONT", self.0.inside()?);
        }
        self.wake_entrances();
        Ok(())
    }

    /// A number of -1 means all processes of the caller's pid namespace but its first and the caller.
    async fn signal_all(&self, signal: &str) -> LabResult<()> {
        let mut command = entering(self.0.inside()?);
        command.args(["/bin/sh", "-c", &format!("kill -{signal} -1 2>/dev/null; true")]);
        Running::start(command, Stdio::null())?.wait_with_output().await.map(drop)
    }

    /// `nsenter` stops when the program it entered with does, and cannot be reached from inside the host.
    fn wake_entrances(&self) {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(self.pid());
        let own = std::process::id();
        let threads = fs::read_dir(format!("/proc/{own}/task")).into_iter().flatten().flatten();
        for entrance in threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()) {
            for pid in entrance.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                if children(pid).iter().any(|inside| namespace(*inside) == ours) {
                    send("CONT", pid);
                }
            }
        }
    }

    /// Loses every packet the host sends to that address, without a word to either side.
    ///
    /// # Errors
    /// When the host is dead.
    pub async fn drop_traffic_to(&self, address: Ipv4Addr) -> LabResult<()> {
        self.shell(&format!("{LOST}; ip route replace {address}/32 via {NOWHERE} dev eth0 onlink")).await.map(drop)
    }

    /// Loses every packet the host sends to anybody, so that nobody ever hears of it.
    ///
    /// # Errors
    /// When the host is dead.
    pub async fn drop_all_traffic(&self) -> LabResult<()> {
        let line = format!(
            "{LOST}; ip route replace 10.77.0.0/16 via {NOWHERE} dev eth0 onlink; ip route replace default via {NOWHERE} dev eth0 onlink"
        );
        self.shell(&line).await.map(drop)
    }

    /// Takes back what [`Host::drop_traffic_to`] and [`Host::drop_all_traffic`] did.
    ///
    /// # Errors
    /// When the host is dead.
    pub async fn restore_traffic(&self) -> LabResult<()> {
        let private = self.private();
        let line = format!(
            "ip route replace 10.77.0.0/16 dev eth0 proto kernel scope link src {private}; ip route replace default via 10.77.0.1 dev eth0; \
             ip route flush via {NOWHERE}"
        );
        self.shell(&line).await.map(drop)
    }

    pub(super) async fn change_public(&self, to: Option<Ipv4Addr>) -> LabResult<()> {
        let from = self.public();
        if from != to {
            let part = |verb, address: Option<Ipv4Addr>| address.map_or(String::new(), |a| format!("ip addr {verb} {a}/32 dev eth0;"));
            self.shell(&format!("{}{}", part("del", from), part("add", to))).await?;
            self.note_public(to);
        }
        Ok(())
    }
}
