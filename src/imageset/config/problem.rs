//! What is wrong with a configuration, and where: all of it, not only the first thing.

use std::fmt;
use std::str::FromStr;

use super::yaml::Node;

/// How many problems are told. Whoever makes more has to start with these.
const MAX_PROBLEMS: usize = 100;

/// How much of a message or a path is told, in characters.
const MAX_SHOWN: usize = 300;

/// A place in the file; both count from 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The character of the line.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Where, if it is at a place.
    pub location: Option<Location>,
    /// Which value: `mirror.additionalImages[3].name`. Empty for the whole file.
    pub path: String,
    /// What is wrong, in one sentence.
    pub message: String,
}

impl Problem {
    pub(super) fn of_file(message: &str) -> Self {
        Self { location: None, path: String::new(), message: shown(message) }
    }

    pub(super) fn at(location: Location, message: &str) -> Self {
        Self { location: Some(location), path: String::new(), message: shown(message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = self.location {
            write!(f, "{location}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", listed(.problems))]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    /// What is wrong; at least one thing.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let more = if lines.len() < MAX_PROBLEMS { "" } else { " at least" };
    match lines.as_slice() {
        [one] => one.clone(),
        _ => format!("{} problems{more}:\n{}", lines.len(), lines.join("\n")),
    }
}

/// Text of the file as it can be shown: on one line, not endless, nothing for a terminal to obey.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (number, c) in text.chars().enumerate() {
        match c {
            _ if number == MAX_SHOWN => {
                shown.push('…');
                break;
            }
            c if c.is_control() => shown.extend(c.escape_debug()),
            c => shown.push(c),
        }
    }
    shown
}

/// The way to a value, from the root of the document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl<'a> Path<'a> {
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    pub(super) fn item(&'a self, number: usize) -> Self {
        Self::Item(self, number)
    }

    /// The value it leads to, or the last one on the way.
    fn find<'n>(&self, root: &'n Node) -> &'n Node {
        match self {
            Self::Root => root,
            Self::Field(parent, name) => {
                let parent = parent.find(root);
                parent.get(name).unwrap_or(parent)
            }
            Self::Item(parent, number) => {
                let parent = parent.find(root);
                parent.item(*number).unwrap_or(parent)
            }
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, number) => write!(f, "{parent}[{number}]"),
        }
    }
}

/// The problems found so far in a document.
#[derive(Debug)]
pub(super) struct Problems<'a> {
    root: &'a Node,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(root: &'a Node) -> Self {
        Self { root, found: Vec::new() }
    }

    /// Notes what is wrong with the value that the path leads to.
    pub(super) fn add(&mut self, path: &Path<'_>, message: impl Into<String>) {
        self.add_at(path.find(self.root).location, path, message);
    }

    /// Notes a problem at a place of its own.
    pub(super) fn add_at(
        &mut self,
        location: Location,
        path: &Path<'_>,
        message: impl Into<String>,
    ) {
        if self.found.len() < MAX_PROBLEMS {
            let (path, message) = (shown(&path.to_string()), shown(&message.into()));
            self.found.push(Problem { location: Some(location), path, message });
        }
    }

    /// Reads a word that is given; nothing where it is empty or wrong.
    pub(super) fn word<T: FromStr<Err: fmt::Display>>(
        &mut self,
        path: &Path<'_>,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        text.parse().map_err(|error: T::Err| self.add(path, error.to_string())).ok()
    }

    /// Ends with a failure if anything is wrong.
    pub(super) fn end(mut self) -> Result<(), Error> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|problem| problem.location);
        Err(Error { problems: self.found })
    }
}
