//! Where does one try bldr without a cloud? In the sandbox: a simulated fleet whose files lie in folders.
//!
//! `.bldr/sandbox/nodes/NODE/` holds a node's files at their real paths, `.cfn/contexts/` the contexts,
//! `.bldr/sandbox/project.yaml` the project file. All of it may be looked at and edited by hand.

mod file;

use crate::{
    disk::{FolderDisk, MemoryDisk},
    machines::Machines,
    spec::{self, FleetSpec},
};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    ports::Clock,
};
pub use file::SandboxFileError;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The sandbox below a home folder, whether it has been made yet or not.
#[derive(Debug, Clone)]
pub struct Sandbox {
    home: PathBuf,
}

/// Written last: a sandbox without it was not finished.
#[derive(Serialize, Deserialize)]
struct Made {
    region: String,
}

impl Sandbox {
    /// The sandbox of this home folder.
    pub fn at(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }
    fn folder(&self) -> PathBuf {
        self.home.join(".bldr/sandbox")
    }
    fn made(&self) -> PathBuf {
        self.folder().join("sandbox.json")
    }
    /// Where the nodes' files are.
    pub fn nodes(&self) -> PathBuf {
        self.folder().join("nodes")
    }
    /// Where its project file is.
    pub fn project_file(&self) -> PathBuf {
        self.folder().join("project.yaml")
    }
    /// Where its contexts are.
    pub fn contexts(&self) -> PathBuf {
        self.home.join(".cfn/contexts")
    }
    /// Says that the contexts beside it are made up. A folder of contexts without it may be a real fleet's.
    fn marker(&self) -> PathBuf {
        made_up_marker(&self.contexts())
    }
    /// Whether it has been made, to the end.
    pub fn exists(&self) -> bool {
        self.made().is_file()
    }

    /// Makes the built-in fleet where there is none yet, whoever else does so at the same moment.
    ///
    /// # Errors
    /// Those of [`Sandbox::create`].
    pub fn ensure(&self, clock: &Arc<dyn Clock>) -> PortResult<()> {
        if self.exists() {
            return Ok(());
        }
        self.may_be_made()?;
        let wrong = |error| PortError::new(PortErrorKind::Malformed, "the built-in fleet", "it contradicts itself").caused_by(error);
        let spec = FleetSpec::built_in().map_err(wrong)?;
        let path = self.home.join(".bldr/sandbox.lock");
        let turn = fs::create_dir_all(self.home.join(".bldr")).and_then(|()| File::create(&path));
        let _turn = turn.and_then(|file| file.lock().map(|()| file)).map_err(|error| failed(&path, error))?;
        if self.exists() { Ok(()) } else { self.create(&spec, clock) }
    }

    fn may_be_made(&self) -> PortResult<()> {
        let contexts = self.contexts();
        if self.marker().exists() || !holds_contexts(&contexts) {
            return Ok(());
        }
        let problem = "it holds contexts that no sandbox made, so no sandbox is made here";
        let advice = "run bldr in an empty folder (or with --home DIR), or say 'cloud: aws' in settings.yaml if these are a real fleet's";
        Err(PortError::new(PortErrorKind::Refused, contexts.display().to_string(), problem).advise(advice))
    }

    /// Makes it, in place of the one there was.
    ///
    /// # Errors
    /// `Refused`, and nothing is touched, where the folder holds contexts that no sandbox made: they may be a real
    /// fleet's. Those of the specification and the disk.
    pub fn create(&self, spec: &FleetSpec, clock: &Arc<dyn Clock>) -> PortResult<()> {
        self.may_be_made()?;
        let contexts = self.contexts();
        let gone = |path: &Path, result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
            _ => Ok(()),
        };
        // A specification that contradicts itself is found out before anything is removed for it.
        let trial = Machines::open(Arc::new(MemoryDisk::default()), clock.clone(), &spec.region)?;
        spec::populate(spec, &trial, clock.as_ref(), &mut |_, _| Ok(()))?;
        gone(&self.made(), fs::remove_file(self.made()))?;
        for folder in [self.nodes(), contexts.clone(), self.home.join(".bldr/sleepers")] {
            gone(&folder, fs::remove_dir_all(&folder))?;
        }
        for folder in [self.nodes(), contexts.clone()] {
            fs::create_dir_all(&folder).map_err(|e| failed(&folder, e))?;
        }
        fs::write(self.marker(), "These contexts are made up: they belong to the sandbox.\n").map_err(|e| failed(&self.marker(), e))?;
        let machines = Machines::open(Arc::new(FolderDisk::new(self.nodes())), clock.clone(), &spec.region)?;
        spec::populate(spec, &machines, clock.as_ref(), &mut |stack, text| {
            let path = contexts.join(format!("{stack}.json"));
            fs::write(&path, text).map_err(|e| failed(&path, e))
        })?;
        let projects = spec.project_file.clone().unwrap_or_else(|| spec.project_yaml().into_bytes());
        fs::write(self.project_file(), projects).map_err(|e| failed(&self.project_file(), e))?;
        let made = serde_json::to_string(&Made { region: spec.region.clone() }).map_err(|e| failed(&self.made(), e.into()))?;
        fs::write(self.made(), made).map_err(|e| failed(&self.made(), e))
    }

    /// Its machines. `pace` is how long every answer takes, so that a person can watch.
    ///
    /// # Errors
    /// `NotFound` where it has not been made, `Malformed` where somebody damaged it.
    pub fn open(&self, clock: &Arc<dyn Clock>, pace: Duration) -> PortResult<Machines> {
        let path = self.made();
        let subject = || path.display().to_string();
        let text = fs::read_to_string(&path)
            .map_err(|e| PortError::new(PortErrorKind::NotFound, subject(), "there is no sandbox here").caused_by(e))?;
        let made: Made = serde_json::from_str(&text).map_err(|e| {
            PortError::new(PortErrorKind::Malformed, subject(), "it is damaged").advise("'sandbox.reset' makes a new one").caused_by(e)
        })?;
        Ok(Machines::open(Arc::new(FolderDisk::new(self.nodes())), clock.clone(), &made.region)?.paced(pace))
    }
}

/// The file that tells a folder of made-up contexts from one of a real fleet's.
pub fn made_up_marker(contexts: &Path) -> PathBuf {
    contexts.join(".made-up")
}

fn failed(path: &Path, error: io::Error) -> PortError {
    PortError::new(PortErrorKind::Refused, path.display().to_string(), format!("the sandbox cannot be made: {error}")).caused_by(error)
}

fn holds_contexts(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
}
