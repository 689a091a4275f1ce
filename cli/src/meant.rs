//! What was meant? The words of a command line as a request, checked before anything is looked at.

use crate::{
    args::Given,
    exit::Exit,
    request::{
        BuildVarsTask, Command, ContextTask, Download, Fleet, How, Keys, KeysTask, Launch, LockTask, Remaster, Request, Retire, Rollback,
        RunTask, SandboxTask, Share, Ssh, Status, Stops, Switch, SwitchTo, Update, UpdateMaster, Upload, User, Which,
    },
    screen::Format,
    tasks::{Positional, Task},
    terminal::Terminal,
};
use bldr_core::{
    address::MasterAddress,
    name::{InstanceId, NameError, ProjectName, StackName},
    plan::{Patience, Scope, Unproven},
    update::Mode,
};
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error};
use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

/// For how many days a master has to have been stopped before it is terminated, unless somebody says otherwise.
pub const GRACE_DAYS: u64 = 7;

/// For whom results are.
///
/// # Errors
/// None: the value was checked when the line was parsed.
pub fn format(given: &Given) -> Format {
    if given.option("output") == Some("json") { Format::Json } else { Format::Text }
}

/// Understands what was given. Asks for required arguments that are missing.
///
/// # Errors
/// Missing arguments where there is nobody to ask, and names and addresses that are none.
pub fn meant(given: &Given, terminal: &mut Terminal) -> Result<Request, Exit> {
    let mut words = Words { given, terminal };
    Ok(match given.task.name {
        "stacks" => Request::Stacks,
        "master.list" => Request::Masters,
        "master.status" => Request::Status(Status { stack: words.name(words.optional(0))?, master: words.name(words.option("master"))? }),
        "master.share" => Request::Share(Share { master: words.required(0)?, address: words.address()?, commit: given.flag("commit") }),
        "master.remaster" => {
            let scope = Scope::One(words.required(0)?);
            Request::Remaster(words.remaster(scope, 1)?)
        }
        "master.remaster_all" => Request::Remaster(words.remaster(Scope::Fleet, 0)?),
        "master.doctor" => Request::Doctor(words.name(words.optional(0))?),
        "master.retire" => Request::Retire(Retire {
            master: words.required(0)?,
            terminate: given.flag("terminate"),
            grace: words.count("grace").unwrap_or(GRACE_DAYS),
        }),
        "launch" => {
            let (project, instance): (ProjectName, InstanceId) = (words.required(0)?, words.required(1)?);
            let stack = StackName::new(&project, &instance).map_err(|error| Exit::usage(error.to_string()))?;
            Request::Launch(Launch { stack, alternate: words.optional(2), plan_only: given.flag("plan") })
        }
        "update" => Request::Update(Update {
            stack: words.required(0)?,
            mode: words.mode(),
            concurrency: words.choice("concurrency").unwrap_or_default(),
            autostart: given.flag("autostart"),
        }),
        "master.update" => Request::UpdateMaster(UpdateMaster {
            master: words.name(words.optional(0))?,
            mode: words.mode(),
            autostart: given.flag("autostart"),
            yes: given.flag("yes"),
        }),
        "destroy" => Request::Destroy(words.required(0)?),
        "keys.list" => Request::Keys(Keys { task: KeysTask::List, master: words.name(words.optional(0))? }),
        "keys.orphans" => Request::Keys(Keys { task: KeysTask::Orphans, master: words.name(words.optional(0))? }),
        "keys.restore" => {
            let task = KeysTask::Restore(words.required(0)?);
            Request::Keys(Keys { task, master: words.name(words.optional(1))? })
        }
        "download_file" => Request::Download(Download {
            which: words.which(0)?,
            path: words.required(1)?,
            to: words.optional(2).unwrap_or_else(|| ".".into()).into(),
            allow_missing: given.flag("allow-missing"),
            user: words.user(),
        }),
        "upload_file" => Request::Upload(Upload {
            which: words.which(0)?,
            file: words.required::<PathBuf>(1)?,
            path: words.required(2)?,
            overwrite: given.flag("overwrite"),
            user: words.user(),
        }),
        "cmd" => Request::Command(Command {
            which: words.which(0)?,
            command: words.required(1)?,
            concurrency: words.choice("concurrency").unwrap_or_default(),
            user: words.user(),
        }),
        "ssh" => {
            let which = Which { stack: words.required(0)?, number: words.number(words.optional(1), "NODE")? };
            Request::Ssh(Ssh { which, user: words.user() })
        }
        "start" => Request::Switch(Switch { which: words.which(0)?, to: SwitchTo::On }),
        "stop" => Request::Switch(Switch { which: words.which(0)?, to: SwitchTo::Off }),
        "runs" => Request::Run(RunTask::List { all: given.flag("all") }),
        "run.show" => Request::Run(RunTask::Show { run: words.required(0)?, stack: words.name(words.optional(1))? }),
        "run.watch" => Request::Run(RunTask::Watch(words.required(0)?)),
        "run.report" => {
            let (run, to) = (words.required(0)?, words.optional(1).unwrap_or_else(|| ".".into()).into());
            Request::Run(RunTask::Report { run, to })
        }
        "run.resume" => Request::Resume(words.required(0)?),
        "master.rollback" => {
            let (run, stack) = (words.required(0)?, words.name(words.optional(1))?);
            Request::Rollback(Rollback { run, stack, how: words.how_to_remaster()? })
        }
        "buildvars.read" => Request::BuildVars(words.required(0)?, BuildVarsTask::Read),
        "buildvars.valid" => Request::BuildVars(words.required(0)?, BuildVarsTask::Valid),
        "buildvars.refresh" => Request::BuildVars(words.required(0)?, BuildVarsTask::Refresh),
        "buildvars.fix" => Request::BuildVars(words.required(0)?, BuildVarsTask::Fix),
        "context.show" => Request::Context(words.required(0)?, ContextTask::Show),
        "context.history" => Request::Context(words.required(0)?, ContextTask::History),
        "context.diff" => Request::Context(words.required(0)?, ContextTask::Diff(words.optional(1))),
        "context.restore" => {
            let stack = words.required(0)?;
            Request::Context(stack, ContextTask::Restore(words.required(1)?))
        }
        "lock.status" => Request::Lock(LockTask::Status),
        "lock.break" => Request::Lock(LockTask::Break(words.required(0)?)),
        "sandbox.create" => Request::Sandbox(SandboxTask::Create(words.fleet()?)),
        "sandbox.show" => Request::Sandbox(SandboxTask::Show),
        "sandbox.reset" => Request::Sandbox(SandboxTask::Reset),
        "sandbox.deploy_key" => Request::Sandbox(SandboxTask::DeployKey(words.required(0)?)),
        _ => Request::Tasks,
    })
}

struct Words<'a> {
    given: &'a Given,
    terminal: &'a mut Terminal,
}

impl Words<'_> {
    fn optional(&self, at: usize) -> Option<String> {
        self.given.positionals.get(at).cloned().flatten()
    }

    fn option(&self, name: &str) -> Option<String> {
        self.given.option(name).map(Into::into)
    }

    fn name(&self, word: Option<String>) -> Result<Option<StackName>, Exit> {
        word.map(|word| word.parse().map_err(|error: NameError| Exit::usage(error.to_string()))).transpose()
    }

    fn required<T: FromStr>(&mut self, at: usize) -> Result<T, Exit>
    where
        T::Err: Display,
    {
        let task = self.given.task;
        let positional = task.positionals.get(at);
        let asked =
            |terminal: &mut Terminal| positional.and_then(|p| terminal.ask(&format!("{} ({}, like {})", p.shows, p.about, p.example)));
        let word = self.optional(at).or_else(|| asked(self.terminal)).ok_or_else(|| missing(task, self.given))?;
        word.parse().map_err(|error: T::Err| Exit::usage(error.to_string()))
    }

    fn which(&mut self, at: usize) -> Result<Which, Exit> {
        Ok(Which { stack: self.required(at)?, number: self.number(self.option("node"), "node")? })
    }

    fn number(&self, word: Option<String>, of: &str) -> Result<Option<u64>, Exit> {
        let number = |word: String| word.parse().map_err(|_| Exit::usage(format!("{of}: '{word}' is no node's number (1, 2, …)")));
        word.map(number).transpose()
    }

    fn user(&self) -> User {
        if self.given.flag("use-bootstrap-user") { User::Bootstrap } else { User::Deploy }
    }

    fn mode(&self) -> Mode {
        if self.given.flag("dry-run") { Mode::DryRun } else { Mode::Apply }
    }

    fn count(&self, option: &str) -> Option<u64> {
        self.given.option(option).and_then(|count| count.parse().ok())
    }

    fn address(&self) -> Result<Option<MasterAddress>, Exit> {
        let parse = |text: &str| text.parse().map_err(|error| Exit::usage(format!("address: {error}")));
        self.given.option("address").map(parse).transpose()
    }

    fn remaster(&mut self, scope: Scope, master_at: usize) -> Result<Remaster, Exit> {
        Ok(Remaster {
            scope,
            master: self.required(master_at)?,
            address: self.address()?,
            limit: self.parsed("limit")?,
            how: self.how_to_remaster()?,
        })
    }

    fn how_to_remaster(&self) -> Result<How, Exit> {
        Ok(How {
            stopped: self.choice("stopped"),
            highstate: self.choice("highstate"),
            jobs: self.given.option("jobs").and_then(|jobs| jobs.parse().ok()),
            stops: Stops {
                canary: self.stop("canary")?,
                max_failures: self.stop("max-failures")?,
                pause_before: match self.given.option("pause-before") {
                    Some("none") => Some(None),
                    _ => self.choice("pause-before").map(Some),
                },
                window: self.stop("window")?,
            },
            rehearse: self.given.flag("rehearse"),
            unproven: match self.given.option("revert").is_none() || self.given.flag("revert") {
                true => Unproven::Revert,
                false => Unproven::Leave,
            },
            patience: Patience {
                join: self.seconds("join-timeout").unwrap_or(Patience::default().join),
                watchdog: self.seconds("watchdog"),
            },
            allow_unshared: self.given.flag("allow-unshared"),
            plan_only: self.given.flag("plan"),
        })
    }

    fn parsed<T: FromStr<Err: Display>>(&self, option: &str) -> Result<Option<T>, Exit> {
        let parse = |text: &str| text.parse().map_err(|error| Exit::usage(format!("{option}: {error}")));
        self.given.option(option).map(parse).transpose()
    }

    /// The same of something that may be `none`.
    fn stop<T: FromStr<Err: Display>>(&self, option: &str) -> Result<Option<Option<T>>, Exit> {
        if self.given.option(option) == Some("none") { Ok(Some(None)) } else { Ok(self.parsed(option)?.map(Some)) }
    }

    fn seconds(&self, option: &str) -> Option<Duration> {
        self.count(option).map(Duration::from_secs)
    }

    /// The words of the table of tasks are the names these types have in settings.yaml as well.
    fn choice<T: DeserializeOwned>(&self, option: &str) -> Option<T> {
        let word = self.given.option(option)?;
        T::deserialize(IntoDeserializer::<Error>::into_deserializer(word)).ok()
    }

    fn fleet(&self) -> Result<Fleet, Exit> {
        let minions = self.count("minions");
        match (self.optional(0), minions) {
            (None, None) => Ok(Fleet::Small),
            (None, Some(minions)) => Ok(Fleet::Minions(minions)),
            (Some(file), None) => Ok(Fleet::File(file.into())),
            (Some(file), Some(_)) => Err(Exit::usage(format!("either the file '{file}' or a number of minions, not both"))),
        }
    }
}

fn missing(task: &Task, given: &Given) -> Exit {
    let lacking = |(at, positional): (usize, &Positional)| {
        let given = given.positionals.get(at).is_some_and(Option::is_some);
        (positional.required && !given).then(|| format!("{} ({})", positional.shows, positional.about))
    };
    let names: Vec<_> = task.positionals.iter().enumerate().filter_map(lacking).collect();
    Exit::usage(format!("{} needs {}\nas in `{}`", task.name, names.join(" and "), task.example()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Invocation, parse};
    use bldr_core::{plan::Stopped, ports::HighstateMode};

    fn request(line: &str, answers: Option<&'static str>) -> Result<Request, Exit> {
        let Invocation::Task(given) = parse(line.split(' ').map(Into::into))? else { panic!("a text") };
        let mut terminal = answers.map_or_else(|| Terminal::new(true, false), Terminal::answering);
        meant(&given, &mut terminal)
    }

    #[test]
    fn both_forms_mean_the_same() {
        let forms = [
            "master.remaster:harbor--ci,master-server--b,jobs=4,allow_unshared=yes,stopped=skip,highstate=none",
            "master.remaster harbor--ci master-server--b --jobs 4 --allow-unshared --stopped skip --highstate none",
            "master.remaster:harbor--ci master=master-server--b --jobs=4 allow-unshared=T stopped=skip --highstate=none",
            "master.remaster:master=master-server--b,harbor--ci --allow_unshared=1 jobs=4 --stopped skip highstate=none",
            "--yes master.remaster:master=master-server--b stack=harbor--ci --allow_unshared jobs=4 --stopped skip highstate=none",
        ];
        let first = request(forms[0], None).unwrap();
        let Request::Remaster(remaster) = &first else { panic!("{first:?}") };
        let how = &remaster.how;
        assert_eq!((how.stopped, how.highstate, how.jobs), (Some(Stopped::Skip), Some(HighstateMode::None), Some(4)));
        assert!(how.allow_unshared && !how.plan_only);
        for form in forms {
            assert_eq!(request(form, None).as_ref(), Ok(&first), "{form}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_an_example() {
        insta::assert_snapshot!(request("master.remaster", None).unwrap_err(), @r"
        master.remaster needs STACK (a stack: PROJECT--INSTANCE) and NEWMASTER (the stack of the new master)
        as in `bldr master.remaster:harbor--ci,master-server--b`
        ");
        insta::assert_snapshot!(request("master.remaster:harbor--ci", None).unwrap_err(), @r"
        master.remaster needs NEWMASTER (the stack of the new master)
        as in `bldr master.remaster:harbor--ci,master-server--b`
        ");
        insta::assert_snapshot!(request("master.remaster:,master-server--b", None).unwrap_err(), @r"
        master.remaster needs STACK (a stack: PROJECT--INSTANCE)
        as in `bldr master.remaster:harbor--ci,master-server--b`
        ");
    }

    #[test]
    fn what_is_missing_is_asked_for_on_a_terminal() {
        assert_eq!(request("buildvars.read", Some("harbor--ci\n")), request("buildvars.read:harbor--ci", None));
        assert!(request("buildvars.read", Some("\n")).is_err());
    }

    #[test]
    fn names_that_are_none_are_usage_errors() {
        insta::assert_snapshot!(request("context.show harbor", None).unwrap_err(), @"'harbor' is not a stack name: it has no '--' (PROJECT--INSTANCE, like 'harbor--ci')");
        insta::assert_snapshot!(request("context.show harbor--c/i", None).unwrap_err(), @"'harbor--c/i' is not a name: '/' is not allowed (letters, digits, '-', '_' and '.' are)");
        insta::assert_snapshot!(request("master.share master-server--b address=10.0.0.300", None).unwrap_err(), @"address: '10.0.0.300' is not an address (an IPv4, an IPv6 or a DNS name)");
        insta::assert_snapshot!(request("sandbox.create:fleet.yaml,minions=9", None).unwrap_err(), @"either the file 'fleet.yaml' or a number of minions, not both");
    }

    #[test]
    fn every_task_means_something() {
        for task in crate::tasks::TASKS {
            let meant = request(&task.example().replacen("bldr ", "", 1), None);
            assert!(meant.is_ok(), "{}: {meant:?}", task.name);
            assert_eq!(meant == Ok(Request::Tasks), task.name == "tasks", "{}", task.name);
        }
    }
}
