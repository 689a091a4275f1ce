//! What does a node know of its stack? The content of `/etc/build-vars.json.b64`, derived from context and node.

use crate::{
    address::MasterAddress,
    context::Context,
    json::{self, JsonError, Object, Value},
    name::{NodeName, StackName},
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// What formulas read of the project; the rest of it stays in the context.
const KEPT_OF_PROJECT: [&str; 2] = ["formula-repo", "formula-dependencies"];
/// Without these a node's build vars cannot be refreshed.
const NEEDED: [&str; 4] = ["stackname", "instance_id", "branch", "revision"];

/// Build vars that cannot be read, or not be refreshed. Never quotes values, which may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildVarsError {
    /// The node has no such file.
    #[error("there are no build vars")]
    Missing,
    /// The file is not base64.
    #[error("the build vars are not base64")]
    Base64,
    /// What was encoded is not UTF-8.
    #[error("the build vars are not UTF-8 inside their base64")]
    Utf8,
    /// What was encoded is not JSON.
    #[error("the build vars are {0}")]
    Json(#[from] JsonError),
    /// JSON, but no map.
    #[error("the build vars are {0}, not a map")]
    NotAMap(&'static str),
    /// A map without something every node has.
    #[error("the build vars lack '{0}'")]
    Lacks(&'static str),
}

/// One node's build vars.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildVars(Object);

impl BuildVars {
    /// What a node of this stack is told: the context with `project` cut to what formulas read, plus `node` and
    /// `nodename`, each in its place where the context has such a key.
    pub fn derived(context: &Context, node: &NodeName) -> Self {
        let mut vars = context.as_object().clone();
        if let Some(Value::Object(project)) = vars.get_mut("project") {
            project.retain(|key| KEPT_OF_PROJECT.iter().any(|kept| key.is(kept)));
        }
        vars.set("node", node.number());
        vars.set("nodename", node.to_string().as_str());
        Self(vars)
    }

    /// What takes the place of these on a node, derived from the context anew. Keeps the revision that is deployed there,
    /// which the context does not know, and the node's number.
    ///
    /// # Errors
    /// Where these lack one of the four keys that every node's build vars have.
    pub fn refreshed(&self, context: &Context, stack: &StackName, tagged: u64) -> Result<Self, BuildVarsError> {
        self.check()?;
        let mut fresh = Self::derived(context, &stack.node(self.node_number(stack).unwrap_or(tagged)));
        if let Some(revision) = self.0.get("revision") {
            fresh.0.set("revision", revision.clone());
        }
        Ok(fresh)
    }

    /// The content of the file as it should be, where it should be another than this; `None` where it is right.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read or refreshed.
    pub fn brought_up_to_date(encoded: Option<&str>, context: &Context, node: &NodeName) -> Result<Option<String>, BuildVarsError> {
        let encoded = encoded.ok_or(BuildVarsError::Missing)?;
        let fresh = Self::decode(encoded)?.refreshed(context, node.stack(), node.number())?.encode();
        Ok((fresh != encoded).then_some(fresh))
    }

    /// Whether they can be refreshed.
    ///
    /// # Errors
    /// Names the first key that is missing.
    pub fn check(&self) -> Result<(), BuildVarsError> {
        NEEDED.into_iter().find(|key| self.0.get(key).is_none()).map_or(Ok(()), |key| Err(BuildVarsError::Lacks(key)))
    }

    /// The number these give the node: `node`, if that is all digits; else the last part of `nodename`. A `nodename`
    /// that is just the stack's name says nothing: in `harbor--2`, 2 is the instance.
    fn node_number(&self, stack: &StackName) -> Option<u64> {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let node = match self.0.get("node") {
            Some(Value::Int(number)) => digits(number.as_str()),
            Some(value) => value.as_string().and_then(|text| digits(&text)),
            None => None,
        };
        node.or_else(|| {
            let name = self.0.get("nodename")?.as_string()?;
            let is_stack = name == stack.as_str() || self.0.get("stackname").is_some_and(|s| s.as_string().as_ref() == Some(&name));
            if is_stack { None } else { name.parse::<NodeName>().ok().map(|node| node.number()) }
        })
    }

    /// The master every place in them names; `None` where they name none, or more than one.
    pub fn master(&self) -> Option<MasterAddress> {
        let places = [self.0.get("ec2"), self.0.get("aws").and_then(|aws| aws.at(&["ec2"]))];
        let mut named = places.into_iter().flatten().filter_map(|ec2| ec2.at(&["master_ip"]));
        let first = named.next()?;
        if named.any(|other| other != first) {
            return None;
        }
        first.as_string()?.parse().ok()
    }

    /// Reads the content of the file. Newlines and blanks in it do not count.
    ///
    /// # Errors
    /// Anything but base64 of a JSON map.
    pub fn decode(encoded: &str) -> Result<Self, BuildVarsError> {
        let packed: String = encoded.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(packed).map_err(|_| BuildVarsError::Base64)?;
        let text = String::from_utf8(bytes).map_err(|_| BuildVarsError::Utf8)?;
        match json::parse(&text)? {
            Value::Object(vars) => Ok(Self(vars)),
            other => Err(BuildVarsError::NotAMap(other.kind())),
        }
    }

    /// The exact content of the file: base64, one line, no newline.
    pub fn encode(&self) -> String {
        STANDARD.encode(self.to_text())
    }

    /// The JSON text inside the base64: one line.
    pub fn to_text(&self) -> String {
        self.0.to_string()
    }

    /// The JSON object.
    pub fn as_object(&self) -> &Object {
        &self.0
    }
}
