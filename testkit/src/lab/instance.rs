//! What is an instance of the lab? A machine in EC2's books and the host it stands for.

use super::{
    Lab,
    ec2::{Ec2, text},
    error::{LabError, LabResult},
    host::Host,
    spec::{HostFile, HostKind, HostSpec},
};
use bldr_core::fleet::Ec2Id;
use serde_json::json;
use std::net::Ipv4Addr;

/// How an instance says which stack it belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Convention {
    /// By the tag `Cluster`.
    #[default]
    Cluster,
    /// By the tag that CloudFormation sets on what it makes.
    CloudFormation,
}

/// Whether an instance begins on or off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Begins {
    /// Running.
    #[default]
    Running,
    /// Stopped: it has an address and a disk, and nothing answers until it is started through EC2.
    Stopped,
}

/// What an instance should be.
#[derive(Debug, Clone)]
pub struct InstanceSpec {
    /// Its stack: `harbor--ci`.
    pub stack: String,
    /// Its number in the stack, from 1.
    pub node: u64,
    /// Which tag says so.
    pub convention: Convention,
    /// On or off.
    pub begins: Begins,
    /// Its address on the bridge; EC2 chooses where it is `None`.
    pub private: Option<Ipv4Addr>,
    /// Whether EC2 gives it a public address, a new one at every start.
    pub has_public: bool,
    /// Files its host starts with.
    pub files: Vec<HostFile>,
    /// How much of a machine its host is.
    pub kind: HostKind,
}

impl InstanceSpec {
    /// Node 1 of a stack: tagged `Cluster`, running, with both addresses, light.
    pub fn new(stack: impl Into<String>) -> Self {
        Self {
            stack: stack.into(),
            node: 1,
            convention: Convention::Cluster,
            begins: Begins::Running,
            private: None,
            has_public: true,
            files: Vec::new(),
            kind: HostKind::Light,
        }
    }
    /// Gives its host a file.
    #[must_use]
    pub fn file(self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files([HostFile::new(path, bytes, mode)])
    }
    /// Gives its host files.
    #[must_use]
    pub fn files(mut self, files: impl IntoIterator<Item = HostFile>) -> Self {
        self.files.extend(files);
        self
    }
    /// Makes its host a booted one.
    #[must_use]
    pub fn booted(mut self) -> Self {
        self.kind = HostKind::Booted;
        self
    }
}

impl Lab {
    /// Runs an instance in EC2 and brings its host up; the host's name is `STACK--N`.
    ///
    /// # Errors
    /// When EC2 declines, or the host does not come up.
    pub async fn instance(&self, spec: InstanceSpec) -> LabResult<(Ec2Id, Host)> {
        let mut all = self.instances(vec![spec]).await?;
        all.pop().ok_or_else(|| LabError::broken("one instance", "none came up"))
    }

    /// Many instances, their hosts brought up side by side. In the order of their specs.
    ///
    /// # Errors
    /// As [`Lab::instance`]; the first that fails.
    pub async fn instances(&self, specs: Vec<InstanceSpec>) -> LabResult<Vec<(Ec2Id, Host)>> {
        let ec2 = self.ec2().await?;
        let mut ids = Vec::with_capacity(specs.len());
        let mut hosts = Vec::with_capacity(specs.len());
        let mut off = Vec::new();
        for spec in specs {
            let begins = spec.begins;
            let (id, host) = run(ec2, spec).await?;
            if begins == Begins::Stopped {
                off.push(id.0.to_string());
            }
            ids.push(id);
            hosts.push(host);
        }
        let all: Vec<_> = ids.into_iter().zip(self.hosts(hosts).await?).collect();
        for (id, host) in &all {
            ec2.wire(id.clone(), host.clone());
        }
        if !off.is_empty() {
            ec2.call("stop_instances", json!({"InstanceIds": off})).await?;
        }
        Ok(all)
    }
}

async fn run(ec2: &Ec2, spec: InstanceSpec) -> LabResult<(Ec2Id, HostSpec)> {
    let name = format!("{}--{}", spec.stack, spec.node);
    let (project, environment) = spec.stack.split_once("--").unwrap_or((&spec.stack, ""));
    let of_stack = match spec.convention {
        Convention::Cluster => "Cluster",
        Convention::CloudFormation => "aws:cloudformation:stack-name",
    };
    let node = spec.node.to_string();
    let tags = [("Name", name.as_str()), ("Project", project), ("Environment", environment), ("Node", &node), (of_stack, &spec.stack)];
    let tags: Vec<_> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    let mut card = json!({"DeviceIndex": 0, "SubnetId": ec2.subnet(), "AssociatePublicIpAddress": spec.has_public});
    if let Some(private) = spec.private {
        card["PrivateIpAddress"] = json!(private.to_string());
    }
    let wanted = json!({
        "ImageId": "ami-12c6146b", "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": [card],
        "ClientToken": ec2.own_token(),
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
    });
    let made = &ec2.call("run_instances", wanted).await?["Instances"][0];
    let no_address = |_| LabError::broken(&name, "EC2 gave it no address");
    let private: Ipv4Addr = text(&made["PrivateIpAddress"]).parse().map_err(no_address)?;
    let public = made["PublicIpAddress"].as_str().map(str::parse).transpose().map_err(no_address)?;
    let id = Ec2Id(text(&made["InstanceId"]).into());
    Ok((id, HostSpec { public, kind: spec.kind, ..HostSpec::new(name, private).files(spec.files) }))
}
