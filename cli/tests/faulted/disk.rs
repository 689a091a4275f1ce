//! The disk is full: that of the record, or that of the contexts. Each is a small one of its own.

use super::{Fault, Faulted, NAMES, address};
use crate::salted::{A, B, Stack};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{fs::File, io::Write, path::Path};

pub const RECORD: [Fault; 7] = [
    ("no room for the record", "survey"),
    ("no room for the record", "examine"),
    ("no room for the record", "introduce"),
    ("no room for the record", "repoint"),
    ("no room for the record", "prove"),
    ("no room for the record", "confirm"),
    ("no room for the record", "highstate"),
];

pub const CONTEXTS: [Fault; 2] = [("no room for contexts", "rewrite context"), ("no room for contexts", "restore context")];

impl Faulted {
    async fn in_hub(&self, line: &str) {
        let done = self.fleet.lab.run_in_hub("sh", &["-ec", line], &[]).await.unwrap();
        assert!(done.status.success(), "{line}: {done:?}");
    }

    /// A small disk at a folder, with what is in that folder. It goes with the lab.
    async fn small_disk(&self, folder: &Path) {
        let folder = folder.display();
        let line = format!(
            "mkdir -p {folder}; kept=$(mktemp -d); cp -a {folder}/. $kept; mount -t tmpfs -o size=256k,mode=700 small {folder}; \
             cp -a $kept/. {folder}; rm -r $kept"
        );
        self.in_hub(&line).await;
    }

    /// Writes until there is no room.
    fn fill(&self, folder: &Path) {
        let mut filler = File::create(self.seen(folder).join("filler")).unwrap();
        while filler.write_all(&[b'x'; 512]).is_ok() {}
        // The last page may have room for a little more.
        while filler.write_all(b"x").is_ok() {}
    }

    /// No record finds room any more. A disk gives pages, and the last one of a record may have room for a few lines: something else takes that.
    fn fill_record(&self, home: &Path) {
        self.fill(&home.join(".bldr/runs"));
        let record = File::options().append(true).open(self.record(home)).unwrap();
        record.lock().unwrap();
        let line = |message: &str| json!({"at": 0, "event": "warning", "message": message}).to_string() + "\n";
        let (left, least) = (4096 - record.metadata().unwrap().len() as usize % 4096, line("").len());
        if left >= least {
            (&record).write_all(line(&"x".repeat(left - least)).as_bytes()).unwrap();
        }
    }

    async fn make_room(&self, folder: &Path) {
        self.in_hub(&format!("rm -f {}/filler", folder.display())).await;
    }
}

/// The disk of a stack's record is full from that step on; how its run ended.
async fn thrown(faulted: &Faulted, step: &str, stack: &str) -> (Option<i32>, Vec<Value>) {
    let runs = faulted.operator(stack).join(".bldr/runs");
    faulted.small_disk(&runs).await;
    if step == "survey" {
        faulted.fill(&runs);
        return faulted.ran(stack, B, "").await;
    }
    let mut going = faulted.begin(stack, B, ",join-timeout=10").await;
    going.begins(step).await;
    faulted.fill_record(&faulted.operator(stack));
    going.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_can_no_longer_be_recorded_begins_nothing_more_and_the_next_one_gets_there() {
    let faulted = Faulted::light(NAMES[..RECORD.len()].iter().map(|name| Stack::new(name)).collect()).await;
    faulted.highstates_take(2, faulted.nodes()).await;
    let runs = RECORD.iter().zip(NAMES).map(async |((_, step), stack)| (*step, stack, thrown(&faulted, step, stack).await));
    let runs = join_all(runs).await;
    faulted.judge().await;
    for (step, stack, (code, told)) in runs {
        let runs = faulted.operator(stack).join(".bldr/runs");
        faulted.make_room(&runs).await;
        assert_eq!(code, Some(5), "at {step}: {told:?}");
        assert!(told.last().is_some_and(|last| last["error"]["code"] == 5), "at {step}: {told:?}");
        // What is recorded is whole, and shown as cut short.
        // Where nothing can be written at all, it can still be looked at.
        let state = faulted.operator(stack).join(".bldr").display().to_string();
        faulted.in_hub(&format!("mount --rbind {state} {state}; mount -o remount,bind,ro {state}")).await;
        let (code, shown, _) = faulted.fleet.bldr_at(&faulted.operator(stack), &["runs"]).await;
        faulted.in_hub(&format!("umount -R {state}")).await;
        let shown = shown[0]["runs"].as_array().unwrap();
        assert_eq!((code, shown.len()), (Some(0), usize::from(step != "survey")), "at {step}: {shown:?}");
        assert!(shown.iter().all(|run| run["standing"] == "cut_short"), "at {step}: {shown:?}");
    }
    faulted.highstates_take(0, faulted.nodes()).await;
    faulted.converge(B).await;

    // The same of the contexts: while one is rewritten, and while it is put back.
    faulted.shares(address(A));
    let contexts = faulted.fleet.home.join(".cfn/contexts");
    faulted.small_disk(&contexts).await;
    for ((_, step), stack) in CONTEXTS.into_iter().zip(NAMES) {
        let (code, told) = if step == "rewrite context" {
            faulted.fill(&contexts);
            faulted.ran(stack, A, "").await
        } else {
            // It does not join: its way to its new master is lost when it is switched.
            let mut going = faulted.begin(stack, A, ",join-timeout=3").await;
            going.begins("introduce").await;
            faulted.keep_from_joining(stack, A).await;
            going.begins("repoint").await;
            faulted.fill(&contexts);
            let ended = going.end().await;
            faulted.let_join(stack, A).await;
            ended
        };
        assert_eq!(code, Some(1), "at {step}: {told:?}");
        let last = told.last().unwrap();
        assert_eq!(last["outcomes"][stack], "failed", "at {step}: {last}");
        assert!(last["reasons"][stack].as_str().unwrap().contains("the disk is full"), "at {step}: {last}");
        faulted.make_room(&contexts).await;
        faulted.judge().await;
        faulted.is_recorded(&faulted.operator(stack), stack, A, &told).await;
    }
    faulted.converge(A).await;
}
