//! How is a node reached? Settings and `~/.ssh/config`, boiled down to an endpoint, a user, keys and the way there.

use crate::{
    error::SshError,
    settings::SshSettings,
    ssh_config::{HostConfig, SshConfig},
};
use bldr_core::fleet::Host;
use std::path::{Path, PathBuf};

/// Where to connect to, as whom, with which keys, and through which other host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The name `ssh` would be given: what `Host` patterns of a configuration are compared with.
    pub alias: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// The stack's own key pair, where there is one.
    pub stack_key: Option<PathBuf>,
    /// Other key files to try, in order.
    pub key_files: Vec<PathBuf>,
    /// Whether the agent's keys may be tried.
    pub agent: bool,
    /// The host to go through.
    pub via: Option<Box<Route>>,
    /// A ProxyCommand of the configuration; only the system's `ssh` can run it.
    pub proxy_command: bool,
}

impl Route {
    /// `host:port`, for people.
    pub fn place(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    /// Whether commands need no sudo.
    pub fn is_root(&self) -> bool {
        self.user == "root"
    }
}

/// Jumps that lead through each other more often than this are a mistake in the configuration.
const MOST_JUMPS: usize = 4;

/// The route to a node.
pub(crate) fn to_node(settings: &SshSettings, config: &SshConfig, host: &Host) -> Result<Route, SshError> {
    let (name, address) = (host.node.to_string(), host.address.as_str());
    let said = config.of(&[&name, address]);
    let alias = if config.knows(&name) { name } else { address.to_owned() };
    let mut route = endpoint(settings, &said, &alias, address);
    if let Some(endpoint) = settings.endpoints.get(&host.node) {
        (route.host, route.port) = (endpoint.ip().to_string(), endpoint.port());
    }
    let stack_key = settings.keypairs.as_ref().map(|folder| folder.join(format!("{}.pem", host.node.stack())));
    route.stack_key = stack_key.filter(|file| file.exists());
    let jump = said.proxy_jump.or_else(|| settings.bastion.clone().filter(|_| said.proxy_command.is_none()));
    route.via = through(settings, config, jump.as_deref(), MOST_JUMPS)?;
    Ok(route)
}

fn through(settings: &SshSettings, config: &SshConfig, jump: Option<&str>, left: usize) -> Result<Option<Box<Route>>, SshError> {
    let Some(jump) = jump.filter(|jump| !jump.is_empty() && *jump != "none") else { return Ok(None) };
    if left == 0 {
        return Err(SshError::Settings(format!("the way through '{jump}' leads through too many other hosts")));
    }
    let (before, last) = match jump.rsplit_once(',') {
        Some((before, last)) => (Some(before), last),
        None => (None, jump),
    };
    let (user, host, port) = parse_jump(last)?;
    let said = config.of(&[host]);
    let mut route = endpoint(settings, &said, host, host);
    route.user = user.map_or(route.user, Into::into);
    route.port = port.unwrap_or(route.port);
    route.via = through(settings, config, before.or(said.proxy_jump.as_deref()), left - 1)?;
    Ok(Some(Box::new(route)))
}

fn endpoint(settings: &SshSettings, said: &HostConfig, alias: &str, host: &str) -> Route {
    let own = said.identity_files.iter().filter(|file| *file != "none").map(|file| expanded(file, &settings.home, host));
    let key_files: Vec<PathBuf> = own.chain(settings.key_files.iter().cloned()).filter(|file| file.exists()).collect();
    Route {
        alias: alias.to_owned(),
        host: said.host_name.as_deref().map_or_else(|| host.to_owned(), |name| name.replace("%h", host)),
        port: said.port.unwrap_or(settings.port),
        user: said.user.clone().unwrap_or_else(|| settings.user.clone()),
        stack_key: None,
        key_files,
        agent: !said.identities_only && settings.agent.is_some(),
        via: None,
        proxy_command: said.proxy_command.as_deref().is_some_and(|command| command != "none"),
    }
}

fn expanded(file: &str, home: &Path, host: &str) -> PathBuf {
    let file = file.replace("%d", &home.to_string_lossy()).replace("%h", host).replace("%%", "%");
    file.strip_prefix("~/").map_or_else(|| home.join(".ssh").join(&file), |rest| home.join(rest))
}

/// `[user@]host[:port]`, the host in brackets where it is an IPv6 address, `ssh://` allowed in front.
fn parse_jump(text: &str) -> Result<(Option<&str>, &str, Option<u16>), SshError> {
    let wrong = || SshError::Settings(format!("'{text}' is no bastion (user@host:port)"));
    let rest = text.strip_prefix("ssh://").unwrap_or(text).trim();
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or_else(wrong)?;
            (host, after.strip_prefix(':'))
        }
        None if place.matches(':').count() > 1 => (place, None),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(|port| port.parse().map_err(|_| wrong())).transpose()?;
    let option_like = |word: &str| word.is_empty() || word.starts_with('-');
    if option_like(host) || user.is_some_and(option_like) { Err(wrong()) } else { Ok((user, host, port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Host {
        Host { node: "harbor--ci--1".parse().unwrap(), address: "10.0.0.1".parse().unwrap() }
    }

    fn settings() -> SshSettings {
        SshSettings {
            home: "/home/x".into(),
            key_files: vec!["/dev/null".into()],
            bastion: Some("ops@gate:2200".into()),
            ..Default::default()
        }
    }

    #[test]
    fn the_configuration_wins_over_the_settings() {
        let text = "Host harbor--*\nUser deploy\nPort 2022\nHost 10.*\nHostName %h.internal\nProxyJump me@[fd00::1]:23,last";
        let route = to_node(&settings(), &SshConfig::parse(text, &|_| vec![]), &node()).unwrap();
        assert_eq!(
            (route.user.as_str(), route.place().as_str(), route.alias.as_str()),
            ("deploy", "10.0.0.1.internal:2022", "harbor--ci--1")
        );
        let last = route.via.unwrap();
        let first = last.via.as_ref().unwrap();
        assert_eq!((last.place().as_str(), first.place().as_str(), first.user.as_str()), ("last:22", "[fd00::1]:23", "me"));
    }

    #[test]
    fn without_a_configuration_the_settings_decide() {
        let route = to_node(&settings(), &SshConfig::default(), &node()).unwrap();
        assert_eq!((route.user.as_str(), route.place().as_str(), route.alias.as_str()), ("ubuntu", "10.0.0.1:22", "10.0.0.1"));
        assert_eq!(route.via.map(|via| (via.user.clone(), via.place())), Some(("ops".into(), "gate:2200".into())));
    }

    #[test]
    fn an_endpoint_wins_over_everything() {
        let endpoints = [(node().node, "127.0.0.1:9".parse().unwrap())].into();
        let settings = SshSettings { endpoints, bastion: None, ..settings() };
        let route = to_node(&settings, &SshConfig::parse("Port 22", &|_| vec![]), &node()).unwrap();
        assert_eq!((route.place().as_str(), route.via), ("127.0.0.1:9", None));
    }

    #[test]
    fn jumps_in_a_circle_and_words_that_look_like_options_are_refused() {
        let circle = SshConfig::parse("Host gate\nProxyJump gate", &|_| vec![]);
        assert!(to_node(&settings(), &circle, &node()).is_err());
        for bad in ["-oProxyCommand=x", "a@-x", "a@b:port", "@b", "[::1"] {
            assert!(parse_jump(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_jump("fd00::1").unwrap(), (None, "fd00::1", None));
    }
}
