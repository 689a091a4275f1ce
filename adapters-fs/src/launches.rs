//! Which launches have begun and not ended? A file each, `LAUNCHES/STACK.json`.

use crate::{
    failure::{failed, shown},
    folder::Folder,
    off_thread::off_thread,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
    ports::{Begun, Launches},
};
use std::{fs, io::ErrorKind, path::PathBuf};

/// What is remembered of launches, in a folder, one file a stack.
#[derive(Debug, Clone)]
pub struct FileLaunches(Folder);

impl FileLaunches {
    /// What is remembered in this folder. It is made when the first launch begins.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(Folder::new(folder))
    }

    fn begun_now(&self, stack: &StackName) -> PortResult<Option<Begun>> {
        let path = self.0.path().join(format!("{stack}.json"));
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
            Ok(bytes) => bytes,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            PortError::new(PortErrorKind::Malformed, shown(&path), "it does not say what is remembered of a launch")
                .advise(format!("remove it: a launch of {stack} that was cut short is completed by `bldr update:{stack}` then"))
                .caused_by(error)
        })
    }

    fn begin_now(&self, launch: &Begun) -> PortResult<()> {
        let name = format!("{}.json", launch.stack);
        let bytes = serde_json::to_vec(launch)
            .map_err(|error| PortError::new(PortErrorKind::Malformed, name.as_str(), "it cannot be written as JSON").caused_by(error))?;
        self.0.turn()?.replace(&name, &bytes)
    }

    fn end_now(&self, stack: &StackName) -> PortResult<()> {
        if !self.0.path().exists() {
            return Ok(());
        }
        self.0.turn()?.remove(&format!("{stack}.json"))
    }
}

#[async_trait]
impl Launches for FileLaunches {
    async fn begun(&self, stack: &StackName) -> PortResult<Option<Begun>> {
        let (this, stack) = (self.clone(), stack.clone());
        off_thread(move || this.begun_now(&stack)).await
    }

    async fn begin(&self, launch: &Begun) -> PortResult<()> {
        let (this, launch) = (self.clone(), launch.clone());
        off_thread(move || this.begin_now(&launch)).await
    }

    async fn end(&self, stack: &StackName) -> PortResult<()> {
        let (this, stack) = (self.clone(), stack.clone());
        off_thread(move || this.end_now(&stack)).await
    }
}
