//! Which Salt shall a machine have? What its context asks for; never an older one than it has, nor a newer one than its master's.

use crate::salt_version::SaltVersion;
use std::cmp::Ordering;

/// What is to be done about a machine's Salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Salt {
    /// It is as wanted, or nobody said what is wanted.
    Right,
    /// It is newer than wanted, and stays.
    Newer,
    /// This version is to be installed.
    Install(SaltVersion),
}

/// What is to be done about the Salt of a machine that has this one, where its context wants that one (`3008.3`; `3008` is any of
/// them) and its master has this other one.
///
/// # Errors
/// Why it cannot be had: a master that is older than what is wanted; a machine without Salt and a context that says nothing.
pub fn salt(installed: Option<&SaltVersion>, wanted: Option<&str>, master: Option<&SaltVersion>) -> Result<Salt, String> {
    // It becomes part of a command line on the machine.
    let plain = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '~' | '_'));
    if let Some(odd) = wanted.filter(|wanted| !plain(wanted)) {
        return Err(format!(
            "its context wants Salt '{}', which is no version",
            odd.chars().filter(|c| !c.is_control()).take(40).collect::<String>()
        ));
    }
    let Some(wanted) = wanted.and_then(SaltVersion::find) else {
        return match installed {
            Some(_) => Ok(Salt::Right),
            None => Err("it has no Salt, and its context does not say which it shall have (`project.salt`)".into()),
        };
    };
    match installed {
        Some(installed) if master.is_some_and(|master| installed.compared(master) == Ordering::Greater) => {
            return Err(format!("it has Salt {installed}, newer than its master's: a minion must not be newer; update the master first"));
        }
        Some(installed) if installed.is_of(&wanted) => return Ok(Salt::Right),
        Some(installed) if installed.compared(&wanted) == Ordering::Greater => return Ok(Salt::Newer),
        _ => {}
    }
    match master {
        Some(master) if wanted.compared(master) == Ordering::Greater && !master.is_of(&wanted) => {
            Err(format!("its context wants Salt {wanted} and its master has {master}: a minion must not be newer; update the master first"))
        }
        // A series is no version that anybody could install; its master's is one of it.
        Some(master) if *master != wanted && master.is_of(&wanted) => Ok(Salt::Install(master.clone())),
        _ => Ok(Salt::Install(wanted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> SaltVersion {
        SaltVersion::find(text).unwrap()
    }

    fn of(installed: &str, wanted: &str, master: &str) -> Result<Salt, String> {
        let some = |text: &str| SaltVersion::find(text);
        salt(some(installed).as_ref(), Some(wanted).filter(|wanted| !wanted.is_empty()), some(master).as_ref())
    }

    #[test]
    fn what_is_wanted_is_installed_where_it_is_not_there() {
        assert_eq!(of("", "3008.3", "3008.3"), Ok(Salt::Install(version("3008.3"))));
        assert_eq!(of("3007.1", "3008.3", "3008.10"), Ok(Salt::Install(version("3008.3"))));
        assert_eq!(of("3008.3", "3008.3", ""), Ok(Salt::Right));
        assert_eq!(of("3008.3", "3008", "3008.3"), Ok(Salt::Right));
        assert_eq!(of("3007.1", "3008", "3008.3"), Ok(Salt::Install(version("3008.3"))), "the master is of that series");
        assert_eq!(of("3008.3", "", ""), Ok(Salt::Right));
        assert!(of("", "", "3008.3").is_err());
        assert!(of("", "3008.3;reboot", "3008.3").unwrap_err().contains("which is no version"));
    }

    #[test]
    fn nothing_is_downgraded_and_no_minion_passes_its_master() {
        assert_eq!(of("3008.10", "3008.3", "3008.10"), Ok(Salt::Newer));
        assert!(of("3008.10", "3008.3", "3007.1").unwrap_err().contains("update the master first"));
        assert!(of("3006.1", "3008.3", "3008.2").unwrap_err().contains("update the master first"));
        assert!(of("", "3009", "3008.3").is_err());
    }
}
