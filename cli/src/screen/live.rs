//! What does a run look like to somebody who watches? A line for every stack in work, and what is done scrolls away above.

use super::{Interrupt, RunScreen, Screen, line, plain, summary};
use async_trait::async_trait;
use bldr_core::{
    event::{Action, Event, Outcome},
    name::StackName,
    ports::{Operator, Record},
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How often what moves is drawn.
const TICK: Duration = Duration::from_millis(200);

/// Moving lines on stderr, the final table on stdout.
pub struct Live {
    screen: Screen,
    interrupt: Interrupt,
    bars: MultiProgress,
    totals: ProgressBar,
    state: Mutex<State>,
    lines: line::Lines,
}

#[derive(Default)]
struct State {
    working: HashMap<StackName, ProgressBar>,
    outcomes: Vec<Outcome>,
    planned: usize,
    /// Of a run that moves stacks to a master. Another works on one stack, which has few steps.
    moving: bool,
}

impl Live {
    /// Draws on the terminal that stderr is.
    pub fn new(screen: Screen, interrupt: Interrupt) -> Self {
        Self::drawing_on(ProgressDrawTarget::stderr(), screen, interrupt)
    }

    /// Draws there.
    pub fn drawing_on(target: ProgressDrawTarget, screen: Screen, interrupt: Interrupt) -> Self {
        let bars = MultiProgress::with_draw_target(target);
        let totals = bars.add(ProgressBar::new_spinner().with_style(style("{msg} · {elapsed}")));
        totals.enable_steady_tick(TICK);
        Self { screen, interrupt, bars, totals, state: Mutex::default(), lines: line::Lines::default() }
    }

    /// Draws what there is now, without waiting for the next tick.
    pub fn redraw(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.working.values().chain([&self.totals]).for_each(ProgressBar::tick);
    }

    fn above(&self, text: &str) {
        // Where the terminal is gone there is nobody left to tell.
        let _ = self.bars.println(text);
    }
}

impl State {
    fn show(&mut self, event: &Event, bars: &MultiProgress) {
        match event {
            Event::RunStarted { lanes, master, .. } => {
                self.planned = lanes.iter().map(|lane| lane.stacks.len()).sum();
                self.moving = master.is_some();
            }
            Event::StackStarted { stack, .. } => {
                let bar = bars.insert_from_back(1, ProgressBar::new_spinner().with_style(style("{spinner} {prefix} {msg} · {elapsed}")));
                bar.set_prefix(stack.to_string());
                bar.enable_steady_tick(TICK);
                self.working.insert(stack.clone(), bar);
            }
            Event::StepStarted { stack, node, action } => {
                let node = node.as_ref().map(|node| format!("node {}: ", node.number())).unwrap_or_default();
                self.working.get(stack).into_iter().for_each(|bar| bar.set_message(format!("{node}{}", action.doing())));
            }
            Event::StateBegun { stack, node, number, state } => {
                let message = format!("node {}: {} {number}: {state}", node.number(), Action::Highstate.doing());
                self.working.get(stack).into_iter().for_each(|bar| bar.set_message(message.clone()));
            }
            Event::StackFinished { stack, outcome, .. } => {
                self.outcomes.push(*outcome);
                if let Some(bar) = self.working.remove(stack) {
                    bar.finish_and_clear();
                    bars.remove(&bar);
                }
            }
            _ => {}
        }
    }

    /// Whether its line stays. Of many stacks only their ends do, and what went wrong; of one also what its steps have to say.
    fn lasts(&self, event: &Event) -> bool {
        match event {
            Event::RunStarted { .. }
            | Event::StackFinished { .. }
            | Event::StepFailed { .. }
            | Event::OldKeysRemoved { .. }
            | Event::Paced { .. }
            | Event::Warning { .. } => true,
            Event::StepFinished { detail, .. } => detail.is_some() && !self.moving,
            _ => false,
        }
    }

    fn totals(&self) -> String {
        let left = self.planned.saturating_sub(self.outcomes.len());
        let done = summary::totals(&self.outcomes);
        if self.outcomes.is_empty() { format!("{left} left") } else { format!("{done}, {left} left") }
    }
}

#[async_trait]
impl Operator for Live {
    fn notify(&self, record: &Record) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.show(&record.event, &self.bars);
        self.totals.set_message(state.totals());
        if let Some(line) = self.lines.of_event(&record.event).filter(|_| state.lasts(&record.event)) {
            self.above(&self.screen.tinted(&line, plain::style(&record.event)));
        }
        drop(state);
        if let Some(table) = summary::of_event(&record.event) {
            self.close();
            self.screen.text(&table);
        }
    }
    fn interrupted(&self) -> bool {
        self.interrupt.asked()
    }
    async fn interruption(&self) {
        self.interrupt.happens().await;
    }
}

impl RunScreen for Live {
    fn note(&self, text: &str) {
        // Written at once, where a line above the moving ones would wait for the next time they are drawn.
        self.bars.suspend(|| self.screen.note(text));
    }
    fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.working.drain().for_each(|(_, bar)| bar.finish_and_clear());
        self.totals.finish_and_clear();
        // As above: a terminal that is gone needs no clearing.
        let _ = self.bars.clear();
    }
}

/// A line of this form; indicatif's own where the form should ever be wrong.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
