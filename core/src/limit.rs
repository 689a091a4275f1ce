//! Which stacks does an operator mean, when not all? Terms that a stack answers to, or not.

use crate::{
    fleet::{Fleet, Stack},
    name::StackName,
};
use glob::Pattern;
use std::{collections::BTreeSet, fmt, str::FromStr};

/// A choice of stacks: `harbor+quill--*+not:instance:prod`. Terms are joined by `+`. A stack is meant that answers to one of them, or where
/// all begin with `not:` to none of those; and never one that answers to a term that begins with `not:`.
///
/// | term | means |
/// |---|---|
/// | `harbor--ci`, `harbor--pr-*` | the stacks whose name is like that |
/// | `harbor`, `project:har*` | the stacks of projects whose name is like that |
/// | `instance:ci` | those whose instance id is like that |
/// | `tag:Team`, `tag:Team:web*` | those of which a machine carries this tag, with a value like that (`tag:aws:name=web` where a key has a `:`) |
///
/// `*` stands for any text, `?` for any letter, `[ab]` for one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    text: String,
    means: bool,
    of: Of,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Name(Pattern),
    Project(Pattern),
    Instance(Pattern),
    Tag(Pattern, Option<Pattern>),
}

/// What a [`Limit`] comes to in a fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The stacks that are meant.
    pub stacks: BTreeSet<StackName>,
    /// The terms that no stack answers to: probably slips of the pen.
    pub in_vain: Vec<String>,
}

impl Limit {
    /// Which stacks of a fleet are meant; never a master, which takes its orders from itself.
    pub fn chosen(&self, fleet: &Fleet) -> Chosen {
        let stacks = || fleet.stacks.values().filter(|stack| !stack.name.is_master());
        let in_vain = self.terms.iter().filter(|term| !stacks().any(|stack| term.of.holds(stack)));
        Chosen {
            stacks: stacks().filter(|stack| self.holds(stack)).map(|stack| stack.name.clone()).collect(),
            in_vain: in_vain.map(|term| term.text.clone()).collect(),
        }
    }

    fn holds(&self, stack: &Stack) -> bool {
        let answers = |means: bool| self.terms.iter().any(|term| term.means == means && term.of.holds(stack));
        let all_but = self.terms.iter().all(|term| !term.means);
        (all_but || answers(true)) && !answers(false)
    }
}

impl Of {
    fn holds(&self, stack: &Stack) -> bool {
        match self {
            Self::Name(like) => like.matches(stack.name.as_str()),
            Self::Project(like) => like.matches(stack.name.project().as_str()),
            Self::Instance(like) => like.matches(stack.name.instance_str()),
            Self::Tag(key, value) => {
                stack.tags.iter().any(|(name, is)| key.matches(name) && value.as_ref().is_none_or(|like| like.matches(is)))
            }
        }
    }
}

impl FromStr for Limit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let terms = text.split('+').map(|term| term.trim().parse()).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), terms })
    }
}

impl FromStr for Term {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (means, rest) = text.strip_prefix("not:").map_or((true, text), |rest| (false, rest));
        let like = |pattern: &str| match Pattern::new(pattern) {
            _ if pattern.is_empty() => Err(format!("'{text}' names nothing")),
            Err(error) => Err(format!("'{text}': {}", error.msg)),
            Ok(pattern) => Ok(pattern),
        };
        let of = match rest.split_once(':') {
            Some(("project", project)) => Of::Project(like(project)?),
            Some(("instance", instance)) => Of::Instance(like(instance)?),
            // Keys such as AWS's own have a colon: then it takes the other sign.
            Some(("tag", tag)) => match tag.split_once('=').or_else(|| tag.split_once(':')) {
                None => Of::Tag(like(tag)?, None),
                // A tag may have an empty value.
                Some((key, "")) => Of::Tag(like(key)?, Some(Pattern::default())),
                Some((key, value)) => Of::Tag(like(key)?, Some(like(value)?)),
            },
            Some((word, _)) => return Err(format!("'{text}': '{word}:' is none of project:, instance:, tag: and not:")),
            None if rest.contains("--") || rest.contains(['*', '?', '[']) => Of::Name(like(rest)?),
            None => Of::Project(like(rest)?),
        };
        Ok(Self { text: text.into(), means, of })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Reading;

    const STACKS: [(&str, &[(&str, &str)]); 6] = [
        ("harbor--ci", &[("Team", "web"), ("Cost", "")]),
        ("harbor--pr-118", &[("Team", "web-apps")]),
        ("harbor--prod", &[("Team", "ops"), ("aws:name", "web")]),
        ("master-server--a", &[("Team", "web")]),
        ("quill--ci", &[]),
        ("quill--prod", &[]),
    ];

    fn chosen(limit: &str) -> Chosen {
        let stack = |(name, tags): (&str, &[(&str, &str)])| {
            let name: StackName = name.parse().unwrap();
            let tags = tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            (name.clone(), Stack { name, nodes: Vec::new(), tags, context: Reading::NotAsked })
        };
        let fleet = Fleet { stacks: STACKS.into_iter().map(stack).collect(), ..Fleet::default() };
        limit.parse::<Limit>().unwrap().chosen(&fleet)
    }

    fn names(limit: &str) -> Vec<String> {
        chosen(limit).stacks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn stacks_are_meant_by_name_project_instance_and_tag() {
        assert_eq!(names("harbor--ci"), ["harbor--ci"]);
        assert_eq!(names("harbor--pr*"), ["harbor--pr-118", "harbor--prod"]);
        assert_eq!(names("harbor"), ["harbor--ci", "harbor--pr-118", "harbor--prod"]);
        assert_eq!(names("project:q*"), ["quill--ci", "quill--prod"]);
        assert_eq!(names("instance:[cp]*"), ["harbor--ci", "harbor--pr-118", "harbor--prod", "quill--ci", "quill--prod"]);
        assert_eq!(names("tag:Team"), ["harbor--ci", "harbor--pr-118", "harbor--prod"]);
        assert_eq!(names("tag:Team:web*"), ["harbor--ci", "harbor--pr-118"]);
        assert_eq!(names("tag:Cost:"), ["harbor--ci"]);
        assert_eq!(names("tag:aws:name=web"), ["harbor--prod"]);
    }

    #[test]
    fn terms_add_up_and_not_takes_away_whatever_the_order() {
        assert_eq!(names("harbor--ci+quill"), ["harbor--ci", "quill--ci", "quill--prod"]);
        assert_eq!(names("not:instance:prod+harbor+quill--*"), ["harbor--ci", "harbor--pr-118", "quill--ci"]);
        assert_eq!(names("not:harbor"), ["quill--ci", "quill--prod"]);
        assert_eq!(names("harbor--ci+not:tag:Team:web"), [""; 0]);
    }

    #[test]
    fn a_term_that_nobody_answers_to_is_told() {
        assert_eq!(chosen("harbor--ci+quil+not:tag:Owner").in_vain, ["quil", "not:tag:Owner"]);
        assert_eq!(chosen("master-server").in_vain, ["master-server"], "masters are not re-mastered");
    }

    #[test]
    fn what_is_no_term_is_refused() {
        for nonsense in ["", "harbor+", "not:", "project:", "tag:=web", "tag::web", "stack:harbor--ci", "harbor--[", "not:not:harbor"] {
            assert!(nonsense.parse::<Limit>().is_err(), "{nonsense}");
        }
    }
}
