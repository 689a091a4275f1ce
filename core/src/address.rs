//! Where is a machine? Addresses that may stand in a context or after `master:`, and addresses to connect to.

use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// A text that is no IPv4 address, no IPv6 address and no DNS name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an address (an IPv4, an IPv6 or a DNS name)")]
pub struct AddressError(pub String);

/// The address minions know their master by: an IPv4, an IPv6 or a DNS name. One word, safe in a shell and in YAML.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MasterAddress(Box<str>);

/// An address to connect to.
pub type HostAddress = MasterAddress;

impl MasterAddress {
    /// The address as text, without brackets or port.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_dns_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    // A last label of digits alone is a mistyped IPv4 address (10.0.0.300), never a host name.
    (1..=253).contains(&name.len())
        && name.split('.').all(label)
        && !name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()))
}

impl FromStr for MasterAddress {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.parse::<IpAddr>().is_ok() || is_dns_name(text) { Ok(Self(text.into())) } else { Err(AddressError(text.into())) }
    }
}
impl TryFrom<String> for MasterAddress {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}
impl From<MasterAddress> for String {
    fn from(address: MasterAddress) -> String {
        address.0.into()
    }
}
impl fmt::Display for MasterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ips_or_dns_names() {
        for good in ["10.0.0.1", "fd00::1", "salt", "salt.example.org", "master-1.internal.", "::1"] {
            assert!(good.parse::<MasterAddress>().is_ok(), "{good}");
        }
        for bad in ["", " ", "10.0.0.300", "10.0.0", "a b", "-x", "x;rm", "[::1]", "a..b", "10.0.0.1:4506", "1234", "ü.org", "master: x"] {
            assert!(bad.parse::<MasterAddress>().is_err(), "{bad}");
        }
    }
}
