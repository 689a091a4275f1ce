//! Two booted hosts without Salt and a git host, and the adapters that are to make something of them, over the lab's network.

use bldr_adapters_ssh::{Pool, SshMasters, SshMinions, SshSettings, SshSetup};
use bldr_core::{fleet::Host, ports::SaltSource};
use bldr_testkit::lab::{self, GitHost, HostSpec, Lab};
use std::{collections::HashMap, net::SocketAddr, process::Stdio, sync::Arc};
use tokio::{io::copy, net::TcpListener};

pub const NODE: (&str, &str) = ("harbor--new--1", "10.77.1.1");
pub const MASTER: (&str, &str) = ("master-server--new--1", "10.77.0.20");
pub const GIT: &str = "10.77.0.30";

/// What a cloud image does not have: Salt, its configuration and its units.
const WITHOUT_SALT: &str = "systemctl disable --quiet salt-minion salt-master; \
                            rm -rf /opt/saltstack /usr/bin/salt* /etc/salt /etc/systemd/system/salt-* /srv/salt; systemctl daemon-reload";

pub struct Bare {
    pub setup: SshSetup,
    pub minions: SshMinions,
    pub masters: SshMasters,
    pub git: GitHost,
    hosts: Vec<lab::Host>,
    _folder: tempfile::TempDir,
    _lab: Arc<Lab>,
}

/// The packages of Salt that are on every booted host.
pub fn wheels() -> SaltSource {
    SaltSource::Pip { packages: Some("/opt/wheels".into()) }
}

pub fn host_of((name, address): (&str, &str)) -> Host {
    Host { node: name.parse().unwrap(), address: address.parse().unwrap() }
}

impl Bare {
    pub async fn new(git: &str) -> Self {
        Lab::available().unwrap();
        let lab = Arc::new(Lab::new().await.unwrap());
        let specs = [MASTER, NODE].map(|(name, address)| HostSpec::new(name, address.parse().unwrap()).booted());
        let hosts = lab.hosts(specs.into()).await.unwrap();
        let mut endpoints = HashMap::new();
        for host in &hosts {
            host.shell(WITHOUT_SALT).await.unwrap();
            endpoints.insert(host.name().parse().unwrap(), way(&lab, host.private().to_string()).await);
        }
        // Nobody listens there.
        endpoints.insert("harbor--nobody--1".parse().unwrap(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(SshSettings {
            endpoints,
            config: None,
            key_files: vec![lab.key()],
            known_hosts: folder.path().join("known_hosts"),
            ..SshSettings::default()
        });
        Self {
            setup: SshSetup::new(pool.clone()),
            minions: SshMinions::new(pool.clone()),
            masters: SshMasters::new(pool),
            git: GitHost::new(&lab, git.parse().unwrap()).await.unwrap(),
            hosts,
            _folder: folder,
            _lab: lab,
        }
    }

    pub fn machine(&self, host: &Host) -> &lab::Host {
        self.hosts.iter().find(|machine| machine.name() == host.node.to_string()).unwrap()
    }
}

/// The lab's network is not this process's: what connects here is carried to a host's SSH server. It lasts as long as the lab, which
/// must end before its runtime does: nobody else reaps its processes.
async fn way(lab: &Arc<Lab>, address: String) -> SocketAddr {
    let lab = Arc::downgrade(lab);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Some(lab) = lab.upgrade() else { return };
            let carry = format!("exec 3<>/dev/tcp/{address}/22; cat <&3 & exec >&3; cat; kill $!");
            let mut command = lab.in_hub(std::path::Path::new("/"), "bash", &["-c", &carry], &[]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let (mut from, mut to) = stream.into_split();
            let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy(&mut from, &mut stdin) => {}
                    _ = copy(&mut stdout, &mut to) => {}
                }
                // It ends by that. Killed from here it would leave what it runs to nobody.
                drop((stdin, stdout));
                let _ = child.wait().await;
            });
        }
    });
    here
}
