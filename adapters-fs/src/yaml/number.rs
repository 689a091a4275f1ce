//! Is a plain word a number, and which? By the patterns of PyYAML's resolver, which are those of YAML 1.1 but for a few.

use bldr_core::json::{self, Value};

/// The word after its sign, and whether that is a minus.
fn unsigned(word: &str) -> (&str, bool) {
    match word.as_bytes().first() {
        Some(b'-') => (&word[1..], true),
        Some(b'+') => (&word[1..], false),
        _ => (word, false),
    }
}

/// `[0-9][0-9_]*`, and what follows it.
fn digits(text: &str) -> Option<(&str, &str)> {
    text.as_bytes().first().filter(|first| first.is_ascii_digit())?;
    Some(text.split_at(text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'_').count()))
}

/// `[0-5]?[0-9]`
fn is_sixtieth(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(|b| b == b'_' || allowed(b))
}

/// Whether the word is an integer.
pub(super) fn is_int(word: &str) -> bool {
    let (body, _) = unsigned(word);
    if let Some(binary) = body.strip_prefix("0b") {
        return all(binary, |b| matches!(b, b'0' | b'1'));
    }
    if let Some(hexadecimal) = body.strip_prefix("0x") {
        return all(hexadecimal, |b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = body.strip_prefix('0') {
        return octal.is_empty() || all(octal, |b| matches!(b, b'0'..=b'7'));
    }
    let Some((_, rest)) = digits(body) else { return false };
    rest.is_empty() || rest.strip_prefix(':').is_some_and(|rest| rest.split(':').all(is_sixtieth))
}

/// The integer a word is. Python's have no limit, so decimal ones are kept as they are; others fit in 128 bits or are
/// refused.
pub(super) fn int(word: &str) -> Result<Value, &'static str> {
    let (body, negative) = unsigned(word);
    let body = body.replace('_', "");
    let radix = |digits: &str, radix| u128::from_str_radix(digits, radix).map_err(|_| "no number that fits in 128 bits");
    let digits = if let Some(digits) = body.strip_prefix("0b") {
        radix(digits, 2)?.to_string()
    } else if let Some(digits) = body.strip_prefix("0x") {
        radix(digits, 16)?.to_string()
    } else if body.starts_with('0') {
        radix(&body, 8)?.to_string()
    } else if body.contains(':') {
        let sum = body.split(':').try_fold(0_u128, |sum, place| sum.checked_mul(60)?.checked_add(place.parse().ok()?));
        sum.ok_or("no number that fits in 128 bits")?.to_string()
    } else if body.bytes().all(|b| b.is_ascii_digit()) {
        body
    } else {
        return Err("no integer");
    };
    let sign = if negative { "-" } else { "" };
    json::parse(&format!("{sign}{digits}")).map_err(|_| "no integer")
}

/// Whether the word is a number with a fraction. One without a point is none, even with an exponent.
pub(super) fn is_float(word: &str) -> bool {
    if matches!(word, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (body, _) = unsigned(word);
    if matches!(body, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let exponent = |text: &str| {
        let mut bytes = text.bytes();
        text.is_empty()
            || matches!((bytes.next(), bytes.next()), (Some(b'e' | b'E'), Some(b'+' | b'-')))
                && bytes.len() > 0
                && bytes.all(|b| b.is_ascii_digit())
    };
    if let Some(fraction) = word.strip_prefix('.') {
        return digits(fraction).is_some_and(|(_, rest)| exponent(rest));
    }
    let more_digits = |text: &str| text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').to_owned();
    let Some((_, rest)) = digits(body) else { return false };
    match rest.strip_prefix(':').and_then(|rest| rest.split_once('.')) {
        Some((places, fraction)) => places.split(':').all(is_sixtieth) && more_digits(fraction).is_empty(),
        None => rest.strip_prefix('.').is_some_and(|fraction| exponent(&more_digits(fraction))),
    }
}

/// The number a word is.
pub(super) fn float(word: &str) -> Result<Value, &'static str> {
    let (body, negative) = unsigned(word);
    let body = body.replace('_', "").to_ascii_lowercase();
    let number = |text: &str| text.parse::<f64>().map_err(|_| "no number");
    let size = match body.as_str() {
        ".inf" => f64::INFINITY,
        ".nan" => return Ok(Value::Float(f64::NAN)),
        text if text.contains(':') => {
            // In the order in which Python adds them up, for the same last digit.
            let mut sum = 0.0;
            let mut base = 1.0;
            for place in text.rsplit(':') {
                sum += number(place)? * base;
                base *= 60.0;
            }
            sum
        }
        text => number(text)?,
    };
    Ok(Value::Float(if negative { -size } else { size }))
}
