//! Does what is kept in a bucket keep the contracts of its ports?

use super::settings;
use crate::{BucketPlace, S3, S3Lock, lock::Rhythm, writer::Writer};
use bldr_core::ports::{ContextStore, Journal, KeyPairs, Lock, Sleepers};
use bldr_testkit::{clock::ManualClock, contract, moto::Moto, stores::MadeUpKeys};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A bucket of its own for a test, and folders in it for its cases.
pub(super) struct Bench {
    pub(super) moto: Moto,
    folders: AtomicUsize,
}

impl Bench {
    pub(super) const BUCKET: &str = "our-fleet";

    pub(super) async fn new() -> Self {
        let moto = Moto::start().await.unwrap();
        moto.bucket(Self::BUCKET).await.unwrap();
        Self { moto, folders: AtomicUsize::new(0) }
    }

    pub(super) async fn versioned() -> Self {
        let bench = Self::new().await;
        bench.moto.versioning(Self::BUCKET, "Enabled").await.unwrap();
        bench
    }

    /// A folder that has nothing in it.
    pub(super) fn place(&self) -> BucketPlace {
        let number = self.folders.fetch_add(1, Ordering::SeqCst);
        BucketPlace::new(Self::BUCKET, format!("{number}/contexts"))
    }

    /// S3 as this operator asks it.
    pub(super) async fn s3(&self, who: &str) -> S3 {
        s3(&self.moto.endpoint, who).await
    }
}

pub(super) async fn s3(endpoint: &str, who: &str) -> S3 {
    let writer = Writer::new(who, "ops-7", Arc::new(ManualClock::default()));
    S3::load(settings(endpoint).test_credentials(), Some(Moto::REGION.into()), writer).await.unwrap()
}

/// A lock whose holder is heard of often, so that a test need not wait.
pub(super) fn quick(mut lock: S3Lock) -> S3Lock {
    lock.rhythm = Rhythm { beat: Duration::from_millis(50), limit: Duration::from_secs(5) };
    lock
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_in_a_bucket_that_keeps_versions() {
    let bench = Bench::versioned().await;
    let s3 = bench.s3("ada").await;
    contract::context_store::suite(|| Arc::new(s3.contexts(&bench.place())) as Arc<dyn ContextStore>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_in_a_bucket_that_keeps_none() {
    let bench = Bench::new().await;
    let s3 = bench.s3("ada").await;
    contract::context_store::suite(|| Arc::new(s3.contexts(&bench.place())) as Arc<dyn ContextStore>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_in_a_bucket() {
    let bench = Bench::new().await;
    let s3 = bench.s3("ada").await;
    contract::lock::suite(|| Arc::new(quick(s3.lock(&bench.place()))) as Arc<dyn Lock>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn journals_in_a_bucket() {
    let bench = Bench::new().await;
    let s3 = bench.s3("ada").await;
    contract::journal::suite(|| Arc::new(s3.journal(&bench.place())) as Arc<dyn Journal>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sleepers_in_a_bucket() {
    let bench = Bench::new().await;
    let s3 = bench.s3("ada").await;
    contract::sleepers::suite(|| Arc::new(s3.sleepers(&bench.place())) as Arc<dyn Sleepers>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_in_a_bucket() {
    let bench = Bench::new().await;
    contract::launches::suite(&bench.s3("ada").await.launches(&bench.place())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_pairs_in_a_bucket() {
    let bench = Bench::new().await;
    let s3 = bench.s3("ada").await;
    contract::key_pairs::suite(|| Arc::new(s3.key_pairs(&bench.place(), Arc::new(MadeUpKeys::default()))) as Arc<dyn KeyPairs>).await;
}
