//! How does a project file stand in the team's git repository? Asked of `git` itself, which knows the operator's settings.

use crate::{failure::shown, folder::parent};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    ports::Versioned,
};
use std::{
    io,
    path::Path,
    process::{Command, Output, Stdio},
};

fn git(path: &Path, arguments: &[&str]) -> io::Result<Output> {
    let mut git = Command::new("git");
    // The operator's own git may be told by its environment to work elsewhere, as in a hook.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    git.arg("-C").arg(parent(path)).args(arguments).arg("--").arg(path.file_name().unwrap_or_default());
    git.stdin(Stdio::null()).output()
}

/// How a file stands. Where there is no git there is no repository.
pub(crate) fn versioned(path: &Path) -> Versioned {
    let kept = git(path, &["ls-files", "--error-unmatch"]);
    if !kept.is_ok_and(|output| output.status.success()) {
        return Versioned::No;
    }
    match git(path, &["status", "--porcelain"]) {
        Ok(output) if output.status.success() && output.stdout.is_empty() => Versioned::Clean,
        _ => Versioned::Dirty,
    }
}

/// Commits one file, whatever else is staged.
pub(crate) fn commit(path: &Path, message: &str) -> PortResult<()> {
    let declined = |problem: String| {
        PortError::new(PortErrorKind::Refused, shown(path), format!("it was not committed: {problem}"))
            .advise("it is written; commit it by hand, for the team to have it")
    };
    let output = git(path, &["commit", "--quiet", "-m", message]).map_err(|error| declined(format!("git cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join("; ");
    Err(declined(format!("git said: {said}")))
}
