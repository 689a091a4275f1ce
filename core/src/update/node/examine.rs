//! What does a node say of itself before it is brought up to date? Who its master is, which Salt it has, and what would be changed.

use super::{Commander, NodeUpdate};
use crate::{
    address::MasterAddress,
    build_vars::BuildVars,
    doctor::without_secrets,
    error::{PortErrorKind, PortResult},
    execute::telling::{Done, Stepped},
    fleet::{Evidence, HeldKey, KeyState, Node, NodeFiles, Outlook},
    json::Value,
    ports::{Change, Role},
    readiness, survey,
    update::{Mode, Salt, salt},
};

impl NodeUpdate<'_> {
    pub(super) async fn examine(&mut self) -> Stepped {
        let (work, host) = (self.work, self.at()?);
        let files = work.telling.patiently(async || work.ports.minions.read(&host).await).await?;
        let address = self.named(&files)?;
        let (files, outlook) = work.telling.patiently(async || work.ports.minions.examine(&host, &address).await).await?;
        let evidence = survey::evidence(&files);
        if evidence.unconfirmed {
            let problem = "a switch to another master waits to be confirmed, or puts itself back (nothing was changed on it)";
            let advice = format!("`bldr master.status:{}` says which master that is; run its re-mastering again", self.node.name.stack());
            return Err(self.about(PortErrorKind::Conflict, problem).advise(advice).into());
        }
        self.address = Some(address);
        if self.role() == Role::Minion {
            self.find_commander(&evidence, &outlook).await?;
        }
        let master = self.commander.as_ref().and_then(|commander| commander.standing.version.as_ref());
        let salt = salt(outlook.version.as_ref(), self.wanted, master).map_err(|why| self.about(PortErrorKind::Refused, why))?;
        let said = match (&salt, &outlook.version) {
            (Salt::Newer, Some(version)) => Some(format!("Salt {version} is newer than its context wants, and stays")),
            _ => None,
        };
        if work.update.mode == Mode::DryRun {
            self.due = self.found_due(&salt, &evidence);
        }
        self.evidence = Some(evidence);
        self.salt = Some(salt);
        self.installed = outlook.version;
        let detail = said.into_iter().chain(self.due.iter().map(|due| format!("{due} would be changed"))).collect::<Vec<_>>().join(", ");
        Ok(Done { change: Change::NotNeeded, detail: (!detail.is_empty()).then_some(detail), states: None })
    }

    /// The address that the node's build vars name as its master's. A master is its own.
    fn named(&mut self, files: &NodeFiles) -> PortResult<MasterAddress> {
        let fix = || format!("`bldr buildvars.fix:{}` regenerates them", self.node.name.stack());
        let malformed = |problem: String| self.about(PortErrorKind::Malformed, problem).advise(fix());
        let encoded = files.build_vars.as_deref().ok_or_else(|| malformed("it has no build vars".into()))?;
        let vars = BuildVars::decode(encoded).and_then(|vars| vars.check().map(|()| vars)).map_err(|error| malformed(error.to_string()))?;
        let id = vars.as_object().get("nodename").and_then(Value::as_string).filter(|name| readiness::is_plain(name));
        let named = vars.master();
        if self.role() == Role::Master {
            // Old ones name the loopback, or whoever was in charge when they were launched.
            let own = self.node.private.as_ref().and_then(|address| address.as_str().parse().ok());
            let own = own.or(named).ok_or_else(|| malformed("neither EC2 nor its build vars name an address of it".into()))?;
            self.id = id.unwrap_or_else(|| self.id.clone());
            return Ok(own);
        }
        let named = named.ok_or_else(|| malformed("its build vars name no master, or several".into()))?;
        self.id = id.unwrap_or_else(|| self.id.clone());
        Ok(named)
    }

    /// Looks for the master at that address; where it is a name, for the one whose key the minion trusts.
    async fn find_commander(&mut self, evidence: &Evidence, outlook: &Outlook) -> PortResult<()> {
        let (work, address) = (self.work, self.address.clone());
        let address = address.as_ref().map_or("", |address| address.as_str());
        let fleet = work.fleet;
        let known = fleet.master_at(address);
        let named = known.is_none() && address.parse::<std::net::IpAddr>().is_err();
        for stack in known.into_iter().chain(fleet.masters().into_iter().filter(|_| named)) {
            let host = stack.running().and_then(Node::host);
            let Some(host) = host else {
                if known.is_none() {
                    continue;
                }
                let state = stack.state().map_or_else(|| "without a machine".into(), |state| state.to_string());
                let problem =
                    self.about(PortErrorKind::Refused, format!("its master {} is {state} (nothing was changed on it)", stack.name));
                return Err(problem.advise(format!("`bldr start:{}` starts it", stack.name)));
            };
            let standing = work.telling.patiently(async || work.ports.masters.read(&host).await).await;
            match standing {
                // A machine that trusts nobody yet is given to the first of them; whether the name leads there is proven later.
                Ok(standing) if known.is_some() || evidence.trusted.is_none_or(|trusted| trusted == standing.key.fingerprint()) => {
                    if let Some(why) = &standing.silent {
                        return Err(
                            self.about(PortErrorKind::Refused, format!("its master {}: {why} (nothing was changed on it)", stack.name))
                        );
                    }
                    if let Some(obstacle) = outlook.obstacles.first() {
                        return Err(self.about(PortErrorKind::Refused, format!("{obstacle} (nothing was changed on it)")));
                    }
                    self.commander = Some(Commander { name: stack.name.clone(), host, standing });
                    return Ok(());
                }
                Err(error) if known.is_some() => return Err(error),
                _ => {}
            }
        }
        let problem = format!("its build vars name {address} as its master, and no master of {} has that address", fleet.region);
        let advice = format!("`bldr master.remaster:{},MASTER` moves it to one that is there", self.node.name.stack());
        Err(self.about(PortErrorKind::NotFound, problem).advise(advice))
    }

    /// What an update would do with a master's library, for a dry run: every repository is refreshed, where it can be read.
    pub(super) async fn would_refresh(&mut self) -> Stepped {
        let (work, host) = (self.work, self.at()?);
        let library = &work.update.library;
        let shelves = library.shelves().map_err(|error| self.about(PortErrorKind::Refused, error.to_string()))?;
        let urls: Vec<String> = shelves.iter().map(|shelf| shelf.url.to_owned()).collect();
        let looked = work.telling.patiently(async || work.ports.masters.inspect(&host, &urls, None).await).await?;
        let mut refreshed = Vec::new();
        for (shelf, why) in shelves.iter().zip(&looked.repositories) {
            let url = without_secrets(shelf.url);
            match why {
                None => refreshed.push(format!("{} from {url}", shelf.folder)),
                Some(why) => self.trouble.push(format!("{}: {url} cannot be read: {}", self.node.name, without_secrets(why))),
            }
        }
        let said = format!("would be refreshed: {}", refreshed.join(", "));
        Ok(Done::from(Change::NotNeeded).saying(if refreshed.is_empty() { "none of them can be read" } else { &said }))
    }

    /// What a dry run found, in a sentence.
    pub(super) fn told_due(&self) -> String {
        let library = self.work.update.library.repositories().len();
        let also = match self.role() {
            Role::Minion => "by the highstate".to_owned(),
            Role::Master => format!("by the highstate and what is new in {library} repositories"),
        };
        match &self.due[..] {
            [] => format!("nothing would be changed but {also}"),
            due => format!("{} would be changed: {}", self.node.name, due.join(", ")),
        }
    }

    /// What would be done about it, for a dry run.
    fn found_due(&self, salt: &Salt, evidence: &Evidence) -> Vec<String> {
        let mut due = Vec::new();
        if let Salt::Install(version) = salt {
            due.push(format!("its Salt (to {version})"));
        }
        let address = self.address.as_ref().map(MasterAddress::as_str);
        if evidence.configured.as_deref() != address {
            due.push("the master in its configuration".into());
        }
        if evidence.minion_id.as_deref() != Some(&*self.id) {
            due.push("its minion's id".into());
        }
        if let Some(commander) = &self.commander {
            if evidence.trusted != Some(commander.standing.key.fingerprint()) {
                due.push("the key it trusts".into());
            }
            let held = commander.standing.keys.under(&self.id);
            let accepted = |held: &HeldKey| held.state == KeyState::Accepted && Some(held.key) == evidence.minion_key;
            if !held.iter().any(accepted) {
                due.push(format!("its key on {}", commander.name));
            }
        }
        due
    }
}
