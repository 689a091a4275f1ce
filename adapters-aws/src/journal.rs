//! What happened in every run, when it is kept in a bucket? Lines of JSON, in `RUNS/RUN/NUMBER.jsonl`; what highstates printed is in
//! `OUTPUTS/RUN/NODE.N.json`.
//!
//! Nothing can be added to an object. Records that come while one is being written go together into the next: one at a time is on its way
//! for each run, so their order is that in which they came.

use crate::{
    bucket::{Put, Sealed, There},
    shelf::Shelf,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    event::RunId,
    name::NodeName,
    ports::{Journal, Position, Record},
};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

/// The journals of all runs in a folder of a bucket.
#[derive(Clone)]
pub struct S3Journal {
    runs: Shelf,
    outputs: Shelf,
    writing: Arc<Mutex<HashMap<RunId, mpsc::UnboundedSender<Line>>>>,
}

/// Records on their way, and who waits for them to be there.
struct Line {
    text: Vec<u8>,
    written: oneshot::Sender<PortResult<()>>,
}

/// How many objects are read at once.
const AT_ONCE: usize = 16;
/// How many of those who wait have theirs in one object.
const TOGETHER: usize = 1000;

impl S3Journal {
    pub(crate) fn new(beside: &Shelf) -> Self {
        Self { runs: beside.folder("runs"), outputs: beside.folder("outputs"), writing: Arc::default() }
    }

    /// The folder of a run. A run is named by whoever reads a journal, so its name is checked before it becomes a key.
    fn folder_of(shelf: &Shelf, run: &RunId) -> PortResult<Shelf> {
        let name = &run.0;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let problem = "it is not the name of a run (such as 20261122-124301-k3f9)";
            return Err(PortError::new(PortErrorKind::NotFound, format!("'{name}'"), problem));
        }
        Ok(shelf.folder(name))
    }

    /// The one that writes this run; it is begun where there is none, and ends with the journal.
    fn writer(&self, run: &RunId) -> PortResult<mpsc::UnboundedSender<Line>> {
        let shelf = Self::folder_of(&self.runs, run)?;
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = writing.entry(run.clone()).or_insert_with(|| {
            let (lines, coming) = mpsc::unbounded_channel();
            tokio::spawn(written(shelf, coming));
            lines
        });
        Ok(lines.clone())
    }
}

/// Writes what comes, for as long as something may.
async fn written(shelf: Shelf, mut coming: mpsc::UnboundedReceiver<Line>) {
    let (mut lines, mut next) = (Vec::new(), 1);
    while coming.recv_many(&mut lines, TOGETHER).await > 0 {
        let text = lines.iter().map(|line| line.text.as_slice()).collect::<Vec<_>>().concat();
        let answer = segment(&shelf, &mut next, &text).await;
        for line in lines.drain(..) {
            _ = line.written.send(answer.as_ref().map(drop).map_err(PortError::for_another));
        }
    }
}

/// Writes one segment under the first number that nobody has.
async fn segment(shelf: &Shelf, next: &mut u64, text: &[u8]) -> PortResult<()> {
    loop {
        let put = shelf.put(&named(*next), text, There::Nothing, Sealed::AsTheBucketDoes).await?;
        if put != Put::Refused {
            *next += 1;
            return Ok(());
        }
        let last = numbered(shelf, *next).await?.last().map_or(0, |(number, _)| *number);
        *next = last.max(*next) + 1;
    }
}

/// What a segment is called: in text order they are in order.
fn named(number: u64) -> String {
    format!("{number:06}{SEGMENT}")
}

const SEGMENT: &str = ".jsonl";

/// The segments of a run after this one, in order: their numbers and names. Nothing is asked about those before.
async fn numbered(shelf: &Shelf, after: u64) -> PortResult<Vec<(u64, String)>> {
    let names = shelf.names_after(&named(after), SEGMENT).await?;
    let numbered = names.iter().filter_map(|name| Some((name.parse().ok()?, format!("{name}{SEGMENT}"))));
    let mut numbered: Vec<_> = numbered.filter(|(number, _)| *number > after).collect();
    numbered.sort_unstable();
    Ok(numbered)
}

#[async_trait]
impl Journal for S3Journal {
    async fn append(&self, run: &RunId, records: &[Record]) -> PortResult<()> {
        if records.is_empty() {
            return Ok(());
        }
        let subject = || format!("run {run}");
        let malformed = |error| PortError::new(PortErrorKind::Malformed, subject(), "a record cannot be written as JSON").caused_by(error);
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record).map_err(malformed)?;
            text.push(b'\n');
        }
        let (written, told) = oneshot::channel();
        let gone = || PortError::new(PortErrorKind::Refused, subject(), "what writes its record has broken off, which is a bug in bldr");
        self.writer(run)?.send(Line { text, written }).map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    /// A position is the number of the last segment that was read: one that is there never changes, and none comes before it any more.
    async fn read_on(&self, run: &RunId, from: Position) -> PortResult<(Vec<Record>, Position)> {
        let shelf = Self::folder_of(&self.runs, run)?;
        let segments = numbered(&shelf, from.0).await?;
        if segments.is_empty() && from == Position::default() {
            return Err(PortError::new(PortErrorKind::NotFound, format!("run {run}"), "there is no record of it"));
        }
        let read = Position(segments.last().map_or(from.0, |(number, _)| *number));
        let reading = stream::iter(segments).map(async |(_, name)| {
            let object = shelf.get(&name).await?;
            let gone = || PortError::new(PortErrorKind::NotFound, shelf.shown(&name), "somebody has removed it");
            let bytes = object.ok_or_else(gone)?.bytes;
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let records = lines.zip(1..).map(|(line, number)| {
                serde_json::from_slice::<Record>(line).map_err(|error| {
                    let subject = format!("{}:{number}", shelf.shown(&name));
                    PortError::new(PortErrorKind::Malformed, subject, "this line is no record of a run, or one of a newer bldr")
                        .advise("the other lines are fine: take this one out, or use the bldr that wrote it")
                        .caused_by(error)
                })
            });
            records.collect::<PortResult<Vec<_>>>()
        });
        Ok((reading.buffered(AT_ONCE).try_collect::<Vec<_>>().await?.concat(), read))
    }

    async fn runs(&self) -> PortResult<Vec<RunId>> {
        let folders = self.runs.bucket.folders(&self.runs.key("")).await.map_err(self.runs.about(""))?;
        let mut runs: Vec<_> = folders.into_iter().map(RunId).collect();
        runs.sort_unstable();
        Ok(runs)
    }

    async fn keep_output(&self, run: &RunId, node: &NodeName, output: &str) -> PortResult<String> {
        let shelf = Self::folder_of(&self.outputs, run)?;
        // Nearly always it is the first of its node: a list of all would cost more the longer the run is.
        let mut number = 1;
        loop {
            let name = format!("{node}.{number}.json");
            if shelf.put(&name, output.as_bytes(), There::Nothing, Sealed::Yes).await? != Put::Refused {
                return Ok(shelf.shown(&name));
            }
            number += 1;
        }
    }
}
