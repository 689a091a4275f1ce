//! How often is S3 asked for what? As often as docs/iam.md says, and not once more.

use super::state::{Bench, quick};
use bldr_core::{
    event::{Event, RunId},
    fleet::Timestamp,
    name::StackName,
    ports::{ContextStore, Expected, Journal, Lock, Position, Record},
};
use bldr_testkit::contract::lock::owner;

fn harbor() -> StackName {
    "harbor--ci".parse().unwrap()
}

fn record(n: i64) -> Record {
    Record { at: Timestamp(n), event: Event::Warning { message: format!("number {n}") } }
}

/// How often each of these questions was asked since this was last called.
struct Counter<'a> {
    bench: &'a Bench,
    folder: String,
    before: Vec<usize>,
}

const QUESTIONS: [&str; 4] = ["GET", "PUT", "LIST", "DELETE"];

impl<'a> Counter<'a> {
    async fn of(bench: &'a Bench, folder: &str) -> Self {
        let mut counter = Self { bench, folder: folder.to_owned(), before: vec![0; QUESTIONS.len()] };
        counter.since().await;
        counter
    }

    /// GET, PUT, LIST and DELETE in the folder and those below it.
    async fn since(&mut self) -> [usize; 4] {
        let mut asked = [0; 4];
        for (at, method) in QUESTIONS.iter().enumerate() {
            let all = self.bench.moto.asked_of_s3(&format!("{method}:{}", self.folder)).await.unwrap();
            asked[at] = all - std::mem::replace(&mut self.before[at], all);
        }
        asked
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_bucket_keeps_versions_a_context_costs_a_read_and_a_write() {
    let bench = Bench::versioned().await;
    let place = bench.place();
    let contexts = bench.s3("ada").await.contexts(&place);
    let mut asked = Counter::of(&bench, &place.prefix).await;
    contexts.save(&harbor(), "{\"a\": 1}", &Expected::Absent).await.unwrap();
    assert_eq!(asked.since().await, [0, 1, 0, 0], "one that is made");
    let versioning = bench.moto.asked_of_s3("GET:").await.unwrap();
    for n in 0..5 {
        let read = contexts.load(&harbor()).await.unwrap();
        contexts.save(&harbor(), &format!("{{\"a\": {n}}}"), &Expected::Revision(read.revision)).await.unwrap();
        assert_eq!(asked.since().await, [1, 1, 0, 0]);
    }
    let stale = Expected::Revision(contexts.load(&harbor()).await.unwrap().revision);
    bench.moto.s3("PUT", &format!("/{}/{}/harbor--ci.json", place.bucket, place.prefix), "{}").await.unwrap();
    asked.since().await;
    contexts.save(&harbor(), "{\"a\": 5}", &stale).await.unwrap_err();
    assert_eq!(asked.since().await, [2, 1, 0, 0], "who is refused looks whether it was themselves, and who it was");
    assert_eq!(bench.moto.asked_of_s3("GET:").await.unwrap() - versioning, 8, "whether it keeps versions is asked once");
    assert_eq!(contexts.history(&harbor()).await.unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_keeps_none_a_write_costs_a_read_and_a_copy_more() {
    let bench = Bench::new().await;
    let place = bench.place();
    let contexts = bench.s3("ada").await.contexts(&place);
    contexts.save(&harbor(), "{\"a\": 0}", &Expected::Absent).await.unwrap();
    let mut asked = Counter::of(&bench, &place.prefix).await;
    for n in 1..5 {
        let read = contexts.load(&harbor()).await.unwrap();
        contexts.save(&harbor(), &format!("{{\"a\": {n}}}"), &Expected::Revision(read.revision)).await.unwrap();
        assert_eq!(asked.since().await, [2, 2, 0, 0]);
    }
    // What somebody else has written has no number yet: what there is in the way of copies is looked at.
    bench.moto.s3("PUT", &format!("/{}/{}/harbor--ci.json", place.bucket, place.prefix), "{}").await.unwrap();
    asked.since().await;
    let read = contexts.load(&harbor()).await.unwrap();
    contexts.save(&harbor(), "{\"a\": 5}", &Expected::Revision(read.revision)).await.unwrap();
    assert_eq!(asked.since().await, [2, 2, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_taken_by_two_questions_and_given_back_by_one() {
    let bench = Bench::new().await;
    let place = bench.place();
    let lock = bench.s3("ada").await.lock(&place);
    let mut asked = Counter::of(&bench, &place.prefix).await;
    let guard = lock.acquire(&owner("ada")).await.unwrap();
    assert_eq!(asked.since().await, [1, 1, 0, 0]);
    for _ in 0..1000 {
        guard.standing().unwrap();
    }
    assert_eq!(asked.since().await, [0; 4]);
    guard.release().await.unwrap();
    assert_eq!(asked.since().await, [0, 1, 0, 0]);
    let beating = quick(lock).acquire(&owner("ada")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    beating.release().await.unwrap();
    let [read, written, listed, removed] = asked.since().await;
    assert!(written > 3 && (read, listed, removed) == (1, 0, 0), "a beat is a write, and nothing else: {read}, {written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_run_that_goes_on_costs_a_list_and_what_is_new() {
    let bench = Bench::new().await;
    let place = bench.place();
    let (journal, run) = (bench.s3("ada").await.journal(&place), RunId("20261122-124301-k3f9".into()));
    let watching = bench.s3("bob").await.journal(&place);
    let mut asked = Counter::of(&bench, &place.prefix).await;
    for n in 0..23 {
        journal.append(&run, &[record(n)]).await.unwrap();
    }
    assert_eq!(asked.since().await, [0, 23, 0, 0], "whoever writes asks nothing");
    let (seen, mut position) = watching.read_on(&run, Position::default()).await.unwrap();
    assert_eq!((seen.len(), asked.since().await), (23, [23, 0, 5, 0]), "moto has five to a page");
    for n in 23..26 {
        journal.append(&run, &[record(n)]).await.unwrap();
        let (new, next) = watching.read_on(&run, position).await.unwrap();
        position = next;
        assert_eq!((new.as_slice(), asked.since().await), (&[record(n)][..], [1, 1, 1, 0]));
    }
    assert!(watching.read_on(&run, position).await.unwrap().0.is_empty());
    assert_eq!(asked.since().await, [0, 0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_highstate_printed_is_kept_by_one_write_however_many_others_were_kept() {
    let bench = Bench::new().await;
    let place = bench.place();
    let (journal, run) = (bench.s3("ada").await.journal(&place), RunId("20261122-124301-k3f9".into()));
    let mut asked = Counter::of(&bench, &place.prefix).await;
    for node in 1..12 {
        journal.keep_output(&run, &harbor().node(node), "{}").await.unwrap();
        assert_eq!(asked.since().await, [0, 1, 0, 0]);
    }
    let second = journal.keep_output(&run, &harbor().node(1), "{\"again\": 1}").await.unwrap();
    assert!(second.ends_with("/outputs/20261122-124301-k3f9/harbor--ci--1.2.json"), "{second}");
}
