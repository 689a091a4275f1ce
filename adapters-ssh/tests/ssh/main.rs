//! Does it work against a stock OpenSSH server? Needs root (for mount namespaces), sshd, ssh, sudo and shellcheck.

// Everything here is a test; a panic is how it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fence;
mod host_keys;
mod learnt;
mod lifecycle;
mod logins;
mod masters;
mod nodes;
mod rendering;
mod scripts;
mod server;
mod sessions;
