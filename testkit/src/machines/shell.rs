//! What of a simulated node can an operator get at? Its files; commands it has none.

use super::{Machines, trouble};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::Host,
    ports::{Existing, Heard, Part, Shell},
};

/// How many bytes of a file come in one answer.
const PART: usize = 64 << 10;

impl Machines {
    fn is_folder(&self, name: &str, path: &str) -> PortResult<bool> {
        Ok(!self.list(name, path.trim_end_matches('/'))?.is_empty() || path.ends_with('/'))
    }
}

fn no_shell(host: &Host) -> PortError {
    let problem = "it is made up: it has files, and no programs to run";
    PortError::new(PortErrorKind::Refused, host.node.to_string(), problem)
        .advise(format!("its files are in .bldr/sandbox/nodes/{}", host.node))
}

#[async_trait]
impl Shell for Machines {
    async fn read(&self, host: &Host, path: &str, from: u64) -> PortResult<Part> {
        let name = self.enter(host).await?;
        let about = |kind, problem| PortError::new(kind, format!("{}: {path}", host.node), problem);
        if self.is_folder(&name, path)? {
            return Err(about(PortErrorKind::Refused, "it is a folder"));
        }
        let content = self.disk.read(&name, path).map_err(|error| trouble(&name, error))?;
        let content = content.ok_or_else(|| about(PortErrorKind::NotFound, "there is no such file"))?;
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(content.len());
        let bytes = content[from..content.len().min(from + PART)].to_vec();
        Ok(Part { bytes, size: content.len() as u64, identity: path.into() })
    }

    async fn place(&self, host: &Host, path: &str, content: &[u8], existing: Existing) -> PortResult<()> {
        let name = self.enter(host).await?;
        let about = |kind, problem| PortError::new(kind, format!("{}: {path}", host.node), problem);
        if self.is_folder(&name, path)? {
            return Err(about(PortErrorKind::Refused, "it is a folder"));
        }
        let there = self.disk.read(&name, path).map_err(|error| trouble(&name, error))?.is_some();
        if there && existing == Existing::Stays {
            return Err(about(PortErrorKind::Conflict, "there is a file already"));
        }
        self.burn(&name)?;
        self.disk.write(&name, path, Some(content)).map_err(|error| trouble(&name, error))
    }

    async fn run(&self, host: &Host, _: &str, _: &mut (dyn for<'a> FnMut(Heard<'a>) + Send)) -> PortResult<u32> {
        self.enter(host).await?;
        Err(no_shell(host))
    }

    async fn attach(&self, host: &Host) -> PortResult<u32> {
        self.enter(host).await?;
        Err(no_shell(host))
    }
}
