//! What does a simulated machine find behind the address of a git repository? What was committed to it, or else what such a
//! repository usually holds; and private ones only with a key that their host knows.

use super::{Machines, path, provisioning::ACCOUNT, trouble};
use bldr_core::{
    error::PortResult,
    library::{PRIVATE, Shelf},
    ports::{Change, Library},
    ssh_key::SshPublicKey,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const REPOSITORIES: &str = "/repositories";
const DEPLOY_KEYS: &str = "/deploy-keys";

/// A repository, as it is at its host and as a machine has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Repository {
    pub(super) url: String,
    pub(super) revision: u64,
    pub(super) files: BTreeMap<String, String>,
}

fn named_after(text: &str) -> String {
    Sha256::digest(text).iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// The host of an address that only keys open: `git@HOST:PATH`, `ssh://git@HOST/PATH`.
fn guarded(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("ssh://").or_else(|| url.strip_prefix("git@").map(|_| url))?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', ':']).next()
}

impl Machines {
    /// Puts files into a repository, and makes it where there is none: without files it stays empty.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn commit(&self, url: &str, files: &[(&str, &str)]) -> PortResult<()> {
        let mut repository = self.committed(url)?.unwrap_or_default();
        repository.revision += 1;
        repository.url = url.into();
        repository.files.extend(files.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())));
        self.keep_of_account(REPOSITORIES, &named_after(url), &repository)
    }

    /// Lets whoever has this key read every private repository.
    ///
    /// # Errors
    /// Those of the disk, and the blown fuse.
    pub fn register_deploy_key(&self, key: &SshPublicKey) -> PortResult<Change> {
        if self.is_deploy_key(key)? {
            return Ok(Change::NotNeeded);
        }
        self.keep(ACCOUNT, &deploy_key_file(key), Some(&format!("{key}\n")))?;
        Ok(Change::Made)
    }

    fn is_deploy_key(&self, key: &SshPublicKey) -> PortResult<bool> {
        Ok(self.file(ACCOUNT, &deploy_key_file(key))?.is_some())
    }

    fn committed(&self, url: &str) -> PortResult<Option<Repository>> {
        self.of_account(REPOSITORIES, &named_after(url))
    }

    /// What a machine gets to see of a repository, or what git says instead.
    pub(super) fn fetched(&self, name: &str, shelf: &Shelf<'_>, library: &Library) -> PortResult<Result<Repository, String>> {
        if let Some(host) = guarded(shelf.url) {
            let known = |line: &String| line.split(' ').next().is_some_and(|hosts| hosts.split(',').any(|known| known == host));
            if !library.known_hosts.iter().any(known) {
                return Ok(Err("Host key verification failed.".into()));
            }
            let key = self.file(name, path::DEPLOY_KEY)?.as_deref().and_then(SshPublicKey::from_openssh);
            if !key.map(|key| self.is_deploy_key(&key)).transpose()?.unwrap_or(false) {
                return Ok(Err(format!("git@{host}: Permission denied (publickey).")));
            }
        }
        if shelf.url.contains("/missing") {
            return Ok(Err("Repository not found".into()));
        }
        let repository = match self.committed(shelf.url)? {
            Some(repository) => repository,
            None => Repository { url: shelf.url.into(), revision: 1, files: usual(shelf) },
        };
        Ok(if repository.files.is_empty() { Err("it is empty".into()) } else { Ok(repository) })
    }

    /// Makes a folder of a machine what the repository is. Whether that is something new.
    pub(super) fn shelve(&self, name: &str, folder: &str, repository: &Repository) -> PortResult<bool> {
        let record = format!("{folder}/.git/bldr");
        let text = self.file(name, &record)?;
        let before: Repository = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let gone = before.files.keys().filter(|file| !repository.files.contains_key(*file)).map(|file| (file, None));
        for (file, content) in gone.chain(repository.files.iter().map(|(file, content)| (file, Some(content.as_str())))) {
            let file = format!("{folder}/{file}");
            if self.file(name, &file)?.as_deref() != content {
                self.keep(name, &file, content)?;
            }
        }
        if before == *repository {
            return Ok(false);
        }
        let text = serde_json::to_string(repository).map_err(|error| trouble(name, error))?;
        self.keep(name, &record, Some(&text))?;
        Ok(true)
    }
}

fn deploy_key_file(key: &SshPublicKey) -> String {
    let bare: Vec<_> = key.line().split_ascii_whitespace().take(2).collect();
    format!("{DEPLOY_KEYS}/{}", named_after(&bare.join(" ")))
}

/// What is in a repository that nobody committed to.
fn usual(shelf: &Shelf<'_>) -> BTreeMap<String, String> {
    let name = shelf.folder.rsplit('/').next().unwrap_or_default();
    let files = if shelf.folder == PRIVATE {
        vec![
            ("etc-salt-master".to_owned(), TEMPLATE.to_owned()),
            ("salt/top.sls".into(), "base:\n  '*': [web-server]\n".into()),
            ("pillar/top.sls".into(), "base:\n  '*': []\n".into()),
        ]
    } else {
        vec![(format!("salt/{name}/init.sls"), "web-server:\n  test.succeed_without_changes\n".into())]
    };
    files.into_iter().collect()
}

/// The configuration of a master, as private repositories have it.
const TEMPLATE: &str = "# the master; file_roots are filled in\ninterface: 0.0.0.0\nauto_accept: True\nfile_roots:\n  base:\n    - /srv/salt\n\
                        pillar_roots:\n  base:\n    - /srv/pillar\n";

/// The template with the roots of a library and every interface; every other line stays. What keeps it from that, otherwise.
pub(super) fn rendered(template: &str, library: &Library) -> Result<String, String> {
    if !template.lines().any(|line| line.trim_end() == "file_roots:") {
        return Err("the template has no 'file_roots'".into());
    }
    let text = with_roots(template, "file_roots:", &library.file_roots());
    let text = with_roots(&text, "pillar_roots:", &library.pillar_roots());
    let bare: String = text.lines().filter(|line| !line.starts_with("interface:")).map(|line| format!("{line}\n")).collect();
    Ok(format!("{bare}interface: 0.0.0.0\n"))
}

/// One list of the text, that of `base`, is replaced. Of YAML only what the templates here are made of is understood.
fn with_roots(text: &str, key: &str, roots: &[String]) -> String {
    let list: String = roots.iter().map(|root| format!("    - {root}\n")).collect();
    let mut out = String::new();
    let (mut inside, mut dropping, mut written) = (false, false, false);
    for line in text.lines() {
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            inside = line.trim_end() == key;
            dropping = false;
        } else if inside && line.starts_with("  ") && line.trim_end().ends_with(':') {
            dropping = line.trim() == "base:";
        } else if dropping && line.trim_start().starts_with('-') {
            continue;
        }
        out.push_str(&format!("{line}\n"));
        if dropping && !written {
            out.push_str(&list);
            written = true;
        }
    }
    if written { out } else { format!("{out}{key}\n  base:\n{list}") }
}
