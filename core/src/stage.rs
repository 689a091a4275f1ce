//! Which stacks of a project go first? The ones nobody misses; prod last.

use crate::name::StackName;
use serde::Deserialize;
use std::fmt;

/// How much an instance matters. Sorts in the order in which stacks are re-mastered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    #[serde(rename = "ad-hoc")]
    /// Somebody's own: any instance id that is none of the others, near misses (`production`) included.
    AdHoc,
    /// `continuumtest`
    Continuumtest,
    /// `ci`
    Ci,
    /// `end2end`
    End2end,
    /// `prod`
    Prod,
}

impl Stage {
    /// The stage of a stack: its instance id to the letter, nothing that merely resembles it.
    pub fn of(stack: &StackName) -> Self {
        match stack.instance_str() {
            "continuumtest" => Self::Continuumtest,
            "ci" => Self::Ci,
            "end2end" => Self::End2end,
            "prod" => Self::Prod,
            _ => Self::AdHoc,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdHoc => "ad-hoc",
            Self::Continuumtest => "continuumtest",
            Self::Ci => "ci",
            Self::End2end => "end2end",
            Self::Prod => "prod",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_ad_hoc() {
        for near in ["harbor--production", "harbor--pre-prod", "harbor--Prod", "harbor--end2end--2"] {
            assert_eq!(Stage::of(&near.parse().unwrap()), Stage::AdHoc, "{near}");
        }
        assert!(
            Stage::AdHoc < Stage::Continuumtest
                && Stage::Continuumtest < Stage::Ci
                && Stage::Ci < Stage::End2end
                && Stage::End2end < Stage::Prod
        );
    }
}
