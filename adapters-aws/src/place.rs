//! Where in S3 is what a team shares? `s3://BUCKET/PREFIX`.

use std::fmt;

/// A folder of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BucketPlace {
    /// The bucket.
    pub bucket: String,
    /// The folder in it, without a `/` at either end; empty for the bucket itself.
    pub prefix: String,
}

impl BucketPlace {
    /// A folder of this bucket.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), prefix: prefix.into() }
    }

    /// The key of something in this folder.
    pub(crate) fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    /// A folder beside this one: `s3://BUCKET/a/contexts` has `s3://BUCKET/a/bldr` beside it.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        let prefix = self.prefix.rsplit_once('/').map_or_else(|| name.to_owned(), |(above, _)| format!("{above}/{name}"));
        Self { bucket: self.bucket.clone(), prefix }
    }
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_is_in_the_same_folder() {
        let place = |prefix| BucketPlace::new("our-fleet", prefix);
        assert_eq!(place("contexts").beside("bldr").to_string(), "s3://our-fleet/bldr");
        assert_eq!(place("a/b/contexts").beside("bldr").to_string(), "s3://our-fleet/a/b/bldr");
        assert_eq!(place("contexts").key("harbor--ci.json"), "contexts/harbor--ci.json");
        assert_eq!(place("").key("harbor--ci.json"), "harbor--ci.json");
    }
}
