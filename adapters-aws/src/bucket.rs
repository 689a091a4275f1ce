//! How are objects read and written, so that of two writers one is told? Every write names what it replaces.

use crate::{
    failure::{Access, Failure},
    objection::{Objection, Why},
    writer::Writer,
};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::{ByteStream, DateTime},
    types::{BucketVersioningStatus, ServerSideEncryption},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bldr_core::fleet::Timestamp;
use std::{collections::HashMap, error::Error, sync::Arc, time::Duration};

/// A bucket, ready to be asked. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) client: Client,
    pub(crate) name: Arc<str>,
    pub(crate) access: Access,
}

/// After each of these pauses, in milliseconds, a write is tried once more that others were in the way of.
const PAUSES: [u64; 5] = [50, 100, 200, 400, 800];

/// What is kept beside an object: who wrote it, when, under which holding of the lock, and which write it was.
pub(crate) type Notes = HashMap<String, String>;

/// An object as it was read.
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
    pub(crate) notes: Notes,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) modified: Timestamp,
}

/// One state that a bucket with versioning keeps of an object, or that it was removed (`id` is `None` then).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) id: Option<String>,
    pub(crate) current: bool,
    pub(crate) modified: Timestamp,
}

/// What a writer believes to be there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum There<'a> {
    Nothing,
    Still(&'a str),
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there, and this is its ETag.
    Done(String),
    /// Something else was there than was believed; nothing was written.
    Refused,
}

/// What came of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    Done,
    Refused,
    /// There was nothing.
    Absent,
}

/// Whether S3 is told to encrypt, whatever the bucket's own settings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealed {
    Yes,
    AsTheBucketDoes,
}

/// What S3 said to a question about one object.
enum Said {
    NoObject,
    Changed,
    InTheWay(String),
    Failure(Failure),
}

impl Bucket {
    /// An object as operators read it.
    pub(crate) fn shown(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Object>, Failure> {
        self.read(key, None).await
    }

    pub(crate) async fn get_version(&self, key: &str, id: &str) -> Result<Option<Object>, Failure> {
        self.read(key, Some(id)).await
    }

    async fn read(&self, key: &str, version: Option<&str>) -> Result<Option<Object>, Failure> {
        let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        let asked = self.client.get_object().bucket(&*self.name).key(key).set_version_id(version.map(Into::into)).send().await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                return match self.said(action, &error) {
                    Said::NoObject => Ok(None),
                    said => Err(self.failed(said)),
                };
            }
        };
        let etag = plain(answer.e_tag.as_deref()).ok_or_else(|| Failure::Malformed(format!("{} has no ETag", self.shown(key))))?;
        let (modified, notes) = (millis(answer.last_modified), answer.metadata.unwrap_or_default());
        let cut = |_| Failure::TimedOut { endpoint: self.shown(key), action };
        let bytes = answer.body.collect().await.map_err(cut)?.to_vec();
        Ok(Some(Object { bytes, etag, modified, notes }))
    }

    /// Writes an object if what is there is what is believed to be there. A write whose answer was lost is told from that of somebody
    /// else by its number, which no other write has.
    pub(crate) async fn put(&self, key: &str, bytes: &[u8], writer: &Writer, there: There<'_>, sealed: Sealed) -> Result<Put, Failure> {
        self.put_with(key, bytes, &writer.notes(), there, sealed).await
    }

    pub(crate) async fn put_with(&self, key: &str, bytes: &[u8], notes: &Notes, there: There<'_>, sealed: Sealed) -> Result<Put, Failure> {
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            let (if_none_match, if_match) = match there {
                There::Nothing => (Some("*".to_owned()), None),
                There::Still(etag) => (None, Some(format!("\"{etag}\""))),
            };
            let asked = self
                .client
                .put_object()
                .bucket(&*self.name)
                .key(key)
                .body(ByteStream::from(bytes.to_vec()))
                .set_metadata(Some(notes.clone()))
                .set_if_none_match(if_none_match)
                .set_if_match(if_match)
                .set_server_side_encryption((sealed == Sealed::Yes).then_some(ServerSideEncryption::Aes256))
                .send()
                .await;
            let error = match asked {
                Ok(answer) => {
                    let etag = plain(answer.e_tag()).ok_or_else(|| Failure::Malformed(format!("no ETag for {}", self.shown(key))))?;
                    return Ok(Put::Done(etag));
                }
                Err(error) => error,
            };
            match (self.said("s3:PutObject", &error), pause) {
                (Said::Changed | Said::NoObject, _) => {
                    let ours = |object: &Object| object.notes.get(Writer::WRITE).is_some_and(|w| Some(w) == notes.get(Writer::WRITE));
                    return Ok(self.get(key).await?.filter(ours).map_or(Put::Refused, |object| Put::Done(object.etag)));
                }
                (Said::InTheWay(_), Some(pause)) => tokio::time::sleep(Duration::from_millis(pause)).await,
                (said, _) => return Err(self.failed(said)),
            }
        }
        Err(self.failed(Said::InTheWay(String::new())))
    }

    /// Removes an object if it is this one.
    pub(crate) async fn delete(&self, key: &str, etag: &str) -> Result<Deleted, Failure> {
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            let asked = self.client.delete_object().bucket(&*self.name).key(key).if_match(format!("\"{etag}\"")).send().await;
            let Err(error) = asked else { return Ok(Deleted::Done) };
            match (self.said("s3:DeleteObject", &error), pause) {
                (Said::NoObject, _) => return Ok(Deleted::Absent),
                (Said::Changed, _) => return Ok(if self.get(key).await?.is_some() { Deleted::Refused } else { Deleted::Absent }),
                (Said::InTheWay(_), Some(pause)) => tokio::time::sleep(Duration::from_millis(pause)).await,
                (said, _) => return Err(self.failed(said)),
            }
        }
        Err(self.failed(Said::InTheWay(String::new())))
    }

    /// The objects right in this folder (`a/b/`), by key, those after this key where one is given; all pages or an error.
    pub(crate) async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, Failure> {
        Ok(self.listed(folder, after).await?.0)
    }

    /// The folders right in this folder: their names.
    pub(crate) async fn folders(&self, folder: &str) -> Result<Vec<String>, Failure> {
        Ok(self.listed(folder, None).await?.1)
    }

    async fn listed(&self, folder: &str, after: Option<&str>) -> Result<(Vec<Listed>, Vec<String>), Failure> {
        let (mut objects, mut folders, mut next) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let asked =
                self.client.list_objects_v2().bucket(&*self.name).prefix(folder).delimiter("/").set_start_after(after.map(Into::into));
            let page = asked.set_continuation_token(next.clone()).send().await;
            let page = page.map_err(|error| self.failed(self.said("s3:ListBucket", &error)))?;
            for object in page.contents() {
                let key = object.key().unwrap_or_default().to_owned();
                objects.push(Listed { key, modified: millis(object.last_modified().copied()) });
            }
            let inner = page.common_prefixes().iter().filter_map(|p| p.prefix()?.strip_prefix(folder)?.strip_suffix('/'));
            folders.extend(inner.map(str::to_owned));
            let after = page.next_continuation_token().filter(|_| page.is_truncated() == Some(true)).map(str::to_owned);
            match after {
                None => return Ok((objects, folders)),
                // A part of the contexts must not pass for all of them.
                same if same == next => return Err(Failure::Malformed("the same page again and again".to_owned())),
                after => next = after,
            }
        }
    }

    /// What is kept of an object, newest first.
    pub(crate) async fn versions(&self, key: &str) -> Result<Vec<Version>, Failure> {
        let (mut found, mut next) = (Vec::new(), (None::<String>, None::<String>));
        loop {
            let asked = self.client.list_object_versions().bucket(&*self.name).prefix(key);
            let page = asked.set_key_marker(next.0.clone()).set_version_id_marker(next.1.clone()).send().await;
            let page = page.map_err(|error| self.failed(self.said("s3:ListBucketVersions", &error)))?;
            let mut kept: Vec<_> = page.versions().iter().filter(|v| v.key() == Some(key)).collect();
            // S3 gives them in this order; a stable sort keeps those of one second as they came.
            kept.sort_by_key(|v| std::cmp::Reverse(millis(v.last_modified().copied())));
            found.extend(kept.into_iter().map(|v| Version {
                id: v.version_id().map(str::to_owned),
                current: v.is_latest() == Some(true),
                modified: millis(v.last_modified().copied()),
            }));
            found.extend(page.delete_markers().iter().filter(|m| m.key() == Some(key)).map(|m| Version {
                id: None,
                current: m.is_latest() == Some(true),
                modified: millis(m.last_modified().copied()),
            }));
            let after = (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
            match page.is_truncated() {
                Some(true) if after != next => next = after,
                Some(true) => return Err(Failure::Malformed("the same page again and again".to_owned())),
                _ => return Ok(found),
            }
        }
    }

    /// Whether S3 itself keeps what is replaced.
    pub(crate) async fn keeps_versions(&self) -> Result<bool, Failure> {
        match self.client.get_bucket_versioning().bucket(&*self.name).send().await {
            Ok(answer) => Ok(answer.status() == Some(&BucketVersioningStatus::Enabled)),
            Err(error) => Err(self.failed(self.said("s3:GetBucketVersioning", &error))),
        }
    }

    fn said<E>(&self, action: &'static str, error: &SdkError<E, HttpResponse>) -> Said
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        if let SdkError::ServiceError(answer) = error {
            let (code, message) = (answer.err().code().unwrap_or_default(), answer.err().message().unwrap_or_default());
            match (code, answer.raw().status().as_u16()) {
                ("NoSuchKey" | "NoSuchVersion", _) => return Said::NoObject,
                ("PreconditionFailed", _) | ("", 412) => return Said::Changed,
                ("ConditionalRequestConflict" | "OperationAborted", _) | ("", 409) => return Said::InTheWay(message.to_owned()),
                _ => {}
            }
            if let Some(objection) = Objection::said(&self.name, code, message) {
                return Said::Failure(Failure::Bucket(objection));
            }
        }
        Said::Failure(self.access.failure(action, error))
    }

    fn failed(&self, said: Said) -> Failure {
        match said {
            Said::Failure(failure) => failure,
            Said::InTheWay(detail) => Failure::Bucket(Objection::new(Why::InTheWay, &self.name, detail)),
            Said::NoObject | Said::Changed => Failure::Malformed("an answer to another question".to_owned()),
        }
    }
}

/// An ETag without its quotes.
fn plain(etag: Option<&str>) -> Option<String> {
    etag.map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty())
}

fn millis(at: Option<DateTime>) -> Timestamp {
    Timestamp(at.and_then(|at| at.to_millis().ok()).unwrap_or(0))
}
