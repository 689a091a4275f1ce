//! Which repositories does a master work from, where does it keep them, and which of their folders does Salt read?

use crate::{
    name::{ProjectName, StackName},
    ports::Library,
    project::{ProjectError, Projects},
};
use std::collections::BTreeSet;

/// Where the private repository is kept.
pub const PRIVATE: &str = "/opt/builder-private";
/// Where the configuration is kept.
pub const CONFIGURATION: &str = "/opt/builder-configuration";
/// Where the formulas are kept, one folder each.
pub const FORMULAS: &str = "/opt/formulas";
/// The formula whose own folder is a root of files as well, after all others.
const BASE: &str = "builder-base";

/// A repository and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf<'l> {
    /// Its address.
    pub url: &'l str,
    /// Its folder on the master.
    pub folder: String,
}

/// A formula that has no folder of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// Its address ends in no name.
    #[error("the address of a formula ends in no name that a folder could have")]
    Nameless,
    /// Another one is kept there.
    #[error("two formulas are named '{0}'")]
    Twice(String),
}

/// A library that no master could work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A formula has no folder of its own.
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
    /// There is no private repository.
    #[error("project '{0}' names no `private-repo`, and a master has its template there")]
    NoPrivate(ProjectName),
}

/// The name of a formula: the last part of its address without `.git` and `-formula`. `None` where that is no folder's name.
pub fn formula_name(url: &str) -> Option<&str> {
    let last = url.trim_end_matches('/').rsplit(['/', ':']).next()?;
    let last = last.strip_suffix(".git").unwrap_or(last);
    let name = last.strip_suffix("-formula").unwrap_or(last);
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (plain && !name.is_empty() && !name.starts_with(['-', '.'])).then_some(name)
}

impl Library {
    /// A master's library, as the project files name it.
    ///
    /// # Errors
    /// A project whose formulas are no list of texts.
    pub fn of(projects: &Projects, master: &StackName, known_hosts: &[String]) -> Result<Self, ProjectError> {
        let own = projects.get(&master.project());
        let named = |key: &str| own?.get(key)?.as_string().filter(|url| !url.is_empty());
        Ok(Self {
            private: named("private-repo"),
            configuration: named("configuration-repo"),
            formulas: projects.known_formulas()?,
            known_hosts: known_hosts.to_vec(),
        })
    }

    /// The addresses of all its repositories, each once: the private one, that of the configuration, the formulas.
    pub fn repositories(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for url in self.private.iter().chain(&self.configuration).chain(&self.formulas) {
            if !all.contains(url) {
                all.push(url.clone());
            }
        }
        all
    }

    /// Its repositories, each with its folder: the private one, the configuration, the formulas.
    ///
    /// # Errors
    /// A formula without a folder of its own.
    pub fn shelves(&self) -> Result<Vec<Shelf<'_>>, Misplaced> {
        let single = [(&self.private, PRIVATE), (&self.configuration, CONFIGURATION)];
        let single = single.into_iter().filter_map(|(url, folder)| Some(Shelf { url: url.as_deref()?, folder: folder.into() }));
        let mut shelves: Vec<_> = single.collect();
        let mut names = BTreeSet::new();
        for url in &self.formulas {
            let name = formula_name(url).ok_or(Misplaced::Nameless)?;
            if !names.insert(name) {
                return Err(Misplaced::Twice(name.into()));
            }
            shelves.push(Shelf { url, folder: format!("{FORMULAS}/{name}") });
        }
        Ok(shelves)
    }

    /// Whether a master could work with it.
    ///
    /// # Errors
    /// Why not.
    pub fn fit_for(&self, master: &StackName) -> Result<(), Unfit> {
        self.shelves()?;
        self.private.as_ref().map(drop).ok_or_else(|| Unfit::NoPrivate(master.project()))
    }

    /// What `file_roots.base` of its master is to be.
    pub fn file_roots(&self) -> Vec<String> {
        let names: Vec<_> = self.formulas.iter().filter_map(|url| formula_name(url)).collect();
        let mut roots = vec![format!("{PRIVATE}/salt/")];
        roots.extend(self.configuration.iter().map(|_| format!("{CONFIGURATION}/salt/")));
        roots.extend(names.iter().map(|name| format!("{FORMULAS}/{name}/salt/")));
        roots.extend(names.iter().filter(|name| **name == BASE).map(|name| format!("{FORMULAS}/{name}/")));
        roots
    }

    /// What `pillar_roots.base` of its master is to be.
    pub fn pillar_roots(&self) -> Vec<String> {
        let configuration = self.configuration.iter().map(|_| format!("{CONFIGURATION}/pillar"));
        std::iter::once(format!("{PRIVATE}/pillar")).chain(configuration).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn every_repository_is_named_once_the_masters_own_first() {
        let text = r#"{"defaults": {}, "harbor": {"formula-repo": "https://a", "formula-dependencies": ["https://b"]},
            "master-server": {"private-repo": "git@p", "configuration-repo": "https://c", "formula-repo": "https://a"}}"#;
        let projects = Projects::from_file("team.yaml", json::parse(text).unwrap()).unwrap();
        let library = Library::of(&projects, &"master-server--a".parse().unwrap(), &[]).unwrap();
        assert_eq!(library.private.as_deref(), Some("git@p"));
        assert_eq!(library.repositories(), ["git@p", "https://c", "https://a", "https://b"]);
    }

    #[test]
    fn no_master_works_without_a_private_repository() {
        let master = "master-server--a".parse().unwrap();
        let mut library = Library { private: Some("git@p".into()), ..Library::default() };
        assert_eq!(library.fit_for(&master), Ok(()));
        library.formulas = vec!["a/.git".into()];
        assert_eq!(library.fit_for(&master), Err(Unfit::Misplaced(Misplaced::Nameless)));
        assert_eq!(Library::default().fit_for(&master), Err(Unfit::NoPrivate(master.project())));
    }

    #[test]
    fn a_formula_is_named_after_the_end_of_its_address() {
        for (url, name) in [
            ("https://github.com/elifesciences/journal-formula", Some("journal")),
            ("git@github.com:elifesciences/builder-base-formula.git", Some("builder-base")),
            ("git@example.org:journal-formula.git", Some("journal")),
            ("https://example.org/journal.git/", Some("journal")),
            ("https://example.org/..", None),
            ("https://example.org/-formula", None),
            ("https://example.org/a b", None),
            ("", None),
        ] {
            assert_eq!(formula_name(url), name, "{url}");
        }
    }

    #[test]
    fn roots_come_in_the_order_of_the_library_and_the_base_comes_once_more() {
        let mut library = Library {
            private: Some("git@example.org:private.git".into()),
            formulas: ["x/builder-base-formula", "x/journal-formula"].map(Into::into).into(),
            ..Library::default()
        };
        assert_eq!(
            library.file_roots(),
            [
                "/opt/builder-private/salt/",
                "/opt/formulas/builder-base/salt/",
                "/opt/formulas/journal/salt/",
                "/opt/formulas/builder-base/"
            ]
        );
        assert_eq!(library.pillar_roots(), ["/opt/builder-private/pillar"]);
        library.formulas.remove(0);
        library.configuration = Some("x/configuration".into());
        assert_eq!(library.file_roots(), ["/opt/builder-private/salt/", "/opt/builder-configuration/salt/", "/opt/formulas/journal/salt/"]);
        assert_eq!(library.pillar_roots(), ["/opt/builder-private/pillar", "/opt/builder-configuration/pillar"]);
        let folders: Vec<_> = library.shelves().unwrap().into_iter().map(|shelf| shelf.folder).collect();
        assert_eq!(folders, ["/opt/builder-private", "/opt/builder-configuration", "/opt/formulas/journal"]);
    }

    #[test]
    fn no_two_formulas_share_a_folder() {
        let library = Library { formulas: ["a/journal-formula", "b/journal"].map(Into::into).into(), ..Library::default() };
        assert_eq!(library.shelves(), Err(Misplaced::Twice("journal".into())));
        let library = Library { formulas: vec!["a/".into()], ..Library::default() };
        assert!(library.shelves().is_ok());
        let library = Library { formulas: vec!["a/.git".into()], ..Library::default() };
        assert_eq!(library.shelves(), Err(Misplaced::Nameless));
    }
}
