//! Which texts of a stack were replaced, and when? Kept beside the contexts as
//! `.history/STACK/NUMBER-TIME-REVISION.json`.

use crate::{
    failure::{failed, not_text},
    folder::{Folder, flush_folder, parent},
};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::Timestamp,
    name::StackName,
    ports::{Replaced, Revision},
};
use jiff::civil::DateTime;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// What identifies a text: the beginning of its SHA-256.
pub(crate) fn revision_of(bytes: &[u8]) -> Revision {
    Revision(Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

const TIME: &str = "%Y%m%dT%H%M%S.%3fZ";

fn written(at: Timestamp) -> String {
    let known = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    known.strftime(TIME).to_string()
}

fn read(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime(TIME, text).ok()?;
    Some(Timestamp(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()))
}

/// One file of a stack's history.
struct Kept {
    number: u64,
    at: Timestamp,
    hash: String,
    file: String,
}

impl Kept {
    fn of(file: String) -> Option<Self> {
        let mut parts = file.split('-');
        let (number, at, hash) = (parts.next()?.parse().ok()?, read(parts.next()?)?, parts.next()?.to_owned());
        if parts.next().is_none() { Some(Self { number, at, hash, file }) } else { None }
    }
}

/// The history of one stack.
pub(crate) struct History(Folder);

impl History {
    pub(crate) fn of(contexts: &Path, stack: &StackName) -> Self {
        Self(Folder::new(contexts.join(".history").join(stack.as_str())))
    }

    fn kept(&self) -> PortResult<Vec<Kept>> {
        let mut kept: Vec<_> = self.0.names_if_any(".json")?.into_iter().filter_map(Kept::of).collect();
        kept.sort_by_key(|kept| kept.number);
        Ok(kept)
    }

    fn path(&self, kept: &Kept) -> PathBuf {
        self.0.path().join(format!("{}.json", kept.file))
    }

    /// Keeps a file, with these bytes in it, that is about to be replaced. Only for whoever has the turn.
    pub(crate) fn keep(&self, current: &Path, bytes: &[u8], at: Timestamp) -> PortResult<()> {
        let hash = revision_of(bytes).0;
        let kept = self.kept()?;
        // On the disk together with what is put in it, below.
        DirBuilder::new().recursive(true).mode(0o700).create(self.0.path()).map_err(failed("make", self.0.path()))?;
        // Kept by a writer that died before it replaced anything: that text is still in place, and replaced only now.
        if let Some(untrue) = kept.last().filter(|last| last.hash == hash) {
            let path = self.path(untrue);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        let number = kept.last().map_or(1, |last| last.number + 1);
        let path = self.0.path().join(format!("{number:06}-{}-{hash}.json", written(at)));
        // Some file systems have no hard links; a copy does as well, it only has to be whole before anybody sees it.
        if fs::hard_link(current, &path).is_err() {
            let aside = self.0.path().join(".new");
            let like = fs::metadata(current).map_err(failed("read", current))?;
            crate::folder::replace(&path, &aside, bytes, Some((&like, crate::folder::Ownership::KeptIfAllowed)))?;
        }
        flush_folder(self.0.path()).and_then(|()| flush_folder(parent(self.0.path()))).map_err(failed("flush", &path))
    }

    /// What was replaced, oldest first, each under a name of its own; a text that came back and was replaced again is
    /// told from the first time by a number. `current` is what is in place now: it has not been replaced yet.
    fn named(&self, current: Option<&Revision>) -> PortResult<Vec<(Revision, Kept)>> {
        let mut kept = self.kept()?;
        if kept.last().is_some_and(|last| current.is_some_and(|current| current.0 == last.hash)) {
            kept.pop();
        }
        let mut times = HashMap::<String, u64>::new();
        let named = kept.into_iter().map(|kept| {
            let time = times.entry(kept.hash.clone()).and_modify(|time| *time += 1).or_insert(1);
            let name = if *time == 1 { kept.hash.clone() } else { format!("{}-{time}", kept.hash) };
            (Revision(name), kept)
        });
        Ok(named.collect())
    }

    pub(crate) fn list(&self, current: Option<&Revision>) -> PortResult<Vec<Replaced>> {
        Ok(self.named(current)?.into_iter().map(|(revision, kept)| Replaced { revision, at: kept.at }).collect())
    }

    pub(crate) fn text(&self, stack: &StackName, current: Option<&Revision>, revision: &Revision) -> PortResult<String> {
        let found = self.named(current)?.into_iter().find(|(name, _)| name == revision);
        let Some((_, kept)) = found else {
            let problem = format!("its history has no revision {}", revision.0);
            return Err(PortError::new(PortErrorKind::NotFound, stack.as_str(), problem)
                .advise(format!("'bldr context.history:{stack}' lists what there is")));
        };
        let path = self.path(&kept);
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        if revision_of(&bytes).0 != kept.hash {
            let problem = "somebody has changed it since it was kept";
            return Err(PortError::new(PortErrorKind::Malformed, crate::failure::shown(&path), problem));
        }
        String::from_utf8(bytes).map_err(|_| not_text(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_a_file_name_is_read_back_to_the_millisecond() {
        for at in [0, 1, 1_795_350_181_123, 999] {
            assert_eq!(read(&written(Timestamp(at))), Some(Timestamp(at)));
        }
        assert_eq!(written(Timestamp(1_795_350_181_123)), "20261122T122301.123Z");
    }
}
