//! Where are the contexts of all stacks, when they are in a folder? In `CONTEXTS/STACK.json`.

use crate::{
    failure::{failed, not_text, shown},
    folder::Folder,
    history::{History, revision_of},
    off_thread::off_thread,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
    ports::{Clock, ContextStore, Document, Expected, Replaced, Revision},
};
use std::{fs, io::ErrorKind, path::PathBuf, sync::Arc};

/// The contexts of all stacks in a folder, one file each. Files that are not called after a stack are left alone.
///
/// Contexts hold passwords: new files are for this user alone, and so is the folder where it has to be made. The mode
/// of a file that exists is kept.
#[derive(Clone)]
pub struct FileContexts {
    folder: Folder,
    clock: Arc<dyn Clock>,
}

impl FileContexts {
    /// The contexts in this folder. It is made when the first context is saved. The clock says when something was
    /// replaced.
    pub fn new(folder: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { folder: Folder::new(folder), clock }
    }

    fn file(&self, stack: &StackName) -> PathBuf {
        self.folder.path().join(format!("{stack}.json"))
    }

    fn history_of(&self, stack: &StackName) -> History {
        History::of(self.folder.path(), stack)
    }

    /// What is stored, if anything is.
    fn bytes(&self, stack: &StackName) -> PortResult<Option<Vec<u8>>> {
        let path = self.file(stack);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn current(&self, stack: &StackName) -> PortResult<Option<Revision>> {
        Ok(self.bytes(stack)?.map(|bytes| revision_of(&bytes)))
    }

    fn list_now(&self) -> PortResult<Vec<StackName>> {
        let names = self.folder.names(".json").map_err(|error| match error.kind {
            PortErrorKind::NotFound => error.advise(format!(
                "check 'contexts' in settings.yaml, or make the folder if there are no stacks yet: mkdir -p -m 700 {}",
                shown(self.folder.path())
            )),
            _ => error,
        })?;
        let mut stacks: Vec<StackName> = names.iter().filter_map(|name| name.parse().ok()).collect();
        stacks.sort_unstable();
        Ok(stacks)
    }

    /// What is stored.
    fn stored(&self, stack: &StackName) -> PortResult<Vec<u8>> {
        let missing = |problem| PortError::new(PortErrorKind::NotFound, stack.as_str(), problem);
        match self.bytes(stack)? {
            Some(bytes) => Ok(bytes),
            None if self.folder.path().is_dir() => Err(missing(format!("it has no context: there is no {}", shown(&self.file(stack))))),
            None => Err(missing(format!("it has no context: the folder {} does not exist", shown(self.folder.path())))
                .advise("check 'contexts' in settings.yaml")),
        }
    }

    fn load_now(&self, stack: &StackName) -> PortResult<Document> {
        let bytes = self.stored(stack)?;
        let revision = revision_of(&bytes);
        let text = String::from_utf8(bytes).map_err(|_| not_text(&self.file(stack)))?;
        Ok(Document { text, revision })
    }

    /// Replacing or removing the link would leave what it points to behind, for whoever else uses that.
    fn no_link(&self, stack: &StackName) -> PortResult<()> {
        let path = self.file(stack);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            let problem = "it is a symbolic link, which cannot be replaced in one piece";
            return Err(PortError::new(PortErrorKind::Refused, shown(&path), problem).advise("put the file itself in its place"));
        }
        Ok(())
    }

    fn save_now(&self, stack: &StackName, text: &str, expected: &Expected) -> PortResult<Revision> {
        let path = self.file(stack);
        let turn = self.folder.turn()?;
        self.no_link(stack)?;
        let old = self.bytes(stack)?;
        let conflict = match (expected, old.as_deref().map(revision_of)) {
            (Expected::Absent, None) => None,
            (Expected::Revision(expected), Some(stored)) if *expected == stored => None,
            (Expected::Absent, Some(_)) => Some("somebody else has made its context in the meantime"),
            (Expected::Revision(_), Some(_)) => Some("somebody else has written its context since it was read"),
            (Expected::Revision(_), None) => Some("somebody else has removed its context since it was read"),
        };
        if let Some(problem) = conflict {
            return Err(PortError::new(PortErrorKind::Conflict, stack.as_str(), problem)
                .advise("nothing was written; run this again, it then begins with what is there now"));
        }
        if old.as_deref() == Some(text.as_bytes()) {
            return Ok(revision_of(text.as_bytes()));
        }
        if let Some(old) = old {
            self.history_of(stack).keep(&path, &old, self.clock.now())?;
        }
        turn.replace(&format!("{stack}.json"), text.as_bytes())?;
        Ok(revision_of(text.as_bytes()))
    }

    fn remove_now(&self, stack: &StackName, stored: &Revision) -> PortResult<()> {
        let path = self.file(stack);
        // Nothing is made here, not even the folder of a store that is mistyped.
        self.stored(stack)?;
        let turn = self.folder.turn()?;
        self.no_link(stack)?;
        let bytes = self.stored(stack)?;
        if revision_of(&bytes) != *stored {
            let problem = "somebody else has written its context since it was read";
            return Err(PortError::new(PortErrorKind::Conflict, stack.as_str(), problem)
                .advise("nothing was removed; run this again, it then begins with what is there now"));
        }
        self.history_of(stack).keep(&path, &bytes, self.clock.now())?;
        turn.remove(&format!("{stack}.json"))
    }
}

#[async_trait]
impl ContextStore for FileContexts {
    async fn list(&self) -> PortResult<Vec<StackName>> {
        let this = self.clone();
        off_thread(move || this.list_now()).await
    }

    async fn load(&self, stack: &StackName) -> PortResult<Document> {
        let (this, stack) = (self.clone(), stack.clone());
        off_thread(move || this.load_now(&stack)).await
    }

    async fn save(&self, stack: &StackName, text: &str, expected: &Expected) -> PortResult<Revision> {
        let (this, stack, text, expected) = (self.clone(), stack.clone(), text.to_owned(), expected.clone());
        off_thread(move || this.save_now(&stack, &text, &expected)).await
    }

    async fn remove(&self, stack: &StackName, stored: &Revision) -> PortResult<()> {
        let (this, stack, stored) = (self.clone(), stack.clone(), stored.clone());
        off_thread(move || this.remove_now(&stack, &stored)).await
    }

    async fn history(&self, stack: &StackName) -> PortResult<Vec<Replaced>> {
        let (this, stack) = (self.clone(), stack.clone());
        off_thread(move || this.history_of(&stack).list(this.current(&stack)?.as_ref())).await
    }

    async fn replaced(&self, stack: &StackName, revision: &Revision) -> PortResult<String> {
        let (this, stack, revision) = (self.clone(), stack.clone(), revision.clone());
        off_thread(move || this.history_of(&stack).text(&stack, this.current(&stack)?.as_ref(), &revision)).await
    }
}
