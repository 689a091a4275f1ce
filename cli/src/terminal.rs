//! Is somebody there to be asked, and what do they answer?

use crate::exit::{Code, Exit};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    sync::Arc,
};

/// The way to ask the operator. Questions go to stderr: stdout is for results.
pub struct Terminal {
    asker: Option<Box<dyn BufRead + Send>>,
    yes: bool,
}

impl Terminal {
    /// The terminal of this process. Nobody is asked where stdin or stderr is none, where the output is for a program,
    /// or where every answer is yes already.
    pub fn new(yes: bool, json: bool) -> Self {
        let somebody = !yes && !json && io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { asker: somebody.then(|| Box::new(io::BufReader::new(io::stdin())) as _), yes }
    }

    /// Somebody who answers these lines; for tests.
    pub fn answering(lines: &'static str) -> Self {
        Self { asker: Some(Box::new(lines.as_bytes())), yes: false }
    }

    /// Whether somebody is there to be asked.
    pub fn has_somebody(&self) -> bool {
        self.asker.is_some()
    }

    /// Asks for a missing argument. `None` where there is nobody to ask, or nothing was answered.
    pub fn ask(&mut self, what: &str) -> Option<String> {
        let answer = line(self.asker.as_mut()?, &format!("{what}: "))?;
        (!answer.is_empty()).then_some(answer)
    }

    /// Asks for a yes before something is changed.
    ///
    /// # Errors
    /// `Failed` where the operator declines; `Refused` where there is nobody to ask.
    pub async fn confirm(&mut self, question: &str) -> Result<(), Exit> {
        self.confirm_or_leave(question, "nothing was changed").await
    }

    /// The same, with what is so where the operator declines.
    ///
    /// # Errors
    /// The same.
    pub async fn confirm_or_leave(&mut self, question: &str, left: &str) -> Result<(), Exit> {
        if self.yes {
            return Ok(());
        }
        let Some(answer) = self.answered(format!("{question} [y/N] ")).await else {
            return Err(Exit::refused(format!(
                "{question} There is nobody here to answer that\n{left}\nanswer with --yes (or yes=yes) to go on"
            )));
        };
        if matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes") {
            Ok(())
        } else {
            Err(Exit::new(Code::Failed, format!("declined; {left}")))
        }
    }

    /// Asks for a name to be typed before something is gone for good.
    ///
    /// # Errors
    /// `Failed` where something else is typed; `Refused` where there is nobody to ask.
    pub async fn type_out(&mut self, name: &str, what: &str) -> Result<(), Exit> {
        if self.yes {
            return Ok(());
        }
        let Some(answer) = self.answered(format!("{what} Type {name} to go on: ")).await else {
            return Err(Exit::refused(format!("{what} There is nobody here to say so\nnothing was changed\n--yes (or yes=yes) goes on")));
        };
        if answer == name { Ok(()) } else { Err(Exit::new(Code::Failed, "declined; nothing was changed")) }
    }
}

impl Terminal {
    /// What is answered, where somebody is there. On a thread of its own: whoever waits for the answer can leave.
    async fn answered(&mut self, prompt: String) -> Option<String> {
        let mut asker = self.asker.take()?;
        let asked = tokio::task::spawn_blocking(move || {
            let answer = line(&mut asker, &prompt);
            (asker, answer)
        });
        let left = Left;
        let (asker, answer) = asked.await.ok()?;
        std::mem::forget(left);
        self.asker = Some(asker);
        Some(answer.unwrap_or_default())
    }
}

/// Ends the line of a question that nobody waits for any more.
struct Left;

impl Drop for Left {
    fn drop(&mut self) {
        // Where stderr is gone there is no line to end.
        let _ = writeln!(io::stderr());
    }
}

/// Answers with the passphrase of a key file, or not.
pub type Passphrases = Arc<dyn Fn(&Path) -> Option<String> + Send + Sync>;

/// Asks for the passphrase of a key file without showing it; nothing where there is nobody to ask.
pub fn passphrases() -> Option<Passphrases> {
    let ask = |key: &Path| rpassword::prompt_password(format!("passphrase of {}: ", key.display())).ok();
    (io::stdin().is_terminal() && io::stderr().is_terminal()).then(|| Arc::new(ask) as _)
}

fn line(asker: &mut Box<dyn BufRead + Send>, prompt: &str) -> Option<String> {
    // Where stderr is gone the question cannot be shown, and what is read is no answer to it.
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}").and_then(|()| stderr.flush()).ok()?;
    let mut answer = String::new();
    asker.read_line(&mut answer).ok().filter(|read| *read > 0)?;
    Some(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_yes_is_a_yes() {
        assert_eq!(Terminal::answering("y\n").confirm("Go?").await, Ok(()));
        assert_eq!(Terminal::answering("YES\n").confirm("Go?").await, Ok(()));
        for no in ["n\n", "\n", "", "yes please\n"] {
            assert_eq!(Terminal::answering(no).confirm("Go?").await.map_err(|e| e.code), Err(Code::Failed), "{no:?}");
        }
    }

    #[tokio::test]
    async fn only_the_name_is_the_name() {
        assert_eq!(Terminal::answering("harbor--ci\n").type_out("harbor--ci", "Gone.").await, Ok(()));
        for other in ["y\n", "harbor--prod\n", "\n", "HARBOR--CI\n"] {
            assert_eq!(
                Terminal::answering(other).type_out("harbor--ci", "Gone.").await.map_err(|e| e.code),
                Err(Code::Failed),
                "{other:?}"
            );
        }
        assert_eq!(Terminal::new(false, true).type_out("harbor--ci", "Gone.").await.map_err(|e| e.code), Err(Code::Refused));
    }

    #[tokio::test]
    async fn nobody_there_is_a_refusal_that_says_how_to_answer() {
        let exit = Terminal::new(false, true).confirm("Go?").await.unwrap_err();
        assert_eq!(exit.code, Code::Refused);
        assert!(exit.message.contains("--yes"));
        assert_eq!(Terminal::new(true, true).confirm("Go?").await, Ok(()));
    }

    #[test]
    fn an_empty_answer_is_none() {
        assert_eq!(Terminal::answering("\n").ask("STACK"), None);
        assert_eq!(Terminal::answering(" harbor--ci \n").ask("STACK"), Some("harbor--ci".into()));
    }
}
