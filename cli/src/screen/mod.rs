//! Where does what we have to say go? Results to stdout, everything else to stderr, as text or as JSON.

pub mod embedded;
pub mod json;
pub mod line;
pub mod live;
pub mod plain;
pub mod report;
pub mod summary;
pub mod table;
#[cfg(test)]
mod told;

use crate::exit::Exit;
use bldr_core::ports::Operator;
use owo_colors::{OwoColorize, Style};
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// For whom results are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// A stream that can go away. Who does not read any more (`| head`) does not stop the work: from then on it is written
/// to nobody.
struct Stream {
    to: Mutex<Box<dyn Write + Send>>,
    /// What was lost, unless it was given up by its reader.
    lost: Mutex<Option<io::Error>>,
}

impl Stream {
    fn new(to: impl Write + Send + 'static) -> Self {
        Self { to: Mutex::new(Box::new(to)), lost: Mutex::default() }
    }
    fn write(&self, text: &str) {
        self.write_bytes(text.as_bytes());
    }
    fn write_bytes(&self, bytes: &[u8]) {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = to.write_all(bytes).and_then(|()| to.flush()) {
            *to = Box::new(io::sink());
            if error.kind() != io::ErrorKind::BrokenPipe {
                *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
    }
}

/// Whether the operator asked to stop. Clones share the answer.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<watch::Sender<bool>>);

impl Interrupt {
    /// Notes that they did; true the first time.
    pub fn ask(&self) -> bool {
        !self.0.send_replace(true)
    }
    /// Whether they did.
    pub fn asked(&self) -> bool {
        *self.0.borrow()
    }
    /// Comes back once they have.
    pub async fn happens(&self) {
        // It cannot end without: the sender is this one's.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }
}

/// A screen that shows a run while it goes on.
pub trait RunScreen: Operator {
    /// Says something that is no event, without disturbing what is shown.
    fn note(&self, text: &str);
    /// Takes away what moves; nothing comes after this.
    fn close(&self);
}

/// The two streams of the program, and how to write to them.
#[derive(Clone)]
pub struct Screen {
    out: Arc<Stream>,
    err: Arc<Stream>,
    format: Format,
    cloud: Option<&'static str>,
    colour: bool,
    moving: bool,
}

/// Every JSON object says which world it is about.
#[derive(Serialize)]
struct InCloud<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<&'static str>,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: u8,
    message: &'a str,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    error: ErrorBody<'a>,
}

impl Screen {
    /// The streams of this process. Colour and movement only where a person looks at them.
    pub fn of_this_process(format: Format, no_colour: bool) -> Self {
        let plain = no_colour || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = io::stderr().is_terminal() && !dumb;
        Self {
            out: Arc::new(Stream::new(io::stdout())),
            err: Arc::new(Stream::new(io::stderr())),
            format,
            cloud: None,
            colour: terminal && !plain,
            moving: terminal && !plain,
        }
    }

    /// A screen that writes to these; for tests.
    pub fn writing_to(format: Format, out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        Self { out: Arc::new(Stream::new(out)), err: Arc::new(Stream::new(err)), format, cloud: None, colour: false, moving: false }
    }

    /// The same screen, for results about this world.
    #[must_use]
    pub fn in_cloud(mut self, cloud: &'static str) -> Self {
        self.cloud = Some(cloud);
        self
    }

    /// Why results were lost, if they were: a full disk behind `>`. A reader that has had enough (`| head`) is no loss.
    pub fn lost(&self) -> Option<String> {
        self.out.lost.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ToString::to_string)
    }

    /// For whom results are.
    pub fn format(&self) -> Format {
        self.format
    }

    /// A result: a text for people, or an object for programs.
    pub fn result(&self, text: impl FnOnce() -> String, json: &impl Serialize) {
        match self.format {
            Format::Text => self.out.write(&text()),
            Format::Json => self.json(json),
        }
    }

    /// One object, one line.
    fn json(&self, body: &impl Serialize) {
        // What is serialized here are plain structs with text keys, which cannot fail.
        if let Ok(line) = serde_json::to_string(&InCloud { cloud: self.cloud, body }) {
            self.out.write(&(line + "\n"));
        }
    }

    /// Text on stdout whatever the format: help and the version.
    pub fn text(&self, text: &str) {
        self.out.write(text);
    }

    /// What a program on a node printed, as it printed it: on its standard error, or else on its standard output.
    pub fn bytes(&self, bytes: &[u8], error: bool) {
        if error { self.err.write_bytes(bytes) } else { self.out.write_bytes(bytes) }
    }

    /// A line that is no result.
    pub fn note(&self, line: &str) {
        self.err.write(&format!("{line}\n"));
    }

    /// How the program ends, where that is not how it should.
    pub fn exit(&self, exit: &Exit) {
        self.err.write(&format!("{}: {}\n", self.tinted("bldr", Style::new().red()), exit.message.replace('\n', "\n  ")));
        if self.format == Format::Json {
            self.json(&ErrorObject { error: ErrorBody { code: exit.code as u8, message: &exit.message } });
        }
    }

    /// The screen for a run of this many stacks.
    pub fn for_a_run(&self, interrupt: Interrupt) -> Box<dyn RunScreen> {
        match self.format {
            Format::Json => Box::new(json::Json::new(self.clone(), interrupt)),
            Format::Text if self.moving => Box::new(live::Live::new(self.clone(), interrupt)),
            Format::Text => Box::new(plain::Plain::new(self.clone(), interrupt)),
        }
    }

    fn tinted(&self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }
}

#[cfg(test)]
pub(crate) mod paper {
    //! A screen that can be read afterwards.
    use super::*;

    /// What was written to one stream.
    #[derive(Clone, Default)]
    pub struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Paper {
        /// The text so far.
        pub fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// A screen and what it writes to stdout and stderr.
    pub fn screen(format: Format) -> (Screen, Paper, Paper) {
        let (out, err) = (Paper::default(), Paper::default());
        (Screen::writing_to(format, out.clone(), err.clone()).in_cloud("sandbox"), out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_stops_nothing() {
        let (_, _, err) = paper::screen(Format::Json);
        let screen = Screen::writing_to(Format::Text, Gone, err.clone());
        screen.result(|| "a table\n".into(), &());
        screen.note("still here");
        assert_eq!(err.text(), "still here\n");
    }

    #[test]
    fn an_error_is_a_json_object_too_where_that_is_asked_for() {
        let (screen, out, err) = paper::screen(Format::Json);
        screen.exit(&Exit::refused("no such stack\nbldr stacks"));
        assert_eq!(err.text(), "bldr: no such stack\n  bldr stacks\n");
        assert_eq!(out.text(), "{\"cloud\":\"sandbox\",\"error\":{\"code\":3,\"message\":\"no such stack\\nbldr stacks\"}}\n");
    }
}
