//! The only place that prints: data on stdout, talk on stderr.
//!
//! Names that come from bundles and registries may hold anything: no control
//! character reaches a terminal but those that the printer itself puts there.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};

use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};
use indicatif::{BinaryBytes, MultiProgress, ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use tracing_subscriber::fmt::MakeWriter;

use super::report::Report;
use crate::oci::Digest;

/// Prints what a command has to say.
#[derive(Clone, Debug)]
pub struct Printer {
    talk: Talk,
    json: bool,
    stdout_colour: bool,
    stderr_colour: bool,
    /// Bars at the foot of the terminal; nothing where there is none.
    bars: Option<MultiProgress>,
}

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Talk {
    /// Errors only.
    Quiet,
    /// What a person wants to know.
    Normal,
    /// What a person who looks for something wants to know.
    Verbose,
}

/// Why data could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Whoever read stdout has enough: this ends a command, but is no failure.
    #[error("stdout is closed")]
    Closed,
    /// Writing failed.
    #[error("cannot write to stdout")]
    Write(#[source] io::Error),
    /// A document could not be put into JSON.
    #[error("cannot write the answer as JSON")]
    Json(#[source] serde_json::Error),
}

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();

impl Printer {
    /// A printer as the flags ask for; `json` if commands answer with a document.
    #[must_use]
    pub fn new(talk: Talk, json: bool, colour: ColorChoice) -> Self {
        let terminal = io::stderr().is_terminal() && variable("TERM").as_deref() != Some("dumb");
        let bars = (terminal && talk > Talk::Quiet)
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self {
            talk,
            json,
            stdout_colour: coloured(colour, &io::stdout()),
            stderr_colour: coloured(colour, &io::stderr()),
            bars,
        }
    }

    /// Whether commands answer with one JSON document instead of text.
    #[must_use]
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether stderr takes colours.
    #[must_use]
    pub fn colours_talk(&self) -> bool {
        self.stderr_colour
    }

    /// Prints lines of data on stdout.
    ///
    /// # Errors
    ///
    /// When stdout is closed or cannot be written.
    pub fn data(&self, text: impl Display) -> Result<(), Error> {
        write_data(&clean(&text.to_string()))
    }

    /// Prints a document on stdout.
    ///
    /// # Errors
    ///
    /// When stdout is closed or cannot be written.
    pub fn document(&self, document: &impl Serialize) -> Result<(), Error> {
        write_data(&serde_json::to_string_pretty(document).map_err(Error::Json)?)
    }

    /// Says something that a person wants to know.
    pub fn say(&self, text: impl Display) {
        if self.talk >= Talk::Normal {
            self.talk(&clean(&text.to_string()));
        }
    }

    /// Says something that only a person who looks for something wants to know.
    pub fn detail(&self, text: impl Display) {
        if self.talk >= Talk::Verbose {
            self.talk(&clean(&text.to_string()));
        }
    }

    /// Warns of something that is not as it should be and does not stop the work.
    pub fn warn(&self, text: impl Display) {
        if self.talk >= Talk::Normal {
            let label = paint(self.stderr_colour, YELLOW, "warning:");
            self.talk(&format!("{label} {}", clean(&text.to_string())));
        }
    }

    /// Prints why the program failed.
    pub fn report(&self, report: &Report) {
        let mut text = paint(self.stderr_colour, RED, "error:");
        let _ = write!(text, " {}", clean(&report.to_string()));
        for hint in report.hints() {
            let label = paint(self.stderr_colour, CYAN, "hint:");
            let _ = write!(text, "\n\n{label} {}", clean(hint));
        }
        self.talk(&text);
    }

    /// Prints what the parser of the arguments answers: help, version, or what is wrong.
    ///
    /// # Errors
    ///
    /// When stdout is closed or cannot be written.
    pub fn usage(&self, answer: &clap::Error) -> Result<(), Error> {
        let text = answer.render();
        if answer.use_stderr() {
            let text = if self.stderr_colour { text.ansi().to_string() } else { text.to_string() };
            self.talk(text.trim_end());
            return Ok(());
        }
        let text = if self.stdout_colour { text.ansi().to_string() } else { text.to_string() };
        write_data(text.trim_end())
    }

    /// A bar at the foot of the terminal; nothing where there is no terminal.
    #[must_use]
    pub fn bar(&self, bar: ProgressBar) -> Option<ProgressBar> {
        self.bars.as_ref().map(|bars| bars.add(bar))
    }

    /// Writes a line above the bars.
    fn talk(&self, line: &str) {
        let mut line = line.to_owned();
        line.push('\n');
        // Nobody can be told that stderr is gone.
        drop(self.write_above_bars(line.as_bytes()));
    }

    fn write_above_bars(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.bars {
            Some(bars) => bars.suspend(|| io::stderr().lock().write_all(bytes)),
            None => io::stderr().lock().write_all(bytes),
        }
    }
}

/// Log lines go above the bars, too.
impl<'a> MakeWriter<'a> for Printer {
    type Writer = LogWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LogWriter(self)
    }
}

/// Writes the log to stderr.
#[derive(Debug)]
pub struct LogWriter<'a>(&'a Printer);

impl Write for LogWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_above_bars(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_data(text: &str) -> Result<(), Error> {
    let mut line = text.to_owned();
    line.push('\n');
    let mut stdout = io::stdout().lock();
    match stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::Closed),
        written => written.map_err(Error::Write),
    }
}

fn coloured(choice: ColorChoice, stream: &impl IsTerminal) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            variable("NO_COLOR").is_none()
                && variable("TERM").as_deref() != Some("dumb")
                && stream.is_terminal()
        }
    }
}

/// A variable of the environment that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn paint(colour: bool, style: Style, text: &str) -> String {
    if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// The text with every character escaped that would do something to a terminal.
fn clean(text: &str) -> String {
    escape(text, |character| matches!(character, '\n' | '\t'))
}

/// A name from elsewhere, fit to stand within a line.
#[must_use]
pub fn name(text: impl Display) -> String {
    escape(&text.to_string(), |_| false)
}

/// A number of bytes for people: `1.50 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// The beginning of a digest: enough for a person to tell it from another.
#[must_use]
pub fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(19).collect()
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        let harmful = character.is_control() || reorders(character);
        if harmful && !keep(character) {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// Whether a character changes the order in which others are shown, so that a name looks like another.
fn reorders(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_nothing_to_a_terminal() {
        for (untrusted, shown) in [
            ("quay.io/a/b:v1", "quay.io/a/b:v1"),
            ("größe", "größe"),
            ("a\u{1b}[2Jb", r"a\u{1b}[2Jb"),
            ("a\nerror: b", r"a\nerror: b"),
            ("a\u{9b}31mb", r"a\u{9b}31mb"),
            ("abc\u{202e}txt.exe", r"abc\u{202e}txt.exe"),
        ] {
            assert_eq!(name(untrusted), shown);
        }
        assert_eq!(clean("two\nlines\r"), "two\nlines\\r");
    }
}
