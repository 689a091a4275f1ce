//! What is the context of a stack that does not exist yet? What its project's data come to for that one stack.
//!
//! Formulas read all of this from the build vars, so every stack has the same keys in the same order; what a project
//! does not say of itself is there as null, false or empty.

mod fit;
mod machines;
mod make;
mod plan;
mod sections;
mod unmake;

use crate::{
    address::MasterAddress,
    context::Context,
    fleet::Timestamp,
    json::{Object, Value},
    name::{ProjectName, StackName},
    project::Projects,
};
pub use fit::ItsMaster;
pub use machines::{MachineSpec, OpenPort, Protocol};
pub use make::{Ports, launch};
pub use plan::{LaunchPlan, Refusal, There, plan, user_data};
pub use unmake::{Destruction, destroy};

const MASTER: &str = "master_ip";
/// EC2 takes 255 characters as the name of a key pair and of a security group, and 256 in a tag; names of nodes and of files are longer
/// than those of their stacks by up to 15.
const LONGEST_NAME: usize = 240;

/// Why a stack cannot be launched from what the project files say. Names the project and the key, and no value but numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// No project file has it.
    #[error("there is no project '{0}' in the project files")]
    NoProject(ProjectName),
    /// Its stacks have no machines, so there is nothing that a context could be given to.
    #[error("project '{project}': its stacks have no machines, '{key}' is missing, false or empty")]
    NoEc2 {
        /// The project.
        project: ProjectName,
        /// The keys that lead to what would make them machines.
        key: String,
    },
    /// An alternate was asked for that the project does not have.
    #[error("project '{project}' has no alternate '{alternate}'; {}", listed(known))]
    NoAlternate {
        /// The project.
        project: ProjectName,
        /// What was asked for.
        alternate: String,
        /// Those it has, in the order of the file.
        known: Vec<String>,
    },
    /// What no machine can be made without.
    #[error("project '{project}': '{key}' is missing, and there is no machine without it")]
    Missing {
        /// The project.
        project: ProjectName,
        /// The keys that lead there.
        key: String,
    },
    /// A key holds something that has no meaning there.
    #[error("project '{project}': '{key}' has to be {wanted}, this is {found}")]
    Shape {
        /// The project.
        project: ProjectName,
        /// The keys that lead there.
        key: String,
        /// What it ought to be.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
    /// Its name is longer than anything has room for.
    #[error("the name '{stack}' has {length} characters, and {LONGEST_NAME} is the most that EC2 and files have room for")]
    LongName {
        /// The stack.
        stack: StackName,
        /// How many it has.
        length: usize,
    },
    /// Every node is suppressed: a stack of no machines.
    #[error("project '{project}': '{key}' leaves no node of {size}")]
    AllSuppressed {
        /// The project.
        project: ProjectName,
        /// The keys that lead to the list.
        key: String,
        /// How many nodes there would be without it.
        size: u64,
    },
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) }
}

/// What a new stack is made from.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// All that the project files say.
    pub projects: &'a Projects,
    /// What it will be called.
    pub stack: &'a StackName,
    /// The alternate that was asked for. Where none was, an instance id that is an alternate's name chooses that one.
    pub alternate: Option<&'a str>,
    /// The master in charge, where it is known; else the one that the project's data name is written down.
    pub master: Option<&'a MasterAddress>,
    /// Who launches it.
    pub author: &'a str,
    /// When. The core has no clock; the context keeps the day, in UTC.
    pub now: Timestamp,
}

/// What the project files say of one stack: its project, and of that the `aws` section that is meant for it.
struct Part<'a> {
    project: ProjectName,
    data: &'a Object,
    alternate: Option<&'a str>,
    aws: &'a Object,
    /// `aws.ec2` as the context has it.
    ec2: Object,
}

impl<'a> Launch<'a> {
    /// The stack's first context.
    ///
    /// `project.aws` is the chosen alternate's, and `ec2` and `elb` in it are what they are at the top of the context.
    /// Databases, load balancers, queues, topics, buckets and CDNs are not bldr's to make: what the project says of them is
    /// carried along, and what only their makers know is null.
    ///
    /// # Errors
    /// A project or an alternate that does not exist or has no machines; an `aws` section of a shape that has no meaning.
    pub fn context(&self) -> Result<Context, LaunchError> {
        let part = self.part()?;
        let id = self.stack.instance_str();
        let elb = part.elb();
        let mut aws = part.aws.clone();
        aws.set("ec2", part.ec2.clone());
        if aws.get("elb").is_some_and(|written| *written != Value::Null) {
            aws.set("elb", elb.clone());
        }
        let mut project = part.data.clone();
        project.set("aws", aws);
        let of_project = |key| part.data.get(key).cloned().unwrap_or(Value::Null);
        let of_aws = |key| said(part.aws, key).cloned().unwrap_or(Value::Bool(false));
        let day = jiff::Timestamp::from_millisecond(self.now.0).unwrap_or_default().strftime("%Y-%m-%d").to_string();
        let before = [
            ("project_name", part.project.as_str().into()),
            ("project", project.into()),
            ("author", self.author.into()),
            ("date_rendered", day.as_str().into()),
            ("stackname", self.stack.as_str().into()),
            ("instance_id", id.into()),
            ("cluster_id", Value::Null),
            ("alt-config", self.alternate.or(part.alternate).map_or(Value::Null, Value::from)),
            ("branch", of_project("default-branch")),
            ("revision", Value::Null),
            ("rds_dbname", Value::Null),
            ("rds_username", Value::Null),
            ("rds_password", Value::Null),
            ("rds_instance_id", Value::Null),
            ("rds", Object::default().into()),
            ("ec2", part.ec2.clone().into()),
            ("s3", part.buckets(id)?),
            ("elb", elb),
            ("sns", part.topics(part.aws.get("sns"), "sns", id)?),
            ("sqs", part.queues(id)?),
            ("ext", of_aws("ext")),
            ("cloudfront", of_aws("cloudfront")),
            ("elasticache", of_aws("elasticache")),
            ("domain", of_project("domain")),
            ("int_domain", of_project("intdomain")),
            ("subdomain", of_project("subdomain")),
        ];
        let after =
            [("fastly", part.fastly(id)), ("subdomains", said(part.aws, "subdomains").cloned().unwrap_or_else(|| Vec::new().into()))];
        let pairs = before.into_iter().chain(part.hostnames(id)).chain(after);
        Ok(pairs.map(|(key, value)| (key.into(), value)).collect::<Object>().into())
    }

    /// Whether no two stacks may have the chosen alternate: it says `unique: true`, itself or in its `ec2`. Whether another
    /// stack has it already is a fact of the fleet, and not asked here.
    ///
    /// # Errors
    /// As [`Launch::context`], where there is nothing to choose from.
    pub fn is_unique(&self) -> Result<bool, LaunchError> {
        let part = self.part()?;
        let unique = |map: &Object| map.get("unique") == Some(&Value::Bool(true));
        Ok(part.alternate.is_some() && (unique(part.aws) || unique(&part.ec2)))
    }

    fn part(&self) -> Result<Part<'a>, LaunchError> {
        let length = self.stack.as_str().len();
        if length > LONGEST_NAME {
            return Err(LaunchError::LongName { stack: self.stack.clone(), length });
        }
        let project = self.stack.project();
        let Some(data) = self.projects.get(&project) else { return Err(LaunchError::NoProject(project)) };
        if !self.projects.is_ec2(&project) {
            return Err(LaunchError::NoEc2 { project, key: "aws.ec2".into() });
        }
        let alternates = data.get("aws-alt").and_then(Value::as_object);
        let wanted = self.alternate.unwrap_or(self.stack.instance_str());
        let (alternate, aws) = match alternates.and_then(|alternates| alternates.get(wanted)) {
            Some(aws) => (Some(wanted), Some(aws)),
            // To ask for the stack's own id is to ask for nothing.
            None if wanted == self.stack.instance_str() => (None, data.get("aws")),
            None => {
                let known = alternates.into_iter().flat_map(Object::iter).filter_map(|(name, _)| name.decoded()).collect();
                return Err(LaunchError::NoAlternate { project, alternate: wanted.into(), known });
            }
        };
        let aws = aws.unwrap_or(&Value::Null);
        let Some(map) = aws.as_object() else {
            let key = alternate.map_or_else(|| "aws".into(), |name| format!("aws-alt.{name}"));
            return Err(LaunchError::Shape { project, key, wanted: "a map", found: aws.shown() });
        };
        let mut part = Part { project, data, alternate, aws: map, ec2: Object::default() };
        part.ec2 = self.ec2(&part)?;
        Ok(part)
    }

    /// `aws.ec2` with the master, and with `aws.type`, which older project files have beside it rather than in it.
    fn ec2(&self, part: &Part) -> Result<Object, LaunchError> {
        let mut ec2 = match said(part.aws, "ec2") {
            Some(Value::Object(ec2)) => ec2.clone(),
            Some(Value::Bool(true)) => Object::default(),
            None | Some(Value::Bool(false)) => return Err(LaunchError::NoEc2 { project: part.project.clone(), key: part.key("ec2") }),
            Some(other) => return Err(part.wrong("ec2", "a map or a boolean", other.shown())),
        };
        let masterless = match said(&ec2, "masterless") {
            None => false,
            Some(Value::Bool(masterless)) => *masterless,
            Some(other) => return Err(part.wrong("ec2.masterless", "a boolean", other.shown())),
        };
        if masterless {
            ec2.remove(MASTER);
        } else if let Some(master) = self.master {
            ec2.set(MASTER, master.as_str());
        } else if said(&ec2, MASTER).is_none()
            && let Some(shared) = self.projects.shared_master(self.stack, part.alternate)
        {
            ec2.set(MASTER, shared.as_str());
        }
        if let Some(kind) = said(part.aws, "type") {
            ec2.set("type", kind.clone());
        }
        Ok(ec2)
    }
}

impl Part<'_> {
    /// What leads from the project to a key of its `aws` section.
    fn key(&self, below: &str) -> String {
        self.alternate.map_or_else(|| format!("aws.{below}"), |name| format!("aws-alt.{name}.{below}"))
    }

    fn wrong(&self, below: &str, wanted: &'static str, found: impl Into<String>) -> LaunchError {
        LaunchError::Shape { project: self.project.clone(), key: self.key(below), wanted, found: found.into() }
    }
}

/// What a key holds. A key with nothing after it says nothing.
fn said<'v>(map: &'v Object, key: &str) -> Option<&'v Value> {
    map.get(key).filter(|value| **value != Value::Null)
}
