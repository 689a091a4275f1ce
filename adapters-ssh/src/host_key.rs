//! Is this the host it says it is? What a known_hosts text says of a host, compared by raw key blobs.
//!
//! thrussh-keys has functions for this that see no hashed entries, take a key of another type for a changed one, and
//! spoil the file with RSA keys; hence this file.

use crate::ssh_config::glob;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine};
use openssl::{hash::MessageDigest, pkey::PKey, sha::sha256, sign::Signer};

/// One key that is known for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its line, from 1.
    pub(crate) line: usize,
    /// `ssh-ed25519`, …
    pub(crate) kind: String,
    /// The key as it goes over the wire.
    pub(crate) blob: Vec<u8>,
    /// Whether it is marked `@revoked`.
    pub(crate) revoked: bool,
}

/// What is to be thought of a key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is known.
    Known,
    /// The host is new.
    New,
    /// The host is known by another key of this type.
    Changed(Entry),
    /// The host is known only by keys of other types.
    OtherTypes(Vec<String>),
    /// The key is revoked.
    Revoked(usize),
}

/// How known_hosts names a host: lower case, with brackets and port where that is not 22.
pub(crate) fn host_field(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The entries of a known_hosts text that are about this host, named as by [`host_field`]. Lines that are no entries,
/// and certificate authorities, are passed over.
pub(crate) fn entries_for(text: &[u8], host: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (at, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.split_whitespace().peekable();
        let mark = fields.next_if(|field| field.starts_with('@'));
        let (Some(hosts), Some(kind), Some(key)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let marked_otherwise = mark.is_some_and(|mark| mark != "@revoked");
        if hosts.starts_with('#') || marked_otherwise || !names(hosts, host) {
            continue;
        }
        let Ok(blob) = BASE64_STANDARD.decode(key) else { continue };
        entries.push(Entry { line: at + 1, kind: kind.to_owned(), blob, revoked: mark.is_some() });
    }
    entries
}

/// A known_hosts text in which no key is known for this host any more. Everything else stays as it is, byte for byte: comments,
/// other hosts, revoked keys, authorities. A line that names several hosts goes on naming the others; a pattern is told that
/// it does not mean this one.
pub(crate) fn without(text: &[u8], host: &str) -> Vec<u8> {
    text.split_inclusive(|b| *b == b'\n').flat_map(|line| line_without(line, host)).collect()
}

fn line_without(line: &[u8], host: &str) -> Vec<u8> {
    // Only the names are rewritten, and they are ASCII: what else the line has is copied.
    let start = line.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(line.len());
    let length = line[start..].iter().position(u8::is_ascii_whitespace).unwrap_or(line.len() - start);
    let (before, rest) = line.split_at(start);
    let (field, after) = rest.split_at(length);
    let Some(field) = std::str::from_utf8(field).ok().filter(|field| !field.starts_with(['#', '@']) && names(field, host)) else {
        return line.to_vec();
    };
    let means_it = |pattern: &&str| match pattern.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, host).unwrap_or_default(),
        None => pattern.eq_ignore_ascii_case(host),
    };
    let mut left: Vec<&str> = field.split(',').filter(|pattern| !means_it(pattern)).collect();
    if left.iter().all(|pattern| pattern.starts_with('!')) {
        return Vec::new();
    }
    let excluded = format!("!{host}");
    if names(&left.join(","), host) {
        left.push(&excluded);
    }
    [before, left.join(",").as_bytes(), after].concat()
}

/// What those entries say of a key.
pub(crate) fn verdict(entries: &[Entry], blob: &[u8]) -> Verdict {
    if let Some(entry) = entries.iter().find(|entry| entry.revoked && entry.blob == blob) {
        return Verdict::Revoked(entry.line);
    }
    let mut trusted = entries.iter().filter(|entry| !entry.revoked).peekable();
    if trusted.peek().is_none() {
        return Verdict::New;
    }
    if trusted.clone().any(|entry| entry.blob == blob) {
        return Verdict::Known;
    }
    match trusted.clone().find(|entry| kind_of(&entry.blob) == kind_of(blob)) {
        Some(entry) => Verdict::Changed(entry.clone()),
        None => Verdict::OtherTypes(trusted.map(|entry| entry.kind.clone()).collect()),
    }
}

/// The line that makes a key known.
pub(crate) fn line_for(host: &str, blob: &[u8]) -> String {
    format!("{host} {} {}\n", String::from_utf8_lossy(kind_of(blob)), BASE64_STANDARD.encode(blob))
}

/// `SHA256:…`, as `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(sha256(blob)))
}

/// The type that a key blob begins with; empty where it is none.
fn kind_of(blob: &[u8]) -> &[u8] {
    let length = blob.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
    blob.get(4..).and_then(|rest| rest.get(..length)).unwrap_or_default()
}

fn names(field: &str, host: &str) -> bool {
    let mut named = false;
    for pattern in field.split(',') {
        if let Some(hashed) = pattern.strip_prefix("|1|") {
            named |= is_hash_of(hashed, host).unwrap_or_default();
        } else if let Some(excluded) = pattern.strip_prefix('!') {
            if glob(excluded.to_ascii_lowercase().as_bytes(), host.as_bytes()) {
                return false;
            }
        } else {
            named |= glob(pattern.to_ascii_lowercase().as_bytes(), host.as_bytes());
        }
    }
    named
}

fn is_hash_of(hashed: &str, host: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let key = PKey::hmac(&BASE64_STANDARD.decode(salt).ok()?).ok()?;
    let computed = Signer::new(MessageDigest::sha1(), &key).ok()?.sign_oneshot_to_vec(host.as_bytes()).ok()?;
    Some(computed == BASE64_STANDARD.decode(hash).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(kind: &str, body: &str) -> Vec<u8> {
        [&(kind.len() as u32).to_be_bytes()[..], kind.as_bytes(), body.as_bytes()].concat()
    }

    fn text(lines: &[(&str, &[u8])]) -> Vec<u8> {
        lines.iter().map(|(hosts, blob)| line_for(hosts, blob)).collect::<String>().into_bytes()
    }

    #[test]
    fn a_key_of_another_type_is_no_changed_key_and_no_new_host() {
        let (known, other, third) = (blob("ssh-rsa", "a"), blob("ssh-rsa", "b"), blob("ssh-ed25519", "c"));
        let entries = entries_for(&text(&[("gate,10.0.0.1", &known)]), "10.0.0.1");
        assert_eq!(verdict(&entries, &known), Verdict::Known);
        assert_eq!(verdict(&entries, &other), Verdict::Changed(entries[0].clone()));
        assert_eq!(verdict(&entries, &third), Verdict::OtherTypes(vec!["ssh-rsa".into()]));
        assert_eq!(verdict(&[], &third), Verdict::New);
    }

    #[test]
    fn patterns_exclusions_and_ports_are_honoured() {
        let key = blob("ssh-ed25519", "a");
        let known = text(&[("10.0.*,!10.0.0.9", &key), ("[gate]:2222", &key)]);
        for (host, port, count) in [("10.0.0.1", 22, 1), ("10.0.0.9", 22, 0), ("GATE", 2222, 1), ("gate", 22, 0), ("10.0.0.1", 2222, 0)] {
            assert_eq!(entries_for(&known, &host_field(host, port)).len(), count, "{host} {port}");
        }
    }

    #[test]
    fn hashed_names_are_seen() {
        // `ssh-keygen -H` made this of `192.168.1.61`.
        let line = "|1|dRA6ZB2MC1Z6TpFghbwgEiVAVy0=|0VSl2meRfIyhla0jiylkhf+Qr1w= ssh-rsa AAAAB3NzaC1yc2E=\n";
        assert_eq!(entries_for(line.as_bytes(), "192.168.1.61").len(), 1);
        assert_eq!(entries_for(line.as_bytes(), "192.168.1.62").len(), 0);
    }

    #[test]
    fn a_revoked_key_stays_revoked_and_broken_lines_do_no_harm() {
        let key = blob("ssh-ed25519", "a");
        let mut known = text(&[("gate", &key)]);
        known.extend_from_slice(b"# gate ssh-rsa AAAA\ngate\ngate ssh-rsa ???\n\xff\xfe\n@cert-authority gate ssh-rsa AAAA\n@revoked ");
        known.extend_from_slice(line_for("*", &key).as_bytes());
        assert_eq!(verdict(&entries_for(&known, "gate"), &key), Verdict::Revoked(7));
        assert_eq!(verdict(&entries_for(&known, "other"), &blob("ssh-ed25519", "b")), Verdict::New);
    }
}
