//! A failure as a person reads it: the error, what caused it, and what to do about it.
//!
//! ```text
//! error: cannot open "release.sqfs"
//!   caused by: No such file or directory (os error 2)
//!
//! hint: check the path; …
//! ```

use std::collections::BTreeSet;
use std::error::Error;
use std::{fmt, iter};

use super::hint;
use crate::create;

/// A failure, ready to be printed; its text lacks the leading `error:` and the hints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Report {
    /// Reads a chain of errors.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let mut causes = messages(error.chain());
        let mut hints: Vec<String> = error.chain().filter_map(hint::of).collect();
        // A failure of many images has a chain for each.
        if let Some(create::Error::Images { failed, .. }) = error.downcast_ref() {
            for (reference, error) in failed {
                causes.push(format!("{reference}: {}", messages(chain(error)).join(": ")));
                hints.extend(chain(error).filter_map(hint::of));
            }
        }
        let mut said = BTreeSet::new();
        hints.retain(|hint| said.insert(hint.clone()));
        let message = if causes.is_empty() { String::new() } else { causes.remove(0) };
        Self { message, causes, hints }
    }

    /// What led to it, the nearest cause first.
    #[must_use]
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {}", cause.trim_end().replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

/// An error and its causes.
pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (*error).source())
}

/// What the links of a chain say; errors of other crates often repeat their cause.
fn messages<'a>(chain: impl Iterator<Item = &'a (dyn Error + 'static)>) -> Vec<String> {
    let mut messages = Vec::<String>::new();
    for text in chain.map(ToString::to_string) {
        if !messages.last().is_some_and(|above| above.ends_with(&text)) {
            messages.push(text);
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use anyhow::Context;

    use super::*;

    #[test]
    fn a_chain_becomes_an_error_its_causes_and_a_hint() {
        let error = Err::<(), _>(io::Error::from(ErrorKind::AddrInUse))
            .context("cannot listen on 127.0.0.1:5000")
            .unwrap_err();
        let report = Report::of(&error);
        assert_eq!(
            report.to_string(),
            "cannot listen on 127.0.0.1:5000\n  caused by: address in use"
        );
        assert_eq!(report.hints().len(), 1);
        assert!(report.hints()[0].contains("--listen"), "{:?}", report.hints());
    }

    #[test]
    fn a_cause_is_not_said_twice() {
        let error = anyhow::anyhow!("inner").context("middle: inner").context("outer");
        assert_eq!(Report::of(&error).to_string(), "outer\n  caused by: middle: inner");
    }

    #[test]
    fn causes_of_many_lines_stay_under_their_error() {
        let error = anyhow::anyhow!("one\ntwo\n").context("outer");
        assert_eq!(Report::of(&error).to_string(), "outer\n  caused by: one\n    two");
    }
}
