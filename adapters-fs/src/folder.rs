//! How is a file replaced so that a crash leaves the old one or the new one, and two writers never meet?

use crate::failure::failed;
use bldr_core::error::{PortErrorKind, PortResult};
use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

/// Whether a replaced file has to go on belonging to whom it belonged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Yes, or it is not replaced.
    Kept,
    /// Where that can be done, which it can be for root.
    KeptIfAllowed,
}

/// Replaces `target` by these bytes: `aside` is written, flushed and renamed. Mode and owner are those of `like`; mode
/// 0600 where there is nothing to be like. `aside` has to be in the same folder and the caller's alone.
pub(crate) fn replace(target: &Path, aside: &Path, bytes: &[u8], like: Option<(&Metadata, Ownership)>) -> PortResult<()> {
    let written = write_aside(aside, bytes, like).and_then(|()| fs::rename(aside, target));
    if let Err(error) = written {
        // What is left aside holds nothing that is needed, and is overwritten by the next writer anyway.
        let _ = fs::remove_file(aside);
        return Err(failed("write", target)(error));
    }
    flush_folder(parent(target)).map_err(failed("flush", target))
}

fn write_aside(aside: &Path, bytes: &[u8], like: Option<(&Metadata, Ownership)>) -> io::Result<()> {
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside)?;
    if let Some((old, ownership)) = like {
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (old.uid(), old.gid()) {
            match fchown(&file, Some(old.uid()), Some(old.gid())) {
                Err(error) if ownership == Ownership::Kept => return Err(error),
                _ => {}
            }
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes what was created, renamed or removed in a folder survive a power cut.
pub(crate) fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether an open file is still the one of that name.
pub(crate) fn is_still(file: &File, path: &Path) -> bool {
    let identity = |found: Metadata| (found.dev(), found.ino());
    file.metadata().ok().map(identity) == fs::metadata(path).ok().map(identity)
}

/// Makes a folder for this user alone, and those above it; one that exists is left as it is.
pub(crate) fn make(folder: &Path) -> PortResult<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make", folder))?;
    flush_folder(parent(folder)).map_err(failed("flush", folder))
}

/// A folder whose writers take turns. Readers need no turn: every file is whole at any time.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The files that are called `NAME.ending`: their NAMEs, in text order. Hidden ones are ours, not the caller's.
    pub(crate) fn names(&self, ending: &str) -> PortResult<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed("list", &self.0))? {
            let entry = entry.map_err(failed("list", &self.0))?;
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(ending)).filter(|name| !name.starts_with('.')) else {
                continue;
            };
            if fs::metadata(entry.path()).is_ok_and(|found| found.is_file()) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// As [`Self::names`]; none where there is no such folder.
    pub(crate) fn names_if_any(&self, ending: &str) -> PortResult<Vec<String>> {
        self.names(ending).or_else(|error| if error.kind == PortErrorKind::NotFound { Ok(Vec::new()) } else { Err(error) })
    }

    /// Waits until no other writer, of this process or another, is at work. Makes the folder where there is none.
    pub(crate) fn turn(&self) -> PortResult<Turn<'_>> {
        make(&self.0)?;
        let path = self.0.join(".lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed("open", &path))?;
        lock.lock().map_err(failed("lock", &path))?;
        Ok(Turn { folder: &self.0, _lock: lock })
    }
}

/// The right to write in a [`Folder`], until it is dropped. The kernel takes it back from a process that dies.
pub(crate) struct Turn<'a> {
    folder: &'a Path,
    _lock: File,
}

impl Turn<'_> {
    /// Replaces a file, or makes it. Of an old one the mode is kept, and the owner where that is allowed.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> PortResult<()> {
        let target = self.folder.join(name);
        let old = match fs::metadata(&target) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &target)(error)),
        };
        // One name for all: whoever has the turn is the only writer, so a leftover is always that of a crash.
        replace(&target, &self.folder.join(".new"), bytes, old.as_ref().map(|old| (old, Ownership::KeptIfAllowed)))
    }

    /// Removes a file; nothing happens where there is none.
    pub(crate) fn remove(&self, name: &str) -> PortResult<()> {
        let target = self.folder.join(name);
        match fs::remove_file(&target) {
            Ok(()) => flush_folder(self.folder).map_err(failed("flush", self.folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &target)(error)),
        }
    }
}
