//! Where do simulated machines keep their files? In memory for tests, in folders for the sandbox.

use crate::machines::path::BACKUP;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The file systems of all machines of a simulated fleet. Paths are absolute on the machine: `/etc/salt/minion`.
///
/// Every write is whole or not there at all, as on a machine that is written to by rename.
pub trait Disk: Send + Sync {
    /// The machines that have a file system, in text order.
    ///
    /// # Errors
    /// Those of the medium.
    fn machines(&self) -> io::Result<Vec<String>>;
    /// A file's content; `None` where there is no such file.
    ///
    /// # Errors
    /// Those of the medium.
    fn read(&self, machine: &str, path: &str) -> io::Result<Option<Vec<u8>>>;
    /// Replaces a file, or removes it.
    ///
    /// # Errors
    /// Those of the medium.
    fn write(&self, machine: &str, path: &str, content: Option<&[u8]>) -> io::Result<()>;
    /// The names of the files in a folder, in text order; none where there is no such folder.
    ///
    /// # Errors
    /// Those of the medium.
    fn list(&self, machine: &str, folder: &str) -> io::Result<Vec<String>>;
    /// Removes all files of a machine. Nothing happens where it has none.
    ///
    /// # Errors
    /// Those of the medium.
    fn wipe(&self, machine: &str) -> io::Result<()>;
}

/// Files in memory.
#[derive(Debug, Default)]
pub struct MemoryDisk(Mutex<BTreeMap<String, BTreeMap<String, Vec<u8>>>>);

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, Vec<u8>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn machines(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }
    fn read(&self, machine: &str, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files().get(machine).and_then(|files| files.get(path)).cloned())
    }
    fn write(&self, machine: &str, path: &str, content: Option<&[u8]>) -> io::Result<()> {
        let mut disk = self.files();
        let files = disk.entry(machine.into()).or_default();
        match content {
            Some(content) => drop(files.insert(path.into(), content.into())),
            None => drop(files.remove(path)),
        }
        Ok(())
    }
    fn list(&self, machine: &str, folder: &str) -> io::Result<Vec<String>> {
        let disk = self.files();
        let names = disk.get(machine).into_iter().flat_map(BTreeMap::keys).filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
        Ok(names.filter(|name| !name.contains('/')).map(Into::into).collect())
    }
    fn wipe(&self, machine: &str) -> io::Result<()> {
        self.files().remove(machine);
        Ok(())
    }
}

/// Files in folders, one a machine, at their real paths below it.
#[derive(Debug)]
pub struct FolderDisk(PathBuf);

impl FolderDisk {
    /// Machines in the folders of this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }
    fn path(&self, machine: &str, path: &str) -> PathBuf {
        // Nothing is above a machine's root.
        let parts = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
        self.0.join(machine).join(parts.collect::<PathBuf>())
    }
}

fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<_> = names.into_iter().filter(|name| !name.ends_with(HALF)).collect();
    names.sort();
    Ok(names)
}

/// What a file is called until it is whole.
const HALF: &str = ".half";

impl Disk for FolderDisk {
    fn machines(&self) -> io::Result<Vec<String>> {
        names_in(&self.0)
    }
    fn read(&self, machine: &str, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(machine, path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            content => content.map(Some),
        }
    }
    fn write(&self, machine: &str, path: &str, content: Option<&[u8]>) -> io::Result<()> {
        let path = self.path(machine, path);
        let Some(content) = content else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                done => done,
            };
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut half = path.clone().into_os_string();
        half.push(HALF);
        // As on a real node: what was kept may hold secrets.
        let mode = if path.parent().is_some_and(|folder| folder.ends_with(BACKUP.trim_start_matches('/'))) { 0o600 } else { 0o644 };
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(mode).open(&half)?;
        io::Write::write_all(&mut file, content)?;
        fs::rename(&half, &path)
    }
    fn list(&self, machine: &str, folder: &str) -> io::Result<Vec<String>> {
        names_in(&self.path(machine, folder))
    }
    fn wipe(&self, machine: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.0.join(machine)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}
