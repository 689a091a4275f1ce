//! Is a master fit to take over? What its machine said of it, as a line a check.
//!
//! Nothing here is measured by bldr itself: a check says what was found, whether that will do, and what to do where it will not.

mod visit;

use crate::fleet::{InstanceState, Timestamp};
use serde::Serialize;
pub use visit::visit;

/// What a master's machine has to work with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workplace {
    /// Its clock.
    pub now: Timestamp,
    /// How many threads its salt-master answers minions with (`worker_threads`).
    pub threads: u64,
    /// How many processors it has.
    pub processors: u64,
    /// The file systems that its files, states and caches are on.
    pub disks: Vec<Disk>,
    /// The folders that states are looked for in (`file_roots`, of all environments).
    pub roots: Vec<Root>,
    /// For each repository that was asked about, in that order, why it cannot be read, as half a sentence; `None` where it can.
    pub repositories: Vec<Option<String>>,
    /// What came of rendering the pillar of a minion.
    pub pillar: Pillar,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// How much is free, in KiB.
    pub free_kib: u64,
    /// How much is used, of a hundred.
    pub used_percent: u64,
}

/// A folder of `file_roots`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its path.
    pub path: String,
    /// What is in it.
    pub content: Content,
}

/// What is in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Files.
    Files,
    /// No file.
    Nothing,
    /// There is no such folder.
    Missing,
}

/// What came of rendering a pillar. Never what is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pillar {
    /// There is no minion to render it for.
    #[default]
    Unasked,
    /// It renders.
    Rendered,
    /// It renders, with errors.
    Errors,
    /// Salt could not say.
    Failed,
}

/// What can be said of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It will do.
    Ok,
    /// It may not do for long, or not for all.
    Warning,
    /// It will not do.
    No,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub about: String,
    /// Whether it will do.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; nothing where it will do.
    pub advice: Option<String>,
}

impl Check {
    fn ok(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { about: about.into(), verdict: Verdict::Ok, found: found.into(), advice: None }
    }
    fn warning(about: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about: about.into(), verdict: Verdict::Warning, found: found.into(), advice: Some(advice.into()) }
    }
    fn no(about: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::No, ..Self::warning(about, found, advice) }
    }
    /// The machine itself, which nothing can be asked of where it does not run.
    pub fn machine(state: Option<InstanceState>, stack: &str) -> Self {
        match state {
            Some(InstanceState::Running) => Self::ok("machine", "it runs"),
            Some(state) => Self::no("machine", format!("it is {state}"), format!("`bldr start:{stack}` starts it")),
            None => Self::no("machine", "there is none", format!("`bldr stacks` lists what there is; is {stack} in this region?")),
        }
    }
}

/// How much slower or faster than ours a clock may go before session keys and certificates suffer, in seconds.
const SKEW: u64 = 60;
/// A checkout of every formula and a cache of every minion's job take hundreds of MiB.
const LITTLE_KIB: u64 = 2 << 20;
const TOO_LITTLE_KIB: u64 = 256 << 10;
const NEARLY_FULL: u64 = 90;
/// How many minions one thread answers without keeping them waiting: a thousand with Salt's five.
const MINIONS_A_THREAD: u64 = 200;

impl Workplace {
    /// A line for each thing that was looked at: `repositories` names those that were asked about, in order; `minions` is how many
    /// nodes the fleet has; `now` is our own clock; `sample` is whose pillar was rendered.
    pub fn checks(&self, repositories: &[String], minions: u64, now: Timestamp, sample: Option<&str>) -> Vec<Check> {
        let mut checks: Vec<Check> =
            repositories.iter().zip(&self.repositories).map(|(url, why)| repository(url, why.as_deref())).collect();
        checks.push(self.files());
        checks.push(self.pillar_of(sample));
        checks.extend(self.disks.iter().map(disk));
        checks.push(self.clock(now));
        checks.push(self.threads_for(minions));
        checks
    }

    fn files(&self) -> Check {
        const ABOUT: &str = "file_roots";
        let advice = "`file_roots` in /etc/salt/master names the folders of the formulas";
        let paths =
            |content| self.roots.iter().filter(move |root| root.content == content).map(|root| root.path.as_str()).collect::<Vec<_>>();
        let (full, bare) = (paths(Content::Files), [paths(Content::Nothing), paths(Content::Missing)].concat());
        match (full.len(), bare.len()) {
            (0, 0) => Check::no(ABOUT, "its salt-master could not say", "does `salt-run config.get file_roots` work on it?"),
            (0, _) => Check::no(ABOUT, format!("there is no file in {}", bare.join(", ")), advice),
            (files, 0) => Check::ok(ABOUT, format!("{files} {} with files", if files == 1 { "folder" } else { "folders" })),
            (..) => Check::warning(ABOUT, format!("there is no file in {}", bare.join(", ")), advice),
        }
    }

    fn pillar_of(&self, sample: Option<&str>) -> Check {
        let about = "pillar";
        let of = sample.unwrap_or("a minion");
        let see = format!("`salt-run pillar.show_pillar {of}` on it shows them, and secrets");
        match self.pillar {
            Pillar::Rendered => Check::ok(about, format!("that of {of} renders")),
            Pillar::Errors => Check::no(about, format!("that of {of} has errors"), see),
            Pillar::Failed => {
                Check::no(about, format!("that of {of} cannot be rendered"), "does `salt-run pillar.show_pillar` work on it?")
            }
            Pillar::Unasked => Check::warning(
                about,
                "no minion of the fleet has come here yet, so there is none to render one for",
                "look again once one has",
            ),
        }
    }

    fn clock(&self, now: Timestamp) -> Check {
        let skew = self.now.0.abs_diff(now.0) / 1000;
        let found = || format!("it is {skew} s {} ours", if self.now < now { "behind" } else { "ahead of" });
        if skew <= SKEW {
            Check::ok("clock", "as ours")
        } else {
            Check::warning("clock", found(), "does a time service run on it, and here?")
        }
    }

    fn threads_for(&self, minions: u64) -> Check {
        let (threads, processors) = (self.threads, self.processors);
        let found = format!("worker_threads {threads} on {processors} processors for {minions} minions");
        let needed = minions.div_ceil(MINIONS_A_THREAD);
        match threads {
            _ if threads < needed => Check::warning("threads", found, format!("`worker_threads: {needed}` or more in /etc/salt/master")),
            _ if threads < 3 => Check::warning("threads", found, "Salt wants three at least: `worker_threads: 3` in /etc/salt/master"),
            _ => Check::ok("threads", found),
        }
    }
}

fn disk(disk: &Disk) -> Check {
    let about = format!("disk {}", disk.mount);
    let found = format!("{} MiB free, {} % used", disk.free_kib >> 10, disk.used_percent);
    let advice = "old jobs and packages take the most: /var/cache/salt, /var/log, /var/cache/apt";
    match disk.free_kib {
        free if free < TOO_LITTLE_KIB => Check::no(about, found, advice),
        free if free < LITTLE_KIB || disk.used_percent >= NEARLY_FULL => Check::warning(about, found, advice),
        _ => Check::ok(about, found),
    }
}

fn repository(url: &str, why: Option<&str>) -> Check {
    let about = format!("repository {}", without_secrets(url));
    let Some(why) = why else { return Check::ok(about, "it can be read") };
    let why = without_secrets(why);
    let advice = if why.contains("Host key verification failed") {
        "its host key has to be in /root/.ssh/known_hosts on the master"
    } else if why.contains("ermission denied") || why.contains("Could not read from remote") {
        "the master's /root/.ssh/id_rsa.pub has to be a deploy key of it"
    } else {
        "`git ls-remote` as root on the master tells more"
    };
    Check::no(about, why, advice)
}

/// A text without what stands between `://` and `@`: a token, or a name and a password.
pub fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(|c: char| c == '/' || c == '\'' || c == '"' || c.is_whitespace()).unwrap_or(after.len());
        let host = after[..end].rfind('@').map_or(0, |at| at + 1);
        shown.push_str(&after[host..end]);
        rest = &after[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Workplace {
        Workplace {
            now: Timestamp(1_000_000),
            threads: 5,
            processors: 2,
            disks: vec![Disk { mount: "/".into(), free_kib: 20 << 20, used_percent: 30 }],
            roots: vec![Root { path: "/srv/salt".into(), content: Content::Files }],
            repositories: vec![None],
            pillar: Pillar::Rendered,
        }
    }

    fn lines(workplace: &Workplace, minions: u64) -> Vec<(String, Verdict, String)> {
        let checks = workplace.checks(&["git@code.test:ops/pillar".into()], minions, Timestamp(1_000_000), Some("harbor--ci--1"));
        assert!(checks.iter().all(|check| check.advice.is_none() == (check.verdict == Verdict::Ok)), "{checks:?}");
        checks.into_iter().map(|check| (check.about, check.verdict, check.found)).collect()
    }

    fn one(workplace: &Workplace, about: &str) -> (Verdict, String) {
        let line = lines(workplace, 900).into_iter().find(|line| line.0 == about).unwrap();
        (line.1, line.2)
    }

    #[test]
    fn a_healthy_master_is_ok_in_every_line() {
        let lines = lines(&healthy(), 900);
        assert!(lines.iter().all(|line| line.1 == Verdict::Ok), "{lines:?}");
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn a_repository_that_cannot_be_read_says_why_and_what_to_do() {
        let said = "fatal: unable to access 'https://bot:tok3n@code.test/x/': Could not resolve host";
        let mut sick = healthy();
        sick.repositories = vec![Some(said.into())];
        let checks = sick.checks(&["https://bot:tok3n@code.test/x".into()], 1, Timestamp(0), None);
        let text = format!("{:?}", checks[0]);
        assert!(checks[0].verdict == Verdict::No && !text.contains("tok3n") && text.contains("https://code.test/x"), "{text}");
        sick.repositories = vec![Some("git@code.test: Permission denied (publickey).".into())];
        let checks = sick.checks(&["git@code.test:ops/pillar".into()], 1, Timestamp(0), None);
        assert_eq!(checks[0].advice.as_deref(), Some("the master's /root/.ssh/id_rsa.pub has to be a deploy key of it"));
    }

    #[test]
    fn what_is_short_is_a_warning_and_what_is_gone_is_a_no() {
        let mut sick = healthy();
        sick.disks[0].free_kib = 1 << 20;
        assert_eq!(one(&sick, "disk /"), (Verdict::Warning, "1024 MiB free, 30 % used".into()));
        sick.disks[0].free_kib = 100 << 10;
        assert_eq!(one(&sick, "disk /").0, Verdict::No);
        sick.roots[0].content = Content::Nothing;
        assert_eq!(one(&sick, "file_roots"), (Verdict::No, "there is no file in /srv/salt".into()));
        sick.roots.push(Root { path: "/opt/formulas/x".into(), content: Content::Files });
        assert_eq!(one(&sick, "file_roots").0, Verdict::Warning);
        sick.roots.clear();
        assert_eq!(one(&sick, "file_roots").0, Verdict::No);
        sick.pillar = Pillar::Errors;
        assert_eq!(one(&sick, "pillar"), (Verdict::No, "that of harbor--ci--1 has errors".into()));
        sick.now = Timestamp(1_000_000 - 200_000);
        assert_eq!(one(&sick, "clock"), (Verdict::Warning, "it is 200 s behind ours".into()));
    }

    #[test]
    fn threads_are_counted_against_minions() {
        let verdict = |threads, minions| {
            let workplace = Workplace { threads, ..healthy() };
            lines(&workplace, minions).into_iter().find(|line| line.0 == "threads").unwrap().1
        };
        assert_eq!((verdict(5, 1000), verdict(5, 1001), verdict(2, 10)), (Verdict::Ok, Verdict::Warning, Verdict::Warning));
    }
}
