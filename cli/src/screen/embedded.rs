//! How does a context stand inside our JSON output? Verbatim: every digit, every key in its place.

use bldr_core::json::Value;
use serde_json::value::RawValue;

/// The value as it is stored, to stand inside a JSON result. `NaN`, `Infinity` and `-Infinity`, which Python writes and no
/// JSON reader takes, become strings of that name.
pub fn embedded(value: &Value) -> Box<RawValue> {
    let text = if has_odd_number(value) { replaced(value).to_string() } else { value.to_string() };
    // The core writes nothing but JSON once those are gone.
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn is_odd(number: f64) -> bool {
    !number.is_finite()
}

fn has_odd_number(value: &Value) -> bool {
    match value {
        Value::Float(number) => is_odd(*number),
        Value::Array(items) => items.iter().any(has_odd_number),
        Value::Object(object) => object.iter().any(|(_, value)| has_odd_number(value)),
        _ => false,
    }
}

fn replaced(value: &Value) -> Value {
    match value {
        Value::Float(number) if is_odd(*number) => value.to_string().as_str().into(),
        Value::Array(items) => Value::Array(items.iter().map(replaced).collect()),
        Value::Object(object) => Value::Object(object.iter().map(|(key, value)| (key.clone(), replaced(value))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bldr_core::json::parse;

    #[test]
    fn numbers_and_order_are_kept_to_the_digit() {
        let text = r#"{"z": 1.0, "a": 123456789012345678901234567890, "e": 1e-07, "s": "\ud83d\udca5 \udc00"}"#;
        assert_eq!(embedded(&parse(text).unwrap()).get(), text);
    }

    #[test]
    fn what_no_json_reader_takes_becomes_a_string() {
        let value = parse(r#"{"a": [NaN, -Infinity], "b": Infinity}"#).unwrap();
        assert_eq!(embedded(&value).get(), r#"{"a": ["NaN", "-Infinity"], "b": "Infinity"}"#);
    }
}
