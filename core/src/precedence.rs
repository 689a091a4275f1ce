//! Which master is in charge?

use crate::name::StackName;

/// The masters among these stacks in order of precedence: plain code-point order of the instance id, so `a` before `b`,
/// `2001-01-01` before `2012-12-12`, and `10` before `9`. The first is preferred.
pub fn ordered<'a>(stacks: impl IntoIterator<Item = &'a StackName>) -> Vec<&'a StackName> {
    let mut masters: Vec<_> = stacks.into_iter().filter(|s| s.is_master()).collect();
    masters.sort_by(|a, b| a.instance_str().cmp(b.instance_str()));
    masters
}
