//! The clock of the machine that bldr runs on is stepped under a run, by an hour. What measures durations goes on as ever.

use super::{Fault, Faulted, NAMES};
use crate::salted::{B, Stack};
use futures::future::join_all;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

pub const STEPPED: [Fault; 10] = [
    ("+3600", "examine"),
    ("+3600", "repoint"),
    ("+3600", "prove"),
    ("+3600", "confirm"),
    ("+3600", "highstate"),
    ("-3600", "examine"),
    ("-3600", "repoint"),
    ("-3600", "prove"),
    ("-3600", "confirm"),
    ("-3600", "highstate"),
];

/// A clock that somebody sets: so many seconds beside the machine's.
pub struct Clock(PathBuf);

impl Clock {
    /// It goes right at first. What it says is in a file of this folder.
    pub fn new(folder: &Path) -> Self {
        let clock = Self(folder.join("clock"));
        clock.set("+0");
        clock
    }

    pub fn set(&self, beside: &str) {
        let aside = self.0.with_extension("new");
        fs::write(&aside, beside).unwrap();
        fs::rename(aside, &self.0).unwrap();
    }

    /// What a program needs in its environment to go by it.
    pub fn env(&self) -> Vec<(String, String)> {
        let libraries = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path().join("faketime/libfaketimeMT.so.1"));
        let library = libraries.into_iter().find(|path| path.exists()).expect("libfaketime is missing: apt-get install faketime");
        let pairs = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

/// The clock is stepped while a stack is moved to `b`; how that ended.
pub async fn thrown(faulted: &Faulted, (by, step): Fault, stack: &str) -> (Option<i32>, Vec<Value>) {
    let home = faulted.operator(stack);
    let clock = Clock::new(&home);
    let line = format!("master.remaster:{stack},{B},watchdog=75");
    let mut going = faulted.fleet.start_with(&home, &[&line], &clock.env()).await;
    going.begins(step).await;
    clock.set(by);
    going.end().await
}

/// How far apart the first and the last event of a run are, in hours.
pub fn hours(told: &[Value]) -> i64 {
    let at = |event: &Value| event["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    let apart = at(told.last().unwrap()) - at(&told[0]);
    (apart + apart.signum() * 1800) / 3600
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_stepped_at_any_step_keeps_no_stack_from_its_new_master() {
    let faulted = Faulted::light(NAMES[..STEPPED.len()].iter().map(|name| Stack::new(name)).collect()).await;
    faulted.highstates_take(1, faulted.nodes()).await;
    let runs = STEPPED.into_iter().zip(NAMES).map(async |(fault, stack)| (fault, stack, thrown(&faulted, fault, stack).await));
    let runs = join_all(runs).await;
    faulted.judge().await;
    for ((by, step), stack, (code, told)) in runs {
        assert_eq!(hours(&told), if by == "+3600" { 1 } else { -1 }, "{by} at {step}: {told:?}");
        assert_eq!(code, Some(0), "{by} at {step}: {:?}", told.last());
        faulted.is_recorded(&faulted.operator(stack), stack, B, &told).await;
    }
    faulted.highstates_take(0, faulted.nodes()).await;
    faulted.converge(B).await;
}
