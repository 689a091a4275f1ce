//! What do two maps come to, one laid over the other?

use crate::json::{Object, Text, Value};
use std::collections::HashMap;

/// Maps merge deeply, anything else replaces. A key stays where it is, new ones follow. `optional` keys that only the
/// base has are dropped; so are, one level down, those of `optional_in_aws`.
pub(crate) fn merged(base: &Object, over: &Object, optional: &[&str], optional_in_aws: &[&str]) -> Object {
    let mut said = Said::of(over);
    let mut pairs = Vec::with_capacity(base.len() + over.len());
    for (key, value) in base.iter() {
        match said.take(key) {
            Some(over) => pairs.push((key.clone(), combined(value, over, if key.is("aws") { optional_in_aws } else { &[] }))),
            None if optional.iter().any(|name| key.is(name)) => {}
            None => pairs.push((key.clone(), value.clone())),
        }
    }
    pairs.extend(said.left().map(|(key, value)| (key.clone(), value.clone())));
    pairs.into_iter().collect()
}

/// As [`merged`], of any two values.
pub(super) fn combined(base: &Value, over: &Value, optional: &[&str]) -> Value {
    match (base, over) {
        // Most of an alternate is what the defaults say: found out more cheaply than merged.
        (Value::Object(base), Value::Object(over)) if base != over => merged(base, over, optional, &[]).into(),
        _ => over.clone(),
    }
}

/// What the upper of two maps says, handed out key by key. Two maps that are merged have much the same keys in much the
/// same order, so the next one is mostly the one that is asked for.
struct Said<'a> {
    pairs: Vec<(&'a Text, &'a Value, bool)>,
    /// Where each key is, for maps too large to be searched through.
    places: HashMap<&'a Text, usize>,
    next: usize,
}

impl<'a> Said<'a> {
    fn of(over: &'a Object) -> Self {
        const LARGE: usize = 64;
        let pairs: Vec<_> = over.iter().map(|(key, value)| (key, value, false)).collect();
        let places = if pairs.len() < LARGE { HashMap::new() } else { pairs.iter().zip(0..).map(|((key, ..), at)| (*key, at)).collect() };
        Self { pairs, places, next: 0 }
    }

    fn take(&mut self, key: &Text) -> Option<&'a Value> {
        let at = if self.places.is_empty() {
            let (before, after) = self.pairs.split_at(self.next);
            let found = after.iter().position(|(other, ..)| *other == key).map(|at| at + self.next);
            found.or_else(|| before.iter().position(|(other, ..)| *other == key))?
        } else {
            *self.places.get(key)?
        };
        self.next = at + 1;
        let (_, value, taken) = self.pairs.get_mut(at)?;
        *taken = true;
        Some(*value)
    }

    fn left(self) -> impl Iterator<Item = (&'a Text, &'a Value)> {
        self.pairs.into_iter().filter(|(.., taken)| !taken).map(|(key, value, _)| (key, value))
    }
}
