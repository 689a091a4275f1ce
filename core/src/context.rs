//! What is a stack's context, and what changes in it when its master does? Opaque JSON with a few known places.

use crate::{
    address::MasterAddress,
    fleet::ContextFacts,
    json::{self, JsonError, Object, Value},
};

/// The places where a context may name the master. The first is made where it is missing; the others are rewritten
/// where an older layout has them.
const EC2: &[&str] = &["ec2"];
const LEGACY_EC2: &[&str] = &["project", "aws", "ec2"];
const AWS_EC2: &[&str] = &["aws", "ec2"];
const MASTER: &str = "master_ip";

/// A text that is no context, or a context that cannot be rewritten. Never quotes values, which may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// No JSON at all.
    #[error("the context is {0}")]
    Json(#[from] JsonError),
    /// JSON, but no object.
    #[error("the context is {0}, not a map")]
    NotAMap(&'static str),
    /// A known place holds something that has no meaning there.
    #[error("'{place}' in the context is {found}, not {expected}")]
    Place {
        /// The path, with dots.
        place: &'static str,
        /// What kind of thing is there.
        found: &'static str,
        /// What could be there.
        expected: &'static str,
    },
}

/// One stack's context. Every key, the order of keys and every number survive a rewrite.
#[derive(Debug, Clone, PartialEq)]
pub struct Context(Object);

/// What came of giving a context another master.
#[derive(Debug, Clone, PartialEq)]
pub enum Rewrite {
    /// This is it; equal to the old one where that named the master already.
    Context(Context),
    /// It has no EC2: there is nothing to rewrite.
    NoEc2,
    /// It takes orders from nobody.
    Masterless,
}

impl Context {
    /// Reads a context's text.
    ///
    /// # Errors
    /// A text that is no JSON object.
    pub fn parse(text: &str) -> Result<Self, ContextError> {
        match json::parse(text)? {
            Value::Object(object) => Ok(Self(object)),
            other => Err(ContextError::NotAMap(other.kind())),
        }
    }

    /// The exact text that is stored: one line, no newline at its end.
    pub fn to_text(&self) -> String {
        self.0.to_string()
    }

    /// The version of Salt that its nodes shall have (`project.salt`): a text, or a number where somebody wrote none.
    pub fn salt(&self) -> Option<String> {
        match self.0.get("project")?.at(&["salt"])? {
            Value::Null => None,
            Value::Text(text) => text.decoded(),
            other => Some(other.to_string()),
        }
    }

    /// The alternate it was made from, where it says so (`alt-config`).
    pub fn alternate(&self) -> Option<String> {
        self.0.get("alt-config").and_then(Value::as_string)
    }

    /// The JSON object.
    pub fn as_object(&self) -> &Object {
        &self.0
    }

    /// This context with every place naming that master: `ec2.master_ip`; `project.aws.ec2.master_ip` where that
    /// `ec2` is a map; `aws.ec2.master_ip` where that key exists. `ec2: true`, an old spelling of "yes, all defaults",
    /// becomes a map.
    ///
    /// # Errors
    /// `ec2` or `ec2.masterless` of a type that has no meaning there.
    pub fn repointed_to(&self, master: &MasterAddress) -> Result<Rewrite, ContextError> {
        match self.facts()? {
            ContextFacts::NoEc2 => return Ok(Rewrite::NoEc2),
            ContextFacts::Masterless => return Ok(Rewrite::Masterless),
            ContextFacts::Mastered { .. } => {}
        }
        let mut root = Value::Object(self.0.clone());
        if let Some(yes @ Value::Bool(true)) = root.at_mut(EC2) {
            *yes = Object::default().into();
        }
        for (path, only_where_named) in [(EC2, false), (LEGACY_EC2, false), (AWS_EC2, true)] {
            let ec2 = root.at_mut(path).and_then(Value::as_object_mut);
            if let Some(ec2) = ec2.filter(|ec2| !only_where_named || ec2.get(MASTER).is_some()) {
                ec2.set(MASTER, master.as_str());
            }
        }
        match root {
            Value::Object(object) => Ok(Rewrite::Context(Self(object))),
            other => Err(ContextError::NotAMap(other.kind())),
        }
    }

    /// What a plan needs to know of it.
    ///
    /// # Errors
    /// As [`Context::repointed_to`].
    pub fn facts(&self) -> Result<ContextFacts, ContextError> {
        let masterless = |ec2: &Object, place| match ec2.get("masterless") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(masterless)) => Ok(*masterless),
            Some(other) => Err(ContextError::Place { place, found: other.kind(), expected: "a boolean" }),
        };
        let legacy = self.at(LEGACY_EC2);
        let masterless = match self.0.get("ec2") {
            None | Some(Value::Bool(false)) => return Ok(ContextFacts::NoEc2),
            Some(Value::Object(ec2)) => masterless(ec2, "ec2.masterless")?,
            Some(Value::Bool(true)) => legacy.map_or(Ok(false), |ec2| masterless(ec2, "project.aws.ec2.masterless"))?,
            Some(other) => return Err(ContextError::Place { place: "ec2", found: other.kind(), expected: "a map or a boolean" }),
        };
        if masterless {
            return Ok(ContextFacts::Masterless);
        }
        let mut masters = vec![named(self.at(EC2))];
        masters.extend(legacy.map(|ec2| named(Some(ec2))));
        masters.extend(self.at(AWS_EC2).filter(|ec2| ec2.get(MASTER).is_some()).map(|ec2| named(Some(ec2))));
        masters.dedup();
        Ok(ContextFacts::Mastered { masters, alternate: self.alternate().map(Into::into) })
    }

    fn at(&self, path: &[&str]) -> Option<&Object> {
        let (first, rest) = path.split_first()?;
        self.0.get(first)?.at(rest)?.as_object()
    }
}

/// The address a place names; empty where it names none.
fn named(ec2: Option<&Object>) -> Box<str> {
    match ec2.and_then(|ec2| ec2.get(MASTER)) {
        None | Some(Value::Null) => "".into(),
        Some(value) => value.as_string().unwrap_or_else(|| value.to_string()).into(),
    }
}

impl From<Object> for Context {
    fn from(object: Object) -> Self {
        Self(object)
    }
}

impl ContextFacts {
    /// Whether every place names this master.
    pub fn names_only(&self, master: &MasterAddress) -> bool {
        matches!(self, Self::Mastered { masters, .. } if masters.iter().all(|m| **m == *master.as_str()))
    }
}
