//! Where are the key pairs of stacks, when they are in a bucket? In `KEYPAIRS/STACK.pem`: the private half, from which the public one is
//! worked out each time.

use crate::{
    bucket::{Put, Sealed, There},
    shelf::Shelf,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
    ports::{Change, KeyPairs, KeySmith, PrivateKey},
    ssh_key::SshPublicKey,
};
use std::sync::Arc;

/// The key pairs of stacks in a folder of a bucket, one object each, encrypted by S3 where they lie.
#[derive(Clone)]
pub struct S3KeyPairs {
    shelf: Shelf,
    smith: Arc<dyn KeySmith>,
}

impl S3KeyPairs {
    pub(crate) fn new(shelf: Shelf, smith: Arc<dyn KeySmith>) -> Self {
        Self { shelf, smith }
    }

    fn file(stack: &StackName) -> String {
        format!("{stack}.pem")
    }

    fn unreadable(&self, stack: &StackName) -> PortError {
        let problem = "it is no private key that can be read without a passphrase";
        PortError::new(PortErrorKind::Malformed, self.shelf.shown(&Self::file(stack)), problem)
            .advise("restore it from a backup: the stack's machines let in whoever has that key, and nobody else")
    }

    /// The private half, for whoever logs in to the stack's machines; `None` where nothing is kept.
    ///
    /// # Errors
    /// Those of the bucket; `Malformed` where what is kept is no private key.
    pub async fn private_half(&self, stack: &StackName) -> PortResult<Option<PrivateKey>> {
        let Some(kept) = self.shelf.get(&Self::file(stack)).await? else { return Ok(None) };
        String::from_utf8(kept.bytes).map(|text| Some(PrivateKey(text))).map_err(|_| self.unreadable(stack))
    }

    async fn kept(&self, stack: &StackName) -> PortResult<Option<SshPublicKey>> {
        let Some(kept) = self.shelf.get(&Self::file(stack)).await? else { return Ok(None) };
        self.smith.public_half(stack, &kept.bytes).map(Some).ok_or_else(|| self.unreadable(stack))
    }
}

#[async_trait]
impl KeyPairs for S3KeyPairs {
    async fn of(&self, stack: &StackName) -> PortResult<(SshPublicKey, Change)> {
        if let Some(key) = self.kept(stack).await? {
            return Ok((key, Change::NotNeeded));
        }
        let (private, key) = self.smith.pair(stack)?;
        match self.shelf.put(&Self::file(stack), private.0.as_bytes(), There::Nothing, Sealed::Yes).await? {
            Put::Done(_) => Ok((key, Change::Made)),
            // Somebody else has made one meanwhile: that one is the stack's.
            Put::Refused => match self.kept(stack).await? {
                Some(key) => Ok((key, Change::NotNeeded)),
                None => {
                    let problem = "its key pair was made and removed by somebody else at the same time";
                    Err(PortError::new(PortErrorKind::Conflict, stack.as_str(), problem).advise("run this again"))
                }
            },
        }
    }

    async fn remove(&self, stack: &StackName) -> PortResult<Option<String>> {
        let file = Self::file(stack);
        Ok(self.shelf.discard(&file).await?.then(|| self.shelf.shown(&file)))
    }
}
