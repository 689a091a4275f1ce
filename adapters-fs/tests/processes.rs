//! What becomes of the files when processes are killed, or write at the same time?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_adapters_fs::{FileContexts, FileJournal, FileLock, FileProjects};
use bldr_core::{
    error::PortErrorKind,
    event::{Event, RunId},
    fleet::Timestamp,
    name::StackName,
    ports::{ContextStore, Expected, Journal, Lock, Record, SharedAddress},
};
use bldr_testkit::{clock::ManualClock, contract::lock::owner};
use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};
use tempfile::TempDir;

/// Says to a copy of this test binary what it is to do, and where.
const PART: &str = "BLDR_TEST_PART";
const WHERE: &str = "BLDR_TEST_WHERE";

/// Another process of this binary, its output line by line.
struct Other(Child, BufReader<ChildStdout>);

impl Other {
    fn start(part: &str, place: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "the_other_process_plays_its_part", "--nocapture"]);
        let mut child = command.env(PART, part).env(WHERE, place).stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self(child, lines)
    }
    /// Waits for a line that begins like this, and returns the rest of it.
    fn said(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.1.read_line(&mut line).unwrap(), 0, "the other process ended without saying '{word}'");
            if let Some(rest) = line.trim_end().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }
    /// `kill -9`
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn say(text: &str) {
    println!("\n{text}");
    std::io::stdout().flush().unwrap();
}

fn harbor() -> StackName {
    "harbor--ci".parse().unwrap()
}

fn run() -> RunId {
    RunId("20261122-124301-k3f9".into())
}

fn contexts(folder: &Path) -> FileContexts {
    FileContexts::new(folder, Arc::new(ManualClock::default()))
}

/// A text of which any part can be told from the whole.
fn whole(number: u64) -> String {
    format!("{{\"n\": {number}, \"x\": \"{}\", \"end\": {number}}}", number.to_string().repeat(3_000))
}

fn number_of(text: &str) -> u64 {
    let number = text.strip_prefix("{\"n\": ").and_then(|rest| rest.split(',').next()).and_then(|n| n.parse().ok()).unwrap();
    assert_eq!(text, whole(number), "a text is whole");
    number
}

async fn replace_by_next(store: &FileContexts) -> Result<u64, PortErrorKind> {
    let (next, expected) = match store.load(&harbor()).await {
        Ok(document) => (number_of(&document.text) + 1, Expected::Revision(document.revision)),
        Err(error) if error.kind == PortErrorKind::NotFound => (1, Expected::Absent),
        Err(error) => panic!("{error}"),
    };
    store.save(&harbor(), &whole(next), &expected).await.map(|_| next).map_err(|error| error.kind)
}

/// What the others do; a test only so that this binary can be told to do it. Without being told it has nothing to do.
#[tokio::test]
async fn the_other_process_plays_its_part() {
    let (Ok(part), Ok(place)) = (env::var(PART), env::var(WHERE)) else { return };
    let place = Path::new(&place);
    match part.as_str() {
        "saves contexts" => loop {
            say(&format!("saved {}", replace_by_next(&contexts(place)).await.unwrap()));
        },
        "races for contexts" => {
            let store = contexts(place);
            let mut won = Vec::new();
            say("ready");
            std::io::stdin().read_line(&mut String::new()).unwrap();
            loop {
                match replace_by_next(&store).await {
                    Ok(number) => won.push(number.to_string()),
                    Err(kind) => assert_eq!(kind, PortErrorKind::Conflict),
                }
                if number_of(&store.load(&harbor()).await.unwrap().text) >= ROUNDS {
                    return say(&format!("won {}", won.join(" ")));
                }
            }
        }
        "journals" => {
            for number in 1.. {
                let record = Record { at: Timestamp(number), event: Event::Warning { message: whole(7) } };
                FileJournal::new(place).append(&run(), &[record]).await.unwrap();
                say(&format!("wrote {number}"));
            }
        }
        "holds the lock" => {
            let guard = FileLock::new(place).acquire(&owner("ada")).await.unwrap();
            say("holding");
            std::io::stdin().read_line(&mut String::new()).unwrap();
            drop(guard);
        }
        "shares addresses" => {
            for number in (1..=200).cycle() {
                let files = FileProjects::new([place]);
                for proposal in files.propose(&format!("10.0.0.{number}").parse().unwrap()).await.unwrap() {
                    files.share(&proposal).await.unwrap();
                }
                say(&format!("shared {number}"));
            }
        }
        other => panic!("what is '{other}'?"),
    }
}

const ROUNDS: u64 = 60;

#[tokio::test]
async fn a_writer_killed_at_any_moment_leaves_the_old_context_or_the_new_one() {
    let home = TempDir::new().unwrap();
    let store = contexts(home.path());
    let mut least = 0;
    for round in 0..20 {
        let mut other = Other::start("saves contexts", home.path());
        for _ in 0..=round % 3 {
            least = other.said("saved").parse().unwrap();
        }
        // Reading takes the kill to another moment of a save every round, and meets whole texts all along.
        for _ in 0..round {
            assert!(number_of(&store.load(&harbor()).await.unwrap().text) >= least);
        }
        other.kill();
        let number = number_of(&store.load(&harbor()).await.unwrap().text);
        assert!(number >= least, "what was saved stays saved");
        let history = store.history(&harbor()).await.unwrap();
        let mut kept = Vec::new();
        for replaced in &history {
            kept.push(number_of(&store.replaced(&harbor(), &replaced.revision).await.unwrap()));
        }
        assert_eq!(kept, (1..number).collect::<Vec<_>>(), "everything that was replaced, once");
        assert_eq!(store.list().await.unwrap(), [harbor()]);
    }
    assert_eq!(replace_by_next(&store).await.is_ok(), least > 0);
    assert!(!home.path().join(".new").exists());
}

#[tokio::test]
async fn of_two_processes_exactly_one_wins_each_round() {
    let home = TempDir::new().unwrap();
    let mut others = [0, 1].map(|_| Other::start("races for contexts", home.path()));
    for other in &mut others {
        other.said("ready");
    }
    for other in &mut others {
        other.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let won: Vec<Vec<u64>> = others
        .iter_mut()
        .map(|other| other.said("won").split_whitespace().map(|number| number.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    for mut other in others {
        assert!(other.0.wait().unwrap().success());
    }
    let last = number_of(&contexts(home.path()).load(&harbor()).await.unwrap().text);
    let all: Vec<_> = won.concat();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "no round was won twice");
    assert_eq!(all.len() as u64, last, "no round was won by nobody");
    assert_eq!(contexts(home.path()).history(&harbor()).await.unwrap().len() as u64, last - 1);
}

#[tokio::test]
async fn a_journal_whose_writer_was_killed_has_every_record_it_promised() {
    let home = TempDir::new().unwrap();
    let journal = FileJournal::new(home.path());
    for round in 0..10 {
        let mut other = Other::start("journals", home.path());
        let mut promised = 0;
        for _ in 0..=round {
            promised = other.said("wrote").parse().unwrap();
        }
        other.kill();
        let read = journal.read(&run()).await.unwrap();
        assert!(read.len() >= promised);
        assert!(read.iter().zip(1..).all(|(record, number)| record.at == Timestamp(number)));
        let last = Record { at: Timestamp(0), event: Event::Warning { message: "after the crash".into() } };
        journal.append(&run(), std::slice::from_ref(&last)).await.unwrap();
        assert_eq!(journal.read(&run()).await.unwrap().last(), Some(&last));
        fs::remove_file(home.path().join("20261122-124301-k3f9.jsonl")).unwrap();
    }
}

#[tokio::test]
async fn a_lock_is_held_across_processes_and_dies_with_its_holder() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("lock");
    let lock = FileLock::new(&path);
    for _ in 0..3 {
        let mut other = Other::start("holds the lock", &path);
        other.said("holding");
        assert_eq!(lock.owner().await.unwrap(), Some(owner("ada").into()));
        let error = lock.acquire(&owner("bob")).await.map(drop).unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Conflict, "{error}");
        other.kill();
        assert_eq!(lock.owner().await.unwrap(), None, "what a dead holder wrote does not count");
        lock.acquire(&owner("bob")).await.unwrap().release().await.unwrap();
    }
}

#[tokio::test]
async fn a_project_file_whose_writer_was_killed_is_the_old_one_or_the_new_one() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("team.yaml");
    let text = |address: &str| {
        let padding = "# what the team wrote\n".repeat(2_000);
        format!("{padding}defaults:\n    aws: {{ec2: {{master_ip: {address}}}}} # keep\n{padding}harbor: {{aws: {{}}}}\n")
    };
    fs::write(&path, text("10.9.9.9")).unwrap();
    for round in 0..10 {
        let mut other = Other::start("shares addresses", &path);
        for _ in 0..=round % 3 {
            other.said("shared");
        }
        other.kill();
        let found = fs::read_to_string(&path).unwrap();
        let projects = FileProjects::new([&path]).projects().await.unwrap();
        let address = projects.shared_master(&harbor(), None).unwrap();
        assert_eq!(found, text(&address));
    }
}
