//! Why does EC2 not make, or not take away, what it was asked for, and what does an operator do about it?

use bldr_core::error::PortErrorKind as Kind;
use std::fmt;

/// Why not, and what EC2 said or bldr saw of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: Why,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    NoCapacity,
    Quota,
    NoImage,
    SubnetFull,
    NoSubnet,
    NoDefaultNetwork,
    OtherKey,
    NoKeyPair,
    UnusableKey,
    ForeignGroup,
    GroupNameTaken,
    NoGroup,
    RuleThere,
    InUse,
    Protected,
    OtherOrder,
    Several,
}

impl Refusal {
    /// What bldr found out itself.
    pub(crate) fn new(why: Why, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into() }
    }

    /// What a code of EC2 means, if it is one of those.
    pub(crate) fn said(code: &str, message: &str) -> Option<Self> {
        let why = match code {
            "InsufficientInstanceCapacity" => Why::NoCapacity,
            "VcpuLimitExceeded"
            | "InstanceLimitExceeded"
            | "MaxSpotInstanceCountExceeded"
            | "SecurityGroupLimitExceeded"
            | "RulesPerSecurityGroupLimitExceeded"
            | "VolumeLimitExceeded" => Why::Quota,
            "InvalidAMIID.NotFound" | "InvalidAMIID.Unavailable" | "InvalidAMIID.Malformed" => Why::NoImage,
            "InsufficientFreeAddressesInSubnet" => Why::SubnetFull,
            "InvalidSubnetID.NotFound" | "InvalidSubnet" | "InvalidSubnetId.Malformed" => Why::NoSubnet,
            "VPCIdNotSpecified" | "DefaultVpcDoesNotExist" => Why::NoDefaultNetwork,
            "InvalidKeyPair.Duplicate" => Why::OtherKey,
            "InvalidKeyPair.NotFound" => Why::NoKeyPair,
            "InvalidKey.Format" => Why::UnusableKey,
            "InvalidGroup.Duplicate" => Why::GroupNameTaken,
            "InvalidGroup.NotFound" | "InvalidGroupId.Malformed" | "InvalidGroupId.NotFound" => Why::NoGroup,
            "InvalidPermission.Duplicate" => Why::RuleThere,
            "InvalidGroup.InUse" | "DependencyViolation" => Why::InUse,
            "OperationNotPermitted" => Why::Protected,
            "IdempotentParameterMismatch" => Why::OtherOrder,
            _ => return None,
        };
        Some(Self { why, detail: if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") } })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.why {
            Why::NoImage | Why::NoSubnet | Why::NoDefaultNetwork | Why::NoKeyPair | Why::NoGroup => Kind::NotFound,
            Why::OtherKey | Why::ForeignGroup | Why::GroupNameTaken | Why::RuleThere | Why::OtherOrder | Why::Several => Kind::Conflict,
            Why::UnusableKey => Kind::Malformed,
            Why::NoCapacity | Why::Quota | Why::SubnetFull | Why::InUse | Why::Protected => Kind::Refused,
        }
    }

    pub(crate) fn advice(&self) -> &'static str {
        match self.why {
            Why::NoCapacity => "run it again in a while, or choose another aws.ec2.type or a subnet in another availability zone",
            Why::Quota => "ask AWS for more (Service Quotas, Amazon EC2), or remove what nobody needs, and run it again",
            Why::NoImage => "check aws.ec2.ami in the project file: an image is of one region, and may be for one account only",
            Why::SubnetFull => "remove what nobody needs from the subnet, or choose another: aws.subnet-id, aws.redundant-subnet-id",
            Why::NoSubnet => "check aws.subnet-id and aws.redundant-subnet-id in the project file: a subnet is of one region",
            Why::NoDefaultNetwork => "say in the project file which subnet it shall be: aws.subnet-id",
            Why::OtherKey => "use the key it was made with, or see who made it (aws ec2 describe-key-pairs) before it is removed",
            Why::NoKeyPair => "somebody has removed it since: run the same again",
            Why::UnusableKey => "EC2 takes RSA and ED25519 keys: ssh-keygen -t ed25519",
            Why::ForeignGroup => "see who made it (aws ec2 describe-security-groups), and rename or remove it; bldr leaves it alone",
            Why::GroupNameTaken | Why::RuleThere => "somebody else was there at the same time: run the same again",
            Why::NoGroup => "a security group is of one network, and this one is not in the machine's: give both subnets of the same",
            Why::InUse => {
                "remove what uses it (aws ec2 describe-network-interfaces --filters Name=group-id,Values=ID), then run the same again"
            }
            Why::Protected => {
                "it is protected against that: aws ec2 modify-instance-attribute --no-disable-api-termination --instance-id ID"
            }
            Why::OtherOrder => "the order was given before with something else in it: run it again in a minute",
            Why::Several => "terminate those that are not the node, or give them another tag 'Node', then run the same again",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Why::NoCapacity => "AWS has no machine of that type to give at the moment",
            Why::Quota => "the account's quota is used up",
            Why::NoImage => "there is no such image",
            Why::SubnetFull => "no address is left in the subnet",
            Why::NoSubnet => "there is no such subnet",
            Why::NoDefaultNetwork => "no subnet is named, and the account has no default network in this region",
            Why::OtherKey => "another key has that name",
            Why::NoKeyPair => "there is no such key pair",
            Why::UnusableKey => "EC2 does not take that public key",
            Why::ForeignGroup => "there is one of that name, and it does not carry the stack's tag",
            Why::GroupNameTaken => "there is one of that name by now",
            Why::NoGroup => "there is no such security group",
            Why::RuleThere => "somebody else has opened a port in it",
            Why::InUse => "something else uses it",
            Why::Protected => "AWS is told not to let it go",
            Why::OtherOrder => "EC2 has begun to make another machine for it",
            Why::Several => "several instances say that they are this node",
        })?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}
