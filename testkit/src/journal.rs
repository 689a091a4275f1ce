//! Where is it recorded in a test what a run did? In memory, in lines, of which a crash may leave the last one in part.

use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    event::RunId,
    name::NodeName,
    ports::{Journal, Position, Record},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A journal in memory: a line of text for each record, as in a file.
#[derive(Default)]
pub struct MemoryJournal {
    runs: Mutex<BTreeMap<RunId, String>>,
    /// Where the lines begin that were written last.
    last: Mutex<Option<(RunId, usize)>>,
    full: Mutex<Option<usize>>,
    outputs: Mutex<BTreeMap<String, String>>,
}

/// Where the last whole line ends. What follows was cut off by a crash, and was never promised to anybody.
fn whole(text: &str) -> usize {
    text.rfind('\n').map_or(0, |at| at + 1)
}

impl MemoryJournal {
    /// Cuts what was written last in its middle, as a crash does.
    pub fn tear(&self) {
        let mut runs = locked(&self.runs);
        let Some((run, begin)) = &*locked(&self.last) else { return };
        let Some(text) = runs.get_mut(run) else { return };
        let middle = (*begin..=begin + text.len().saturating_sub(*begin) / 2).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(middle.unwrap_or(*begin));
    }
    /// Takes this many more records and then fails, as a full disk does.
    pub fn fills_up_after(&self, records: usize) {
        *locked(&self.full) = Some(records);
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, run: &RunId, records: &[Record]) -> PortResult<()> {
        if let Some(left) = &mut *locked(&self.full) {
            let more = left.checked_sub(records.len());
            *left = more.unwrap_or(0);
            more.ok_or_else(|| PortError::new(PortErrorKind::Refused, run.to_string(), "no space left on the simulated disk"))?;
        }
        if records.is_empty() {
            return Ok(());
        }
        let line = |record| serde_json::to_string(record).map(|line| line + "\n");
        let lines: Result<String, _> = records.iter().map(line).collect();
        let lines = lines.map_err(|error| PortError::new(PortErrorKind::Malformed, run.to_string(), error.to_string()))?;
        let mut runs = locked(&self.runs);
        let text = runs.entry(run.clone()).or_default();
        text.truncate(whole(text));
        *locked(&self.last) = Some((run.clone(), text.len()));
        text.push_str(&lines);
        Ok(())
    }
    async fn read_on(&self, run: &RunId, from: Position) -> PortResult<(Vec<Record>, Position)> {
        let runs = locked(&self.runs);
        let text = runs.get(run).ok_or_else(|| PortError::new(PortErrorKind::NotFound, run.to_string(), "there is no such run"))?;
        let read =
            |line| serde_json::from_str(line).map_err(|error| PortError::new(PortErrorKind::Malformed, run.to_string(), error.to_string()));
        let (from, to) = (usize::try_from(from.0).unwrap_or(usize::MAX), whole(text));
        let records = text.get(from..to).unwrap_or_default().lines().map(read).collect::<Result<_, _>>()?;
        Ok((records, Position(to as u64)))
    }
    async fn runs(&self) -> PortResult<Vec<RunId>> {
        Ok(locked(&self.runs).keys().cloned().collect())
    }
    async fn keep_output(&self, run: &RunId, node: &NodeName, output: &str) -> PortResult<String> {
        let mut outputs = locked(&self.outputs);
        let name = format!("{run}/{node}.{}", outputs.len() + 1);
        outputs.insert(name.clone(), output.to_owned());
        Ok(name)
    }
}
