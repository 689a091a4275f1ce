//! What do the project files say? Projects merged over their file's defaults, and the `aws` section each stack gets.
//!
//! How a file's YAML becomes a [`Value`] is an adapter's business; here it has been read, and keys are text.

mod merge;

use crate::{
    json::{Object, Value},
    name::{NameError, ProjectName, StackName},
};
use merge::combined;
pub(crate) use merge::merged;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

/// Sections of the defaults that a project has only when it mentions them.
const OPTIONAL: [&str; 5] = ["aws", "vagrant", "vagrant-alt", "aws-alt", "gcp-alt"];
/// Sections of the defaults' `aws` that a project's `aws` has only when it mentions them.
const OPTIONAL_IN_AWS: [&str; 10] = ["rds", "ext", "elb", "alb", "cloudfront", "elasticache", "fastly", "eks", "docdb", "waf"];

/// Why project files cannot be used. Names the file, the project and the key, and no value but numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    /// The file is a list or a scalar.
    #[error("{file}: a project file is a map, this is {found}")]
    NotAMap {
        /// The file, as the operator knows it.
        file: String,
        /// What it is instead.
        found: String,
    },
    /// The file says something, but has no `defaults`.
    #[error("{0}: it has no 'defaults' section")]
    NoDefaults(String),
    /// A place that has to hold a map holds something else.
    #[error("{file}: '{place}' has to be a map, this is {found}")]
    Section {
        /// The file, as the operator knows it.
        file: String,
        /// The keys that lead there.
        place: String,
        /// What is there instead.
        found: String,
    },
    /// A key of the file is no name of a project.
    #[error("{file}: {problem}")]
    Name {
        /// The file, as the operator knows it.
        file: String,
        /// What is wrong with the name.
        problem: NameError,
    },
    /// Two files have a project of the same name.
    #[error("project '{project}' is in two files, {first} and {second}")]
    Twice {
        /// The project.
        project: ProjectName,
        /// The file that was read first.
        first: String,
        /// The other one.
        second: String,
    },
    /// `formula-repo` is no text, or `formula-dependencies` no list of texts.
    #[error("project '{project}': '{key}' has to be {wanted}, this is {found}")]
    Formulas {
        /// The project.
        project: ProjectName,
        /// The key.
        key: &'static str,
        /// What it ought to be.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
}

/// One file: its projects as merged, in the order of the file.
#[derive(Debug)]
struct ProjectFile {
    name: String,
    /// `aws.ec2.master_ip` of its defaults.
    master: Option<String>,
    order: Vec<ProjectName>,
    merged: BTreeMap<ProjectName, Object>,
}

/// All projects of all project files. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Projects {
    files: Vec<Arc<ProjectFile>>,
}

impl Projects {
    /// The projects of one file. `name` is what the operator knows the file by; `root` is what the file says, `null`
    /// where it is empty, which means that it has no projects.
    ///
    /// A project that is `null` (a key with nothing after it) says nothing of its own; so does such an alternate.
    ///
    /// # Errors
    /// A file without `defaults`, a key that is no project name, and defaults, projects and alternates that are no maps.
    pub fn from_file(name: &str, root: Value) -> Result<Self, ProjectError> {
        let root = match root {
            Value::Null => return Ok(Self::default()),
            Value::Object(root) => root,
            other => return Err(ProjectError::NotAMap { file: name.into(), found: other.shown() }),
        };
        let section = |place: &str, value: Option<&Value>| match value {
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(Value::Null) => Ok(Object::default()),
            Some(other) => Err(ProjectError::Section { file: name.into(), place: place.into(), found: other.shown() }),
            None => Err(ProjectError::NoDefaults(name.into())),
        };
        let defaults = section("defaults", root.get("defaults"))?;
        let master = defaults.get("aws").and_then(|aws| aws.at(&["ec2", "master_ip"])).and_then(Value::as_string);
        let mut file = ProjectFile { name: name.into(), master, order: Vec::new(), merged: BTreeMap::new() };
        for (key, value) in root.iter().filter(|(key, _)| !key.is("defaults")) {
            let text = key.decoded().unwrap_or_else(|| "\u{fffd}".into());
            let project: ProjectName = text.parse().map_err(|problem| ProjectError::Name { file: name.into(), problem })?;
            let merged = project_data(&defaults, &section(&text, Some(value))?).map_err(|(below, found)| ProjectError::Section {
                file: name.into(),
                place: format!("{text}.{below}"),
                found,
            })?;
            file.order.push(project.clone());
            file.merged.insert(project, merged);
        }
        Ok(Self { files: vec![Arc::new(file)] })
    }

    /// These projects and, after them, those.
    ///
    /// # Errors
    /// A project that is in both; the error names the two files.
    pub fn joined(mut self, other: Self) -> Result<Self, ProjectError> {
        for file in &other.files {
            for project in &file.order {
                if let Some(first) = self.file(project) {
                    let (first, second) = (first.name.clone(), file.name.clone());
                    return Err(ProjectError::Twice { project: project.clone(), first, second });
                }
            }
        }
        self.files.extend(other.files);
        Ok(self)
    }

    fn file(&self, project: &ProjectName) -> Option<&ProjectFile> {
        self.files.iter().map(|file| &**file).find(|file| file.merged.contains_key(project))
    }

    /// The projects' names, in the order of the files and of each file.
    pub fn names(&self) -> impl Iterator<Item = &ProjectName> {
        self.files.iter().flat_map(|file| &file.order)
    }

    /// A project, merged over the defaults of its file.
    pub fn get(&self, project: &ProjectName) -> Option<&Object> {
        self.file(project)?.merged.get(project)
    }

    /// Whether a project's stacks have machines: its merged `aws.ec2` is `true` or a map that is not empty.
    pub fn is_ec2(&self, project: &ProjectName) -> bool {
        match self.get(project).and_then(|data| data.get("aws")).and_then(|aws| aws.at(&["ec2"])) {
            Some(Value::Bool(mentioned)) => *mentioned,
            Some(Value::Object(ec2)) => !ec2.is_empty(),
            _ => false,
        }
    }

    /// The projects whose stacks have machines, in text order.
    pub fn ec2_projects(&self) -> Vec<&ProjectName> {
        let mut projects: Vec<_> = self.names().filter(|project| self.is_ec2(project)).collect();
        projects.sort_unstable();
        projects
    }

    /// Every formula that a project names, as `formula-repo` or in `formula-dependencies`: each once, in file order.
    ///
    /// # Errors
    /// A project whose formulas are no texts, or whose dependencies are no list: leaving them out unsaid would leave a
    /// master without them.
    pub fn known_formulas(&self) -> Result<Vec<String>, ProjectError> {
        const DEPENDENCIES: &str = "formula-dependencies";
        let mut seen = HashSet::new();
        let mut formulas = Vec::new();
        for (project, data) in self.files.iter().flat_map(|file| file.order.iter().filter_map(|p| Some((p, file.merged.get(p)?)))) {
            let wrong = |key, wanted, value: &Value| ProjectError::Formulas { project: project.clone(), key, wanted, found: value.shown() };
            let dependencies = match data.get(DEPENDENCIES) {
                None => [].iter(),
                Some(Value::Array(items)) => items.iter(),
                Some(other) => return Err(wrong(DEPENDENCIES, "a list", other)),
            };
            let named = data.get("formula-repo").map(|repo| ("formula-repo", repo));
            for (key, value) in named.into_iter().chain(dependencies.map(|value| (DEPENDENCIES, value))) {
                let formula = match value {
                    Value::Null | Value::Bool(false) => continue,
                    other => other.as_string().ok_or_else(|| wrong(key, "text", other))?,
                };
                if !formula.is_empty() && seen.insert(formula.clone()) {
                    formulas.push(formula);
                }
            }
        }
        Ok(formulas)
    }

    /// The regions that projects name as `aws.region`, each once.
    pub fn regions(&self) -> BTreeSet<String> {
        let projects = self.files.iter().flat_map(|file| file.merged.values());
        let named = projects.filter_map(|data| data.get("aws")?.at(&["region"])?.as_string());
        named.filter(|region| !region.is_empty()).collect()
    }

    /// The `aws` section of a stack: that of its alternate where it has been made from one, else of the one that its instance id names,
    /// else its project's own.
    pub fn aws_for(&self, stack: &StackName, alternate: Option<&str>) -> Option<&Value> {
        let data = self.get(&stack.project())?;
        let named = |name: &str| data.get("aws-alt")?.at(&[name]);
        alternate.and_then(named).or_else(|| named(stack.instance_str())).or_else(|| data.get("aws"))
    }

    /// Whether a stack's project, or its alternate, names another master than the defaults of its file do: then changing
    /// those defaults does not reach it.
    pub fn names_its_own_master(&self, stack: &StackName, alternate: Option<&str>) -> bool {
        let defaults = self.file(&stack.project()).and_then(|file| file.master.as_ref());
        self.shared_master(stack, alternate).as_ref() != defaults
    }

    /// The places of the project files that name this master: the defaults of a file, and the projects and alternates that name it
    /// although their file's defaults do not. As they are to be shown.
    pub fn naming(&self, address: &str) -> Vec<String> {
        let named = |aws: Option<&Value>| aws.and_then(|aws| aws.at(&["ec2", "master_ip"])).and_then(Value::as_string);
        let is_it = |aws: Option<&Value>| named(aws).as_deref() == Some(address);
        let mut places = Vec::new();
        for file in &self.files {
            if file.master.as_deref() == Some(address) {
                places.push(format!("the defaults of {}", file.name));
                continue;
            }
            for (project, data) in &file.merged {
                if is_it(data.get("aws")) {
                    places.push(format!("project '{project}' in {}", file.name));
                }
                let alternates = data.get("aws-alt").and_then(Value::as_object).into_iter().flat_map(Object::iter);
                for (name, _) in alternates.filter(|(_, aws)| is_it(Some(aws)) && !is_it(data.get("aws"))) {
                    places.push(format!("alternate '{}' of project '{project}' in {}", name.decoded().unwrap_or_default(), file.name));
                }
            }
        }
        places
    }

    /// The master that the team's files name for a stack: its `aws` section's `ec2.master_ip`, else that of the defaults
    /// of its file; of which alternate, see [`Projects::aws_for`]. For a project that is in no file: what the defaults of all files agree on.
    pub fn shared_master(&self, stack: &StackName, alternate: Option<&str>) -> Option<String> {
        let own = self.aws_for(stack, alternate).and_then(|aws| aws.at(&["ec2", "master_ip"])).and_then(Value::as_string);
        own.or_else(|| match self.file(&stack.project()) {
            Some(file) => file.master.clone(),
            None => {
                let first = &self.files.first()?.master;
                self.files.iter().all(|file| file.master == *first).then(|| first.clone())?
            }
        })
    }
}

/// A project over the defaults, its alternates included; or the place below the project that is no map, and what it is.
fn project_data(defaults: &Object, project: &Object) -> Result<Object, (String, String)> {
    let mut data = merged(defaults, project, &OPTIONAL, &OPTIONAL_IN_AWS);
    let alternates = match data.get_mut("aws-alt") {
        Some(Value::Object(alternates)) => std::mem::take(alternates),
        None | Some(Value::Null) => return Ok(data),
        Some(other) => return Err(("aws-alt".into(), other.shown())),
    };
    let nothing = Value::from(Object::default());
    let own = data.get("aws").unwrap_or(&nothing);
    let of_defaults = defaults.get("aws").unwrap_or(&nothing);
    let mut completed = Vec::with_capacity(alternates.len());
    for (name, alternate) in alternates {
        let aws = match alternate {
            Value::Object(_) => combined(of_defaults, &combined(own, &alternate, &[]), &OPTIONAL_IN_AWS),
            Value::Null => combined(of_defaults, own, &OPTIONAL_IN_AWS),
            other => return Err((format!("aws-alt.{}", name.decoded().unwrap_or_default()), other.shown())),
        };
        completed.push((name, aws));
    }
    data.set("aws-alt", completed.into_iter().collect::<Object>());
    Ok(data)
}
