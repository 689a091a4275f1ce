//! What happened in every run, when it is kept in files? One line of JSON a record, in `RUNS/RUN.jsonl`; what highstates
//! printed is beside it, in `RUNS/RUN.output/NODE.N.json`.

use crate::{
    failure::{failed, shown},
    folder::{Folder, flush_folder, make},
    off_thread::off_thread,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    event::RunId,
    name::NodeName,
    ports::{Journal, Position, Record},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// The journals of all runs in a folder, one file each, for this user alone.
#[derive(Debug, Clone)]
pub struct FileJournal {
    folder: Folder,
    queue: Arc<Queue>,
}

/// Records that wait to be written. Each is on the disk before whoever told of it goes on; those that come while others are being
/// written are written together.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Vec<Lines>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Lines {
    run: RunId,
    text: Vec<u8>,
    written: oneshot::Sender<PortResult<()>>,
}

/// Lines of one run.
struct Batch {
    run: RunId,
    text: Vec<u8>,
    waiting: Vec<oneshot::Sender<PortResult<()>>>,
}

impl FileJournal {
    /// The journals in this folder. It is made when the first record is appended.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Folder::new(folder), queue: Arc::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Lines>> {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a run. A run is named by whoever reads a journal, so its name is checked before it becomes a path.
    fn file(&self, run: &RunId) -> PortResult<PathBuf> {
        let name = &run.0;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let problem = "it is not the name of a run (such as 20261122-124301-k3f9)";
            return Err(PortError::new(PortErrorKind::NotFound, format!("'{name}'"), problem));
        }
        Ok(self.folder.path().join(format!("{name}.jsonl")))
    }

    /// All of these lines, or none of a run's.
    fn append_now(&self, lines: Vec<Lines>) {
        let mut batches: Vec<Batch> = Vec::new();
        for Lines { run, text, written } in lines {
            match batches.iter_mut().find(|batch| batch.run == run) {
                Some(batch) => {
                    batch.text.extend(text);
                    batch.waiting.push(written);
                }
                None => batches.push(Batch { run, text, waiting: vec![written] }),
            }
        }
        for Batch { run, text, waiting } in batches {
            let written = self.write(&run, &text);
            for one in waiting {
                let said = match &written {
                    Ok(()) => Ok(()),
                    Err(error) => Err(error.for_another()),
                };
                // Who does not wait any more has gone.
                let _ = one.send(said);
            }
        }
    }

    fn write(&self, run: &RunId, lines: &[u8]) -> PortResult<()> {
        let path = self.file(run)?;
        make(self.folder.path())?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(failed("open", &path))?;
        file.lock().map_err(failed("lock", &path))?;
        let added = (|| {
            let end = whole_lines(&mut file)?;
            // Whatever follows the last whole line was cut off by a crash, and was never promised to anybody.
            if end != file.metadata()?.len() {
                file.set_len(end)?;
            }
            file.write_all(lines).and_then(|()| file.sync_data()).inspect_err(|_| _ = file.set_len(end))?;
            if end == 0 { flush_folder(self.folder.path()) } else { Ok(()) }
        })();
        added.map_err(failed("write", &path))
    }

    fn read_now(&self, run: &RunId, Position(from): Position) -> PortResult<(Vec<Record>, Position)> {
        let path = self.file(run)?;
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(PortError::new(PortErrorKind::NotFound, format!("run {run}"), "there is no record of it"));
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes)).map_err(failed("read", &path))?;
        let mut end = from;
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let records = lines.enumerate().map(|(at, line)| {
            end += line.len() as u64;
            serde_json::from_slice(line).map_err(|error| {
                let place = if from == 0 { format!(":{}", at + 1) } else { format!(", byte {} on", end - line.len() as u64) };
                let subject = format!("{}{place}", shown(&path));
                PortError::new(PortErrorKind::Malformed, subject, "this line is no record of a run, or one of a newer bldr")
                    .advise("the other lines are fine: take this one out, or use the bldr that wrote it")
                    .caused_by(error)
            })
        });
        let records = records.collect::<PortResult<_>>()?;
        Ok((records, Position(end)))
    }
}

impl FileJournal {
    fn keep_now(&self, run: &RunId, node: &NodeName, output: &str) -> PortResult<String> {
        let folder = Folder::new(self.file(run)?.with_extension("output"));
        let turn = folder.turn()?;
        let free = (1_u32..).map(|number| format!("{node}.{number}.json")).find(|name| !folder.path().join(name).exists());
        let name = free.unwrap_or_default();
        turn.replace(&name, output.as_bytes())?;
        Ok(shown(&folder.path().join(name)))
    }
}

/// Where the last whole line ends.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = vec![0; 4096];
    while end > 0 {
        let size = end.min(block.len() as u64);
        file.seek(SeekFrom::Start(end - size))?;
        let block = &mut block[..usize::try_from(size).unwrap_or(0)];
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(end - size + at as u64 + 1);
        }
        end -= size;
    }
    Ok(0)
}

#[async_trait]
impl Journal for FileJournal {
    async fn append(&self, run: &RunId, records: &[Record]) -> PortResult<()> {
        if records.is_empty() {
            return Ok(());
        }
        let unwritable = |error| {
            let path = self.file(run).unwrap_or_default();
            PortError::new(PortErrorKind::Malformed, shown(&path), "a record cannot be written as JSON").caused_by(error)
        };
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record).map_err(unwritable)?;
            text.push(b'\n');
        }
        let (written, mut waiting) = oneshot::channel();
        self.waiting().push(Lines { run: run.clone(), text, written });
        let turn = self.queue.turn.clone().lock_owned().await;
        // Somebody else may have written it, too.
        if let Ok(written) = waiting.try_recv() {
            return written;
        }
        let this = self.clone();
        off_thread(move || {
            let lines = std::mem::take(&mut *this.waiting());
            this.append_now(lines);
            drop(turn);
            Ok(())
        })
        .await?;
        waiting.await.unwrap_or_else(|_| Err(PortError::new(PortErrorKind::Refused, run.to_string(), "its record was given up")))
    }

    /// A position is a number of bytes.
    async fn read_on(&self, run: &RunId, from: Position) -> PortResult<(Vec<Record>, Position)> {
        let (this, run) = (self.clone(), run.clone());
        off_thread(move || this.read_now(&run, from)).await
    }

    async fn keep_output(&self, run: &RunId, node: &NodeName, output: &str) -> PortResult<String> {
        let (this, run, node, output) = (self.clone(), run.clone(), node.clone(), output.to_owned());
        off_thread(move || this.keep_now(&run, &node, &output)).await
    }

    async fn runs(&self) -> PortResult<Vec<RunId>> {
        let this = self.clone();
        off_thread(move || Ok(this.folder.names_if_any(".jsonl")?.into_iter().map(RunId).collect())).await
    }
}
