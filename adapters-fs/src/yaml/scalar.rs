//! What does a scalar mean? A plain one may be a boolean, a number or null, by YAML 1.1 as PyYAML reads it.

use super::number;
use bldr_core::json::Value;
use saphyr_parser::ScalarStyle;

/// PyYAML's spellings; `y` and `n` are not among them.
fn boolean(word: &str) -> Option<bool> {
    match word {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// What a scalar means. A date stays text, as written: it becomes that in JSON anyway.
///
/// # Errors
/// A tag that is not known here, and a scalar that is not what its tag says.
pub(super) fn meaning(text: &str, style: ScalarStyle, tag: Option<&str>) -> Result<Value, String> {
    let Some(tag) = tag else { return Ok(if style == ScalarStyle::Plain { plain(text)? } else { text.into() }) };
    let wrong = |problem: &str| format!("its tag says otherwise: this is {problem}");
    match tag.strip_prefix("tag:yaml.org,2002:").unwrap_or(tag) {
        "str" | "timestamp" => Ok(text.into()),
        "!" => plain(text),
        "null" => Ok(Value::Null),
        "bool" => boolean(&text.to_ascii_lowercase()).map(Value::Bool).ok_or_else(|| wrong("no boolean")),
        "int" => number::int(text).map_err(wrong),
        "float" => number::float(text).map_err(wrong),
        _ => Err(format!("the tag {tag} means nothing here")),
    }
}

fn plain(word: &str) -> Result<Value, String> {
    if matches!(word, "" | "~" | "null" | "Null" | "NULL") {
        return Ok(Value::Null);
    }
    if let Some(boolean) = boolean(word) {
        return Ok(Value::Bool(boolean));
    }
    let numeric = if number::is_float(word) {
        number::float(word)
    } else if number::is_int(word) {
        number::int(word)
    } else {
        return Ok(word.into());
    };
    numeric.map_err(|problem| format!("it looks like a number and is {problem}; put it in quotes if it is text"))
}
