//! Where are the key pairs of stacks, when they are in a folder? In `KEYPAIRS/STACK.pem`: the private half, from which the
//! public one is worked out each time, so that the two can never differ.

use crate::{
    failure::{failed, shown},
    folder::Folder,
    keys::Keys,
    off_thread::off_thread,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
    ports::{Change, KeyPairs, KeySmith},
    ssh_key::SshPublicKey,
};
use std::{fs, io::ErrorKind, path::PathBuf};

/// The key pairs of stacks in a folder, one file each, for this user alone.
///
/// New ones are ed25519, as `ssh-keygen` writes them. Older ones may be RSA, as EC2 made them.
#[derive(Debug, Clone)]
pub struct FileKeyPairs(Folder);

impl FileKeyPairs {
    /// The key pairs in this folder. It is made when the first pair is.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(Folder::new(folder))
    }

    fn file(&self, stack: &StackName) -> PathBuf {
        self.0.path().join(format!("{stack}.pem"))
    }

    /// The public half of what is kept, if anything is.
    fn kept(&self, stack: &StackName) -> PortResult<Option<SshPublicKey>> {
        let path = self.file(stack);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let key = Keys.public_half(stack, &bytes).ok_or_else(|| {
            PortError::new(PortErrorKind::Malformed, shown(&path), "it is no private key that can be read without a passphrase")
                .advise("restore it from a backup: the stack's machines let in whoever has that key, and nobody else")
        })?;
        Ok(Some(key))
    }

    fn of_now(&self, stack: &StackName) -> PortResult<(SshPublicKey, Change)> {
        if let Some(key) = self.kept(stack)? {
            return Ok((key, Change::NotNeeded));
        }
        let turn = self.0.turn()?;
        // Made by somebody else while this waited for its turn.
        if let Some(key) = self.kept(stack)? {
            return Ok((key, Change::NotNeeded));
        }
        let (private, key) = Keys.pair(stack)?;
        turn.replace(&format!("{stack}.pem"), private.0.as_bytes())?;
        Ok((key, Change::Made))
    }

    fn remove_now(&self, stack: &StackName) -> PortResult<Option<String>> {
        if !self.0.path().exists() {
            return Ok(None);
        }
        let (turn, file) = (self.0.turn()?, self.file(stack));
        if fs::symlink_metadata(&file).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        turn.remove(&format!("{stack}.pem"))?;
        Ok(Some(shown(&file)))
    }
}

#[async_trait]
impl KeyPairs for FileKeyPairs {
    async fn of(&self, stack: &StackName) -> PortResult<(SshPublicKey, Change)> {
        let (this, stack) = (self.clone(), stack.clone());
        off_thread(move || this.of_now(&stack)).await
    }

    async fn remove(&self, stack: &StackName) -> PortResult<Option<String>> {
        let (this, stack) = (self.clone(), stack.clone());
        off_thread(move || this.remove_now(&stack)).await
    }
}
