//! Does docs/iam-policy-s3.json allow what bldr asks of S3, and nothing that it does not ask?

use super::state::{Bench, quick};
use crate::S3;
use aws_sdk_s3::{
    Client,
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef},
    error::BoxError,
};
use bldr_core::ports::{ContextStore, Journal, KeyPairs, Lock, Sleepers};
use bldr_testkit::{contract, stores::MadeUpKeys};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// Notes the permissions that what is really sent would need, and on what: a bucket or something in it.
#[derive(Debug, Clone, Default)]
struct Needed(Arc<Mutex<BTreeSet<(String, bool)>>>);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Needed {
    fn name(&self) -> &'static str {
        "permissions needed"
    }
    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (method, uri) = (context.request().method().to_owned(), context.request().uri().to_owned());
        let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
        let in_it = path.split(Bench::BUCKET).nth(1).is_some_and(|rest| !rest.trim_matches('/').is_empty());
        let has = |word: &str| query.split('&').any(|pair| pair.split('=').next() == Some(word));
        let action = match (&*method, in_it) {
            ("GET", false) if has("versioning") => "s3:GetBucketVersioning",
            ("GET", false) if has("versions") => "s3:ListBucketVersions",
            ("GET", false) if has("list-type") => "s3:ListBucket",
            ("GET", true) if has("versionId") => "s3:GetObjectVersion",
            ("GET", true) => "s3:GetObject",
            ("PUT", true) => "s3:PutObject",
            ("DELETE", true) => "s3:DeleteObject",
            _ => return Err(format!("{method} {uri}: nobody knows what permission that needs").into()),
        };
        self.0.lock().unwrap().insert((action.to_owned(), in_it));
        Ok(())
    }
}

impl Needed {
    fn asked(&self, action: &str) -> bool {
        self.0.lock().unwrap().iter().any(|(asked, _)| asked == action)
    }
}

fn allowed() -> BTreeSet<(String, bool)> {
    let policy: Value = serde_json::from_str(include_str!("../../../docs/iam-policy-s3.json")).unwrap();
    let statements = policy["Statement"].as_array().unwrap().clone();
    let each = statements.iter().flat_map(|statement| {
        let arns = statement["Resource"].as_array().cloned().unwrap_or_else(|| vec![statement["Resource"].clone()]);
        let in_it = arns.iter().all(|arn| arn.as_str().unwrap().ends_with("/*"));
        assert!(in_it || arns == ["arn:aws:s3:::our-fleet"], "{statement}");
        assert_eq!(statement["Effect"], "Allow");
        let actions = statement["Action"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned());
        actions.map(|action| (action, in_it)).collect::<Vec<_>>()
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_what_is_asked_of_s3_and_nothing_else() {
    let needed = Needed::default();
    for bench in [Bench::new().await, Bench::versioned().await] {
        let s3 = bench.s3("ada").await;
        let config = s3.client.config().to_builder().interceptor(needed.clone()).build();
        let s3 = S3 { client: Client::from_conf(config), ..s3 };
        contract::context_store::suite(|| Arc::new(s3.contexts(&bench.place())) as Arc<dyn ContextStore>).await;
        // How it keeps what is replaced makes no difference to all else.
        if needed.asked("s3:GetObjectVersion") {
            break;
        }
        contract::lock::suite(|| Arc::new(quick(s3.lock(&bench.place()))) as Arc<dyn Lock>).await;
        contract::journal::suite(|| Arc::new(s3.journal(&bench.place())) as Arc<dyn Journal>).await;
        contract::sleepers::suite(|| Arc::new(s3.sleepers(&bench.place())) as Arc<dyn Sleepers>).await;
        contract::launches::suite(&s3.launches(&bench.place())).await;
        contract::key_pairs::suite(|| Arc::new(s3.key_pairs(&bench.place(), Arc::new(MadeUpKeys::default()))) as Arc<dyn KeyPairs>).await;
    }
    assert_eq!(*needed.0.lock().unwrap(), allowed());
}
