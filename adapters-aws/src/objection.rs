//! Why does S3 not let bldr at a bucket, and what does an operator do about it?

use bldr_core::error::PortErrorKind as Kind;
use std::fmt;

/// Why not, and which bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    pub(crate) why: Why,
    bucket: String,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    NoBucket,
    NotABucket,
    OtherRegion,
    Throttled,
    InTheWay,
}

impl Objection {
    pub(crate) fn new(why: Why, bucket: &str, detail: impl Into<String>) -> Self {
        Self { why, bucket: bucket.into(), detail: detail.into() }
    }

    /// What a code of S3 means for the bucket as a whole, if it is one of those.
    pub(crate) fn said(bucket: &str, code: &str, message: &str) -> Option<Self> {
        let why = match code {
            "NoSuchBucket" => Why::NoBucket,
            "InvalidBucketName" => Why::NotABucket,
            "PermanentRedirect" | "TemporaryRedirect" | "Redirect" | "IllegalLocationConstraintException" => Why::OtherRegion,
            "AuthorizationHeaderMalformed" if message.contains("region") => Why::OtherRegion,
            "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException" => Why::Throttled,
            _ => return None,
        };
        Some(Self::new(why, bucket, if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") }))
    }

    /// A bucket that is not there is not a context that is not there: `NotFound` would be taken for an answer.
    pub(crate) fn kind(&self) -> Kind {
        match self.why {
            Why::NoBucket | Why::NotABucket | Why::OtherRegion => Kind::Denied,
            Why::Throttled | Why::InTheWay => Kind::Unreachable,
        }
    }

    pub(crate) fn advice(&self) -> &'static str {
        match self.why {
            Why::NoBucket | Why::NotABucket => {
                "check `contexts` and `keypairs` in settings.yaml, and AWS_PROFILE: another account has other buckets; bldr makes none"
            }
            Why::OtherRegion => {
                "ask in the bucket's own region: `aws s3api get-bucket-location --bucket BUCKET` says which, `region` in settings.yaml or AWS_REGION sets it"
            }
            Why::Throttled | Why::InTheWay => "run it again in a minute",
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = &self.bucket;
        match self.why {
            Why::NoBucket => write!(f, "there is no bucket '{bucket}'"),
            Why::NotABucket => write!(f, "'{bucket}' is no name of a bucket"),
            Why::OtherRegion => write!(f, "the bucket '{bucket}' is in another region"),
            Why::Throttled => write!(f, "S3 throttles what is asked of the bucket '{bucket}', and kept doing so while it was tried again"),
            Why::InTheWay => write!(f, "others were writing to the bucket '{bucket}' at the same time, each time that it was tried"),
        }?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}
