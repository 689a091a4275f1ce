//! Is the operator's key known to EC2 under the stack's name?

use super::{Ec2Provisioning, filter, of_stack, tagged};
use crate::{
    failure::Failure,
    refusal::{Refusal, Why},
};
use aws_sdk_ec2::{
    primitives::Blob,
    types::{KeyPairInfo, ResourceType},
};
use bldr_core::{name::StackName, ports::Change, ssh_key::SshPublicKey};

impl Ec2Provisioning {
    pub(super) async fn import(&self, stack: &StackName, key: &SshPublicKey) -> Result<Change, Failure> {
        if let Some(there) = self.key_there(stack).await? {
            return same(&there, key);
        }
        let name = stack.as_str();
        let import = self.0.client.import_key_pair().key_name(name).public_key_material(Blob::new(key.line()));
        match import.tag_specifications(of_stack(stack, ResourceType::KeyPair)).send().await {
            Ok(_) => Ok(Change::Made),
            Err(error) => match self.0.access.failure("ec2:ImportKeyPair", &error) {
                // Somebody was quicker, perhaps an earlier run of ours whose answer was lost.
                Failure::Provisioning(refusal) if refusal.why == Why::OtherKey => match self.key_there(stack).await? {
                    Some(there) => same(&there, key),
                    None => Err(Failure::Provisioning(refusal)),
                },
                failure => Err(failure),
            },
        }
    }

    async fn key_there(&self, stack: &StackName) -> Result<Option<KeyPairInfo>, Failure> {
        let ask = self.0.client.describe_key_pairs().filters(filter("key-name", stack.as_str())).include_public_key(true);
        let answer = ask.send().await.map_err(|error| self.0.access.failure("ec2:DescribeKeyPairs", &error))?;
        Ok(answer.key_pairs.unwrap_or_default().into_iter().next())
    }

    /// The name of the key pair that was made for the stack.
    pub(super) async fn own_key(&self, stack: &StackName) -> Result<Option<String>, Failure> {
        let ask = self.0.client.describe_key_pairs().filters(filter("key-name", stack.as_str())).filters(tagged(stack));
        let answer = ask.send().await.map_err(|error| self.0.access.failure("ec2:DescribeKeyPairs", &error))?;
        Ok(answer.key_pairs().first().and_then(|key| key.key_name()).map(str::to_owned))
    }

    pub(super) async fn delete_key(&self, name: &str) -> Result<(), Failure> {
        // Where there is none, EC2 says that it is deleted.
        let done = self.0.client.delete_key_pair().key_name(name).send().await;
        done.map(drop).map_err(|error| self.0.access.failure("ec2:DeleteKeyPair", &error))
    }
}

/// A key that EC2 cannot show counts as another one.
fn same(there: &KeyPairInfo, key: &SshPublicKey) -> Result<Change, Failure> {
    if there.public_key().and_then(SshPublicKey::from_openssh).as_ref() == Some(key) {
        return Ok(Change::NotNeeded);
    }
    Err(Failure::Provisioning(Refusal::new(Why::OtherKey, there.key_fingerprint().unwrap_or_default())))
}
