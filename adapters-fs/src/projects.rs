//! What do the team's project files say, and how do they come to name another master?

use crate::{
    address_edit::{EditError, with_master},
    failure::{failed, not_text, shown},
    folder::{Ownership, is_still, parent, replace},
    git,
    off_thread::off_thread,
    yaml::{YamlError, parse, value_of},
};
use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    error::{PortError, PortErrorKind, PortResult},
    ports::{Proposal, SharedAddress},
    project::{ProjectError, Projects},
};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The project files of a team. Read anew each time they are asked for.
#[derive(Debug, Clone)]
pub struct FileProjects(Arc<[PathBuf]>);

impl FileProjects {
    /// The projects in these files, in this order.
    pub fn new(files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self(files.into_iter().map(Into::into).collect())
    }

    fn projects_now(&self) -> PortResult<Projects> {
        self.0.iter().try_fold(Projects::default(), |known, path| {
            let text = text_of(path)?;
            let root = parse(&text).and_then(|root| value_of(root.as_ref())).map_err(|error| unread(path, &error))?;
            let merged = Projects::from_file(&shown(path), root).and_then(|new| known.joined(new));
            merged.map_err(|error: ProjectError| {
                PortError::new(PortErrorKind::Malformed, "the project files", error.to_string())
                    .advise("correct the file, or 'project-files' in settings.yaml")
            })
        })
    }

    fn propose_now(&self, address: &MasterAddress) -> PortResult<Vec<Proposal>> {
        let proposals = self.0.iter().map(|path| {
            let before = text_of(path)?;
            match with_master(&before, address) {
                Ok(after) => Ok(after.map(|after| Proposal { file: shown(path), before, after, history: git::versioned(&followed(path)) })),
                Err(EditError::Yaml(error)) => Err(unread(path, &error)),
                Err(EditError::ByHand { line, problem }) => {
                    Err(PortError::new(PortErrorKind::Refused, format!("{}:{line}", shown(path)), problem)
                        .advise(format!("write 'master_ip: {address}' under defaults: aws: ec2: by hand, then run this again")))
                }
            }
        });
        proposals.filter_map(Result::transpose).collect()
    }

    fn own(&self, file: &str) -> PortResult<&Path> {
        let foreign = || PortError::new(PortErrorKind::Refused, file, "it is not one of the project files");
        self.0.iter().find(|path| shown(path) == file).map(PathBuf::as_path).ok_or_else(foreign)
    }

    fn share_now(&self, proposal: &Proposal) -> PortResult<()> {
        let path = self.own(&proposal.file)?;
        // A link stays a link; the file it leads to is what is replaced.
        let path = fs::canonicalize(path).map_err(failed("find", path))?;
        let mut file = loop {
            let file = File::open(&path).map_err(failed("open", &path))?;
            file.lock().map_err(failed("lock", &path))?;
            // Another bldr may have replaced it while this one waited.
            if is_still(&file, &path) {
                break file;
            }
        };
        let mut stored = Vec::new();
        file.read_to_end(&mut stored).map_err(failed("read", &path))?;
        if stored != proposal.before.as_bytes() {
            return Err(PortError::new(PortErrorKind::Conflict, &proposal.file, "somebody has changed it since the change was proposed")
                .advise("nothing was written; run this again, it then begins with what is there now"));
        }
        let old = file.metadata().map_err(failed("read", &path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = parent(&path).join(format!(".{name}.bldr-new"));
        replace(&path, &aside, proposal.after.as_bytes(), Some((&old, Ownership::Kept)))
    }
}

/// Where a link leads to: that file is the one that is replaced, and kept by git.
fn followed(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn text_of(path: &Path) -> PortResult<String> {
    let bytes = fs::read(path).map_err(failed("read", path)).map_err(|error| match error.kind {
        PortErrorKind::NotFound => error.advise("check 'project-files' in settings.yaml"),
        _ => error,
    })?;
    String::from_utf8(bytes).map_err(|_| not_text(path))
}

fn unread(path: &Path, error: &YamlError) -> PortError {
    let subject = format!("{}:{}:{}", shown(path), error.line, error.column);
    PortError::new(PortErrorKind::Malformed, subject, error.problem.clone())
}

#[async_trait]
impl SharedAddress for FileProjects {
    async fn projects(&self) -> PortResult<Projects> {
        let this = self.clone();
        off_thread(move || this.projects_now()).await
    }

    async fn propose(&self, address: &MasterAddress) -> PortResult<Vec<Proposal>> {
        let (this, address) = (self.clone(), address.clone());
        off_thread(move || this.propose_now(&address)).await
    }

    async fn share(&self, proposal: &Proposal) -> PortResult<()> {
        let (this, proposal) = (self.clone(), proposal.clone());
        off_thread(move || this.share_now(&proposal)).await
    }

    async fn commit(&self, files: &[String], message: &str) -> PortResult<()> {
        let (this, files, message) = (self.clone(), files.to_vec(), message.to_owned());
        off_thread(move || files.iter().try_for_each(|file| git::commit(&followed(this.own(file)?), &message))).await
    }
}
