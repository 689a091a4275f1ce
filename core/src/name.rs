//! What are things called? Names of projects, instances, stacks and nodes, checked once and then trusted.
//!
//! Names end up in file names and in shell commands, so the alphabet is small: ASCII letters, digits, `-`, `_`, `.`.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// Why a text is not a name. Always carries the text as it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no `--` in it.
    #[error("'{0}' is not a stack name: it has no '--' (PROJECT--INSTANCE, like 'harbor--ci')")]
    NoSeparator(String),
    /// Nothing stands where the named part should be.
    #[error("'{name}' is not a name: its {part} is empty")]
    Empty {
        /// The text as it was given.
        name: String,
        /// `project`, `instance id`, …
        part: &'static str,
    },
    /// A character that is no letter, digit, `-`, `_` or `.`.
    #[error("'{name}' is not a name: {found:?} is not allowed (letters, digits, '-', '_' and '.' are)")]
    Character {
        /// The text as it was given.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// `.` and `..`, names that begin with `.` or `-`: they mean something else to a file system or a command line.
    #[error("'{0}' is not a name: a name does not begin with '.' or '-'")]
    Start(String),
    /// The node number is missing or not a number.
    #[error("'{0}' is not a node name (PROJECT--INSTANCE--N, like 'harbor--ci--1')")]
    NotANode(String),
}

fn checked(part: &str, whole: &str, what: &'static str) -> Result<(), NameError> {
    if part.is_empty() {
        return Err(NameError::Empty { name: whole.into(), part: what });
    }
    match part.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        Some(found) => Err(NameError::Character { name: whole.into(), found }),
        None => Ok(()),
    }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                checked(text, text, $what)?;
                Ok(Self(text.into()))
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text_name!(
    /// A project: the part of a stack name before the first `--`, and a key of the project file.
    ProjectName,
    "project"
);
text_name!(
    /// The instance half of a stack name: `prod`, `ci`, `2012-12-12`. Not EC2's instance: that is [`crate::fleet::Ec2Id`].
    InstanceId,
    "instance id"
);

/// `PROJECT--INSTANCE`. Splits at the first `--`; the instance id keeps any further `--`. Case is kept, nothing is trimmed.
///
/// Sorts as its text sorts, which is by code point.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackName {
    /// Shared: a run names each stack some hundred times.
    text: Arc<str>,
    split: u32,
}

/// The project whose stacks are masters; exactly this text, nothing that merely contains it.
pub const MASTER_PROJECT: &str = "master-server";

impl StackName {
    /// The stack of a project and an instance id.
    ///
    /// # Errors
    /// A project that contains or ends in a way that moves the first `--` (`a-` + `b`, `a--b` + `c`) is refused:
    /// its text would be read back as another stack.
    pub fn new(project: &ProjectName, instance: &InstanceId) -> Result<Self, NameError> {
        let stack: Self = format!("{project}--{instance}").parse()?;
        if stack.project_str() == project.as_str() { Ok(stack) } else { Err(NameError::NoSeparator(stack.into())) }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn project_str(&self) -> &str {
        &self.text[..self.split as usize]
    }

    /// The part before the first `--`.
    pub fn project(&self) -> ProjectName {
        ProjectName(self.project_str().into())
    }

    /// Whether the stack belongs to this project; allocates nothing.
    pub fn is_of(&self, project: &str) -> bool {
        self.project_str() == project
    }

    /// The part after the first `--`.
    pub fn instance_id(&self) -> InstanceId {
        InstanceId(self.instance_str().into())
    }

    /// The part after the first `--`, as text.
    pub fn instance_str(&self) -> &str {
        &self.text[self.split as usize + 2..]
    }

    /// A master is a stack whose project is exactly `master-server`.
    pub fn is_master(&self) -> bool {
        self.is_of(MASTER_PROJECT)
    }

    /// The name of this stack's node with that number.
    pub fn node(&self, number: u64) -> NodeName {
        NodeName { stack: self.clone(), number }
    }
}

impl PartialOrd for StackName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for StackName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl FromStr for StackName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let Some((project, instance)) = text.split_once("--") else {
            checked(text, text, "stack name")?;
            return Err(NameError::NoSeparator(text.into()));
        };
        checked(project, text, "project")?;
        checked(instance, text, "instance id")?;
        if project.starts_with(['.', '-']) {
            return Err(NameError::Start(text.into()));
        }
        Ok(Self { text: text.into(), split: u32::try_from(project.len()).unwrap_or(u32::MAX) })
    }
}
impl TryFrom<String> for StackName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}
impl From<StackName> for String {
    fn from(name: StackName) -> String {
        name.as_str().into()
    }
}
impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// `PROJECT--INSTANCE--N`: a node of a stack, and its minion id. Sorts by stack, then by **number**: 2 before 10.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName {
    stack: StackName,
    number: u64,
}

impl NodeName {
    /// The stack it belongs to.
    pub fn stack(&self) -> &StackName {
        &self.stack
    }
    /// 1, 2, …
    pub fn number(&self) -> u64 {
        self.number
    }
}
impl FromStr for NodeName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::NotANode(text.into());
        let (stack, number) = text.rsplit_once("--").ok_or_else(wrong)?;
        let number = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok()).flatten().ok_or_else(wrong)?;
        Ok(Self { stack: stack.parse()?, number })
    }
}
impl TryFrom<String> for NodeName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}
impl From<NodeName> for String {
    fn from(name: NodeName) -> String {
        name.to_string()
    }
}
impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}--{}", self.stack, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_name_splits_at_the_first_double_hyphen() {
        let name: StackName = "harbor--end2end--2".parse().unwrap();
        assert_eq!((name.project().as_str(), name.instance_str()), ("harbor", "end2end--2"));
    }

    #[test]
    fn a_third_hyphen_belongs_to_the_instance_id() {
        let name: StackName = "harbor---ci".parse().unwrap();
        assert_eq!((name.project().as_str(), name.instance_str()), ("harbor", "-ci"));
    }

    #[test]
    fn only_the_exact_project_is_a_master() {
        for (text, master) in
            [("master-server--a", true), ("not-master-server--a", false), ("master-server2--a", false), ("Master-server--a", false)]
        {
            assert_eq!(text.parse::<StackName>().unwrap().is_master(), master, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_file_name_or_a_word_of_a_shell_is_refused_and_shown() {
        for text in [
            "harbor",
            "",
            "--ci",
            "harbor--",
            "harbor--prod ",
            "harbor--a/b",
            "harbor--a;rm",
            "härbor--ci",
            "a\nb--c",
            ".--x",
            "-h--x",
            "../x--y",
        ] {
            let error = text.parse::<StackName>().unwrap_err().to_string();
            assert!(text.is_empty() || error.contains(text), "{text:?}: {error}");
        }
    }

    #[test]
    fn nodes_sort_by_number() {
        let mut nodes: Vec<NodeName> = ["a--b--10", "a--b--9", "a--b--2"].map(|n| n.parse().unwrap()).into();
        nodes.sort();
        assert_eq!(nodes.iter().map(NodeName::number).collect::<Vec<_>>(), [2, 9, 10]);
    }

    #[test]
    fn a_node_name_needs_a_number() {
        assert!("harbor--ci".parse::<NodeName>().is_err());
        assert!("harbor--ci--x".parse::<NodeName>().is_err());
        assert!("harbor--ci--+1".parse::<NodeName>().is_err());
        assert_eq!("harbor--2--1".parse::<NodeName>().unwrap().stack().as_str(), "harbor--2");
    }
}
