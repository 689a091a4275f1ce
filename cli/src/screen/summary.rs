//! How did a run end, in one table?

use super::{line, table::Table};
use bldr_core::event::{Event, Outcome};

/// The table of a finished run: every stack with its outcome and, where that needs saying, the reason; the totals in the
/// last line. `None` for every other event.
pub fn of_event(event: &Event) -> Option<String> {
    let Event::RunFinished { outcomes, reasons, millis, .. } = event else { return None };
    let mut table = Table::new(["STACK", "OUTCOME", "REASON"]);
    for (stack, outcome) in outcomes {
        table.row([stack.to_string(), outcome.to_string(), reasons.get(stack).cloned().unwrap_or_default()]);
    }
    let totals = totals(&outcomes.values().copied().collect::<Vec<_>>());
    let table = if table.is_empty() { String::new() } else { table.to_string() };
    Some(format!("{table}{totals} in {}\n", line::duration(*millis)))
}

/// How many ended how: `12 re-mastered, 1 failed`.
pub fn totals(outcomes: &[Outcome]) -> String {
    use Outcome::{AlreadyThere, Destroyed, Failed, Held, Interrupted, Launched, Remastered, RolledBack, Skipped, Updated};
    let counts = [Remastered, Launched, Updated, Destroyed, AlreadyThere, Skipped, RolledBack, Failed, Held, Interrupted]
        .into_iter()
        .map(|wanted| (outcomes.iter().filter(|outcome| **outcome == wanted).count(), wanted))
        .filter(|(count, _)| *count > 0)
        .map(|(count, outcome)| format!("{count} {outcome}"))
        .collect::<Vec<_>>();
    if counts.is_empty() { "nothing to do".into() } else { counts.join(", ") }
}
