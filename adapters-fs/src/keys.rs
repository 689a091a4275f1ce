//! How are key pairs made and read? With ssh-key, and older ones with OpenSSL.

use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
    ports::{KeySmith, PrivateKey},
    ssh_key::SshPublicKey,
};
use openssl::pkey::{Id, PKey, Private};
use ssh_key::{
    Algorithm, LineEnding, Mpint, PublicKey,
    public::{Ed25519PublicKey, KeyData, RsaPublicKey},
    rand_core::OsRng,
};

/// Key pairs as `ssh` reads them. New ones are ed25519; older ones may be RSA, as EC2 made them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys;

impl KeySmith for Keys {
    fn pair(&self, stack: &StackName) -> PortResult<(PrivateKey, SshPublicKey)> {
        let unmade = |error| PortError::new(PortErrorKind::Refused, stack.as_str(), "its key pair cannot be made").caused_by(error);
        let mut pair = ssh_key::PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(|error| unmade(error.to_string()))?;
        pair.set_comment(stack.as_str());
        let text = pair.to_openssh(LineEnding::LF).map_err(|error| unmade(error.to_string()))?;
        let key = named(pair.public_key().clone(), stack).ok_or_else(|| unmade("it has no public half".into()))?;
        Ok((PrivateKey(text.to_string()), key))
    }

    fn public_half(&self, stack: &StackName, private: &[u8]) -> Option<SshPublicKey> {
        named(public_half(private)?, stack)
    }
}

/// The public half of a private key in any form that is about: OpenSSH's, and PEM as OpenSSL and EC2 write it.
fn public_half(bytes: &[u8]) -> Option<PublicKey> {
    if let Ok(pair) = ssh_key::PrivateKey::from_openssh(bytes) {
        return Some(pair.public_key().clone());
    }
    // With a passphrase at hand, OpenSSL does not ask the terminal for one.
    Some(PublicKey::new(of_pem(&PKey::private_key_from_pem_passphrase(bytes, b"").ok()?)?, ""))
}

fn of_pem(key: &PKey<Private>) -> Option<KeyData> {
    match key.id() {
        Id::RSA => {
            let key = key.rsa().ok()?;
            let number = |number: &openssl::bn::BigNumRef| Mpint::from_positive_bytes(&number.to_vec()).ok();
            Some(KeyData::Rsa(RsaPublicKey { e: number(key.e())?, n: number(key.n())? }))
        }
        Id::ED25519 => Some(KeyData::Ed25519(Ed25519PublicKey(key.raw_public_key().ok()?.try_into().ok()?))),
        _ => None,
    }
}

fn named(mut key: PublicKey, stack: &StackName) -> Option<SshPublicKey> {
    key.set_comment(stack.as_str());
    SshPublicKey::from_openssh(&key.to_openssh().ok()?)
}
