//! A failure as a person reads it: the error, what caused it, and what to do about it.
//!
//! ```text
//! error: cannot open "release.sqfs"
//!   caused by: No such file or directory (os error 2)
//!
//! hint: check the path; …
//! ```

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;

use super::config;

/// A failure, ready to be printed; its text lacks the leading `error:` and the hints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

/// A failure of a command's own, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Advised {
    /// What was attempted, on which object, and why it failed.
    pub message: String,
    /// A full instruction.
    pub hint: String,
}

impl Report {
    /// Reads a chain of errors.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let mut messages = Vec::<String>::new();
        let mut hints = Vec::new();
        for link in error.chain() {
            let text = link.to_string();
            // Errors of other crates often repeat their cause.
            if !messages.last().is_some_and(|above| above.ends_with(&text)) {
                messages.push(text);
            }
            hints.extend(hint(link));
        }
        hints.dedup();
        let mut messages = messages.into_iter();
        Self { message: messages.next().unwrap_or_default(), causes: messages.collect(), hints }
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

/// What to do about one error, if there is something to say.
fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return system(error.kind()).map(Into::into);
    }
    if let Some(Advised { hint, .. }) = error.downcast_ref() {
        return Some(hint.clone());
    }
    if let Some(config::Error::Unknown { nearest: Some(nearest), .. }) = error.downcast_ref() {
        return Some(format!("the nearest known word is `{nearest}`"));
    }
    None
}

/// What to do about an error of the operating system.
fn system(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::AddrInUse => {
            "another process listens there: choose another address with `--listen`, \
             or find the process with `ss -ltnp`"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address: list them with `ip address`, \
             or listen on all with `--listen 0.0.0.0:5000`"
        }
        ErrorKind::NotFound => "check the path; a relative one starts at the working directory",
        ErrorKind::PermissionDenied => {
            "the user that runs shipperd needs the permission: see `ls -l`, `id`, \
             and in a container the owner and label of the volume"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room on that file system or choose another directory"
        }
        ErrorKind::ReadOnlyFilesystem => "choose a directory on a file system that can be written",
        ErrorKind::ConnectionRefused => {
            "nothing listens at that address: check host and port, and whether a proxy is needed"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

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
