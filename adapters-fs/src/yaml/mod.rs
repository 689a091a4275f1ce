//! What does a YAML text say, and where does it say so? Read as YAML 1.1, the way PyYAML read the files that exist.
//!
//! A general YAML crate reads YAML 1.2, does not tell `yes` from `"yes"`, or drops where things stand; an address that
//! is to be changed in place needs all three. So only the events are taken from a crate.

mod number;
mod scalar;
mod tree;
mod value;

pub(crate) use tree::{Kind, Layout, Node, parse};
pub(crate) use value::value_of;

/// A text that cannot be read: where, and what is wrong. Does not quote the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct YamlError {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Characters from the start of the line, counted from 1.
    pub(crate) column: usize,
    pub(crate) problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use bldr_core::json;

    fn read(text: &str) -> Result<String, YamlError> {
        parse(text).and_then(|root| value_of(root.as_ref())).map(|value| value.to_string())
    }

    #[test]
    fn every_text_means_what_it_meant_to_pyyaml() {
        let json::Value::Array(cases) = json::parse(include_str!("../../tests/cases/yaml.json")).unwrap() else { panic!("no list") };
        for case in cases {
            let text = case.at(&["yaml"]).unwrap().as_string().unwrap();
            let expected = case.at(&["json"]).unwrap().as_string();
            match (read(&text), expected) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected, "{text:?}"),
                (Err(_), None) => {}
                (found, expected) => panic!("{text:?}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn an_error_says_where() {
        for (text, line, column, word) in [
            ("a: 1\nb: [1,\nc]\n", 3, 1, "indented deeper"),
            ("a: 1\n  b: 2\n", 2, 4, "mapping values"),
            ("a: \"x\n", 1, 4, "quoted"),
            ("a: *b\n", 1, 4, "anchor"),
            ("a:\n  b: &x [*x]\n", 2, 10, "contains it"),
            ("a:\n  b: !own x\n", 2, 6, "!own"),
            ("\u{e4}: {<<: x}\n", 1, 9, "<<"),
            ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
            ("a:\n  - b\u{2028}c\n", 2, 6, "line separator"),
            ("[a]: b\n", 1, 1, "key"),
            ("a: 0x_\n", 1, 4, "quotes"),
            ("a: 0xfffffffffffffffffffffffffffffffff\n", 1, 4, "128 bits"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.problem.contains(word), "{text:?}: {error}");
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_few_lines_that_stand_for_billions_are_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            text += &format!("a{n}: &a{n} [{aliases}]\n");
        }
        let error = read(&text).unwrap_err();
        assert!(error.problem.contains("250000") && error.line <= 6, "{error} at {}", error.line);
    }

    #[test]
    fn nesting_that_would_overflow_a_stack_is_refused() {
        for text in ["[".repeat(100_000), "a: {".repeat(5_000), "- ".repeat(5_000), "? ".repeat(5_000)] {
            assert!(read(&text).is_err());
        }
    }
}
