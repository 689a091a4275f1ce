//! What do operators hear who work on one bucket at the same time, or on one that is not there?

use super::{
    canned::Canned,
    lossy::Lossy,
    state::{Bench, quick, s3},
};
use crate::{BucketPlace, S3Contexts};
use bldr_core::{
    error::PortErrorKind,
    event::{Event, RunId},
    fleet::Timestamp,
    name::StackName,
    ports::{Change, ContextStore, Expected, Journal, KeyPairs, Launches, Lock, Record, Revision},
};
use bldr_testkit::{
    contract::{launches::begun, lock::owner},
    stores::MadeUpKeys,
};
use std::{sync::Arc, time::Duration};

fn harbor() -> StackName {
    "harbor--ci".parse().unwrap()
}

async fn made(contexts: &S3Contexts, text: &str) -> Revision {
    contexts.save(&harbor(), text, &Expected::Absent).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_who_comes_too_late_is_told_who_was_first_and_when() {
    for bench in [Bench::new().await, Bench::versioned().await] {
        who_comes_too_late(&bench).await;
    }
}

async fn who_comes_too_late(bench: &Bench) {
    let place = BucketPlace::new(Bench::BUCKET, "contexts");
    let (ada, bob) = (bench.s3("ada").await.contexts(&place), bench.s3("Zo\u{eb}").await.contexts(&place));
    let read = made(&ada, "{\"a\": 1}").await;
    bob.save(&harbor(), "{\"a\": 2}", &Expected::Revision(read.clone())).await.unwrap();
    for error in [
        ada.save(&harbor(), "{\"a\": 3}", &Expected::Revision(read.clone())).await.unwrap_err(),
        ada.remove(&harbor(), &read).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, PortErrorKind::Conflict);
        assert!(error.to_string().contains("last written by Zo\u{eb} on ops-7 at 2026-01-01 00:00:00 UTC"), "{error}");
        assert!(error.advice.is_some());
    }
    // Whoever writes without bldr leaves no name.
    bench.moto.s3("PUT", "/our-fleet/contexts/harbor--ci.json", "{}").await.unwrap();
    let error = ada.save(&harbor(), "{\"a\": 3}", &Expected::Revision(read)).await.unwrap_err();
    assert!(error.to_string().contains("last written at 20") && error.to_string().contains("UTC, not by bldr"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_that_others_wrote_are_taken_over_to_the_byte_and_keep_their_history() {
    for bench in [Bench::new().await, Bench::versioned().await] {
        let contexts = bench.s3("ada").await.contexts(&BucketPlace::new(Bench::BUCKET, "contexts"));
        let put = async |key: &str, text: &str| bench.moto.s3("PUT", &format!("/our-fleet/{key}"), text).await.unwrap();
        let texts = ["{\"theirs\": 1}", "{\"theirs\": 2}", "{\"ours\": 3}", "{\"theirs\": 4}", "{\"ours\": 5}"];
        put("contexts/harbor--ci.json", texts[1]).await;
        for (key, text) in [
            ("contexts/README", "notes"),
            ("contexts/not a stack.json", "{}"),
            ("contexts/old/harbor--prod.json", "{}"),
            ("elsewhere.json", "{}"),
        ] {
            put(&key.replace(' ', "%20"), text).await;
        }
        assert_eq!(contexts.list().await.unwrap(), [harbor()]);
        for text in [texts[2], texts[4]] {
            let read = contexts.load(&harbor()).await.unwrap();
            contexts.save(&harbor(), text, &Expected::Revision(read.revision)).await.unwrap();
            if text == texts[2] {
                put("contexts/harbor--ci.json", texts[3]).await;
            }
        }
        let mut history = Vec::new();
        for replaced in contexts.history(&harbor()).await.unwrap() {
            history.push(contexts.replaced(&harbor(), &replaced.revision).await.unwrap());
        }
        // What somebody has written over without keeping it, only a bucket that keeps versions has.
        let kept = if history.len() == 3 { vec![texts[1], texts[2], texts[3]] } else { vec![texts[1], texts[3]] };
        assert_eq!(history, kept);
        assert_eq!(contexts.list().await.unwrap(), [harbor()]);
        for key in ["contexts/README", "contexts/old/harbor--prod.json", "elsewhere.json"] {
            bench.moto.s3("GET", &format!("/our-fleet/{key}"), "").await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_copies_goes_on_where_the_bucket_begins_to_keep_versions() {
    let (bench, place) = (Bench::new().await, BucketPlace::new(Bench::BUCKET, "contexts"));
    let contexts = bench.s3("ada").await.contexts(&place);
    let one = made(&contexts, "one").await;
    let two = contexts.save(&harbor(), "two", &Expected::Revision(one)).await.unwrap();
    bench.moto.versioning(Bench::BUCKET, "Enabled").await.unwrap();
    let contexts = bench.s3("ada").await.contexts(&place);
    contexts.save(&harbor(), "three", &Expected::Revision(two)).await.unwrap();
    let mut texts = Vec::new();
    for replaced in contexts.history(&harbor()).await.unwrap() {
        texts.push(contexts.replaced(&harbor(), &replaced.revision).await.unwrap());
    }
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_lock_writes_nothing_that_its_new_holder_has_written() {
    for bench in [Bench::new().await, Bench::versioned().await] {
        who_has_lost_the_lock(&bench).await;
    }
}

async fn who_has_lost_the_lock(bench: &Bench) {
    let place = BucketPlace::new(Bench::BUCKET, "contexts");
    let (ada, bob) = (bench.s3("ada").await, bench.s3("bob").await);
    let beside = place.beside("bldr");
    let lost = ada.lock(&beside).acquire(&owner("ada")).await.unwrap();
    let first = made(&ada.contexts(&place), "one").await;
    ada.launches(&beside).begin(&begun(&harbor(), None)).await.unwrap();
    bob.lock(&beside).break_it(&owner("bob"), "she left").await.unwrap();
    let _held = bob.lock(&beside).acquire(&owner("bob")).await.unwrap();
    let second = bob.contexts(&place).save(&harbor(), "two", &Expected::Revision(first)).await.unwrap();
    bob.launches(&beside).begin(&begun(&harbor(), Some("large"))).await.unwrap();
    // She has not heard of it yet, and has even read what is there now.
    lost.standing().unwrap();
    for error in [
        ada.contexts(&place).save(&harbor(), "three", &Expected::Revision(second.clone())).await.unwrap_err(),
        ada.contexts(&place).remove(&harbor(), &second).await.unwrap_err(),
        ada.launches(&beside).begin(&begun(&harbor(), None)).await.unwrap_err(),
        ada.launches(&beside).end(&harbor()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, PortErrorKind::Conflict, "{error}");
        assert!(
            error.to_string().contains("somebody has taken the lock since this run did") && error.to_string().contains("bob on ops-7"),
            "{error}"
        );
    }
    assert_eq!(ada.contexts(&place).load(&harbor()).await.unwrap().text, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_made_anew_begins_at_one_and_is_another() {
    for bench in [Bench::new().await, Bench::versioned().await] {
        let place = BucketPlace::new(Bench::BUCKET, "contexts");
        let (s3, beside) = (bench.s3("ada").await, place.beside("bldr"));
        let mut tenures = Vec::new();
        let mut taken = async || {
            let guard = s3.lock(&beside).acquire(&owner("ada")).await.unwrap();
            tenures.push(guard.tenure().unwrap());
            guard
        };
        taken().await.release().await.unwrap();
        let guard = taken().await;
        let first = made(&s3.contexts(&place), "one").await;
        s3.launches(&beside).begin(&begun(&harbor(), None)).await.unwrap();
        guard.release().await.unwrap();
        bench.moto.s3("DELETE", "/our-fleet/bldr/lock.json", "").await.unwrap();
        let guard = taken().await;
        // What was written under the second holding of the lock before is not newer than the first of this one.
        s3.contexts(&place).save(&harbor(), "two", &Expected::Revision(first)).await.unwrap();
        s3.launches(&beside).end(&harbor()).await.unwrap();
        guard.release().await.unwrap();
        let [one, two, anew] = tenures.try_into().unwrap();
        assert_eq!((one.epoch, two.epoch, anew.epoch), (1, 2, 1));
        assert!(one.lock == two.lock && two.lock != anew.lock && one.is_before(&two) && !anew.is_before(&two));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_without_an_id_gets_one_when_it_is_taken_and_keeps_it() {
    let bench = Bench::new().await;
    let place = bench.place();
    let lock = bench.s3("bob").await.lock(&place);
    for id in ["", r#""id": null, "#, r#""id": "", "#, r#""id": "$(reboot)", "#] {
        let state = format!("{{{id}\"epoch\": 7, \"holder\": null, \"broken\": null}}");
        bench.moto.s3("PUT", &format!("/{}/{}/lock.json", place.bucket, place.prefix), &state).await.unwrap();
        let guard = lock.acquire(&owner("bob")).await.unwrap();
        let first = guard.tenure().unwrap();
        assert!(first.epoch == 8 && first.lock.len() == 16 && first.lock.chars().all(|c| c.is_ascii_hexdigit()), "{first:?}");
        lock.break_it(&owner("bob"), "it was me").await.unwrap();
        drop(guard);
        let again = lock.acquire(&owner("bob")).await.unwrap();
        assert!(first.is_before(&again.tenure().unwrap()));
        again.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_who_cannot_reach_the_lock_stops_in_time_and_is_still_its_holder() {
    let bench = Bench::new().await;
    let place = bench.place();
    let lossy = Lossy::before(&bench.moto.endpoint).await;
    let mut lock = quick(s3(&lossy.endpoint, "ada").await.lock(&place));
    lock.rhythm.limit = Duration::from_millis(600);
    let guard = lock.acquire(&owner("ada")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    guard.standing().unwrap();
    lossy.cut(true);
    tokio::time::sleep(Duration::from_millis(900)).await;
    let error = guard.standing().unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    assert!(
        error.to_string().contains("nothing of ours has got through to it for") && error.to_string().contains("check the network"),
        "{error}"
    );
    let other = quick(bench.s3("bob").await.lock(&place));
    assert_eq!(
        other.acquire(&owner("bob")).await.map(drop).unwrap_err().kind,
        PortErrorKind::Conflict,
        "silence alone takes it from nobody"
    );
    lossy.cut(false);
    tokio::time::sleep(Duration::from_millis(900)).await;
    guard.standing().unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_who_was_not_heard_of_for_long_may_be_taken_it_from() {
    let bench = Bench::new().await;
    let (place, old) = (bench.place(), Timestamp(1_700_000_000_000));
    let state = serde_json::json!({"epoch": 7, "broken": null, "holder": {"who": "ada", "host": "ops-7", "pid": 4711,
        "purpose": "update:harbor--ci", "since": old, "nonce": "n", "heard": old}});
    bench.moto.s3("PUT", &format!("/{}/{}/lock.json", place.bucket, place.prefix), &state.to_string()).await.unwrap();
    let lock = bench.s3("bob").await.lock(&place);
    let error = lock.acquire(&owner("bob")).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("last heard of ") && error.to_string().contains("h ago"), "{error}");
    assert!(error.advice.as_ref().unwrap().contains("`bldr lock.break:REASON` frees the lock"), "{error}");
    lock.break_it(&owner("bob"), "she left").await.unwrap();
    let guard = lock.acquire(&owner("bob")).await.unwrap();
    assert_eq!(guard.tenure().map(|tenure| tenure.epoch), Some(9));
    guard.release().await.unwrap();
    bench.moto.s3("PUT", &format!("/{}/{}/lock.json", place.bucket, place.prefix), "not JSON").await.unwrap();
    assert_eq!(lock.acquire(&owner("bob")).await.map(drop).unwrap_err().kind, PortErrorKind::Malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_known_for_our_own() {
    for bench in [Bench::new().await, Bench::versioned().await] {
        whose_answer_is_lost(&bench).await;
    }
}

async fn whose_answer_is_lost(bench: &Bench) {
    let lossy = Lossy::before(&bench.moto.endpoint).await;
    let (s3, place) = (s3(&lossy.endpoint, "ada").await, bench.place());
    let contexts = s3.contexts(&place);
    lossy.loses_the_answers_to(1);
    let first = made(&contexts, "one").await;
    lossy.loses_the_answers_to(1);
    let second = contexts.save(&harbor(), "two", &Expected::Revision(first)).await.unwrap();
    assert_eq!(contexts.load(&harbor()).await.unwrap().revision, second);
    lossy.loses_the_answers_to(1);
    let guard = s3.lock(&place.beside("bldr")).acquire(&owner("ada")).await.unwrap();
    lossy.loses_the_answers_to(1);
    guard.release().await.unwrap();
    lossy.loses_the_answers_to(1);
    let journal = s3.journal(&place.beside("bldr"));
    let (run, record) = (RunId("20261122-124301-k3f9".into()), Record { at: Timestamp(1), event: Event::Warning { message: "x".into() } });
    journal.append(&run, std::slice::from_ref(&record)).await.unwrap();
    assert_eq!(journal.read(&run).await.unwrap(), [record], "once, not twice");
    assert_eq!(lossy.lost(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_while_one_is_on_its_way_go_together() {
    let bench = Bench::new().await;
    let (s3, place) = (bench.s3("ada").await, bench.place());
    let (journal, other) = (s3.journal(&place), s3.journal(&place));
    let run = RunId("20261122-124301-k3f9".into());
    let record = |n: i64| Record { at: Timestamp(n), event: Event::Warning { message: "x".into() } };
    let records: Vec<_> = (0..100).map(record).collect();
    for answer in futures::future::join_all(records.iter().map(|record| journal.append(&run, std::slice::from_ref(record)))).await {
        answer.unwrap();
    }
    assert_eq!(journal.read(&run).await.unwrap(), records);
    let segments =
        bench.moto.s3("GET", &format!("/our-fleet?list-type=2&prefix={}/runs/", place.prefix), "").await.unwrap().matches("<Key>").count();
    assert!(segments <= 5, "{segments} objects for 100 records");
    // Another writer of the same run takes the next number, and nobody's place.
    other.append(&run, &[record(100)]).await.unwrap();
    journal.append(&run, &[record(101)]).await.unwrap();
    assert_eq!(other.read(&run).await.unwrap(), (0..102).map(record).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_and_what_highstates_print_are_encrypted_where_they_lie() {
    let bench = Bench::new().await;
    let (s3, place) = (bench.s3("ada").await, BucketPlace::new(Bench::BUCKET, "keypairs"));
    let pairs = s3.key_pairs(&place, Arc::new(MadeUpKeys::default()));
    assert_eq!(pairs.of(&harbor()).await.unwrap().1, Change::Made);
    assert_eq!(pairs.private_half(&harbor()).await.unwrap().unwrap().0, "made up, number 0");
    assert!(pairs.private_half(&"quay--ci".parse().unwrap()).await.unwrap().is_none());
    let output =
        s3.journal(&place.beside("bldr")).keep_output(&RunId("20261122-124301-k3f9".into()), &harbor().node(1), "{}").await.unwrap();
    assert_eq!(output, "s3://our-fleet/bldr/outputs/20261122-124301-k3f9/harbor--ci--1.1.json");
    for key in ["keypairs/harbor--ci.pem", output.strip_prefix("s3://our-fleet/").unwrap()] {
        let head = bench.moto.head(&format!("/our-fleet/{key}")).await.unwrap().to_lowercase();
        assert!(head.contains("x-amz-server-side-encryption: aes256"), "{head}");
    }
    bench.moto.s3("PUT", "/our-fleet/keypairs/harbor--ci.pem", "not a key").await.unwrap();
    let error = pairs.of(&harbor()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Malformed);
    assert!(!error.to_string().contains("not a key") && error.to_string().contains("s3://our-fleet/keypairs/harbor--ci.pem"), "{error}");
}

/// What an operator reads whose S3 answers like this.
async fn read(status: u16, code: &str, message: &str) -> (PortErrorKind, String) {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let server = Canned::answering([(status, body)]).await;
    let contexts = s3(&server.endpoint, "ada").await.contexts(&BucketPlace::new(Bench::BUCKET, "contexts"));
    let error = contexts.list().await.unwrap_err();
    let loaded = contexts.load(&harbor()).await.unwrap_err();
    assert_eq!((loaded.kind, &loaded.problem.replace("s3:GetObject", "s3:ListBucket")), (error.kind, &error.problem));
    (error.kind, error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_used_is_told_from_a_context_that_is_not_there() {
    let (kind, told) = read(404, "NoSuchBucket", "The specified bucket does not exist").await;
    assert_eq!(kind, PortErrorKind::Denied);
    assert!(told.contains("s3://our-fleet/contexts: there is no bucket 'our-fleet'") && told.contains("settings.yaml"), "{told}");
    let (kind, told) =
        read(301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint").await;
    assert_eq!(kind, PortErrorKind::Denied);
    assert!(told.contains("the bucket 'our-fleet' is in another region") && told.contains("get-bucket-location"), "{told}");
    let (_, told) = read(400, "AuthorizationHeaderMalformed", "the region 'eu-west-1' is wrong; expecting 'us-east-1'").await;
    assert!(told.contains("expecting 'us-east-1'"), "{told}");
    let (kind, told) = read(403, "AccessDenied", "Access Denied").await;
    assert_eq!(kind, PortErrorKind::Denied);
    assert!(told.contains("may not s3:ListBucket (AccessDenied") && told.contains("ask for the permission s3:ListBucket"), "{told}");
    for (status, code) in [(503, "SlowDown"), (500, "InternalError")] {
        assert_eq!(read(status, code, "").await.0, PortErrorKind::Unreachable, "{code}");
    }
    let lone = s3("http://127.0.0.1:1", "ada").await.contexts(&BucketPlace::new(Bench::BUCKET, "contexts"));
    let error = lone.list().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unreachable);
    assert!(error.to_string().contains("no connection to http://127.0.0.1:1:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_others_are_in_the_way_of_is_tried_again_and_is_nobodys_conflict() {
    let said = |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>at the same time</Message></Error>");
    let server = Canned::answering([(404, said("NoSuchKey")), (409, said("ConditionalRequestConflict"))]).await;
    let pairs = s3(&server.endpoint, "ada").await.key_pairs(&BucketPlace::new(Bench::BUCKET, "keypairs"), Arc::new(MadeUpKeys::default()));
    let error = pairs.of(&harbor()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unreachable);
    assert!(error.to_string().contains("others were writing to the bucket 'our-fleet' at the same time"), "{error}");
    assert!(server.asked().len() > 5, "{}", server.asked().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_several_pages_is_whole() {
    let bench = Bench::new().await;
    let place = bench.place();
    for number in 0..23 {
        bench.moto.s3("PUT", &format!("/our-fleet/{}/harbor--{number}.json", place.prefix), "{}").await.unwrap();
    }
    assert_eq!(bench.s3("ada").await.contexts(&place).list().await.unwrap().len(), 23);
}
