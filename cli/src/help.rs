//! How is each task used? Help and clap commands, made from the table of tasks.

use crate::tasks::{GLOBAL, Kind, Opt, Positional, TASKS, Task};
use clap::{Arg, ArgAction, Command, builder::PossibleValuesParser};
use std::fmt::Write;

/// The width help is wrapped to where the terminal is not narrower.
const WIDTH: usize = 100;

/// The program's name and version.
pub fn version() -> String {
    format!("bldr {}\n", env!("CARGO_PKG_VERSION"))
}

/// The clap command that parses a task.
pub fn command(task: &'static Task) -> Command {
    dressed(task, false)
}

/// `strict` shows which arguments a task cannot do without. When parsing none is required: what is missing is asked for.
fn dressed(task: &'static Task, strict: bool) -> Command {
    Command::new("bldr")
        .about(format!("{}: {}", task.name, task.about))
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage(usage(task))
        .after_help(after(task))
        .max_term_width(WIDTH)
        .next_line_help(false)
        .args(task.positionals.iter().enumerate().map(|(at, positional)| by_place(at + 1, positional, strict)))
        .args(task.positionals.iter().map(by_name))
        .args(task.options.iter().map(option))
        .args(GLOBAL.iter().map(option).map(|arg| arg.help_heading("Options of every task")))
}

/// Help for one task.
pub fn of_task(task: &'static Task) -> String {
    dressed(task, true).render_help().to_string()
}

/// Help for the program.
pub fn of_all() -> String {
    let mut text = String::from(
        "bldr: which salt-master is in charge, and re-mastering minions without losing one\n\n\
         Usage: bldr TASK:ARG,ARG,KEY=VALUE\n       bldr TASK ARG ARG --key VALUE\n\n",
    );
    text.push_str(&list());
    text.push_str("\nOptions of every task:\n");
    for option in GLOBAL {
        let shown = format!("--{}{}", option.name, value(option));
        let _ = writeln!(text, "  {shown:<22}{} [{}]", option.about, option.default);
    }
    text.push_str(
        "\nWithout a settings.yaml a made-up fleet answers, and nothing real is touched.\n\
         `bldr help TASK` says more about one.\n",
    );
    text
}

/// The tasks, one a line.
pub fn list() -> String {
    let mut text = String::from("Tasks:\n");
    for task in TASKS {
        let _ = writeln!(text, "  {:<21}{}", task.name, task.about);
    }
    text
}

fn usage(task: &Task) -> String {
    let show = |separator: &str| {
        let mut shown = String::new();
        for (at, positional) in task.positionals.iter().enumerate() {
            let separator = if at == 0 { "" } else { separator };
            let (open, close) = if positional.required { ("", "") } else { ("[", "]") };
            let _ = write!(shown, "{open}{separator}{}{close}", positional.shows);
        }
        shown
    };
    let (typed, spaced) = (show(","), show(" "));
    let colon = match task.positionals.first() {
        Some(first) if first.required => format!(":{typed}"),
        Some(_) => typed.replacen('[', "[:", 1),
        None => String::new(),
    };
    let gap = if task.positionals.is_empty() { "" } else { " " };
    let (key, dashes) = if task.options.is_empty() { ("", "") } else { ("[,KEY=VALUE]", " [--KEY VALUE]") };
    let key = if task.positionals.is_empty() { key.replacen(',', ":", 1) } else { key.into() };
    format!("bldr {}{colon}{key}\n       bldr {}{gap}{spaced}{dashes}", task.name, task.name)
}

fn after(task: &Task) -> String {
    let gap = if task.more.is_empty() { "" } else { "\n\n" };
    let more: String = task.options.iter().filter_map(Opt::example).map(|option| format!("\n  {}", task.example_with(option))).collect();
    format!("{}{gap}Examples:\n  {}\n  {}{more}", task.more, task.example(), task.example_spaced())
}

impl Opt {
    /// How it is written, for those that are worth showing.
    fn example(&self) -> Option<&'static str> {
        match self.name {
            "plan" => Some("plan=yes"),
            "jobs" => Some("jobs=4"),
            "stopped" => Some("stopped=skip"),
            "minions" => Some("minions=200"),
            _ => None,
        }
    }
}

/// What clap knows an argument by where it is given by its place.
pub fn place_id(positional: &Positional) -> String {
    format!("{}@place", positional.name)
}

fn by_place(at: usize, positional: &'static Positional, strict: bool) -> Arg {
    Arg::new(place_id(positional)).index(at).value_name(positional.shows).help(positional.about).required(strict && positional.required)
}

fn by_name(positional: &'static Positional) -> Arg {
    Arg::new(positional.name).long(positional.name).hide(true).action(ArgAction::Set)
}

fn value(option: &Opt) -> String {
    match option.kind {
        Kind::Flag => String::new(),
        Kind::Count | Kind::Number => " N".into(),
        Kind::Choice(words) => format!(" {}", words.join("|")),
        Kind::Text(shows) => format!(" {shows}"),
    }
}

fn option(option: &'static Opt) -> Arg {
    let arg = Arg::new(option.name).long(option.name).help(format!("{} [{}]", option.about, option.default)).action(ArgAction::Set);
    match option.kind {
        Kind::Flag => {
            let arg = arg.num_args(0..=1).require_equals(true).default_missing_value("yes").hide_possible_values(true).value_name("yes|no");
            if option.name == "yes" { arg.short('y') } else { arg }
        }
        Kind::Count | Kind::Number => arg.value_name("N"),
        Kind::Choice(words) => arg.value_name(words.join("|")).value_parser(PossibleValuesParser::new(words)).hide_possible_values(true),
        Kind::Text(shows) => arg.value_name(shows),
    }
}
