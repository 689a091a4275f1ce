//! What happens when bldr itself launches a machine? EC2 has it in its books as pending, a host of its addresses comes up, does
//! what its user data say, and lets in who has its key pair.

use super::{
    Lab,
    ec2::{Ec2, Line, Machines, text},
    error::{LabError, LabResult, Trying},
    host::Host,
    hub::Ground,
    spec::{HostFile, HostKind, HostSpec},
};
use base64::prelude::{BASE64_STANDARD, Engine};
use bldr_core::fleet::Ec2Id;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};

/// What the machines are that EC2 launches.
#[derive(Debug, Clone)]
pub struct Launching {
    /// How much of a machine each is.
    pub kind: HostKind,
    /// Files they start with, beside their user data.
    pub files: Vec<HostFile>,
    /// Whether they have nothing of Salt, as a machine fresh from an image.
    pub without_salt: bool,
    /// Whether their console shows their host keys once they are up; it shows nothing otherwise, as EC2's often does.
    pub console: bool,
    /// Whether EC2 gives them public addresses.
    pub public: bool,
}

impl Default for Launching {
    /// Light ones with all that others have: stand-ins for Salt, a console, public addresses.
    fn default() -> Self {
        Self { kind: HostKind::Light, files: Vec::new(), without_salt: false, console: true, public: true }
    }
}

/// Brings launched machines up.
#[derive(Debug, Clone)]
pub(super) struct Launcher {
    ground: Arc<Ground>,
    how: Launching,
}

/// All that the tree and the light image have of Salt.
const SALT: [&str; 12] = [
    "/opt/saltstack",
    "/etc/salt",
    "/etc/systemd/system/salt-master.service",
    "/etc/systemd/system/salt-minion.service",
    "/etc/systemd/system/multi-user.target.wants/salt-master.service",
    "/etc/systemd/system/multi-user.target.wants/salt-minion.service",
    "/usr/bin/salt",
    "/usr/bin/salt-call",
    "/usr/bin/salt-key",
    "/usr/bin/salt-master",
    "/usr/bin/salt-minion",
    "/usr/bin/salt-run",
];

impl Lab {
    /// From now on whatever is launched at EC2, by whomever, is a host too. Its name is its id; its user `ubuntu` lets in who has the
    /// key pair, and the lab's own [`Lab::key`]. An order without a subnet goes to the lab's. Called again, it is about later launches.
    ///
    /// # Errors
    /// When EC2 does not start.
    pub async fn launches(&self, how: Launching) -> LabResult<()> {
        let ec2 = self.ec2().await?;
        let public = json!({"SubnetId": ec2.subnet(), "MapPublicIpOnLaunch": {"Value": how.public}});
        ec2.call("modify_subnet_attribute", public).await?;
        *ec2.launcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(Launcher { ground: Arc::clone(&self.ground), how });
        let on = ec2.line.ask(json!({"launches": ec2.subnet()})).await?;
        on.map(drop).map_err(|said| LabError::Ec2 { operation: "launches".into(), said })
    }

    /// The host of an instance that has come up and was not terminated.
    pub fn launched(&self, id: &Ec2Id) -> Option<Host> {
        self.ec2.get()?.machines.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// An image to launch machines from, with a first disk of 8 GiB.
    ///
    /// # Errors
    /// When EC2 does not start.
    pub async fn image(&self) -> LabResult<String> {
        let ec2 = self.ec2().await?;
        let image = ec2.image.get_or_try_init(async || {
            let image = ec2.call("register_image", json!({"Name": "lab", "RootDeviceName": "/dev/sda1"})).await?;
            Ok::<_, LabError>(text(&image["ImageId"]))
        });
        image.await.cloned()
    }
}

/// Makes the host that EC2 has promised, and says what came of it.
pub(super) async fn launch(launcher: Option<Launcher>, said: Value, machines: Machines, line: Arc<Line>) {
    let id = text(&said["launched"]);
    let came = match launcher {
        Some(launcher) => launcher.bring_up(&id, &said).await,
        None => Err(LabError::broken(&id, "nobody has said what launched machines are")),
    };
    let answer = match came {
        Ok((host, console)) => {
            machines.lock().unwrap_or_else(PoisonError::into_inner).insert(Ec2Id(id.as_str().into()), host);
            json!({"up": id, "console": console})
        }
        Err(error) => json!({"failed": id, "why": error.to_string()}),
    };
    let _ = line.ask(answer).await;
}

/// Ends a host. One that EC2 has launched loses its disk, as there; another one's may still be looked at.
pub(super) async fn terminate(id: &Ec2Id, host: &Host) -> LabResult<()> {
    host.kill().await?;
    match host.0.disk.parent().filter(|_| *host.name() == *id.0) {
        Some(disk) => tokio::fs::remove_dir_all(disk).await.trying(disk.display()),
        None => Ok(()),
    }
}

impl Launcher {
    async fn bring_up(self, id: &str, said: &Value) -> LabResult<(Host, Option<String>)> {
        let no_address = |_| LabError::broken(id, "EC2 gave it no address");
        let mut spec = HostSpec::new(id, text(&said["private"]).parse().map_err(no_address)?);
        spec.public = said["public"].as_str().map(str::parse).transpose().map_err(no_address)?;
        spec.kind = self.how.kind;
        if self.how.without_salt {
            spec.without = SALT.map(String::from).into();
        }
        let user_data = BASE64_STANDARD.decode(text(&said["user_data"])).map_err(|error| LabError::broken(id, error))?;
        spec = spec.files(first_start(user_data)).files(self.how.files);
        if let Some(key) = said["key"].as_str() {
            spec = spec.file("/home/ubuntu/.ssh/authorized_keys", format!("{}\n", key.trim()), 0o600);
        }
        let host = Host::new(&self.ground, spec).await?;
        let console = if self.how.console { Some(printed(&host)?) } else { None };
        Ok((host, console))
    }
}

/// What makes a host do what it is told at its first start.
fn first_start(user_data: Vec<u8>) -> [HostFile; 4] {
    let program = include_bytes!("../../lab/cloud/cloud-init");
    let unit = include_bytes!("../../lab/cloud/cloud-init.service");
    let order = include_bytes!("../../lab/cloud/ssh.conf");
    [
        HostFile::new("/var/lib/cloud/instance/user-data.txt", user_data, 0o600),
        HostFile::new("/usr/bin/cloud-init", &program[..], 0o755),
        HostFile::new("/etc/systemd/system/cloud-init.service", &unit[..], 0o644),
        HostFile::new("/etc/systemd/system/ssh.service.d/cloud-init.conf", &order[..], 0o644),
    ]
}

/// The end of what a machine prints while it starts, with the line ends of a console.
fn printed(host: &Host) -> LabResult<String> {
    let (key, name) = (host.host_key()?, format!("ip-{}", host.private().to_string().replace('.', "-")));
    let lines = [
        "[    0.000000] Linux version 6.1.0 (lab)",
        "[   11.204512] cloud-init[612]: Cloud-init v. 24.4 running 'modules:final'. Up 11.12 seconds.",
        "-----BEGIN SSH HOST KEY KEYS-----",
        &format!("{key} root@{name}"),
        "-----END SSH HOST KEY KEYS-----",
        "[   11.402213] cloud-init[612]: Cloud-init v. 24.4 finished. Up 11.31 seconds",
        &format!("{name} login: "),
    ];
    Ok(lines.join("\r\n"))
}

impl Ec2 {
    /// A token for an order of the lab's own, whose host the lab brings up itself.
    pub(super) fn own_token(&self) -> String {
        format!("lab-{}", self.line.next_call())
    }
}
