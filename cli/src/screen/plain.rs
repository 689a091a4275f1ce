//! What does a run look like where nothing can move? One line on stderr for every event that matters.

use super::{Interrupt, RunScreen, Screen, line, summary};
use async_trait::async_trait;
use bldr_core::{
    event::{Event, Outcome},
    ports::{Operator, Record},
};
use owo_colors::Style;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines on stderr, the final table on stdout.
pub struct Plain {
    screen: Screen,
    interrupt: Interrupt,
    /// Whether one stack is worked on: of many, a line for each state of each highstate would hide what matters.
    alone: AtomicBool,
    lines: line::Lines,
}

impl Plain {
    /// Shows on this screen.
    pub fn new(screen: Screen, interrupt: Interrupt) -> Self {
        Self { screen, interrupt, alone: AtomicBool::new(true), lines: line::Lines::default() }
    }
}

#[async_trait]
impl Operator for Plain {
    fn notify(&self, record: &Record) {
        if let Event::RunStarted { lanes, .. } = &record.event {
            self.alone.store(lanes.iter().map(|lane| lane.stacks.len()).sum::<usize>() <= 1, Ordering::Relaxed);
        }
        let told = self.alone.load(Ordering::Relaxed) || !matches!(record.event, Event::StateBegun { .. });
        if let Some(line) = self.lines.of_event(&record.event).filter(|_| told) {
            self.screen.note(&format!("{} {}", line::clock_time(record.at), self.screen.tinted(&line, style(&record.event))));
        }
        if let Some(table) = summary::of_event(&record.event) {
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

impl RunScreen for Plain {
    fn note(&self, text: &str) {
        self.screen.note(text);
    }
    fn close(&self) {}
}

/// The colour of an event.
pub(super) fn style(event: &Event) -> Style {
    let plain = Style::new();
    match event {
        Event::StackFinished { outcome: Outcome::Remastered | Outcome::Launched | Outcome::Updated | Outcome::Destroyed, .. } => {
            plain.green()
        }
        Event::StackFinished { outcome: Outcome::Failed | Outcome::RolledBack, .. } | Event::StepFailed { .. } => plain.red(),
        Event::StackFinished { outcome: Outcome::Held | Outcome::Interrupted, .. }
        | Event::Paced { why: Some(_), .. }
        | Event::Warning { .. } => plain.yellow(),
        _ => plain,
    }
}
