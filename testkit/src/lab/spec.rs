//! What should a host of the lab be? Its name, its addresses, what is on its disk, and how much of a machine it is.

use std::net::Ipv4Addr;

/// A file that is there before the host first starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Where, absolute.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its mode; the owner is root.
    pub mode: u32,
}

impl HostFile {
    /// A file.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self { path: path.into(), bytes: bytes.into(), mode }
    }
}

/// How much of a machine a host is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKind {
    /// sshd, sudo, and stand-ins for Salt and systemctl: hundreds of them fit.
    #[default]
    Light,
    /// A whole Debian with systemd, cron and a real Salt, which takes seconds to start. For everything that must be true.
    Booted,
}

impl HostKind {
    /// As the scripts call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Booted => "booted",
        }
    }
}

/// What a host should be.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Its name, unique in the lab.
    pub name: String,
    /// Its address on the bridge, in 10.77.0.0/16 and not 10.77.0.1; unique in the lab. From 10.77.100.0 on they are those of
    /// launched machines.
    pub private: Ipv4Addr,
    /// A second address it answers to, as EC2's public ones.
    pub public: Option<Ipv4Addr>,
    /// Files it starts with. `/etc/salt/minion` and `/etc/salt/master` start the daemon they configure.
    pub files: Vec<HostFile>,
    /// Paths that the others have and it has not.
    pub without: Vec<String>,
    /// How much of a machine it is.
    pub kind: HostKind,
}

impl HostSpec {
    /// A light host with one address and no files.
    pub fn new(name: impl Into<String>, private: Ipv4Addr) -> Self {
        Self { name: name.into(), private, public: None, files: Vec::new(), without: Vec::new(), kind: HostKind::Light }
    }
    /// Gives it a public address.
    #[must_use]
    pub fn public(mut self, address: Ipv4Addr) -> Self {
        self.public = Some(address);
        self
    }
    /// Gives it a file.
    #[must_use]
    pub fn file(self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files([HostFile::new(path, bytes, mode)])
    }
    /// Gives it files.
    #[must_use]
    pub fn files(mut self, files: impl IntoIterator<Item = HostFile>) -> Self {
        self.files.extend(files);
        self
    }
    /// Makes it a booted one.
    #[must_use]
    pub fn booted(mut self) -> Self {
        self.kind = HostKind::Booted;
        self
    }
}
