//! What does `~/.ssh/config` say of a host? The few keywords that decide where and as whom to connect, read in one pure
//! pass. The crates that read such files either know no wildcards or bring a client of their own along; the system
//! transport leaves all of it to `ssh` anyway.

/// A parsed configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SshConfig {
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Block {
    /// `None` matches every host; an empty list none.
    patterns: Option<Vec<String>>,
    lines: Vec<(String, Vec<String>)>,
}

/// What is said of one host; as in ssh, the first value of a keyword counts, and identity files add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostConfig {
    pub(crate) host_name: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) identity_files: Vec<String>,
    pub(crate) identities_only: bool,
    pub(crate) proxy_jump: Option<String>,
    pub(crate) proxy_command: Option<String>,
}

const DEEPEST_INCLUDE: usize = 16;

impl SshConfig {
    /// Parses a text; `include` returns the texts of the files that an `Include` names.
    pub(crate) fn parse(text: &str, include: &dyn Fn(&str) -> Vec<String>) -> Self {
        let mut config = Self { blocks: vec![Block::default()] };
        config.add(text, include, 0);
        config
    }

    fn add(&mut self, text: &str, include: &dyn Fn(&str) -> Vec<String>, depth: usize) {
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (keyword, rest) = line.split_once(|c: char| c.is_whitespace() || c == '=').unwrap_or((line, ""));
            let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
            let values = shell_words::split(rest).unwrap_or_else(|_| rest.split_whitespace().map(Into::into).collect());
            match keyword.to_ascii_lowercase().as_str() {
                "host" => self.blocks.push(Block { patterns: Some(values), lines: Vec::new() }),
                // Any other condition than `all` asks about things that do not exist here (a canonical name, a local user).
                "match" => {
                    let all = values.iter().any(|value| value.eq_ignore_ascii_case("all"));
                    self.blocks.push(Block { patterns: (!all).then(Vec::new), lines: Vec::new() });
                }
                "include" if depth < DEEPEST_INCLUDE => {
                    let outer = self.blocks.last().and_then(|block| block.patterns.clone());
                    for text in values.iter().flat_map(|value| include(value)) {
                        self.blocks.push(Block { patterns: outer.clone(), lines: Vec::new() });
                        self.add(&text, include, depth + 1);
                    }
                    self.blocks.push(Block { patterns: outer, lines: Vec::new() });
                }
                other => {
                    if let Some(block) = self.blocks.last_mut() {
                        block.lines.push((other.into(), values));
                    }
                }
            }
        }
    }

    /// What is said of a host that goes by several names (its node name and its address).
    pub(crate) fn of(&self, names: &[&str]) -> HostConfig {
        let mut found = HostConfig::default();
        let mut identities_only = None;
        for (keyword, values) in self.blocks.iter().filter(|block| block.covers(names)).flat_map(|block| &block.lines) {
            let Some(first) = values.first() else { continue };
            let keep = |slot: &mut Option<String>, value: &str| {
                slot.get_or_insert_with(|| value.to_owned());
            };
            match keyword.as_str() {
                "hostname" => keep(&mut found.host_name, first),
                "user" => keep(&mut found.user, first),
                "port" if found.port.is_none() => found.port = first.parse().ok(),
                "identityfile" => found.identity_files.push(first.clone()),
                "identitiesonly" => {
                    identities_only.get_or_insert(first.eq_ignore_ascii_case("yes"));
                }
                // Whichever of the two comes first decides, as in ssh.
                "proxyjump" if found.proxy_command.is_none() => keep(&mut found.proxy_jump, first),
                "proxycommand" if found.proxy_jump.is_none() => keep(&mut found.proxy_command, &values.join(" ")),
                _ => {}
            }
        }
        found.identities_only = identities_only.unwrap_or_default();
        found
    }

    /// Whether a block is written for exactly this name, or for a pattern of such names, rather than for every host.
    pub(crate) fn knows(&self, name: &str) -> bool {
        let specific =
            |block: &&Block| block.patterns.as_ref().is_some_and(|p| p.iter().any(|p| p != "*") && p.iter().all(|p| !p.starts_with("*")));
        self.blocks.iter().filter(specific).any(|block| block.covers(&[name]))
    }
}

impl Block {
    fn covers(&self, names: &[&str]) -> bool {
        let Some(patterns) = &self.patterns else { return true };
        names.iter().any(|name| {
            let hit = |pattern: &str| glob(pattern.as_bytes(), name.as_bytes());
            let excluded = patterns.iter().filter_map(|p| p.strip_prefix('!')).any(hit);
            !excluded && patterns.iter().filter(|p| !p.starts_with('!')).any(|p| hit(p))
        })
    }
}

/// Whether a text matches a pattern with `*` and `?`. Linear in practice, and never exponential.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut retry {
                Some((after, from)) => {
                    *from += 1;
                    (p, t) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
# mine
User everybody
Host 10.0.* !10.0.9.*
    ProxyJump ops@bastion:2222
    IdentityFile ~/.ssh/inner
Host harbor--ci--1 other
    HostName=192.0.2.7
    Port 2022
    user second
    IdentityFile \"~/.ssh/with space\"
Match exec true
    Port 1
Host *
    IdentitiesOnly yes
    ProxyCommand nc %h %p
Include more
";

    fn config() -> SshConfig {
        SshConfig::parse(TEXT, &|name| if name == "more" { vec!["Host late\nPort 9".into()] } else { vec![] })
    }

    #[test]
    fn the_first_value_counts_and_identity_files_add_up() {
        let found = config().of(&["harbor--ci--1", "10.0.0.1"]);
        assert_eq!(found.host_name.as_deref(), Some("192.0.2.7"));
        assert_eq!((found.port, found.user.as_deref()), (Some(2022), Some("everybody")));
        assert_eq!(found.identity_files, ["~/.ssh/inner", "~/.ssh/with space"]);
        assert_eq!((found.proxy_jump.as_deref(), found.proxy_command), (Some("ops@bastion:2222"), None));
        assert!(found.identities_only);
    }

    #[test]
    fn excluded_hosts_are_not_covered() {
        let found = config().of(&["10.0.9.1"]);
        assert_eq!((found.proxy_jump, found.proxy_command.as_deref()), (None, Some("nc %h %p")));
    }

    #[test]
    fn included_files_count_and_conditions_that_cannot_be_judged_do_not() {
        assert_eq!(config().of(&["late"]).port, Some(9));
        assert_eq!(config().of(&["elsewhere"]).port, None);
    }

    #[test]
    fn a_name_is_known_when_a_block_is_written_for_it() {
        let config = config();
        assert!(config.knows("harbor--ci--1") && config.knows("10.0.0.1"));
        assert!(!config.knows("harbor--ci--2") && !config.knows("10.0.9.1"));
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, hit) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a?c", "ac", false),
            ("*.org", "x.org", true),
            ("**a", "ba", true),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), hit, "{pattern} {text}");
        }
        assert!(!glob("*a".repeat(40).as_bytes(), "a".repeat(30).as_bytes()));
    }
}
