//! How is a shell that stays told a program? So that it can be heard where its answer ends: one login shell and one sudo a node, however many programs.
//!
//! A shell that reads its program from standard input takes one after the other: each in a shell below it, with its own arguments, its own
//! standard input, its own traps, and its own end. It says on both of its outputs that a program has ended, in words that nobody else
//! can know.

use crate::{error::SshError, session::Program};

/// The words of one program's end, and the way in for its standard input.
#[derive(Debug, Clone)]
pub(crate) struct Mark(String);

impl Mark {
    /// A mark that nobody can guess, for the first of many programs.
    ///
    /// # Errors
    /// [`SshError::Settings`] where this machine has no random numbers.
    pub(crate) fn secret() -> Result<String, SshError> {
        let mut bytes = [0; 16];
        openssl::rand::rand_bytes(&mut bytes).map_err(|error| SshError::Settings(format!("there are no random numbers: {error}")))?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The mark of the program with this number.
    pub(crate) fn of(secret: &str, number: u64) -> Self {
        Self(format!("bldr-{secret}-{number}"))
    }

    /// A question that is answered at once, by [`Ending`] on standard output, by whoever is still there.
    pub(crate) fn question(&self) -> Vec<u8> {
        format!("printf '{} 0\\n'\n", self.0).into_bytes()
    }

    /// What is typed to run a program.
    pub(crate) fn typed(&self, program: &Program<'_>) -> Vec<u8> {
        let Self(mark) = self;
        let arguments = shell_words::join(program.arguments);
        let mut text = format!("(\nset -- {arguments}\n{}{}\n)", program.under, program.text).into_bytes();
        if program.stdin.is_empty() {
            text.extend_from_slice(b" </dev/null\n");
        } else {
            text.extend_from_slice(format!(" <<'{mark}'\n").as_bytes());
            text.extend_from_slice(program.stdin);
            text.extend_from_slice(format!("{mark}\n").as_bytes());
        }
        // The status of the first of the two, which is asked for by both.
        text.extend_from_slice(format!("set -- $?; printf '{mark} %s\\n' $1; printf '{mark} %s\\n' $1 >&2\n").as_bytes());
        text
    }
}

/// The longest input that is typed. Some shells read what is typed byte by byte.
const INPUT: usize = 1 << 20;

/// Whether a program can be typed: lines of text can, bytes cannot, nor can whole books.
pub(crate) fn can_be_typed(program: &Program<'_>) -> bool {
    let whole_lines = program.stdin.is_empty() || (program.stdin.ends_with(b"\n") && program.stdin.len() <= INPUT);
    whole_lines && !program.stdin.contains(&0) && !program.arguments.iter().any(|argument| argument.contains('\0'))
}

/// Listens for the end of a program on one of its outputs.
pub(crate) struct Ending {
    mark: Vec<u8>,
    held: Vec<u8>,
    /// Its exit status, once it has ended.
    pub(crate) status: Option<u32>,
}

impl Ending {
    pub(crate) fn new(mark: &Mark) -> Self {
        Self { mark: mark.0.clone().into_bytes(), held: Vec::new(), status: None }
    }

    /// What of these bytes and those before is the program's own, as far as that can be told by now. What comes after its end is not:
    /// whatever the login left running may speak at any time.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.status.is_some() {
            return Vec::new();
        }
        self.held.extend_from_slice(bytes);
        let own = match self.held.windows(self.mark.len()).position(|window| window == self.mark) {
            Some(at) => {
                let said = &self.held[at + self.mark.len()..];
                let line = said.iter().position(|byte| *byte == b'\n').map(|end| &said[..end]);
                self.status = line.and_then(|line| std::str::from_utf8(line).ok()?.trim().parse().ok());
                at
            }
            None => self.held.len() - self.begun(),
        };
        let rest = self.held.split_off(own);
        std::mem::replace(&mut self.held, rest)
    }

    /// How many of the last bytes may be the beginning of the mark.
    fn begun(&self) -> usize {
        (1..self.mark.len().min(self.held.len() + 1)).rev().find(|size| self.held.ends_with(&self.mark[..*size])).unwrap_or(0)
    }

    /// What was held back, where there is no end to come.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Root;
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    fn program<'a>(text: &'a str, arguments: &'a [&'a str], stdin: &'a [u8]) -> Program<'a> {
        Program { name: "test.sh", under: "", text, arguments, stdin, root: Root::Already }
    }

    /// What `shell` makes of several programs typed into it: of each its output and its status.
    fn run(shell: &str, programs: &[Program<'_>]) -> Vec<(String, String, u32)> {
        let mut child = Command::new(shell).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let marks: Vec<Mark> = (0..).map(|number| Mark::of("secret", number)).take(programs.len()).collect();
        let typed: Vec<u8> = marks.iter().zip(programs).flat_map(|(mark, program)| mark.typed(program)).collect();
        child.stdin.take().unwrap().write_all(&typed).unwrap();
        let output = child.wait_with_output().unwrap();
        let (mut out, mut err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let heard = |mark: &Mark, text: &mut String| {
            let line = text.find(&mark.0).and_then(|at| Some(at + text[at..].find('\n')? + 1)).unwrap_or(text.len());
            let rest = text.split_off(line);
            let mut ending = Ending::new(mark);
            // Byte by byte: wherever it is cut, it is told.
            let own: Vec<u8> = text.bytes().flat_map(|byte| ending.hear(&[byte])).collect();
            *text = rest;
            (String::from_utf8(own).unwrap(), ending.status.unwrap())
        };
        let all = marks.iter().map(|mark| (heard(mark, &mut out), heard(mark, &mut err)));
        all.map(|((out, status), (err, again))| {
            assert_eq!(status, again);
            (out, err, status)
        })
        .collect()
    }

    #[test]
    fn programs_have_their_own_arguments_and_input_and_traps_and_end() {
        let programs = [
            program(
                "#!/bin/sh\nset -eu\ntrap 'echo trapped' EXIT\ncd /\nprintf '%s|' \"$@\"\nfalse\necho never",
                &["a b", "it's", "", "$x\n`y`"],
                b"",
            ),
            program("echo \"$#\"; cat; echo err >&2; exit 7", &[], b"one\n'two' $three\n\n"),
            program("set -u; printf no-line; echo \"$missing\"", &[], b""),
            program("kill -9 \"$(exec sh -c 'echo $PPID')\"", &[], b""),
            program("cat; pwd", &[], b""),
        ];
        let here = std::env::current_dir().unwrap();
        for shell in ["dash", "bash"] {
            let ended = run(shell, &programs);
            assert_eq!(ended[0], ("a b|it's||$x\n`y`|trapped\n".into(), String::new(), 1), "{shell}");
            assert_eq!(ended[1], ("0\none\n'two' $three\n\n".into(), "err\n".into(), 7), "{shell}");
            assert!(ended[2].0 == "no-line" && ended[2].1.contains("missing") && ended[2].2 > 0, "{shell}: {:?}", ended[2]);
            assert_eq!(ended[3].2, 137, "{shell}: {:?}", ended[3]);
            assert_eq!(ended[4], (format!("{}\n", here.display()), String::new(), 0), "{shell}");
        }
    }

    #[test]
    fn what_is_said_after_the_end_is_not_the_programs() {
        let mark = Mark::of("secret", 1);
        for pieces in [
            &["own bldr-secret-1 7\nlate\n"][..],
            &["own ", "bldr-sec", "ret-1", " 7", "\n", "l", "ate"],
            &["own bldr-secret-1 7\n", "bldr-x"],
        ] {
            let mut ending = Ending::new(&mark);
            let own: Vec<u8> = pieces.iter().flat_map(|piece| ending.hear(piece.as_bytes())).collect();
            assert_eq!((own.as_slice(), ending.status), (&b"own "[..], Some(7)), "{pieces:?}");
        }
    }

    #[test]
    fn bytes_are_not_typed() {
        assert!(can_be_typed(&program("", &["a"], b"a\nb\n")) && can_be_typed(&program("", &[], b"")));
        assert!(!can_be_typed(&program("", &[], &[b'\n'; INPUT + 1])));
        assert!(!can_be_typed(&program("", &[], b"no line")) && !can_be_typed(&program("", &[], b"\0\n")));
    }
}
