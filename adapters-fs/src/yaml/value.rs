//! What does a tree come to, with aliases followed and merge keys merged? Keys are text, as written: an alternate called
//! `1604` or `2018-04-09` is a name.

use super::{Kind, Node, YamlError, scalar};
use bldr_core::json::{Object, Text, Value};
use saphyr_parser::ScalarStyle;
use std::collections::HashMap;

/// More than any fleet has; a few lines of aliases to aliases could come to billions.
const VALUES: usize = 250_000;

/// What a tree says; `null` for none.
///
/// # Errors
/// Aliases to something that contains them, keys that are no text, merge keys without a map, unknown tags, and more than
/// 250 000 values.
pub(crate) fn value_of(root: Option<&Node>) -> Result<Value, YamlError> {
    let mut reading = Reading { anchored: HashMap::new(), left: VALUES };
    root.map_or(Ok(Value::Null), |root| reading.value(root))
}

struct Anchored {
    value: Value,
    /// How many values it is made of.
    size: usize,
    /// What it is as a key.
    key: Option<Text>,
}

struct Reading {
    anchored: HashMap<usize, Anchored>,
    left: usize,
}

impl Reading {
    fn spend(&mut self, node: &Node, values: usize) -> Result<(), YamlError> {
        self.left = self.left.checked_sub(values).ok_or_else(|| node.error("its aliases come to more than 250000 values"))?;
        Ok(())
    }

    fn value(&mut self, node: &Node) -> Result<Value, YamlError> {
        let before = self.left;
        let value = match &node.kind {
            Kind::Alias(anchor) => {
                let inside = || node.error("an alias to something that contains it");
                let size = self.anchored.get(anchor).ok_or_else(inside)?.size;
                self.spend(node, size)?;
                self.anchored.get(anchor).ok_or_else(inside)?.value.clone()
            }
            Kind::Scalar { text, style } => {
                self.spend(node, 1)?;
                scalar::meaning(text, *style, node.tag.as_deref()).map_err(|problem| node.error(problem))?
            }
            Kind::List(items) => {
                self.spend(node, 1)?;
                self.untagged(node, "seq")?;
                items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?.into()
            }
            Kind::Map(entries, _) => {
                self.spend(node, 1)?;
                self.untagged(node, "map")?;
                self.map(entries)?.into()
            }
        };
        if node.anchor != 0 {
            let key = node.text().map(Text::from);
            self.anchored.insert(node.anchor, Anchored { value: value.clone(), size: before - self.left, key });
        }
        Ok(value)
    }

    fn untagged(&self, node: &Node, kind: &str) -> Result<(), YamlError> {
        match node.tag.as_deref() {
            None | Some("!") => Ok(()),
            Some(tag) if tag.strip_prefix("tag:yaml.org,2002:") == Some(kind) => Ok(()),
            Some(tag) => Err(node.error(format!("the tag {tag} means nothing here"))),
        }
    }

    /// Own keys win over merged ones, which yet come first; of several merged maps the first wins.
    fn map(&mut self, entries: &[(Node, Node)]) -> Result<Object, YamlError> {
        let mut merged = Vec::new();
        let mut own = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let merges = matches!(&key.kind, Kind::Scalar { text, style: ScalarStyle::Plain } if text == "<<" && key.tag.is_none());
            if !merges {
                own.push((self.key(key)?, self.value(node)?));
                continue;
            }
            let no_map = || node.error("'<<' merges a map or a list of maps, this is neither");
            match self.value(node)? {
                Value::Object(map) => merged.extend(map),
                Value::Array(maps) => {
                    for map in maps.into_iter().rev() {
                        let Value::Object(map) = map else { return Err(no_map()) };
                        merged.extend(map);
                    }
                }
                _ => return Err(no_map()),
            }
        }
        Ok(merged.into_iter().chain(own).collect())
    }

    fn key(&mut self, node: &Node) -> Result<Text, YamlError> {
        let text = match &node.kind {
            Kind::Alias(anchor) => self.anchored.get(anchor).and_then(|anchored| anchored.key.clone()),
            Kind::Scalar { text, .. } if !text.is_empty() || node.span.0 != node.span.1 => Some(Text::from(text.as_str())),
            _ => None,
        };
        let text = text.ok_or_else(|| node.error("a key has to be text"))?;
        if node.anchor != 0 {
            self.value(node)?;
        }
        Ok(text)
    }
}
