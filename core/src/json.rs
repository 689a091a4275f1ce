//! How is JSON read and written so that a fleet's files stay the same to the byte? As Python's `json` module does it.
//!
//! Contexts and build vars were written by Python, and are read by Python on every node. So: object keys keep their
//! order (of two equal keys the last value wins, at the first one's place); integers of any size stay exact; floats are
//! printed the way `repr` prints them; `NaN` and `Infinity` are numbers; text is ASCII with `\uXXXX` escapes, lone
//! surrogates included; separators are `, ` and `: `. No JSON crate does that (docs/decisions/0002).

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Write},
};

/// Anything JSON can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// An integer of any size, as its canonical digits.
    Int(Int),
    /// A number with a fraction or an exponent, or one of `NaN`, `Infinity`, `-Infinity`.
    Float(f64),
    /// A string.
    Text(Text),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

/// An integer of any size, as its digits: no leading zeros, no `-0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Int(Box<str>);

impl Int {
    /// The digits, with `-` before a negative number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for Int {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

/// A string, kept in its one canonical spelling: what stands between the quotes in Python's output. That form holds
/// everything JSON can say, lone surrogates included, which a Rust `String` cannot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Box<str>);

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut escaped = String::with_capacity(text.len());
        text.chars().for_each(|c| push_char(&mut escaped, c));
        Self(escaped.into())
    }
}

impl Text {
    /// The string itself; `None` where it holds a lone surrogate, which no Rust string can.
    pub fn decoded(&self) -> Option<String> {
        if !self.0.contains('\\') {
            return Some(self.0.clone().into());
        }
        let mut units = Vec::new();
        let mut rest = self.0.chars();
        while let Some(c) = rest.next() {
            if c != '\\' {
                units.push(c as u16);
                continue;
            }
            units.push(match rest.next()? {
                'n' => 10,
                'r' => 13,
                't' => 9,
                'b' => 8,
                'f' => 12,
                'u' => u16::from_str_radix(&rest.by_ref().take(4).collect::<String>(), 16).ok()?,
                literal => literal as u16,
            });
        }
        String::from_utf16(&units).ok()
    }
    /// Whether it is this string. Allocates nothing for plain ASCII.
    pub fn is(&self, text: &str) -> bool {
        if self.0.contains('\\') { self.decoded().as_deref() == Some(text) } else { &*self.0 == text }
    }
}

fn push_unit(out: &mut String, unit: u16) {
    match unit {
        0x22 => out.push_str("\\\""),
        0x5c => out.push_str("\\\\"),
        0x0a => out.push_str("\\n"),
        0x0d => out.push_str("\\r"),
        0x09 => out.push_str("\\t"),
        0x08 => out.push_str("\\b"),
        0x0c => out.push_str("\\f"),
        0x20..=0x7e => out.push(char::from(unit as u8)),
        // Writing to a String cannot fail.
        _ => {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
}

fn push_char(out: &mut String, c: char) {
    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| push_unit(out, *unit));
}

/// An object: keys in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object(Vec<(Text, Value)>);

impl Object {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k.is(key)).map(|(_, v)| v)
    }
    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(k, _)| k.is(key)).map(|(_, v)| v)
    }
    /// Sets a key: in its place where it exists, else at the end.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        match self.get_mut(key) {
            Some(place) => *place = value.into(),
            None => self.0.push((key.into(), value.into())),
        }
    }
    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(k, _)| k.is(key))?;
        Some(self.0.remove(at).1)
    }
    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Value)> {
        self.0.iter().map(|(k, v)| (k, v))
    }
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Keeps the keys for which this is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text) -> bool) {
        self.0.retain(|(k, _)| keep(k));
    }
}

/// Pairs as they were written: of two equal keys the last value wins, at the first one's place.
impl FromIterator<(Text, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (Text, Value)>>(pairs: I) -> Self {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let mut keys = HashSet::with_capacity(pairs.len());
        if pairs.iter().all(|(key, _)| keys.insert(key)) {
            return Self(pairs);
        }
        let mut seen = HashMap::<Text, usize>::new();
        let mut object = Self::default();
        for (key, value) in pairs {
            if let Some(place) = seen.get(&key).and_then(|at| object.0.get_mut(*at)) {
                place.1 = value;
            } else {
                seen.insert(key.clone(), object.0.len());
                object.0.push((key, value));
            }
        }
        object
    }
}

impl IntoIterator for Object {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<(Text, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

macro_rules! value_from {
    ($($from:ty => $make:expr),* $(,)?) => { $(impl From<$from> for Value { fn from(v: $from) -> Self { ($make)(v) } })* };
}
value_from! {
    bool => Value::Bool,
    u64 => |n: u64| Value::Int(n.into()),
    &str => |t: &str| Value::Text(t.into()),
    Object => Value::Object,
    Vec<Value> => Value::Array,
}

impl Value {
    /// The object it is, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }
    /// The object it is, if it is one, to be changed.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }
    /// The string it is, if it is one that Rust can hold.
    pub fn as_string(&self) -> Option<String> {
        if let Self::Text(text) = self { text.decoded() } else { None }
    }
    /// What to call it in a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "a map",
        }
    }
    /// What kind of thing it is; a number, which is no secret, is shown.
    pub fn shown(&self) -> String {
        match self {
            Self::Int(_) | Self::Float(_) => format!("the number {self}"),
            other => other.kind().into(),
        }
    }
    /// The value at a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.as_object()?.get(key))
    }
    /// The value at a path of keys, to be changed.
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |value, key| value.as_object_mut()?.get_mut(key))
    }
}

/// One line, as `json.dumps` writes it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(digits) => f.write_str(&digits.0),
            Self::Float(number) => f.write_str(&float_repr(*number)),
            Self::Text(text) => write!(f, "\"{}\"", text.0),
            Self::Array(items) => {
                f.write_char('[')?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_char(']')
            }
            Self::Object(object) => object.fmt(f),
        }
    }
}

/// One line, as `json.dumps` writes it.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (i, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}\"{}\": {value}", if i == 0 { "" } else { ", " }, key.0)?;
        }
        f.write_char('}')
    }
}

impl Value {
    /// Several lines, two spaces a level: for people, and for comparing line by line.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.push_pretty(&mut out, 0);
        out
    }
    fn push_pretty(&self, out: &mut String, depth: usize) {
        let (open, close, items): (_, _, Vec<(Option<&Text>, &Self)>) = match self {
            Self::Array(items) if !items.is_empty() => ('[', ']', items.iter().map(|v| (None, v)).collect()),
            Self::Object(object) if !object.is_empty() => ('{', '}', object.iter().map(|(k, v)| (Some(k), v)).collect()),
            scalar => {
                let _ = write!(out, "{scalar}");
                return;
            }
        };
        out.push(open);
        for (i, (key, value)) in items.into_iter().enumerate() {
            out.push_str(if i == 0 { "\n" } else { ",\n" });
            out.push_str(&"  ".repeat(depth + 1));
            if let Some(key) = key {
                let _ = write!(out, "\"{}\": ", key.0);
            }
            value.push_pretty(out, depth + 1);
        }
        let _ = write!(out, "\n{}{close}", "  ".repeat(depth));
    }
}

/// Python's `repr` of a float: the shortest digits that read back the same, an exponent below 1e-4 and from 1e16 on.
fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let scientific = format!("{number:e}");
    let exponent = scientific.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok()).unwrap_or(0);
    if number == 0.0 || (-4..16).contains(&exponent) {
        return format!("{number:?}");
    }
    let mantissa = scientific.split('e').next().unwrap_or_default();
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// A text that is no JSON: where, and what is wrong. Never quotes the text, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {problem} at line {line}, column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub problem: &'static str,
    /// Counted from 1.
    pub line: usize,
    /// Characters from the start of the line, counted from 1.
    pub column: usize,
}

/// Deeper than any context; shallow enough for any stack.
const DEPTH: usize = 500;

/// Reads a JSON text the way Python's `json.loads` does.
///
/// # Errors
/// Whatever Python refuses, and texts nested more than 500 levels deep.
pub fn parse(text: &str) -> Result<Value, JsonError> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(DEPTH).and_then(|value| {
        parser.space();
        if parser.at == text.len() { Ok(value) } else { Err("something follows the end") }
    });
    value.map_err(|problem| {
        let before = text.get(..parser.at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        JsonError { problem, line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

type Parsed<T> = Result<T, &'static str>;

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
    fn word(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }
    fn value(&mut self, depth: usize) -> Parsed<Value> {
        if depth == 0 {
            return Err("nested more than 500 levels deep");
        }
        self.space();
        match self.peek() {
            None => Err("the end came too early"),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.word("null") => Ok(Value::Null),
            _ if self.word("true") => Ok(Value::Bool(true)),
            _ if self.word("false") => Ok(Value::Bool(false)),
            _ if self.word("NaN") => Ok(Value::Float(f64::NAN)),
            _ if self.word("Infinity") => Ok(Value::Float(f64::INFINITY)),
            _ => Err("no value"),
        }
    }
    fn object(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut pairs = Vec::new();
        self.space();
        if self.word("}") {
            return Ok(Object::default().into());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err("no key in double quotes");
            }
            let key = self.string()?;
            self.space();
            if !self.word(":") {
                return Err("no ':' after a key");
            }
            pairs.push((key, self.value(depth - 1)?));
            self.space();
            if self.word("}") {
                return Ok(Value::Object(pairs.into_iter().collect()));
            }
            if !self.word(",") {
                return Err("no ',' between members");
            }
        }
    }
    fn array(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.word("]") {
            return Ok(items.into());
        }
        loop {
            items.push(self.value(depth - 1)?);
            self.space();
            if self.word("]") {
                return Ok(items.into());
            }
            if !self.word(",") {
                return Err("no ',' between items");
            }
        }
    }
    fn string(&mut self) -> Parsed<Text> {
        self.at += 1;
        let mut out = String::new();
        loop {
            // Nearly all of it is spelled as it will be.
            let rest = &self.text[self.at..];
            let plain = rest.bytes().position(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'));
            let (plain, rest) = rest.split_at(plain.unwrap_or(rest.len()));
            self.at += plain.len();
            let Some(c) = rest.chars().next() else { return Err("a string does not end") };
            if c == '"' && out.is_empty() {
                self.at += 1;
                return Ok(Text(plain.into()));
            }
            out.push_str(plain);
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(Text(out.into()));
                }
                '\\' => {
                    self.at += 1;
                    let unit = self.escape()?;
                    push_unit(&mut out, unit);
                }
                '\0'..='\x1f' => return Err("a control character in a string"),
                c => {
                    push_char(&mut out, c);
                    self.at += c.len_utf8();
                }
            }
        }
    }
    fn escape(&mut self) -> Parsed<u16> {
        let letter = self.peek().ok_or("a string does not end")?;
        let unit = match letter {
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'b' => 8,
            b'f' => 12,
            b'"' | b'\\' | b'/' => letter.into(),
            b'u' => {
                let digits = self.text.get(self.at + 1..self.at + 5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let unit = digits.and_then(|d| u16::from_str_radix(d, 16).ok()).ok_or("a \\u without four hexadecimal digits")?;
                self.at += 5;
                return Ok(unit);
            }
            _ => return Err("an unknown escape in a string"),
        };
        self.at += 1;
        Ok(unit)
    }
    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }
    fn number(&mut self) -> Parsed<Value> {
        let from = self.at;
        if self.word("-Infinity") {
            return Ok(Value::Float(f64::NEG_INFINITY));
        }
        self.word("-");
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => _ = self.digits(),
            _ => return Err("a '-' without a number"),
        }
        let mut float = false;
        // As Python: '1.' and '1e' are the integer 1 with something after it, which fails at the next token.
        for (marks, signed) in [(&b"."[..], false), (&b"eE"[..], true)] {
            let back = self.at;
            if self.peek().is_some_and(|b| marks.contains(&b)) {
                self.at += 1;
                if signed && matches!(self.peek(), Some(b'+' | b'-')) {
                    self.at += 1;
                }
                if self.digits() == 0 {
                    self.at = back;
                } else {
                    float = true;
                }
            }
        }
        let text = &self.text[from..self.at];
        if float {
            return text.parse().map(Value::Float).map_err(|_| "a number");
        }
        Ok(Value::Int(Int(if text == "-0" { "0" } else { text }.into())))
    }
}
