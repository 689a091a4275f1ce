//! What runs on a node? The scripts, a program each; what they say comes back in frames.

use crate::{
    error::SshError,
    route::Route,
    session::{Output, Program, Root},
};
use base64::prelude::{BASE64_STANDARD, Engine};
use bldr_core::ports::Tenure;
use std::collections::HashMap;

/// A script with the functions it needs in front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// Its file name, for messages.
    pub(crate) name: &'static str,
    text: &'static str,
    /// Whether it changes something: then it hears under which holding of the lock it was sent (`fence.sh`).
    changes: bool,
}

macro_rules! script {
    ($changes:literal $($needs:literal)* => $name:literal) => {
        Script {
            name: $name,
            text: concat!($(include_str!(concat!("../scripts/", $needs)),)* include_str!(concat!("../scripts/", $name))),
            changes: $changes,
        }
    };
}
macro_rules! asking {
    ($($needs:literal)* => $name:literal) => { script!(false $($needs)* => $name) };
}
macro_rules! changing {
    ($($needs:literal)* => $name:literal) => { script!(true "placing.sh" "fence.sh" $($needs)* => $name) };
}

pub(crate) const READ: Script = asking!("salt-settings.sh" "master-link.sh" => "read.sh");
pub(crate) const WRITE_FILE: Script = changing!(=> "write-file.sh");
pub(crate) const READ_FILE: Script = asking!(=> "read-file.sh");
pub(crate) const REPOINT: Script =
    changing!("salt-settings.sh" "minion-unit.sh" "watchdog.sh" "minion-config.sh" "master-link.sh" => "repoint.sh");
pub(crate) const PROVE: Script = asking!("salt-settings.sh" "placing.sh" "master-link.sh" => "prove.sh");
pub(crate) const CONFIRM: Script = changing!("salt-settings.sh" "minion-unit.sh" "watchdog.sh" => "confirm.sh");
pub(crate) const REVERT: Script = changing!("salt-settings.sh" "minion-unit.sh" "watchdog.sh" => "revert.sh");
pub(crate) const REHEARSE: Script = asking!("salt-settings.sh" "placing.sh" "salt-answer.sh" => "rehearse.sh");
pub(crate) const HIGHSTATE: Script = changing!("salt-settings.sh" "minion-unit.sh" "salt-answer.sh" => "highstate.sh");
pub(crate) const STANDING: Script = asking!("salt-settings.sh" "master-link.sh" "held-keys.sh" => "standing.sh");
pub(crate) const STRAIN: Script = asking!("salt-settings.sh" => "strain.sh");
pub(crate) const ACCEPT: Script = changing!("salt-settings.sh" "held-keys.sh" => "accept.sh");
pub(crate) const PING: Script = asking!("salt-settings.sh" => "ping.sh");
pub(crate) const FORGET: Script = changing!("salt-settings.sh" "held-keys.sh" => "forget.sh");
pub(crate) const INSPECT: Script = asking!("salt-settings.sh" "placing.sh" "git-words.sh" => "inspect.sh");
pub(crate) const QUARANTINED: Script = asking!("salt-settings.sh" "held-keys.sh" => "quarantined.sh");
pub(crate) const RESTORE: Script = changing!("salt-settings.sh" "held-keys.sh" => "restore.sh");
pub(crate) const FIRST_START: Script = asking!(=> "first-start.sh");
pub(crate) const INSTALL: Script = changing!("salt-settings.sh" "install-apt.sh" "install-pip.sh" => "install-salt.sh");
pub(crate) const IDENTITY: Script = changing!("salt-settings.sh" => "identity.sh");
pub(crate) const ENLIST: Script = changing!("salt-settings.sh" "minion-unit.sh" "watchdog.sh" "minion-config.sh" => "enlist.sh");
pub(crate) const DEPLOY_KEY: Script = changing!("salt-settings.sh" => "deploy-key.sh");
pub(crate) const REFRESH: Script = changing!("salt-settings.sh" => "refresh.sh");
/// Kept on a master, where cron runs it.
pub(crate) const LIBRARY: Script = asking!("salt-settings.sh" "placing.sh" "git-words.sh" "master-link.sh" => "library.sh");
/// Makes a master's configuration of a template: for a master to keep, beside [`LIBRARY`].
pub(crate) const RENDER_MASTER: &str = include_str!("../scripts/render-master.py");

/// What a script ends with where a person has to decide something first.
const DECLINED: u32 = 66;
/// What a script ends with where somebody else's holds the place.
const TAKEN: u32 = 67;
/// What a script ends with where a later holding of the lock has been there.
const OVERTAKEN: u32 = 68;

impl Script {
    /// How it is run on this route.
    pub(crate) fn program<'a>(&self, route: &Route, under: &'a str, arguments: &'a [&'a str], stdin: &'a [u8]) -> Program<'a> {
        let root = if route.is_root() { Root::Already } else { Root::BySudo };
        Program { name: self.name, under, text: self.text, arguments, stdin, root }
    }

    /// What is to stand in front of it under this holding of the lock, where it changes something and there is one.
    pub(crate) fn under(&self, tenure: Option<&Tenure>) -> String {
        let set = |Tenure { lock, epoch }: &Tenure| format!("bldr_lock={}\nbldr_epoch={epoch}\n", shell_words::quote(lock));
        tenure.filter(|_| self.changes).map(set).unwrap_or_default()
    }

    /// Its text, for a node to keep and run by itself.
    pub(crate) fn text(&self) -> &'static str {
        self.text
    }

    /// The frames of its answer.
    ///
    /// # Errors
    /// Where it failed, or sudo did not let it run.
    pub(crate) fn answer(&self, output: &Output, route: &Route) -> Result<Answer, SshError> {
        if output.status != 0 {
            return Err(self.failure(output, route));
        }
        self.frames(&output.stdout)
    }

    fn failure(&self, output: &Output, route: &Route) -> SshError {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
        let clean = |line: &str| line.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
        let no_sudo = output.status == 127 && !route.is_root();
        if let Some(said) = lines().find(|line| line.starts_with("sudo:") || (no_sudo && line.contains("sudo"))) {
            return SshError::Sudo { user: route.user.clone(), said: clean(said) };
        }
        // `is not in the sudoers file` and `is not allowed to execute` begin with the user's name.
        if let Some(said) = lines().find(|line| line.contains("not in the sudoers file") || line.contains("is not allowed to execute")) {
            return SshError::Sudo { user: route.user.clone(), said: clean(said) };
        }
        let own = lines().rev().find_map(|line| line.strip_prefix("bldr: "));
        let said = clean(own.or(lines().next_back()).unwrap_or("it said nothing"));
        match output.status {
            DECLINED => SshError::Declined(said),
            TAKEN => SshError::Taken(said),
            OVERTAKEN => SshError::Overtaken(said),
            exit => SshError::Script { script: self.name, exit, said },
        }
    }

    /// A login shell may print a greeting first; what comes between the marks is ours.
    fn frames(&self, stdout: &[u8]) -> Result<Answer, SshError> {
        let garbled = |what| SshError::Garbled { script: self.name, what };
        let (mut rest, mut begun) = (stdout, false);
        let (mut frames, mut files, mut raw) = (HashMap::new(), HashMap::new(), Vec::new());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&rest[..end]);
            rest = &rest[end + 1..];
            match line.as_ref() {
                line if !begun => begun = line == "bldr-answer",
                "bldr-end" => return Ok(Answer { script: self.name, frames, files }),
                "bldr-raw" => {
                    for (name, size) in raw.drain(..) {
                        let (file, more) = rest.split_at_checked(size).ok_or_else(|| garbled("a file in it is cut short"))?;
                        files.insert(name, file.to_vec());
                        rest = more;
                    }
                    if !rest.starts_with(b"bldr-end\n") {
                        return Err(garbled("a file in it was written to while it was sent"));
                    }
                }
                line => {
                    let (name, value) = line.split_once(' ').ok_or_else(|| garbled("a line of it is no frame"))?;
                    match value.strip_prefix("raw ") {
                        None => drop(frames.insert(name.to_owned(), value.to_owned())),
                        Some(size) => {
                            let size = size.parse::<usize>().map_err(|_| garbled("the size of a file in it is no number"))?;
                            raw.push((name.to_owned(), size));
                        }
                    }
                }
            }
        }
        Err(garbled(if begun { "it has no end" } else { "it has no beginning" }))
    }
}

/// What a script said, by name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    script: &'static str,
    frames: HashMap<String, String>,
    /// What was sent as it is.
    files: HashMap<String, Vec<u8>>,
}

impl Answer {
    /// A bare word.
    pub(crate) fn word(&self, name: &str) -> Option<&str> {
        self.frames.get(name).map(String::as_str)
    }

    /// A word that has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, SshError> {
        self.word(name).ok_or_else(|| self.garbled("a part of it is missing"))
    }

    /// A content that was sent as it is, as `is BASE64`, or as `says TEXT` where it is one line; `None` where it is `absent`.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, SshError> {
        if let Some(file) = self.files.get(name) {
            return Ok(Some(file.clone()));
        }
        match self.required(name)? {
            "absent" => Ok(None),
            value if value.starts_with("says ") => Ok(value.strip_prefix("says ").map(|text| format!("{text}\n").into_bytes())),
            value => {
                let encoded = value.strip_prefix("is").ok_or_else(|| self.garbled("a part of it is no content"))?;
                BASE64_STANDARD.decode(encoded.trim()).map(Some).map_err(|_| self.garbled("a part of it is no base64"))
            }
        }
    }

    /// Such a content, which has to be text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, SshError> {
        self.bytes(name)?.map(|bytes| String::from_utf8(bytes).map_err(|_| self.garbled("a file is no UTF-8"))).transpose()
    }

    pub(crate) fn garbled(&self, what: &'static str) -> SshError {
        SshError::Garbled { script: self.script, what }
    }
}
