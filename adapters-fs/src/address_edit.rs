//! How is the master's address changed in a project file so that nothing else changes?
//!
//! In place: only the characters of the address are replaced, at the place the parser names. Then the result is read
//! again, and has to be the old tree with that one value changed; otherwise nothing is proposed.

use crate::yaml::{Kind, Layout, Node, YamlError, parse, value_of};
use bldr_core::{address::MasterAddress, json::Value};
use saphyr_parser::ScalarStyle;

const PATH: [&str; 4] = ["defaults", "aws", "ec2", "master_ip"];
const KEY: &str = PATH[3];

/// Why there is no edit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// The file cannot be read.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// The place is missing, or written in a way that cannot be changed without changing more.
    #[error("{problem}")]
    ByHand {
        /// Counted from 1.
        line: usize,
        problem: String,
    },
}

fn by_hand(node: &Node, problem: impl Into<String>) -> EditError {
    EditError::ByHand { line: node.line, problem: problem.into() }
}

/// The text with this address as `defaults.aws.ec2.master_ip`; `None` where it says so already, and where the file is
/// empty and so has no projects.
pub(crate) fn with_master(text: &str, address: &MasterAddress) -> Result<Option<String>, EditError> {
    let Some(root) = parse(text)? else { return Ok(None) };
    let value = value_of(Some(&root))?;
    if value.kind() == "null" || value.at(&PATH).and_then(Value::as_string).as_deref() == Some(address.as_str()) {
        return Ok(None);
    }
    let mut ec2 = &root;
    for (depth, key) in PATH[..3].iter().enumerate() {
        let place = PATH[..=depth].join(".");
        ec2 = ec2.entry(key).ok_or_else(|| by_hand(ec2, format!("there is no '{place}'")))?.1;
        if !matches!(ec2.kind, Kind::Map(..)) {
            return Err(by_hand(ec2, format!("'{place}' is not written out as a map")));
        }
    }
    let place = ec2.entry(KEY).map_or_else(|| room_for_a_line(text, ec2), |(key, value)| place_of(text, key, value))?;
    // A plain word where that says the same, which `yes` does not. An IPv6 address is quoted in any case: other readers of
    // the file take some for numbers, and older ones stumble over a colon within braces.
    let quoted_anyway = address.as_str().contains(':');
    for style in place.styles.iter().filter(|style| !(quoted_anyway && **style == ScalarStyle::Plain)) {
        let quote = match style {
            ScalarStyle::SingleQuoted => "'",
            ScalarStyle::DoubleQuoted => "\"",
            _ => "",
        };
        let edited = format!("{}{}{quote}{address}{quote}{}{}", &text[..place.from], place.before, place.after, &text[place.to..]);
        if says_only_that(&edited, &root, address, *style) {
            return Ok(Some(edited));
        }
    }
    Err(by_hand(ec2, "the address cannot be changed without changing more"))
}

/// Bytes to replace, and what to put around the address.
struct Place {
    from: usize,
    to: usize,
    before: String,
    after: String,
    styles: &'static [ScalarStyle],
}

const WORD_FIRST: &[ScalarStyle] = &[ScalarStyle::Plain, ScalarStyle::DoubleQuoted];

/// The parser counts characters.
fn byte(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

fn place_of(text: &str, key: &Node, value: &Node) -> Result<Place, EditError> {
    let (from, to) = (byte(text, value.span.0), byte(text, value.span.1));
    let styles = match &value.kind {
        Kind::Scalar { text: said, style: ScalarStyle::Plain } if said.is_empty() => {
            // Nothing after the colon: the place is right behind it.
            let end = byte(text, key.span.1);
            let colon = text[end..].find(':').filter(|at| text[end..end + at].trim().is_empty());
            let from = end + colon.ok_or_else(|| by_hand(value, format!("'{KEY}' has no value")))? + 1;
            return Ok(Place { from, to: from, before: " ".into(), after: String::new(), styles: WORD_FIRST });
        }
        Kind::Alias(_) | Kind::Scalar { style: ScalarStyle::Plain, .. } => WORD_FIRST,
        Kind::Scalar { style: ScalarStyle::SingleQuoted, .. } => &[ScalarStyle::SingleQuoted][..],
        Kind::Scalar { style: ScalarStyle::DoubleQuoted, .. } => &[ScalarStyle::DoubleQuoted][..],
        _ => return Err(by_hand(value, format!("'{KEY}' is not written as a word"))),
    };
    let to = from + text[from..to].trim_end().len();
    let from = match value.text().filter(|_| value.anchor != 0 || value.tag.is_some()) {
        // Anchor and tag stand before the word, and stay.
        Some(said) => {
            let word = if styles == WORD_FIRST { said.len() } else { said.len() + 2 };
            to.checked_sub(word)
                .filter(|word| *word > from && text.is_char_boundary(*word))
                .ok_or_else(|| by_hand(value, format!("'{KEY}' is not written as a word")))?
        }
        None => from,
    };
    Ok(Place { from, to, before: String::new(), after: String::new(), styles })
}

/// Where a map gets its first entry.
fn room_for_a_line(text: &str, ec2: &Node) -> Result<Place, EditError> {
    let Kind::Map(entries, layout) = &ec2.kind else { return Err(by_hand(ec2, "it is no map")) };
    if *layout == Layout::Flow {
        let open = byte(text, ec2.span.0);
        let from = open + text[open..].find('{').ok_or_else(|| by_hand(ec2, "it has no brace"))? + 1;
        let after = if entries.is_empty() { "" } else { ", " };
        return Ok(Place { from, to: from, before: format!("{KEY}: "), after: after.into(), styles: WORD_FIRST });
    }
    let first = entries.first().map(|(key, _)| byte(text, key.span.0)).ok_or_else(|| by_hand(ec2, "it is empty"))?;
    let from = text[..first].rfind('\n').map_or(0, |at| at + 1);
    let indent = &text[from..first];
    if !indent.chars().all(|c| c == ' ') {
        return Err(by_hand(ec2, "its first key does not begin its line"));
    }
    let ends_in_crlf = text[first..].split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n"));
    let line_end = if ends_in_crlf { "\r\n" } else { "\n" };
    Ok(Place { from, to: from, before: format!("{indent}{KEY}: "), after: line_end.into(), styles: WORD_FIRST })
}

/// Whether a text is the old tree with only the address changed, which it names as text.
fn says_only_that(edited: &str, old: &Node, address: &MasterAddress, style: ScalarStyle) -> bool {
    let Ok(Some(new)) = parse(edited) else { return false };
    let mut wanted = old.clone();
    let Some(Kind::Map(entries, _)) = PATH[..3].iter().try_fold(&mut wanted, |node, key| node.value_mut(key)).map(|ec2| &mut ec2.kind)
    else {
        return false;
    };
    let scalar = |text: &str, style| Kind::Scalar { text: text.to_owned(), style };
    match entries.iter_mut().rev().find(|(key, _)| key.text() == Some(KEY)) {
        Some((_, value)) => value.kind = scalar(address.as_str(), style),
        None => {
            let node = |kind| Node { kind, anchor: 0, tag: None, span: (0, 0), line: 0, column: 0 };
            entries.insert(0, (node(scalar(KEY, ScalarStyle::Plain)), node(scalar(address.as_str(), style))));
        }
    }
    let named = value_of(Some(&new)).ok().and_then(|value| value.at(&PATH)?.as_string());
    new == wanted && named.as_deref() == Some(address.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, address: &str) -> Option<String> {
        with_master(text, &address.parse().unwrap()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn only_the_characters_of_the_address_change() {
        for (before, after) in [
            (
                "defaults:\n  aws:\n    ec2:\n      master_ip: 10.0.0.1 # old\n      x: 1\n",
                "defaults:\n  aws:\n    ec2:\n      master_ip: 10.0.0.2 # old\n      x: 1\n",
            ),
            (
                "# ä€😀\r\ndefaults: {aws: {ec2: {master_ip: '10.0.0.1', x: \"ü\"}}}\r\n\r\na: {}",
                "# ä€😀\r\ndefaults: {aws: {ec2: {master_ip: '10.0.0.2', x: \"ü\"}}}\r\n\r\na: {}",
            ),
            (
                "\u{feff}defaults:\n    aws:\n        ec2:\n            \"master_ip\"  :   \"10.0.0.1\"   \n",
                "\u{feff}defaults:\n    aws:\n        ec2:\n            \"master_ip\"  :   \"10.0.0.2\"   \n",
            ),
            ("defaults: {aws: {ec2: {master_ip: null}}}", "defaults: {aws: {ec2: {master_ip: 10.0.0.2}}}"),
            (
                "defaults:\n  aws:\n    ec2:\n      master_ip:   # none yet\n      x: 1\n",
                "defaults:\n  aws:\n    ec2:\n      master_ip: 10.0.0.2   # none yet\n      x: 1\n",
            ),
            ("defaults:\n  aws:\n    ec2:\n      master_ip:\n", "defaults:\n  aws:\n    ec2:\n      master_ip: 10.0.0.2\n"),
            ("defaults: {aws: {ec2: {master_ip: , x: 1}}}", "defaults: {aws: {ec2: {master_ip: 10.0.0.2 , x: 1}}}"),
            // An alias is replaced, and what it stands for stays for whoever else uses it.
            (
                "defaults: {a: &m 10.0.0.1, b: *m, aws: {ec2: {master_ip: *m }}}",
                "defaults: {a: &m 10.0.0.1, b: *m, aws: {ec2: {master_ip: 10.0.0.2 }}}",
            ),
            // Of two equal keys the last counts.
            (
                "defaults: {aws: {ec2: {master_ip: 1.1.1.1, master_ip: 10.0.0.1}}}",
                "defaults: {aws: {ec2: {master_ip: 1.1.1.1, master_ip: 10.0.0.2}}}",
            ),
            (
                "defaults:\n  aws:\n    ec2:\n      master_ip: !!str 10.0.0.1\n",
                "defaults:\n  aws:\n    ec2:\n      master_ip: !!str 10.0.0.2\n",
            ),
        ] {
            assert_eq!(edited(before, "10.0.0.2").as_deref(), Some(after), "{before}");
            assert_eq!(edited(after, "10.0.0.2"), None, "{after}");
        }
    }

    #[test]
    fn a_missing_address_becomes_a_line_of_its_own() {
        for (before, after) in [
            (
                "defaults:\n  aws:\n    ec2:\n      # size\n      x: 1\n      y: 2\n",
                "defaults:\n  aws:\n    ec2:\n      # size\n      master_ip: 10.0.0.2\n      x: 1\n      y: 2\n",
            ),
            (
                "defaults:\r\n  aws:\r\n    ec2:\r\n      x: 1\r\na: {}\r\n",
                "defaults:\r\n  aws:\r\n    ec2:\r\n      master_ip: 10.0.0.2\r\n      x: 1\r\na: {}\r\n",
            ),
            ("defaults:\n aws:\n  ec2:\n   x:\n    y: 1", "defaults:\n aws:\n  ec2:\n   master_ip: 10.0.0.2\n   x:\n    y: 1"),
            (
                "defaults:\n aws:\n  ec2: &e\n   x: 1\na: {b: *e}",
                "defaults:\n aws:\n  ec2: &e\n   master_ip: 10.0.0.2\n   x: 1\na: {b: *e}",
            ),
            ("defaults: {aws: {ec2: {}}}", "defaults: {aws: {ec2: {master_ip: 10.0.0.2}}}"),
            ("defaults: {aws: {ec2: { x: 1 }}}", "defaults: {aws: {ec2: {master_ip: 10.0.0.2,  x: 1 }}}"),
            (
                "b: &b {master_ip: 1.1.1.1}\ndefaults: {aws: {ec2: &e {<<: *b}}}\n",
                "b: &b {master_ip: 1.1.1.1}\ndefaults: {aws: {ec2: &e {master_ip: 10.0.0.2, <<: *b}}}\n",
            ),
        ] {
            assert_eq!(edited(before, "10.0.0.2").as_deref(), Some(after), "{before}");
            assert_eq!(edited(after, "10.0.0.2"), None, "{after}");
        }
    }

    #[test]
    fn what_is_no_plain_word_for_yaml_is_quoted() {
        let text = |address: &str| format!("defaults: {{aws: {{ec2: {{master_ip: {address}, x: 1}}}}}}\n");
        for (address, written) in [
            ("fd00::1", "\"fd00::1\""),
            ("::1", "\"::1\""),
            ("fd00::", "\"fd00::\""),
            ("1:2:3:4:5:6:7:8", "\"1:2:3:4:5:6:7:8\""),
            ("yes", "\"yes\""),
            ("null", "\"null\""),
            ("salt.example.org", "salt.example.org"),
        ] {
            let after = edited(&text("10.0.0.1"), address).unwrap();
            assert_eq!(after, text(written));
            assert!(edited(&after, "10.0.0.1").is_some(), "{after}");
        }
    }

    #[test]
    fn what_cannot_be_changed_alone_is_left_to_the_team() {
        for text in [
            "defaults: {}",
            "defaults: {aws: {}}",
            "defaults: {aws: {ec2: true}}",
            "defaults: {aws: null}",
            "x: &x {y: 1}\ndefaults: {aws: {ec2: *x}}",
            "defaults: {aws: {ec2: {master_ip: [10.0.0.1]}}}",
            "defaults:\n  aws:\n    ec2:\n      master_ip: |\n        10.0.0.1\n",
            "defaults:\n  aws:\n    ec2:\n      ? x\n      : 1\n",
        ] {
            let error = with_master(text, &"10.0.0.2".parse().unwrap()).unwrap_err();
            assert!(matches!(error, EditError::ByHand { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn an_empty_file_has_nothing_to_change() {
        for text in ["", "# nothing\n", "---\n", "~\n"] {
            assert_eq!(edited(text, "10.0.0.2"), None, "{text:?}");
        }
    }
}
