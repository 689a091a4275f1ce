//! `download_file`, `upload_file`: how does a file get from a node to here, and the other way?

use super::{
    Session,
    fleet_lock::Held,
    nodes::{advised, unchanged},
};
use crate::{
    exit::{Code, Exit},
    interrupt::Interruptions,
    request::{Download, Upload},
    wiring::Ports,
};
use bldr_core::{
    error::PortErrorKind,
    fleet::Host,
    ports::{Existing, Part},
};
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

#[derive(Serialize)]
struct FileView<'a> {
    node: String,
    path: &'a str,
    file: Option<String>,
    bytes: u64,
    missing: bool,
}

/// Fetches a file. It is there whole or not at all, for the operator alone.
///
/// # Errors
/// Unknown stacks and nodes, a node that cannot be asked, a file that is not there, a place here that cannot be written.
pub async fn download(wanted: &Download, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    absolute(&wanted.path)?;
    let file = destination(&wanted.path, &wanted.to)?;
    let host = wanted.which.one(ports, session).await?;
    let view = |file: Option<&Path>, bytes| FileView {
        node: host.node.to_string(),
        path: &wanted.path,
        file: file.map(|file| file.display().to_string()),
        bytes,
        missing: file.is_none(),
    };
    let first = match ports.shell.read(&host, &wanted.path, 0).await {
        Err(error) if error.kind == PortErrorKind::NotFound && wanted.allow_missing => {
            session.screen.result(String::new, &view(None, 0));
            return Ok(Code::Done);
        }
        answer => answer.map_err(|error| advised(error, wanted.user))?,
    };
    let mut interruptions = Interruptions::listen();
    let bytes = tokio::select! {
        fetched = fetched(&host, &wanted.path, first, &file, ports) => fetched?,
        // What is half written goes with it.
        () = interruptions.next() => return Err(Exit::new(Code::Interrupted, "interrupted; nothing was written here")),
    };
    session.screen.result(|| format!("{}\n", file.display()), &view(Some(&file), bytes));
    session.screen.note(&format!("{bytes} bytes from {}:{}", host.node, wanted.path));
    Ok(Code::Done)
}

/// Writes all parts beside the file's place, and moves it there.
async fn fetched(host: &Host, path: &str, first: Part, file: &Path, ports: &Ports) -> Result<u64, Exit> {
    let cannot = |error: std::io::Error| Exit::new(Code::Failed, format!("{} cannot be written: {error}", file.display()));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = NamedTempFile::with_prefix_in(".bldr-", folder).map_err(cannot)?;
    // A log that grows meanwhile is as long as it was at first.
    let (size, identity) = (first.size, first.identity);
    let (mut part, mut at) = (first.bytes, 0);
    loop {
        // A file of the kernel's has more than it says.
        let enough = if size == 0 { part.len() } else { part.len().min(usize::try_from(size - at).unwrap_or(usize::MAX)) };
        if enough == 0 && at < size {
            let problem = format!("{}: {path} has become shorter while it was read; nothing was written here", host.node);
            return Err(Exit::new(Code::Failed, problem).line("run it again"));
        }
        at += enough as u64;
        new.write_all(&part[..enough]).map_err(cannot)?;
        if at >= size {
            break;
        }
        let next = ports.shell.read(host, path, at).await?;
        if next.identity != identity {
            let problem = format!("{}: {path} was replaced while it was read; nothing was written here", host.node);
            return Err(Exit::new(Code::Failed, problem).line("run it again"));
        }
        part = next.bytes;
    }
    new.as_file().sync_all().map_err(cannot)?;
    new.persist(file).map_err(|error| cannot(error.error))?;
    Ok(at)
}

/// A folder takes the file under its own name; anything else is the file's new name.
fn destination(path: &str, to: &Path) -> Result<PathBuf, Exit> {
    let name = path.rsplit('/').next().filter(|name| !name.is_empty() && *name != "." && *name != "..");
    let name = name.ok_or_else(|| Exit::usage(format!("'{path}' names a folder, not a file")))?;
    if to.is_dir() {
        return plain(to.join(name));
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if to.as_os_str().to_string_lossy().ends_with('/') || !folder.is_dir() {
        let missing = if folder.is_dir() { to } else { folder };
        return Err(Exit::refused(format!("there is no folder {} here", missing.display())));
    }
    plain(to.to_owned())
}

/// What is there already may be replaced, if it is a file: a pipe or a device would be destroyed by that.
fn plain(file: PathBuf) -> Result<PathBuf, Exit> {
    match std::fs::metadata(&file) {
        Ok(there) if !there.is_file() => Err(Exit::refused(format!("{} is there, and is no file", file.display()))),
        // A link stays a link; the file it leads to is what is replaced.
        Ok(_) => Ok(std::fs::canonicalize(&file).unwrap_or(file)),
        Err(_) => Ok(file),
    }
}

fn absolute(path: &str) -> Result<(), Exit> {
    if path.starts_with('/') { Ok(()) } else { Err(Exit::usage(format!("'{path}' is no path on a node: it has to begin with '/'"))) }
}

/// Places a file on a node, or on every node of the stack.
///
/// # Errors
/// A file here that cannot be read; as [`download`].
pub async fn upload(wanted: &Upload, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    absolute(&wanted.path)?;
    let unread = |error| Exit::refused(format!("{} cannot be read: {error}", wanted.file.display())).line("nothing was changed");
    let content = std::fs::read(&wanted.file).map_err(unread)?;
    let name = wanted.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let path = if wanted.path.ends_with('/') { format!("{}{name}", wanted.path) } else { wanted.path.clone() };
    let held = Held::take(&ports.stores, session).await?;
    held.during(session.screen.clone(), placed(wanted, &path, &content, ports, session)).await
}

async fn placed(wanted: &Upload, path: &str, content: &[u8], ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let host = wanted.which.one(ports, session).await?;
    let existing = if wanted.overwrite { Existing::IsReplaced } else { Existing::Stays };
    ports.shell.place(&host, path, content, existing).await.map_err(|error| {
        let taken = error.kind == PortErrorKind::Conflict && !wanted.overwrite;
        let exit = unchanged(advised(error, wanted.user));
        if taken { exit.line("overwrite=yes replaces it") } else { exit }
    })?;
    let bytes = content.len() as u64;
    let view = FileView { node: host.node.to_string(), path, file: Some(wanted.file.display().to_string()), bytes, missing: false };
    session.screen.result(|| format!("{}:{path}\n", host.node), &view);
    session.screen.note(&format!("{bytes} bytes from {}", wanted.file.display()));
    Ok(Code::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_takes_a_file_under_its_own_name_and_a_name_is_a_name() {
        let here = tempfile::tempdir().unwrap();
        let to = |to: &str| {
            destination("/root/.ssh/id_rsa.pub", &here.path().join(to)).map(|file| file.strip_prefix(here.path()).unwrap().to_owned())
        };
        assert_eq!(to(""), Ok("id_rsa.pub".into()));
        assert_eq!(to("key"), Ok("key".into()));
        assert_eq!(to("none/key").map_err(|exit| exit.code), Err(Code::Refused));
        assert_eq!(to("none/").map_err(|exit| exit.code), Err(Code::Refused));
        std::fs::create_dir(here.path().join("id_rsa.pub")).unwrap();
        assert_eq!(to("").map_err(|exit| exit.code), Err(Code::Refused), "a folder is in its place");
        assert_eq!(destination("/x", Path::new("/dev/null")).map_err(|exit| exit.code), Err(Code::Refused), "a device would be lost");
        for folder in ["/etc/", "/", "/etc/.."] {
            assert_eq!(destination(folder, here.path()).map_err(|exit| exit.code), Err(Code::Usage), "{folder}");
        }
    }
}
