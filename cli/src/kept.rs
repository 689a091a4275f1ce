//! Where does a team keep something: in a folder, or in a bucket? `.cfn/contexts`, or `s3://BUCKET/FOLDER`.

use serde::Deserialize;
use std::{fmt, path::PathBuf};

/// Where contexts or key pairs are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Kept {
    /// In a folder, as written: relative to the home folder.
    Folder(PathBuf),
    /// In S3.
    Bucket {
        /// The bucket.
        bucket: String,
        /// The folder in it, without a `/` at either end.
        folder: String,
    },
}

const SCHEME: &str = "s3://";

impl From<String> for Kept {
    fn from(text: String) -> Self {
        let Some(rest) = text.strip_prefix(SCHEME) else { return Self::Folder(text.into()) };
        let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
        Self::Bucket { bucket: bucket.into(), folder: folder.trim_end_matches('/').into() }
    }
}

impl Kept {
    /// What is wrong with it as a place in S3, if anything is.
    pub fn problem(&self) -> Option<String> {
        let Self::Bucket { bucket, folder } = self else { return None };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        let odd = |part: &str| part.is_empty() || part == "." || part == ".." || part.chars().any(char::is_control);
        let why = if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(plain) {
            "names no bucket"
        } else if folder.split('/').any(odd) {
            "names no folder in the bucket"
        } else {
            return None;
        };
        Some(format!("'{self}' {why}\nwrite s3://BUCKET/FOLDER, like s3://our-fleet/contexts"))
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket { bucket, folder } => write!(f, "{SCHEME}{bucket}{}{folder}", if folder.is_empty() { "" } else { "/" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Kept {
        text.to_owned().into()
    }

    #[test]
    fn a_place_in_s3_is_a_bucket_and_a_folder() {
        let place = kept("s3://our-fleet/a/contexts/");
        assert_eq!(place, Kept::Bucket { bucket: "our-fleet".into(), folder: "a/contexts".into() });
        assert_eq!((place.to_string().as_str(), place.problem()), ("s3://our-fleet/a/contexts", None));
        assert_eq!((kept(".cfn/contexts"), kept("").problem()), (Kept::Folder(".cfn/contexts".into()), None));
    }

    #[test]
    fn what_is_no_place_is_refused_with_one_that_is() {
        for text in ["s3://", "s3://our-fleet", "s3:///contexts", "s3://Our_Fleet/contexts", "s3://our-fleet/a//b", "s3://our-fleet/../b"] {
            let why = kept(text).problem().unwrap();
            assert!(why.starts_with("'s3://") && why.ends_with("like s3://our-fleet/contexts"), "{text}: {why}");
        }
    }
}
