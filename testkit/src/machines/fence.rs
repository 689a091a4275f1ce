//! Has somebody who took the fleet's lock later worked on a simulated machine? It knows who was there last, as real ones do.

use super::{Fault, Machines, path};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::Host,
    ports::Tenure,
};

impl Machines {
    /// Lets somebody change something who holds the lock so; they are who was there last then. A machine that nobody gets at hears of nothing.
    ///
    /// # Errors
    /// `Conflict` where a later holding of the same lock has been there, and those of the disk.
    pub fn let_in(&self, host: &Host, tenure: &Tenure) -> PortResult<()> {
        let Some(name) = self.at(host.address.as_str()) else { return Ok(()) };
        if matches!(self.get(&name).and_then(|machine| machine.fault), Some(Fault::Unreachable | Fault::Denied)) {
            return Ok(());
        }
        let seen = self.file(&name, path::TENURE)?.and_then(|line| read(&line));
        match seen {
            Some(seen) if tenure.is_before(&seen) => {
                let (theirs, ours) = (seen.epoch, tenure.epoch);
                let problem = format!(
                    "a run that took the lock later has worked on it since (epoch {theirs}, this run has {ours}): nothing was changed"
                );
                Err(PortError::new(PortErrorKind::Conflict, host.node.to_string(), problem))
            }
            Some(seen) if seen == *tenure => Ok(()),
            _ => self.keep(&name, path::TENURE, Some(&format!("{} {}\n", tenure.lock, tenure.epoch))),
        }
    }
}

fn read(line: &str) -> Option<Tenure> {
    let (lock, epoch) = line.trim().split_once(' ')?;
    Some(Tenure { lock: lock.into(), epoch: epoch.parse().ok()? })
}
