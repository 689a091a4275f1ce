//! What is remembered of stopped nodes, when it is kept in files? What was known last, in `SLEEPERS/NODE.json`.

use crate::{
    failure::{failed, shown},
    folder::Folder,
    off_thread::off_thread,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::NodeName,
    ports::{Sleeper, Sleepers},
};
use std::{fs, io::ErrorKind, path::PathBuf};

/// What is remembered of stopped nodes, in a folder, one file a node.
#[derive(Debug, Clone)]
pub struct FileSleepers(Folder);

impl FileSleepers {
    /// What is remembered in this folder. It is made when the first node is remembered.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(Folder::new(folder))
    }

    fn all_now(&self) -> PortResult<Vec<Sleeper>> {
        let nodes = self.0.names_if_any(".json")?.into_iter().filter_map(|name| name.parse::<NodeName>().ok());
        let sleepers = nodes.filter_map(|node| {
            let path = self.0.path().join(format!("{node}.json"));
            let damaged = |problem: &str| {
                PortError::new(PortErrorKind::Malformed, shown(&path), problem)
                    .advise(format!("remove it: {node} is then started and asked once more"))
            };
            let bytes = match fs::read(&path) {
                // Forgotten since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => return None,
                Err(error) => return Some(Err(failed("read", &path)(error))),
                Ok(bytes) => bytes,
            };
            Some(match serde_json::from_slice::<Sleeper>(&bytes) {
                Ok(sleeper) if sleeper.node == node => Ok(sleeper),
                Ok(_) => Err(damaged("it is about another node than its name says")),
                Err(error) => Err(damaged("it does not say what is remembered of a node").caused_by(error)),
            })
        });
        sleepers.collect()
    }

    fn remember_now(&self, sleeper: &Sleeper) -> PortResult<()> {
        let name = format!("{}.json", sleeper.node);
        let bytes = serde_json::to_vec(sleeper)
            .map_err(|error| PortError::new(PortErrorKind::Malformed, name.as_str(), "it cannot be written as JSON").caused_by(error))?;
        self.0.turn()?.replace(&name, &bytes)
    }

    fn forget_now(&self, node: &NodeName) -> PortResult<()> {
        if !self.0.path().exists() {
            return Ok(());
        }
        self.0.turn()?.remove(&format!("{node}.json"))
    }
}

#[async_trait]
impl Sleepers for FileSleepers {
    async fn all(&self) -> PortResult<Vec<Sleeper>> {
        let this = self.clone();
        off_thread(move || this.all_now()).await
    }

    async fn remember(&self, sleeper: &Sleeper) -> PortResult<()> {
        let (this, sleeper) = (self.clone(), sleeper.clone());
        off_thread(move || this.remember_now(&sleeper)).await
    }

    async fn forget(&self, node: &NodeName) -> PortResult<()> {
        let (this, node) = (self.clone(), node.clone());
        off_thread(move || this.forget_now(&node)).await
    }
}
