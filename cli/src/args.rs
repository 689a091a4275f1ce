//! What was typed? Both forms of a command line, `TASK:ARG,KEY=VALUE` and `TASK ARG --key VALUE`, become one.
//!
//! The first form is the one a decade of runbooks is written in. It is turned into the second, and then both go through
//! the same parser.

use crate::{
    exit::Exit,
    nearest::{did_you_mean, nearest},
    tasks::{GLOBAL, Kind, TASKS, Task, same_word},
    typed::{Typed, typed},
};
use std::{collections::BTreeMap, ffi::OsString};

/// A command line, understood as far as its words go.
#[derive(Debug)]
pub enum Invocation {
    /// A text was asked for: help, the version.
    Text(String),
    /// A task.
    Task(Box<Given>),
}

/// A task with what was given to it.
#[derive(Debug)]
pub struct Given {
    /// The task.
    pub task: &'static Task,
    /// Its arguments, by place; `None` where nothing (or an empty text) was given.
    pub positionals: Vec<Option<String>>,
    /// Its options and the global ones, by name.
    pub options: BTreeMap<&'static str, String>,
}

impl Given {
    /// An option's value, if it was given.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
    /// Whether a flag was given and means yes. Its value was checked when the line was parsed.
    pub fn flag(&self, name: &str) -> bool {
        self.option(name).and_then(yes_or_no).unwrap_or(false)
    }
}

/// What a flag's value means, in any case; `None` where it means nothing.
fn yes_or_no(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Some(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Understands a command line (without the program's name).
///
/// # Errors
/// Unknown tasks and options with the nearest known one, values that do not fit, words that are not UTF-8.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Invocation, Exit> {
    let argv: Vec<String> = argv
        .into_iter()
        .map(|word| word.into_string().map_err(|word| Exit::usage(format!("{word:?} is not UTF-8"))))
        .collect::<Result<_, _>>()?;
    let (before, task, after) = around_task(&argv);
    let Some(task) = task else {
        return text_without_a_task(&before);
    };
    let typed = typed(task)?;
    if typed.task == "help" {
        return match typed.args.iter().chain(&after).find(|word| !word.starts_with('-')) {
            Some(word) => Ok(Invocation::Text(crate::help::of_task(known(word)?))),
            None => Ok(Invocation::Text(crate::help::of_all())),
        };
    }
    let task = known(&typed.task)?;
    let words = words(task, &typed, &before, &after)?;
    match crate::help::command(task).try_get_matches_from(words) {
        Ok(matches) => given(task, &matches).map(|given| Invocation::Task(Box::new(given))),
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => Ok(Invocation::Text(crate::help::of_task(task))),
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayVersion => Ok(Invocation::Text(crate::help::version())),
        Err(error) => Err(Exit::usage(clap_message(task, &error))),
    }
}

/// Whether errors shall be told as JSON too, decided before the line is understood: it may be the line that is wrong.
pub fn wants_json(argv: &[OsString]) -> bool {
    let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
    let split = words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    split || words.iter().any(|word| word.split([':', ',']).any(|piece| piece.trim_start_matches("--") == "output=json"))
}

/// The words before the task, the task's word, and the words after it.
fn around_task(argv: &[String]) -> (Vec<String>, Option<&str>, Vec<String>) {
    let mut at = 0;
    while let Some(word) = argv.get(at).filter(|word| word.starts_with('-')) {
        let takes_next = GLOBAL.iter().any(|o| o.kind != Kind::Flag && word.strip_prefix("--").is_some_and(|w| same_word(w, o.name)));
        at += if takes_next { 2 } else { 1 };
    }
    let at = at.min(argv.len());
    (argv[..at].to_vec(), argv.get(at).map(String::as_str), argv.get(at + 1..).unwrap_or_default().to_vec())
}

fn text_without_a_task(options: &[String]) -> Result<Invocation, Exit> {
    let has = |names: &[&str]| options.iter().any(|word| names.contains(&word.as_str()));
    if has(&["--version", "-V"]) {
        return Ok(Invocation::Text(crate::help::version()));
    }
    if has(&["--help", "-h"]) {
        return Ok(Invocation::Text(crate::help::of_all()));
    }
    let tasks = known("tasks")?;
    let mut words = vec!["bldr".to_owned()];
    words.extend(options.iter().filter(|word| !matches!(word.as_str(), "--list" | "-l")).map(|word| dashed(word)));
    let matches = crate::help::command(tasks).try_get_matches_from(words).map_err(|error| Exit::usage(clap_message(tasks, &error)))?;
    given(tasks, &matches).map(|given| Invocation::Task(Box::new(given)))
}

fn known(name: &str) -> Result<&'static Task, Exit> {
    let name = name.trim_end_matches(':');
    Task::named(name).ok_or_else(|| {
        let guess = did_you_mean(name, TASKS.iter().map(|task| task.name));
        Exit::usage(format!("there is no task '{name}'{guess}\n`bldr tasks` lists them"))
    })
}

/// The name of an option with `-` between its words.
fn dashed(word: &str) -> String {
    match word.strip_prefix("--").map(|option| option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)))) {
        Some((name, Some(value))) => format!("--{}={value}", name.replace('_', "-")),
        Some((name, None)) => format!("--{}", name.replace('_', "-")),
        None => word.into(),
    }
}

/// One command line in the modern form, the program's name first.
fn words(task: &Task, typed: &Typed, before: &[String], after: &[String]) -> Result<Vec<String>, Exit> {
    let names = || {
        let options = task.options.iter().chain(GLOBAL).map(|option| option.name);
        task.positionals.iter().map(|positional| positional.name).chain(options)
    };
    let option = |key: &str, value: &str| names().find(|name| same_word(name, key)).map(|name| format!("--{name}={value}"));
    let unknown = |key: &str| {
        let guess = did_you_mean(key, names());
        Exit::usage(format!("{} has no option '{key}'{guess}\n`bldr help {}` shows what it takes", task.name, task.name))
    };
    let mut words = vec!["bldr".to_owned()];
    words.extend(before.iter().map(|word| dashed(word)));
    words.extend(typed.args.iter().cloned());
    for (key, value) in &typed.named {
        let problem = || match nearest(key, names()) {
            Some(_) => unknown(key),
            None => unknown(key).line("where it is no option, write the '=' as \\="),
        };
        words.push(option(key, value).ok_or_else(problem)?);
    }
    for word in after {
        let pair = word.split_once('=').filter(|_| !word.starts_with('-'));
        words.push(match pair.map(|(key, value)| (key, option(key, value))) {
            Some((_, Some(named))) => named,
            Some((key, None)) if nearest(key, names()).is_some() => return Err(unknown(key)),
            _ => dashed(word),
        });
    }
    Ok(words)
}

/// Options that keep a run from doing more: empty, as by a variable that was never set, they would let it do everything.
const HOLDING_BACK: [&str; 4] = ["limit", "canary", "max-failures", "window"];

fn given(task: &'static Task, matches: &clap::ArgMatches) -> Result<Given, Exit> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let mut options = BTreeMap::new();
    for option in task.options.iter().chain(GLOBAL) {
        let Some(value) = text(option.name) else { continue };
        if value.is_empty() {
            if HOLDING_BACK.contains(&option.name) {
                return Err(Exit::usage(format!("'{}=' holds nothing back: write what it is, or leave it out", option.name)));
            }
            // `node=` is what says nothing of it.
            continue;
        }
        if option.kind == Kind::Flag && yes_or_no(&value).is_none() {
            return Err(Exit::usage(format!(
                "'{}={value}': that is neither yes nor no\nwrite {}=yes or {}=no",
                option.name, option.name, option.name
            )));
        }
        let least = match option.kind {
            Kind::Count => Some(1),
            Kind::Number => Some(0),
            _ => None,
        };
        if let Some(least) = least.filter(|least| !value.parse::<u32>().is_ok_and(|number| number >= *least)) {
            let too_many = value.parse::<u128>().is_ok_and(|number| number > u128::from(u32::MAX));
            let problem = if too_many { "that is too large a number".to_owned() } else { format!("that is not a number from {least} on") };
            return Err(Exit::usage(format!("'{}={value}': {problem}", option.name)));
        }
        options.insert(option.name, value);
    }
    let mut unnamed = task.positionals.iter().filter_map(|p| text(&crate::help::place_id(p)));
    let positionals = task.positionals.iter().map(|p| text(p.name).or_else(|| unnamed.next()).filter(|value| !value.is_empty())).collect();
    if let Some(word) = unnamed.find(|word| !word.is_empty()) {
        return Err(Exit::usage(format!(
            "{} has everything already; '{word}' is too much\n`bldr help {}` shows what it takes",
            task.name, task.name
        )));
    }
    Ok(Given { task, positionals, options })
}

/// What clap says, without its frame.
fn clap_message(task: &Task, error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ");
    let told: Vec<_> = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    format!("{}\n`bldr help {}` shows what it takes", told.join("\n"), task.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Result<Invocation, Exit> {
        parse(words.iter().map(Into::into))
    }

    #[test]
    fn flags_understand_every_yes_and_no() {
        for (words, yes) in [("y yes T TRUE on 1", true), ("n No f false OFF 0", false)] {
            for word in words.split(' ') {
                for line_words in
                    [vec!["tasks", &format!("yes={word}")], vec![&format!("--yes={word}"), "tasks"], vec![&format!("tasks:yes={word}")]]
                {
                    let Ok(Invocation::Task(given)) = line(&line_words) else { panic!("{line_words:?}") };
                    assert_eq!(given.flag("yes"), yes, "{line_words:?}");
                }
            }
        }
        insta::assert_snapshot!(line(&["tasks", "yes=perhaps"]).unwrap_err(), @r"
        'yes=perhaps': that is neither yes nor no
        write yes=yes or yes=no
        ");
    }

    #[test]
    fn what_is_to_hold_a_run_back_is_never_empty() {
        for option in HOLDING_BACK {
            for words in [
                vec![format!("master.remaster_all:master-server--b,{option}=")],
                vec!["master.remaster_all".into(), "a--b".into(), format!("--{option}"), String::new()],
            ] {
                let refused = line(&words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err();
                assert!(refused.code == crate::exit::Code::Usage && refused.message.contains("holds nothing back"), "{words:?}: {refused}");
            }
        }
    }

    #[test]
    fn what_is_unknown_is_named_with_what_was_probably_meant() {
        insta::assert_snapshot!(line(&["mastre.list"]).unwrap_err(), @r"
        there is no task 'mastre.list'; did you mean 'master.list'?
        `bldr tasks` lists them
        ");
        insta::assert_snapshot!(line(&["zzz"]).unwrap_err(), @r"
        there is no task 'zzz'
        `bldr tasks` lists them
        ");
        insta::assert_snapshot!(line(&["help", "stakcs"]).unwrap_err(), @r"
        there is no task 'stakcs'; did you mean 'stacks'?
        `bldr tasks` lists them
        ");
        insta::assert_snapshot!(line(&["master.remaster_all:a--b,alow_unshared=yes"]).unwrap_err(), @r"
        master.remaster_all has no option 'alow_unshared'; did you mean 'allow-unshared'?
        `bldr help master.remaster_all` shows what it takes
        ");
        insta::assert_snapshot!(line(&["master.remaster_all", "a--b", "alow_unshared=yes"]).unwrap_err(), @r"
        master.remaster_all has no option 'alow_unshared'; did you mean 'allow-unshared'?
        `bldr help master.remaster_all` shows what it takes
        ");
        insta::assert_snapshot!(line(&["master.remaster_all", "--jbos", "4"]).unwrap_err(), @r"
        unexpected argument '--jbos' found
        tip: a similar argument exists: '--jobs'
        `bldr help master.remaster_all` shows what it takes
        ");
        insta::assert_snapshot!(line(&["master.remaster_all", "a--b", "c--d"]).unwrap_err(), @r"
        unexpected argument 'c--d' found
        `bldr help master.remaster_all` shows what it takes
        ");
        insta::assert_snapshot!(line(&["master.remaster_all:a--b", "master=c--d"]).unwrap_err(), @r"
        master.remaster_all has everything already; 'a--b' is too much
        `bldr help master.remaster_all` shows what it takes
        ");
        insta::assert_snapshot!(line(&["master.remaster_all", "a--b", "stopped=maybe"]).unwrap_err(), @r"
        invalid value 'maybe' for '--stopped <skip|start|start-and-stop>'
        [possible values: skip, start, start-and-stop]
        `bldr help master.remaster_all` shows what it takes
        ");
        insta::assert_snapshot!(line(&["master.remaster_all", "a--b", "jobs=0"]).unwrap_err(), @"'jobs=0': that is not a number from 1 on");
    }

    #[test]
    fn options_of_every_task_stand_anywhere() {
        for words in [vec!["--home", "x", "stacks"], vec!["stacks", "--home=x"], vec!["stacks:home=x"], vec!["--home=x", "stacks"]] {
            let Ok(Invocation::Task(given)) = line(&words) else { panic!("{words:?}") };
            assert_eq!((given.task.name, given.option("home")), ("stacks", Some("x")), "{words:?}");
        }
    }

    #[test]
    fn nothing_and_list_are_the_task_that_lists() {
        for words in [vec![], vec!["--list"], vec!["-l"], vec!["--output", "json", "--list"], vec!["tasks"]] {
            let Ok(Invocation::Task(given)) = line(&words) else { panic!("{words:?}") };
            assert_eq!(given.task.name, "tasks", "{words:?}");
        }
    }

    #[test]
    fn json_is_wanted_however_it_is_said() {
        let wants = |words: &[&str]| wants_json(&words.iter().map(Into::into).collect::<Vec<_>>());
        assert!(
            wants(&["--output", "json", "x"])
                && wants(&["x", "--output=json"])
                && wants(&["x:y,output=json"])
                && wants(&["x", "output=json"])
        );
        assert!(!wants(&["x", "--output", "text"]) && !wants(&["json"]));
    }
}
