//! Which machines does a new stack take? How many, of what kind, in which subnet, open to whom.

use super::{Launch, LaunchError, Part, said};
use crate::{
    json::{Object, Value},
    project::merged,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

const ANYWHERE: &str = "0.0.0.0/0";
/// Far more nodes than any stack has, and few enough to be counted out.
const MOST_NODES: u64 = 1000;

/// One machine, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// The image it starts from: `ami-0abc…`.
    pub ami: String,
    /// EC2's name of its size: `t2.small`.
    pub instance_type: String,
    /// Where it stands; `None` where the project names no subnet, which leaves it to the account's default network.
    pub subnet: Option<String>,
    /// How large its first disk is, in GiB; `None` for as large as the image has it.
    pub root_volume_gib: Option<u64>,
}

/// Ports that are open, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpenPort {
    /// The first one.
    pub from: u16,
    /// The last one; the first one again where it is only one.
    pub to: u16,
    /// Of which protocol.
    pub protocol: Protocol,
    /// Who may come: `10.0.0.0/16`, `0.0.0.0/0` for everybody.
    pub cidr: String,
}

/// What ports are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
}

/// As EC2 and the project files call it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl OpenPort {
    /// The same with its range of addresses as EC2 writes it: `10.0.0.5/16` is `10.0.0.0/16`, and `2001:DB8::1/32` is
    /// `2001:db8::/32`. Whoever compares what is asked for with what is there compares these.
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self { cidr: network(&self.cidr).unwrap_or_else(|| self.cidr.clone()), ..self.clone() }
    }
}

impl Launch<'_> {
    /// The numbers of its nodes: as many as `ec2.cluster-size` says (one, where it does not), less those in `ec2.suppressed`.
    ///
    /// # Errors
    /// As [`Launch::context`]; a size or a list that is none, and a list that leaves no node.
    pub fn nodes(&self) -> Result<Vec<u64>, LaunchError> {
        const SUPPRESSED: &str = "ec2.suppressed";
        let part = self.part()?;
        let wrong_size = |found: &Value| part.wrong("ec2.cluster-size", "a whole number from 1 to 1000", found.shown());
        let size = said(&part.ec2, "cluster-size").map(|size| count(size).filter(|n| *n <= MOST_NODES).ok_or_else(|| wrong_size(size)));
        let size = size.transpose()?.unwrap_or(1);
        let wrong = |found: &Value| part.wrong(SUPPRESSED, "a list of nodes' numbers", found.shown());
        let suppressed: BTreeSet<u64> = match said(&part.ec2, "suppressed") {
            None => BTreeSet::new(),
            Some(Value::Array(items)) => items.iter().map(|item| count(item).ok_or_else(|| wrong(item))).collect::<Result<_, _>>()?,
            Some(other) => return Err(wrong(other)),
        };
        let nodes: Vec<u64> = (1..=size).filter(|node| !suppressed.contains(node)).collect();
        if nodes.is_empty() {
            return Err(LaunchError::AllSuppressed { project: part.project.clone(), key: part.key(SUPPRESSED), size });
        }
        Ok(nodes)
    }

    /// The machine of one of its nodes: what `ec2` says, and over that what `ec2.overrides` says of the node's number.
    /// Odd nodes stand in `aws.subnet-id`, even ones in `aws.redundant-subnet-id`, so that a stack outlives a subnet.
    ///
    /// # Errors
    /// As [`Launch::context`]; no image or no type; anything of a shape that has no meaning.
    pub fn machine(&self, node: u64) -> Result<MachineSpec, LaunchError> {
        let part = self.part()?;
        let ec2 = part.ec2_of(node)?;
        let needed = |key: &str, below: &str| {
            let missing = || LaunchError::Missing { project: part.project.clone(), key: part.key(below) };
            part.text(&ec2, key, below)?.ok_or_else(missing)
        };
        let in_aws = |key: &str| part.text(part.aws, key, key);
        let redundant = if node.is_multiple_of(2) { in_aws("redundant-subnet-id")? } else { None };
        let root = match said(&ec2, "root") {
            None => None,
            Some(Value::Object(root)) => said(root, "size"),
            Some(other) => return Err(part.wrong("ec2.root", "a map", other.shown())),
        };
        let gib = |size: &Value| count(size).ok_or_else(|| part.wrong("ec2.root.size", "a whole number of GiB", size.shown()));
        Ok(MachineSpec {
            ami: needed("ami", "ec2.ami")?,
            instance_type: needed("type", "ec2.type")?,
            subnet: if redundant.is_some() { redundant } else { in_aws("subnet-id")? },
            root_volume_gib: root.map(gib).transpose()?,
        })
    }

    /// What is open, in the order of `aws.ports`: a list of ports and of maps, or one map, from a port to who may come and
    /// how. What is said of a port and not understood is an error, because it may be what was to keep somebody out.
    ///
    /// # Errors
    /// As [`Launch::context`]; anything that is no port, no protocol and no range of addresses.
    pub fn ports(&self) -> Result<Vec<OpenPort>, LaunchError> {
        let part = self.part()?;
        let items = match said(part.aws, "ports") {
            None => return Ok(Vec::new()),
            Some(map @ Value::Object(_)) => std::slice::from_ref(map),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(part.wrong("ports", "a list or a map of ports", other.shown())),
        };
        let mut open = Vec::new();
        for item in items {
            let bare = match item {
                Value::Object(map) => {
                    for (key, rule) in map.iter() {
                        open.push(part.port(&key.decoded().unwrap_or_default(), rule)?);
                    }
                    continue;
                }
                Value::Int(number) => range(number.as_str()),
                other => other.as_string().as_deref().and_then(range),
            };
            open.push(bare.ok_or_else(|| part.wrong("ports", "a list of ports, ranges like '4505-4506' and maps of them", item.shown()))?);
        }
        Ok(open)
    }
}

impl Part<'_> {
    fn ec2_of(&self, node: u64) -> Result<Object, LaunchError> {
        let overrides = match said(&self.ec2, "overrides") {
            None => return Ok(self.ec2.clone()),
            Some(Value::Object(overrides)) => overrides,
            Some(other) => return Err(self.wrong("ec2.overrides", "a map", other.shown())),
        };
        match said(overrides, &node.to_string()) {
            None => Ok(self.ec2.clone()),
            Some(Value::Object(over)) => Ok(merged(&self.ec2, over, &[], &[])),
            Some(other) => Err(self.wrong(&format!("ec2.overrides.{node}"), "a map", other.shown())),
        }
    }

    /// A text that says something, if there is one.
    fn text(&self, map: &Object, key: &str, below: &str) -> Result<Option<String>, LaunchError> {
        let text = said(map, key).map(|value| value.as_string().ok_or_else(|| self.wrong(below, "a string", value.shown())));
        Ok(text.transpose()?.filter(|text| !text.is_empty()))
    }

    /// A port or a range of them, and what is said of it: nothing, the port it has elsewhere, or a map.
    fn port(&self, key: &str, rule: &Value) -> Result<OpenPort, LaunchError> {
        let at = format!("ports.{key}");
        let mut open = range(key).ok_or_else(|| self.wrong(&at, "a port or a range like '4505-4506'", "another key"))?;
        let rule = match rule {
            // A number is from the days when a port of a developer's machine was led to this one.
            Value::Null | Value::Int(_) => return Ok(open),
            Value::Object(rule) => rule,
            other => return Err(self.wrong(&at, "a map or a port", other.shown())),
        };
        for (name, value) in rule.iter() {
            let (name, text) = (name.decoded().unwrap_or_default(), value.as_string());
            let wrong = |wanted, found: String| Err(self.wrong(&format!("{at}.{name}"), wanted, found));
            match (&*name, text) {
                ("guest", _) => {}
                ("protocol", Some(tcp)) if tcp == "tcp" => open.protocol = Protocol::Tcp,
                ("protocol", Some(udp)) if udp == "udp" => open.protocol = Protocol::Udp,
                ("protocol", _) => return wrong("'tcp' or 'udp'", value.shown()),
                ("cidr-ip", Some(cidr)) if is_cidr(&cidr) => open.cidr = cidr,
                ("cidr-ip", _) => return wrong("a range of addresses like '10.0.0.0/16'", value.shown()),
                _ => return wrong("'cidr-ip', 'protocol' or 'guest'", "another key".into()),
            }
        }
        Ok(open)
    }
}

/// A whole number, 1 or more.
fn count(value: &Value) -> Option<u64> {
    if let Value::Int(number) = value { digits(number.as_str()).filter(|number| *number > 0) } else { None }
}

/// `22`, `4505-4506`: open to everybody, as long as nothing else is said.
fn range(text: &str) -> Option<OpenPort> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (digits(from)?, digits(to)?);
    (0 < from && from <= to).then(|| OpenPort { from, to, protocol: Protocol::Tcp, cidr: ANYWHERE.into() })
}

fn is_cidr(text: &str) -> bool {
    let parts = text.split_once('/').and_then(|(address, bits)| Some((address.parse().ok()?, digits::<u8>(bits)?)));
    parts.is_some_and(|(address, bits)| bits <= if matches!(address, IpAddr::V4(_)) { 32 } else { 128 })
}

/// A range without the bits that do not count.
fn network(cidr: &str) -> Option<String> {
    let (address, bits) = cidr.split_once('/')?;
    let bits: u32 = digits(bits)?;
    let address = match address.parse().ok()? {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0))),
    };
    Some(format!("{address}/{bits}"))
}

/// A number without a sign.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_addresses_has_one_canonical_form() {
        let cases = [
            ("10.0.0.5/16", "10.0.0.0/16"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("::1/0", "::/0"),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("anybody", "anybody"),
        ];
        for (written, canonical) in cases {
            let port = OpenPort { from: 22, to: 22, protocol: Protocol::Tcp, cidr: written.into() };
            assert_eq!(port.canonical(), OpenPort { cidr: canonical.into(), ..port }, "{written}");
        }
    }
}
