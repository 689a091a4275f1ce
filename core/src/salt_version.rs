//! Which Salt is newer? A master must not be older than its minions.

use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, fmt};

/// A version of Salt, such as `3008.3` or `2019.2.0`. Compares by its numbers; what follows them (`rc1`, `+12.g1a2b3c4`)
/// does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaltVersion(Box<str>);

impl SaltVersion {
    /// The version in a text: its first word that begins with a digit, as in `salt-minion 3008.3 (Argon)`. `None` where
    /// there is none.
    pub fn find(text: &str) -> Option<Self> {
        let word =
            text.split_whitespace().map(|word| word.trim_start_matches('v')).find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        Some(Self(word.chars().take(40).collect::<String>().into()))
    }

    /// Which of the two is the older one.
    pub fn compared(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (self.numbers(), other.numbers());
        let length = a.len().max(b.len());
        a.resize(length, 0);
        b.resize(length, 0);
        a.cmp(&b)
    }

    /// Whether it is that version, or one of that series: `3008.3` is of `3008` and of `3008.3`, and not of `3008.30`.
    pub fn is_of(&self, series: &Self) -> bool {
        self == series || self.numbers().starts_with(&series.numbers())
    }

    fn numbers(&self) -> Vec<u64> {
        let end = self.0.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.0.len());
        self.0[..end].split('.').filter_map(|number| number.parse().ok()).collect()
    }
}

impl fmt::Display for SaltVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_salt_prints() {
        for (text, version) in
            [("salt-minion 3008.3 (Argon)", Some("3008.3")), ("3006.0rc1\n", Some("3006.0rc1")), ("salt", None), ("", None)]
        {
            assert_eq!(SaltVersion::find(text).map(|v| v.to_string()).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn numbers_decide() {
        let version = |text| SaltVersion::find(text).unwrap();
        for (older, newer) in [("3007.1", "3008.0"), ("2019.2.0", "3000"), ("3008.3", "3008.10"), ("3006", "3006.1")] {
            assert_eq!(version(older).compared(&version(newer)), Ordering::Less, "{older} {newer}");
        }
        assert_eq!(version("3008").compared(&version("3008.0rc2")), Ordering::Equal);
    }
}
