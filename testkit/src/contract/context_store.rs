//! What must hold of every `ContextStore`? Nothing is lost, nothing is half, and of two writers one is told.

use bldr_core::{
    error::PortErrorKind,
    name::StackName,
    ports::{ContextStore, Expected, Revision},
};
use futures::future::join_all;
use std::{collections::HashSet, sync::Arc};

/// Every rule of the port, each on a store of its own. `make` gives an empty store that may be written to.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(make: impl Fn() -> Arc<dyn ContextStore>) {
    an_empty_store_has_nothing(&*make()).await;
    what_was_saved_is_loaded_byte_for_byte(&*make()).await;
    stacks_are_listed_in_text_order(&*make()).await;
    a_save_that_expects_something_else_changes_nothing(&*make()).await;
    what_is_replaced_becomes_history(&*make()).await;
    a_text_that_came_back_is_told_from_its_first_time(&*make()).await;
    stacks_do_not_share_anything(&*make()).await;
    saving_the_same_text_again_is_harmless(&*make()).await;
    what_is_removed_is_history_and_may_be_made_again(&*make()).await;
    a_removal_that_means_something_else_changes_nothing(&*make()).await;
    of_removers_at_the_same_time_exactly_one_wins(&*make()).await;
    of_writers_at_the_same_time_exactly_one_wins(&*make()).await;
}

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

fn expecting(revision: &Revision) -> Expected {
    Expected::Revision(revision.clone())
}

/// The texts of a stack's history, oldest first.
async fn kept(store: &dyn ContextStore, stack: &StackName) -> Vec<String> {
    let mut kept = Vec::new();
    for replaced in store.history(stack).await.unwrap() {
        kept.push(store.replaced(stack, &replaced.revision).await.unwrap());
    }
    kept
}

async fn an_empty_store_has_nothing(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    assert_eq!(store.list().await.unwrap(), []);
    let error = store.load(&harbor).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("harbor--ci"), "the stack is named: {error}");
    assert_eq!(store.history(&harbor).await.unwrap(), []);
    let error = store.replaced(&harbor, &Revision("feedfacefeedface".into())).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound, "{error}");
}

async fn what_was_saved_is_loaded_byte_for_byte(store: &dyn ContextStore) {
    let large = format!("{{\"x\": \"{}\"}}", "ab".repeat(200_000));
    let mut revisions = HashSet::new();
    for (i, text) in ["{}", "", "{\"a\": 1}\n", "{\r\n}\r\n", " ä€\u{1F600}\u{0}\u{feff} ", &large].iter().enumerate() {
        let name = stack(&format!("harbor--{i}"));
        let revision = store.save(&name, text, &Expected::Absent).await.unwrap();
        let document = store.load(&name).await.unwrap();
        assert_eq!(document.text, **text);
        assert_eq!(document.revision, revision, "save and load agree on what identifies a text");
        revisions.insert(revision);
    }
    assert_eq!(revisions.len(), 6, "different texts have different revisions");
}

async fn stacks_are_listed_in_text_order(store: &dyn ContextStore) {
    for name in ["b--2", "a--b", "b--10", "A--z", "a--B", "a_b--c", "a.b--c", "a-b--c", "a--b--1"] {
        store.save(&stack(name), "{}", &Expected::Absent).await.unwrap();
    }
    let listed = store.list().await.unwrap();
    let mut sorted: Vec<_> = listed.iter().map(ToString::to_string).collect();
    sorted.sort_unstable();
    assert_eq!(listed.len(), 9);
    assert_eq!(listed.iter().map(ToString::to_string).collect::<Vec<_>>(), sorted);
}

async fn a_save_that_expects_something_else_changes_nothing(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    let conflict = async |text: &str, expected: Expected, why: &str| {
        let error = store.save(&harbor, text, &expected).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Conflict, "{why}: {error}");
        assert!(error.to_string().contains("harbor--ci"), "{why}: the stack is named: {error}");
    };
    conflict("new", Expected::Revision(Revision("feedfacefeedface".into())), "nothing is stored").await;
    assert_eq!(store.list().await.unwrap(), []);

    let first = store.save(&harbor, "one", &Expected::Absent).await.unwrap();
    conflict("new", Expected::Absent, "something is stored").await;
    assert_eq!(store.load(&harbor).await.unwrap().text, "one");

    store.save(&harbor, "two", &expecting(&first)).await.unwrap();
    conflict("new", expecting(&first), "something newer is stored").await;
    conflict("new", Expected::Absent, "something is stored").await;
    assert_eq!(store.load(&harbor).await.unwrap().text, "two");
    assert_eq!(store.history(&harbor).await.unwrap().len(), 1, "a refused save leaves no history");
}

async fn what_is_replaced_becomes_history(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    let mut expected = Expected::Absent;
    let texts = ["one", "two\r\n", "", "ä"];
    for text in texts {
        expected = expecting(&store.save(&harbor, text, &expected).await.unwrap());
    }
    let history = store.history(&harbor).await.unwrap();
    assert_eq!(kept(store, &harbor).await, texts[..3], "oldest first, byte for byte, without what is in place");
    assert!(history.is_sorted_by_key(|replaced| replaced.at));
    let error = store.replaced(&harbor, &Revision("feedfacefeedface".into())).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound, "{error}");
}

async fn a_text_that_came_back_is_told_from_its_first_time(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    let mut expected = Expected::Absent;
    for text in ["one", "two", "one", "two", "three"] {
        expected = expecting(&store.save(&harbor, text, &expected).await.unwrap());
    }
    let history = store.history(&harbor).await.unwrap();
    let names: HashSet<_> = history.iter().map(|replaced| replaced.revision.clone()).collect();
    assert_eq!(names.len(), 4, "every entry has a name of its own");
    assert_eq!(kept(store, &harbor).await, ["one", "two", "one", "two"]);
}

async fn stacks_do_not_share_anything(store: &dyn ContextStore) {
    let (one, other) = (stack("harbor--ci"), stack("harbor--ci--2"));
    let first = store.save(&one, "{}", &Expected::Absent).await.unwrap();
    store.save(&one, "{\"a\": 1}", &expecting(&first)).await.unwrap();
    store.save(&other, "{}", &Expected::Absent).await.unwrap();
    assert_eq!(store.history(&other).await.unwrap(), []);
    let replaced = store.history(&one).await.unwrap().remove(0).revision;
    assert_eq!(store.replaced(&other, &replaced).await.unwrap_err().kind, PortErrorKind::NotFound);
}

async fn saving_the_same_text_again_is_harmless(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    let first = store.save(&harbor, "{}", &Expected::Absent).await.unwrap();
    let second = store.save(&harbor, "{}", &expecting(&first)).await.unwrap();
    assert_eq!(store.load(&harbor).await.unwrap().revision, second);
    store.save(&harbor, "{\"a\": 1}", &expecting(&second)).await.unwrap();
    for replaced in store.history(&harbor).await.unwrap() {
        assert_eq!(store.replaced(&harbor, &replaced.revision).await.unwrap(), "{}");
    }
}

async fn what_is_removed_is_history_and_may_be_made_again(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    let texts = ["{\"a\": 1}\r\n", " \u{e4} ", "{\"b\": 2}"];
    let first = store.save(&harbor, texts[0], &Expected::Absent).await.unwrap();
    let second = store.save(&harbor, texts[1], &expecting(&first)).await.unwrap();
    store.save(&stack("quay--ci"), "{}", &Expected::Absent).await.unwrap();
    store.remove(&harbor, &second).await.unwrap();

    assert_eq!(store.list().await.unwrap(), [stack("quay--ci")]);
    assert_eq!(store.load(&harbor).await.unwrap_err().kind, PortErrorKind::NotFound);
    assert_eq!(kept(store, &harbor).await, texts[..2]);

    let third = store.save(&harbor, texts[2], &Expected::Absent).await.unwrap();
    assert_eq!(store.load(&harbor).await.unwrap().text, texts[2]);
    assert_eq!(kept(store, &harbor).await, texts[..2], "what is stored is no history yet");
    store.remove(&harbor, &third).await.unwrap();
    assert_eq!(kept(store, &harbor).await, texts);
}

async fn a_removal_that_means_something_else_changes_nothing(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    let refused = async |revision: &Revision, kind: PortErrorKind| {
        let error = store.remove(&harbor, revision).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains("harbor--ci"), "the stack is named: {error}");
    };
    refused(&Revision("feedfacefeedface".into()), PortErrorKind::NotFound).await;
    let first = store.save(&harbor, "one", &Expected::Absent).await.unwrap();
    let second = store.save(&harbor, "two", &expecting(&first)).await.unwrap();
    refused(&first, PortErrorKind::Conflict).await;
    assert_eq!(store.load(&harbor).await.unwrap().text, "two");
    assert_eq!(kept(store, &harbor).await, ["one"], "a refused removal leaves no history");
    store.remove(&harbor, &second).await.unwrap();
    refused(&second, PortErrorKind::NotFound).await;
    assert_eq!(kept(store, &harbor).await, ["one", "two"]);
}

async fn of_removers_at_the_same_time_exactly_one_wins(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    let stored = store.save(&harbor, "{}", &Expected::Absent).await.unwrap();
    let answers = join_all((0..6).map(|_| store.remove(&harbor, &stored))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    answers.iter().filter_map(|answer| answer.as_ref().err()).for_each(|error| assert_eq!(error.kind, PortErrorKind::NotFound, "{error}"));
    assert_eq!(kept(store, &harbor).await, ["{}"]);
}

async fn of_writers_at_the_same_time_exactly_one_wins(store: &dyn ContextStore) {
    let harbor = stack("harbor--ci");
    let mut expected = Expected::Absent;
    for round in 0..8 {
        let texts: Vec<_> = (0..6).map(|writer| format!("{{\"round\": {round}, \"writer\": {writer}}}")).collect();
        let answers = join_all(texts.iter().map(|text| store.save(&harbor, text, &expected))).await;
        let lost = answers.iter().filter_map(|answer| answer.as_ref().err());
        lost.for_each(|error| assert_eq!(error.kind, PortErrorKind::Conflict, "{error}"));
        let won: Vec<_> = answers.iter().enumerate().filter_map(|(i, answer)| Some((&texts[i], answer.as_ref().ok()?))).collect();
        let [(text, revision)] = won[..] else { panic!("{} writers won round {round}", won.len()) };
        let stored = store.load(&harbor).await.unwrap();
        assert_eq!((&stored.text, &stored.revision), (text, revision));
        expected = expecting(revision);
    }
    assert_eq!(store.history(&harbor).await.unwrap().len(), 7);
}
