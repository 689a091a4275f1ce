//! What does a failed file operation mean to an operator?

use bldr_core::error::{PortError, PortErrorKind};
use std::{
    io::{self, ErrorKind},
    path::Path,
};

/// A path as operators read it.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Turns an I/O error into a [`PortError`]: `doing` completes "cannot …".
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PortError {
    let subject = shown(path);
    move |error| {
        let (kind, problem, advice) = match error.kind() {
            ErrorKind::NotFound => (PortErrorKind::NotFound, "it does not exist".into(), None),
            ErrorKind::PermissionDenied => {
                (PortErrorKind::Denied, format!("permission denied to {doing} it"), Some(format!("look at 'ls -ld {subject}' and 'id'")))
            }
            ErrorKind::ReadOnlyFilesystem => (PortErrorKind::Denied, format!("cannot {doing} it: the file system is read-only"), None),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
                PortErrorKind::Refused,
                format!("cannot {doing} it: the disk is full"),
                Some(format!("free some space ('df -h {subject}') and run this again; what was there before is unchanged")),
            ),
            _ => (PortErrorKind::Refused, format!("cannot {doing} it: {error}"), None),
        };
        let told = PortError::new(kind, subject, problem).caused_by(error);
        match advice {
            Some(advice) => told.advise(advice),
            None => told,
        }
    }
}

/// A file that is not UTF-8.
pub(crate) fn not_text(path: &Path) -> PortError {
    PortError::new(PortErrorKind::Malformed, shown(path), "it is not UTF-8 text")
        .advise(format!("look at it ('file {}') and restore it from its history or a backup", shown(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_is_told_apart() {
        for (from, kind, word) in [
            (ErrorKind::NotFound, PortErrorKind::NotFound, "does not exist"),
            (ErrorKind::PermissionDenied, PortErrorKind::Denied, "permission denied to read it"),
            (ErrorKind::ReadOnlyFilesystem, PortErrorKind::Denied, "read-only"),
            (ErrorKind::StorageFull, PortErrorKind::Refused, "the disk is full"),
            (ErrorKind::QuotaExceeded, PortErrorKind::Refused, "the disk is full"),
            (ErrorKind::IsADirectory, PortErrorKind::Refused, "cannot read it"),
        ] {
            let error = failed("read", Path::new("/x/y"))(io::Error::from(from));
            assert_eq!(error.kind, kind);
            assert!(error.to_string().starts_with("/x/y: ") && error.to_string().contains(word), "{error}");
        }
    }
}
