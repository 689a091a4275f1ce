//! Where are the contexts of all stacks, when they are in a bucket? In `CONTEXTS/STACK.json`.

use crate::{
    bucket::{Deleted, Notes, Object, Put, Sealed, There},
    copies::Copies,
    failure::Failure,
    shelf::{Shelf, no_revision, text},
    versions,
    writer::Written,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
    ports::{ContextStore, Document, Expected, Replaced, Revision, Tenure},
};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The contexts of all stacks in a folder of a bucket, one object each. Objects that are not called after a stack are left alone.
///
/// A revision is the object's ETag, and the holding of the lock under which it was written: so a save has nothing to ask before it writes.
/// What is replaced is kept by the bucket where its versioning is on, and beside the contexts where it is not; to be copied it has to be
/// read first.
#[derive(Clone)]
pub struct S3Contexts {
    shelf: Shelf,
    versioned: Arc<OnceCell<bool>>,
}

impl S3Contexts {
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self { shelf, versioned: Arc::default() }
    }

    fn name(stack: &StackName) -> String {
        format!("{stack}.json")
    }

    /// Whether S3 itself keeps what is replaced. Asked once; whoever may not ask keeps copies.
    async fn versioned(&self) -> PortResult<bool> {
        let ask = async || match self.shelf.bucket.keeps_versions().await {
            Err(Failure::Denied { .. }) => Ok(false),
            answer => answer.map_err(self.shelf.about("")),
        };
        self.versioned.get_or_try_init(ask).await.copied()
    }

    fn copies(&self, stack: &StackName) -> Copies {
        Copies::new(self.shelf.folder(&format!(".history/{stack}")))
    }

    async fn stored(&self, stack: &StackName) -> PortResult<Option<Object>> {
        self.shelf.get(&Self::name(stack)).await
    }

    fn missing(&self, stack: &StackName) -> PortError {
        let problem = format!("it has no context: there is no {}", self.shelf.shown(&Self::name(stack)));
        PortError::new(PortErrorKind::NotFound, stack.as_str(), problem)
    }

    /// Why what is there must not be replaced: it is not what was expected.
    fn conflict(stack: &StackName, expected: Option<&Seen<'_>>, stored: Option<&Object>) -> Option<PortError> {
        let written = stored.map(|stored| format!(" ({})", Written::of(&stored.notes, stored.modified))).unwrap_or_default();
        let problem = match (expected, stored) {
            (None, None) => return None,
            (Some(expected), Some(stored)) if expected.etag == stored.etag => return None,
            (None, Some(_)) => format!("somebody else has made its context in the meantime{written}"),
            (Some(_), Some(_)) => format!("somebody else has written its context since it was read{written}"),
            (Some(_), None) => "somebody else has removed its context since it was read".to_owned(),
        };
        let advice = "nothing was written; run this again, it then begins with what is there now";
        Some(PortError::new(PortErrorKind::Conflict, stack.as_str(), problem).advise(advice))
    }

    /// That this may be replaced by us.
    fn ours(&self, stack: &StackName, expected: Option<&Seen<'_>>, stored: Option<&Object>) -> PortResult<()> {
        if let Some(conflict) = Self::conflict(stack, expected, stored) {
            return Err(conflict);
        }
        stored.map_or(Ok(()), |stored| self.shelf.fenced(stack.as_str(), stored))
    }
}

/// What a revision says.
struct Seen<'a> {
    etag: &'a str,
    tenure: Option<Tenure>,
}

impl<'a> Seen<'a> {
    /// `ETAG`, or `ETAG@EPOCH@LOCK`.
    fn at(Revision(revision): &'a Revision) -> Self {
        let (etag, under) = revision.split_once('@').unwrap_or((revision, ""));
        let tenure = under.split_once('@').and_then(|(epoch, lock)| Some(Tenure { lock: lock.into(), epoch: epoch.parse().ok()? }));
        Self { etag, tenure }
    }
}

fn revision(etag: &str, notes: &Notes) -> Revision {
    let under = |Tenure { lock, epoch }| format!("{etag}@{epoch}@{lock}");
    Revision(Written::tenure_of(notes).map_or_else(|| etag.to_owned(), under))
}

#[async_trait]
impl ContextStore for S3Contexts {
    async fn list(&self) -> PortResult<Vec<StackName>> {
        let mut stacks: Vec<StackName> = self.shelf.names(".json").await?.iter().filter_map(|name| name.parse().ok()).collect();
        stacks.sort_unstable();
        Ok(stacks)
    }

    async fn load(&self, stack: &StackName) -> PortResult<Document> {
        let stored = self.stored(stack).await?.ok_or_else(|| self.missing(stack))?;
        let revision = revision(&stored.etag, &stored.notes);
        Ok(Document { text: text(&self.shelf.shown(&Self::name(stack)), stored.bytes)?, revision })
    }

    async fn save(&self, stack: &StackName, text: &str, expected: &Expected) -> PortResult<Revision> {
        let name = Self::name(stack);
        let expected = match expected {
            Expected::Absent => None,
            Expected::Revision(revision) => Some(Seen::at(revision)),
        };
        let expected = expected.as_ref();
        let mut notes = self.shelf.writer.notes();
        let versioned = self.versioned().await?;
        // Otherwise S3 itself says whether it is still there, when it is replaced.
        if !versioned || self.shelf.writer.is_before(expected.and_then(|seen| seen.tenure.as_ref())) {
            let stored = self.stored(stack).await?;
            self.ours(stack, expected, stored.as_ref())?;
            if !versioned {
                self.copies(stack).keep(stored.as_ref(), &mut notes).await?;
            }
        }
        let there = expected.map_or(There::Nothing, |seen| There::Still(seen.etag));
        let key = self.shelf.key(&name);
        let put = self.shelf.bucket.put_with(&key, text.as_bytes(), &notes, there, Sealed::AsTheBucketDoes).await;
        match put.map_err(self.shelf.about(&name))? {
            Put::Done(etag) => Ok(revision(&etag, &notes)),
            Put::Refused => {
                let stored = self.stored(stack).await?;
                // It may have been put back meanwhile to what was expected; we were refused all the same.
                let again =
                    || PortError::new(PortErrorKind::Conflict, stack.as_str(), "others are writing its context").advise("run this again");
                Err(Self::conflict(stack, expected, stored.as_ref()).unwrap_or_else(again))
            }
        }
    }

    async fn remove(&self, stack: &StackName, stored: &Revision) -> PortResult<()> {
        let (name, expected) = (Self::name(stack), Seen::at(stored));
        let there = self.stored(stack).await?.ok_or_else(|| self.missing(stack))?;
        self.ours(stack, Some(&expected), Some(&there))?;
        if !self.versioned().await? {
            self.copies(stack).keep(Some(&there), &mut self.shelf.writer.notes()).await?;
        }
        match self.shelf.bucket.delete(&self.shelf.key(&name), &there.etag).await.map_err(self.shelf.about(&name))? {
            Deleted::Done => Ok(()),
            Deleted::Absent => Err(self.missing(stack)),
            Deleted::Refused => {
                let now = self.stored(stack).await?;
                Err(Self::conflict(stack, Some(&expected), now.as_ref()).unwrap_or_else(|| self.missing(stack)))
            }
        }
    }

    async fn history(&self, stack: &StackName) -> PortResult<Vec<Replaced>> {
        let mut history = self.copies(stack).replaced(self.stored(stack).await?.as_ref()).await?;
        if self.versioned().await? {
            // Copies are of the time before the bucket kept versions.
            let key = self.shelf.key(&Self::name(stack));
            history.extend(versions::replaced(&self.shelf.bucket, &key).await.map_err(self.shelf.about(&Self::name(stack)))?);
        }
        Ok(history)
    }

    async fn replaced(&self, stack: &StackName, revision: &Revision) -> PortResult<String> {
        let name = Self::name(stack);
        if let Some(copy) = self.copies(stack).of(self.stored(stack).await?.as_ref(), revision).await? {
            return text(&self.shelf.shown(&name), copy.bytes);
        }
        let unknown = || no_revision(stack, &revision.0);
        if !self.history(stack).await?.iter().any(|replaced| replaced.revision == *revision) {
            return Err(unknown());
        }
        let found = self.shelf.bucket.get_version(&self.shelf.key(&name), &revision.0).await.map_err(self.shelf.about(&name))?;
        text(&self.shelf.shown(&name), found.ok_or_else(unknown)?.bytes)
    }
}
