//! `tasks`: what can be asked for?

use super::Session;
use crate::{
    exit::Code,
    help,
    tasks::{Positional, TASKS, Task},
};
use serde::Serialize;

#[derive(Serialize)]
struct TaskView {
    name: &'static str,
    about: &'static str,
    arguments: Vec<ArgumentView>,
    options: Vec<OptionView>,
}

#[derive(Serialize)]
struct ArgumentView {
    name: &'static str,
    about: &'static str,
    required: bool,
}

#[derive(Serialize)]
struct OptionView {
    name: &'static str,
    about: &'static str,
    default: &'static str,
}

#[derive(Serialize)]
struct TasksView {
    tasks: Vec<TaskView>,
}

/// Lists the tasks.
pub fn list(session: &Session) -> Code {
    let text = || format!("{}\n`bldr help TASK` says more about one.\n", help::list());
    session.screen.result(text, &TasksView { tasks: TASKS.iter().map(view).collect() });
    Code::Done
}

fn view(task: &Task) -> TaskView {
    let argument = |p: &Positional| ArgumentView { name: p.name, about: p.about, required: p.required };
    TaskView {
        name: task.name,
        about: task.about,
        arguments: task.positionals.iter().map(argument).collect(),
        options: task.options.iter().map(|o| OptionView { name: o.name, about: o.about, default: o.default }).collect(),
    }
}
