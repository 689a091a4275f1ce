//! How is a YAML text built up? Its nodes as written: aliases not followed, scalars not interpreted, each with its place.

use super::YamlError;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

/// Deeper than any project file; shallow enough for any thread.
const DEPTH: usize = 100;

/// A node, and where it stands. Equal to another if it says the same in the same way, wherever that stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Names the node for aliases; `0` for none.
    pub(crate) anchor: usize,
    /// The tag, written out: `tag:yaml.org,2002:str`, `!own`.
    pub(crate) tag: Option<String>,
    /// Its first character and, for scalars and aliases, the one after its last, as counted from the start of the text.
    /// Anchor and tag are within, blank space after it may be.
    pub(crate) span: (usize, usize),
    /// Counted from 1.
    pub(crate) line: usize,
    /// Characters from the start of the line, counted from 1.
    pub(crate) column: usize,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Scalar {
        text: String,
        style: ScalarStyle,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>, Layout),
    /// Another node again, by its anchor.
    Alias(usize),
}

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One line a key, by indentation.
    Block,
    /// In braces.
    Flow,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, self.anchor, &self.tag) == (&other.kind, other.anchor, &other.tag)
    }
}

impl Node {
    pub(crate) fn error(&self, problem: impl Into<String>) -> YamlError {
        YamlError { line: self.line, column: self.column, problem: problem.into() }
    }

    /// The text, if it is a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Kind::Scalar { text, .. } = &self.kind { Some(text) } else { None }
    }

    /// The key and the value of that name that count: of two equal keys the last.
    pub(crate) fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        let Kind::Map(entries, _) = &self.kind else { return None };
        entries.iter().rev().find(|(name, _)| name.text() == Some(key)).map(|(name, value)| (name, value))
    }

    /// As [`Self::entry`], the value only, to be changed.
    pub(crate) fn value_mut(&mut self, key: &str) -> Option<&mut Node> {
        let Kind::Map(entries, _) = &mut self.kind else { return None };
        entries.iter_mut().rev().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }
}

/// The tree of a text; `None` where it is empty.
///
/// # Errors
/// What is no YAML, more than one document, and nesting beyond 100 levels.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    // Line ends in YAML 1.1, not in 1.2: what stands behind one would be read as something else than it was.
    if let Some((at, _)) = text.char_indices().find(|(_, c)| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')) {
        let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
        let (line, column) = (text[..at].matches('\n').count() + 1, text[line_start..at].chars().count() + 1);
        return Err(YamlError { line, column, problem: "a Unicode line separator, which YAML takes for a line end; take it out".into() });
    }
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    let mut root = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(root),
            (Event::DocumentStart(_), span) if root.is_some() => {
                return Err(at(span.start, "a second document begins; a project file is one"));
            }
            (Event::DocumentStart(_), _) => {
                let (event, span) = reader.next()?;
                root = Some(reader.node(event, span, DEPTH)?);
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

fn at(place: Marker, problem: impl Into<String>) -> YamlError {
    YamlError { line: place.line(), column: place.col() + 1, problem: problem.into() }
}

fn unread(error: &ScanError) -> YamlError {
    let advice =
        if error.info().starts_with("invalid indentation") { " (what is inside [] and {} is indented deeper than its key)" } else { "" };
    at(*error.marker(), format!("{}{advice}", error.info()))
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(unread(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        if depth == 0 {
            return Err(at(span.start, "nested more than 100 levels deep"));
        }
        let (kind, anchor, tag) = match event {
            Event::Alias(anchor) => (Kind::Alias(anchor), 0, None),
            Event::Scalar(text, style, anchor, tag) => (Kind::Scalar { text: text.into_owned(), style }, anchor, tag),
            Event::SequenceStart(anchor, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth - 1)?),
                    }
                }
                (Kind::List(items), anchor, tag)
            }
            Event::MappingStart(anchor, tag) => {
                let mut entries = Vec::new();
                let layout = loop {
                    let (event, key) = self.next()?;
                    if event == Event::MappingEnd {
                        // Only a map in braces ends with a character of its own.
                        break if key.is_empty() { Layout::Block } else { Layout::Flow };
                    }
                    let key = self.node(event, key, depth - 1)?;
                    let (event, value) = self.next()?;
                    entries.push((key, self.node(event, value, depth - 1)?));
                };
                (Kind::Map(entries, layout), anchor, tag)
            }
            _ => return Err(at(span.start, "something is missing here")),
        };
        let tag = tag.map(|tag: std::borrow::Cow<'_, Tag>| format!("{}{}", tag.handle, tag.suffix));
        let (line, column) = (span.start.line(), span.start.col() + 1);
        Ok(Node { kind, anchor, tag, span: (span.start.index(), span.end.index()), line, column })
    }
}
