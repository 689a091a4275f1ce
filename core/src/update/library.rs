//! Which repositories has a master? Its private one, that of the configuration, and the formulas of every project.

use crate::{
    name::StackName,
    ports::Library,
    project::{ProjectError, Projects},
};

/// A master's library, as the project files name it.
///
/// # Errors
/// A project whose formulas are no list of texts.
pub fn library(projects: &Projects, master: &StackName, known_hosts: &[String]) -> Result<Library, ProjectError> {
    let own = projects.get(&master.project());
    let named = |key: &str| own?.get(key)?.as_string().filter(|url| !url.is_empty());
    Ok(Library {
        private: named("private-repo"),
        configuration: named("configuration-repo"),
        formulas: projects.known_formulas()?,
        known_hosts: known_hosts.to_vec(),
    })
}

impl Library {
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
        let library = library(&projects, &"master-server--a".parse().unwrap(), &[]).unwrap();
        assert_eq!(library.private.as_deref(), Some("git@p"));
        assert_eq!(library.repositories(), ["git@p", "https://c", "https://a", "https://b"]);
    }
}
