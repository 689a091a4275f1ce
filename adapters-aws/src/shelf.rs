//! What do all who keep something in a folder of a bucket have in common? The bucket, the folder, and who writes.

use crate::{
    bucket::{Bucket, Listed, Object, Put, Sealed, There},
    failure::Failure,
    place::BucketPlace,
    writer::{Writer, Written},
};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
};

/// A folder of a bucket.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) bucket: Bucket,
    pub(crate) place: BucketPlace,
    pub(crate) writer: Writer,
}

/// How often something is read anew that somebody else writes all the time.
const TURNS: usize = 8;

impl Shelf {
    /// A folder of this folder.
    pub(crate) fn folder(&self, name: &str) -> Self {
        let place = BucketPlace { bucket: self.place.bucket.clone(), prefix: self.place.key(name) };
        Self { place, ..self.clone() }
    }

    pub(crate) fn key(&self, name: &str) -> String {
        self.place.key(name)
    }

    /// An object as operators read it.
    pub(crate) fn shown(&self, name: &str) -> String {
        self.bucket.shown(&self.key(name))
    }

    /// Something went wrong with the folder, or with something in it.
    pub(crate) fn about(&self, name: &str) -> impl FnOnce(Failure) -> PortError {
        let subject = if name.is_empty() { self.place.to_string() } else { self.shown(name) };
        move |failure| failure.about(subject)
    }

    pub(crate) async fn get(&self, name: &str) -> PortResult<Option<Object>> {
        self.bucket.get(&self.key(name)).await.map_err(self.about(name))
    }

    pub(crate) async fn put(&self, name: &str, bytes: &[u8], there: There<'_>, sealed: Sealed) -> PortResult<Put> {
        self.bucket.put(&self.key(name), bytes, &self.writer, there, sealed).await.map_err(self.about(name))
    }

    /// What is right in the folder and called `NAME.ending`: the NAMEs, in text order. Hidden ones are ours, not the caller's.
    pub(crate) async fn names(&self, ending: &str) -> PortResult<Vec<String>> {
        Ok(self.entries(ending).await?.into_iter().map(|(name, _)| name).collect())
    }

    /// Those whose whole names come after this one in text order.
    pub(crate) async fn names_after(&self, name: &str, ending: &str) -> PortResult<Vec<String>> {
        Ok(self.listed(Some(&self.key(name)), ending).await?.into_iter().map(|(name, _)| name).collect())
    }

    pub(crate) async fn entries(&self, ending: &str) -> PortResult<Vec<(String, Listed)>> {
        self.listed(None, ending).await
    }

    async fn listed(&self, after: Option<&str>, ending: &str) -> PortResult<Vec<(String, Listed)>> {
        let folder = self.key("");
        let listed = self.bucket.list(&folder, after).await.map_err(self.about(""))?;
        let named = listed.into_iter().filter_map(|listed| {
            let name = listed.key.strip_prefix(&folder)?.strip_suffix(ending)?.to_owned();
            (!name.starts_with('.')).then_some((name, listed))
        });
        let mut named: Vec<_> = named.collect();
        named.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(named)
    }

    /// Puts something in the place of whatever is there; of two who do, the later one wins. `Conflict` where somebody has written it who
    /// took the lock after us.
    pub(crate) async fn replace(&self, name: &str, bytes: &[u8]) -> PortResult<()> {
        for _ in 0..TURNS {
            let stored = self.get(name).await?;
            if let Some(stored) = &stored {
                self.fenced(&self.shown(name), stored)?;
            }
            let there = stored.as_ref().map_or(There::Nothing, |stored| There::Still(&stored.etag));
            if let Put::Done(_) = self.put(name, bytes, there, Sealed::AsTheBucketDoes).await? {
                return Ok(());
            }
        }
        Err(self.busy(name))
    }

    /// Removes something, whatever it is; `false` where nothing was.
    pub(crate) async fn discard(&self, name: &str) -> PortResult<bool> {
        use crate::bucket::Deleted;
        for _ in 0..TURNS {
            let Some(stored) = self.get(name).await? else { return Ok(false) };
            self.fenced(&self.shown(name), &stored)?;
            match self.bucket.delete(&self.key(name), &stored.etag).await.map_err(self.about(name))? {
                Deleted::Done => return Ok(true),
                Deleted::Absent => return Ok(false),
                Deleted::Refused => {}
            }
        }
        Err(self.busy(name))
    }

    fn busy(&self, name: &str) -> PortError {
        let problem = format!("somebody else wrote it each time that it was tried ({TURNS} times)");
        PortError::new(PortErrorKind::Unreachable, self.shown(name), problem).advise("run it again in a minute")
    }

    /// That nobody has written it who took the lock after us: we do not hold it any more then, whatever we believe.
    pub(crate) fn fenced(&self, subject: &str, stored: &Object) -> PortResult<()> {
        let written = Written::of(&stored.notes, stored.modified);
        if !self.writer.is_before(written.tenure.as_ref()) {
            return Ok(());
        }
        let problem = format!("somebody has taken the lock since this run did, and has written it ({written})");
        Err(PortError::new(PortErrorKind::Conflict, subject, problem)
            .advise("nothing was written; `bldr lock.status` shows who holds the lock"))
    }
}

/// A text that was read.
pub(crate) fn text(subject: &str, bytes: Vec<u8>) -> PortResult<String> {
    String::from_utf8(bytes).map_err(|_| {
        PortError::new(PortErrorKind::Malformed, subject, "it is not UTF-8 text").advise("restore it from its history or a backup")
    })
}

/// What its history does not have.
pub(crate) fn no_revision(stack: &StackName, revision: &str) -> PortError {
    PortError::new(PortErrorKind::NotFound, stack.as_str(), format!("its history has no revision {revision}"))
        .advise(format!("'bldr context.history:{stack}' lists what there is"))
}
