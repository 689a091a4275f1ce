//! What has the team settled once for all? `settings.yaml`, checked in full before anything is done with it.

use crate::{exit::Exit, kept::Kept, nearest::did_you_mean, window::Window};
use bldr_core::{
    name::{ProjectName, StackName},
    pace::MaxFailures,
    plan::Stopped,
    ports::HighstateMode,
    stage::Stage,
    survey::{AddressPolicy, Prefer},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The file's name, in the home folder.
pub const FILE: &str = "settings.yaml";

/// Where the fleet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// Made up, in `.bldr/sandbox`.
    Sandbox,
    /// On AWS.
    Aws,
}

impl Cloud {
    /// Its name in settings and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Aws => "aws",
        }
    }
}

/// The users bldr connects as.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Users {
    /// On a machine that no highstate has run on yet.
    pub bootstrap: String,
    /// On every other.
    pub deploy: String,
}

impl Default for Users {
    fn default() -> Self {
        Self { bootstrap: "ubuntu".into(), deploy: "elife".into() }
    }
}

/// What a re-mastering of everything leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ignore {
    /// These projects.
    pub projects: BTreeSet<ProjectName>,
    /// These stacks.
    pub stacks: BTreeSet<StackName>,
}

/// What speaks SSH.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// bldr itself.
    #[default]
    Thrussh,
    /// The `ssh` of this machine.
    System,
}

/// How nodes are connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ssh {
    /// What speaks SSH.
    pub transport: Transport,
    /// Which address of a node to connect to.
    pub address: Prefer,
    /// The same for projects that differ.
    pub addresses: BTreeMap<ProjectName, Prefer>,
    /// A host to go through: `[USER@]HOST[:PORT]`.
    pub bastion: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The file of known host keys; `~/.ssh/known_hosts` where it is absent.
    pub known_hosts: Option<PathBuf>,
    /// Private keys to offer, besides the agent's; `~/.ssh/id_ed25519` and `~/.ssh/id_rsa` where there are none.
    pub identities: Vec<PathBuf>,
    /// The file with host aliases; `~/.ssh/config` where it is absent.
    pub config: Option<PathBuf>,
}

/// How Salt gets onto a machine that lacks it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "install", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Salt {
    /// As Debian packages.
    Apt {
        /// A line of `sources.list`.
        source: String,
        /// The file of the public key that signs it.
        #[serde(default)]
        key: Option<PathBuf>,
    },
    /// As Python packages, into a virtual environment at `/opt/saltstack/salt`.
    Pip {
        /// A folder on the machine, or a page, that has them; the index that pip is set up for where it is absent.
        #[serde(default)]
        packages: Option<String>,
    },
    /// By a program of one's own.
    Script {
        /// Its file, here.
        script: PathBuf,
    },
}

/// Everything in the file. All paths are as written: relative to the home folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where the fleet is.
    pub cloud: Cloud,
    /// AWS's region; AWS's own conventions decide where it is absent.
    #[serde(default)]
    pub region: Option<String>,
    /// The project files, in order.
    #[serde(default)]
    pub project_files: Vec<PathBuf>,
    /// The contexts. Where they are in S3, so is what else a team shares: the lock, the runs, the memories.
    #[serde(default = "contexts")]
    pub contexts: Kept,
    /// The key pairs.
    #[serde(default = "keypairs")]
    pub keypairs: Kept,
    /// Whom to connect as.
    #[serde(default)]
    pub users: Users,
    /// The master that is preferred whatever the order says.
    #[serde(default)]
    pub master: Option<StackName>,
    /// What to leave out.
    #[serde(default, deserialize_with = "ignore")]
    pub ignore: Ignore,
    /// How nodes are connected to.
    #[serde(default, deserialize_with = "ssh")]
    pub ssh: Ssh,
    /// How many projects are worked on side by side.
    #[serde(default = "jobs")]
    pub jobs: u32,
    /// The stack that goes before all others when everything is re-mastered.
    #[serde(default)]
    pub canary: Option<StackName>,
    /// How many stacks of such a run may fail before no more are begun.
    #[serde(default, deserialize_with = "typed")]
    pub max_failures: Option<MaxFailures>,
    /// The stage that such a run asks before.
    #[serde(default)]
    pub pause_before: Option<Stage>,
    /// The times of the day at which such a run may begin stacks.
    #[serde(default, deserialize_with = "typed")]
    pub window: Option<Window>,
    /// What to do with stopped nodes.
    #[serde(default)]
    pub stopped: Stopped,
    /// What to do about the highstate.
    #[serde(default)]
    pub highstate: HighstateMode,
    /// How many minutes a highstate may take on one node.
    #[serde(default = "highstate_timeout")]
    pub highstate_timeout: u32,
    /// How Salt is installed; nothing installs it where this is absent.
    #[serde(default)]
    pub salt: Option<Salt>,
    /// The file of the host keys of git hosts, as `known_hosts` has them; GitHub's where it is absent.
    #[serde(default)]
    pub git_hosts: Option<PathBuf>,
    /// Of a hundred keys that a master holds, the most that `master.update` removes without a question.
    #[serde(default = "orphans")]
    pub orphans: u32,
}

/// `ssh: system` is short for `ssh: {transport: system}`.
fn ssh<'de, D: Deserializer<'de>>(settings: D) -> Result<Ssh, D::Error> {
    struct WordOrMap;
    impl<'de> Visitor<'de> for WordOrMap {
        type Value = Ssh;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`thrussh`, `system`, or a map")
        }
        fn visit_str<E: de::Error>(self, word: &str) -> Result<Ssh, E> {
            let transport = Transport::deserialize(word.into_deserializer())?;
            Ok(Ssh { transport, ..Ssh::default() })
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ssh, A::Error> {
            Ssh::deserialize(MapAccessDeserializer::new(map))
        }
    }
    settings.deserialize_any(WordOrMap)
}

/// A list is short for both lists of the map: stacks are told by their `--`.
fn ignore<'de, D: Deserializer<'de>>(settings: D) -> Result<Ignore, D::Error> {
    struct ListOrMap;
    impl<'de> Visitor<'de> for ListOrMap {
        type Value = Ignore;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of projects and stacks, or a map")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Ignore, A::Error> {
            let mut ignore = Ignore::default();
            while let Some(name) = names.next_element::<String>()? {
                if name.contains("--") {
                    ignore.stacks.insert(name.parse().map_err(de::Error::custom)?);
                } else {
                    ignore.projects.insert(name.parse().map_err(de::Error::custom)?);
                }
            }
            Ok(ignore)
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ignore, A::Error> {
            Ignore::deserialize(MapAccessDeserializer::new(map))
        }
    }
    settings.deserialize_any(ListOrMap)
}

/// What is written as on the command line; a number may be written as such.
fn typed<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(settings: D) -> Result<Option<T>, D::Error> {
    struct Typed<T>(PhantomData<T>);
    impl<T: FromStr<Err = String>> Visitor<'_> for Typed<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number or a text")
        }
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
        // Here, and not in `TryFrom`, so that the line is known.
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    settings.deserialize_any(Typed(PhantomData)).map(Some)
}

fn contexts() -> Kept {
    Kept::Folder(".cfn/contexts".into())
}
fn keypairs() -> Kept {
    Kept::Folder(".cfn/keypairs".into())
}
fn jobs() -> u32 {
    8
}
fn highstate_timeout() -> u32 {
    15
}

fn orphans() -> u32 {
    20
}

impl Settings {
    /// What holds without a file: the sandbox.
    pub fn of_the_sandbox() -> Self {
        Self {
            cloud: Cloud::Sandbox,
            region: None,
            project_files: Vec::new(),
            contexts: contexts(),
            keypairs: keypairs(),
            users: Users::default(),
            master: None,
            ignore: Ignore::default(),
            ssh: Ssh::default(),
            jobs: jobs(),
            canary: None,
            max_failures: None,
            pause_before: None,
            window: None,
            stopped: Stopped::default(),
            highstate: HighstateMode::default(),
            highstate_timeout: highstate_timeout(),
            salt: None,
            git_hosts: None,
            orphans: orphans(),
        }
    }

    /// Reads the home folder's settings; `None` where there is no such file.
    ///
    /// # Errors
    /// A usage error with file, line and what is wrong.
    pub fn read(home: &Path) -> Result<Option<Self>, Exit> {
        let path = home.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path.display().to_string(), &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Exit::usage(format!("{}: {error}", path.display()))),
        }
    }

    /// Reads the text of the file, known to the operator by that name.
    ///
    /// # Errors
    /// A usage error with file, line and what is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, Exit> {
        let empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if empty {
            return Err(Exit::usage(format!("{file}: it says nothing\nwrite `cloud: sandbox` or `cloud: aws`, or remove the file")));
        }
        let settings: Self = serde_yaml::from_str(text).map_err(|error| Exit::usage(problem(file, &error)))?;
        let wrong = |key: &str, what: &str| {
            let line = text.lines().position(|line| line.starts_with(&format!("{key}:"))).map_or(1, |at| at + 1);
            Err(Exit::usage(format!("{file}:{line}: {key}: {what}")))
        };
        for (key, kept) in [("contexts", &settings.contexts), ("keypairs", &settings.keypairs)] {
            if let Some(problem) = kept.problem() {
                return wrong(key, &problem);
            }
        }
        if settings.cloud == Cloud::Sandbox && matches!(settings.keypairs, Kept::Bucket { .. }) {
            return wrong("keypairs", "a sandbox has no buckets\nuse a folder, like .cfn/keypairs");
        }
        for (key, number) in [("jobs", settings.jobs), ("highstate-timeout", settings.highstate_timeout)] {
            if number == 0 {
                return wrong(key, "has to be 1 or more");
            }
        }
        if settings.pause_before == Some(Stage::AdHoc) {
            return wrong("pause-before", "nothing comes before ad-hoc stacks: it is one of continuumtest, ci, end2end and prod");
        }
        if settings.orphans > 100 {
            return wrong("orphans", "is a share of a hundred: 0 to 100");
        }
        if settings.master.as_ref().is_some_and(|master| !master.is_master()) {
            return wrong("master", "is not a master: masters are the stacks of the project 'master-server'");
        }
        if settings.cloud == Cloud::Aws && settings.project_files.is_empty() {
            return wrong("project-files", "has to name at least one project file where `cloud: aws`");
        }
        Ok(settings)
    }

    /// The keys that were set and mean nothing here: a sandbox brings its own project file, contexts and region.
    pub fn unused(&self) -> Vec<&'static str> {
        let sandbox = self.cloud == Cloud::Sandbox;
        let set = [
            ("region", self.region.is_some()),
            ("project-files", !self.project_files.is_empty()),
            ("contexts", self.contexts != contexts()),
        ];
        set.into_iter().filter(|(_, set)| sandbox && *set).map(|(key, _)| key).collect()
    }

    /// Which address of a node to connect to.
    pub fn addresses(&self) -> AddressPolicy {
        AddressPolicy { default: self.ssh.address, projects: self.ssh.addresses.clone() }
    }
}

/// File, line, what is wrong, and which key was probably meant.
fn problem(file: &str, error: &serde_yaml::Error) -> String {
    let line = error.location().map(|at| format!(":{}", at.line())).unwrap_or_default();
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    // serde names the unknown word first and then the known ones, each in backticks.
    let words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let guess = match words.split_first() {
        Some((word, known)) if text.contains("unknown ") => did_you_mean(word, known.iter().copied()),
        _ => String::new(),
    };
    let text = if guess.is_empty() { text } else { text.split(", expected ").next().unwrap_or(text) };
    format!("{file}{line}: {text}{guess}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(text: &str) -> String {
        Settings::parse("settings.yaml", text).unwrap_err().message
    }

    #[test]
    fn one_line_is_enough() {
        assert_eq!(Settings::parse("settings.yaml", "cloud: sandbox\n"), Ok(Settings::of_the_sandbox()));
    }

    #[test]
    fn the_short_forms_say_what_the_long_ones_say() {
        let read = |text: &str| Settings::parse("settings.yaml", text).unwrap();
        assert_eq!(read("cloud: sandbox\nssh: system\n"), read("cloud: sandbox\nssh: {transport: system}\n"));
        assert_eq!(
            read("cloud: sandbox\nignore: [legacy, harbor--demo]\n"),
            read("cloud: sandbox\nignore: {projects: [legacy], stacks: [harbor--demo]}\n")
        );
    }

    #[test]
    fn where_a_run_stops_by_itself_can_be_settled_once() {
        let text = "cloud: sandbox\ncanary: harbor--ci\nmax-failures: 5%\npause-before: prod\nwindow: 22:00-05:00\n";
        let settings = Settings::parse("settings.yaml", text).unwrap();
        assert_eq!((settings.max_failures, settings.pause_before), (Some(MaxFailures::Percent(5)), Some(Stage::Prod)));
        assert_eq!(settings.window.map(|window| window.to_string()).as_deref(), Some("22:00-05:00"));
        assert_eq!(Settings::parse("settings.yaml", "cloud: sandbox\nmax-failures: 3").unwrap().max_failures, Some(MaxFailures::Count(3)));
        insta::assert_snapshot!(problem_of("cloud: sandbox\nmax-failures: many\n"), @"settings.yaml:2: max-failures: 'many' is neither a number of stacks, as 3, nor a part of them, as 10%");
        insta::assert_snapshot!(problem_of("cloud: sandbox\npause-before: ad-hoc\n"), @"settings.yaml:2: pause-before: nothing comes before ad-hoc stacks: it is one of continuumtest, ci, end2end and prod");
        insta::assert_snapshot!(problem_of("cloud: sandbox\nwindow: 22-5\n"), @"settings.yaml:2: window: '22-5' is no window: two times of the day, as in 22:00-05:00");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
        insta::assert_snapshot!(problem_of("cloud: sandbox\njbos: 4\n"), @"settings.yaml:2: unknown field `jbos`; did you mean 'jobs'?");
        insta::assert_snapshot!(problem_of("cloud: sandbox\nssh:\n  transprt: system\n"), @"settings.yaml:3: ssh: unknown field `transprt`; did you mean 'transport'?");
        insta::assert_snapshot!(problem_of("cloud: aws\nstopped: start-stop\n"), @"settings.yaml:2: stopped: unknown variant `start-stop`; did you mean 'start-and-stop'?");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        insta::assert_snapshot!(problem_of("cloud: sandbox\njobs: 0\n"), @"settings.yaml:2: jobs: has to be 1 or more");
        insta::assert_snapshot!(problem_of("cloud: aws\nproject-files: [a.yaml]\ncontexts: s3://our-fleet\n"), @r"
        settings.yaml:3: contexts: 's3://our-fleet' names no folder in the bucket
        write s3://BUCKET/FOLDER, like s3://our-fleet/contexts
        ");
        insta::assert_snapshot!(problem_of("cloud: sandbox\nkeypairs: s3://our-fleet/keypairs\n"), @r"
        settings.yaml:2: keypairs: a sandbox has no buckets
        use a folder, like .cfn/keypairs
        ");
        insta::assert_snapshot!(problem_of("cloud: sandbox\nmaster: harbor--ci\n"), @"settings.yaml:2: master: is not a master: masters are the stacks of the project 'master-server'");
        insta::assert_snapshot!(problem_of("cloud: aws\n"), @"settings.yaml:1: project-files: has to name at least one project file where `cloud: aws`");
        insta::assert_snapshot!(problem_of("# nothing\n\n"), @r"
        settings.yaml: it says nothing
        write `cloud: sandbox` or `cloud: aws`, or remove the file
        ");
        insta::assert_snapshot!(problem_of("jobs: 4\n"), @"settings.yaml:1: missing field `cloud`");
        insta::assert_snapshot!(problem_of("cloud: [\n"), @"settings.yaml:1: cloud: invalid type: sequence, expected a YAML tag starting with '!'");
    }
}
