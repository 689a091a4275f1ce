//! What does the command line do? It turns what was typed into a request, wires the ports it needs, and tells what came of it.
//!
//! [`args`] (as typed) → [`request`] (as meant) → [`wiring`] (settings to ports) → [`commands`] → [`screen`].

pub mod args;
pub mod commands;
pub mod exit;
pub mod help;
pub mod interrupt;
pub mod kept;
pub mod meant;
pub mod nearest;
pub mod operator;
pub mod request;
pub mod screen;
pub mod settings;
pub mod tasks;
pub mod terminal;
pub mod typed;
pub mod window;
pub mod wiring;

use args::{Given, Invocation};
use commands::Session;
use exit::{Code, Exit};
use request::Request;
use screen::{Format, Screen};
use settings::{Cloud, Settings};
use std::{ffi::OsString, path::PathBuf};
use terminal::Terminal;
use wiring::Place;

/// Runs the program on a command line without the program's name, and tells everything there is to tell.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> Code {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let typed = argv.iter().map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ");
    let format = if args::wants_json(&argv) { Format::Json } else { Format::Text };
    let mut screen = Screen::of_this_process(format, false);
    let ended = match args::parse(argv) {
        Ok(Invocation::Text(text)) => {
            screen.text(&text);
            Ok(Code::Done)
        }
        Ok(Invocation::Task(given)) => {
            screen = Screen::of_this_process(meant::format(&given), given.flag("no-color"));
            carried_out(&given, format!("bldr {typed}").trim_end().into(), &mut screen)
        }
        Err(exit) => Err(exit),
    };
    let code = ended.unwrap_or_else(|exit| {
        screen.exit(&exit);
        exit.code
    });
    match screen.lost() {
        Some(problem) if code == Code::Done => {
            screen.note(&format!("bldr: it was done, but its result could not be written: {problem}"));
            Code::Failed
        }
        _ => code,
    }
}

/// A word as it has to be typed to be one word again; what means nothing to a shell's reading of words is left as it is.
fn quoted(word: &str) -> String {
    let apart = word.is_empty() || word.contains(|letter: char| letter.is_whitespace() || matches!(letter, '\'' | '"' | '\\'));
    if apart { shell_words::quote(word).into_owned() } else { word.to_owned() }
}

fn carried_out(given: &Given, typed: String, screen: &mut Screen) -> Result<Code, Exit> {
    let mut terminal = Terminal::new(given.flag("yes"), screen.format() == Format::Json);
    let request = meant::meant(given, &mut terminal)?;
    let home = home(given)?;
    // The list of tasks helps most where the settings are broken.
    let settings = if request == Request::Tasks { Settings::read(&home).unwrap_or_default() } else { Settings::read(&home)? };
    let settled = settings.is_some();
    let settings = settings.unwrap_or_else(Settings::of_the_sandbox);
    *screen = screen.clone().in_cloud(settings.cloud.name());
    if settings.cloud == Cloud::Sandbox && request != Request::Tasks {
        let why = if settled { "settings.yaml says so" } else { "no settings.yaml here" };
        screen.note(&format!("sandbox: {why}, so this is a made-up fleet in .bldr/sandbox (nothing real is touched)"));
        let unused = settings.unused();
        if !unused.is_empty() {
            screen.note(&format!("warning: settings.yaml sets {}, which a sandbox does not use", unused.join(" and ")));
        }
    }
    let mut session = Session { screen: screen.clone(), terminal, place: Place::new(home, settings), typed };
    // One for what runs in the background: a terminal that takes no more output must not keep the lock's heart from beating.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Exit::new(Code::Blind, format!("this machine gives no threads to work with: {error}")))?;
    let ended = runtime.block_on(commands::run(request, &mut session));
    // What still runs in the background holds nothing that matters, and nobody waits for it.
    runtime.shutdown_background();
    ended
}

/// `--home`, else `BLDR_HOME`, else the current folder.
fn home(given: &Given) -> Result<PathBuf, Exit> {
    let from_environment = || std::env::var_os("BLDR_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = given.option("home").map(PathBuf::from).or_else(from_environment).unwrap_or_else(|| ".".into());
    if home.is_dir() { Ok(home) } else { Err(Exit::usage(format!("{}: there is no such folder", home.display()))) }
}
