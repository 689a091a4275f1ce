//! What does a test order to go wrong with EC2 and S3? moto does it, to the calls that are meant (`python/disturbances.py`).

use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Something that happens to calls of EC2 or S3, in the order in which it was ordered: several may happen to one call.
#[derive(Debug, Clone, Serialize)]
pub struct Disturbance {
    calls: String,
    holding: String,
    after: usize,
    times: Option<usize>,
    answer: Option<(u16, &'static str, &'static str)>,
    done: bool,
    half: bool,
    delay: f64,
    page: Option<usize>,
}

impl Disturbance {
    /// Nothing yet, to each of these calls: an action of EC2's (`StartInstances`); or a method and the beginning of a path, of S3
    /// (`PUT /bucket/contexts/`).
    pub fn of(calls: impl Into<String>) -> Self {
        Self {
            calls: calls.into(),
            holding: String::new(),
            after: 0,
            times: None,
            answer: None,
            done: false,
            half: false,
            delay: 0.0,
            page: None,
        }
    }
    /// Only to those whose question holds this: the form of a call to EC2, what is behind the `?` of one to S3.
    #[must_use]
    pub fn holding(self, text: impl Into<String>) -> Self {
        Self { holding: text.into(), ..self }
    }
    /// Only when so many of them have gone well.
    #[must_use]
    pub fn after(self, calls: usize) -> Self {
        Self { after: calls, ..self }
    }
    /// Only so often.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }
    /// They are refused: an HTTP status, and AWS's code for why.
    #[must_use]
    pub fn refused(self, status: u16, code: &'static str) -> Self {
        Self { answer: Some((status, code, "ordered by a test")), ..self }
    }
    /// What they ask for is done, whatever is answered.
    #[must_use]
    pub fn done(self) -> Self {
        Self { done: true, ..self }
    }
    /// Their answers break off in the middle.
    #[must_use]
    pub fn halved(self) -> Self {
        Self { half: true, ..self }
    }
    /// They are answered so much later.
    #[must_use]
    pub fn delayed(self, by: Duration) -> Self {
        Self { delay: by.as_secs_f64(), ..self }
    }
    /// A page of their answers has so many instances at most; EC2 gives five or more.
    #[must_use]
    pub fn paged(self, instances: usize) -> Self {
        Self { page: Some(instances), ..self }
    }
    /// As moto takes it.
    pub(crate) fn order(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// How often each happened, by its number: what moto says of that.
pub(crate) fn counts(said: &str) -> BTreeMap<usize, usize> {
    said.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)))
        .collect()
}
