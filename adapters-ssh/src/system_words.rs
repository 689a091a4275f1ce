//! What did the system's `ssh` mean by that? Its messages, sorted into the failures both transports have.

use crate::{error::SshError, host_key, route::Route};
use std::{error::Error, path::Path};

/// The failure that a connection which could not be set up amounts to.
pub(crate) fn of(error: &openssh::Error, route: &Route, known_hosts: &Path) -> SshError {
    let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    of_text(&said, route, known_hosts)
}

fn of_text(said: &str, route: &Route, known_hosts: &Path) -> SshError {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    if said.contains("REVOKED HOST KEY") {
        return SshError::HostKeyRevoked { host: host_in(said, route), file: known_hosts.display().to_string() };
    }
    if said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        return changed(said, route, known_hosts);
    }
    if let Some(line) = lines().find(|line| line.contains("no matching")) {
        return SshError::Unsupported(format!("this machine's ssh and {} have nothing in common: {line}", route.place()));
    }
    let denied = ["Permission denied (", "Too many authentication failures", "Host key verification failed"];
    if let Some(line) = lines().find(|line| denied.iter().any(|sign| line.contains(sign))) {
        let files = route.stack_key.iter().chain(&route.key_files);
        let mut tried: Vec<String> = files.filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned())).collect();
        tried.extend(route.agent.then(|| "ssh-agent".to_owned()));
        tried.push(format!("ssh said: {line}"));
        return SshError::Denied { place: route.place(), user: route.user.clone(), tried };
    }
    let noise = |line: &&str| !line.starts_with("Warning: Permanently added");
    let reason = lines().rfind(noise).unwrap_or("ssh gave no reason").chars().take(200).collect();
    SshError::Unreachable { place: route.place(), reason }
}

/// `Offending ED25519 key in FILE:LINE`, `… sent by the remote host is\nSHA256:….`.
fn changed(said: &str, route: &Route, known_hosts: &Path) -> SshError {
    let offending = said.lines().find_map(|line| line.trim().strip_prefix("Offending ")?.split_once(" key in "));
    let (file, line) = offending.and_then(|(_, place)| place.trim().rsplit_once(':')).unwrap_or_default();
    let line: usize = line.parse().unwrap_or_default();
    let shown = said.lines().map(str::trim).find(|line| line.starts_with("SHA256:")).unwrap_or("another key").trim_end_matches('.');
    let file = if file.is_empty() { known_hosts } else { Path::new(file) };
    let host = host_in(said, route);
    let entries = std::fs::read(file).map(|text| host_key::entries_for(&text, &host)).unwrap_or_default();
    let known = entries.iter().find(|entry| entry.line == line).map(|entry| host_key::fingerprint(&entry.blob));
    let known = known.unwrap_or_else(|| "another key".into());
    SshError::HostKeyChanged { host, file: file.to_owned(), line, known, shown: shown.into() }
}

/// `Host key for HOST has changed` or `The … host key for HOST is marked as revoked`; a bastion's, where it is that one's.
fn host_in(said: &str, route: &Route) -> String {
    let named = said.lines().find_map(|line| line.split_once("ost key for ")?.1.split_whitespace().next());
    named.map_or_else(|| host_key::host_field(&route.host, route.port), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route {
            alias: "10.0.0.1".into(),
            host: "10.0.0.1".into(),
            port: 22,
            user: "ubuntu".into(),
            stack_key: None,
            key_files: vec!["/k/id_ed25519".into()],
            agent: true,
            via: None,
            proxy_command: false,
        }
    }

    #[test]
    fn what_ssh_says_is_sorted_by_what_can_be_done_about_it() {
        let of = |said: &str| of_text(said, &route(), Path::new("/kh"));
        let denied = of(
            "Warning: Permanently added '10.0.0.1' (ED25519) to the list of known hosts.\nubuntu@10.0.0.1: Permission denied (publickey).",
        );
        assert!(denied.to_string().contains("tried: id_ed25519, ssh-agent, ssh said: ubuntu@10.0.0.1: Permission denied"), "{denied}");
        let offer = of("Unable to negotiate with 10.0.0.1 port 22: no matching MAC found. Their offer: x");
        assert!(matches!(offer, SshError::Unsupported(_)), "{offer:?}");
        let refused = of("connect to host 10.0.0.1 port 22: Connection refused");
        assert_eq!(refused.to_string(), "cannot connect to 10.0.0.1:22: connect to host 10.0.0.1 port 22: Connection refused");
        assert!(matches!(of(""), SshError::Unreachable { .. }));
    }

    #[test]
    fn a_changed_key_is_told_with_its_line_and_both_fingerprints() {
        let book = tempfile::NamedTempFile::new().unwrap();
        let line = "10.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n";
        std::fs::write(book.path(), line).unwrap();
        let said = format!(
            "@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@\nThe fingerprint for the ED25519 key sent by the \
             remote host is\nSHA256:abc.\nOffending ED25519 key in {}:1\nHost key for 10.0.0.1 has changed and you have requested \
             strict checking.\nHost key verification failed.",
            book.path().display()
        );
        let SshError::HostKeyChanged { host, line, known, shown, .. } = of_text(&said, &route(), Path::new("/kh")) else { panic!() };
        assert_eq!((host.as_str(), line, shown.as_str()), ("10.0.0.1", 1, "SHA256:abc"));
        assert!(known.starts_with("SHA256:"), "{known}");
    }
}
