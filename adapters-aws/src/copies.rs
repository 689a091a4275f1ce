//! Which texts of a stack were replaced, and when, where the bucket does not keep them? Kept beside the contexts as
//! `.history/STACK/NUMBER-IDENTITY.json`.

use crate::{
    bucket::{Notes, Object, Sealed, There},
    shelf::Shelf,
    writer::Writer,
};
use bldr_core::{
    error::PortResult,
    ports::{Replaced, Revision},
};
use sha2::{Digest, Sha256};

/// The copies of one stack.
pub(crate) struct Copies(Shelf);

/// Which text of its stack it is, counted from 1; goes with the object.
const NUMBER: &str = "bldr-number";

/// One copy.
struct Copy {
    number: u64,
    identity: String,
    replaced: Replaced,
    name: String,
}

/// What tells a stored text from every other that was ever stored under its name, though it may have the same letters.
fn identity(stored: &Object) -> String {
    if let Some(write) = stored.notes.get(Writer::WRITE) {
        return write.clone();
    }
    let digest = Sha256::digest(format!("{} {}", stored.etag, stored.modified.0));
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Copies {
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self(shelf)
    }

    async fn all(&self) -> PortResult<Vec<Copy>> {
        let mut copies: Vec<_> = self
            .0
            .entries(".json")
            .await?
            .into_iter()
            .filter_map(|(name, listed)| {
                let (number, identity) = name.split_once('-')?;
                let replaced = Replaced { revision: Revision(identity.to_owned()), at: listed.modified };
                Some(Copy { number: number.parse().ok()?, identity: identity.to_owned(), replaced, name: format!("{name}.json") })
            })
            .collect();
        copies.sort_by_key(|copy| copy.number);
        Ok(copies)
    }

    /// Keeps what is about to be replaced, and numbers what comes in its place. All who are about to replace the same make the same copy;
    /// whoever then does not replace it leaves a copy of what is in place, which is no history yet.
    pub(crate) async fn keep(&self, stored: Option<&Object>, next: &mut Notes) -> PortResult<()> {
        let number = match stored {
            None => self.all().await?.last().map_or(0, |last| last.number),
            Some(stored) => {
                let number = self.number(stored).await?;
                let name = format!("{number:06}-{}.json", identity(stored));
                // Where that is there, somebody was about to replace the same.
                let _ = self.0.put(&name, &stored.bytes, There::Nothing, Sealed::AsTheBucketDoes).await?;
                number
            }
        };
        next.insert(NUMBER.to_owned(), (number + 1).to_string());
        Ok(())
    }

    /// What others have written has no number; it comes after all that was kept.
    async fn number(&self, stored: &Object) -> PortResult<u64> {
        if let Some(number) = stored.notes.get(NUMBER).and_then(|number| number.parse().ok()) {
            return Ok(number);
        }
        let (all, identity) = (self.all().await?, identity(stored));
        let kept = all.iter().find(|copy| copy.identity == identity);
        Ok(kept.map_or_else(|| all.last().map_or(1, |last| last.number + 1), |copy| copy.number))
    }

    /// What was replaced, oldest first: the copies of all but what is in place.
    async fn past(&self, stored: Option<&Object>) -> PortResult<Vec<Copy>> {
        let current = stored.map(identity);
        let mut copies = self.all().await?;
        copies.retain(|copy| Some(&copy.identity) != current.as_ref());
        Ok(copies)
    }

    pub(crate) async fn replaced(&self, stored: Option<&Object>) -> PortResult<Vec<Replaced>> {
        Ok(self.past(stored).await?.into_iter().map(|copy| copy.replaced).collect())
    }

    /// A replaced text, if it is one of these.
    pub(crate) async fn of(&self, stored: Option<&Object>, revision: &Revision) -> PortResult<Option<Object>> {
        let found = self.past(stored).await?.into_iter().find(|copy| copy.replaced.revision == *revision);
        match found {
            Some(copy) => self.0.get(&copy.name).await,
            None => Ok(None),
        }
    }
}
