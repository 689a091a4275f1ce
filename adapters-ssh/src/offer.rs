//! What does a server offer that thrussh cannot take? Its greeting, put into words an operator can act on.

use std::fmt::Write;
use thrussh_keys::encoding::{Position, Reader};

/// What a failed negotiation means, or `None` if the error is another one.
pub(crate) fn in_words(greeting: &[u8], error: &thrussh::Error) -> Option<String> {
    let (what, list) = match error {
        thrussh::Error::NoCommonKexAlgo => ("key exchanges", 0),
        thrussh::Error::NoCommonKeyAlgo => ("host key types", 1),
        thrussh::Error::NoCommonCipher => ("ciphers", 2),
        thrussh::Error::NoCommonMac => ("MACs", 4),
        thrussh::Error::NoCommonCompression => ("compressions", 6),
        _ => return None,
    };
    let mut words = format!("thrussh has none of the {what} that this node's sshd takes");
    if let Some(offered) = name_list(greeting, list) {
        // A write to a String cannot fail.
        let _ = write!(words, " (it offers only {offered})");
    }
    Some(words)
}

/// One of the name lists of the first packet, which is the server's KEXINIT (RFC 4253, 7.1).
fn name_list(greeting: &[u8], list: usize) -> Option<String> {
    let start = greeting.windows(4).position(|w| w == b"SSH-")?;
    let packet = start + greeting[start..].iter().position(|b| *b == b'\n')? + 1;
    const KEXINIT: u8 = 20;
    if *greeting.get(packet + 5)? != KEXINIT {
        return None;
    }
    let mut reader: Position<'_> = greeting.reader(packet + 6 + 16);
    let mut names: &[u8] = b"";
    for _ in 0..=list {
        names = reader.read_string().ok()?;
    }
    let clean: String = String::from_utf8_lossy(names).chars().filter(char::is_ascii_graphic).take(300).collect();
    Some(clean.replace(',', ", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_is_named() {
        let mut greeting = b"SSH-2.0-OpenSSH_9.2\r\n\0\0\0\x40\x04\x14".to_vec();
        greeting.extend_from_slice(&[7; 16]);
        for list in ["kex", "ecdsa-sha2-nistp256,x", "c", "c", "hmac-a-etm"] {
            greeting.extend_from_slice(&(list.len() as u32).to_be_bytes());
            greeting.extend_from_slice(list.as_bytes());
        }
        let words = |error| in_words(&greeting, &error).unwrap();
        assert!(words(thrussh::Error::NoCommonKeyAlgo).contains("offers only ecdsa-sha2-nistp256, x"));
        assert!(words(thrussh::Error::NoCommonMac).contains("MACs that this node's sshd takes (it offers only hmac-a-etm)"));
        assert!(!words(thrussh::Error::NoCommonCompression).contains("offers"), "a list that is cut off is left out");
        assert!(in_words(&greeting, &thrussh::Error::Disconnect).is_none());
    }
}
