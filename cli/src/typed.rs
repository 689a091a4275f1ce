//! What do the words of `TASK:ARG,KEY=VALUE` say? Taken apart exactly as Fabric 1 did it, which runbooks rely on.

use crate::exit::Exit;

/// `TASK:ARG,KEY=VALUE`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// What stands before the first `:`.
    pub task: String,
    /// The pieces without a `=`, in order.
    pub args: Vec<String>,
    /// The pieces with one, in order.
    pub named: Vec<(String, String)>,
}

/// Takes `TASK:ARG,KEY=VALUE` apart. Only the first `:` splits; `\,` and `\=` stand for `,` and `=` themselves.
///
/// # Errors
/// A piece with more than one `=`.
pub fn typed(text: &str) -> Result<Typed, Exit> {
    let Some((task, rest)) = text.split_once(':') else {
        return Ok(Typed { task: text.into(), args: Vec::new(), named: Vec::new() });
    };
    let mut typed = Typed { task: task.into(), args: Vec::new(), named: Vec::new() };
    for piece in split_unescaped(',', rest) {
        let mut halves = split_unescaped('=', &piece).into_iter();
        match (halves.next(), halves.next(), halves.next()) {
            (Some(arg), None, _) => typed.args.push(arg),
            (Some(key), Some(value), None) => typed.named.push((key, value)),
            _ => return Err(Exit::usage(format!("'{piece}' has more than one '='\nwrite '\\=' for a '=' that belongs to the value"))),
        }
    }
    Ok(typed)
}

/// Splits at every separator that has no backslash before it, and drops those backslashes. Fabric's rule: no other
/// backslash means anything, not even one before a backslash.
fn split_unescaped(separator: char, text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for (i, plain) in text.split(&format!("\\{separator}")).enumerate() {
        for (j, part) in plain.split(separator).enumerate() {
            if j > 0 {
                parts.push(String::new());
            } else if i > 0 {
                parts.last_mut().into_iter().for_each(|last| last.push(separator));
            }
            parts.last_mut().into_iter().for_each(|last| last.push_str(part));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_old_form_is_taken_apart_as_fabric_did() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("../tests/cases/parse-task.json")).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let typed = typed(case["text"].as_str().unwrap()).unwrap();
            let named: serde_json::Map<_, _> = typed.named.into_iter().map(|(key, value)| (key, value.into())).collect();
            let found = serde_json::json!({"task": typed.task, "args": typed.args, "kwargs": named, "error": null});
            assert_eq!(found, case["expected"], "{}", case["text"]);
        }
    }

    #[test]
    fn separators_split_where_no_backslash_stands_before_them() {
        for (text, parts) in [
            ("", vec![""]),
            ("a", vec!["a"]),
            ("a,b,", vec!["a", "b", ""]),
            (r"a\,b", vec!["a,b"]),
            (r"\,", vec![","]),
            (r"a\,,b\,\,c", vec!["a,", "b,,c"]),
            (r"a\\,b", vec![r"a\,b"]),
            (r"a\b", vec![r"a\b"]),
        ] {
            assert_eq!(split_unescaped(',', text), parts, "{text}");
        }
    }

    #[test]
    fn a_second_equals_sign_is_refused_with_the_way_to_write_it() {
        let exit = typed("a:b=c=d").unwrap_err();
        assert!(exit.message.contains("'b=c=d'") && exit.message.contains(r"'\='"), "{exit}");
        assert_eq!(typed(r"a:b=c\=d").unwrap().named, [("b".into(), "c=d".into())]);
    }
}
