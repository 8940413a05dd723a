//! Where states are kept, as a user writes it.
//!
//! ```text
//! file:///srv/state, /srv/state, state     a directory
//! ```

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where states are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// In a directory: one file for each imageset.
    Local(PathBuf),
}

/// Why a text does not say where states are kept.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Nothing was given.
    #[error("the place is empty")]
    Empty,
    /// A URL of another kind.
    #[error("{0:?} is neither a directory nor a file:// URL")]
    Scheme(String),
    /// A `file://` URL that names no absolute path.
    #[error("a file:// URL needs an absolute path, as in file:///srv/state")]
    NotAbsolute,
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.is_empty() {
                return Err(Error::Empty);
            }
            return Ok(Self::Local(text.into()));
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Local(rest.into())),
            "file" => Err(Error::NotAbsolute),
            _ => Err(Error::Scheme(text.to_owned())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) if path.is_absolute() => write!(f, "file://{}", path.display()),
            Self::Local(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back() {
        for (text, shown) in [
            ("file:///srv/state", "file:///srv/state"),
            ("/srv/state", "file:///srv/state"),
            ("state/dir", "state/dir"),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Location>().unwrap(), location, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (text, expected) in
            [("", "empty"), ("https://x/y", "neither"), ("file://state", "absolute")]
        {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
