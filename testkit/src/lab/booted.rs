//! What has a booted host that a light one has not? A tree to start from, and a system inside its keeper.

use super::{
    error::{LabError, LabResult},
    inside::children,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The Debian that booted hosts start from: `BLDR_TREE`, or what `testkit/lab/tree.sh` makes.
pub(super) fn tree() -> LabResult<PathBuf> {
    if !Path::new("/usr/bin/systemd-nspawn").exists() {
        return Err(LabError::Unavailable("booted hosts need systemd-nspawn: apt-get install systemd-container".into()));
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tree = std::env::var_os("BLDR_TREE").map_or_else(|| top.join(".build/tree"), PathBuf::from);
    match tree.canonicalize() {
        Ok(tree) if tree.join("made-of.sha256").exists() => Ok(tree),
        _ => Err(LabError::Unavailable(format!("{} is missing: run testkit/lab/tree.sh", tree.display()))),
    }
}

/// The guest's systemd, under the keeper's systemd-nspawn. None while there is none, and none before it is in its own root:
/// whoever entered sooner would find himself in this machine's.
pub(super) fn system(keeper: u32) -> Option<u32> {
    let is_system = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("systemd/systemd"));
    children(keeper).into_iter().flat_map(children).find(is_system)
}
