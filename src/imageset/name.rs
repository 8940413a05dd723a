//! The name of an imageset, which its files begin with.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes: file names are made of it.
const MAX_LENGTH: usize = 128;

/// The name of an imageset.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(Box<str>);

/// Why a word is not the name of an imageset.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} cannot name an imageset: use at most {MAX_LENGTH} letters, digits, `.`, `_` and `-`, \
     the first a letter or digit"
)]
pub struct Error(Box<str>);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_LENGTH && text.chars().all(fit) {
            Ok(Self(text.into()))
        } else {
            Err(Error(text.chars().take(MAX_LENGTH).collect::<String>().into()))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_file_names() {
        for good in ["a", "Base-1.2_x", "0", &"a".repeat(128)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", ".a", "-a", "a/b", "a b", "é", "a\n", &"a".repeat(129)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
