//! What has somebody else changed in a context while a run was about to write it? The names of keys, never their values.

use crate::{
    error::{PortError, PortErrorKind, PortResult},
    json::{self, Value},
    name::StackName,
    ports::{ContextStore, Expected, Revision},
};
use std::collections::BTreeSet;

/// The most names that are told.
const MOST: usize = 8;

/// Saves a text in the place of what was read. Where somebody has been there since, the failure says which keys differ by now.
pub(crate) async fn save(
    contexts: &dyn ContextStore,
    stack: &StackName,
    text: &str,
    read: &str,
    revision: Revision,
) -> PortResult<Revision> {
    match contexts.save(stack, text, &Expected::Revision(revision)).await {
        Err(error) if error.kind == PortErrorKind::Conflict => Err(told(error, contexts, stack, read).await),
        answer => answer,
    }
}

async fn told(mut error: PortError, contexts: &dyn ContextStore, stack: &StackName, read: &str) -> PortError {
    // That it cannot be read now is no more than that: the conflict is what is to be told.
    if let Ok(now) = contexts.load(stack).await {
        error.problem.push_str(&format!("; {}", sentence(&differing(read, &now.text))));
    }
    error
}

fn sentence(differing: &[String]) -> String {
    let more = differing.len().saturating_sub(MOST);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    match differing {
        [] => "its keys and values are the same by now".into(),
        [one] => format!("what differs by now is '{one}'"),
        several => format!("what differs by now: {}{more}", several.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ")),
    }
}

/// The keys whose values differ, with dots, as deep as both have maps; in text order.
fn differing(read: &str, now: &str) -> Vec<String> {
    match (json::parse(read), json::parse(now)) {
        (Ok(read), Ok(now)) => {
            let mut found = BTreeSet::new();
            compare("", &read, &now, &mut found);
            found.into_iter().collect()
        }
        _ if read == now => Vec::new(),
        _ => vec!["the whole text, which is no JSON".into()],
    }
}

fn compare(path: &str, read: &Value, now: &Value, found: &mut BTreeSet<String>) {
    let (Some(before), Some(after)) = (read.as_object(), now.as_object()) else {
        if read != now {
            found.insert(if path.is_empty() { "the whole text".into() } else { path.into() });
        }
        return;
    };
    let names: BTreeSet<String> = before.iter().chain(after.iter()).filter_map(|(name, _)| name.decoded()).collect();
    for name in names {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (before.get(&name), after.get(&name)) {
            (Some(before), Some(after)) => compare(&inner, before, after, found),
            (None, None) => {}
            _ => _ = found.insert(inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_as_deep_as_both_have_maps() {
        let read = r#"{"a": 1, "ec2": {"master_ip": "10.0.0.1", "x": {"y": 1}}, "gone": 1, "list": [1, 2]}"#;
        let now = r#"{"ec2": {"x": {"y": 2}, "master_ip": "10.0.0.2"}, "a": 1, "list": [2, 1], "new": "secret"}"#;
        assert_eq!(differing(read, now), ["ec2.master_ip", "ec2.x.y", "gone", "list", "new"]);
        assert_eq!(differing(read, read), Vec::<String>::new());
        assert_eq!(differing(read, "[]"), ["the whole text"]);
        assert_eq!(differing(read, "not JSON"), ["the whole text, which is no JSON"]);
    }

    #[test]
    fn no_value_is_told_and_no_endless_list() {
        let many: Vec<String> = (0..20).map(|n| format!("key{n:02}")).collect();
        let told = sentence(&many);
        assert!(told.ends_with("key07 and 12 more"), "{told}");
        assert_eq!(sentence(&differing(r#"{"password": "a"}"#, r#"{"password": "b"}"#)), "what differs by now is 'password'");
    }
}
