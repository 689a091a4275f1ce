//! Which texts of a stack were replaced, and when, where the bucket keeps them? Every version that is not the current one.

use crate::{
    bucket::{Bucket, Version},
    failure::Failure,
};
use bldr_core::ports::{Replaced, Revision};

/// What was replaced or removed, oldest first.
pub(crate) async fn replaced(bucket: &Bucket, key: &str) -> Result<Vec<Replaced>, Failure> {
    Ok(told(&bucket.versions(key).await?))
}

/// Each was replaced when what came next was made: a version, or the mark that it was removed.
fn told(kept: &[Version]) -> Vec<Replaced> {
    let texts: Vec<_> = kept.iter().filter_map(|version| Some((version.id.as_ref()?, version))).collect();
    let removals: Vec<_> = kept.iter().filter(|version| version.id.is_none()).map(|mark| mark.modified).collect();
    let replaced = texts.iter().enumerate().filter(|(_, (_, version))| !version.current).map(|(at, (id, version))| {
        let newer = at.checked_sub(1).and_then(|newer| texts.get(newer)).map(|(_, newer)| newer.modified);
        let removed = removals.iter().filter(|removed| **removed >= version.modified).min().copied();
        Replaced { revision: Revision((*id).clone()), at: newer.into_iter().chain(removed).min().unwrap_or(version.modified) }
    });
    let mut replaced: Vec<_> = replaced.collect();
    replaced.reverse();
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use bldr_core::fleet::Timestamp;

    #[test]
    fn what_was_removed_was_replaced_then_and_not_when_it_was_made_again() {
        let version = |id: Option<&str>, at: i64, current: bool| Version { id: id.map(Into::into), current, modified: Timestamp(at) };
        let kept = [version(Some("c"), 90, true), version(Some("b"), 20, false), version(Some("a"), 10, false), version(None, 50, false)];
        let told: Vec<_> = told(&kept).into_iter().map(|replaced| (replaced.revision.0, replaced.at.0)).collect();
        assert_eq!(told, [("a".to_owned(), 20), ("b".to_owned(), 50)]);
    }

    #[test]
    fn versions_of_one_second_stay_in_their_order() {
        let version = |id: &str, current: bool| Version { id: Some(id.into()), current, modified: Timestamp(1000) };
        let kept = [version("c", true), version("b", false), version("a", false)];
        let told: Vec<_> = told(&kept).into_iter().map(|replaced| replaced.revision.0).collect();
        assert_eq!(told, ["a", "b"]);
    }
}
