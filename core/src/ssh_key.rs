//! What is an operator's SSH public key? One line: its kind, its body, and what its owner calls it.

use base64::prelude::{BASE64_STANDARD as STANDARD, BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD, Engine};
use sha2::{Digest, Sha256};
use std::fmt;

/// An SSH public key, as `~/.ssh/id_ed25519.pub` has it.
///
/// Two keys are equal when kind and body are: what stands behind them is a remark.
#[derive(Debug, Clone)]
pub struct SshPublicKey {
    line: Box<str>,
}

impl SshPublicKey {
    /// A key from the text of its file.
    ///
    /// # Errors
    /// `None` when the text is no public key: two lines, a private key, a line of `authorized_keys` with options.
    pub fn from_openssh(text: &str) -> Option<Self> {
        let line = text.trim();
        let (kind, rest) = line.split_once([' ', '\t'])?;
        let body = rest.split_ascii_whitespace().next()?;
        let is_kind = ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| kind.starts_with(prefix)) && !kind.contains(['"', ',', '=']);
        // Every body begins with the length of its kind, which is three zero bytes and one more: `AAAA`.
        let is_body = body.starts_with("AAAA") && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        (is_kind && is_body && !line.contains(['\n', '\r'])).then(|| Self { line: line.into() })
    }
    /// The line, without an end of line.
    pub fn line(&self) -> &str {
        &self.line
    }
    /// What people compare: `SHA256:` and the digest of its body, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        let body = self.parts().nth(1).and_then(|body| STANDARD.decode(body).ok()).unwrap_or_default();
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(body)))
    }
    fn parts(&self) -> impl Iterator<Item = &str> {
        self.line.split_ascii_whitespace().take(2)
    }
}

impl PartialEq for SshPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts().eq(other.parts())
    }
}
impl Eq for SshPublicKey {}

impl fmt::Display for SshPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIASEJpqU6Ff+wdoUT4FrvA5knw4sgEj1VN0hYymUXW+4";

    #[test]
    fn a_remark_and_blank_space_make_no_other_key() {
        let key = |text: &str| SshPublicKey::from_openssh(text).unwrap();
        let ann = key(&format!("ssh-ed25519 {BODY} ann of the team\n"));
        assert_eq!(ann, key(&format!("  ssh-ed25519\t{BODY}\r\n")));
        assert_eq!(ann.line(), format!("ssh-ed25519 {BODY} ann of the team"));
        assert_ne!(ann, key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOSKizCg79xSWTefOknosqhlonaLDOlsfGGAEqEluUF+ ann of the team"));
    }

    #[test]
    fn its_fingerprint_is_that_of_ssh_keygen() {
        let key = SshPublicKey::from_openssh(&format!("ssh-ed25519 {BODY} ann")).unwrap();
        assert_eq!(key.fingerprint(), "SHA256:CB9VW320w5LNMvnZlmStfs7KkNA8FuHpoOJxftyamvo");
    }

    #[test]
    fn what_is_no_public_key_is_none() {
        let options = format!("command=\"x\" ssh-ed25519 {BODY}");
        let two = format!("ssh-ed25519 {BODY}\nssh-ed25519 {BODY}");
        for text in ["", "ssh-ed25519", "ssh-ed25519 x", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", "no AAAAthing", &options, &two] {
            assert!(SshPublicKey::from_openssh(text).is_none(), "{text}");
        }
    }
}
