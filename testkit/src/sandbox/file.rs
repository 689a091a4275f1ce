//! How does one describe a sandbox? In YAML: the masters, the stacks, and files for what has to be exact.

use crate::{
    machines::Fault,
    spec::{FleetSpec, MasterSpec, StackSpec},
};
use bldr_core::fleet::InstanceState;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// A description that cannot be used: which file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxFileError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The description is not what it should be. The text carries line and column.
    #[error("{path}: {source}")]
    Yaml {
        /// Which.
        path: String,
        /// What is wrong, and where.
        source: serde_yaml::Error,
    },
    /// It says nothing at all.
    #[error("{0}: it describes no fleet: it has none of 'region', 'masters' and 'stacks'")]
    Empty(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SandboxFile {
    #[serde(default = "default_region")]
    region: String,
    project_file: Option<PathBuf>,
    #[serde(default)]
    masters: BTreeMap<String, Option<MasterEntry>>,
    #[serde(default)]
    stacks: BTreeMap<String, Option<StackEntry>>,
}

fn default_region() -> String {
    "us-east-1".into()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct MasterEntry {
    private_ip: Option<IpAddr>,
    state: Option<InstanceState>,
    auto_accept: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct StackEntry {
    nodes: Option<u64>,
    state: Option<InstanceState>,
    master: Option<String>,
    context: Option<PathBuf>,
    build_vars: Option<PathBuf>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    fault: Option<Fault>,
}

fn read(path: &Path) -> Result<Vec<u8>, SandboxFileError> {
    fs::read(path).map_err(|source| SandboxFileError::Read { path: path.display().to_string(), source })
}

impl FleetSpec {
    /// Reads a description. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// A file that cannot be read, or a description that is none.
    pub fn from_yaml(path: &Path) -> Result<Self, SandboxFileError> {
        let text = read(path)?;
        let wrong = |source| SandboxFileError::Yaml { path: path.display().to_string(), source };
        let said: serde_yaml::Value = serde_yaml::from_slice(&text).map_err(wrong)?;
        if said.is_null() || said.as_mapping().is_some_and(serde_yaml::Mapping::is_empty) {
            return Err(SandboxFileError::Empty(path.display().to_string()));
        }
        Self::from_file(serde_yaml::from_slice(&text).map_err(wrong)?, path.parent().unwrap_or(Path::new("")))
    }

    /// The fleet a new user finds: two masters, and one of everything that can be different about a stack.
    ///
    /// # Errors
    /// None: the description is part of the program, and a test reads it.
    pub fn built_in() -> Result<Self, SandboxFileError> {
        let wrong = |source| SandboxFileError::Yaml { path: "the built-in fleet".into(), source };
        let mut spec = Self::from_file(serde_yaml::from_str(include_str!("fleet.yaml")).map_err(wrong)?, Path::new(""))?;
        spec.project_file = Some(include_bytes!("project.yaml").to_vec());
        let contexts: [(&str, &[u8]); 2] =
            [("hermit--prod", include_bytes!("hermit--prod.json")), ("bucket--prod", include_bytes!("bucket--prod.json"))];
        for (stack, context) in contexts {
            spec = spec.with(stack, |stack| stack.context = Some(context.trim_ascii_end().into()));
        }
        Ok(spec)
    }

    fn from_file(file: SandboxFile, folder: &Path) -> Result<Self, SandboxFileError> {
        let optional = |path: Option<PathBuf>| path.map(|path| read(&folder.join(path))).transpose();
        let master = |entry: MasterEntry| MasterSpec {
            private: entry.private_ip.and_then(|ip| ip.to_string().parse().ok()),
            state: entry.state.unwrap_or(InstanceState::Running),
            auto_accept: entry.auto_accept.unwrap_or(true),
        };
        let stack = |entry: StackEntry| {
            Ok(StackSpec {
                nodes: entry.nodes,
                state: entry.state.unwrap_or(InstanceState::Running),
                master: entry.master,
                context: optional(entry.context)?,
                build_vars: optional(entry.build_vars)?,
                tags: entry.tags,
                fault: entry.fault,
            })
        };
        Ok(Self {
            region: file.region,
            masters: file.masters.into_iter().map(|(name, entry)| (name, master(entry.unwrap_or_default()))).collect(),
            stacks: file.stacks.into_iter().map(|(name, entry)| Ok((name, stack(entry.unwrap_or_default())?))).collect::<Result<_, _>>()?,
            shared: None,
            project_file: optional(file.project_file)?,
        })
    }
}
